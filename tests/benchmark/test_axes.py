"""An axis of a suite's own is a line of its file: planned, selected within, run, labelled, reported."""

import csv
from typing import Any

import pytest
from suites import STRATEGIES, write_suite

from lm_lab.benchmark.executors import InProcess
from lm_lab.benchmark.plan import make_plan
from lm_lab.benchmark.progress import Progress, describe
from lm_lab.benchmark.runner import run_suite
from lm_lab.benchmark.suite import load_suite
from lm_lab.errors import UsageError
from lm_lab.report.page import write_report
from lm_lab.report.table import terminal_table
from lm_lab.results.coordinates import Coordinates
from lm_lab.results.records import read_records

EXAMPLES = {"axes": {"examples": {"data.train_limit": [16, 64]}}}


def prints(config: Any) -> dict[str, str]:
    return {"data": str(config["data"]["init_args"].get("train_limit")), "weights": "w"}


def test_a_setting_has_a_value_on_every_axis(tmp_path):
    suite = load_suite(write_suite(tmp_path / "s.yaml", tmp_path, **EXAMPLES))
    plain = load_suite(write_suite(tmp_path / "p.yaml", tmp_path))
    cells = make_plan(suite, {}, prints).cells
    assert len(cells) == 2 * len(make_plan(plain, {}, prints).cells)
    for planned in cells:
        limit = planned.cell["coordinates"]["examples"]
        assert planned.config["data"]["init_args"]["train_limit"] == limit
        assert planned.config["data"]["init_args"]["task"] == "sst2"


def test_a_value_may_set_several_things_and_goes_before_all_others(tmp_path):
    axes = {"start": {"a": {}, "b": {"model": {"backbone": {"source": "x"}}, "data": {"batch_size": 3}}}}
    suite = load_suite(write_suite(tmp_path / "s.yaml", tmp_path, axes=axes, strategies={"full": STRATEGIES["full"]}))
    own, other = (suite.config(cell) for cell in suite.variants())
    assert (own["model"]["backbone"]["source"], own["data"]["init_args"]["batch_size"]) == (str(tmp_path), 16)
    assert (other["model"]["backbone"]["source"], other["data"]["init_args"]["batch_size"]) == ("x", 3)


def test_a_rule_may_exclude_by_any_axis(tmp_path):
    rule = {"exclude": [{"examples": 16, "strategy": "lora"}]}
    suite = load_suite(write_suite(tmp_path / "s.yaml", tmp_path, **EXAMPLES, **rule))
    found = [(at["strategy"], at["examples"]) for at in suite.settings()]
    assert ("lora", 64) in found
    assert ("lora", 16) not in found
    assert len(found) == 5


def test_cells_tables_and_headline_name_the_axis(tmp_path, folders):
    strategies = {name: STRATEGIES[name] for name in ("probe", "full")}
    path = write_suite(tmp_path / "s.yaml", folders["bert"], strategies=strategies, **EXAMPLES)
    root = tmp_path / "out"
    run_suite(load_suite(path), root, InProcess(), Progress(), lambda _: None)
    records = read_records(root)
    assert {record["status"] for record in records} == {"done"}
    steps = {record["cell"]["coordinates"]["examples"]: record["clocks"]["steps"] for record in records}
    assert steps == {16: 1, 64: 4}
    assert any(describe(r).startswith("sentiment, tiny, full, examples 64, seed 1: 0.") for r in records)
    shown = terminal_table(root)
    assert {"full, examples 16", "full, examples 64", "probe, at_layer 2, examples 16"} <= {
        line.split("  ")[0] for line in shown.splitlines()
    }
    page = write_report(root).read_text()
    assert all(f"On tiny, examples {n}, full fine-tuning scores" in page for n in (16, 64))
    rows = list(csv.DictReader((root / "report" / "results.csv").read_text().splitlines()))
    assert {(row["strategy"], row["size"], row["knob"], row["examples"]) for row in rows} == {
        (strategy, size, knob, examples)
        for strategy, size, knob in (("full", "", ""), ("probe", "0", "at_layer"), ("probe", "2", "at_layer"))
        for examples in ("16", "64")
    }


def test_coordinates_are_equal_by_content_and_say_what_they_are():
    values = {"task": "rte", "rank": 8, "strategy": "lora", "backbone": "mini", "examples": 1e6}
    at = Coordinates(values, "rank")
    assert at == Coordinates(dict(reversed(values.items())), "rank")
    assert at.label == "rte, mini, lora, rank 8, examples 1e+06"
    assert at.without("task").method.label == "lora, rank 8, examples 1e+06"
    assert at.without("task").place == Coordinates({"backbone": "mini", "examples": 1e6})
    assert at.line.size is None
    assert len({at, at.method, at.place, Coordinates(dict(at), "rank")}) == 3


def axis(spec: Any) -> dict[str, Any]:
    return {"axes": {"examples": spec}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": [1]}, "axes: expected a mapping"),
        (axis([1, 2]), "axis 'examples': expected a mapping"),
        (axis({}), "'examples' is {}; expected one setting and its values"),
        (axis({"train_limit": [8]}), "'train_limit' is 'train_limit'; expected a path such as data.train_limit"),
        (axis({"datum.train_limit": [8]}), "'datum.train_limit' begins with none of model, data, trainer"),
        (axis({"data.train_limit": [8, 8]}), "expected a list of different values"),
        (axis({"few": {"limit": 8}}), "axis 'examples', 'few': unknown key 'limit'"),
        (axis({"few": 8}), "axis 'examples', 'few': expected a mapping"),
        (axis({8: {}}), "a number goes in quotes"),
        ({"axes": {"seed": {"data.batch_size": [8]}}}, "'axes' is 'seed'; expected names that no column"),
        ({"axes": {"rank": {"data.batch_size": [8]}}}, "'axes' is 'rank'; expected names that no column"),
        (EXAMPLES | {"exclude": [{"examples": 9}]}, "'examples' is 9; expected one or several of 16, 64"),
        ({"exclude": [{"examples": 8}]}, "unknown key 'examples'; known: backbone, strategy, task"),
        (axis({"few": {}, "same": {}}), "examples few' and 'sentiment, tiny, full, examples same' are the same run"),
    ],
)
def test_a_wrong_axis_is_named_in_one_line(tmp_path, changes, message):
    with pytest.raises(UsageError, match=message) as found:
        load_suite(write_suite(tmp_path / "s.yaml", tmp_path, **changes))
    assert "\n" not in str(found.value)
