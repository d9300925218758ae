"""`lm-lab adapt predict --delta DIR --text FILE --out FILE`: rows in, the same rows with their predictions out.

Files are read and written some rows at a time, so that they may be larger than memory. Their form is said by their
suffix: csv, tsv, jsonl, parquet; anything else that is read is lines, with tabs between the texts of a row.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from lm_lab.atomic import replacing, writable
from lm_lab.commands.row_files import READ, WRITTEN, blocks, writer
from lm_lab.data.described import data_of
from lm_lab.errors import UsageError
from lm_lab.models import AdaptedModel
from lm_lab.tasks import TextTask

Row = dict[str, Any]
_ALSO = {"words": "tokens"}  # what a form's column may be called too
_PLACES = ("_index", "index1", "index2")


class Columns(NamedTuple):
    """Where the texts of an example stand.

    Attributes:
        names: of the columns, in order.
        options: whether more texts follow, in a column `options` or in `option_0`, `option_1`, ...
    """

    names: tuple[str, ...]
    options: bool = False


def write_predictions(model: AdaptedModel, given: Path, out: Path, names: Mapping[str, str] | None = None) -> int:
    """Predict on every row of `given`, and write all of its columns with `prediction` and probabilities to `out`.

    Args:
        model: on any device; a form other than whole texts has to be bound to its data.
        given: rows, or lines of text.
        out: csv, tsv, jsonl or parquet, replaced once it is whole.
        names: the form's column -> its name in `given`; what the model was trained with holds where none is given.

    Returns:
        How many rows there were.

    Raises:
        UsageError: a file that cannot be read or written, without a column, or with a row that holds no text there.
    """
    if out.suffix not in WRITTEN:
        raise UsageError(f"--out {out}: expected a name that ends with {', '.join(WRITTEN)}.")
    if out.resolve() == given.resolve():
        raise UsageError(f"--out {out} is the file that is read; give another one.")
    columns, count = _columns(model, names or {}), 0
    lined = columns.names if given.suffix not in READ else ()
    bar = Progress(
        SpinnerColumn(), TextColumn("{task.completed:,.0f} rows"), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty(),
    )  # fmt: skip
    with writable(out), replacing(out) as beside, writer(beside, out.suffix) as write, bar:
        shown = bar.add_task("", total=None)
        for rows in blocks(given, lined):
            examples = [_example(row, columns, f"{given}, row {count + at}") for at, row in enumerate(rows)]
            answers = model.predict(examples)
            write([_joined(row, _told(model, answer), given) for row, answer in zip(rows, answers, strict=True)])
            count += len(rows)
            bar.advance(shown, len(rows))
        if not count:
            raise UsageError(f"{given} has no rows.")
    return count


def on_device(model: AdaptedModel) -> AdaptedModel:
    """The model on a GPU, where there is one."""
    return model.to("cuda") if torch.cuda.is_available() else model


def _columns(model: AdaptedModel, names: Mapping[str, str]) -> Columns:
    if model.read_by is None:
        assert isinstance(model.task, TextTask)
        return Columns(tuple(names.get(name, name) for name in model.task.columns))
    data = data_of(model.read_by)
    known = dict(data.columns or {}) | dict(names)
    if unknown := [name for name in names if name not in data.given_columns]:
        raise UsageError(f"--data.columns names '{unknown[0]}'; an example has {', '.join(data.given_columns)}.")
    given = data.given_columns
    wanted = given[: given.index(given[-1])] if data.more else given  # the last kind are the options
    return Columns(tuple(known.get(name, name) for name in wanted), data.more)


def _example(row: Row, columns: Columns, origin: str) -> Any:
    """What `model.predict` takes of a row."""
    texts = [_value(row, name, origin) for name in columns.names]
    if columns.options:
        return (*texts, _options(row, origin))
    return texts[0] if len(texts) == 1 else tuple(texts)


def _value(row: Row, name: str, origin: str) -> Any:
    found = name if name in row else _ALSO.get(name, name)
    if found not in row:
        raise UsageError(
            f"{origin}: no column '{name}'; it has {', '.join(map(str, row))}. Name it: --data.columns "
            f"'{{sentence: {next(iter(row), 'review')}}}'."
        )
    value = row[found]
    if name.endswith(_PLACES) and type(value) is int:  # of a word, in WiC and WSC
        return str(value)
    listed = name in _ALSO and isinstance(value, list) and value and all(isinstance(word, str) for word in value)
    if not listed and not (isinstance(value, str) and value.strip()):
        raise UsageError(f"{origin}, column '{found}': expected a text, found {value!r:.80}.")
    return value


def _options(row: Row, origin: str) -> Sequence[str]:
    numbered = islice((row.get(f"option_{at}") for at in range(len(row))), len(row))
    found = row["options"] if "options" in row else [text for text in numbered if text]
    if not isinstance(found, list) or len(found) < 2 or not all(isinstance(text, str) and text for text in found):
        raise UsageError(f"{origin}: expected two texts or more in options, or in option_0, option_1, ...")
    return found


def _told(model: AdaptedModel, answer: Mapping[str, Any]) -> Row:
    """`prediction`, a number where it is one, and `probabilities` where the form has them."""
    graded = isinstance(model.task, TextTask) and model.task.regression
    found = {"prediction": float(answer["prediction"]) if graded else answer["prediction"]}
    return found | ({"probabilities": answer["probabilities"]} if "probabilities" in answer else {})


def _joined(row: Row, told: Row, given: Path) -> Row:
    if both := [name for name in told if name in row]:
        raise UsageError(f"{given} has a column '{both[0]}' already; rename it.")
    return row | told


def read_names(words: str) -> Iterator[tuple[str, str]]:
    """The pairs of `{sentence: review}`. Raises `UsageError` if it is none such."""
    import yaml

    try:
        found = yaml.safe_load(words)
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(word, str) for pair in found.items() for word in pair):
        raise UsageError(f"--data.columns {words}: expected such as '{{sentence: review}}'.")
    yield from found.items()
