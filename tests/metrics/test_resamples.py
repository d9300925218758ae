"""The bootstrap's interval against scipy's, and resamples that have no score."""

import math

import numpy as np
import scipy.stats

from lm_lab.metrics import spearman
from lm_lab.metrics.resamples import bootstrap


def test_the_interval_is_scipys_of_percentiles() -> None:
    values = np.random.default_rng(1).normal(size=60)
    ours = bootstrap(lambda places: float(values[places].mean()), len(values))
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert np.allclose(ours, theirs, atol=0.03)
    assert ours[1] - ours[0] > 0.4


def test_a_seed_repeats_and_resamples_without_a_score_are_left_out() -> None:
    known, true = np.array([0.0, 0.0, 1.0]), np.array([1.0, 2.0, 3.0])
    drawn = [bootstrap(lambda places: spearman(known[places], true[places]), 3, seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1]
    assert not any(map(math.isnan, drawn[0]))
    assert all(map(math.isnan, bootstrap(lambda _: math.nan, 3)))
