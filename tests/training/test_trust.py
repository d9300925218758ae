"""What a delta from a stranger may name: strategies, data modules, tasks and metrics of this project, and no more."""

import copy
import sys

import pytest

from lm_lab import AdaptedModel
from lm_lab.errors import UsageError
from lm_lab.models import delta
from lm_lab.models.loading import load_adaptation
from lm_lab.models.trust import trusted_config, trusted_task
from lm_lab.strategies import Combination, LayerNormTuning, LoRA, RandomMask
from lm_lab.tasks import glue_task


@pytest.fixture
def description(make):
    strategy = Combination([LoRA(rank=2), LayerNormTuning()])
    return delta.describe(AdaptedModel(make("bert"), strategy, glue_task("mrpc")))


def changed(description, path, value):
    """A copy with `value` at the dotted `path`."""
    found = copy.deepcopy(description)
    *parents, last = path.split(".")
    inner = found
    for key in parents:
        inner = inner[int(key) if key.isdigit() else key]
    inner[int(last) if last.isdigit() else last] = value
    return found


def test_our_own_are_read_and_nothing_but_model_and_data(description):
    more = copy.deepcopy(description)
    more["config"] |= {"trainer": {"callbacks": "os.system"}, "ckpt_path": "http://elsewhere/x.ckpt"}
    assert trusted_config(more) == description["config"]
    assert trusted_task(more) == description["task"]


STRATEGY, TASK, DATA = "config.model.strategy", "task", "config.data"
INSIDE = f"{STRATEGY}.init_args.strategies.0"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (f"{STRATEGY}.class_path", "antigravity.Thing", "outside of lm_lab.strategies"),
        (f"{STRATEGY}.class_path", "lm_lab.models.delta.load", "outside of lm_lab.strategies"),
        (f"{STRATEGY}.class_path", "lm_lab.strategies_evil.X", "outside of lm_lab.strategies"),
        (f"{STRATEGY}.class_path", "lm_lab.strategies.base.attach", "is not a strategy"),
        (f"{STRATEGY}.class_path", "lm_lab.strategies.Nothing", "does not exist here"),
        (f"{STRATEGY}.class_path", "LoRA", "outside of"),
        (f"{STRATEGY}.class_path", ["os"], "expected the dotted name"),
        (STRATEGY, "antigravity.Thing", "expected a mapping"),
        (f"{STRATEGY}.dict_kwargs", {}, "has 'dict_kwargs' in a strategy"),
        (INSIDE, "antigravity.Thing", "expected a mapping"),
        (f"{INSIDE}.class_path", "antigravity.Thing", "outside of lm_lab.strategies"),
        (f"{INSIDE}.init_args.rank", {"class_path": "antigravity.Thing"}, "where none belongs"),
        (f"{DATA}.class_path", "lm_lab.cli.main", "outside of lm_lab.data"),
        (f"{DATA}.class_path", "lm_lab.data.corpora.raw.read", "does not exist here"),
        (f"{DATA}.class_path", "lm_lab.data.encoding.encoding.Encoding", "is not a data module"),
        (f"{DATA}.init_args.columns", {"x": {"class_path": "antigravity.Thing"}}, "where none belongs"),
        ("config.model.backbone.trust_remote_code", True, "asks to run code"),
        ("config.model.backbone.trust_remote_code", "yes", "has trust_remote_code='yes'"),
        ("config.model.backbone.attention", "somebody/kernel", "expected eager or sdpa"),
        ("config.model.backbone.dropout", [], "has dropout="),
        ("config.model.backbone.source", None, "has source=None"),
        ("config.model.backbone.cache_dir", "x", "has 'cache_dir' in backbone"),
        ("config.model.optimizer", "antigravity.Thing", "has 'optimizer' in model"),
        ("config.model.backbone", "bert", "expected a mapping"),
        ("config", [], "expected a mapping"),
    ],
)
def test_what_a_configuration_may_not_name(description, path, value, message):
    with pytest.raises(UsageError, match=message):
        trusted_config(changed(description, path, value))
    assert "antigravity" not in sys.modules  # nothing of it was imported


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (f"{TASK}.class_path", "lm_lab.cli.main", "outside of lm_lab.tasks"),
        (f"{TASK}.class_path", "lm_lab.tasks.glue.glue_task", "is not a task"),
        (f"{TASK}.class_path", "lm_lab.tasks.described.named", "is not a task"),
        (f"{TASK}.init_args.metrics", ["antigravity.thing"], "outside of lm_lab.metrics"),
        (f"{TASK}.init_args.metrics", ["lm_lab.metrics.score"], "expected one of lm_lab.metrics"),
        (f"{TASK}.init_args.metrics", "accuracy", "expected a list"),
        (f"{TASK}.init_args", 3, "expected a mapping"),
        (TASK, None, "expected a mapping"),
    ],
)
def test_what_a_task_may_not_name(description, path, value, message):
    with pytest.raises(UsageError, match=message):
        trusted_task(changed(description, path, value))
    assert "antigravity" not in sys.modules


def test_a_package_that_the_user_trusts(description, tmp_path, monkeypatch):
    (tmp_path / "own_package.py").write_text(
        "from lm_lab.strategies import LoRA\nclass Own(LoRA): pass\ndef call(): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = changed(description, f"{STRATEGY}.class_path", "own_package.Own")
    with pytest.raises(UsageError, match="outside of "):
        trusted_config(own)
    assert "own_package" not in sys.modules
    with pytest.raises(UsageError, match="is not a strategy"):
        trusted_config(changed(own, f"{STRATEGY}.class_path", "own_package.call"), trusted=("own_package",))
    own["config"]["model"]["strategy"]["init_args"] = {"rank": 2}
    assert trusted_config(own, trusted=("own_package",))["model"]["strategy"]["class_path"] == "own_package.Own"


@pytest.mark.parametrize("key", ["pooling", "pairs"])
def test_how_texts_are_read_is_not_left_to_defaults(description, key):
    del description["config"]["model"][key]
    with pytest.raises(UsageError, match=f"does not say {key}"):
        trusted_config(description)


def test_remote_code_needs_a_word_from_the_caller(description):
    asks = changed(description, "config.model.backbone.trust_remote_code", True)
    assert trusted_config(asks, trust_remote_code=True)["model"]["backbone"]["trust_remote_code"] is True
    assert trusted_config(description, trust_remote_code=True)["model"]["backbone"]["trust_remote_code"] is False


def test_a_strategy_inside_another_comes_back(make, tmp_path):
    model = AdaptedModel(make("bert"), RandomMask(like=LoRA(rank=2)), glue_task("sst2"))
    back = load_adaptation(delta.save(model, tmp_path))
    assert delta.describe(back) == delta.describe(model)
