"""What a PEFT configuration says, field by field: what is read, what changes no output, and what must be off.

A field that stands in none of the tables, such as one of a later PEFT, must be off too: an adapter is read so that it
gives PEFT's outputs, or refused by the name of the field.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import regex

from lm_lab.errors import UsageError

CONFIG = "adapter_config.json"
KINDS = ("LORA", "IA3", "PROMPT_TUNING")
_LONGEST = 0.1  # seconds that one name may take against one pattern
Config = Mapping[str, Any]


def _is_names(value: Any) -> bool:
    return value is None or isinstance(value, str) or _is_list(value)


def _is_list(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(name, str) for name in value))


def _is_layers(value: Any) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return value is None or all(type(number) is int and number >= 0 for number in numbers)


def _is_rank(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_factor(value: Any) -> bool:
    return _is_number(value) and value != 0


def _is_switch(value: Any) -> bool:
    return type(value) is bool


def _pattern_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or (isinstance(value, dict) and all(fits(part) for part in value.values()))


# field -> PEFT's default, what fits, in words
_READ: dict[str, dict[str, tuple[Any, Callable[[Any], bool], str]]] = {
    "LORA": {
        "r": (8, _is_rank, "a whole number from 1"),
        "lora_alpha": (8, _is_factor, "a number other than 0"),
        "lora_dropout": (0.0, lambda value: _is_number(value) and 0 <= value < 1, "a number from 0, below 1"),
        "rank_pattern": ({}, _pattern_of(_is_rank), "ranks by module"),
        "alpha_pattern": ({}, _pattern_of(_is_factor), "numbers other than 0 by module"),
        "use_rslora": (False, _is_switch, "true or false"),
        "use_dora": (False, _is_switch, "true or false"),
        "layers_to_transform": (None, _is_layers, "numbers of layers"),
        "layers_pattern": (None, _is_names, "a list of names"),
        "bias": ("none", lambda value: value == "none", "none: trained biases have no place in LoRA here"),
        # the others (pissa, olora, corda, loftq, lora_ga, mica) change the weights under the adapter
        "init_lora_weights": (
            True,
            lambda value: _is_switch(value) or value in ("gaussian", "eva", "orthogonal"),
            "a start that leaves the backbone's own weights: true, false, gaussian, eva or orthogonal",
        ),
    },
    "IA3": {},
    "PROMPT_TUNING": {
        "num_virtual_tokens": (None, lambda value: value is None or _is_rank(value), "a whole number from 1"),
        "num_transformer_submodules": (None, lambda value: value in (None, 1), "1"),
    },
}
_PLACES: dict[str, tuple[Any, Callable[[Any], bool], str]] = {
    "target_modules": (None, _is_names, "a list of names, or a regular expression"),
    "exclude_modules": (None, _is_names, "a list of names, or a regular expression"),
    "modules_to_save": (None, _is_list, "a list of names"),
}
# no output depends on them: names and versions, how training starts, and what the tensors show by themselves
FREE = {
    *("peft_type", "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
    *("inference_mode", "fan_in_fan_out", "feedforward_modules", "init_ia3_weights"),
    *("loftq_config", "eva_config", "corda_config", "lora_ga_config", "runtime_config"),
    *("megatron_core", "qalora_group_size"),  # of megatron_config and use_qalora, which are refused
    *("token_dim", "num_attention_heads", "num_layers"),
    *("prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs"),
}


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of the adapter in `folder`, with PEFT's defaults for what is left out.

    Raises:
        UsageError: no JSON, another method, a value of another type, or a setting that has no counterpart here.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"'{path}' cannot be read: {error}; expected JSON as PEFT writes it.") from error
    if not isinstance(config, dict):
        raise UsageError(f"'{path}' holds {config!r:.80}; expected a mapping as PEFT writes it.")
    kind = config.get("peft_type")
    if kind not in KINDS:
        raise UsageError(f"peft_type={kind!r:.80} cannot be imported; LORA (with DoRA), IA3 and PROMPT_TUNING can.")
    read = _READ[kind] | _PLACES
    for field, value in config.items():
        if field in read:
            _, fits, words = read[field]
            if not fits(value):
                raise UsageError(f"{field}={value!r:.120} cannot be imported; expected {words}.")
        elif field not in FREE and value not in (None, False, [], {}):
            raise UsageError(f"{field}={value!r:.120} cannot be imported: it has no counterpart here.")
    return {field: default for field, (default, _, _) in read.items()} | config


def rank(config: Config, module: str) -> int:
    """r of a module, by PEFT's name of it."""
    return _by_pattern(config["rank_pattern"], module, config["r"])


def scale(config: Config, module: str) -> float:
    """What the update B A of a module is multiplied by."""
    r = rank(config, module)
    return _by_pattern(config["alpha_pattern"], module, config["lora_alpha"]) / (
        math.sqrt(r) if config["use_rslora"] else r
    )


def require_target(config: Config, module: str) -> None:
    """Raise `UsageError` for a module that PEFT would not adapt, whatever the file of tensors holds for it."""
    targets, excluded = config["target_modules"], config["exclude_modules"]
    if (targets is not None and not _matches(targets, module)) or (excluded and _matches(excluded, module)):
        raise UsageError(f"the adapter has tensors for {module}, which target_modules does not name; PEFT drops them.")
    layers = config.get("layers_to_transform")
    if layers not in (None, []) and _layer(config, module) not in (layers if isinstance(layers, list) else [layers]):
        raise UsageError(
            f"the adapter has tensors for {module}, which is in none of layers_to_transform={layers}; PEFT drops them."
        )


def _layer(config: Config, module: str) -> int | None:
    """The number of the layer that PEFT reads in a module's name: behind one of `layers_pattern`, or behind any."""
    given = config["layers_pattern"] or [r"[^.]*"]
    patterns = [given] if isinstance(given, str) else given
    found = (_match(rf"(.*\.)?{pattern}\.(?P<layer>\d+)\..*", module) for pattern in patterns)
    return next((int(match["layer"]) for match in found if match), None)


def _by_pattern(patterns: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """The value of the first pattern that the module's name ends with, as PEFT matches them."""
    return next((v for k, v in (patterns or {}).items() if _match(rf"(.*\.)?({k})", module)), default)


def _matches(names: str | list[str], module: str) -> bool:
    if isinstance(names, str):
        return names.lower() == "all-linear" or _match(names, module) is not None
    return any(module == name or module.endswith(f".{name}") for name in names)


def _match(pattern: str, module: str) -> "regex.Match[str] | None":
    """The match of all of a module's name. `re`, which PEFT uses, would try a hostile pattern for years."""
    try:
        re.compile(pattern)
        return regex.fullmatch(pattern, module, timeout=_LONGEST)
    except TimeoutError as error:
        raise UsageError(f"the pattern {pattern!r:.120} takes too long to match; expected a simple one.") from error
    except (re.error, regex.error, RecursionError, OverflowError) as error:
        raise UsageError(f"{pattern!r:.120} is no regular expression: {error}.") from error
