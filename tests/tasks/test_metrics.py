"""Every metric against scikit-learn or scipy, constant predictions included."""

import math
import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
from sklearn.metrics import f1_score, matthews_corrcoef

from lm_lab.tasks import metrics
from lm_lab.tasks.metrics import accuracy, f1, f1_macro, f1_micro, f1_weighted, matthews

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 2, 200)
NOISY = np.where(RANDOM.random(200) < 0.8, LABELS, 1 - LABELS)
CLASSES = {
    "noisy": (NOISY, LABELS),
    "perfect": (LABELS, LABELS),
    "inverted": (1 - LABELS, LABELS),
    "constant 0": (np.zeros(200, int), LABELS),
    "constant 1": (np.ones(200, int), LABELS),
    "constant labels": (NOISY, np.ones(200, int)),
    "both constant": (np.zeros(200, int), np.zeros(200, int)),
    "one example": (np.array([1]), np.array([1])),
}
THREE = RANDOM.integers(0, 3, 300)
GRADES = RANDOM.random(150) * 5
SCORES = {
    "noisy": (GRADES + RANDOM.normal(size=150), GRADES),
    "ties": (np.round(GRADES), np.round(GRADES + RANDOM.normal(size=150))),
    "inverted": (-GRADES, GRADES),
    "tiny spread": (3 + 1e-4 * GRADES, GRADES),
    "three examples": (np.array([1.0, 3.0, 2.0]), np.array([1.0, 2.0, 4.0])),
}


def both(pair):
    return torch.tensor(pair[0]), torch.tensor(pair[1])


@pytest.mark.parametrize("case", CLASSES)
def test_classification_metrics_equal_sklearn(case):
    predictions, labels = CLASSES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sklearn warns where a metric is undefined and then returns 0, as we do
        expected = (
            sklearn.metrics.accuracy_score(labels, predictions),
            sklearn.metrics.f1_score(labels, predictions, zero_division=0),
            sklearn.metrics.matthews_corrcoef(labels, predictions),
        )
    found = tuple(metric(*both(CLASSES[case])) for metric in (metrics.accuracy, metrics.f1, metrics.matthews))
    assert found == pytest.approx(expected, abs=1e-6)


def test_matthews_of_three_classes_equals_sklearn():
    predictions = np.where(RANDOM.random(300) < 0.6, THREE, RANDOM.integers(0, 3, 300))
    expected = sklearn.metrics.matthews_corrcoef(THREE, predictions)
    assert metrics.matthews(*both((predictions, THREE))) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("case", SCORES)
def test_correlations_equal_scipy(case):
    predictions, labels = SCORES[case]
    assert metrics.pearson(*both(SCORES[case])) == pytest.approx(scipy.stats.pearsonr(predictions, labels)[0], abs=1e-6)
    expected = scipy.stats.spearmanr(predictions, labels)[0]
    assert metrics.spearman(*both(SCORES[case])) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", [metrics.pearson, metrics.spearman])
def test_correlation_with_a_constant_is_undefined_as_in_scipy(metric):
    constant, grades = torch.full((150,), 2.5), torch.tensor(GRADES)
    assert math.isnan(metric(constant, grades))
    assert math.isnan(metric(grades, constant))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert math.isnan(scipy.stats.pearsonr(constant.numpy(), GRADES)[0])
        assert math.isnan(scipy.stats.spearmanr(constant.numpy(), GRADES)[0])


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_averages_of_f1_are_scikit_learns(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=30)
    predictions = np.where(rng.random(30) < 0.5, labels, rng.integers(classes, size=30))
    pairs = torch.tensor(predictions), torch.tensor(labels).double()
    for average, ours in (("macro", f1_macro), ("micro", f1_micro), ("weighted", f1_weighted)):
        assert ours(*pairs) == pytest.approx(f1_score(labels, predictions, average=average, zero_division=0), abs=1e-6)
    of_one = f1_score(labels, predictions, labels=[1], average="macro", zero_division=0)
    assert f1(*pairs) == pytest.approx(of_one, abs=1e-6)
    assert matthews(*pairs) == pytest.approx(matthews_corrcoef(labels, predictions), abs=1e-5)


def test_what_is_no_class_is_wrong() -> None:
    predictions, labels = torch.tensor([1.0, -1, 0, 1]), torch.tensor([1.0, 1, 0, 1])
    assert accuracy(predictions, labels) == 0.75
    assert f1(predictions, labels) == pytest.approx(0.8)
    assert f1_macro(predictions, labels) == pytest.approx(0.9)
    assert f1_micro(predictions, labels) == pytest.approx(6 / 7)  # 3 right of 3 predicted and 4 true
    assert f1_weighted(predictions, labels) == pytest.approx(0.85)
    assert matthews(predictions, labels) == pytest.approx(matthews_corrcoef([1, 1, 0, 1], [1, -1, 0, 1]), abs=1e-6)
    assert f1_macro(torch.tensor([-1.0]), torch.tensor([2.0])) == 0.0
