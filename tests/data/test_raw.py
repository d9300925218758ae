"""Text read a little at a time: files, folders, the hub, documents of several lines."""

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest

from lm_lab.data.corpora import raw
from lm_lab.data.corpora.annotated import AnnotatedText, annotated
from lm_lab.data.reading import hub_sets
from lm_lab.errors import UsageError

WIKITEXT = [" ", " = One = ", " ", " The first .", " = = A part = = ", " More .", " = Two = ", " Another ."]


def parquet(path: Path, texts: list[str | None]) -> str:
    pa.parquet.write_table(pa.table({"text": texts}), path, row_group_size=3)
    return str(path)


def test_rows_that_begin_a_document_take_those_that_follow(tmp_path: Path) -> None:
    source = parquet(tmp_path / "wiki.parquet", WIKITEXT)
    found = list(raw.documents([source], starts=r" = [^=]"))
    assert [text.split("\n")[0].strip() for text in found] == ["= One =", "= Two ="]
    assert found[0].endswith("More .")
    lines = tmp_path / "bert.txt"
    lines.write_text("one\ntwo\n\nthree\n\n\nfour\n")
    assert list(raw.documents([str(lines)], starts=r"\s*$")) == ["one\ntwo", "three", "four"]


def test_a_folder_gives_its_split_or_all_its_files(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_text(f"{name} one\n{name} two")
    (tmp_path / "notes.md").write_text("no text")
    assert list(raw.documents([str(tmp_path)])) == ["a.txt one", "a.txt two", "b.txt one", "b.txt two"]
    (tmp_path / "validation.txt").write_text("held out")
    (tmp_path / "train.jsonl").write_text(json.dumps({"text": "trained on"}))
    assert list(raw.documents([str(tmp_path)])) == ["trained on"]
    assert list(raw.documents([str(tmp_path)], split="validation")) == ["held out"]
    with pytest.raises(UsageError, match="has no split test; looked for test"):
        list(raw.documents([str(tmp_path)], split="test"))


def test_a_row_without_text_is_named(tmp_path: Path) -> None:
    source = parquet(tmp_path / "texts.parquet", ["a", "b", "c", "d", None])
    with pytest.raises(UsageError, match=r"texts\.parquet, row 4, column 'text': no text"):
        list(raw.documents([source]))


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    source = parquet(tmp_path / "texts.parquet", ["a", "b"])
    texts = raw.documents([source, "nowhere"])
    assert next(texts) == "a"


def test_an_expression_that_is_none_is_refused(tmp_path: Path) -> None:
    source = parquet(tmp_path / "texts.parquet", ["a"])
    with pytest.raises(UsageError, match=r"starts='\(' is no regular expression"):
        list(raw.documents([source], starts="("))


def test_a_set_of_the_hub_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load_dataset(*names: Any, **options: Any) -> list[dict[str, str]]:
        asked.append((names, options))
        return [{"text": "one"}, {"text": " "}, {"text": "two\tparts"}]

    found = hub_sets._Found("owner/name", "c0ffee", cached=False)
    monkeypatch.setattr(hub_sets, "_locate", lambda *_: found)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert list(raw.documents(["hub:owner/name:subset"], split="validation")) == ["one", "two parts"]
    assert asked == [(("owner/name", "subset"), {"split": "validation", "streaming": True, "revision": "c0ffee"})]
    with pytest.raises(UsageError, match=r"hub:owner/name, row 0, column 'body': no text; it has text"):
        list(raw.documents(["hub:owner/name"], column="body"))


def test_a_hub_that_is_not_there_says_what_to_give() -> None:
    with pytest.raises(UsageError, match="Give a file or a folder of text instead"):
        list(raw.documents(["hub:owner/name"]))


def spanned(path: Path, spans: list[Any]) -> str:
    path.write_text("".join(json.dumps({"text": "a cat sat", "spans": each}) + "\n" for each in spans))
    return str(path)


def test_spans_come_with_their_text(tmp_path: Path) -> None:
    source = spanned(tmp_path / "texts.jsonl", [[[6, 9], [2, 5]], [], None])
    assert list(annotated([source], "text", "spans")) == [
        AnnotatedText("a cat sat", ((2, 5), (6, 9))),
        AnnotatedText("a cat sat"),
        AnnotatedText("a cat sat"),
    ]


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([[], [[2, 10]]], r"texts\.jsonl, row 1, column 'spans': \[2, 10\] is no part of a text of 9 characters"),
        ([[[3, 3]]], r"row 0, column 'spans': \[3, 3\] is no part"),
        ([[1, 2]], r"row 0, column 'spans': expected pairs of characters"),
        (["cat"], r"row 0, column 'spans': expected pairs of characters"),
    ],
)
def test_spans_that_are_none_are_named(tmp_path: Path, spans: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(annotated([spanned(tmp_path / "texts.jsonl", spans)], "text", "spans"))


def test_lines_have_no_spans(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a cat")
    with pytest.raises(UsageError, match=r"text\.txt has no columns, so no spans"):
        list(annotated([str(tmp_path / "text.txt")], "text", "spans"))
