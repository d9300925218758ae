"""Vocabularies trained here, and the texts that they and pretraining read."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from transformers import AutoTokenizer

from lm_lab.cli import main
from lm_lab.data.corpora.raw import documents
from lm_lab.data.tokenizers import RECIPES, SPECIAL, save, train, unknown_share
from lm_lab.errors import UsageError

TEXTS = ["酒店很好，WiFi 也快。", "酒店不好，很远。", "房间很好 a cat", "a cat sat on a mat"] * 4


def test_a_character_is_a_token_and_white_space_is_none() -> None:
    tokenizer = train(TEXTS)
    assert tokenizer.tokenize("酒店 很\t好,cat") == ["酒", "店", "很", "好", "[UNK]", "c", "a", "t"]
    assert tokenizer.decode(tokenizer("酒店很好")["input_ids"], skip_special_tokens=True) == "酒店很好"


def test_rare_characters_are_unknown_and_the_size_is_a_limit() -> None:
    texts = ["一一一二二三"]
    assert train(texts).tokenize("一二三") == ["一", "二", "[UNK]"]
    assert train(texts, vocab_size=6).tokenize("一二三") == ["一", "[UNK]", "[UNK]"]
    assert train(texts, min_frequency=1).tokenize("一二三") == ["一", "二", "三"]
    assert unknown_share(train(texts), texts) == pytest.approx(1 / 6)


def test_capitals_are_kept_unless_they_are_not_wanted() -> None:
    assert train(TEXTS).tokenize("WiFi") == ["W", "i", "F", "i"]
    assert train(TEXTS, lowercase=True).tokenize("WiFi") == ["w", "i", "f", "i"]


@pytest.mark.parametrize("kind", RECIPES)
def test_every_kind_has_the_special_tokens_of_bert_and_survives_saving(kind: str, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(save(train(TEXTS, kind, vocab_size=320), tmp_path))
    assert len(tokenizer) <= 320
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 4]) == list(SPECIAL)
    encoded = tokenizer("很好", "a cat")
    tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    first = tokens.index("[SEP]")
    assert tokens[0] == "[CLS]"
    assert tokens[-1] == "[SEP]"
    assert encoded["token_type_ids"] == [0] * (first + 1) + [1] * (len(tokens) - first - 1)
    assert tokenizer.unk_token not in tokens
    assert [tokenizer.pad_token_id, tokenizer.mask_token_id, tokenizer.model_max_length] == [0, 4, 512]


@pytest.mark.parametrize(
    "kind", ["character", "word", "bpe"]
)  # the trainer of wordpiece numbers its tokens as it likes
def test_the_same_texts_give_the_same_vocabulary(kind: str) -> None:
    first, second = (train(TEXTS, kind, vocab_size=300).backend_tokenizer.to_str() for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("kind", "size", "message"),
    [
        (
            "character",
            5,
            "kind 'character', vocab_size=5: expected one of character, word, wordpiece, bpe, unigram and 6 tok",
        ),
        ("bpe", 260, "and 261 tokens or more"),
        *((kind, 10**9, "vocab_size=1000000000: .* 4,194,304 at most") for kind in ("wordpiece", "bpe", "unigram")),
        ("unigram", 8, "no 'unigram' vocabulary of 8 tokens: .*; give another --vocab_size"),
        ("words", 100, "kind 'words'"),
    ],
)
def test_sizes_that_cannot_be(kind: str, size: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train(TEXTS, kind, size)  # type: ignore[arg-type]


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pa.table({"review": TEXTS, "label": [0] * len(TEXTS)})
    (tmp_path / "reviews").mkdir()
    pa.parquet.write_table(table, tmp_path / "reviews" / "train.parquet")
    assert main(["tokenizer", "--source", "reviews", "--column", "review", "--out", "made", "--vocab_size", "12"]) == 0
    assert "tokenizer: made: 12 tokens from 16 documents, of which" in capsys.readouterr().out
    assert len(AutoTokenizer.from_pretrained(tmp_path / "made")) == 12
    assert main(["tokenizer", "--source", "reviews", "--out", "made"]) == 2
    assert "no column 'text'; it has review, label (--column)" in capsys.readouterr().err


def test_texts_in_another_encoding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("old.txt").write_bytes("café déjà\n".encode("latin-1") * 4)
    assert main(["tokenizer", "--source", "old.txt", "--encoding", "latin-1", "--out", "made"]) == 0
    assert "é" in AutoTokenizer.from_pretrained(tmp_path / "made").get_vocab()
    assert main(["tokenizer", "--source", "old.txt", "--out", "other"]) == 2
    assert "it is not UTF-8" in capsys.readouterr().err


def test_a_folder_with_a_model_keeps_its_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UsageError, match="holds a model, whose tokenizer would be replaced"):
        save(train(TEXTS), tmp_path)


def test_documents_of_lines_columns_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("one\n\n two \n")
    (tmp_path / "b.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in ("x\ty", " ", "z")))
    (tmp_path / "data" / "c").mkdir(parents=True)
    (tmp_path / "data" / "c" / "train.txt").write_text("three")
    monkeypatch.setenv("LM_LAB_DATA", str(tmp_path / "data"))
    assert list(documents(["a.txt", "b.jsonl", "c"])) == ["one", "two", "x y", "z", "three"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "no text at 'nowhere'; give a UTF-8 text file"),
        ("empty", r"the folder 'empty' has no split train; looked for train\{"),
        ("blank.txt", "'blank.txt' holds no text"),
        ("bytes.txt", r"'bytes\.txt' cannot be read"),
        ("numbers.csv", r"numbers\.csv, column 'text': expected text, found int64"),
        ("other.csv", r"other\.csv has no column 'text'; it has words"),
    ],
)
def test_sources_without_text(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "blank.txt").write_text(" \n")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00bad")
    (tmp_path / "numbers.csv").write_text("text\n1\n")
    (tmp_path / "other.csv").write_text("words\na\n")
    with pytest.raises(UsageError, match=message):
        list(documents([source]))
