"""What a delta's description may name. It comes from strangers, and what it names is imported and called.

The names are a closed set: strategies of `lm_lab.strategies`, data modules of `lm_lab.data`, tasks and metrics of
`lm_lab.tasks`, and classes of the same kinds from packages that the user trusts. They are checked before anything else
is imported. Of the configuration `model` and `data` alone are read, so that no description has a say in the trainer.
"""

import dataclasses
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any

import lightning as L

from lm_lab.backbones import Backbone, TokenEmbeddings
from lm_lab.backbones.families import Correction
from lm_lab.errors import UsageError
from lm_lab.metrics import METRICS
from lm_lab.strategies import AdaptationStrategy
from lm_lab.tasks import Task

_HOMES = {
    AdaptationStrategy: "lm_lab.strategies",
    L.LightningDataModule: "lm_lab.data",
    Task: "lm_lab.tasks",
    Backbone: "lm_lab.backbones",
    Correction: "lm_lab.backbones",
    TokenEmbeddings: "lm_lab.backbones",
}
_KINDS = {
    AdaptationStrategy: "a strategy",
    L.LightningDataModule: "a data module",
    Task: "a task",
    Backbone: "a backbone",
    Correction: "a family",
    TokenEmbeddings: "computed embeddings",
}
_MODEL = ("backbone", "strategy", "pooling", "pairs", "head", "delimiter")
_BACKBONE = {
    "source": (str,),
    "pretrained": (bool,),
    "tokenizer": (str, type(None)),
    "revision": (str, type(None)),
    "dropout": (float, int, type(None)),
    "attention": (str, type(None)),
    "trust_remote_code": (bool,),
    "family": (dict,),
    "embeddings": (dict,),
}
_ATTENTIONS = (None, "eager", "sdpa", "flash_attention_2")  # `transformers` runs code of the hub for other names


def trusted_config(
    description: Mapping[str, Any], trusted: Collection[str] = (), trust_remote_code: bool = False
) -> dict[str, Any]:
    """`model` and `data` of a description, once all that they name is known to be harmless.

    Args:
        description: as `delta.read_description` gives it.
        trusted: packages besides this one that classes may come from.
        trust_remote_code: whether the backbone may bring code, where the description asks for it.

    Raises:
        UsageError: a class that is none of the closed set, remote code, or another setting than a delta has.
    """
    config = _mapping(description.get("config"), "config", ("model", "data"), others=True)
    model = _mapping(config.get("model"), "model", _MODEL)
    if lost := [key for key in ("pooling", "pairs") if key not in model]:  # a default would read texts in another way
        raise UsageError(f"the delta's description is damaged: it does not say {lost[0]}.")
    strategy = require_description(model.get("strategy"), AdaptationStrategy, trusted)
    return {
        "model": model | {"strategy": strategy, "backbone": _backbone(model, trusted, trust_remote_code)},
        "data": require_description(config.get("data"), L.LightningDataModule, trusted),
    }


def _backbone(model: dict[str, Any], trusted: Collection[str], trust_remote_code: bool) -> dict[str, Any]:
    """A class and its settings, or those of a model of `transformers`."""
    found = model.get("backbone")
    if isinstance(found, dict) and "class_path" in found:
        return require_description(found, Backbone, trusted)
    backbone = _mapping(found, "backbone", _BACKBONE)
    for key, value in backbone.items():
        if type(value) not in _BACKBONE[key]:
            raise UsageError(f"the delta's description is damaged: its backbone has {key}={value!r:.80}.")
    if backbone.get("trust_remote_code", False) is not False and not trust_remote_code:
        raise UsageError(
            "the delta asks to run code that comes with its backbone (trust_remote_code); read that code, then load it "
            "in Python: load_adaptation(folder, trust_remote_code=True)."
        )
    if backbone.get("attention") not in _ATTENTIONS:
        raise UsageError(f"the delta asks for attention={backbone['attention']!r:.80}; expected eager or sdpa.")
    for name, kind in (("family", Correction), ("embeddings", TokenEmbeddings)):
        if name in backbone:
            backbone[name] = require_description(backbone[name], kind, trusted)
    return backbone


def trusted_task(description: Mapping[str, Any], trusted: Collection[str] = ()) -> dict[str, Any]:
    """The task of a description; arguments and errors as those of `trusted_config`."""
    spec = require_description(description.get("task"), Task, trusted)
    metrics = spec["init_args"].get("metrics", [])
    if not isinstance(metrics, list):
        raise UsageError(f"the delta's task has metrics {metrics!r:.80}; expected a list of names.")
    for path in metrics:
        if not _is_metric(_named(path, "lm_lab.metrics", trusted, "a metric"), path, trusted):
            raise UsageError(f"the delta names {path} as a metric; expected one of lm_lab.metrics.")
    return spec


def require_description(spec: Any, kind: type, trusted: Collection[str]) -> dict[str, Any]:
    """A class and its settings, those of the strategies inside it included. Raises `UsageError` if one is no `kind`."""
    found = _mapping(spec, _KINDS[kind], ("class_path", "init_args"))
    path, settings = found.get("class_path"), found.get("init_args", {})
    cls = _named(path, _HOMES[kind], trusted, _KINDS[kind])
    if not (isinstance(cls, type) and issubclass(cls, kind)):
        raise UsageError(f"the delta names {path}, which is not {_KINDS[kind]}.")
    _mapping(settings, f"{path}: init_args", (), others=True)
    inside = _fields_of_kinds(cls)
    for name, value in settings.items():
        for part in value if isinstance(value, list) else [value]:
            if name in inside:  # a word would be imported too
                require_description(part, inside[name], trusted)
            else:
                _require_plain(part, f"{path}: {name}")
    return {"class_path": path, "init_args": settings}


def _fields_of_kinds(cls: type) -> dict[str, type]:
    """Settings that name classes themselves: a strategy's strategies, the embeddings of any backbone."""
    if issubclass(cls, Backbone):
        return {"embeddings": TokenEmbeddings}
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    return {field.name: AdaptationStrategy for field in fields if AdaptationStrategy.__name__ in str(field.type)}


def _require_plain(value: Any, what: str) -> None:
    if isinstance(value, list):
        for part in value:
            _require_plain(part, what)
    elif isinstance(value, dict):
        if "class_path" in value:
            raise UsageError(f"the delta names the class {value['class_path']!r:.120} in {what}, where none belongs.")
        for part in value.values():
            _require_plain(part, what)


def _named(path: Any, home: str, trusted: Collection[str], kind: str) -> Any:
    """What the dotted `path` names. Nothing is imported that is neither in `home` nor trusted."""
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        raise UsageError(f"the delta names {path!r:.120} as {kind}; expected the dotted name of one.")
    module, _, name = path.rpartition(".")
    ours = f"{module}.".startswith(f"{home}.")
    if not ours and (module.split(".")[0] not in trusted or f"{module}.".startswith("lm_lab.")):
        places = ", ".join([home, *(package for package in trusted if package != "lm_lab")])
        raise UsageError(f"the delta names {path} as {kind}, outside of {places}.")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the delta names {path} as {kind}, which does not exist here.") from error


def _is_metric(found: Any, path: str, trusted: Collection[str]) -> bool:
    if path.split(".")[0] in trusted and not path.startswith("lm_lab."):
        return callable(found)
    return found in METRICS.values()


def _mapping(value: Any, what: str, known: Collection[str], others: bool = False) -> dict[str, Any]:
    """`value` if it is a mapping of names, of no unknown ones unless `others`."""
    if not isinstance(value, dict):
        raise UsageError(f"the delta's description is damaged: {what} is {value!r:.80}; expected a mapping.")
    if odd := [key for key in value if not str(key).isidentifier() or not (others or key in known)]:
        raise UsageError(
            f"the delta's description has {odd[0]!r:.80} in {what}; expected {', '.join(known) or 'names'}."
        )
    return value
