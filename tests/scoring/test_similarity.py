"""Cosines of sentence vectors against vectors by hand, and scipy's rank correlation."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from lm_lab.backbones import Backbone
from lm_lab.cli import main
from lm_lab.scoring.similarity import similarities

PAIRS = [
    ("it was good .", "it was fine ."),
    ("the beast was good .", "it was bad ."),
    ("bad", "the beast was not good ."),
    ("fine", "good"),
    ("it was not bad .", "it was good ."),
]
SCORES = np.array([4.0, 1.0, 2.5, 3.0, 4.5])


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_each_layers_cosines_are_ranked(make: Callable[..., Backbone], family: str) -> None:
    backbone = make(family)
    found = similarities(backbone, PAIRS, SCORES)
    assert [row.layer for row in found] == [0, 1, 2]

    def vector(text: str, layer: int) -> torch.Tensor:
        with torch.no_grad():
            return backbone(**backbone.tokenizer(text, return_tensors="pt"))[layer][0].mean(0)

    for row in found:
        cosines = [float(torch.cosine_similarity(*(vector(t, row.layer) for t in pair), dim=0)) for pair in PAIRS]
        assert row.spearman == pytest.approx(spearmanr(cosines, SCORES).statistic, abs=1e-6)
        assert row.low <= row.spearman <= row.high
        assert row.pairs == 5


def test_the_command_scores_every_layer(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["score", "--task", "sts", "--source", "microworld", "--limit", "60", "--json"]
    assert main([*words, "--backbone", str(folders["bert"])]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["layer"] for row in rows] == [0, 1, 2]
    assert {row["pairs"] for row in rows} == {60}


def test_vectors_that_are_all_the_same_rank_nothing_and_warn_of_nothing(make: Callable[..., Backbone]) -> None:
    pairs = [("it was good .", "the beast was bad .")] * 3  # a layer of embeddings reads the same last token of each
    assert all(
        np.isnan([row.spearman, row.low, row.high]).all() for row in similarities(make("gpt2"), pairs, np.arange(3.0))
    )
