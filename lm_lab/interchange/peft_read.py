"""Read a PEFT adapter as a delta: LoRA and its kin, IA3, prompts. It gives PEFT's outputs, or it is refused."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.backbones.pooling import Pooling
from lm_lab.backbones.sites import linear_sizes
from lm_lab.data.encoding.encoding import Pairs
from lm_lab.errors import UsageError
from lm_lab.interchange.peft_config import CONFIG, Config, rank, read_config, require_target, scale
from lm_lab.interchange.peft_head import Head, how_read, load_head, read_head
from lm_lab.interchange.peft_tensors import Module, by_module
from lm_lab.interchange.peft_write import HEAD, TENSORS
from lm_lab.models import AdaptedModel
from lm_lab.models.tensors import read_tensors
from lm_lab.strategies import IA3, AdaptationStrategy, DoRA, LoRA, PromptTuning
from lm_lab.tasks import Task

_ROLES = ("qkv", "query", "key", "value", "attn_out", "mlp_in", "mlp_gate", "mlp_out")
_PROMPT = "prompt_embeddings"


class Imported(NamedTuple):
    """An adaptation with the adapter's weights, and whether its head came with them."""

    model: AdaptedModel
    has_head: bool


def read(
    folder: str | Path,
    backbone: TransformersBackbone,
    task: Task,
    pooling: Pooling | None = None,
    pairs: Pairs | None = None,
    fresh_head: bool = False,
) -> Imported:
    """The adapter in `folder` on a backbone that it fits.

    The head is the adapter's where we exported it, or where it is a RoBERTa's or a decoder's classifier; it is fresh
    where the adapter brings none, or `fresh_head` asks for it. One that we exported says how it reads (`pooling`,
    `pairs`); None takes that, or else the family's pooling and "cross_encoder".

    Raises:
        UsageError: no adapter there, a method, setting or head that has no counterpart here, or another architecture.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file() or not (folder / TENSORS).is_file():
        raise UsageError(f"'{folder}' holds no PEFT adapter; expected {CONFIG} and {TENSORS}.")
    config, tensors = read_config(folder), read_tensors(folder / TENSORS)
    prompt = tensors.pop(_PROMPT, None) if config["peft_type"] == "PROMPT_TUNING" else None
    modules, own = by_module(tensors, backbone, (folder / HEAD).is_file())
    strategy = _strategy(config, modules, prompt, backbone)
    head = Head() if fresh_head else read_head(folder, own, backbone, task, pooling)
    reading: dict[str, Any] = how_read(head, pooling=pooling, pairs=pairs)
    model = AdaptedModel(backbone, strategy, task, head=head.kind, **reading).eval()
    with torch.no_grad():
        _fill(model, config, modules, prompt)
        load_head(model, head)
    return Imported(model, bool(head.tensors))


def _strategy(
    config: Config, modules: Mapping[str, Module], prompt: Tensor | None, backbone: TransformersBackbone
) -> AdaptationStrategy:
    if config["peft_type"] == "PROMPT_TUNING":
        return _prompt(config, modules, prompt, backbone)
    for module in modules.values():
        require_target(config, module.name)
    if config["peft_type"] == "IA3":
        _roles(backbone, modules, 0)
        return IA3()
    skip = min((backbone.depth(name) for name in modules), default=1) - 1
    roles = _roles(backbone, modules, skip)
    for name, module in modules.items():  # before anything of that size is made
        module.take("lora_A", rank(config, module.name), linear_sizes(backbone.model.get_submodule(name))[0])
    ranks = {rank(config, module.name) for module in modules.values()}
    if len(ranks) != 1:
        raise UsageError(f"this adapter has ranks {sorted(ranks)} (rank_pattern); LoRA here has one for all its roles.")
    (r,) = ranks
    cls = DoRA if config["use_dora"] else LoRA
    # other scales of single modules go into their updates
    alpha = scale(config, next(iter(modules.values())).name) * (r**0.5 if config["use_rslora"] else r)
    return cls(r, float(alpha), float(config["lora_dropout"]), roles, config["use_rslora"], max(skip, 0))


def _prompt(
    config: Config, modules: Mapping[str, Module], prompt: Tensor | None, backbone: TransformersBackbone
) -> PromptTuning:
    if prompt is None or modules:
        raise UsageError(f"the adapter's tensors are not those of a prompt; expected {_PROMPT} and nothing else.")
    if backbone.encoder_decoder:
        raise UsageError("the prompt of an encoder-decoder cannot be imported; those of encoders and decoders can.")
    length = config["num_virtual_tokens"]
    shape = (len(prompt) if length is None and prompt.dim() else length, backbone.embedding_size)
    if tuple(prompt.shape) != shape:
        raise UsageError(f"{_PROMPT} is {list(prompt.shape)}; expected {list(shape)} (num_virtual_tokens, width).")
    return PromptTuning(length=len(prompt))


def _roles(backbone: TransformersBackbone, modules: Collection[str], skip: int) -> tuple[str, ...]:
    """Roles whose sites above the lowest `skip` blocks are exactly `modules`."""
    if not modules:
        raise UsageError("the adapter has no tensor of any module; was it saved empty?")
    found = {role for role in _ROLES if role in backbone.linear_roles}
    if "qkv" not in found:
        found |= {role for role in ("query", "key", "value") if backbone.has(role)}
    sites = {
        role: {match.name for match in backbone.sites(role) if match.layer > skip} for role in _ROLES if role in found
    }
    roles = tuple(role for role, names in sites.items() if names & set(modules))
    covered: set[str] = set().union(*(sites[role] for role in roles))
    if covered != set(modules):
        odd = sorted(covered ^ set(modules))[0]
        raise UsageError(
            f"the adapter covers {'not' if odd in covered else 'also'} {odd}: a role here is adapted in every layer "
            "above the lowest that are skipped, and nothing but linear layers of the blocks is."
        )
    return roles


def _fill(model: AdaptedModel, config: Config, modules: Mapping[str, Module], prompt: Tensor | None) -> None:
    if prompt is not None:
        model.backbone.get_submodule("model.prompt").get_parameter("vectors").copy_(prompt)
    elif isinstance(model.strategy, LoRA):
        _fill_updates(model.backbone, model.strategy, config, modules)
    else:
        _fill_scales(model.backbone, modules)


def _fill_updates(backbone: Backbone, strategy: LoRA, config: Config, modules: Mapping[str, Module]) -> None:
    for name, match in strategy.named_sites(backbone):
        delta: Any = match.module.get_submodule(name)
        own, (inputs, outputs) = modules[match.name], match.sizes
        delta.down.copy_(own.take("lora_A", strategy.rank, inputs))
        delta.up.copy_(own.take("lora_B", outputs, strategy.rank))
        delta.up.mul_(scale(config, own.name) / strategy.scale)
        if isinstance(strategy, DoRA):
            delta.magnitude.copy_(own.take("lora_magnitude_vector", outputs))


def _fill_scales(backbone: Backbone, modules: Mapping[str, Module]) -> None:
    for role in ("key", "value", "mlp_out"):
        for match in backbone.sites(role):
            if match.name not in modules:
                raise UsageError(f"the adapter lacks {match.name}; IA3 here scales keys, values and {role}.")
            inputs, outputs = linear_sizes(match.module)
            # of what enters a feed-forward module, and of what leaves another
            shape = (1, inputs) if role == "mlp_out" else (outputs, 1)
            factors = modules[match.name].take("ia3_l", *shape).flatten()
            if match.part is not None:
                _require_ones(factors, match.name, backbone)
                factors = match.part.take(factors)
            match.module.get_submodule(f"ia3_{role}").get_parameter("scale").copy_(factors)


def _require_ones(factors: Tensor, name: str, backbone: Backbone) -> None:
    (query,) = (match.part for match in backbone.sites("query") if match.name == name)
    if query is not None and not bool((query.take(factors) == 1).all()):
        raise UsageError(f"the adapter scales the queries in {name} too; IA3 here scales keys and values.")
