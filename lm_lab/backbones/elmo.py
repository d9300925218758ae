"""ELMo's bidirectional language model as a backbone (Peters et al. 2018, https://arxiv.org/abs/1802.05365).

    x      = characters of a token, convolved                                        (b, t, d)
    f_1    = LSTM(x)   left to right        g_1 = LSTM(x)   right to left            (b, t, d) each
    f_l    = LSTM(f_{l-1}) + f_{l-1}        g_l = LSTM(g_{l-1}) + g_{l-1}            l = 2 .. L
    h_0    = [x; x]                         h_l = [f_l; g_l]                         (b, t, 2d)

An LSTM has `cell` units and is projected to d, in its recurrence too (Sak et al. 2014). The directions share x alone:
f at t has seen the tokens up to t, g those from t on, in every layer. A text is turned round within its own length, so
padding on the right is read by neither. These are ELMo's 2L + 1 representations: x once, L states of each direction.

What differs from the released code: cells and projected states are not clipped to 3 within the recurrence (torch's
kernel has no such clip), gradients are clipped to norm 3 by the configurations, and states do not go over from batch to
batch.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lm_lab.backbones import folders, loading
from lm_lab.backbones.base import Backbone
from lm_lab.backbones.embeddings import CharacterCNN
from lm_lab.backbones.embeddings import base as computed
from lm_lab.backbones.embeddings.base import TokenEmbeddings
from lm_lab.errors import UsageError

_SHAPE = "elmo.json"


class ELMo(Backbone):
    """Hidden states of the characters, twice, and of both directions of each layer; by default of the published sizes.

    Args:
        source: a folder that this class wrote, or, for random weights, any with a tokenizer, of words as a rule.
        pretrained: False takes the shape of `source` with random weights.
        width: d of each direction; of a folder that this class wrote, its own, as the next two.
        cell: units of an LSTM, at least `width`; as many are not projected.
        layers: L.
        dropout: on what each layer reads.
        embeddings: of tokens; None: what `source` was written with, else the published `CharacterCNN`.

    Raises:
        UsageError: there is no tokenizer, or a damaged folder, or a number is out of range.
    """

    def __init__(
        self,
        source: str,
        pretrained: bool = True,
        width: int = 512,
        cell: int = 4096,
        layers: int = 2,
        dropout: float = 0.1,
        embeddings: TokenEmbeddings | None = None,
    ) -> None:
        sizes = {"width": width, "cell": cell, "layers": layers}
        given = {**sizes, "dropout": dropout} | ({"embeddings": embeddings} if embeddings else {})
        super().__init__(source=source, pretrained=pretrained, **given)
        if width < 1 or cell < width or layers < 1 or not 0 <= dropout < 1:
            raise UsageError(
                f"width={width}, cell={cell}, layers={layers}, dropout={dropout}: expected 1 or more, cell at least "
                "width, dropout 0 to 1."
            )
        folder = Path(loading.locate(source))
        self.shape, weights = folders.shape(folder, _SHAPE, sizes)
        self.tokenizer = loading.load_tokenizer(str(folder))
        self.hidden_size, self.num_layers = 2 * self.shape["width"], self.shape["layers"]
        self.pretrained = pretrained and weights
        self.computed = embeddings or computed.read(folder) or CharacterCNN()
        self.embeddings = self.computed.build(self.tokenizer, self.shape["width"])
        self.layers = nn.ModuleList(
            BothWays(self.shape["width"], self.shape["cell"], dropout, skip=number > 0)
            for number in range(self.num_layers)
        )
        if self.pretrained:
            folders.load(self, folder)

    def forward(self, **encoding: Tensor) -> tuple[Tensor, ...]:
        """L + 1 states (b, t, 2d): left to right in the first half, right to left in the second."""
        ids = encoding["input_ids"]
        order = turned(encoding.get("attention_mask", torch.ones_like(ids)))
        ahead = back = self.embeddings(ids)
        states = [torch.cat([ahead, back], dim=-1)]
        for layer in self.layers:
            ahead, back = layer(ahead, back, order)
            states.append(torch.cat([ahead, back], dim=-1))
        return tuple(states)

    def randomised(self) -> "ELMo":
        """The same shape with random weights."""
        return ELMo(**self.settings | {"pretrained": False})

    def write(self, folder: Path, state: Mapping[str, Tensor] | None = None) -> None:
        """Write a folder that this class loads."""
        folders.write(self, folder, _SHAPE, self.shape, self.computed, state)


class BothWays(nn.Module):
    """One layer: an LSTM of each direction, which know nothing of one another.

    Args:
        width: d.
        cell: units; d of them are not projected.
        dropout: on what is read.
        skip: add what is read to what comes out.
    """

    def __init__(self, width: int, cell: int, dropout: float, skip: bool) -> None:
        super().__init__()
        projected = width if cell > width else 0
        self.ahead = nn.LSTM(width, cell, proj_size=projected, batch_first=True)
        self.back = nn.LSTM(width, cell, proj_size=projected, batch_first=True)
        for direction in (self.ahead, self.back):
            folders.open_forget_gates(direction)
        self.dropout, self.skip = nn.Dropout(dropout), skip

    def forward(self, ahead: Tensor, back: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """States (b, t, d) of each direction; `order` (b, t) turns each text round."""
        places = order.unsqueeze(-1).expand_as(back)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")  # it is slower
            found = self.ahead(self.dropout(ahead))[0]
            other = self.back(self.dropout(back).gather(1, places))[0].gather(1, places)
        return (found + ahead, other + back) if self.skip else (found, other)


def turned(mask: Tensor) -> Tensor:
    """Places (b, t) that turn each text round within its length and leave its padding, which is on the right."""
    places = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    lengths = mask.sum(1, keepdim=True)
    return torch.where(places < lengths, lengths - 1 - places, places)
