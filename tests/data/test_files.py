"""Data files of any encoding and any types of columns, and what is refused in one line."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lm_lab.data.corpora.annotated import annotated
from lm_lab.data.corpora.raw import documents
from lm_lab.data.modules.choices import MultipleChoice
from lm_lab.data.modules.glue import GLUE
from lm_lab.data.modules.own import OwnTexts
from lm_lab.data.modules.sequences import Sequences
from lm_lab.data.modules.squad import SQuAD
from lm_lab.data.modules.tags import TokenClassification
from lm_lab.data.reading.files import FORMATS, read_file
from lm_lab.data.reading.lines import read_lines
from lm_lab.errors import UsageError

ROWS = [{"sentence": f"café {i}", "label": "xy"[i % 2]} for i in range(40)]
PAD = "pad " * 200


def write_rows(name: str, encoding: str = "utf-8") -> None:
    if name.endswith("jsonl"):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    elif name.endswith("json"):
        text = json.dumps(ROWS, ensure_ascii=False, indent=1)
    else:
        separator = "\t" if name.endswith("tsv") else ","
        text = "\n".join(separator.join(row.values()) for row in [{"a": "sentence", "b": "label"}, *ROWS])
    Path(name).write_bytes(text.encode(encoding))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "cp1252"])
def test_encodings_by_name(name: str, encoding: str) -> None:
    write_rows(name, encoding)
    given = {} if encoding.startswith("utf-8") else {"encoding": encoding}
    rows = OwnTexts(source=name, **given).read("train", True)
    assert rows.texts[0][0].startswith("café")
    assert next(documents([name], "sentence", **given)) == "café 0"


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.txt"])
def test_another_encoding_is_one_line(name: str) -> None:
    Path(name).write_bytes(b'{"sentence": "caf\xe9"}\n')
    said = rf"{name}' cannot be read: it is not UTF-8 \(byte 17: .*, or name its encoding: --data.encoding latin-1\.$"
    if name == "a.txt":
        with pytest.raises(UsageError, match=said):
            read_lines(name, ("sentence",))
    else:
        with pytest.raises(UsageError, match=said):
            OwnTexts(source=name)
    with pytest.raises(UsageError, match=rf"{name}'? cannot be read: "):
        list(documents([name], "sentence"))


def test_an_encoding_that_is_none_is_refused() -> None:
    for encoding in ("latin-99", "base64", "a\0b"):
        with pytest.raises(UsageError, match=r"encoding=.* is unknown; expected a name such as utf-8"):
            GLUE("rte", source="microworld", encoding=encoding)


def test_a_line_to_predict_on_has_all_of_its_texts() -> None:
    Path("pairs.txt").write_text("a\tb\n\tb\n")
    with pytest.raises(UsageError, match=r"pairs.txt, line 2: an empty text beside a tab"):
        read_lines("pairs.txt", ("sentence1", "sentence2"))


def test_a_byte_order_mark_is_no_text() -> None:
    Path("bom.txt").write_bytes(b"\xef\xbb\xbfgood film\n")
    assert read_lines("bom.txt", ("sentence",)).texts == [["good film"]]
    assert list(documents(["bom.txt"])) == ["good film"]
    Path("train.txt").write_bytes(b"\xef\xbb\xbfAda B-PER\nlives O\n")
    assert TokenClassification("t", ".").read("train", True).words == [["Ada", "lives"]]
    article = {"title": "t", "paragraphs": [{"context": "a b", "qas": [{"id": "1", "question": "q"}]}]}
    Path("dev.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"data": [article]}).encode())
    assert len(SQuAD(2, source=".").read("validation", False)) == 1


def test_a_column_that_is_not_read_may_hold_anything() -> None:
    odd = [i if i < 2500 else f"x{i}" if i < 2900 else {"a": [i]} for i in range(3000)]
    rows = [{"text": f"some text {PAD}{i}", "code": odd[i], "label": "xy"[i % 2]} for i in range(3000)]
    Path("flip.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = (f"{row['text']},{str(row['code']).replace(',', '')},{row['label']}" for row in rows)
    Path("flip.csv").write_text("\n".join(["text,code,label", *lines]))
    for name in ("flip.csv", "flip.jsonl"):
        assert len(list(documents([name]))) == 3000
        data = OwnTexts(source=name, columns={"sentence": "text"})
        assert len(data.read("train", True)) + len(data.read("validation", True)) == 3000


def test_texts_of_a_corpus_that_begin_with_numbers_only() -> None:
    Path("n.csv").write_text("text\n" + "".join(f"{10**300 + i}\n" for i in range(4000)) + "words\n")
    assert list(documents(["n.csv"]))[-1] == "words"


def as_type(kind: str) -> tuple[Any, Any]:
    texts, words = [row["sentence"] for row in ROWS], [row["label"] for row in ROWS]
    if kind == "category":
        return pa.array(texts).dictionary_encode(), pa.array(words).dictionary_encode()
    return pa.array(texts, getattr(pa, kind)()), pa.array(words, getattr(pa, kind)())


@pytest.mark.parametrize("kind", ["category", "string", "large_string", "string_view"])
def test_kinds_of_columns_of_text(kind: str) -> None:
    texts, words = as_type(kind)
    pq.write_table(pa.table({"sentence": texts, "label": words}), "a.parquet")
    data = OwnTexts(source="a.parquet")
    assert data.task.labels == ("x", "y")
    assert data.read("train", True).texts[0][0].startswith("café")
    assert next(documents(["a.parquet"], "sentence")) == "café 0"


def test_kinds_of_columns_of_lists() -> None:
    words = pa.array([["Ada", "lives"]], pa.list_(pa.dictionary(pa.int8(), pa.string())))
    tags = pa.array([["B-x", "O"]], pa.list_(pa.string(), 2))
    pq.write_table(pa.table({"tokens": words, "tags": tags}), "train.parquet")
    assert TokenClassification("t", ".").read("train", True).tags == [[1, 0]]
    options = pa.array([["a", "b"]] * 3, pa.large_list(pa.string_view()))
    pq.write_table(pa.table({"context": ["c"] * 3, "options": options, "answer": ["b", "1", "0"]}), "train.parquet")
    assert MultipleChoice("t", source=".").read("train", True).labels.tolist() == [1, 1, 0]


@pytest.mark.parametrize("form", ["lists", "list of answers", "whole floats"])
def test_answers_in_either_form(form: str) -> None:
    starts: list[Any] = [2.0] if form == "whole floats" else [2]
    answers: Any = {"text": ["b"], "answer_start": starts}
    if form == "list of answers":
        answers = [{"text": "b", "answer_start": 2}]
    row = {"id": 7, "title": "t", "context": "a b", "question": "q", "answers": answers}
    Path("train.jsonl").write_text(json.dumps(row) + "\n")
    rows = SQuAD(source=".").read("train", True)
    assert rows.example(0) == {"key": "7", "context": "a b", "answers": ["b"]}


def test_an_id_that_repeats_is_found_without_comparing_all_with_all() -> None:
    rows = [{"id": str(i % 59_999), "context": "a", "question": "q", "answers": {"text": ["a"], "answer_start": [0]}}
            for i in range(60_000)]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), "train.parquet")
    with pytest.raises(UsageError, match="column 'id': '0' appears twice"):
        SQuAD(source=".").read("train", True)


def test_options_and_answers_of_a_csv_are_the_words_that_stand_there() -> None:
    Path("train.csv").write_text(
        "context,option_0,option_1,answer\nsum,01,1.50,01\nsum,-1,7,-1\nsum,7,8,-1\nsum,true,no,true\n"
    )
    with pytest.warns(UserWarning, match="left out 1 of 4 rows that have no label: '-1' in 1 rows"):
        rows = MultipleChoice("t", source=".").read("train", True)
    assert rows.options[0] == ["01", "1.50"]
    assert rows.labels.tolist() == [0, 0, 0]


def test_a_boolean_is_no_position() -> None:
    Path("train.jsonl").write_text(json.dumps({"context": "c", "options": ["a", "b"], "answer": True}) + "\n")
    with pytest.raises(UsageError, match="column 'answer': True is none of the options"):
        MultipleChoice("t", source=".").read("train", True)


def test_texts_of_a_csv_that_look_like_numbers_may_be_written() -> None:
    Path("train.csv").write_text("source,target\n01+1,2\n2+2,04\n,5\n")
    with pytest.warns(UserWarning, match="1 of 3 rows have an empty source or target: left out"):
        rows = Sequences("sums", source=".").read("train", True)
    assert (list(rows.sources), list(rows.targets)) == (["01+1", "2+2"], ["2", "04"])


@pytest.mark.parametrize("text", ['""', "", '"  "'])
@pytest.mark.parametrize("name", ["e.csv", "e.tsv"])
def test_a_missing_text_is_refused_in_any_format(text: str, name: str) -> None:
    separator = "\t" if name == "e.tsv" else ","
    Path(name).write_text(f"sentence{separator}label\n" + f"fine{separator}a\n{text}{separator}b\n" * 20)
    with pytest.raises(UsageError, match="row 1, column 'sentence': no text"):
        OwnTexts(source=name).read("train", True)


def test_a_missing_text_of_json_is_refused_too() -> None:
    for value in ("", " ", None):
        Path("e.jsonl").write_text("".join(json.dumps({"sentence": v, "label": "ab"[i % 2]}) + "\n"
                                            for i, v in enumerate(["fine", value] * 20)))  # fmt: skip
        with pytest.raises(UsageError, match="row 1, column 'sentence': no text"):
            OwnTexts(source="e.jsonl").read("train", True)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "a,a\n1,2\n", "two columns 'a'"),
        ("a.csv", "", "a.csv cannot be read: Empty CSV"),
        ("a.csv", "a,b\n1\n", r"a.csv cannot be read: CSV parse error: Expected 2 columns, got 1"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', "a.jsonl, line 3 cannot be read: Expecting value"),
        ("a.jsonl", '{"a": 1}\n[2]\n', r"a.jsonl, row 1: expected an object with a name for each value, found \[2\]"),
        ("a.json", "[1, 2]", "a.json, row 0: expected an object"),
        ("a.json", "[" * 100_000, "a.json, line 1 cannot be read"),
        ("a.parquet", "nonsense", "a.parquet cannot be read"),
        ("a.xlsx", "", r"a.xlsx: a data file ends in .parquet, .csv, .tsv, .json, .jsonl"),
    ],
)
def test_files_that_are_wrong(name: str, content: str, said: str) -> None:
    Path(name).write_text(content)
    with pytest.raises(UsageError, match=said):
        read_file(Path(name))


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_folder_of_any_format(suffix: str) -> None:
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), "train.parquet")
    else:
        write_rows(f"train{suffix}")
    assert len(OwnTexts(source=".").read("train", True)) == 40


def test_json_of_several_kinds_of_values() -> None:
    rows = [{"t": 1}, {"t": "a"}, {"t": 10**30}, {}, {"t": True}]
    Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_file(Path("a.jsonl"))["t"].to_pylist() == ["1", "a", str(10**30), None, "true"]
    Path("b.jsonl").write_text('{"sentence": "x\\ud800", "label": "a"}\n{"sentence": "y", "label": "b"}\n')
    with pytest.raises(UsageError, match="column 'sentence': expected text, found binary"):
        OwnTexts(source="b.jsonl").read("train", True)


def test_spans_beside_texts_in_json_of_several_lines() -> None:
    Path("a.json").write_text(json.dumps([{"text": "a cat", "spans": [[2, 5]]}, {"text": "b", "spans": []}], indent=2))
    assert [len(text.spans) for text in annotated(["a.json"], "text", "spans")] == [1, 0]


def test_glues_own_files_stay_unquoted_where_tsv_is_a_format_too(tmp_path: Path) -> None:
    Path("RTE").mkdir()
    Path("RTE/train.tsv").write_text(
        'index\tsentence1\tsentence2\tlabel\n0\ta "b\tc\tentailment\n1\td\te\tnot_entailment\n'
    )
    for source in (".", "RTE"):
        assert GLUE("rte", source=source).read("train", True).texts[0][0] == 'a "b'
    Path("train.tsv").write_text("sentence\tlabel\nfine words\t1\nwords fine\t0\n")
    assert GLUE("cola", source=".").read("train", True).labels.tolist() == [1.0, 0.0]
