"""A probe of words: their vectors against states by hand, the tasks' examples, what a probe must find."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lm_lab.backbones import Backbone, StaticVectors
from lm_lab.cli import main
from lm_lab.errors import UsageError
from lm_lab.probing import treebank
from lm_lab.probing.word_states import word_states
from lm_lab.probing.word_sweep import interval, sweep
from lm_lab.tokens import WordColumn
from lm_lab.words import WordVectors
from lm_lab.words.folder import save
from lm_lab.words.ngrams import NGrams, buckets

Make = Callable[..., Backbone]
ROW = {
    "tokens": ["the", "beast", "was", "good"],
    "upos": ["DET", "NOUN", "AUX", "ADJ"],
    "heads": [2, 4, 4, 0],
    "deprels": ["det", "nsubj:pass", "cop", "root"],
}


def folder(root: Path, rows: int = 60) -> Path:
    """A treebank of sentences whose words are drawn, a word always with the same part of speech."""
    draw = np.random.default_rng(0)
    nouns, adjectives = ["beast", "hero", "film"], ["good", "fine", "bad"]
    made = [
        ROW | {"tokens": ["the", str(draw.choice(nouns)), "was", str(draw.choice(adjectives))]} for _ in range(rows)
    ]
    for split in ("train", "validation"):
        (root / "ud_ewt").mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(made), root / "ud_ewt" / f"{split}.parquet")
    return root


@pytest.mark.parametrize("family", ["bert", "gpt2", "albert"])
def test_a_words_state_is_the_mean_of_its_tokens(make: Make, family: str) -> None:
    backbone = make(family).eval()
    sentences = [["the", "beast", "was", "unbeastly"], ["good"]]
    found = dict(word_states(backbone, sentences))
    for place, words in enumerate(sentences):
        states = found[place]
        encoded = backbone.tokenizer([words], is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            layers = torch.stack(backbone(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]))
        for word in range(len(words)):
            own = [place for place, which in enumerate(encoded.word_ids(0)) if which == word]
            assert torch.allclose(states[word], layers[:, 0, own].mean(1), atol=1e-5)


def test_a_word_that_is_cut_off_has_no_state(make: Make) -> None:
    ((_, found),) = word_states(make("bert"), [["good"] * 10], max_length=6)
    assert found.isnan().any(-1).any(-1).tolist() == [False] * 4 + [True] * 6


def test_examples_of_each_task(tmp_path: Path) -> None:
    (tmp_path / "ud_ewt").mkdir()
    pq.write_table(pa.Table.from_pylist([ROW]), tmp_path / "ud_ewt" / "train.parquet")
    found = {task: treebank.read(task, "train", str(tmp_path)).examples for task in treebank.TASKS}
    assert [(e.word, e.other, e.label) for e in found["pos"]] == [(i, None, tag) for i, tag in enumerate(ROW["upos"])]
    assert [(e.word, e.other, e.label) for e in found["relations"]] == [(0, 1, "det"), (1, 3, "nsubj"), (2, 3, "cop")]
    assert [(e.word, e.other) for e in found["heads"] if e.label == "head"] == [(0, 1), (1, 3), (2, 3)]
    others = [(e.word, e.other) for e in found["heads"] if e.label == "other"]
    assert [word for word, _ in others] == [0, 1, 2]
    assert all(other not in (word, ROW["heads"][word] - 1) for word, other in others)  # type: ignore[operator]


def test_a_part_of_speech_that_is_the_word_is_found_and_the_control_is_learned_by_heart(
    make: Make, tmp_path: Path
) -> None:
    root = str(folder(tmp_path))
    banks = [treebank.read("pos", split, root) for split in ("train", "validation")]
    layers = sweep(make("bert"), None, *banks)
    assert len(layers) == 3
    assert layers[0].score == 1.0
    assert layers[0].control == 1.0  # of eight words, a table learns any answers
    assert layers[0].selectivity == 0.0
    assert layers[0].random is None


def test_the_interval_is_of_sentences() -> None:
    right, sentences = np.repeat([1.0, 0.0], 50), np.repeat(np.arange(20), 5)
    low, high = interval(right, sentences, 0)
    alone = interval(right, np.arange(100), 0)
    assert low < alone[0] < 0.5 < alone[1] < high
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(20), rel=0.15)


def test_the_command_writes_rows_and_a_picture(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder(tmp_path)
    words = ["probe", "--backbone", str(folders["bert"]), "--source", str(root), "--task"]
    assert main([*words, "heads", "--limit", "100", "--out", "rows.csv", "--plot", "picture.svg"]) == 0
    rows = list(csv.DictReader(Path("rows.csv").read_text().splitlines()))
    assert [row["layer"] for row in rows] == ["0", "1", "2"]
    assert all(float(row["low"]) <= float(row["score"]) <= float(row["high"]) for row in rows)
    assert all(row["random"] for row in rows)
    assert (
        Path("picture.svg").read_text().count("<circle") == 2 * 3 + 1
    )  # a mark a layer and one of its control, and the name's
    assert main([*words[:-2], str(tmp_path / "nothing"), "--task", "pos"]) == 2
    assert "holds no treebank" in capsys.readouterr().err


def test_a_broken_row_is_told(tmp_path: Path) -> None:
    (tmp_path / "ud_ewt").mkdir()
    pq.write_table(pa.Table.from_pylist([ROW | {"heads": [2, 4, 4, 9]}]), tmp_path / "ud_ewt" / "train.parquet")
    with pytest.raises(UsageError, match="row 0"):
        treebank.read("pos", "train", str(tmp_path))


def test_an_unseen_word_is_what_its_n_grams_say(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = NGrams(draw.normal(size=(20, 4)).astype(np.float32), 2, 3)
    save(tmp_path, WordVectors(["the", "beast"], draw.normal(size=(2, 4)).astype(np.float32), rows), {})
    vectors = StaticVectors(str(tmp_path))
    ((_, found),) = word_states(vectors, [["the", "beasts"]])
    assert torch.equal(found[0, 0], vectors.token_embeddings[2])
    own = torch.from_numpy(rows.matrix[buckets("beasts", 2, 3, 20)].mean(0))
    assert torch.allclose(found[1, 0], own, atol=1e-6)
    vectors.asks = (WordColumn("parents"),)  # type: ignore[assignment]
    with pytest.raises(UsageError, match="reads 'parents' of every word"):
        list(word_states(vectors, [["the"]]))
