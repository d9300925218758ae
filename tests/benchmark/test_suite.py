import pytest
from suites import STRATEGIES, write_suite

from lm_lab.benchmark.plan import cell_id, make_plan
from lm_lab.benchmark.suite import Setting, load_suite
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
    cell = suite.cell(Setting("tiny", "lora", "sentiment"), 2, {"learning_rate": 0.01, "data.batch_size": 8}, 5)
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
    assert [cell["seed"] for cell in later if cell["strategy"] == "lora" and cell["size"] == 4] == [1]
    assert [cell["seed"] for cell in later if cell["strategy"] == "lora" and cell["size"] == 2] == [0, 1]


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
    assert {setting.strategy for setting in suite.settings()} == {"probe"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": {}}, "'tasks' is missing or empty"),
        ({"strategy": 1}, "unknown key 'strategy'; known: backbones"),
        ({"tasks": {"a": {"data": {}}}}, "task 'a', data: 'task' is missing"),
        ({"backbones": {"b": {}}}, "backbone 'b': 'backbone' is missing"),
        ({"strategies": {"s": {}}}, "strategy 's': 'class_path' is missing"),
        ({"strategies": {"s": {"class_path": "LoRA", "knob": "rank"}}}, "'knob' and 'sizes' go together"),
        (
            {"strategies": {"s": {"class_path": "LoRA", "knob": "rank", "sizes": [1], "select_at": 2}}},
            r"select_at=2 is none of the sizes \[1\]",
        ),
        ({"strategies": {"s": {"class_path": "LoRA", "tune": {"learning_rate": 1}}}}, "must be a list of values"),
    ],
)
def test_a_wrong_suite_names_the_entry(path, tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        load_suite(write_suite(path, tmp_path, **changes))


def test_a_suite_that_is_no_yaml(path):
    path.write_text("a: [")
    with pytest.raises(UsageError, match="is not valid YAML"):
        load_suite(path)
    with pytest.raises(UsageError, match=r"'nowhere\.yaml' cannot be read"):
        load_suite("nowhere.yaml")
