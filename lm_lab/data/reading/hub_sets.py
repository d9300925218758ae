"""Data sets of the hub by name: out of its cache where they are there, else from the hub, whole or streamed.

`hub:OWNER/NAME`, `hub:OWNER/NAME:SUBSET`, either with `@REVISION` behind it; `stream:` in place of `hub:` reads row by
row and leaves no second copy on the disk. A split may be a part of one: `train[:1000]`, and where it is not streamed
`train[:90%]` too.

A cache has sets in two forms: files as they are on the hub (`hf download`), and what `datasets` made of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from lm_lab import hub
from lm_lab.data.reading.files import plain
from lm_lab.errors import UsageError

_KINDS = {"hub:": False, "stream:": True}
_PART = re.compile(r"(?P<split>[^\[]+)\[(?P<first>\d*):(?P<last>\d*)\]")
_BATCH = 1000  # rows that a stream hands over at a time


@dataclass(frozen=True)
class HubSet:
    """A data set of the hub.

    Args:
        name: OWNER/NAME.
        subset: its configuration, if it has several.
        revision: a commit, a branch or a tag; None: the newest, or what is in the cache.
        streamed: read row by row.
    """

    name: str
    subset: str | None = None
    revision: str | None = None
    streamed: bool = False

    def __str__(self) -> str:
        return self.name + (f":{self.subset}" if self.subset else "") + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class _Found:
    """Where a set is: what `load_dataset` takes, and the commit, as far as it is known."""

    path: str
    commit: str | None
    cached: bool = True

    @property
    def at(self) -> dict[str, str | None]:
        """The revision to ask the hub for."""
        return {} if self.cached else {"revision": self.commit}


def hub_set(source: str) -> HubSet | None:
    """What a source names; None if it is none of the hub. Raises `UsageError` for what cannot be a name there."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    kind = next((kind for kind in _KINDS if source.startswith(kind)), None)
    if kind is None:
        return None
    rest, _, revision = source.removeprefix(kind).partition("@")
    name, _, subset = rest.partition(":")
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UsageError(
            f"the data source '{source}': '{name}' is no name of the hub; expected {kind}OWNER/NAME, "
            f"{kind}OWNER/NAME:SUBSET, and @REVISION behind either."
        ) from error
    return HubSet(name, subset or None, revision or None, _KINDS[kind])


def commit(source: str | None) -> str | None:
    """The commit of the hub that a source names is read at; None for any other source, or where it is not known."""
    wanted = hub_set(source or "")
    return _locate(wanted, f"Fetch it: {_fetch(wanted)}").commit if wanted else None


def read_hub(wanted: HubSet, split: str, remedy: str) -> tuple[pa.Table, str]:
    """The table of one split with the names that the hub has for classes, and its origin for messages.

    Raises:
        UsageError: it is in no cache and the hub may not be asked or does not answer; no such set, subset, revision,
            split.
    """
    remedy = f"Fetch it where there is a hub: {_fetch(wanted)}. {remedy}"
    found = _locate(wanted, remedy)
    try:
        return _read(found, wanted, split)
    except UsageError:
        if not found.cached or hub.offline() or not hub.reachable():
            raise  # a cache may hold a part of a set, which only the hub can complete
    return _read(_asked(wanted), wanted, split)


def stream_hub(wanted: HubSet, split: str, remedy: str) -> Iterator[dict[str, Any]]:
    """The rows of one split, one after the other, as `read_hub` finds them; errors are those of `read_hub`."""
    found = _locate(wanted, f"Fetch it where there is a hub: {_fetch(wanted)}. {remedy}")
    try:
        with _offline(found.cached):
            yield from _rows(found, wanted.subset, split)
    except _errors() as error:
        raise UsageError(f"hub {wanted} {split} cannot be read: {_line(error)}{_hint(error, wanted)}") from error


def _fetch(wanted: HubSet) -> str:
    return f"hf download {wanted.name} --repo-type dataset" + (
        f" --revision {wanted.revision}" if wanted.revision else ""
    )


def _locate(wanted: HubSet, remedy: str) -> _Found:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(wanted.name, repo_type="dataset", revision=wanted.revision, local_files_only=True)
        return _Found(folder, Path(folder).name)
    except LocalEntryNotFoundError:
        pass
    if made := _made(wanted):
        return made
    what = f"{wanted.name}@{wanted.revision}" if wanted.revision else wanted.name
    hub.require(what, remedy)
    return _asked(wanted)


def _made(wanted: HubSet) -> _Found | None:
    """What `datasets` made of the set before: it is named after the commit."""
    import datasets

    try:
        with _offline():
            builder = datasets.load_dataset_builder(wanted.name, wanted.subset)
    except (OSError, ValueError, RuntimeError):
        return None
    made = str(builder.hash)
    if wanted.revision and not made.startswith(wanted.revision):
        return None
    return _Found(wanted.name, made)


def _asked(wanted: HubSet) -> _Found:
    from huggingface_hub import HfApi

    try:
        known = HfApi().dataset_info(wanted.name, revision=wanted.revision)
    except (OSError, ValueError) as error:
        raise UsageError(f"the hub has no data set '{wanted}' for you: {_line(error)}") from error
    return _Found(wanted.name, known.sha, cached=False)


def _read(found: _Found, wanted: HubSet, split: str) -> tuple[pa.Table, str]:
    import datasets

    origin = f"hub {wanted.name}{f':{wanted.subset}' if wanted.subset else ''}"
    origin += (f"@{found.commit[:12]}" if found.commit else "") + f" {split}"
    try:
        with _offline(found.cached):
            if wanted.streamed:
                tables = list(_rows(found, wanted.subset, split).with_format("arrow").iter(_BATCH))
                if not tables:
                    raise UsageError(f"{origin} is empty; expected rows.")
                return plain(pa.concat_tables(tables, promote_options="permissive"), origin), origin
            dataset = datasets.load_dataset(found.path, wanted.subset, split=split, **found.at)
            return plain(dataset.with_format("arrow")[:], origin), origin
    except _errors() as error:
        raise UsageError(f"{origin} cannot be read: {_line(error)}{_hint(error, wanted)}") from error


def _rows(found: _Found, subset: str | None, split: str) -> Any:
    """An `IterableDataset` of one split or of a part of it."""
    import datasets

    part = _PART.fullmatch(split)
    if "[" in split and not part:
        raise UsageError(
            f"the split '{split}' of a stream: expected numbers of rows, such as train[:1000]; or use hub:."
        )
    named = part["split"] if part else split
    rows = datasets.load_dataset(found.path, subset, split=named, streaming=True, **found.at)
    if part:
        first = int(part["first"] or 0)
        rows = rows.skip(first) if first else rows
        rows = rows.take(max(0, int(part["last"]) - first)) if part["last"] else rows
    return rows


def _line(error: Exception) -> str:
    said = " ".join(str(error).split("Example of usage")[0].split())
    return f"{said[:400].rstrip('.')}."


def _hint(error: Exception, wanted: HubSet) -> str:
    said = str(error)
    if "onfig" in said and "available" in said.lower():
        return f" Name the subset: hub:{wanted.name}:SUBSET."
    if "split" in said:
        return " Name the split that takes the place of one: --data.splits '{validation: NAME}'."
    return ""


def _errors() -> tuple[type[Exception], ...]:
    """What `datasets` and the hub's client raise."""
    import datasets

    return OSError, ValueError, RuntimeError, pa.ArrowException, datasets.exceptions.DatasetsError


class _offline:  # noqa: N801
    """Keep `datasets` from asking the hub."""

    def __init__(self, wanted: bool = True) -> None:
        self.wanted = wanted

    def __enter__(self) -> None:
        import datasets

        self.before = datasets.config.HF_HUB_OFFLINE
        datasets.config.HF_HUB_OFFLINE = self.wanted or self.before

    def __exit__(self, *_: object) -> None:
        import datasets

        datasets.config.HF_HUB_OFFLINE = self.before
