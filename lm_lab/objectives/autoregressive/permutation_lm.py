"""Permutation language modelling: predict tokens in a random order, from both sides (Yang et al. 2019, XLNet).

    z = a random order of the text; its last 1/K are the targets, the rest is given
    g_i = query stream: knows its position i and the content of what comes before i in z
    h_i = content stream: the same and its own token, never a mask
    loss = mean over targets i of cross_entropy(g_i E^T + bias, x_i)        E (v, d): the input embeddings, tied

https://arxiv.org/abs/1906.08237, sections 2.2 to 2.5. Special tokens are never targets and always given: they hold no
text, a reader gets them as they are, and so every prediction has something to see. The released code instead gives
them a place in the order among the targets; `transformers`' collator hides targets from the content stream, too, which
makes their predictions independent of each other and is no permutation language model.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives.autoregressive.permutation import draw_places, target_mapping, visible
from lm_lab.objectives.autoregressive.segment_memory import Remembered, SegmentMemory, require_xlnet
from lm_lab.objectives.base import Loss, Objective
from lm_lab.objectives.masked.masked_lm import embeddings
from lm_lab.objectives.masked.masking import Masking, TokenMasking
from lm_lab.objectives.token_head import TiedOutput

_EVALUATION_SEED = 0


class PermutationLM(Objective):
    """XLNet's objective. In eval mode a batch always gets the same order.

    Args:
        backbone: an XLNet.
        k: one token in `k` is predicted: max(1, round(L / k)) of the L tokens of a row that are not special.
        masking: what is predicted together; None takes single tokens, so that every order of the text is equally
            likely. `NGramMasking(5)` has the released code's lengths of spans.
        memory: states of the segments before that each layer sees, in tokens; the batch says in `continues` (b,)
            which rows have such. 0 for none.

    Raises:
        UsageError: the backbone is none, or a number is out of range.
    """

    special: Tensor

    def __init__(self, backbone: Backbone, k: int = 6, masking: Masking | None = None, memory: int = 0) -> None:
        super().__init__()
        require_xlnet(backbone, "PermutationLM")
        if k < 1:
            raise UsageError(f"k={k}: one token in k is predicted, so expected 1 (all of them) or more; XLNet: 6.")
        self.k = k
        self.masking = masking or TokenMasking()
        self.masking.prepare(backbone.tokenizer)
        self.memory = SegmentMemory(backbone, memory)
        self.output = TiedOutput(len(embeddings(backbone)))
        special = torch.tensor(sorted(set(backbone.tokenizer.all_special_ids)))
        self.register_buffer("special", special, persistent=False)

    def forward(self, backbone: Backbone, batch: Mapping[str, Tensor]) -> Loss:
        """Return the mean cross entropy and the accuracy on the targets, and what share of rows had a memory."""
        remembered = self.memory.recall(batch)
        loss = Loss.of_tokens("permutation_lm", *self.predict(backbone, batch, self.places(batch), remembered))
        shares = self.memory.metrics(batch, remembered)
        counts = loss.counts | dict.fromkeys(shares, len(batch["input_ids"]))
        return replace(loss, metrics=loss.metrics | shares, counts=counts)

    def places(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Draw targets and their order, (b, t): 1 to n for the n targets of a row, 0 for what is given."""
        ids = batch["input_ids"]
        generator = None if self.training else torch.Generator(ids.device).manual_seed(_EVALUATION_SEED)
        eligible = batch["attention_mask"].bool() & ~torch.isin(ids, self.special)
        units = self.masking(ids, eligible, 1 / self.k, generator, batch.get("units"))
        return draw_places(units >= 0, generator)

    def predict(
        self, backbone: Backbone, batch: Mapping[str, Tensor], places: Tensor, remembered: Remembered | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return scores (n, v) and ids (n,) of the targets of a batch, row by row in the order of the text."""
        allowed = visible(places, batch["attention_mask"].bool())
        # a softmax over nothing but hidden keys weighs them all alike, its own token too: such a target is left out
        sighted = allowed.any(dim=-1)
        if remembered is not None:
            sighted = sighted | remembered.seen.any(dim=1, keepdim=True)
        mapping = target_mapping((places > 0) & sighted)  # (b, m, t)
        masks = {"perm_mask": (~allowed).float(), "target_mapping": mapping.float()}
        states = self.memory(backbone, batch, remembered, **masks)  # (b, m, d)
        targets = batch["input_ids"][:, None].expand_as(mapping)[mapping]
        return self.output(states[mapping.any(dim=-1)], embeddings(backbone)), targets
