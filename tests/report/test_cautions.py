"""What the page says before anybody believes its headline, and intervals that stay on their scale."""

import math

import pytest
from fake_results import placed

from lm_lab.metrics.uncertainty import t_interval
from lm_lab.report import text
from lm_lab.report.cautions import cautions
from lm_lab.report.curves import selected
from lm_lab.report.table import best
from lm_lab.results.records import SCHEMA, Baseline, CellRecord

KNOWN: dict[str, Baseline] = {"sst2": {"score": 0.5, "what": "always negative"}}
FLAT, FALLING = [0.5] * 50, [1.0 - 0.018 * step for step in range(50)]


def record(strategy: str, score: float, seed: int, rate: float = 1e-3, losses: list[float] = FLAT) -> CellRecord:
    share = {"full": (1000, 0), "probe": (0, 0)}.get(strategy, (0, 50))
    ledger = {"backbone_trained": share[0], "added": share[1], "head": 10, "total": 1010, "delta_bytes": 40}
    at = {"backbone": "tiny", "strategy": strategy, "task": "sst2"}
    found: CellRecord = {
        "schema": SCHEMA, "id": f"{strategy}{rate}{seed}", "status": "done", "reason": None,
        "cell": placed(None, None, {"learning_rate": rate}, seed, control=False, **at),
        "score": {"validation": score, "selection": score}, "scores": {"validation": {"accuracy": score}},
        "ledger": ledger | {"trained": sum(share) + 10}, "clocks": {"train_seconds": 1.0},
        "memory": {"train_peak_bytes": 1e6},
        "history": [{"step": step, "loss": loss, "learning_rate": rate} for step, loss in enumerate(losses)],
    }  # fmt: skip
    return found


def seeds(strategy: str, *scores: float, **settings: object) -> list[CellRecord]:
    return [record(strategy, score, seed, **settings) for seed, score in enumerate(scores)]  # type: ignore[arg-type]


def said(*groups: list[CellRecord]) -> list[str]:
    records = [each for group in groups for each in group]
    return cautions(selected(records), records, KNOWN)


def test_a_sound_result_needs_no_caution() -> None:
    assert said(seeds("full", 0.9, 0.91, 0.92), seeds("lora", 0.9, 0.9, 0.91), seeds("probe", 0.8, 0.8, 0.81)) == []


def test_a_method_that_does_not_beat_the_baseline_is_named_with_it() -> None:
    (line,) = said(seeds("full", 0.9, 0.91, 0.92), seeds("lora", 0.5, 0.52, 0.55))
    assert line == "On sst2, not above the baseline (always negative, 50.0): lora."


def test_full_fine_tuning_below_its_own_probe_is_undertrained() -> None:
    (line,) = said(seeds("full", 0.7, 0.71, 0.72), seeds("probe", 0.8, 0.8, 0.81))
    assert line == "Full fine-tuning of tiny may be undertrained: sst2 (probe of the frozen backbone scores 80.3)."


def test_a_loss_that_still_fell_is_told() -> None:
    (line,) = said(seeds("full", 0.7, 0.71, 0.72, losses=FALLING))
    assert line == "Full fine-tuning of tiny may be undertrained: sst2 (its loss was still falling at the end)."


@pytest.mark.parametrize(("chosen", "edge"), [(1e-3, False), (1e-2, True)])
def test_a_rate_on_the_edge_of_its_grid_is_told(chosen: float, edge: bool) -> None:
    rates = [seeds("full", *[0.9 if rate == chosen else 0.7] * 3, rate=rate) for rate in (1e-4, 1e-3, 1e-2)]
    assert any("learning_rate is on the edge of its grid" in line for line in said(*rates)) is edge


def test_failed_cells_are_counted() -> None:
    failed = [each | {"status": "failed"} for each in seeds("lora", 0.9, 0.9)]
    lines = said(seeds("full", 0.9, 0.91, 0.92), failed)  # type: ignore[arg-type]
    assert lines == ["Cells that failed or diverged: 2; they are listed below."]


def test_an_interval_ends_where_its_scale_does() -> None:
    interval = t_interval([1.0, 0.99, 0.97]).within(0.0, 1.0)
    assert interval.high == 1.0
    assert interval.low == pytest.approx(interval.mean - interval.half)
    assert text.plus_minus(interval) == "98.7 −3.8/+1.3"
    assert text.plus_minus(t_interval([0.5, 0.51, 0.52]).within(0.0, 1.0)) == "51.0 ± 2.5"
    assert text.plus_minus(t_interval([0.5])) == "50.0"
    assert math.isnan(t_interval([0.5]).low)


def test_a_correlation_may_be_below_nought() -> None:
    records = [each | {"scores": {"validation": {"matthews": 0.0}}} for each in seeds("lora", 0.0, 0.05, -0.05)]
    (point,) = selected(records)  # type: ignore[arg-type]
    assert point.interval.low < 0


def test_bold_is_not_for_a_run_that_fell_over() -> None:
    points = selected(
        [*seeds("full", 0.90, 0.91, 0.92), *seeds("lora", 0.93, 0.5, 0.95), *seeds("bitfit", 0.9, 0.91, 0.905)]
    )
    marked = {key["strategy"] for key, _ in best(points)}
    assert marked == {"full", "bitfit"}
