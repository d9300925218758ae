"""Read a PEFT adapter as a delta: LoRA and its kin, IA3, prompts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.backbones.pooling import Pooling
from lm_lab.data.encoding import Pairs
from lm_lab.errors import UsageError
from lm_lab.interchange.peft_write import CONFIG, HEAD, TENSORS
from lm_lab.strategies import IA3, AdaptationStrategy, DoRA, LoRA, PromptTuning
from lm_lab.strategies.dora import Decomposed
from lm_lab.strategies.heads import HeadKind
from lm_lab.tasks import TextTask
from lm_lab.training.adaptation import Adaptation

_ROLES = ("qkv", "query", "key", "value", "attn_out", "mlp_in", "mlp_gate", "mlp_out")
_PREFIX = "base_model.model."


class Imported(NamedTuple):
    """An adaptation with the adapter's weights, and whether its head came with them."""

    model: Adaptation
    has_head: bool


def read(
    folder: str | Path, backbone: Backbone, task: TextTask, pooling: Pooling | None = None, pairs: Pairs = "joint"
) -> Imported:
    """The adapter in `folder` on a backbone that it fits; the head is fresh unless we exported the adapter.

    Raises:
        UsageError: no adapter there, a method or setting that has no counterpart here, or another architecture.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file() or not (folder / TENSORS).is_file():
        raise UsageError(f"'{folder}' holds no PEFT adapter; expected {CONFIG} and {TENSORS}.")
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    tensors = load_file(folder / TENSORS)
    strategy = _strategy(config, tensors, backbone)
    head = load_file(folder / HEAD) if (folder / HEAD).is_file() else {}
    kind: HeadKind | None = "mlp" if "scorer.classifier.out.weight" in head else None
    model = Adaptation(backbone, strategy, task, pooling=pooling, pairs=pairs, head=kind).eval()
    with torch.no_grad():
        _fill(model, strategy, tensors)
    if head:
        model.head.load_state_dict(head)
    return Imported(model, bool(head))


def _strategy(config: Mapping[str, Any], tensors: Mapping[str, Tensor], backbone: Backbone) -> AdaptationStrategy:
    kind = config.get("peft_type")
    if kind == "PROMPT_TUNING":
        return PromptTuning(length=len(tensors["prompt_embeddings"]))
    if kind not in ("LORA", "IA3"):
        raise UsageError(f"peft_type={kind!r} cannot be imported; LORA (with DoRA), IA3 and PROMPT_TUNING can.")
    if config.get("bias", "none") != "none":
        raise UsageError(f"bias={config['bias']!r}: this adapter trains biases too, which LoRA here does not.")
    modules = {_module(backbone, name) for name in tensors if "ia3_l" in name or "lora_" in name}
    roles = _roles(backbone, modules)
    if kind == "IA3":
        return IA3()
    kinds = {tensor.shape[0] for name, tensor in tensors.items() if name.endswith("lora_A.weight")}
    if len(kinds) != 1:
        raise UsageError(f"this adapter has ranks {sorted(kinds)}; LoRA here has one rank for all its roles.")
    (rank,) = kinds
    stabilised = bool(config.get("use_rslora"))
    alphas = set(config.get("alpha_pattern", {}).values()) or {config["lora_alpha"]}
    if len(alphas) != 1:
        raise UsageError(f"this adapter has several alphas, {sorted(alphas)}; LoRA here has one.")
    cls = DoRA if config.get("use_dora") else LoRA
    return cls(rank, float(alphas.pop()), float(config.get("lora_dropout", 0.0)), roles, stabilised)


def _roles(backbone: Backbone, modules: set[str]) -> tuple[str, ...]:
    """Roles whose sites are exactly `modules`."""
    sites = {role: {match.name for match in backbone.sites(role)} for role in _ROLES if role in backbone.linear_roles}
    if "qkv" not in sites:
        sites |= {r: {m.name for m in backbone.sites(r)} for r in ("query", "key", "value") if backbone.has(r)}
    roles = tuple(role for role, names in sites.items() if names & modules)
    covered = set().union(*(sites[role] for role in roles))
    if covered != modules:
        odd = sorted(covered ^ modules)[0]
        raise UsageError(
            f"the adapter covers {'not' if odd in covered else 'also'} {odd}: a role here is adapted in every layer, "
            "and nothing but linear layers of the blocks is."
        )
    return roles


def _module(backbone: Backbone, key: str) -> str:
    """Name of the module that `key` belongs to; a task's model calls its backbone by a name of its own."""
    name = key.removeprefix(_PREFIX)
    name = name.split(".lora_")[0].removesuffix(".ia3_l")
    known = {found for found, _ in backbone.model.named_modules()}
    for candidate in (name, name.partition(".")[2]):
        if candidate in known:
            return candidate
    raise UsageError(f"the adapter changes {name}, which {type(backbone.model).__name__} does not have.")


def _fill(model: Adaptation, strategy: AdaptationStrategy, tensors: Mapping[str, Tensor]) -> None:
    backbone = model.backbone
    if isinstance(strategy, PromptTuning):
        backbone.model.get_submodule("prompt").get_parameter("vectors").copy_(tensors["prompt_embeddings"])
        return
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind = next((kind for kind in ("lora_A", "lora_B", "lora_magnitude_vector", "ia3_l") if kind in key), None)
        if kind:
            found.setdefault(_module(backbone, key), {})[kind] = value
    if isinstance(strategy, LoRA):
        for name, match in strategy.named_sites(backbone):
            delta, own = match.module.get_submodule(name), found[match.name]
            delta.get_parameter("down").copy_(own["lora_A"])
            delta.get_parameter("up").copy_(own["lora_B"])
            if isinstance(delta, Decomposed):
                delta.magnitude.copy_(own["lora_magnitude_vector"])
        return
    for role in ("key", "value", "mlp_out"):
        for match in backbone.sites(role):
            if match.name not in found:
                raise UsageError(f"the adapter lacks {match.name}; IA3 here scales keys, values and {role}.")
            scale = found[match.name]["ia3_l"].flatten()
            if match.part is not None:
                _require_ones(scale, match.name, backbone)
                scale = scale[match.part]
            match.module.get_submodule(f"ia3_{role}").get_parameter("scale").copy_(scale)


def _require_ones(scale: Tensor, name: str, backbone: Backbone) -> None:
    (query,) = (match.part for match in backbone.sites("query") if match.name == name)
    if query is not None and not bool((scale[query] == 1).all()):
        raise UsageError(f"the adapter scales the queries in {name} too; IA3 here scales keys and values.")
