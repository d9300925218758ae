"""An adapted backbone as an ordinary `transformers` folder: the delta is part of the weights, and nothing is added.

    AutoModel.from_pretrained(folder) gives the states of our adapted backbone

Updates of weights merge (LoRA, DoRA, VeRA, IA3, random masks), and what trains the weights themselves is merged
already (full and partial fine-tuning, biases, norms). Adapters, prompts and prefixes compute what no weight of the
model does. The head has no place in a bare model, so it stands beside, in head.safetensors.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from lm_lab.atomic import replacing
from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.interchange.peft_write import HEAD, reading
from lm_lab.models import AdaptedModel
from lm_lab.strategies import AdaptationStrategy, Combination
from lm_lab.strategies.base import Delta

TOLERANCE = 1e-4  # of sums in another order, on states of order 1
ROWS, LENGTH = 2, 8


def save_merged(model: AdaptedModel, folder: str | Path) -> Path:
    """Merge the delta of `model` into its backbone, in place, and write that with its tokenizer to `folder`.

    Raises:
        UsageError: a part of the strategy cannot be merged, or merging would change what the backbone computes; the
            folder is there already.
    """
    folder = Path(folder)
    require_new(folder)
    merge(model)
    with replacing(folder) as new:
        new.mkdir()
        model.backbone.write(new)
        save_file(
            {name: value.detach().contiguous() for name, value in model.head.state_dict().items()},
            new / HEAD,
            metadata=reading(model),
        )
    return folder


def require_new(folder: Path) -> None:
    """Raise `UsageError` if there is such a folder."""
    if folder.exists():
        raise UsageError(f"'{folder}' exists; give a new folder for the merged model.")


@torch.no_grad()
def merge(model: AdaptedModel) -> None:
    """Merge the delta into the weights, and see on random tokens that states stay; errors as of `save_merged`."""
    backbone, name = model.cpu().backbone.eval(), type(model.strategy).__name__
    before = _states(backbone)
    for part in _parts(model.strategy):
        if part.merges:
            part.merge(backbone)
    left = [where for where, module in backbone.named_modules() if isinstance(module, Delta)]
    if left:
        raise UsageError(
            f"{name} cannot be merged into the weights of {backbone.kind}: {left[0]} computes what none "
            "of them does. LoRA, DoRA, VeRA, IA3, random masks, and what trains the weights themselves can."
        )
    difference = (_states(backbone) - before).abs().max().item()
    if not difference <= TOLERANCE * max(1.0, before.abs().max().item()):
        raise UsageError(
            f"{name} cannot be merged exactly: states would change by {difference:.2g}. Parts that change the same "
            "layers merge in their own order alone."
        )


def _parts(strategy: AdaptationStrategy) -> Iterator[AdaptationStrategy]:
    if isinstance(strategy, Combination):
        for part in strategy.strategies:
            yield from _parts(part)
    else:
        yield strategy


def _states(backbone: Backbone) -> Tensor:
    """(2, 8, d) of random tokens."""
    size = backbone.vocabulary_size
    ids = torch.randint(size, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    return backbone.last(input_ids=ids, attention_mask=torch.ones_like(ids))
