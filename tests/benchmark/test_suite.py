import random

import pytest
from suites import STRATEGIES, write_suite

from lm_lab.benchmark.plan import Planner, cell_id, make_plan
from lm_lab.benchmark.suite import load_suite
from lm_lab.errors import UsageError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "suite.yaml"


def prints(config):
    return {"data": "d", "weights": "w"}


def finished(plan, score):
    return {
        c.id: {"id": c.id, "cell": c.cell, "status": "done", "score": {"selection": score(c.cell)}} for c in plan.cells
    }


def test_a_cells_configuration_merges_defaults_backbone_task_and_strategy(path, tmp_path):
    lora = STRATEGIES["lora"] | {"trainer": {"max_epochs": 7}, "init_args": {"alpha": 4.0}}
    suite = load_suite(write_suite(path, tmp_path, strategies={"lora": lora}))
    cell = suite.cell(
        {"backbone": "tiny", "strategy": "lora", "task": "sentiment"},
        2,
        {"learning_rate": 0.01, "data.batch_size": 8},
        5,
    )
    config = suite.config(cell)
    assert config["seed_everything"] == 5
    assert config["trainer"] == {"max_epochs": 7, "accelerator": "cpu"}
    assert config["model"]["learning_rate"] == 0.01
    assert config["model"]["strategy"] == {
        "class_path": "lm_lab.strategies.LoRA",
        "init_args": {"alpha": 4.0, "rank": 2},
    }
    assert config["data"]["init_args"]["task"] == "sst2"
    assert config["data"]["batch_size"] == 8


def test_the_plan_grows_when_the_tuned_value_is_known(path, tmp_path):
    suite = load_suite(write_suite(path, tmp_path))
    first = make_plan(suite, {}, prints)
    # probe 2 sizes x 2 rates, lora 2 rates at its one size, full 2 seeds (nothing to tune)
    assert len(first.cells) == 4 + 2 + 2
    records = finished(first, lambda cell: 1.0 if cell["tuned"].get("learning_rate") == 1e-2 else 0.5)
    second = make_plan(suite, records, prints)
    assert len(second.cells) == second.total == first.total == 13
    later = [c.cell for c in second.cells if c.id not in records]
    assert all(cell["tuned"] == {"learning_rate": 1e-2} for cell in later)
    assert [
        cell["seed"] for cell in later if cell["coordinates"]["strategy"] == "lora" and cell["coordinates"]["rank"] == 4
    ] == [1]
    assert [
        cell["seed"] for cell in later if cell["coordinates"]["strategy"] == "lora" and cell["coordinates"]["rank"] == 2
    ] == [0, 1]


@pytest.mark.parametrize("order", range(6))
def test_a_plan_that_goes_on_is_the_plan_from_scratch_after_every_record(path, tmp_path, order):
    suite = load_suite(write_suite(path, tmp_path, seeds=[0, 1, 2], selection_seeds=2))
    planner, draw, records = Planner(suite, prints), random.Random(order), {}
    while waiting := [c for c in planner(records).cells if c.id not in records]:
        planned = draw.choice(waiting)
        status = draw.choice(["done", "done", "done", "failed"])
        score = {"score": {"selection": draw.choice([0.5, draw.random()])}} if status == "done" else {}
        records[planned.id] = {"id": planned.id, "cell": planned.cell, "status": status, **score}
        assert planner(records) == make_plan(suite, records, prints)
    fewer = {key: record for key, record in records.items() if record["status"] == "done"}
    assert planner(fewer) == make_plan(suite, fewer, prints)  # as a run that does failed cells again


def test_a_cell_is_planned_once_however_many_records_come_in(path, tmp_path):
    planned = []

    def counted(config):
        planned.append(config)
        return prints(config)

    planner, records = Planner(load_suite(write_suite(path, tmp_path)), counted), {}
    while waiting := [c for c in planner(records).cells if c.id not in records]:
        cell = waiting[0]
        records[cell.id] = {"id": cell.id, "cell": cell.cell, "status": "done", "score": {"selection": 0.5}}
    assert len(planned) == len(records) == 13


def test_ids_follow_configuration_data_and_weights(path, tmp_path):
    suite = load_suite(write_suite(path, tmp_path))
    cells = make_plan(suite, {}, prints).cells
    assert len({c.id for c in cells}) == len(cells)
    config = cells[0].config
    assert cell_id(config, {"data": "d", "weights": "w"}) == cells[0].id
    assert cell_id(config, {"data": "e", "weights": "w"}) != cells[0].id
    assert cell_id(config, {"data": "d", "weights": "x"}) != cells[0].id


def test_exclusions(path, tmp_path):
    rules = [{"strategy": ["lora", "full"], "backbone": "tiny"}]
    suite = load_suite(write_suite(path, tmp_path, exclude=rules))
    assert {setting["strategy"] for setting in suite.settings()} == {"probe"}


def one(strategy):
    return {"strategies": {"s": {"class_path": "LoRA"} | strategy}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": {}}, "'tasks' is missing or empty"),
        ({"tasks": ["sst2"]}, r"no mapping of names: \['sst2'\]"),
        ({"tasks": {"a": 3}}, "task 'a': expected a mapping, found 3"),
        ({"tasks": {"a": {"data": ["x"]}}}, "task 'a', data: expected a mapping"),
        ({"tasks": {"a": {"data": {}}}}, "task 'a', data: 'task' is missing"),
        ({"tasks": {"a": {"data": {"class_path": 3}}}}, "task 'a', data: 'class_path' is missing or not text: 3"),
        ({"tasks": {"average": {"data": {"task": "sst2"}}}}, "names other than 'average'"),
        ({"tasks": {7: {"data": {"task": "sst2"}}}}, "the name 7 is no text of one line; a number goes in quotes"),
        ({"tasks": {"../up": {"data": {"task": "sst2"}}}}, r"the name of a task is missing or no name: '\.\./up'"),
        ({"tasks": {"a": {"data": {"task": "sst2", "columns": {1: "x"}}}}}, "the name 1 is no text of one line"),
        ({"name": 3}, "name is missing or no name: 3"),
        ({"name": "../x"}, r"name is missing or no name: '\.\./x'"),
        ({"name": "a\nb"}, "name is missing or no name"),
        ({"description": ["x"]}, r"'description' is \['x'\]; expected text"),
        ({"strategy": 1}, "unknown key 'strategy'; known: axes, backbones"),
        ({"seeds": 3}, "'seeds' is 3; expected a list"),
        ({"seeds": -1}, "'seeds' is -1; expected a list"),
        ({"seeds": []}, "expected a list of different numbers"),
        ({"seeds": [-1]}, "expected a list of different numbers from 0 on"),
        ({"seeds": [1, 1]}, "expected a list of different numbers"),
        ({"seeds": [True]}, "expected a list of different numbers"),
        ({"seeds": ["0"]}, "expected a list of different numbers"),
        ({"selection_seeds": 0}, "'selection_seeds' is 0; expected 1 to 2"),
        ({"selection_seeds": 3}, "'selection_seeds' is 3; expected 1 to 2"),
        ({"defaults": []}, "defaults: expected a mapping"),
        ({"defaults": {"trainer": 1}}, "defaults, trainer: expected a mapping"),
        ({"backbones": {"b": {}}}, "backbone 'b': 'backbone' is missing"),
        ({"backbones": {"b": {"backbone": "bert"}}}, "not a mapping with a 'source' or a 'class_path': 'bert'"),
        ({"backbones": {"b": {"backbone": {"source": 3}}}}, "'source' is missing or not text: 3"),
        ({"backbones": {"b": {"backbone": {"source": "x"}, "control": "yes"}}}, "'control' is 'yes'; expected true"),
        ({"strategies": {"s": {}}}, "strategy 's': 'class_path' is missing"),
        ({"strategies": {"s": "LoRA"}}, "strategy 's': expected a mapping, found 'LoRA'"),
        (one({"knob": "rank"}), "'knob' and 'sizes' go together"),
        (one({"knob": 1, "sizes": [1]}), "'knob' is missing or not text: 1"),
        (one({"knob": "rank", "sizes": 3}), "'sizes' is 3; expected a list of different numbers"),
        (one({"knob": "rank", "sizes": []}), "expected a list of different numbers"),
        (one({"knob": "rank", "sizes": ["a"]}), "expected a list of different numbers"),
        (one({"knob": "rank", "sizes": [1], "select_at": 2}), r"select_at=2 is none of the sizes \[1\]"),
        (one({"tune": []}), "strategy 's', tune: expected a mapping"),
        (one({"tune": {"learning_rate": 1}}), "'learning_rate' is 1; expected a list of different values"),
        (one({"tune": {"learning_rate": [[1]]}}), "expected a list of different values"),
        (one({"tune": {"ckpt_path.x": [1]}}), "'ckpt_path.x' begins with none of model, data, trainer"),
        (one({"init_args": [1]}), "init_args: expected a mapping"),
        ({"exclude": 3}, "'exclude' is 3; expected a list of rules"),
        (
            {"exclude": [{"strategy": "laro"}]},
            "exclude: 'strategy' is 'laro'; expected one or several of full, lora, probe",
        ),
        ({"exclude": [{"strategy": 1}]}, "exclude: 'strategy' is 1"),
        ({"exclude": [{}]}, "expected rules that name something"),
        (
            {"tasks": {name: {"data": {"task": "sst2"}} for name in ("a", "b")}},
            "'a, tiny, full' and 'b, tiny, full' are the same run",
        ),
        (
            one({}) | {"strategies": {n: {"class_path": "LoRA"} for n in "st"}},
            "'sentiment, tiny, s' and 'sentiment, tiny, t' are the same run; exclude one",
        ),
        ({"exclude": [{"backbone": "tiny"}]}, "nothing is left of the suite"),
    ],
)
def test_a_wrong_suite_names_the_entry_in_one_line(path, tmp_path, changes, message):
    with pytest.raises(UsageError, match=message) as found:
        load_suite(write_suite(path, tmp_path, **changes))
    assert "\n" not in str(found.value)


def test_a_tuned_value_that_has_no_place_is_refused(path, tmp_path):
    with pytest.raises(UsageError, match=r"tune: 'model\.pooling\.x' cannot be set, since 'pooling' is 'mean'"):
        load_suite(write_suite(path, tmp_path, **one({"tune": {"model.pooling.x": [1]}})))


def test_a_suite_that_is_no_yaml(path):
    path.write_text("a: [")
    with pytest.raises(UsageError, match="is not valid YAML"):
        load_suite(path)
    path.write_text("- a")
    with pytest.raises(UsageError, match=r"suite\.yaml: expected a mapping, found \['a'\]"):
        load_suite(path)
    with pytest.raises(UsageError, match=r"'nowhere\.yaml' cannot be read"):
        load_suite("nowhere.yaml")
