"""Where a fit goes on: at the place that the same command has left, or at a checkpoint that is named.

What decides on a run's result must be what it was (`training/settings.py`), or every change is named and refused;
`--resume-changed` takes those that a run can go on with.
"""

import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lm_lab.errors import UsageError
from lm_lab.training.resuming.checkpoints import ExactResume
from lm_lab.training.resuming.settings import carries, changes, identity
from lm_lab.training.resuming.unfinished import KEY

LAST = "last"
Settings = Sequence[Mapping[str, Any]]
CHANGED, FRESH, PRINTED = "--resume-changed", "--fresh", "--print_config"


class Wishes(NamedTuple):
    """What a command says of a fit: that it goes on with changes, or from the start, or only shows its settings."""

    changed: bool = False
    fresh: bool = False
    printed: bool = False


def take_wishes(args: Sequence[str]) -> tuple[list[str], Wishes]:
    """The other arguments, and which of `--resume-changed`, `--fresh` and a fit's `--print_config` are among them."""
    flags = (CHANGED, FRESH, PRINTED) if args[:1] == ["fit"] else (CHANGED, FRESH)
    given = [flag in args for flag in flags]
    return [word for word in args if word not in flags], Wishes(*given)


def require_local(path: str | None) -> None:
    """Raise `UsageError` unless a checkpoint is a file on this disk: Lightning unpickles what it downloads."""
    if path is None or path == LAST:
        return
    if "://" in path or ":" in path.split("/")[0]:
        raise UsageError(f"--ckpt_path {path}: expected a file on this disk; download it first, from where you trust.")
    if not Path(path).is_file():
        raise UsageError(
            f"--ckpt_path {path}: there is no such file; checkpoints of unfinished runs are in unfinished/."
        )


def place(given: str | None, own: Path | None, trainer: L.Trainer, fresh: bool) -> str | None:
    """The checkpoint to go on from: the one that is given, else the newest that this very command has left."""
    require_local(given)
    if fresh:
        return None
    if given not in (None, LAST):
        return given
    left = [own] if own is not None and own.is_file() else []
    if given == LAST:
        left += [path for path in map(_last, trainer.checkpoint_callbacks) if path is not None]
    if not left:
        if given == LAST:
            print("no checkpoint of this run yet: starting", file=sys.stderr)
        return None
    return str(max(left, key=lambda path: path.stat().st_mtime))


def read(path: str) -> dict[str, Any]:
    """A checkpoint that this project has written. Raises `UsageError` for anything else."""
    try:
        if broken := zipfile.ZipFile(path).testzip():  # torch reads numbers without their checksums
            raise ValueError(f"{broken} is not what was written")
        found = torch.load(path, weights_only=True, mmap=True, map_location="cpu")
    except Exception as error:  # torch raises nearly anything for bytes that are no checkpoint
        raise UsageError(
            f"{path} is no whole checkpoint ({type(error).__name__}); give another one, or delete it to start over."
        ) from error
    if not isinstance(found, dict) or not {"state_dict", "loops", "global_step"} <= set(found):
        raise UsageError(f"{path} is no checkpoint of Lightning's; expected a file that `fit` has written.")
    return found


def require_whole(path: str, found: Mapping[str, Any]) -> None:
    """Raise `UsageError` for a checkpoint without all that a fit goes on with; Lightning would go on without it."""
    for name in ("optimizer_states", "lr_schedulers"):
        if not isinstance(found.get(name), list) or len(found[name]) != 1:
            raise UsageError(
                f"{path} has no {name}: it is damaged, or holds weights alone; a fit cannot go on from it."
            )
    if KEY in found and ExactResume.__qualname__ not in (found.get("callbacks") or {}):
        raise UsageError(f"{path} has no states of random numbers: it is damaged; {FRESH} starts over.")


def require_same(path: str, found: Mapping[str, Any], cli: Any, given: Settings, changed: bool) -> None:
    """Raise `UsageError` with the name of every setting that is not what it was, unless it may change and is to.

    `given` are the settings that decide, as the command says them and with what nulls came to: either may stand in a
    checkpoint, so that the configuration that is kept beside a run goes on with it.
    """
    about = found.get(KEY)
    if about is None:
        if changed:
            return
        raise UsageError(f"{path} does not say what it is of (a Trainer of one's own wrote it); {CHANGED} takes it.")
    now = [identity(cli.trainer, cli.model, settings, cli.datamodule) for settings in given]
    differing = min((changes(about, one) for one in now), key=len)
    refused = [change for change in differing if not (changed and carries(change[0]))]
    if refused:
        named = "; ".join(f"{name} was {before!r}, is {now!r}" for name, before, now in refused)
        allowed = all(carries(name) for name, _, _ in refused)
        remedy = f"; {CHANGED} goes on with what is now" if allowed else ", which a run cannot go on with"
        raise UsageError(f"{path} is of another run: {named}{remedy}. {FRESH} starts over.")


def say(path: str, found: Mapping[str, Any]) -> None:
    """One line that says from where."""
    where = f"epoch {found.get('epoch', 0)}, step {found['global_step']}"
    print(f"resuming from {path}: {where} ({FRESH} starts over)", file=sys.stderr)


def _last(callback: Any) -> Path | None:
    if not isinstance(callback, ModelCheckpoint) or callback.dirpath is None:
        return None
    path = Path(callback.dirpath, callback.CHECKPOINT_NAME_LAST + callback.FILE_EXTENSION)
    return path if path.is_file() else None
