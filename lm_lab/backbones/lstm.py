"""A left-to-right LSTM as a backbone: what language models were before the Transformer, and a curve's second baseline.

    h_0 = E x        h_l = LSTM_l(dropout(h_{l-1}))        l = 1 .. L        (Zaremba et al. 2014, arXiv 1409.2329)

A token's state has seen those to its left. The output layer of a language model is the table E (Press and Wolf 2017,
https://arxiv.org/abs/1608.05859), so states are as wide as embeddings; over embeddings that are computed of characters
it is a matrix of its own. Forget gates begin open, with a bias of 1 (Jozefowicz et al. 2015).
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from lm_lab.backbones import folders, loading, output
from lm_lab.backbones.base import Backbone
from lm_lab.backbones.embeddings import base as computed
from lm_lab.backbones.embeddings.base import TokenEmbeddings
from lm_lab.backbones.output import Output
from lm_lab.errors import UsageError

_SHAPE = "lstm.json"
_INITIAL = 0.1  # half of the range of a fresh embedding


class LSTM(Backbone):
    """Hidden states of the embeddings and of each layer.

    Args:
        source: a folder that this class wrote, or, for random weights, any with a tokenizer.
        pretrained: False takes the shape of `source` with random weights.
        width: of embeddings and states; of a folder that this class wrote, its own.
        layers: how many; as `width`.
        dropout: between layers.
        embeddings: what stands in place of a table of tokens, such as `CharacterCNN`; None: what `source` was written
            with, else a table.

    Raises:
        UsageError: there is no tokenizer, or a damaged folder, or a number is out of range.
    """

    causal = True

    def __init__(
        self,
        source: str,
        pretrained: bool = True,
        width: int = 256,
        layers: int = 2,
        dropout: float = 0.0,
        embeddings: TokenEmbeddings | None = None,
    ) -> None:
        given = {"pretrained": pretrained, "width": width, "layers": layers, "dropout": dropout}
        super().__init__(source=source, **given, **({"embeddings": embeddings} if embeddings else {}))
        if width < 1 or layers < 1 or not 0 <= dropout < 1:
            raise UsageError(f"width={width}, layers={layers}, dropout={dropout}: expected 1 or more of each, 0 to 1.")
        folder = Path(loading.locate(source))
        shape, weights = folders.shape(folder, _SHAPE, {"width": width, "layers": layers})
        self.tokenizer = loading.load_tokenizer(str(folder))
        self.hidden_size, self.num_layers = shape["width"], shape["layers"]
        size = self.hidden_size
        self.pretrained = pretrained and weights
        self.computed = embeddings or computed.read(folder)
        built = self.computed and self.computed.build(self.tokenizer, size)
        self.embeddings = built or folders.token_table(self.tokenizer, size, _INITIAL)
        self.layers = nn.ModuleList(nn.LSTM(size, size, batch_first=True) for _ in range(self.num_layers))
        for layer in self.layers:
            folders.open_forget_gates(layer)
        self.dropout = nn.Dropout(dropout)
        if self.pretrained:
            folders.load(self, folder)

    def forward(self, **encoding: Tensor) -> tuple[Tensor, ...]:
        """L + 1 states (b, t, d); what stands to the right of a token, padding too, changes none of its states."""
        states = [self.embeddings(encoding["input_ids"])]
        for layer in self.layers:
            states.append(layer(self.dropout(states[-1]))[0])
        return tuple(states)

    def language_output(self) -> Output:
        """The table of embeddings, or the matrix that was trained in its place."""
        if self.computed is None:
            return Output()
        return output.own(self.settings["source"] if self.pretrained else None, len(self.tokenizer), self.hidden_size)

    def randomised(self) -> "LSTM":
        """The same shape with random weights."""
        return LSTM(**self.settings | {"pretrained": False})

    def write(self, folder: Path, state: Mapping[str, Tensor] | None = None) -> None:
        """Write a folder that this class loads."""
        shape = {"width": self.hidden_size, "layers": self.num_layers}
        folders.write(self, folder, _SHAPE, shape, self.computed, state)
