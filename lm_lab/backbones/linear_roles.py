"""The linear layers of a block by role, from the names that `transformers` gives them, in the order of their calls."""

import re
from collections.abc import Iterable, Iterator

from torch import nn

from lm_lab.backbones import structure
from lm_lab.backbones.sites import Part, is_linear, linear_sizes, within
from lm_lab.backbones.structure import Layers
from lm_lab.backbones.trace import Trace

Found = dict[str, list[tuple[str, Part | None]]]
_ATTENTION = {
    "query": r"(q|query|Wq)(_proj|_lin)?(_global)?",
    "key": r"(k|key|Wk)(_proj|_lin)?(_global)?",
    "value": r"(v|value|Wv)(_proj|_lin)?(_global)?",
}
_FUSED = r"(c_attn|qkv|qkv_proj|query_key_value|Wqkv)|.*att.*\.in_proj"
_ATTENDED = r"(.*\.)?(o|o_proj|out_proj|out_lin|Wo|c_proj|dense|output)"
_FEED_FORWARD = {
    "mlp_gate": r"(gate_proj|wi_0|w1)",
    "mlp_in": r"(up_proj|wi|wi_1|Wi|w3|fc1|fc_in|c_fc|lin1|layer_1|dense_h_to_4h|gate_up_proj|ffn|ffn\.0|dense\.dense"
    r"|intermediate|intermediate\.(dense|fc\w*))",
    "mlp_out": r"(down_proj|wo|Wo|w2|fc2|fc_out|c_proj|lin2|layer_2|dense_4h_to_h|ffn_output|ffn\.2"
    r"|output|output\.dense)",
}
_EXPERTS = "its feed-forward layers are experts, to which tokens are routed"


def infer(model: nn.Module, blocks: Layers, watched: Trace, missing: dict[str, str]) -> Found:
    """Roles of the linear layers that a forward pass calls; `missing` gets the reasons for those that are not found."""
    found: Found = {}
    for name in (name for parts in blocks for name in parts):
        block = model.get_submodule(name)
        calls = [call.name for call in watched.calls if within(call.name, name) and call.output is not None]
        linear = [call for call in dict.fromkeys(calls) if is_linear(model.get_submodule(call))]
        taken = dict(_attention(model, linear))
        rest = [layer for layer in linear if layer not in taken]
        if structure.has_experts(block):
            missing |= dict.fromkeys(_FEED_FORWARD, _EXPERTS)
        else:
            taken |= dict(_feed_forward(model, rest))
        for layer in linear:
            found.setdefault(taken.get(layer, "linear"), []).append((layer, None))
    for role in (*_ATTENTION, "attn_out", *_FEED_FORWARD):
        if role not in found:
            missing.setdefault(role, _reason(model, role, blocks))
    return found


def _attention(model: nn.Module, linear: list[str]) -> Iterator[tuple[str, str]]:
    """(layer, role) of each attention of a block: projections beside each other, and the layer that follows them."""
    for parent in dict.fromkeys(layer.rpartition(".")[0] for layer in linear):
        own = [layer for layer in linear if layer.rpartition(".")[0] == parent]
        roles = {layer: role for role, names in _ATTENTION.items() for layer in own if _called(layer, names)}
        if set(roles.values()) != set(_ATTENTION):
            roles = {layer: "qkv" for layer in own if re.fullmatch(rf"(.*\.)?({_FUSED})", layer)}
        if not roles:
            continue
        yield from roles.items()
        width = linear_sizes(model.get_submodule(next(iter(roles))))[0]
        later = linear[max(map(linear.index, roles)) + 1 :]
        yield from _first(layer for layer in later if re.fullmatch(_ATTENDED, layer) and _gives(model, layer, width))


def _first(layers: Iterator[str]) -> Iterator[tuple[str, str]]:
    for layer in layers:
        yield layer, "attn_out"
        return


def _feed_forward(model: nn.Module, linear: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(layer, role): one or two layers that widen, and the one behind them that reads as much as they give."""
    wide: dict[str, str] = {}
    for layer in linear:
        role = next((role for role, names in _FEED_FORWARD.items() if _called(layer, names)), None)
        if role == "mlp_out":
            inputs, outputs = linear_sizes(model.get_submodule(layer))
            sizes = {linear_sizes(model.get_submodule(name)) for name in wide}
            if wide and sizes <= {(outputs, inputs), (outputs, 2 * inputs)}:  # an input and its gate may be one layer
                yield from wide.items()
                yield layer, "mlp_out"
            wide = {}
        elif role is not None:
            wide[layer] = role


def _called(layer: str, names: str) -> bool:
    return re.fullmatch(rf"(.*\.)?{names}", layer) is not None


def _gives(model: nn.Module, layer: str, width: int) -> bool:
    return linear_sizes(model.get_submodule(layer))[1] == width


def _reason(model: nn.Module, role: str, blocks: Layers) -> str:
    """Why there is no layer for a role: what bears its name is something else, or nothing does."""
    if not blocks:
        return "it has no blocks"
    names = _ATTENTION.get(role) or _FEED_FORWARD.get(role) or _ATTENDED
    for name, module in model.named_modules():
        inside = any(within(name, block) for parts in blocks for block in parts)
        if inside and module._parameters and not is_linear(module) and _called(name, names):
            return f"{name} is a {type(module).__name__}, no linear layer"
    if role in _ATTENTION:
        return "no block has linear layers for queries, keys and values beside each other"
    return "no linear layer of a block is called or placed so"
