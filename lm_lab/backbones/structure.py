"""Where the blocks of a model are, what stands around them, its norms and linear layers: from its modules alone."""

from collections.abc import Iterator, Sequence
from itertools import chain

from torch import nn
from transformers import PreTrainedConfig

from lm_lab.backbones.sites import LINEAR, Sites, is_linear, within

_DEPTHS = ("num_hidden_layers", "encoder_layers", "decoder_layers", "num_layers", "num_decoder_layers")
Layers = list[tuple[str, ...]]
_UNKNOWN = "what a linear layer does is inferred of models of transformers alone; the role linear takes them all"


def sites(model: nn.Module, depth: int) -> Sites:
    """What plays which role in a module of any making: its blocks, all linear layers in them, norms, and the rest.

    Blocks are a list of `depth` modules, of several the one with most parameters.
    """
    lists = [names for _, names in _lists(model, "") if len(names) == depth]
    blocks = max(lists, key=lambda names: _size(model, names), default=[])
    inside = [name for name, module in model.named_modules() if is_linear(module)]
    rest = around(model, [(name,) for name in blocks])
    order = {name: number for number, (name, _) in enumerate(model.named_modules())}
    behind = [name for name in rest if blocks and order[name] > order[blocks[-1]]]
    found = {
        "block": blocks,
        "embeddings": [name for name in rest if name not in behind],
        "final_norm": behind,
        "norm": norms(model),
        "linear": [name for name in inside if any(within(name, block) for block in blocks)],
    }
    roles = {role: [(name, None) for name in names] for role, names in found.items() if names}
    why = _UNKNOWN if "linear" in roles else "it has no blocks with linear layers"
    return Sites(roles, dict.fromkeys(LINEAR, why), [(name,) for name in blocks], behind)


def layers(model: nn.Module, config: PreTrainedConfig) -> Layers:
    """Names of the modules of each block, an encoder's before its decoder's: one a block, as a rule.

    Blocks are the list of modules that repeats as often as the configuration says, or else has most parameters. Lists
    of one length in one place (XLM's `attentions` and `ffns`) are the parts of the same blocks.
    """
    depths = {getattr(config, name, None) for name in _DEPTHS} | {
        getattr(part, "num_hidden_layers", None)
        for part in (getattr(config, name, None) for name in ("encoder", "decoder"))
    }
    found: Layers = []
    for prefix, stack in _stacks(model, config):
        groups: dict[tuple[str, int], list[list[str]]] = {}
        for name, children in _lists(stack, prefix):
            groups.setdefault((name.rpartition(".")[0], len(children)), []).append(children)
        best = max(groups, key=lambda key: (key[1] in depths, _size(model, chain(*groups[key]))), default=None)
        found += list(zip(*groups[best], strict=True)) if best else []
    return found


def around(model: nn.Module, blocks: Layers) -> list[str]:
    """The largest modules with parameters that are no part of a block, in the order of the model's own list."""
    names, seen, found = list(chain(*blocks)), set[int](), list[str]()

    def visit(module: nn.Module, prefix: str) -> None:
        for child_name, child in module.named_children():
            name = f"{prefix}{child_name}"
            new = {id(p) for p in child.parameters()} - seen
            if name in names or not new or child_name == "pooler":  # which no state comes from
                continue
            if any(within(block, name) for block in names):
                visit(child, f"{name}.")
            else:
                seen.update(new)
                found.append(name)

    visit(model, "")
    return found


def norms(model: nn.Module) -> list[str]:
    """Every normalisation: what is called so, with weights of its own or without a module inside."""
    return [
        name
        for name, module in model.named_modules()
        if is_norm(module) and (module._parameters or not list(module.children()))
    ]


def is_norm(module: nn.Module) -> bool:
    """True for what is called a norm."""
    return "Norm" in type(module).__name__ and not isinstance(module, nn.ModuleList)


def has_experts(block: nn.Module) -> bool:
    """True for a block that routes tokens to experts: their weights are stacked, or they are a list of this name."""
    stacked = any(p.dim() == 3 and "expert" in name for name, p in block.named_parameters())
    return stacked or any(
        name.endswith("experts") and isinstance(module, nn.ModuleList | nn.ModuleDict)
        for name, module in block.named_modules()
    )


def _stacks(model: nn.Module, config: PreTrainedConfig) -> list[tuple[str, nn.Module]]:
    """The model, or its encoder and its decoder, with the beginning of the names in it."""
    if not getattr(config, "is_encoder_decoder", False):
        return [("", model)]
    parts = {id(part) for part in (model.get_encoder(), model.get_decoder())}  # type: ignore[operator]
    return [(f"{name}.", module) for name, module in model.named_modules() if id(module) in parts]


def _lists(module: nn.Module, prefix: str) -> Iterator[tuple[str, list[str]]]:
    """Outermost lists of modules, with the names of what is in them; a list of lists (Funnel's) counts as one."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList):
            yield f"{prefix}{name}", list(_members(child, f"{prefix}{name}"))
        else:
            yield from _lists(child, f"{prefix}{name}.")


def _members(children: nn.ModuleList, prefix: str) -> Iterator[str]:
    for number, child in enumerate(children):
        name = f"{prefix}.{number}"
        if isinstance(child, nn.ModuleList):
            yield from _members(child, name)
        else:
            yield name


def _size(model: nn.Module, names: Sequence[str] | Iterator[str]) -> int:
    return sum(p.numel() for name in names for p in model.get_submodule(name).parameters())
