"""Generation by one model that reads source and target in one sequence: a decoder, or an encoder with a prefix mask."""

import inspect
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache

from lm_lab.backbones import TransformersBackbone
from lm_lab.backbones.attention import attention_mask
from lm_lab.backbones.language import LanguageOutput
from lm_lab.errors import UsageError
from lm_lab.heads.generation import GenerationHead, TransformedOutput
from lm_lab.tokens import Tokens, end_token


class OneModelGeneration(GenerationHead):
    """A decoder, or an encoder with a prefix mask.

    Raises:
        UsageError: the family cannot keep keys and values of what it has read.
    """

    def __init__(self, backbone: TransformersBackbone) -> None:
        if "past_key_values" not in inspect.signature(backbone.model.forward).parameters:
            raise UsageError(
                f"{backbone.kind} cannot write: its model keeps no keys and values of what it has read; "
                "give BERT, RoBERTa, ELECTRA, a decoder or an encoder-decoder."
            )
        causal = backbone.causal
        super().__init__(
            backbone, LanguageOutput(backbone) if causal else TransformedOutput(backbone), end_token(backbone.tokenizer)
        )
        self.causal = causal

    def states(self, backbone: TransformersBackbone, source: Tokens, target: Tokens) -> Tensor:
        """Source and target in one sequence; the last token of the target is predicted and not read."""
        n = source["attention_mask"].sum(1, keepdim=True)  # (b, 1)
        total = n + target["attention_mask"].sum(1, keepdim=True) - 1
        place = torch.arange(int(total.max()), device=n.device).expand(len(n), -1)  # (b, t)
        from_source = source["input_ids"].gather(1, place.clamp(max=source["input_ids"].shape[1] - 1))
        from_target = target["input_ids"].gather(1, (place - n).clamp(0, target["input_ids"].shape[1] - 1))
        real = place < total
        ids = torch.where(place < n, from_source, from_target).masked_fill(~real, backbone.tokenizer.pad_token_id)
        if self.causal:
            mask = real.long()
        else:
            before = place.unsqueeze(1) <= place.unsqueeze(2)  # (b, t, t): key no later than query
            mask = attention_mask(backbone, real.unsqueeze(1) & (before | (place < n).unsqueeze(1)))
        read = backbone.model(**self._inputs(backbone, ids, mask, place, place >= n)).last_hidden_state
        predicts = n - 1 + torch.arange(target["input_ids"].shape[1], device=n.device)  # (b, u)
        predicts = predicts.clamp(max=read.shape[1] - 1).unsqueeze(-1).expand(-1, -1, read.shape[-1])
        return read.gather(1, predicts)

    def begin(self, backbone: TransformersBackbone, source: Tokens) -> tuple[Tensor, Any]:
        """Read the source, moved to the right: what is written then stands right behind it."""
        mask = source["attention_mask"]
        n, width = mask.sum(1, keepdim=True), mask.shape[1]
        place = torch.arange(width, device=mask.device) - (width - n)  # (b, t), negative for padding
        ids = source["input_ids"].gather(1, place.clamp(min=0)).masked_fill(place < 0, backbone.tokenizer.pad_token_id)
        cache = DynamicCache()
        inputs = self._inputs(
            backbone, ids, (place >= 0).long(), place.clamp(min=0), torch.zeros_like(place, dtype=torch.bool)
        )
        read = backbone.model(**inputs, past_key_values=cache, use_cache=self.causal)
        memory = {"cache": cache, "mask": (place >= 0).long(), "next": n + backbone.reserved}
        return read.last_hidden_state[:, -1], memory

    def go_on(self, backbone: TransformersBackbone, memory: Any, token: Tensor, parent: Tensor) -> Tensor:
        """Read one more token of each hypothesis."""
        cache = memory["cache"]
        cache.reorder_cache(parent)
        memory["mask"] = F.pad(memory["mask"][parent], (0, 1), value=1)
        place = memory["next"] = memory["next"][parent]
        prompt = cache.get_seq_length() + 1 - memory["mask"].shape[1]
        mask = F.pad(memory["mask"], (prompt, 0), value=1)
        if not self.causal:
            mask = attention_mask(backbone, mask.bool().unsqueeze(1))
        inputs = self._inputs(backbone, token.unsqueeze(1), mask, place, torch.ones_like(place, dtype=torch.bool))
        memory["next"] = place + 1
        read = backbone.model(**inputs, past_key_values=cache, use_cache=self.causal)
        return read.last_hidden_state[:, -1]

    def _inputs(
        self, backbone: TransformersBackbone, ids: Tensor, mask: Tensor, place: Tensor, written: Tensor
    ) -> dict[str, Tensor]:
        """Positions are given, as padding may stand anywhere; what is written has a segment of its own, if any."""
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": place + backbone.first_position}
        if not self.causal and getattr(backbone.config, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = written.long()
        return inputs
