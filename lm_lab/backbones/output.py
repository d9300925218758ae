"""The output layer that a backbone was pretrained with as a language model: what its weights on disk hold of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedConfig

from lm_lab.backbones import identity, loading
from lm_lab.errors import UsageError

FACTS = "pretraining.json"  # in a folder of `lm-lab pretrain`: what it was pretrained on, by what
HEADS = "objective.safetensors"  # in a folder of `lm-lab pretrain`: what the objective trained beside the backbone
_WEIGHT, _BIAS = "lm_head.weight", "final_logits_bias"
_TRAINED = "output.weight"  # of `CausalLM`


@dataclass(frozen=True)
class Output:
    """logits = W (scale * h) + b.

    Attributes:
        weight: W (V, d) where it is not the table of token embeddings.
        bias: b (V,), if there is one.
        scale: of the states h.
    """

    weight: Tensor | None = None
    bias: Tensor | None = None
    scale: float = 1.0


def pretrained(config: PreTrainedConfig, table: Tensor, files: tuple[str, str | None] | None) -> Output:
    """That of a model of `transformers`.

    Args:
        config: says whether it is the table of embeddings.
        table: of embeddings (V, d).
        files: source and revision of the weights; None where they are random.

    Raises:
        UsageError: the configuration unties an output layer that the weights lack.
    """
    found = _read(*files, (_WEIGHT, _BIAS)) if files else {}
    if files and (trained := _trained_here(files[0], table.shape)) is not None:
        found[_WEIGHT] = trained
    scale = config.hidden_size**-0.5 if getattr(config, "scale_decoder_outputs", False) else 1.0
    bias = found[_BIAS].float().flatten() if _BIAS in found else None
    return Output(_own(config, table, files, found.get(_WEIGHT)), bias, scale)


def own(source: str | None, count: int, width: int) -> Output:
    """A matrix (V, d) of its own, where no table of embeddings is: that of a folder, else a random one."""
    found = None if source is None else _trained_here(source, (count, width))
    return Output(torch.empty(count, width).normal_(std=0.02) if found is None else found)


def _trained_here(source: str, shape: Sequence[int]) -> Tensor | None:
    """The matrix of this shape that `CausalLM` trained beside the weights in a folder."""
    path = Path(loading.locate(source)) / HEADS
    if not path.is_file():
        return None
    with safe_open(path, "pt") as tensors:
        found = tensors.get_tensor(_TRAINED) if _TRAINED in tensors.keys() else None  # noqa: SIM118
    return found if found is not None and found.shape == torch.Size(shape) else None


def _own(
    config: PreTrainedConfig, table: Tensor, files: tuple[str, str | None] | None, saved: Tensor | None
) -> Tensor | None:
    """The weight where it is not the table of embeddings."""
    if saved is not None:
        return None if torch.equal(saved.float(), table) else saved.float()
    if config.tie_word_embeddings:
        return None
    if files:
        raise UsageError(
            f"the weights at '{files[0]}' have no {_WEIGHT}, and their configuration says that it is not the table of "
            "embeddings (tie_word_embeddings: false); give weights that were saved with it."
        )
    return torch.empty_like(table).normal_(std=getattr(config, "initializer_range", 0.02))


def _read(source: str, revision: str | None, names: Iterable[str]) -> dict[str, Tensor]:
    """Those of the tensors called `names` that the weights on disk hold; nothing is unpickled."""
    found: dict[str, Tensor] = {}
    source = loading.locate(source)
    for file in identity.weight_files(source, None if Path(source).exists() else revision):
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as tensors:
                found |= {name: tensors.get_tensor(name) for name in names if name in tensors.keys()}  # noqa: SIM118
        else:
            held = torch.load(file, weights_only=True, mmap=True, map_location="cpu")
            found |= {name: held[name] for name in names if name in held}
    return found
