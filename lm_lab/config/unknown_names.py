"""What a mistyped name in a configuration was likely meant to be: a class, a setting of a class, an option, a file."""

import inspect
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from lm_lab.config.class_names import HOMES, classes, settings
from lm_lab.nearest import did_you_mean

# where classes of a key live; any other key may mean one of any of them
_HOMES = {
    "strategy": ("lm_lab.strategies",),
    "objective": ("lm_lab.objectives",),
    "data": ("lm_lab.data",),
    "backbone": ("lm_lab.backbones",),
}
_GROUPS = ("model", "data", "trainer", "save")
_BASES = {"LightningDataModule": "--data", "Callback": "--trainer.callbacks"}

_CLASS = re.compile(r'Parser key "([\w.]+)".*?Expected a dot import path string: ([\w.]+)', re.DOTALL)
_SETTING = re.compile(r"given class_path '([\w.]+)'.*?Option '([\w.]+)' is not accepted", re.DOTALL)
_TYPE = re.compile(r"given class_path '([\w.]+)'.*?Parser key \"(\w+)\":\s*(Expected .*?\. Got value: \S+)", re.DOTALL)
_CHOICE = re.compile(r"argument ([\w-]+): invalid choice: '([^']*)' \(choose from (.*?)\)")
_OPTION = re.compile(r"[Uu]nrecognized arguments: --(\S+)|Option '([\w.]+)' is not accepted")
_FILE = re.compile(r"File does not exist: '([^']*)'")


def explained(message: str) -> str | None:
    """What an error of the parser means in one line, with the nearest valid name; None for any other error."""
    readings: tuple[tuple[re.Pattern[str], Callable[..., str]], ...] = (
        (_CLASS, _class), (_TYPE, _type), (_SETTING, _setting), (_CHOICE, _choice), (_FILE, _file), (_OPTION, _option)
    )  # fmt: skip
    for pattern, read in readings:
        if found := pattern.search(message):
            return read(*found.groups())
    return None


def _class(key: str, name: str) -> str:
    homes = _HOMES.get(key.rpartition(".")[2], HOMES)
    known = [each for home in homes for each in classes(home)]
    listed = f"; the classes are: {', '.join(sorted(known))}" if homes is not HOMES else ""
    return f"--{key} {name}: there is no such class{did_you_mean(name.rpartition('.')[2], known) or listed}"


def _setting(path: str, name: str) -> str:
    module, _, kind = path.rpartition(".")
    if kind in _BASES:
        option = _BASES[kind]
        return f"{option}.{name}: name the class of {option} before its settings, such as {option} GLUE {option}.{name}"
    known = settings(getattr(import_module(module), kind))
    return f"{kind} has no setting '{name}'{did_you_mean(name, known) or '; it has: ' + ', '.join(known)}"


def _type(path: str, name: str, expected: str) -> str:
    return f"{path.rpartition('.')[2]}'s setting '{name}': {expected.replace('<class ', '').replace('>', '')}"


def _choice(option: str, name: str, listed: str) -> str:
    known = [each.strip(" '") for each in listed.split(",")]
    return f"{option} '{name}': invalid choice; expected one of {', '.join(known)}{did_you_mean(name, known)}"


def _file(path: str) -> str:
    beside = Path(path).parent
    known = [_shortened(str(each)) for each in beside.glob("*.yaml")] if beside.is_dir() else []
    return f"'{_shortened(path)}' is not there{did_you_mean(_shortened(path), known)}"


def _shortened(path: str) -> str:
    return path.removeprefix(f"{Path.cwd()}/")


def _option(word: str | None, key: str | None) -> str:
    option = (word or key or "").partition("=")[0]
    group, _, last = option.rpartition(".")
    known = [f"trainer.{each}" for each in settings(import_module("lightning").Trainer)]
    models = (import_module(f"lm_lab.training.{module}") for module in ("adaptation", "pretraining"))
    takes = (
        inspect.signature(getattr(each, name))
        for each, name in zip(models, ("adaptation_of", "Pretraining"), strict=True)
    )
    known += [f"model.{each}" for signature in takes for each in signature.parameters]
    known += ["config", "seed_everything", "ckpt_path", "delta", "text", "fresh"]
    known += [] if not group or group in _GROUPS else [f"{each}.{last}" for each in _GROUPS]
    return f"--{option}: there is no such option{did_you_mean(option, known)}"
