"""Which outputs of a fused projection are queries, keys and values: found by what they do.

With queries of zero every key is attended alike, so that keys may be anything and values may not. Each order in which
`transformers` lays them out is tried: side by side, interleaved by head (GPT-NeoX, BLOOM) or by group of heads that
share a key (Falcon), with the keys before the values or behind them (CodeGen).
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from lm_lab.backbones.sites import Part, linear_sizes
from lm_lab.backbones.trace import Run, undisturbed

Parts = dict[str, Part]
_CLOSE = 1e-4


class _Reached(Exception):  # noqa: N818  no error: the rest of a forward pass is not needed
    """Carries what entered the attention's output projection."""


def parts(model: PreTrainedModel, fused: nn.Module, out: nn.Module, run: Run) -> Parts | None:
    """The parts that are query, key and value, or None if no known order does what they do.

    Args:
        model: whole.
        fused: the projection.
        out: the linear layer that reads what was attended.
        run: calls the model.

    Raises:
        NotImplementedError: on the meta device, where there are no numbers.
    """
    if model.device.type == "meta":
        raise NotImplementedError("which outputs of a fused projection are queries is found from numbers")
    outputs = linear_sizes(fused)[1]
    with undisturbed(model):
        return next((found for found in _orders(model.config, outputs) if _holds(found, fused, out, run)), None)


def _orders(config: PreTrainedConfig, outputs: int) -> Iterator[Parts]:
    heads = config.num_attention_heads
    given = (getattr(config, name, None) for name in ("num_key_value_heads", "num_kv_heads"))
    for shared in dict.fromkeys([number for number in given if number] + [heads, 1]):
        if outputs % (heads + 2 * shared) or heads % shared:
            continue
        width = outputs // (heads + 2 * shared)
        for groups in (number for number in range(1, shared + 1) if shared % number == 0):
            first, more = heads // groups * width, shared // groups * width
            query, second = Part(0, first, groups), Part(first, first + more, groups)
            third = Part(first + more, first + 2 * more, groups)
            yield {"query": query, "key": second, "value": third}
            yield {"query": query, "key": third, "value": second}


def _holds(found: Parts, fused: nn.Module, out: nn.Module, run: Run) -> bool:
    """True if keys mean nothing to queries of zero, and values do."""

    def attended(*changed: str) -> Tensor:
        def change(_: nn.Module, __: Any, output: Tensor) -> Tensor:
            output = output.clone()
            generator = torch.Generator().manual_seed(0)
            for role in ("query", *changed):
                rows = found[role].rows(output.movedim(-1, 0))
                noise = torch.randn(rows.shape, generator=generator).to(rows) * 10
                rows.copy_(torch.zeros_like(rows) if role == "query" else noise)
            return output

        return _until(out, fused, change, run)

    plain = attended()
    return _near(attended("key"), plain) and not _near(attended("value"), plain)


def _until(out: nn.Module, fused: nn.Module, change: Callable[..., Tensor], run: Run) -> Tensor:
    """What enters `out` first, with the output of `fused` changed."""

    def stop(_: nn.Module, args: tuple[Any, ...]) -> None:
        raise _Reached(args[0].detach().clone())

    hooks = [fused.register_forward_hook(change), out.register_forward_pre_hook(stop)]
    try:
        run()
    except _Reached as reached:
        found: Tensor = reached.args[0]
        return found
    finally:
        for hook in hooks:
            hook.remove()
    raise AssertionError("the output projection was called in the trace")


def _near(a: Tensor, b: Tensor) -> bool:
    return bool(torch.allclose(a, b, rtol=_CLOSE, atol=_CLOSE * float(b.abs().max())))
