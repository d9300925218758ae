"""GLUE's own download layout: tab-separated files, no quoting, a header in all but CoLA's train and dev files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lm_lab.data.reading.texts import UTF_8, read_text
from lm_lab.errors import UsageError
from lm_lab.tasks import TextTask

_FILES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"} | {
    f"{split}_{part}": f"{name}_{part}.tsv"
    for split, name in (("validation", "dev"), ("test", "test"))
    for part in ("matched", "mismatched")
}


@dataclass(frozen=True)
class FileLayout:
    """Folder, text columns and label column as the files' headers call them."""

    folder: str
    texts: tuple[str, ...]
    label: str = "label"


LAYOUTS = {
    "cola": FileLayout("CoLA", ("sentence",)),
    "sst2": FileLayout("SST-2", ("sentence",)),
    "mrpc": FileLayout("MRPC", ("#1 String", "#2 String"), "Quality"),
    "stsb": FileLayout("STS-B", ("sentence1", "sentence2"), "score"),
    "qqp": FileLayout("QQP", ("question1", "question2"), "is_duplicate"),
    "mnli": FileLayout("MNLI", ("sentence1", "sentence2"), "gold_label"),
    "qnli": FileLayout("QNLI", ("question", "sentence")),
    "rte": FileLayout("RTE", ("sentence1", "sentence2")),
    "wnli": FileLayout("WNLI", ("sentence1", "sentence2")),
    "ax": FileLayout("AX", ("sentence1", "sentence2")),
    "snli": FileLayout("SNLI", ("sentence1", "sentence2"), "gold_label"),
}
_COLA_HEADER = ["source", "label", "mark", "sentence"]
_AX_FILES = ("diagnostic/diagnostic.tsv", "AX/AX.tsv", "AX/diagnostic.tsv", "AX/test.tsv")


def expected(task: str, split: str) -> str:
    """The path below the root where the classic layout keeps a split."""
    return _AX_FILES[0] if task == "ax" else f"{LAYOUTS[task].folder}/{_FILES.get(split, split + '.tsv')}"


def find(task: str, split: str, roots: Sequence[Path]) -> Path | None:
    """The file of a split below one of `roots`, if any has it."""
    names = _AX_FILES if task == "ax" else (expected(task, split), Path(expected(task, split)).name)
    paths = [root / name for root in roots for name in names]
    return next((path for path in paths if path.is_file()), None)


def read(task: TextTask, split: str, path: Path, encoding: str = UTF_8) -> pa.Table:
    """A split in the hub's schema: the task's columns, label (absent in test files) and idx.

    Raises:
        UsageError: another encoding, a header without a needed column, or a line with the wrong number of fields.
    """
    layout = LAYOUTS[task.name]
    lines = read_text(path, encoding).rstrip("\n").split("\n")  # splitlines() would cut at other marks
    headless = task.name == "cola" and split != "test" and "sentence" not in lines[0].rstrip("\r").split("\t")
    header = _COLA_HEADER if headless else lines[0].rstrip("\r").split("\t")
    first = 1 if headless else 2
    rows = [line.rstrip("\r").split("\t") for line in lines[0 if headless else 1 :]]
    needed = [*layout.texts, *([layout.label] if layout.label in header else [])]
    columns = {name: _column(name, header, path) for name in needed}
    for number, row in enumerate(rows, start=first):
        if len(row) <= max(columns.values()):
            lost = next(name for name, position in columns.items() if position >= len(row))
            raise UsageError(
                f"{path}, line {number}, column '{lost}': {len(row)} fields where the header has {len(header)}."
            )
    texts = zip(task.columns, layout.texts, strict=True)
    table = {ours: pa.array([row[columns[theirs]] for row in rows], pa.string()) for ours, theirs in texts}
    if layout.label in columns:
        table["label"] = _label_array(task, [row[columns[layout.label]] for row in rows])
    elif split.startswith(("train", "validation")):
        raise UsageError(f"{path} has no column '{layout.label}'; its header is: {', '.join(header)}.")
    return pa.table(table)


def _column(name: str, header: list[str], path: Path) -> int:
    if name not in header:
        raise UsageError(f"{path} has no column '{name}'; its header is: {', '.join(header)}.")
    return header.index(name)


def _label_array(task: TextTask, words: list[str]) -> pa.Array:
    """Class words stay words, SNLI's "-" means unlabelled; numbers are left to the checks as they are."""
    return pa.array([None if word == "-" and task.labels else word for word in words], pa.string())
