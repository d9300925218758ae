"""A left-to-right LSTM as a backbone: what language models were before the Transformer, and a curve's second baseline.

    h_0 = E x        h_l = LSTM_l(dropout(h_{l-1}))        l = 1 .. L        (Zaremba et al. 2014, arXiv 1409.2329)

A token's state has seen those to its left. The output layer of a language model is the table E (Press and Wolf 2017,
https://arxiv.org/abs/1608.05859), so states are as wide as embeddings. Forget gates begin open, with a bias of 1
(Jozefowicz et al. 2015).
"""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lm_lab.backbones import loading
from lm_lab.backbones.base import Backbone
from lm_lab.errors import UsageError

_SHAPE, _WEIGHTS = "lstm.json", "model.safetensors"
_INITIAL = 0.1  # half of the range of a fresh embedding


class LSTM(Backbone):
    """Hidden states of the embeddings and of each layer.

    Args:
        source: a folder that this class wrote, or, for random weights, any with a tokenizer.
        pretrained: False takes the shape of `source` with random weights.
        width: of embeddings and states; of a folder that this class wrote, its own.
        layers: how many; as `width`.
        dropout: between layers.

    Raises:
        UsageError: there is no tokenizer, or a damaged folder, or a number is out of range.
    """

    causal = True

    def __init__(
        self, source: str, pretrained: bool = True, width: int = 256, layers: int = 2, dropout: float = 0.0
    ) -> None:
        given = {"pretrained": pretrained, "width": width, "layers": layers, "dropout": dropout}
        super().__init__(source=source, **given)
        if width < 1 or layers < 1 or not 0 <= dropout < 1:
            raise UsageError(f"width={width}, layers={layers}, dropout={dropout}: expected 1 or more of each, 0 to 1.")
        folder = Path(loading.locate(source))
        shape = _read(folder / _SHAPE) if (folder / _SHAPE).is_file() else {"width": width, "layers": layers}
        self.tokenizer = loading.load_tokenizer(str(folder))
        self.hidden_size, self.num_layers = shape["width"], shape["layers"]
        self.embeddings = nn.Embedding(len(self.tokenizer), self.hidden_size)
        nn.init.uniform_(self.embeddings.weight, -_INITIAL, _INITIAL)
        self.layers = nn.ModuleList(
            nn.LSTM(self.hidden_size, self.hidden_size, batch_first=True) for _ in range(self.num_layers)
        )
        for layer in self.layers:  # gates stand in the order input, forget, cell, output
            nn.init.ones_(layer.get_parameter("bias_hh_l0")[self.hidden_size : 2 * self.hidden_size])
        self.dropout = nn.Dropout(dropout)
        self.pretrained = pretrained and (folder / _WEIGHTS).is_file() and (folder / _SHAPE).is_file()
        if self.pretrained:
            self._load(folder / _WEIGHTS)

    def forward(self, **encoding: Tensor) -> tuple[Tensor, ...]:
        """L + 1 states (b, t, d); what stands to the right of a token, padding too, changes none of its states."""
        states = [self.embeddings(encoding["input_ids"])]
        for layer in self.layers:
            states.append(layer(self.dropout(states[-1]))[0])
        return tuple(states)

    def randomised(self) -> "LSTM":
        """The same shape with random weights."""
        return LSTM(**self.settings | {"pretrained": False})

    def write(self, folder: Path, state: Mapping[str, Tensor] | None = None) -> None:
        """Write a folder that this class loads."""
        whole = self.state_dict() if state is None else state
        save_file({name: value.detach().cpu().contiguous() for name, value in whole.items()}, folder / _WEIGHTS)
        (folder / _SHAPE).write_text(json.dumps({"width": self.hidden_size, "layers": self.num_layers}) + "\n")
        self.tokenizer.save_pretrained(folder)

    def _load(self, path: Path) -> None:
        try:
            self.load_state_dict(load_file(path))
        except Exception as error:
            raise UsageError(f"{path} does not fit this LSTM: {' '.join(str(error).split()):.200}") from error


def _read(path: Path) -> dict[str, int]:
    try:
        shape = json.loads(path.read_text(encoding="utf-8"))
        return {name: int(shape[name]) for name in ("width", "layers")}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is damaged: expected width and layers.") from error
