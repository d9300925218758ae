"""Data files that are wrong in any way end in rows or in one line that says what is wrong, never in a traceback."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_lab.data import microworld
from lm_lab.data.corpora import store
from lm_lab.data.corpora.annotated import annotated
from lm_lab.data.corpora.raw import documents
from lm_lab.data.corpora.rows import Documents, NextSentencePairs, Packed, RowLayout
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.modules.base import TaskData
from lm_lab.data.modules.choices import MultipleChoice
from lm_lab.data.modules.glue import GLUE
from lm_lab.data.modules.multi_label import MultiLabelTexts
from lm_lab.data.modules.own import OwnTexts
from lm_lab.data.modules.sequences import Sequences
from lm_lab.data.modules.squad import SQuAD
from lm_lab.data.modules.tags import TokenClassification
from lm_lab.data.reading.lines import read_lines
from lm_lab.errors import UsageError

TOKENIZER = microworld.tokenizer()
ANSWERS = [{"text": ["cat"], "answer_start": [2]}, {"text": [], "answer_start": []}]
ROWS: dict[str, list[dict[str, Any]]] = {
    "own": [{"sentence": f"a cat {i}", "label": "xyz"[i % 3]} for i in range(12)],
    "score": [{"sentence": f"a cat {i}", "label": i / 4} for i in range(12)],
    "glue": [{"sentence1": f"a cat {i}", "sentence2": "b", "label": i % 2, "idx": i} for i in range(12)],
    "tags": [{"tokens": ["a", "cat"], "tags": ["O", "B-x" if i % 2 else "I-x"]} for i in range(6)],
    "choices": [{"context": "a", "question": "q", "options": ["b", "c"], "answer": i % 2} for i in range(6)],
    "columns": [{"context": "a", "option_0": "b", "option_1": "c", "answer": "c"} for i in range(6)],
    "sequences": [{"source": f"a cat {i}", "target": "b"} for i in range(6)],
    "squad": [
        {"id": f"{i}", "title": "t", "context": "a cat", "question": "q", "answers": ANSWERS[i % 2]} for i in range(6)
    ],
    "multi": [{"sentence": f"a cat {i}", "label": ["x", "y"][: i % 3]} for i in range(12)],
    "corpus": [{"text": f"a cat sat. It slept {i}", "spans": [[2, 5]]} for i in range(12)],
}
Make = Callable[[str], TaskData]
FORMS: dict[str, Make] = {
    "own": lambda source: OwnTexts(source=source),
    "score": lambda source: OwnTexts(source=source),
    "glue": lambda source: GLUE("rte", source=source),
    "tags": lambda source: TokenClassification("mine", source),
    "choices": lambda source: MultipleChoice("mine", source=source),
    "columns": lambda source: MultipleChoice("mine", source=source),
    "sequences": lambda source: Sequences("mine", source=source),
    "squad": lambda source: SQuAD(2, source=source, overlap=2),
    "multi": lambda source: MultiLabelTexts(source=source),
}

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-3, 3), st.floats(), st.text(max_size=8),
    st.sampled_from(["", "-1", "NA", "nan", "1.0", "01", "x", "B-x", "O", "\ud800", "a\0b", "a\tb", "\ufeff", "1e999"]),
)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
junk = st.sampled_from(
    [b"\xff", b"\x00", b'"', b",", b"\t", b"\n", b"\r\n", b"{", b"]", b"\xef\xbb\xbf", b"\xed\xa0\x80"]
)


@st.composite
def wrong_rows(draw: st.DrawFn, form: str) -> list[dict[str, Any]]:
    """Rows of a form of which some values, names or rows are others."""
    rows = [dict(row) for row in ROWS[form]]
    for _ in range(draw(st.integers(0, 4))):
        row = rows[draw(st.integers(0, len(rows) - 1))]
        name = draw(st.sampled_from([*ROWS[form][0], "idx", "other"]))
        if draw(st.booleans()):
            row[name] = draw(values)
        elif name in row and draw(st.booleans()):
            del row[name]
        else:
            value = draw(values)
            for each in rows:
                each[name] = value
    return rows[: draw(st.sampled_from([len(rows)] * 4 + [0, 1, 2]))]


@st.composite
def wrong_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes of which pieces are missing, doubled or replaced."""
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.integers(0, 20)))
        new = draw(st.one_of(st.just(b""), junk, st.binary(max_size=4), st.just(content[start:stop] * 2)))
        content = content[:start] + new + content[stop:]
    return content


def table_bytes(rows: list[dict[str, Any]], suffix: str) -> bytes:
    """A file of rows; cells of csv are written as they are."""
    if suffix in (".csv", ".tsv"):
        names = list(dict.fromkeys(name for row in rows for name in row))
        lines = [names, *([str(row.get(name, "")) for name in names] for row in rows)]
        return "\n".join(("\t" if suffix == ".tsv" else ",").join(line) for line in lines).encode(
            "utf-8", "surrogatepass"
        )
    if suffix == ".json":
        return json.dumps(rows).encode()
    return "\n".join(map(json.dumps, rows)).encode()


def parquet(rows: list[dict[str, Any]], path: Path) -> bool:
    """Write rows as parquet, if they have types."""
    try:
        pq.write_table(pa.Table.from_pylist(rows), path)
    except Exception:
        path.unlink(missing_ok=True)
        return False
    return True


def ends(run: Callable[[], Any]) -> None:
    """Nothing but a `UsageError` of one line is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said = ""
        try:
            run()
        except UsageError as error:
            said = str(error)
    assert "\n" not in said
    assert len(said) < 2000


def train_and_validate(make: Make, source: str) -> None:
    data = make(source)
    data.predict_splits = ("train",)
    data.bind(Encoding(TOKENIZER, "cross_encoder", 24))
    data.encode(["train", "validation"])
    for encoded in data.encoded.values():
        assert np.all(encoded.lengths >= 0)
        encoded.collate(list(range(min(4, len(encoded)))))
    data.read("train", labelled=False)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet"])
def test_what_is_mutated_is_right_before(form: str, suffix: str) -> None:
    for split in ("train", "validation"):
        if suffix != ".parquet":
            Path(f"{split}{suffix}").write_bytes(table_bytes(ROWS[form], suffix))
        else:
            assert parquet(ROWS[form], Path(f"{split}{suffix}"))
    train_and_validate(FORMS[form], ".")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl", ".parquet"])
@given(data=st.data())
def test_files_of_every_form(form: str, suffix: str, data: st.DataObject) -> None:
    rows, path = data.draw(wrong_rows(form)), Path(f"file{suffix}")
    if suffix == ".parquet":
        if not parquet(rows, path):
            return
    else:
        path.write_bytes(table_bytes(rows, suffix))
    if data.draw(st.booleans()):
        path.write_bytes(data.draw(wrong_bytes(path.read_bytes())))
    ends(lambda: train_and_validate(FORMS[form], str(path)))


@given(data=st.data())
def test_folders_of_splits_of_different_files(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(list(FORMS)))
    for split in ("train", "validation"):
        for old in Path().glob(f"{split}.*"):
            old.unlink()
        suffix = data.draw(st.sampled_from([".csv", ".jsonl", ".parquet"]))
        rows = data.draw(wrong_rows(form))
        if suffix != ".parquet":
            Path(f"{split}{suffix}").write_bytes(table_bytes(rows, suffix))
        else:
            parquet(rows, Path("train.parquet").with_stem(split))
    ends(lambda: train_and_validate(FORMS[form], "."))


@given(content=wrong_bytes(b"-DOCSTART- O\n\nAda NNP B-PER\nlives VB O\n\nin O\nRome\tI-LOC\n" * 2))
def test_conll(content: bytes) -> None:
    for split in ("train", "validation"):
        Path(f"{split}.txt").write_bytes(content)
    ends(lambda: train_and_validate(FORMS["tags"], "."))
    ends(lambda: train_and_validate(lambda source: TokenClassification("mine", source, scheme="plain"), "."))


@given(data=st.data())
def test_squads_own_layout(data: st.DataObject) -> None:
    asked = {"id": "1", "question": "q", "answers": [{"text": "cat", "answer_start": 2}]}
    content: Any = {"data": [{"title": "t", "paragraphs": [{"context": "a cat", "qas": [asked]}]}]}
    place = ("data", 0, "paragraphs", 0, *data.draw(st.sampled_from([("qas", 0), ("context",)])))
    place = place[: data.draw(st.integers(0, len(place)))]
    inner = content
    for step in place[:-1]:
        inner = inner[step]
    if place:
        inner[place[-1]] = data.draw(values)
    asked[data.draw(st.sampled_from(["id", "question", "answers"]))] = data.draw(values)
    for name in ("train", "dev"):
        Path(f"{name}-v2.0.json").write_bytes(data.draw(wrong_bytes(json.dumps(content).encode())))
    ends(lambda: train_and_validate(FORMS["squad"], "."))


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tsv", ".json", ".jsonl", ".parquet"])
@given(data=st.data())
def test_a_corpus(suffix: str, data: st.DataObject) -> None:
    rows, path = data.draw(wrong_rows("corpus")), Path(f"corpus{suffix}")
    if suffix == ".txt":
        path.write_text("\n".join(str(row.get("text")) for row in rows), encoding="utf-8", errors="surrogatepass")
    elif suffix != ".parquet":
        path.write_bytes(table_bytes(rows, suffix))
    elif not parquet(rows, path):
        return
    path.write_bytes(data.draw(wrong_bytes(path.read_bytes())))
    starts = data.draw(st.sampled_from([None, "a", "(", r"\s*$"]))
    length = data.draw(st.integers(1, 12))

    def rows_of(texts: Any) -> None:
        found = store.TokenStore.of(store.tokenise(list(texts), TOKENIZER))
        for kind in (Documents, Packed, NextSentencePairs):
            made = kind(found, RowLayout.of(TOKENIZER, False, length, 0))
            made.collate([made[0, i] for i in range(min(3, len(made)))]) if len(made) else None

    ends(lambda: rows_of(documents([str(path)], starts=starts)))
    ends(lambda: rows_of(annotated([str(path)], "text", "spans")))


CODECS = ("utf-8", "latin-1", "utf-16", "nonsense", "idna", "rot13", "unicode_escape", "punycode")


@given(
    content=wrong_bytes(b"a cat\tb\nanother\tc d\n\n\xef\xbb\xbfx\ty\n"),
    more=st.booleans(),
    encoding=st.sampled_from(CODECS),
)
def test_lines_to_predict_on(content: bytes, more: bool, encoding: str) -> None:
    Path("lines.txt").write_bytes(content)
    ends(lambda: read_lines("lines.txt", ("a", "b"), more, encoding))
    ends(lambda: list(documents(["lines.txt"], encoding=encoding)))


@given(data=st.data())
def test_settings(data: st.DataObject) -> None:
    Path("own.jsonl").write_bytes(table_bytes(ROWS["own"], ".jsonl"))
    numbers = st.one_of(st.none(), st.integers(-3, 40))
    options = {
        name: data.draw(kind)
        for name, kind in {
            "labels": st.one_of(st.none(), st.lists(scalars, max_size=4)),
            "label_range": st.one_of(st.none(), st.tuples(st.floats(), st.floats())),
            "metrics": st.one_of(st.none(), st.lists(st.sampled_from(["f1", "f1_macro", "pearson", "accuracy", "x"]))),
            "positive": st.one_of(st.none(), scalars),
            "class_weights": st.just("balanced") | st.dictionaries(scalars, st.floats(), max_size=3),
            "columns": st.dictionaries(st.sampled_from(["sentence", "label", "x"]), st.text(max_size=8)),
            "name": st.one_of(st.just("own"), st.text(max_size=12)),
            "train_limit": numbers, "validation_limit": numbers,
            "holdout": st.integers(-3, 20), "batch_size": st.integers(-1, 4), "max_length": st.integers(-1, 20),
            "encoding": st.sampled_from(["utf-8", "latin-1", "utf-16", "x"]),
            "validation": st.one_of(st.none(), st.text(max_size=6)),
        }.items()
        if data.draw(st.booleans())
    }  # fmt: skip
    ends(lambda: train_and_validate(lambda source: OwnTexts(source=source, **options), "own.jsonl"))
