"""Cosines of sentence vectors against vectors by hand, and scipy's rank correlation."""

import json
from collections.abc import Callable
from itertools import pairwise
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


def test_whitening_and_dimensions_are_those_of_numpy(make: Callable[..., Backbone]) -> None:
    backbone = make("bert")
    words = ["good", "bad", "fine", "the beast", "it was", "not", "."]
    texts = [f"{a} {b}" for a in words for b in words]
    pairs = list(pairwise(texts))
    scores = np.random.default_rng(0).permutation(len(pairs)).astype(float)
    (_, row, _) = similarities(backbone, pairs, scores)
    with torch.no_grad():
        states = {text: backbone(**backbone.tokenizer(text, return_tensors="pt"))[1][0].mean(0) for text in texts}
    both = np.stack([np.stack([states[pair[side]].double().numpy() for pair in pairs]) for side in (0, 1)])
    flat = both.reshape(-1, both.shape[-1])
    covariance = np.cov(flat.T)
    values = np.linalg.eigvalsh(covariance)
    assert row.dimensions == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=1e-4)
    precision = np.linalg.pinv(covariance, rcond=1e-10, hermitian=True)
    u, v = both - flat.mean(0)

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.einsum("nd,de,ne->n", a, precision, b)

    cosines = product(u, v) / np.sqrt(product(u, u) * product(v, v))
    assert row.whitened == pytest.approx(spearmanr(cosines, scores).statistic, abs=1e-3)


def test_too_few_sentences_are_not_whitened(make: Callable[..., Backbone]) -> None:
    assert all(np.isnan(row.whitened) for row in similarities(make("bert"), PAIRS, SCORES))


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
