"""ELMo's objective: the next token from those before it, the previous from those behind (Peters et al. 2018).

    loss = - 1/2 mean_t log p(x_{t+1} | f_t)  - 1/2 mean_t log p(x_{t-1} | g_t)        p = softmax(W . + b)

https://arxiv.org/abs/1802.05365. f_t (b, t, d) is the left-to-right half of the last hidden state, g_t the other; both
directions share W and b. W is no table of embeddings: those are computed of characters. The softmax may have fewer
words than the input: words from id `outputs` on are read with their characters and predicted as the unknown word.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lm_lab.backbones import Backbone, ELMo
from lm_lab.errors import UsageError
from lm_lab.objectives.autoregressive import softmax
from lm_lab.objectives.base import Loss, Objective


class BidirectionalLM(Objective):
    """A language model of either direction, over the halves of an ELMo's states.

    Args:
        backbone: an `ELMo`.
        outputs: the first so many words of the vocabulary are predicted, where it has more; None: all.
        cutoffs: where the clusters of an adaptive softmax begin, such as [1000, 5000], as far as there are so many
            words; none for a full softmax.

    Raises:
        UsageError: another backbone, whose states are of no two directions; a number out of range; no unknown word to
            predict in place of the others.
    """

    def __init__(self, backbone: Backbone, outputs: int | None = None, cutoffs: Sequence[int] = ()) -> None:
        super().__init__()
        require_directions(backbone)
        known = backbone.vocabulary_size
        size = known if outputs is None else min(outputs, known)
        self.unknown = _unknown(backbone.tokenizer, size, known)
        near = [cutoff for cutoff in cutoffs if cutoff < size]
        self.softmax = softmax.build(backbone.hidden_size // 2, size, near)
        self.size = size

    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the mean of both directions' losses, each by name."""
        ids, mask = batch["input_ids"], batch["attention_mask"]
        ahead, back = backbone.last(input_ids=ids, attention_mask=mask).chunk(2, dim=-1)
        neighbours = (mask[:, 1:] * mask[:, :-1]).bool()
        following, previous = self.targets(ids[:, 1:][neighbours]), self.targets(ids[:, :-1][neighbours])
        parts = {
            "forward": self._loss(ahead[:, :-1][neighbours], following),
            "backward": self._loss(back[:, 1:][neighbours], previous),
        }
        counts, weights = dict.fromkeys(parts, len(following)), dict.fromkeys(parts, 0.5)
        return Loss(parts, counts, weights=weights, targets=torch.cat([following, previous]))

    def targets(self, ids: Tensor) -> Tensor:
        """Words that are not predicted become the unknown one."""
        return predicted(ids, self.size, self.unknown)

    def _loss(self, states: Tensor, targets: Tensor) -> Tensor:
        return -self.softmax(states, targets).mean() if len(targets) else states.sum() * 0.0


def predicted(ids: Tensor, size: int, unknown: int) -> Tensor:
    """Ids from `size` on as the unknown word."""
    return ids.masked_fill(ids >= size, unknown)


def require_directions(backbone: Backbone) -> None:
    """Raise `UsageError` unless a state's halves are of either direction."""
    if not isinstance(backbone, ELMo):
        raise UsageError(
            f"BidirectionalLM reads a left-to-right and a right-to-left half of each state, and those of "
            f"{backbone.kind} are not; give lm_lab.backbones.ELMo."
        )


def _unknown(tokenizer: Any, size: int, known: int) -> int:
    """The id that stands for words which are not predicted."""
    if size == known:
        return size
    if tokenizer.unk_token_id is None or max(tokenizer.all_special_ids) >= size:
        raise UsageError(
            f"outputs={size} leaves out a special token of this tokenizer, or it has no unknown word; give more."
        )
    return int(tokenizer.unk_token_id)
