"""Every metric against scikit-learn, scipy or torchmetrics, constant predictions included."""

import math
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
from sklearn.metrics import f1_score, matthews_corrcoef
from torchmetrics import functional
from torchmetrics.functional import classification

from lm_lab import metrics
from lm_lab.metrics import METRICS, accuracy, f1, f1_macro, f1_micro, f1_weighted, matthews, score

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
    found = tuple(metric(*CLASSES[case]) for metric in (metrics.accuracy, metrics.f1, metrics.matthews))
    assert found == pytest.approx(expected, abs=1e-6)


def test_matthews_of_three_classes_equals_sklearn():
    predictions = np.where(RANDOM.random(300) < 0.6, THREE, RANDOM.integers(0, 3, 300))
    expected = sklearn.metrics.matthews_corrcoef(THREE, predictions)
    assert metrics.matthews(predictions, THREE) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("case", SCORES)
def test_correlations_equal_scipy(case):
    predictions, labels = SCORES[case]
    assert metrics.pearson(*SCORES[case]) == pytest.approx(scipy.stats.pearsonr(predictions, labels)[0], abs=1e-6)
    expected = scipy.stats.spearmanr(predictions, labels)[0]
    assert metrics.spearman(*SCORES[case]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", [metrics.pearson, metrics.spearman])
def test_correlation_with_a_constant_is_undefined_as_in_scipy(metric):
    constant, grades = np.full(150, 0.1), GRADES
    assert math.isnan(metric(constant, grades))
    assert math.isnan(metric(grades, constant))
    assert score(metric, constant, grades) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert math.isnan(scipy.stats.pearsonr(constant, GRADES)[0])
        assert math.isnan(scipy.stats.spearmanr(constant, GRADES)[0])


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_averages_of_f1_are_scikit_learns(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=30)
    predictions = np.where(rng.random(30) < 0.5, labels, rng.integers(classes, size=30))
    pairs = predictions.astype(float), labels.astype(float)
    for average, ours in (("macro", f1_macro), ("micro", f1_micro), ("weighted", f1_weighted)):
        assert ours(*pairs) == pytest.approx(f1_score(labels, predictions, average=average, zero_division=0), abs=1e-6)
    of_one = f1_score(labels, predictions, labels=[1], average="macro", zero_division=0)
    assert f1(*pairs) == pytest.approx(of_one, abs=1e-6)
    assert matthews(*pairs) == pytest.approx(matthews_corrcoef(labels, predictions), abs=1e-5)


def test_what_is_no_class_is_wrong() -> None:
    predictions, labels = np.array([1.0, -1, 0, 1]), np.array([1.0, 1, 0, 1])
    assert accuracy(predictions, labels) == 0.75
    assert f1(predictions, labels) == pytest.approx(0.8)
    assert f1_macro(predictions, labels) == pytest.approx(0.9)
    assert f1_micro(predictions, labels) == pytest.approx(6 / 7)  # 3 right of 3 predicted and 4 true
    assert f1_weighted(predictions, labels) == pytest.approx(0.85)
    assert matthews(predictions, labels) == pytest.approx(matthews_corrcoef([1, 1, 0, 1], [1, -1, 0, 1]), abs=1e-6)
    assert f1_macro(np.array([-1.0]), np.array([2.0])) == 0.0


@pytest.mark.parametrize("name", ["pearson", "spearman", "matthews", "accuracy", "f1", "f1_macro", "f1_micro"])
def test_what_torchmetrics_has_is_the_same(name: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        labels, predictions = rng.integers(0, 4, size=(2, 80))
        if name == "f1":
            labels, predictions = labels % 2, predictions % 2
        if name in ("pearson", "spearman"):
            labels, predictions = labels + 0.5, predictions + np.round(rng.normal(size=80), 1)
        given = torch.from_numpy(predictions), torch.from_numpy(labels)
        peer = {
            "pearson": lambda p, y: functional.pearson_corrcoef(p, y),
            "spearman": lambda p, y: functional.spearman_corrcoef(p, y),
            "matthews": lambda p, y: classification.multiclass_matthews_corrcoef(p, y, num_classes=4),
            "accuracy": lambda p, y: classification.multiclass_accuracy(p, y, num_classes=4, average="micro"),
            "f1": lambda p, y: classification.binary_f1_score(p, y),
            "f1_macro": lambda p, y: classification.multiclass_f1_score(p, y, num_classes=4, average="macro"),
            "f1_micro": lambda p, y: classification.multiclass_f1_score(p, y, num_classes=4, average="micro"),
        }[name]
        found = METRICS[name](predictions.astype(float), labels.astype(float))
        assert found == pytest.approx(peer(*given).item(), abs=1e-5)


def test_counts_are_means_and_shares_of_sums() -> None:
    rng = np.random.default_rng(0)
    right = rng.integers(0, 3, size=50)
    counts = np.stack([right, right + rng.integers(0, 3, size=50), right, right + 1], axis=1).astype(float)
    true = (right + rng.integers(0, 3, size=50)).astype(float)
    for name, column in (("exact_match", 0), ("answer_f1", 1), ("rouge1", 0), ("rouge2", 1), ("rougeL", 2)):
        assert METRICS[name](counts, true) == pytest.approx(counts[:, column].mean())
    precision, recall = right.sum() / counts[:, 1].sum(), right.sum() / true.sum()
    assert METRICS["entity_f1"](counts, true) == pytest.approx(2 * precision * recall / (precision + recall))
    assert METRICS["entity_precision"](counts, true) == pytest.approx(precision)
    assert METRICS["entity_recall"](counts, true) == pytest.approx(recall)
    assert METRICS["token_accuracy"](counts, true) == pytest.approx(counts[:, 2].sum() / counts[:, 3].sum())
    assert METRICS["entity_f1"](np.zeros((3, 4)), np.zeros(3)) == 0
    assert math.isnan(METRICS["has_answer_exact"](np.ones((3, 2)), np.zeros(3)))
    assert METRICS["no_answer_accuracy"](np.ones((3, 2)), np.zeros(3)) == 1


@pytest.mark.parametrize("name", ["f1", "matthews"])
def test_constant_predictions_count_as_nought(name: str) -> None:
    assert METRICS[name](np.zeros(4), np.array([0.0, 1, 0, 1])) == 0


def test_a_report_needs_no_torch() -> None:
    code = "import sys, lm_lab.report.page, lm_lab.metrics; sys.exit('torch' in sys.modules)"
    ours = os.environ | {"PYTHONPATH": str(Path(metrics.__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", code], env=ours, check=False).returncode == 0
