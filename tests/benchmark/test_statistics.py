import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from lm_lab.benchmark.report_metrics import METRICS
from lm_lab.benchmark.statistics import (
    bootstrap_difference,
    difference,
    holm,
    mcnemar_p,
    randomisation_p,
    resample,
    t_interval,
    welch_p,
    with_seeds,
)


def accuracy(predictions, labels):
    return float((predictions == labels).mean())


def answers(generator, seeds=3, n=200, skill=1.0, spread=0.0, ease=None):
    """Right (1) or wrong (0) on n examples whose ease is shared; a seed's skill varies by `spread`."""
    ease = generator.normal(size=n) if ease is None else ease
    own = skill + spread * generator.normal(size=(seeds, 1))
    return ((own + ease + 0.7 * generator.normal(size=(seeds, n))) > 0).astype(float), ease


def test_t_interval_is_scipys():
    values = [0.81, 0.84, 0.79]
    found = t_interval(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert found.mean == pytest.approx(np.mean(values))
    assert found.std == pytest.approx(np.std(values, ddof=1))
    assert (found.low, found.high) == pytest.approx((low, high))
    # what the documentation says of three seeds
    assert found.half / found.std == pytest.approx(2.484, abs=1e-3)


def test_one_seed_has_no_interval_and_none_has_no_mean():
    assert t_interval([0.5]).mean == 0.5
    assert math.isnan(t_interval([0.5]).half)
    assert math.isnan(t_interval([]).mean)


def test_t_interval_of_three_covers_at_its_level():
    draws = np.random.default_rng(0).normal(size=(1500, 3))
    covered = np.mean([found.low <= 0 <= found.high for found in map(t_interval, draws)])
    assert covered == pytest.approx(0.95, abs=0.02)


def test_welch_is_scipys():
    a, b = [0.81, 0.84, 0.79], [0.75, 0.77, 0.7, 0.74]
    assert welch_p(a, b) == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)
    assert welch_p([1.0, 1.0], [1.0, 1.0]) == 1.0
    assert welch_p([1.0, 1.0], [0.5, 0.5]) == 0.0
    assert math.isnan(welch_p([1.0], b))


def test_paired_bootstrap_of_one_seed_is_scipys():
    generator = np.random.default_rng(1)
    (a,), ease = answers(generator, seeds=1, skill=1.3)
    (b,), _ = answers(generator, seeds=1, skill=1.0, ease=ease)
    labels = np.ones(len(a))
    found = bootstrap_difference(a[None], b[None], labels, accuracy, draws=4000)
    peer = stats.bootstrap(
        (a, b), lambda x, y, axis: (x - y).mean(axis), paired=True, n_resamples=4000, method="percentile", rng=2
    )
    low, high = peer.confidence_interval
    assert found.estimate == pytest.approx(a.mean() - b.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.008)


def test_strategies_share_the_resamples():
    generator = np.random.default_rng(1)
    a, _ = answers(generator)
    labels = np.ones(a.shape[1])
    found = bootstrap_difference(a[:1], a[:1], labels, accuracy, draws=50)
    assert (found.estimate, found.low, found.high, found.p) == (0, 0, 0, 1)


def coverage(spread, how, repeats=250):
    """How often the interval of a null difference holds zero, with three seeds."""
    held = 0
    for repeat in range(repeats):
        generator = np.random.default_rng([repeat, 3])
        a, ease = answers(generator, spread=spread)
        b, _ = answers(generator, spread=spread, ease=ease)
        labels = np.ones(a.shape[1])
        first, second = (resample(each, labels, accuracy, 150, repeat) for each in (a, b))
        gap = difference(with_seeds(first, generator, how), with_seeds(second, generator, how), 0.0)
        held += gap.low <= 0 <= gap.high
    return held / repeats


@pytest.mark.parametrize("spread", [0.0, 0.4])
def test_difference_covers_whether_or_not_the_seeds_vary(spread):
    assert 0.915 <= coverage(spread, "t") <= 0.995


def test_resampling_three_seeds_is_too_narrow_which_is_why_it_is_not_the_default():
    assert coverage(0.4, "resample") < 0.89


def test_a_p_value_cannot_promise_more_than_its_draws():
    assert difference(np.ones(999), np.zeros(999), 1.0).p == pytest.approx(2 / 1000)


def test_a_p_value_agrees_with_its_interval():
    generator = np.random.default_rng(0)
    for shift in np.linspace(0, 4, 30):
        found = difference(generator.normal(shift, 1, 1999), np.zeros(1999), shift)
        assert (found.p <= 0.05) == (found.low > 0)


def test_randomisation_is_scipys_exact_test():
    generator = np.random.default_rng(4)
    (a,), ease = answers(generator, seeds=1, n=60, skill=1.4)
    (b,), _ = answers(generator, seeds=1, n=60, skill=0.9, ease=ease)
    exact = mcnemar_p(a == 1, b == 1)  # for accuracy the two tests are one
    found = randomisation_p(a[None], b[None], np.ones(60), accuracy, rounds=4000)
    assert 0.01 < exact < 0.9
    assert found == pytest.approx(exact, abs=0.02)
    peer = stats.permutation_test(
        (a, b), lambda x, y, axis: (x - y).mean(axis), permutation_type="samples", n_resamples=4000, rng=1
    )
    assert found == pytest.approx(peer.pvalue, abs=0.03)


def test_mcnemar_is_the_binomial_sum():
    a = np.array([1] * 9 + [0] * 2 + [1] * 30, dtype=bool)
    b = np.array([0] * 9 + [1] * 2 + [1] * 30, dtype=bool)
    assert mcnemar_p(a, b) == pytest.approx(2 * sum(math.comb(11, k) for k in range(3)) / 2**11)
    assert mcnemar_p(a, a) == 1.0


def test_holm_rejects_what_the_procedure_rejects():
    generator = np.random.default_rng(0)
    for _ in range(200):
        p = list(generator.random(6) ** 3)
        level = 0.05
        rejected = set()
        for step, index in enumerate(np.argsort(p)):  # Holm 1979, word for word
            if p[index] > level / (6 - step):
                break
            rejected.add(index)
        assert {i for i, adjusted in enumerate(holm(p)) if adjusted <= level} == rejected


def test_holm_keeps_the_order_given():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


def peers(name):
    return {
        "accuracy": sk.accuracy_score,
        "f1": lambda y, p: sk.f1_score(y, p, zero_division=0),
        "matthews": sk.matthews_corrcoef,
        "pearson": lambda y, p: stats.pearsonr(y, p)[0],
        "spearman": lambda y, p: stats.spearmanr(y, p)[0],
    }[name]


@pytest.mark.parametrize("name", ["accuracy", "f1", "matthews", "pearson", "spearman"])
def test_the_bootstraps_metrics_are_scikit_learns_and_the_tasks(name):
    import torch

    from lm_lab.tasks import metrics

    generator = np.random.default_rng(0)
    for _ in range(10):
        labels, predictions = generator.integers(0, 2, size=(2, 80)).astype(float)
        if name in ("pearson", "spearman"):
            predictions, labels = np.round(generator.normal(size=(2, 80)), 1)  # rounded: with ties
        found = METRICS[name](predictions, labels)
        assert found == pytest.approx(peers(name)(labels, predictions), abs=1e-9)
        assert found == pytest.approx(getattr(metrics, name)(torch.tensor(predictions), torch.tensor(labels)), abs=1e-5)


def test_metrics_of_counts_are_the_tasks():
    import torch

    from lm_lab.tasks import sequences, spans, tags

    generator = np.random.default_rng(0)
    right = generator.integers(0, 3, size=50)
    counts = np.stack([right, right + generator.integers(0, 3, size=50), right, right], axis=1).astype(float)
    gold = (right + generator.integers(0, 3, size=50)).astype(float)
    homes = {"answer_f1": spans, "exact_match": spans, "entity_f1": tags}
    for name, home in (homes | dict.fromkeys(("rouge1", "rouge2", "rougeL"), sequences)).items():
        theirs = getattr(home, name)(torch.from_numpy(counts), torch.from_numpy(gold))
        assert METRICS[name](counts, gold) == pytest.approx(theirs)
    assert METRICS["entity_f1"](np.zeros((3, 4)), np.zeros(3)) == 0


def test_matthews_of_three_classes():
    labels, predictions = np.random.default_rng(0).integers(0, 3, size=(2, 90)).astype(float)
    assert METRICS["matthews"](predictions, labels) == pytest.approx(sk.matthews_corrcoef(labels, predictions))


@pytest.mark.parametrize("name", ["f1", "matthews", "pearson", "spearman"])
def test_constant_predictions_count_as_nought(name):
    assert METRICS[name](np.zeros(4), np.array([0.0, 1, 0, 1])) == 0
