import math

import pytest
from fake_results import placed

from lm_lab.report.curves import average, curves, selected, shared_tasks, training_seconds
from lm_lab.results.records import SCHEMA
from lm_lab.results.selection import candidates, choose, on_edge


def record(
    rate=1e-3,
    seed=0,
    validation=0.5,
    selection: float | None = 0.5,
    status="done",
    task="sst2",
    strategy="lora",
    size: int | None = 8,
    trained=100,
    seconds=10.0,
):
    names = {"backbone": "tiny", "strategy": strategy, "task": task}
    knob = None if size is None else "rank"
    made = {
        "schema": SCHEMA,
        "id": f"{strategy}{size}{task}{rate}{seed}",
        "status": status,
        "reason": None,
        "cell": placed(knob, size, {"learning_rate": rate}, seed, control=False, **names),
    }
    if status != "done":
        return made
    score = {"validation": validation} | ({} if selection is None else {"selection": selection})
    ledger = {"backbone_trained": 0, "added": trained - 10, "head": 10, "trained": trained, "total": 1000}
    return {
        **made,
        "score": score,
        "ledger": {**ledger, "delta_bytes": 4 * trained},
        "clocks": {"train_seconds": seconds},
        "memory": {"train_peak_bytes": 1e6},
    }


def only(records, seeds=()):
    (point,) = selected(records, seeds)
    return point


def test_selection_decides_and_validation_is_reported():
    point = only(
        [
            record(1e-3, selection=0.9, validation=0.6),
            record(1e-2, selection=0.7, validation=0.8),
        ]
    )
    assert point.tuned == {"learning_rate": 1e-3}
    assert point.scores == {0: 0.6}
    assert point.cells == ("lora8sst20.0010",)


def test_values_are_compared_on_the_seeds_they_share():
    # the winner's later seeds do badly; a mean over all of them would turn the choice round
    late = [record(1e-3, seed=seed, selection=0.1, validation=0.7) for seed in (1, 2)]
    point = only([record(1e-3, selection=0.9, validation=0.6), *late, record(1e-2, selection=0.8)])
    assert point.tuned == {"learning_rate": 1e-3}
    assert point.scores == {0: 0.6, 1: 0.7, 2: 0.7}
    assert point.mean == pytest.approx(2 / 3)


def test_a_value_that_diverged_is_counted_and_loses():
    rows = [record(1e-2, seed=0, status="diverged"), record(1e-2, seed=1, selection=0.99)]
    rows += [record(1e-3, seed=seed, selection=0.5) for seed in (0, 1)]
    point = only(rows)
    assert point.tuned == {"learning_rate": 1e-3}
    assert point.failed == 1
    assert [c.failed for c in point.candidates] == [0, 1]


def test_a_strategy_that_only_failed_is_still_a_point():
    point = only([record(status="failed")], seeds=[0, 1])
    assert point.scores == {}
    assert math.isnan(point.mean)
    assert math.isnan(point.share)
    assert (point.failed, point.missing) == (1, (0, 1))


def test_a_choice_without_selection_scores_is_refused():
    point = only([record(1e-3, selection=None), record(1e-2, selection=None)])
    assert point.scores == {}
    assert "no tuned value has a selection score" in point.notes[0]


def test_a_value_without_a_selection_score_is_flagged():
    point = only([record(1e-3, selection=None, validation=0.9), record(1e-2, selection=0.3, validation=0.4)])
    assert point.tuned == {"learning_rate": 1e-2}
    assert "without a selection score" in " ".join(point.notes)
    assert "0.001" in " ".join(point.notes)


def test_one_value_needs_no_selection_score():
    assert only([record(selection=None, validation=0.6)]).scores == {0: 0.6}


def test_a_tie_goes_to_the_smaller_value():
    options = candidates([record(1e-2, selection=0.5), record(1e-4, selection=0.5), record(1e-3, selection=0.4)])
    assert [c.tuned["learning_rate"] for c in options] == [1e-4, 1e-3, 1e-2]
    assert choose(options) is options[0]


@pytest.mark.parametrize(("winner", "edge"), [(1e-4, True), (1e-3, False), (1e-2, True)])
def test_a_winner_on_the_edge_of_the_grid_is_named(winner, edge):
    rows = [record(rate, selection=0.9 if rate == winner else 0.1) for rate in (1e-4, 1e-3, 1e-2)]
    point = only(rows)
    assert on_edge(point.candidates, point.tuned) == (("learning_rate",) if edge else ())
    assert any("edge of its grid" in note for note in point.notes) == edge


def test_a_diverged_value_still_bounds_the_grid():
    rows = [record(1e-4, selection=0.1), record(1e-3, selection=0.9), record(1e-2, status="diverged")]
    assert not any("edge" in note for note in only(rows).notes)


def test_one_value_has_no_edge():
    assert only([record()]).notes == ()


def test_missing_seeds_are_listed():
    point = only([record(seed=1)], seeds=[0, 1, 2])
    assert point.missing == (0, 2)
    assert "missing seeds 0, 2" in point.notes


def test_costs_are_of_the_winner_and_time_is_a_median():
    rows = [record(1e-3, seed=seed, selection=0.9, seconds=s) for seed, s in enumerate((10.0, 11.0, 90.0))]
    rows.append(record(1e-2, selection=0.1, seconds=500.0))
    point = only(rows)
    assert point.train_seconds == 11
    assert point.ledger["delta_bytes"] == 400
    assert (point.trained(), point.trained(head=False), point.share) == (100, 90, 0.1)


def test_the_average_is_of_the_tasks_means():
    rows = [record(task="sst2", seed=s, validation=0.8 + s / 10) for s in (0, 1)]
    rows += [record(task="cola", seed=s, validation=0.2, trained=300) for s in (0, 1, 2)]
    (mean,) = average(selected(rows))
    assert mean.scores == pytest.approx({0: 0.5, 1: 0.55})  # seed 2 is not on both tasks: nothing to draw
    assert mean.mean == pytest.approx((0.85 + 0.2) / 2)
    assert mean.interval.n == 2
    assert mean.trained() == 200
    assert "average over sst2, cola" in mean.notes


def test_the_average_leaves_out_tasks_that_not_all_have():
    rows = [record(task=task, strategy=s) for task in ("sst2", "cola") for s in ("lora", "full")]
    rows.append(record(task="mrpc", strategy="lora", validation=0.0))
    points = selected(rows)
    assert set(shared_tasks(points)) == {"sst2", "cola"}
    assert [p.mean for p in average(points)] == [0.5, 0.5]


def test_a_strategy_without_any_score_does_not_empty_the_average():
    rows = [record(task=task) for task in ("sst2", "cola")]
    points = selected([*rows, record(strategy="full", status="failed")])
    assert [p.key["strategy"] for p in average(points)] == ["lora"]


def test_one_task_has_no_average():
    assert average(selected([record(), record(strategy="full")])) == []


def test_a_curve_is_sorted_by_trained_parameters():
    rows = [record(size=size, trained=10 + 5 * size) for size in (32, 2, 8)]
    rows += [record(strategy="full", size=None, trained=1000), record(size=4, status="failed")]
    found = curves(selected(rows), "sst2")
    assert [p.key.size for p in found["tiny", "lora"]] == [2, 8, 32]
    assert set(found) == {("tiny", "lora"), ("tiny", "full")}


def test_packed_runs_stand_in_no_time_axis():
    """Their clocks are shares of a pack's; of those that trained alone the time is the point's."""
    records = [record(seed=seed) for seed in range(3)]
    for own in records[:2]:
        own["packed_with"] = ["other"]
        own["clocks"]["train_seconds"] = own["clocks"]["train_cpu_seconds"] = 0.001
    (point,) = selected(records)
    assert point.train_seconds == training_seconds(records[2])
    records[2]["packed_with"] = ["other"]
    (point,) = selected(records)
    assert math.isnan(point.train_seconds)
    assert math.isnan(point.peak_bytes)
    assert len(point.scores) == 3
