"""Microworld tasks as tables in the schemas of the hub's GLUE and SQuAD."""

from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Any

import pyarrow as pa

from lm_lab.data.microworld.choices import OPTIONS, choice
from lm_lab.data.microworld.lexicon import Words, words_of
from lm_lab.data.microworld.pairs import mnli, mnli_mismatched, mrpc, rte, stsb
from lm_lab.data.microworld.reading import squad
from lm_lab.data.microworld.single import cola, sst2
from lm_lab.data.microworld.spans import tags
from lm_lab.data.microworld.summaries import summary
from lm_lab.errors import UsageError

Writer = Callable[[Words, Random, int], dict[str, Any]]

ROWS = {"train": 2000, "validation": 1000, "test": 1000}
_PATIENCE = 2000  # rows in a row that were there already: hardly any new ones are left
_WRITERS: dict[str, tuple[Writer, int]] = {  # with the number of labels it is asked for in turn
    "cola": (cola, 2),
    "sst2": (sst2, 2),
    "mrpc": (mrpc, 2),
    "stsb": (stsb, 4),
    "rte": (rte, 2),
    "mnli": (mnli, 3),
    "squad": (squad, 3),
    "choice": (choice, OPTIONS),
    "tags": (tags, 3),
    "summary": (summary, 3),
}
TASKS = tuple(_WRITERS)


def table(task: str, split: str, rows: int | None = None, seed: int = 0) -> pa.Table:
    """Return one split of a task; the same arguments give the same rows.

    Labels take turns, so classes are balanced to within one row. No row appears twice in a split nor in two
    splits, and no content word of one split appears in another.

    Args:
        task: one of `TASKS`.
        split: train, validation or test; MNLI's last two are validation_matched, validation_mismatched,
            test_matched and test_mismatched.
        rows: number of rows; None gives 2000 for training, 1000 otherwise.
        seed: of the rows drawn; the language itself is always the same.

    Raises:
        UsageError: the task or split is unknown, or so many different rows do not exist.
    """
    if task not in _WRITERS:
        raise UsageError(f"The microworld has no task '{task}'; it has {', '.join(TASKS)}.")
    if split not in splits(task):
        raise UsageError(f"Microworld '{task}' has no split '{split}'; it has {', '.join(splits(task))}.")
    base = split.partition("_")[0]
    count = ROWS[base] if rows is None else rows
    if count < 1:
        raise UsageError(f"rows={count}: the number of rows must be 1 or more.")
    return _table(task, split, count, seed)


def splits(task: str) -> tuple[str, ...]:
    """Return the names of a task's splits."""
    if task == "mnli":
        return ("train", *(f"{base}_{genre}" for base in ("validation", "test") for genre in ("matched", "mismatched")))
    return tuple(ROWS)


def schema(task: str) -> pa.Schema:
    """Return the columns and types of a task's table."""
    if task == "squad":
        answers = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int32()))])
        texts = [(name, pa.string()) for name in ("id", "title", "context", "question")]
        return pa.schema([*texts, ("answers", answers)])
    if task == "tags":
        lists = [(name, pa.list_(pa.string())) for name in ("tokens", "tags")]
        return pa.schema([*lists, ("idx", pa.int32())])
    if task == "summary":
        return pa.schema([("source", pa.string()), ("target", pa.string()), ("idx", pa.int32())])
    if task == "choice":
        options = ("options", pa.list_(pa.string()))
        return pa.schema([("context", pa.string()), options, ("answer", pa.int64()), ("idx", pa.int32())])
    columns = {"mnli": ("premise", "hypothesis"), "cola": ("sentence",), "sst2": ("sentence",)}
    texts = [(name, pa.string()) for name in columns.get(task, ("sentence1", "sentence2"))]
    return pa.schema([*texts, ("label", pa.float32() if task == "stsb" else pa.int64()), ("idx", pa.int32())])


@lru_cache(maxsize=32)  # every cell of a suite reads the same few, and a table cannot be changed
def _table(task: str, split: str, count: int, seed: int) -> pa.Table:
    written = _write(task, split, count, Random(f"{task} {split} {seed}"))
    return pa.Table.from_pylist(written, schema=schema(task))


def _write(task: str, split: str, count: int, rng: Random) -> list[dict[str, Any]]:
    writer, labels = _WRITERS[task]
    writer = mnli_mismatched if split.endswith("mismatched") else writer
    words, found = words_of(split.partition("_")[0]), dict[str, dict[str, Any]]()
    misses = 0
    while len(found) < count and misses < _PATIENCE:
        row = writer(words, rng, len(found) % labels)
        key = "\t".join(str(value) for value in row.values() if isinstance(value, str | list))
        misses = misses + 1 if key in found else 0
        found.setdefault(key, row)
    if len(found) < count:
        raise UsageError(f"rows={count}: microworld '{task}' {split} has fewer different rows; ask for {len(found)}.")
    return _number(list(found.values()), task, split, rng)


def _number(rows: list[dict[str, Any]], task: str, split: str, rng: Random) -> list[dict[str, Any]]:
    rng.shuffle(rows)
    if task == "squad":
        return [{"id": f"microworld-{split}-{index}", **row} for index, row in enumerate(rows)]
    return [row | {"idx": index} for index, row in enumerate(rows)]
