"""Quick-thoughts: which sentence of the batch stands beside this one? (Logeswaran and Lee 2018, ICLR)

    p(s' | s) = softmax of f(s) . g(s') over s' of the batch but s        loss = - mean over neighbours log p(s' | s)

https://arxiv.org/abs/1803.02893. f is the backbone, g a second encoder of the same shape with weights of its own: with
one for both, a sentence would be its own best neighbour. The vectors of f are what is kept; the paper joins both.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.backbones.pooling import FixedPooling
from lm_lab.objectives.base import Loss, Objective
from lm_lab.objectives.sentences.neighbours import follows, pooling_of, vectors


class QuickThoughts(Objective):
    """Sentences are told from others by those beside them.

    Args:
        backbone: f, and the shape of g.
        pooling: of tokens to a sentence; None: the mean, or a decoder's last token.

    Raises:
        UsageError: an encoder-decoder, a backbone without layers, or one that has no random twin.
    """

    def __init__(self, backbone: Backbone, pooling: FixedPooling | None = None) -> None:
        super().__init__()
        self.pooling = pooling_of(self, backbone, pooling)
        self.candidates = backbone.randomised().train()

    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the mean over sentences that have a neighbour; `accuracy` is the share whose best is one."""
        beside = neighbours(follows(batch))
        asked, offered = (vectors(each, batch, self.pooling).float() for each in (backbone, self.candidates))
        loss, accuracy = compared(asked, offered, beside)
        counts = dict.fromkeys(("quick_thoughts", "accuracy"), int(beside.any(1).sum()))
        return Loss({"quick_thoughts": loss}, counts, {"accuracy": accuracy})


def compared(asked: Tensor, offered: Tensor, beside: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and accuracy, of sentences that have a neighbour; 0 where there are none.

    Args:
        asked: (b, d) f of each sentence.
        offered: (b, d) g of each.
        beside: (b, b) which are neighbours.
    """
    own = torch.eye(len(asked), dtype=torch.bool, device=asked.device)
    logs = (asked @ offered.T).masked_fill(own, -torch.inf).log_softmax(-1)
    known = beside.any(1)
    found = logs.masked_fill(~beside, 0.0).sum(1) / beside.sum(1).clamp(min=1)
    right = beside.gather(1, logs.argmax(1, keepdim=True)).squeeze(1)[known].float()
    count = max(len(right), 1)
    return -found[known].sum() / count, right.sum() / count


def neighbours(following: Tensor) -> Tensor:
    """(b, b) whether two sentences stand side by side, given which follow the one before them (b - 1,)."""
    beside = torch.diag(following, 1)
    return beside | beside.T
