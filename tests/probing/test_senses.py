"""Senses of a word, layer by layer: pairs, areas, vectors of words in their pieces, the command and its picture."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import roc_auc_score

from lm_lab.backbones import Backbone, StaticVectors
from lm_lab.cli import main
from lm_lab.data import microworld
from lm_lab.data.reading.senses import Sense, read_senses
from lm_lab.errors import UsageError
from lm_lab.probing.senses import auc, lemmas, score, vectors_of
from lm_lab.words import WordVectors, formats


def tagged(*given: tuple[str, str]) -> list[Sense]:
    return [Sense(place, 0, form, "bank (noun)", number) for place, (form, number) in enumerate(given)]


def test_the_area_is_scikit_learns_with_ties() -> None:
    draw = np.random.default_rng(0)
    scores, positive = draw.integers(0, 6, 80).astype(float), draw.random(80) < 0.3
    assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    assert auc(np.ones(80), positive) == 0.5


def test_pairs_are_of_one_form_unless_all_are_asked_for() -> None:
    found = tagged(*[("bank", "1")] * 4, *[("bank", "2")] * 3, ("banks", "1"), ("banks", "2"))
    (lemma,), tokens = lemmas(found, 100)
    assert tokens == [(place, 0) for place in range(9)]
    assert (lemma.same.sum(), (~lemma.same).sum()) == (6 + 3, 12 + 1)
    (wide,), _ = lemmas(found, 100, all_forms=True)
    assert len(wide.same) == 36
    with pytest.raises(UsageError, match="no lemma has enough pairs"):
        lemmas(tagged(("bank", "1"), ("bank", "2")), 100)


def test_a_layer_that_separates_senses_scores_one_and_one_that_does_not_half() -> None:
    found = tagged(*[("bank", "1")] * 4, *[("bank", "2")] * 4)
    given, _ = lemmas(found, 100)
    apart = torch.tensor([[1.0, 0.0]] * 4 + [[0.0, 1.0]] * 4)
    told, static = score(torch.stack([apart, torch.ones(8, 2)], dim=1), given)
    assert (told.auc, told.low, told.high, told.lemmas, told.pairs) == (1.0, 1.0, 1.0, 1, 28)
    assert static.auc == 0.5


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_words_vector_is_the_mean_of_its_pieces(make: Callable[..., Backbone], family: str) -> None:
    backbone = make(family).eval()
    words = ["the", "was fine", "it", "was"]  # SemCor has words of several
    (vector,) = vectors_of(backbone, [["it"], words], [(1, 1)])
    encoded = backbone.tokenizer(
        " ".join(words), return_tensors="pt", return_offsets_mapping=True, return_token_type_ids=False
    )
    spans = encoded.pop("offset_mapping")[0].tolist()
    pieces = [place for place, (a, b) in enumerate(spans) if a < 12 and b > 4 and b > a]
    assert len(pieces) == 2
    with torch.no_grad():
        states = backbone(**encoded)
    expected = torch.stack([state[0, pieces].mean(0) for state in states])
    assert torch.allclose(vector, expected, atol=1e-5)


@pytest.fixture
def semcor(tmp_path: Path) -> Path:
    rows: list[dict[str, Any]] = []
    for number in range(24):
        words = ["it", "was", "fine", "here"] if number % 2 else ["fine", "was", "the", "man"]
        place = words.index("fine")
        senses = ["", "", "", ""]
        senses[place] = "12"[number % 2]
        rows.append({"words": words, "pos": ["JJ"] * 4, "lemmas": words, "senses": senses})
    path = tmp_path / "data/semcor/train.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_the_command_shows_static_vectors_at_chance(
    semcor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in microworld.vocabulary() if not word.startswith("[")]
    matrix = np.random.default_rng(0).normal(size=(len(words), 8)).astype(np.float32)
    formats.write(WordVectors(words, matrix), tmp_path / "v.txt")
    command = ["senses", "--backbone", "lm_lab.backbones.StaticVectors", "--backbone.source", str(tmp_path / "v.txt")]
    assert main([*command, "--source", str(semcor), "--out", "s.csv", "--plot", "s.svg"]) == 0
    with open("s.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["weights"], float(row["auc"])) for row in rows] == [("pretrained", 0.5), ("random", 0.5)]
    assert Path("s.svg").read_text().count("<polyline") == 2
    assert StaticVectors(str(tmp_path / "v.txt")).num_layers == 0


def test_context_tells_what_a_word_alone_does_not(make: Callable[..., Backbone], semcor: Path) -> None:
    sentences, found = read_senses(str(semcor))
    given, tokens = lemmas(found, 100)
    rows = score(vectors_of(make("bert"), sentences, tokens), given)
    assert len(rows) == 3
    assert rows[-1].auc > 0.9  # the two senses stand in two sentences


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"senses": ["1"]}, "row 0: expected as many pos, lemmas, senses as words"),
        ({"senses": None}, "expected parquet with the columns words, pos"),
    ],
)
def test_other_files_are_told_in_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    row = {"words": ["a", "b"], "pos": ["NN", "NN"], "lemmas": ["a", "b"], "senses": ["1", "1"]} | change
    pq.write_table(
        pa.Table.from_pylist([{name: value for name, value in row.items() if value}]), tmp_path / "s.parquet"
    )
    with pytest.raises(UsageError, match=message):
        read_senses(str(tmp_path / "s.parquet"))


def test_no_data_and_bad_numbers_are_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LM_LAB_DATA", raising=False)
    assert main(["senses", "--backbone", "x"]) == 2
    assert "give --source FILE or set LM_LAB_DATA" in capsys.readouterr().err
    assert main(["senses", "--backbone", "x", "--tokens", "1"]) == 2
    assert "--tokens 1: expected 2 or more" in capsys.readouterr().err


def test_names_unknown_senses_and_choices_of_two_are_left_out(tmp_path: Path) -> None:
    row = {
        "words": ["Rome", "ran", "far", "off"],
        "pos": ["NNP", "VB", "RB", "RB"],
        "lemmas": ["location", "run", "far", "off"],
        "senses": ["1", "0", "2;1", "3"],
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "s.parquet")
    assert read_senses(str(tmp_path / "s.parquet"))[1] == [Sense(0, 3, "off", "off (adverb)", "3")]
