import math

import numpy as np
import pytest
from scipy import stats

from lm_lab.metrics.uncertainty import (
    Resampled,
    average_difference,
    average_interval,
    holm,
    resample,
    t_interval,
    welch_p,
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
    peer = stats.ttest_ind(a, b, equal_var=False).pvalue
    assert welch_p(t_interval(a), t_interval(b)) == pytest.approx(peer)
    assert welch_p(t_interval([1.0, 1.0]), t_interval([1.0, 1.0])) == 1.0
    assert welch_p(t_interval([1.0, 1.0]), t_interval([0.5, 0.5])) == 0.0
    assert math.isnan(welch_p(t_interval([1.0]), t_interval(b)))


TASKS = ([0.81, 0.84, 0.79], [0.6, 0.75, 0.66], [0.91, 0.905, 0.912])


def test_the_error_of_an_average_is_that_of_independent_tasks():
    found = average_interval(TASKS)
    errors = [stats.sem(values) ** 2 / 9 for values in TASKS]
    freedom = sum(errors) ** 2 / sum(error**2 / 2 for error in errors)
    assert found.mean == pytest.approx(np.mean(TASKS))
    assert found.half == pytest.approx(stats.t.ppf(0.975, freedom) * sum(errors) ** 0.5)
    assert found.half / found.error == pytest.approx(stats.t.ppf(0.975, freedom))


def test_an_average_does_not_depend_on_how_seeds_are_numbered():
    """The old interval, of the seeds' averages, was anything from 0.1 to 6.7 points by the order of a row's seeds."""
    shuffled = [TASKS[0], TASKS[1][::-1], (*TASKS[2][1:], TASKS[2][0])]
    assert average_interval(shuffled) == pytest.approx(average_interval(TASKS))


def test_an_average_with_a_single_seed_somewhere_has_no_interval():
    found = average_interval([[0.5], [0.5, 0.7]])
    assert found.mean == pytest.approx(0.55)
    assert math.isnan(found.half)
    assert math.isnan(average_interval([[], [0.5]]).mean)


@pytest.mark.parametrize("spreads", [(1, 1, 1, 1), (1, 0.3, 0.1, 0.1), (0, 0, 0, 1)])
def test_the_interval_of_an_average_covers_at_its_level(spreads):
    draws = np.random.default_rng(0).normal(size=(1500, 4, 3)) * np.array(spreads)[:, None]
    covered = np.mean([found.low <= 0 <= found.high for found in map(average_interval, draws)])
    assert 0.93 <= covered <= 0.985


def difference(a, b, draws):
    """Accuracy of answers a (s, n) minus that of b (s', n), with the resamples shared."""
    labels = np.ones(a.shape[1])
    return average_difference([(resample(a, labels, accuracy, draws), resample(b, labels, accuracy, draws))])


def test_paired_bootstrap_of_one_seed_is_scipys():
    generator = np.random.default_rng(1)
    (a,), ease = answers(generator, seeds=1, skill=1.3)
    (b,), _ = answers(generator, seeds=1, skill=1.0, ease=ease)
    found = difference(a[None], b[None], draws=4000)
    peer = stats.bootstrap(
        (a, b), lambda x, y, axis: (x - y).mean(axis), paired=True, n_resamples=4000, method="percentile", rng=2
    )
    low, high = peer.confidence_interval
    assert found.estimate == pytest.approx(a.mean() - b.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.008)


def test_strategies_share_the_resamples():
    generator = np.random.default_rng(1)
    a, _ = answers(generator)
    found = difference(a[:1], a[:1], draws=50)
    assert (found.estimate, found.low, found.high, found.p) == (0, 0, 0, 1)


def two_strategies(generator, spread, n=300, draws=150):
    """Two strategies of the same skill on one task, resampled by the same draws of its examples."""
    drawn = generator.multinomial(n, np.full(n, 1 / n), size=draws) / n
    a, ease = answers(generator, n=n, spread=spread)
    b, _ = answers(generator, n=n, spread=spread, ease=ease)
    return tuple(Resampled(each.mean(axis=1), drawn @ each.T) for each in (a, b))


def coverage(spreads, repeats=400):
    """How often the interval of a null difference holds zero, with three seeds and a task for each spread."""
    held = 0
    for repeat in range(repeats):
        generator = np.random.default_rng([repeat, 3])
        found = average_difference([two_strategies(generator, spread) for spread in spreads])
        held += found.low <= 0 <= found.high
    return held / repeats


@pytest.mark.parametrize(
    "spreads", [(0.0,), (0.15,), (0.4,), (0.0,) * 4, (0.15,) * 4, (0.4,) * 4, (0.02, 0.05, 0.1, 0.5), (0, 0, 0, 0.8)]
)
def test_a_difference_covers_on_one_task_and_on_an_average_whether_or_not_the_seeds_vary(spreads):
    assert 0.925 <= coverage(spreads) <= 0.9951


def test_the_interval_of_a_comparison_of_averages_is_no_wider_than_it_must_be():
    """One t variate with two degrees of freedom a task gave 2.1 times the half width that holds 95% of estimates."""
    spreads, found = (0.4,) * 4, []
    for repeat in range(300):
        generator = np.random.default_rng([repeat, 5])
        found.append(average_difference([two_strategies(generator, spread) for spread in spreads]))
    needed = np.quantile([abs(each.estimate) for each in found], 0.95)
    assert np.mean([each.high - each.low for each in found]) / 2 <= 1.25 * needed


def test_resampling_three_seeds_is_too_narrow_which_is_why_it_is_not_done():
    held = 0
    for repeat in range(250):
        generator = np.random.default_rng([repeat, 3])
        a, b = (
            np.take_along_axis(each.draws, generator.integers(3, size=each.draws.shape), axis=1).mean(axis=1)
            for each in two_strategies(generator, 0.4)
        )
        low, high = np.quantile(a - b, [0.025, 0.975])
        held += low <= 0 <= high
    assert held / 250 < 0.89


def test_a_p_value_agrees_with_its_interval():
    generator = np.random.default_rng(0)
    for skill in np.linspace(1.0, 1.6, 30):
        a, ease = answers(generator, skill=skill)
        found = difference(a, answers(generator, ease=ease)[0], draws=200)
        assert (found.p <= 0.05) == (not found.low < 0 < found.high)


def test_a_difference_of_averages_weighs_every_task_alike():
    generator = np.random.default_rng(2)
    one, other = (two_strategies(generator, 0.2) for _ in range(2))
    both = average_difference([one, other])
    assert both.estimate == pytest.approx(
        (average_difference([one]).estimate + average_difference([other]).estimate) / 2
    )
    assert both == pytest.approx(average_difference([other, one]))


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
