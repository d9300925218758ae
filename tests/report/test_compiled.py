"""Times of compiled training stand beside others only with a mark."""

import copy
import csv
import io
from typing import Any

import pytest
from fake_results import at, pick, records, suite

from lm_lab.report.curves import IN_PART, mixes_compiled
from lm_lab.report.figures import trade_off
from lm_lab.report.sections import provenance, results
from lm_lab.report.table import _cells, all_points, cells_csv, results_csv
from lm_lab.results.records import AVERAGE


@pytest.fixture(scope="module")
def plain() -> list[Any]:
    return [record for record, _ in records() if at(record)["strategy"] in ("full", "lora", "probe")]


def compiled(
    plain: list[Any], *strategies: str, tasks: tuple[str, ...] = ("cola", "mrpc", "sst2", "stsb")
) -> list[Any]:
    found = copy.deepcopy(plain)
    for record in found:
        chosen = at(record)["strategy"] in strategies and at(record)["task"] in tasks
        record["hardware"] = record["hardware"] | {"compiled": chosen}
    return found


def test_compiled_training_is_marked_beside_other_training(plain: list[Any]) -> None:
    found = compiled(plain, "lora")
    points = all_points(found, suite())
    assert mixes_compiled(points)
    assert pick(points, "lora", "sst2", 8).compiled == "compiled"
    assert pick(points, "full", "sst2").compiled == ""
    assert results(points, {}).count('<span class="flag">compiled</span>') == 3  # sizes of LoRA
    (row,) = (row for row in _cells(points)[1] if row[0].startswith("lora, rank 8"))
    assert row[-1].endswith(" (compiled)")
    for axis in ("time", "memory"):
        figure = trade_off(points, "sst2", axis)
        symbols = {t.name: t.marker.symbol for t in figure.data}
        assert symbols["lora"] == ("circle-dot",) * 3
        assert symbols["probe"] == "circle"
        assert figure.layout.xaxis.title.text.endswith("; with a dot: compiled")
    assert "compiled" in next(t for t in figure.data if t.name == "lora").text[0]
    assert "compiled" not in trade_off(points, "sst2", "bytes").layout.xaxis.title.text
    rows = list(csv.DictReader(io.StringIO(results_csv(points))))
    assert {row["compiled"] for row in rows if row["strategy"] == "lora"} == {"compiled"}
    cells = list(csv.DictReader(io.StringIO(cells_csv(found))))
    assert {row["compiled"] for row in cells if row["strategy"] == "full"} == {"False"}
    assert ", compiled" in provenance(found, suite())


def test_what_is_all_compiled_or_all_not_needs_no_mark(plain: list[Any]) -> None:
    for found in (plain, compiled(plain), compiled(plain, "full", "lora", "probe")):
        points = all_points(found, suite())
        assert not mixes_compiled(points)
        assert 'class="flag">compiled' not in results(points, {})
        figure = trade_off(points, "sst2", "time")
        assert "compiled" not in figure.layout.xaxis.title.text
        assert not any("dot" in str(t.marker.symbol) for t in figure.data)


def test_an_average_over_both_says_so(plain: list[Any]) -> None:
    points = all_points(compiled(plain, "lora", tasks=("sst2",)), suite())
    assert pick(points, "lora", AVERAGE, 8).compiled == IN_PART
    assert not mixes_compiled([p for p in points if p.task == "mrpc"])


def test_a_share_of_the_time_is_not_taken_between_them(plain: list[Any]) -> None:
    both = all_points(compiled(plain, "lora"), suite())
    assert len(pick(both, "lora", AVERAGE, 8).machines | pick(both, "full", AVERAGE).machines) == 2
    old = all_points([*plain], suite())  # records of before say nothing of it
    new = all_points(compiled(plain), suite())
    assert pick(old, "full", AVERAGE).machines == pick(new, "full", AVERAGE).machines
