"""Transformer-XL: the next token, from a context longer than a segment (Dai et al. 2019).

    h = backbone(x | memory)                         (b, t, d), position t has seen the memory and x_1 .. x_t
    loss = mean over t of cross_entropy(E h_t + bias, x_{t+1})        E (v, d): the input embeddings, tied

https://arxiv.org/abs/1901.02860; `segment_memory.py` says what the memory is. `transformers` 5 no longer has the model,
but XLNet's layers are its own: relative positions and memory. An XLNet attends to the left here because it is told so
with every batch; its own setting for that, `attn_type: uni`, fails on any batch with a mask of padding. From the
released code three things differ: segments have XLNet's embeddings, the softmax is not adaptive, and the first token
of a segment is read but not predicted.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.backbones.language import next_tokens
from lm_lab.objectives.autoregressive.segment_memory import SegmentMemory, require_xlnet
from lm_lab.objectives.base import Loss, Objective
from lm_lab.objectives.masked.masked_lm import embeddings
from lm_lab.objectives.token_head import TiedOutput


class TransformerXL(Objective):
    """The next token, with segment recurrence.

    Args:
        backbone: an XLNet.
        memory: states of the segments before that each layer sees, in tokens; the batch says in `continues` (b,)
            which rows go on with the same row of the batch before. 0 for none.

    Raises:
        UsageError: the backbone is none, or `memory` is out of range.
    """

    def __init__(self, backbone: Backbone, memory: int = 0) -> None:
        super().__init__()
        require_xlnet(backbone, "TransformerXL")
        self.memory = SegmentMemory(backbone, memory)
        self.output = TiedOutput(len(embeddings(backbone)))

    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return loss and accuracy of each real token given those before it, and what share of rows had a memory."""
        ids, mask = batch["input_ids"], batch["attention_mask"]
        remembered = self.memory.recall(batch)
        read = self.memory(backbone, batch, remembered, perm_mask=later(ids))
        states, targets = next_tokens(read, ids, mask)
        loss = Loss.of_states("transformer_xl", (states, embeddings(backbone), self.output.bias), targets)
        shares = self.memory.metrics(batch, remembered)
        counts = loss.counts | dict.fromkeys(shares, len(batch["input_ids"]))
        return replace(loss, metrics=loss.metrics | shares, counts=counts)


def later(ids: Tensor) -> Tensor:
    """What a position of ids (b, t) must not see, (b, query, key): 1 where the key is later than the query."""
    b, t = ids.shape
    return torch.ones(t, t, device=ids.device).triu(1).expand(b, t, t)
