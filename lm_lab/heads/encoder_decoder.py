"""Generation by an encoder-decoder: T5, BART and their kin."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutput

from lm_lab.backbones import TransformersBackbone
from lm_lab.backbones.language import LanguageOutput
from lm_lab.backbones.teacher_forcing import shift_right, teacher_forced
from lm_lab.heads.generation import GenerationHead
from lm_lab.tokens import Tokens, end_token


class EncoderDecoderGeneration(GenerationHead):
    """T5 and BART: the decoder writes, attending to the encoder's states."""

    def __init__(self, backbone: TransformersBackbone) -> None:
        super().__init__(backbone, LanguageOutput(backbone), end_token(backbone.tokenizer))

    def states(self, backbone: TransformersBackbone, source: Tokens, target: Tokens) -> Tensor:
        """Teacher forcing: the decoder gets the target shifted right by one."""
        return teacher_forced(backbone, source, {"input_ids": shift_right(target["input_ids"], backbone.start_id)})

    def begin(self, backbone: TransformersBackbone, source: Tokens) -> tuple[Tensor, Any]:
        """Encode, and let the decoder read its start token."""
        start = torch.full_like(source["input_ids"][:, :1], backbone.start_id)
        read = backbone.model(**source, decoder_input_ids=start, use_cache=True)
        memory = {"cache": read.past_key_values, "mask": source["attention_mask"]}
        return read.last_hidden_state[:, -1], memory

    def go_on(self, backbone: TransformersBackbone, memory: Any, token: Tensor, parent: Tensor) -> Tensor:
        """Keys and values of the encoder are in the cache: its states are asked for their shape alone."""
        cache = memory["cache"]
        cache.reorder_cache(parent)
        memory["mask"] = memory["mask"][parent]
        seen = cache.cross_attention_cache.layers[0].keys.shape[2]
        mask = F.pad(memory["mask"], (seen - memory["mask"].shape[1], 0), value=1)  # a prompt stands before the text
        shape = BaseModelOutput(last_hidden_state=torch.zeros(len(token), seen, 1, device=token.device))
        read = backbone.model(
            encoder_outputs=shape, attention_mask=mask, decoder_input_ids=token.unsqueeze(1), past_key_values=cache,
            use_cache=True,
        )  # fmt: skip
        return read.last_hidden_state[:, -1]
