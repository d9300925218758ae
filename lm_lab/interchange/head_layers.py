"""What our heads compute of one vector, as one or two layers; and the same written into a head of `transformers`.

Theirs are `out(x)`, or `out(act(hidden(x)))` with tanh (BERT, RoBERTa, XLNet, T5), a ReLU (DistilBERT) or a GELU
(ELECTRA, DeBERTa). A linear head s = W x + b goes through such an activation:

    act(z) - act(-z) = z               a ReLU, a GELU, a SiLU: hidden = [W; -W], out = [I, -I]: exact
    tanh(e z) / e = z (1 - (e z)^2 / 3 + ...)   hidden = e W, out = I / e; e = 2^-14 is exact in single precision

A norm behind the activation (ModernBERT) divides by sqrt(var + eps). With hidden = [e W; -e W] its input is so small
that eps is all that counts, up to e^2 var / (8 eps) of the score: out = [I, -I] sqrt(eps) / e, e = 2^-17.

Where `out` has no bias (the `score` of decoders), b is W d for some d, and d goes into the last layer norm's bias.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lm_lab.heads.scorers import LinearHead, MLPHead, ProbeHead

SMALL, TINY = 2.0**-14, 2.0**-17
Fill = Callable[[], None]
_HIDDEN = (
    *("pooler.dense", "pooler", "classifier.dense", "classification_head.dense", "pre_classifier"),
    "sequence_summary.summary",
)
_OF_TOKENS, _NORM = "head.dense", "head.norm"  # of each token too
_OUT = (
    *("classifier", "classifier.out_proj", "classification_head.out_proj", "logits_proj", "score", "qa_outputs"),
    *("classifier.3", "sequence_summary.summary"),
)


class Layer(NamedTuple):
    """weight (k, d) and bias (k,)."""

    weight: Tensor
    bias: Tensor


class Layers(NamedTuple):
    """out(tanh(hidden(x))), or out(x)."""

    out: Layer
    hidden: Layer | None = None


def layers_of(scorer: nn.Module) -> Layers | None:
    """The layers of one of our scorers; None for another one."""
    if isinstance(scorer, LinearHead):
        return Layers(_layer(scorer.out))
    if isinstance(scorer, MLPHead):
        return Layers(_layer(scorer.classifier.out), _layer(scorer.hidden))
    if isinstance(scorer, ProbeHead) and isinstance(scorer.hidden, nn.Identity):
        weight = scorer.out.weight / scorer.standardise.std
        return Layers(Layer(weight, scorer.out.bias - weight @ scorer.standardise.mean))
    return None


def fills(model: nn.Module, base: nn.Module, ours: Layers, tokens: bool) -> Iterator[Fill]:
    """Ways to write our layers into the head of a task's model; which one is right, its scores say.

    Args:
        model: of `transformers`, with a head.
        base: the part of it that gives states.
        ours: what is to be computed.
        tokens: of each token, where nothing pools.
    """
    out = _linear((model,), _OUT)
    hidden = _linear((model, base), (_OF_TOKENS,) if tokens else (*_HIDDEN, _OF_TOKENS))
    norm = dict(model.named_modules()).get(_NORM)
    if out is None or out is hidden:
        return
    if hidden is not None and isinstance(norm, nn.LayerNorm) and ours.hidden is None:
        yield partial(_through, hidden, out, ours.out, signed=True, norm=norm)
        return
    if ours.hidden is not None:
        if hidden is not None and hidden.weight.shape == ours.hidden.weight.shape:
            yield partial(_put_both, hidden, out, ours)
        return
    yield partial(_put_last, out, ours.out, base)
    if hidden is not None:
        yield partial(_through, hidden, out, ours.out, signed=True)
        yield partial(_through, hidden, out, ours.out, signed=False)


def _through(hidden: nn.Linear, out: nn.Linear, ours: Layer, signed: bool, norm: nn.LayerNorm | None = None) -> None:
    k = len(ours.bias)
    rows = torch.cat([ours.weight, -ours.weight]) if signed else SMALL * ours.weight
    eye = torch.eye(k)
    if norm is not None:
        rows, eye = TINY * rows, norm.eps**0.5 / TINY * eye
        _put(norm, Layer(torch.ones_like(norm.weight), torch.zeros_like(norm.weight)))
    reads = torch.cat([eye, -eye], 1) if signed else eye / SMALL
    if len(rows) > len(hidden.weight):
        return
    _put(hidden, Layer(_wide(rows, len(hidden.weight), 0), torch.zeros(len(hidden.weight))))
    _put(out, Layer(_wide(reads, out.weight.shape[1], 1), ours.bias))


def _wide(values: Tensor, size: int, dim: int) -> Tensor:
    """`values` with zeros behind, `size` along a dimension."""
    shape = list(values.shape)
    shape[dim] = size - shape[dim]
    return torch.cat([values, values.new_zeros(shape)], dim)


def _put_last(out: Any, ours: Layer, base: nn.Module) -> None:
    if out.bias is not None or not bool(ours.bias.any()):
        _put(out, ours)
        return
    out.weight.copy_(ours.weight)
    norms = [(name.count("."), module) for name, module in base.named_modules() if isinstance(module, nn.LayerNorm)]
    last = [norm for depth, norm in norms if depth == min(depth for depth, _ in norms)][-1:]  # not one of a block
    if last and last[0].bias is not None and len(last[0].bias) == ours.weight.shape[1]:
        taken_up = torch.linalg.lstsq(ours.weight.double(), ours.bias.double()[:, None]).solution[:, 0]
        last[0].bias.add_(taken_up.to(ours.bias.dtype))


def _put_both(hidden: nn.Linear, out: nn.Linear, ours: Layers) -> None:
    assert ours.hidden is not None
    _put(hidden, ours.hidden)
    _put(out, ours.out)


def _put(theirs: Any, ours: Layer) -> None:
    if theirs.weight.shape == ours.weight.shape:
        theirs.weight.copy_(ours.weight)
        if theirs.bias is not None:
            theirs.bias.copy_(ours.bias)


def _layer(linear: Any) -> Layer:
    bias = linear.weight.new_zeros(len(linear.weight)) if linear.bias is None else linear.bias
    return Layer(linear.weight.detach(), bias.detach())


def _linear(models: tuple[nn.Module, ...], names: tuple[str, ...]) -> nn.Linear | None:
    """The first linear layer that one of the models has under one of the names."""
    for model in models:
        modules = dict(model.named_modules())
        for name in names:
            if isinstance(found := modules.get(name), nn.Linear):
                return found
    return None
