"""`lm-lab completion bash|zsh|fish|...`: a script with which a shell completes commands, options, classes, settings.

jsonargparse's own script lists every setting of every class inside every class that may hold it, 34 MB for
`adapt fit`; here a class's settings are listed once, by the option that names the class.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from inspect import isclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import jsonargparse
import shtab

from lm_lab.commands import COMMANDS, module_of
from lm_lab.commands.arguments import Arguments
from lm_lab.config.class_names import HOMES, built_as, settings

_TRAINED = ("adapt", "pretrain")
_ELSEWHERE = ("torch.optim", "lightning.pytorch.callbacks", "lm_lab.training.callbacks", "lightning.pytorch.loggers")
_FILES = ("config", "text", "out", "plot", "source", "delta", "suite", "ckpt_path", "folder")


def main(args: list[str]) -> int:
    """Print the script."""
    options = parser().parse_args(args)
    print(shtab.complete(every_command(), options.shell))
    return 0


def parser() -> argparse.ArgumentParser:
    """What reads its arguments."""
    made = Arguments("lm-lab completion", description="Print a script with which a shell completes lm-lab's words.")
    made.add_argument("shell", choices=shtab.SUPPORTED_SHELLS)
    return made


def every_command() -> argparse.ArgumentParser:
    """One parser of all commands, plain enough for shtab."""
    root = argparse.ArgumentParser("lm-lab")
    commands = root.add_subparsers()
    for name, about in COMMANDS.items():
        module: Any = import_module(module_of(name))
        given = jsonargparse.capture_parser(partial(module.main, [])) if name in _TRAINED else module.parser()
        _copy(given, commands.add_parser(name, help=about))
    return root


def _copy(given: argparse.ArgumentParser, made: argparse.ArgumentParser) -> None:
    for action in given._actions:
        if isinstance(action, argparse._SubParsersAction):
            below = made.add_subparsers()
            for name, each in action._name_parser_map.items():
                _copy(
                    each, below.add_parser(name, help=each.description or name)
                )  # shtab leaves out those without help
        elif not isinstance(action, argparse._HelpAction) and (action.option_strings or action.nargs != 0):
            _add(action, made)


def _add(action: argparse.Action, made: argparse.ArgumentParser) -> None:
    """An option like `action`, and one for each setting of the classes that it may name."""
    hint = getattr(action, "_typehint", action.type)
    kinds = {name: each for one in _classes_in(hint) for name, each in built_as(one, (*HOMES, *_ELSEWHERE)).items()}
    choices = [*(action.choices or ()), *_words_of(hint), *kinds]
    names = action.option_strings or [action.dest]
    takes: Any = {"action": "store_true"} if action.nargs == 0 else {}
    added: Any = made.add_argument(*names, help=(action.help or "").partition("\n")[0].replace("%", "%%"), **takes)
    if choices:
        added.choices = list(dict.fromkeys(map(str, choices)))
    elif (isclass(hint) and issubclass(hint, Path)) or action.dest.rpartition(".")[2] in _FILES:
        added.complete = shtab.FILE
    if names[0].startswith("--") and not names[0].endswith(".help"):
        for name in sorted({name for kind in kinds.values() for name in settings(kind)}):
            made.add_argument(f"{names[0]}.{name}")


def _classes_in(hint: Any) -> Iterator[type]:
    """The classes that a type names, which a word may stand for: `list[Callback] | None` names Callback."""
    if isclass(hint) and get_origin(hint) is None:
        if hint.__module__.partition(".")[0] in ("lm_lab", "lightning", "torch"):
            yield hint
    else:
        parts = get_args(hint)[-1:] if "Callable" in str(get_origin(hint)) else get_args(hint)
        for part in parts:
            yield from _classes_in(part)


def _words_of(hint: Any) -> Iterator[str]:
    """The words that a type allows: of a Literal, of truth values."""
    if get_origin(hint) is Literal:
        yield from (str(word).lower() if isinstance(word, bool) else str(word) for word in get_args(hint))
    elif hint is bool:
        yield from ("true", "false")
    else:
        for part in get_args(hint):
            if part is not NoneType:
                yield from _words_of(part)
