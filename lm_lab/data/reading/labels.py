"""What a label is: the word that stands in the file, whatever type the file has for it.

1, 1.0 and "1" are one class, and so are true, True and "true"; 01 is another class than 1. A number is a place among
the classes in GLUE's schema alone, or where a user says so by giving the classes. Numbers of which one is not whole are
a graded score, whether they are stored as numbers or as strings.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from lm_lab.errors import UsageError

UNLABELLED = -1  # what stands for "no label" in the hub's sets
Label = str | bool | int | float  # what a user may write for a class; the booleans are refused with a reason
Words = list[str | None]  # None where a row has nothing
MISSING = frozenset({"", "-1", "-1.0", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>"})
_INFINITE = frozenset({"inf", "-inf", "Infinity", "-Infinity"})  # refused as scores, and no classes among scores
_WHOLE = re.compile(r"([-+]?\d+)\.0+")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def word(value: Any) -> str | None:
    """A value as it is written; None for null and nan. Whole floats have no decimal point."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)


def number(text: str | None) -> float | None:
    """The finite number that a word is, if it is one."""
    found = float(text) if text is not None and _NUMBER.fullmatch(text) else math.nan
    return found if math.isfinite(found) else None


def column_words(table: pa.Table, name: str, origin: str, names: Sequence[str] = ()) -> Words:
    """A column as words.

    Args:
        table: has the column.
        name: of the column.
        origin: the file or source.
        names: what whole numbers stand for, as the hub keeps it; none: for themselves.

    Raises:
        UsageError: values that are no words, numbers or dates, or a number without a name.
    """
    column = table[name]
    values = column.to_pylist()
    scalar = (str, bool, int, float, Decimal, date, time)  # a datetime is a date
    first = next((value for value in values if value is not None), None)  # the others are of its type
    if not (first is None or isinstance(first, scalar)):
        raise UsageError(f"{origin}, column '{name}': expected words or numbers, found {column.type} ({first!r:.40}).")
    if not (names and pa.types.is_integer(column.type)):
        words = {value: word(value) for value in set(values)}  # few, of many rows
        return [words[value] for value in values]
    known = dict(enumerate(names)) | {UNLABELLED: None, None: None}
    for row, value in enumerate(values):
        if value not in known:
            raise UsageError(f"{origin}, row {row}, column '{name}': {value} has no name; there are {len(names)}.")
    return [known[value] for value in values]


def given_labels(labels: Sequence[Label] | None) -> tuple[str, ...]:
    """Class words that a user gives, () if none.

    Raises:
        UsageError: fewer than two, a boolean of YAML, an empty one, one twice.
    """
    if labels is None:
        return ()
    if any(isinstance(label, bool) for label in labels):
        raise UsageError(
            "labels: YAML reads no, yes, on, off, true and false as booleans; quote the words: "
            """--data.labels '["no", "yes"]'."""
        )
    words = [word(label) for label in labels]
    if not all(words):
        raise UsageError(f"labels: {', '.join(map(repr, labels))}: every class needs a word.")
    keys = Counter(key(text) for text in words if text)
    if again := next((text for text in words if text and keys[key(text)] > 1), None):
        raise UsageError(f"labels: '{again}' stands there more than once; give each class once.")
    if len(words) < 2:
        raise UsageError(
            f"labels: {', '.join(map(str, words)) or 'nothing'} is all there is; give two classes or more."
        )
    return tuple(text for text in words if text)


def key(text: str) -> str:
    """What two ways to write one class have in common."""
    if text.lower() in ("true", "false"):
        return text.lower()
    return _WHOLE.sub(r"\1", text) if _WHOLE.fullmatch(text) else text


def is_graded(words: Iterable[str | None]) -> bool:
    """Whether all are numbers of which one is not whole; what stands for "no label" does not count."""
    found = [number(text) for text in words if text is not None and text not in MISSING and text not in _INFINITE]
    known = [value for value in found if value is not None]
    return len(known) == len(found) and any(value != int(value) for value in known)


def classes(words: Iterable[str | None]) -> tuple[str, ...]:
    """The different classes: numbers by size, words by the alphabet. Nothing and -1 are no class."""
    found: dict[str, str] = {}
    for text in dict.fromkeys(words):
        if text and key(text) != str(UNLABELLED):
            found[key(text)] = min(text, found.get(key(text), text), key=lambda each: (len(each), each))
    texts = sorted(found.values())
    numbers = {text: number(text) for text in texts}
    return tuple(sorted(texts, key=lambda text: numbers[text] or 0.0) if None not in numbers.values() else texts)


def second(labels: Sequence[str], label: Label | None) -> tuple[str, ...]:
    """The classes with one of them in the second place. Raises `UsageError` if it is none of them."""
    if label is None:
        return tuple(labels)
    wanted = key(word(label) or "")
    found = next((text for text in labels if key(text) == wanted), None)
    if found is None or isinstance(label, bool):
        raise UsageError(f"positive={label!r} is none of the classes {', '.join(labels) or '(a score has none)'}.")
    others = [text for text in labels if text != found]
    return (*others[:1], found, *others[1:])


def class_ids(words: Words, labels: Sequence[str], numbered: bool) -> tuple[list[int | None], Counter[str]]:
    """The id of each word, None where there is no label, and -1 for what is no class; and what was read as "no label".

    Args:
        words: of a column.
        labels: classes in the order of their ids.
        numbered: where none of the labels is a number and all of the words are, these are ids.
    """
    known, distinct = (
        {key(label): place for place, label in enumerate(labels)},
        {text for text in words if text is not None},
    )
    none = {text for text in distinct if key(text) not in known and text in MISSING}
    words_only = all(number(label) is None for label in labels)
    if numbered and words_only and all(number(text) is not None for text in distinct - none):
        known |= {str(place): place for place in range(len(labels))}
    ids = {text: None if text in none else known.get(key(text), -1) for text in distinct}
    return [None if text is None else ids[text] for text in words], Counter(text for text in words if text in none)


def scores(words: Words, low: float, high: float) -> tuple[list[float | None], Counter[str]]:
    """The number of each word, None where there is no label, nan for what is none; and what was read as "no label".

    -1 is a score where the range has it.
    """
    is_score = low <= UNLABELLED <= high
    missing = Counter(text for text in words if text in MISSING and not (is_score and number(text) == UNLABELLED))
    known = [None if text in missing else text for text in words]
    return [None if text is None else math.nan if (value := number(text)) is None else value for text in known], missing


def score_range(words: Words) -> tuple[float, float]:
    """Lowest and highest of the scores; -1 is one of them where there are others below 0."""
    known = [value for text in words if text not in MISSING and (value := number(text)) is not None]
    low, high = min(known), max(known)
    return (min(low, UNLABELLED) if low < 0 and any(number(text) == UNLABELLED for text in words) else low), high


def numbered_truth(table: pa.Table, name: str = "label") -> pa.Table:
    """The table with 0 and 1 in a column of false and true."""
    if name not in table.column_names or not pa.types.is_boolean(table[name].type):
        return table
    return table.set_column(table.column_names.index(name), name, table[name].cast(pa.int64()))


def hub_names(table: pa.Table, *columns: str) -> list[str]:
    """What the whole numbers of the first of `columns` that the hub has names for stand for; [] if there are none."""
    metadata = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    features = metadata.get("info", {}).get("features", {})
    found: dict[str, Any] = next((features[name] for name in columns if features.get(name)), {})
    return found.get("names") or found.get("feature", {}).get("names") or []
