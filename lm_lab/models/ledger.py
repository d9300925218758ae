"""The ledger: what "parameters" means. The head is never silently in or out."""

from collections.abc import Callable
from functools import partial

import torch

from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.errors import UsageError
from lm_lab.models import delta
from lm_lab.models.adapted import AdaptedModel
from lm_lab.models.flops import inference_flops
from lm_lab.strategies.base import AdaptationStrategy, Delta
from lm_lab.tasks import Task

_LENGTH = 128  # tokens


def ledger(model: AdaptedModel) -> dict[str, int]:
    """Counts of an adaptation, which is finished thereby: what only training needs is counted, then dropped.

    backbone_trained: parameters of the backbone itself that train; added: parameters of deltas; head: the head's;
    trained: their sum; total: all parameters; delta_bytes: what a saved delta with its head takes.
    """
    found = counts(model)
    model.finish()
    state = model.state_dict()
    return found | {
        "delta_bytes": sum(state[name].numel() * state[name].element_size() for name in delta.keys(model)),
    }


def counts(model: AdaptedModel) -> dict[str, int]:
    """Those of `ledger` that are numbers of parameters; the model may be about to train."""
    added = {id(p) for m in model.backbone.modules() if isinstance(m, Delta) for p in m.parameters()}
    trained = [p for p in model.backbone.parameters() if p.requires_grad]
    found = {
        "backbone_trained": sum(p.numel() for p in trained if id(p) not in added),
        "added": sum(p.numel() for p in trained if id(p) in added),
        "head": sum(p.numel() for p in model.head.parameters()),
    }
    return found | {"trained": sum(found.values()), "total": sum(p.numel() for p in model.parameters())}


def full_ledger(
    source: str | Backbone, strategy: AdaptationStrategy, task: Task, serve: int, length: int | None = None
) -> dict[str, float]:
    """Everything a choice costs, without training. Where shapes tell, the model stands on the meta device.

    Args:
        source: a hub id, a folder or a configuration file; or a backbone, which is built again.
        strategy: how the backbone would be adapted.
        task: gives the head its outputs.
        serve: number of tasks to serve from one place.
        length: tokens of the text whose inference is counted; None takes 128, or as many as the model has room for.

    Raises:
        UsageError: `length` is more than the model has room for, beside what the strategy takes.

    The counts of `ledger`, and serve_bytes: one backbone and a delta a task, or whole models where nothing of the
    backbone is shared; inference_flops_ratio: operations of a forward pass, against the backbone's own;
    merged_flops_ratio: the same once the delta is folded into the weights, where that is possible.
    """
    make, static = _maker(source)
    for device in ["meta", "cpu"] if static else ["cpu"]:
        try:
            return _full_ledger(make, strategy, task, serve, length, device)
        except RuntimeError:  # NotImplementedError among them: numbers are needed, which no row said beforehand
            if device == "cpu":
                raise
    raise AssertionError


def _maker(source: str | Backbone) -> tuple[Callable[[], Backbone], bool]:
    """What builds the backbone without its weights, and whether the meta device will do."""
    if isinstance(source, Backbone):
        return source.again, False
    settings, static = TransformersBackbone.outline({"source": source})
    return partial(TransformersBackbone, **settings), static


def _full_ledger(
    make: Callable[[], Backbone], strategy: AdaptationStrategy, task: Task, serve: int, length: int | None, device: str
) -> dict[str, float]:
    with torch.device(device):
        plain = make()
        model = AdaptedModel(make(), strategy, task)
        length = _length(length, model.backbone.max_length)
        base = inference_flops(plain, length)
        counts: dict[str, float] = dict(ledger(model))
        ratio = _ratio(inference_flops(model.backbone, length), base)
        if model.strategy.merges:
            model.strategy.merge(model.backbone)
        merged = _ratio(inference_flops(model.backbone, length), base)
    own = [parameter.numel() * parameter.element_size() for parameter in plain.parameters()]
    trains_all = all(p.requires_grad for p in model.backbone.parameters())
    return counts | {
        "serve_bytes": (0 if trains_all else sum(own)) + serve * counts["delta_bytes"],
        "inference_flops_ratio": ratio,
        "merged_flops_ratio": merged,
    }


def _ratio(found: int, base: int) -> float:
    """1 where both are equal, none included: a table of vectors multiplies nothing."""
    return 1.0 if found == base else found / max(base, 1)


def _length(asked: int | None, room: int) -> int:
    if asked is not None and asked > room:
        raise UsageError(f"--length {asked}: this model has room for {room} tokens.")
    return asked or min(_LENGTH, room)
