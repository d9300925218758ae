"""The folder of a backbone of our own: its shape as JSON, weights, tokenizer, and how embeddings are computed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lm_lab.backbones.base import Backbone
from lm_lab.backbones.embeddings import base as embeddings
from lm_lab.backbones.embeddings.base import TokenEmbeddings
from lm_lab.errors import UsageError

WEIGHTS = "model.safetensors"
Shape = dict[str, int]


def shape(folder: Path, name: str, given: Shape) -> tuple[Shape, bool]:
    """What the file `name` says, or what was given where it is not there; and whether there are weights of this shape.

    Raises:
        UsageError: the file lacks one of the given numbers.
    """
    path = folder / name
    if not path.is_file():
        return given, False
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return {key: int(said[key]) for key in given}, (folder / WEIGHTS).is_file()
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is damaged: expected {' and '.join(given)}.") from error


def write(
    backbone: Backbone,
    folder: Path,
    name: str,
    shape: Shape,
    settings: TokenEmbeddings | None,
    state: Mapping[str, Tensor] | None,
) -> None:
    """Write what `shape`, `load` and `embeddings.read` read; `state` is the whole of the weights where it is given."""
    whole = backbone.state_dict() if state is None else state
    save_file({key: value.detach().cpu().contiguous() for key, value in whole.items()}, folder / WEIGHTS)
    (folder / name).write_text(json.dumps(shape) + "\n", encoding="utf-8")
    embeddings.write(settings, folder, backbone.tokenizer)
    backbone.tokenizer.save_pretrained(folder)


def load(backbone: nn.Module, folder: Path) -> None:
    """Put the folder's weights into a backbone. Raises `UsageError` unless they fit."""
    try:
        backbone.load_state_dict(load_file(folder / WEIGHTS))
    except Exception as error:  # of a damaged file, safetensors raises one of its own
        said = " ".join(str(error).split())
        raise UsageError(f"{folder / WEIGHTS} does not fit this {type(backbone).__name__}: {said:.200}") from error


def token_table(tokenizer: Any, width: int, half_range: float) -> nn.Embedding:
    """A fresh table of embeddings, drawn evenly from the range."""
    table = nn.Embedding(len(tokenizer), width)
    nn.init.uniform_(table.weight, -half_range, half_range)
    return table


def open_forget_gates(layer: nn.Module) -> None:
    """Set the biases of forget gates, the second of four, to 1 (Jozefowicz et al. 2015)."""
    nn.init.ones_(layer.get_parameter("bias_hh_l0").chunk(4)[1])
