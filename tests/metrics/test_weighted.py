"""Scores of resamples by weights against the metric of each resample laid out."""

import numpy as np
import pytest

from lm_lab.metrics import METRICS, score
from lm_lab.metrics.weighted import Resamples

RANDOM, N, SEEDS, DRAWS = np.random.default_rng(0), 60, 3, 50
CORRELATIONS = ("pearson", "spearman")
CLASSES = ("accuracy", "f1", "f1_macro", "f1_micro", "f1_weighted", "matthews")


def made(name, n=N):
    """Predictions of each seed and labels as the metric reads them, with ties, a class that is none and empty ones."""
    labels = RANDOM.integers(0, 3, n).astype(float)
    if name in CORRELATIONS:
        return np.round(labels + RANDOM.normal(size=(SEEDS, n)), 1) + 1e6, labels
    if name in CLASSES:
        return RANDOM.integers(-1, 3, (SEEDS, n)).astype(float), labels
    if name == "subset_accuracy":
        return RANDOM.integers(0, 2, (SEEDS, n, 4)).astype(float), np.zeros(n)
    return RANDOM.integers(0, 4, (SEEDS, n, 4)) / 3, RANDOM.integers(0, 2, n).astype(float)


def laid_out(metric, predictions, labels, seed=7):
    generator, n = np.random.default_rng(seed), len(labels)
    chosen = [generator.integers(n, size=n) for _ in range(DRAWS)]
    return np.array([[score(metric, p[each], labels[each]) for p in predictions] for each in chosen])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("n", [N, 4])  # of four examples many resamples are constant, or hold one class
def test_a_resample_by_weights_has_the_score_of_the_resample(name, n):
    predictions, labels = made(name, n)
    found = Resamples(n, DRAWS, 7).scores(METRICS[name], predictions, labels)
    assert found == pytest.approx(laid_out(METRICS[name], predictions, labels), abs=1e-8)


@pytest.mark.parametrize("name", [*CLASSES, "spearman"])
def test_whole_numbers_are_counted_without_rounding(name):
    predictions, labels = made(name)
    assert np.allclose(
        Resamples(N, DRAWS, 7).scores(METRICS[name], predictions, labels),
        laid_out(METRICS[name], predictions, labels),
        rtol=1e-14,
        atol=1e-15,
    )


@pytest.mark.parametrize("name", CORRELATIONS)
def test_what_is_constant_ranks_nothing(name):
    labels = np.arange(5.0)
    found = Resamples(5, DRAWS, 0).scores(METRICS[name], np.full((2, 5), 0.1), labels)
    assert (found == 0).all()


def test_a_metric_of_ones_own_is_scored_as_it_is():
    def largest(predictions, labels):
        return float(predictions.max())

    predictions, labels = made("pearson")
    assert np.array_equal(
        Resamples(N, DRAWS, 7).scores(largest, predictions, labels), laid_out(largest, predictions, labels)
    )
