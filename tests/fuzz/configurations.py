"""Configurations of a fit that takes half a second, and ones with other classes, settings of these and junk in them."""

import collections.abc
import copy
import inspect
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import lightning as L
from hypothesis import strategies as st
from lightning.pytorch import callbacks
from mutations import JUNK, WORDS, mutated, retuned

from lm_lab import objectives, strategies
from lm_lab.data.corpora import rows
from lm_lab.training import optimizers, schedules

Tree = dict[str, Any]
ADAPT: Tree = {
    "seed_everything": 0,
    "model": {
        "strategy": {"class_path": "LoRA", "init_args": {"rank": 2, "alpha": 4.0, "dropout": 0.0}},
        "backbone": {"source": "", "pretrained": True, "dropout": 0.1, "attention": None, "revision": None},
        "learning_rate": 0.001, "pooling": "cls", "pairs": "cross_encoder", "head": None, "frozen_dropout": False,
        "delimiter": None,
        "optimizer": {"class_path": "lm_lab.training.optimizers.AdamW", "init_args": {"weight_decay": 0.01}},
        "scheduler": {"class_path": "WarmupLinear", "init_args": {"warmup": 0.1}},
    },
    "data": {
        "class_path": "GLUE",
        "init_args": {
            "task": "sst2", "source": "microworld", "batch_size": 4, "train_limit": 8, "validation_limit": 4,
            "max_length": 16, "holdout": 0, "num_workers": 0, "eval_batch_size": 4, "columns": None,
        },
    },
    "trainer": {
        "max_epochs": 1, "max_steps": 1, "accelerator": "cpu", "devices": 1, "precision": "32-true", "logger": False,
        "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False,
        "default_root_dir": "run", "accumulate_grad_batches": 1, "gradient_clip_val": 1.0, "limit_val_batches": 1,
        "check_val_every_n_epoch": 1, "val_check_interval": 1.0, "log_every_n_steps": 1, "callbacks": None,
    },
}  # fmt: skip
PRETRAIN: Tree = {
    "seed_everything": 0,
    "model": {
        "backbone": ADAPT["model"]["backbone"],
        "objective": {"class_path": "lm_lab.objectives.MaskedLM", "init_args": {"probability": 0.2, "static": 0}},
        "learning_rate": 0.001,
    },
    "data": {
        "source": "microworld", "documents": 40, "held_out": 8, "batch_size": 4, "max_length": 16, "num_workers": 0,
    },
    "save": {"output": "saved"},
    "trainer": ADAPT["trainer"],
}  # fmt: skip
LIMITS = {"source": "microworld", "train_limit": 8, "validation_limit": 4, "batch_size": 4}
OWN = {"source": "own.csv", "train_limit": 8, "batch_size": 4}
DATA: list[Tree] = [
    {"class_path": "GLUE", "init_args": LIMITS | {"task": "stsb"}},
    {"class_path": "GLUE", "init_args": LIMITS | {"task": "mnli", "max_length": 16}},
    {"class_path": "SQuAD", "init_args": LIMITS | {"max_length": 64, "overlap": 8}},
    {"class_path": "TokenClassification", "init_args": LIMITS | {"task": "tags"}},
    {"class_path": "MultipleChoice", "init_args": LIMITS | {"task": "choice"}},
    {"class_path": "Sequences", "init_args": LIMITS | {"task": "summary", "max_length": 64, "max_target": 4}},
    {"class_path": "TextToTextGLUE", "init_args": LIMITS | {"task": "sst2"}},
    {"class_path": "OwnTexts", "init_args": OWN | {"columns": {"sentence": "text"}, "labels": ["a", "b"]}},
    {"class_path": "MultiLabelTexts", "init_args": OWN | {"columns": {"sentence": "text"}, "metrics": ["f1_macro"]}},
]
OWN_TEXTS = "text,label\n" + "".join(
    f"the {word} sleeps,{'ab'[i % 2]}\n" for i, word in enumerate(["cat", "dog", "hen", "owl"])
)
# arguments that a configuration has no say in
_GIVEN = ("args", "kwargs", "backbone", "optimizer", "params", "lr", "total_steps", "store", "layout")
# settings that cost time or processes when they are taken at their word
_SLOW = ("num_workers", "documents", "devices", "num_nodes")


def _classes(module: Any, base: type = object) -> list[type]:
    found = [kind for kind in vars(module).values() if inspect.isclass(kind) and issubclass(kind, base)]
    return [kind for kind in found if kind.__module__.startswith(module.__name__) and not kind.__name__.startswith("_")]


STRATEGIES = _classes(strategies)
OBJECTIVES, INSIDE = _classes(objectives, objectives.Objective), _classes(objectives)
ROWS = _classes(rows)
OPTIMIZERS, SCHEDULES = _classes(optimizers), _classes(schedules)
CALLBACKS = _classes(callbacks)
_PLAIN: dict[Any, Any] = {
    int: st.sampled_from([0, 1, 2, 3, 5, 8, -1, 10**6]) | st.integers(),
    float: st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, -0.5, 1e-3, 1e30]) | st.floats(),
    bool: st.booleans(),
    str: st.sampled_from(["query", "mlp_out", "all", "linear", "mean", "val/loss", "val/score", "min", "x"])
    | st.text(),
    type(None): st.none(),
}


def described(kinds: Sequence[type], inside: Sequence[type], data: st.DataObject) -> Tree:
    """A class of `kinds`, with any values of some of its settings, among them classes of `inside`."""
    kind = data.draw(st.sampled_from(kinds))
    types = hints(kind)
    chosen = data.draw(st.lists(st.sampled_from(sorted(types)), max_size=3, unique=True)) if types else []
    path = kind.__name__ if data.draw(st.integers(0, 4)) == 0 else f"{kind.__module__}.{kind.__name__}"
    return {"class_path": path, "init_args": {name: setting(types[name], inside, data) for name in chosen}}


def hints(kind: type) -> dict[str, Any]:
    """The settings of a class with their types; Any where that cannot be told."""
    names = [name for name in inspect.signature(kind).parameters if name not in _GIVEN]
    try:
        types = get_type_hints(kind.__init__)  # type: ignore[misc]
    except (NameError, TypeError):
        types = {}
    return {name: types.get(name, Any) for name in names}


def setting(annotation: Any, inside: Sequence[type], data: st.DataObject) -> Any:
    """A value that may fit, or, in one case of ten, junk."""
    if data.draw(st.integers(0, 9)) == 0:
        return data.draw(JUNK)
    parts = [part for part in get_args(annotation) if part is not Ellipsis]
    origin = get_origin(annotation)
    if origin is not None and not parts:  # a bare `Callable`
        return data.draw(JUNK)
    if annotation in _PLAIN:
        return data.draw(_PLAIN[annotation])
    if origin is Literal:
        return data.draw(st.sampled_from(parts))
    if origin in (Union, UnionType):
        return setting(data.draw(st.sampled_from(parts)), inside, data)
    if origin in (list, tuple, collections.abc.Sequence, collections.abc.Iterable):
        return [setting(parts[0], inside, data) for _ in range(data.draw(st.integers(0, 3)))]
    if origin is dict:
        return {name: setting(parts[1], inside, data) for name in data.draw(st.lists(WORDS, max_size=2))}
    if origin is collections.abc.Callable:
        return setting(parts[-1], inside, data)
    if inside and annotation is not Any:
        fitting = [kind for kind in inside if inspect.isclass(annotation) and issubclass(kind, annotation)]
        return described(fitting or inside, (), data)
    return data.draw(st.one_of(*_PLAIN.values()))


def other(tree: Tree, data: st.DataObject) -> Tree:
    """The configuration with other classes in it: an objective, a strategy, data, an optimiser, callbacks."""
    tree = copy.deepcopy(tree)
    model = tree["model"]
    if "objective" in model:
        model["objective"] = described(OBJECTIVES, INSIDE, data)
    else:
        model["strategy"] = described(STRATEGIES, STRATEGIES, data)
        tree["data"] = copy.deepcopy(data.draw(st.sampled_from([ADAPT["data"], *DATA])))
    what = data.draw(st.sampled_from(["nothing", "rows", "optimizer", "scheduler", "callbacks", "trainer"]))
    if what == "rows" and "objective" in model:
        tree["data"]["rows"] = described(ROWS, (), data)
    elif what in ("optimizer", "scheduler"):
        model[what] = described(OPTIMIZERS if what == "optimizer" else SCHEDULES, (), data)
    elif what == "callbacks":
        tree["trainer"]["callbacks"] = [described(CALLBACKS, (), data)]
    elif what == "trainer":
        types = hints(L.Trainer)
        name = data.draw(st.sampled_from(sorted(set(types) - set(_SLOW))))
        tree["trainer"][name] = setting(types[name], CALLBACKS, data)
    return tree


def strange(tree: Tree, data: st.DataObject) -> Tree:
    """The configuration with up to two things in it changed, but none that costs time alone."""
    found = (retuned if data.draw(st.integers(0, 2)) else mutated)(tree, data)
    return found if isinstance(found, dict) and not _slow(found) else tree


def _slow(tree: Tree) -> bool:
    trainer, values = tree.get("trainer"), _settings(tree)
    ends = isinstance(trainer, dict) and (trainer.get("max_steps") == 1 or trainer.get("max_epochs") == 1)
    return not ends or any(
        _settings(ADAPT | PRETRAIN).get(name) != values.get(name) for name in _SLOW if name in values
    )


def _settings(tree: Any) -> Tree:
    found: Tree = {}
    for name, value in tree.items() if isinstance(tree, dict) else ():
        found |= {name: value} | _settings(value)
    return found


def at_home(tree: Tree, backbone: Path) -> Tree:
    """The configuration with a backbone's folder in it."""
    tree = copy.deepcopy(tree)
    tree["model"]["backbone"]["source"] = str(backbone)
    return tree
