"""Opens W&B runs that cannot prompt, hang, share a run or write outside their folder.

Offline is the default: a run is then a folder, shown by `wandb leet` and uploaded later by `wandb sync`. It is
online when the user says so, by an argument or WANDB_MODE=online.
"""

import os
import shutil
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from lm_lab.errors import UsageError

if TYPE_CHECKING:
    import wandb

Mode = Literal["online", "offline", "disabled"]
PROJECT = "lm_lab"
_MODES = ("online", "offline", "disabled")
_DIRECTORIES = ("WANDB_DATA_DIR", "WANDB_CACHE_DIR")
_warned: set[str] = set()


class TrackingWarning(UserWarning):
    """W&B failed; the results on disk are complete without it."""


def chosen_mode(mode: str | None) -> Mode:
    """Return the argument, else WANDB_MODE, else "offline", or "online" in a sweep. Raises UsageError for others."""
    value = mode or os.environ.get("WANDB_MODE") or ("online" if "WANDB_SWEEP_ID" in os.environ else "offline")
    if value not in _MODES:
        raise UsageError(f"W&B mode {value!r}: expected one of {', '.join(_MODES)} (argument or WANDB_MODE).")
    return value  # type: ignore[return-value]


def check_online(timeout: float = 5.0) -> None:
    """Raise UsageError unless there is a key and the server answers: W&B itself would prompt or wait minutes."""
    import wandb

    url = urlsplit(wandb.setup().settings.base_url)
    if not wandb.login(prompt=False):
        raise UsageError("W&B is to be online but there is no key: set WANDB_API_KEY or run `wandb login`.")
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        socket.create_connection((url.hostname or "", port), timeout).close()
    except OSError as error:
        raise UsageError(
            f"W&B is to be online but {url.geturl()} cannot be reached ({error}): set WANDB_MODE=offline and "
            "upload later with `wandb sync`."
        ) from error


@contextmanager
def online() -> Iterator[None]:
    """Ask the server whatever WANDB_MODE says of logging: offline, W&B would not look for a key."""
    mode = os.environ.pop("WANDB_MODE", None)
    try:
        yield
    finally:
        os.environ.update({} if mode is None else {"WANDB_MODE": mode})


@contextmanager
def open_run(root: Path, run_id: str, mode: str | None, **init: Any) -> Iterator["wandb.Run"]:
    """Yield a run as `begin_run` opens it, with W&B's staging under `root`, and finish it."""
    with directories(root / "wandb"):
        run = begin_run(root, run_id, mode, **init)
        try:
            yield run
        finally:
            run.finish()


def begin_run(root: Path, run_id: str, mode: str | None, system_metrics: bool = False, **init: Any) -> "wandb.Run":
    """Open a W&B run with a fixed id in a folder of its own, `root`/wandb/`run_id`.

    Logging again replaces the folder, and continues the run of that id on the server.
    """
    import wandb

    mode = chosen_mode(mode)
    if mode == "online":
        check_online()
    folder = root / "wandb" / run_id
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return wandb.init(
        id=run_id,
        dir=str(folder.absolute()),  # W&B's process may have started in another folder
        mode=mode,
        reinit="create_new",
        resume="allow" if mode == "online" else None,
        settings=settings(system_metrics),
        **init,
    )


def settings(system_metrics: bool = False) -> Any:
    """Return the settings every run has: quiet, no command, no code, short waits; the machine only if asked for."""
    import wandb

    return wandb.Settings(
        silent=True,
        console="off",
        disable_code=True,
        disable_git=True,
        x_disable_stats=not system_metrics,
        x_disable_meta=True,
        x_disable_machine_info=not system_metrics,
        host=None if system_metrics else "",
        init_timeout=30,
        login_timeout=10,
        finish_timeout=120,
    )


@contextmanager
def directories(folder: Path) -> Iterator[None]:
    """Keep W&B's staging and cache under `folder` where the user did not choose: the home folder may be small."""
    added = [name for name in _DIRECTORIES if name not in os.environ]
    for name in added:
        os.environ[name] = str(folder.absolute() / name.removeprefix("WANDB_").removesuffix("_DIR").lower())
    try:
        for name in _DIRECTORIES:
            Path(os.environ[name]).mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for name in added:
            del os.environ[name]


def guarded(action: Callable[[], None]) -> bool:
    """Run `action`; whatever W&B raises becomes one warning, because a result must not be lost to tracking."""
    try:
        action()
    except Exception as error:
        text = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        if text not in _warned:
            _warned.add(text)
            advice = "The results on disk are complete; docs/tracking.md says how to log them later"
            warnings.warn(f"W&B: {text.rstrip('.')}. {advice}.", TrackingWarning, stacklevel=3)
        return False
    return True
