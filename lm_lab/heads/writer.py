"""Writes a text after another one: with an encoder-decoder, or with one model that reads [source, target] in one go.

    encoder-decoder     encoder: s_1 .. s_n            decoder: start t_1 .. t_m  ->  t_1 .. t_m end
    one model           s_1 .. s_n t_1 .. t_m          states of s_n t_1 .. t_m   ->  t_1 .. t_m end

In one model, s_n is the tokenizer's own separator (BERT's [SEP], a decoder's end token). A decoder sees what stands to
the left of a token; an encoder is given a prefix mask: the source sees all of itself, a token of the target the source
and what was written before it (Dong et al. 2019, UniLM, https://arxiv.org/abs/1905.03197). Scores are those of the
output layer that the model was pretrained with; an encoder without one gets BERT's: a transform and the embeddings.
"""

import inspect
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutput

from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.backbones.attention import attention_mask
from lm_lab.backbones.language import LanguageOutput
from lm_lab.backbones.teacher_forcing import shift_right, teacher_forced
from lm_lab.backbones.transformers_backbone import require_transformers
from lm_lab.errors import UsageError
from lm_lab.heads.base import Head
from lm_lab.heads.beam import search
from lm_lab.tasks import Task
from lm_lab.tasks.sequences import SequenceTask
from lm_lab.tokens import Tokens, end_token

_WRITING = "a head that writes texts"


class TransformedOutput(nn.Module):
    """BERT's output layer: a trained transform, then the table of token embeddings and a bias a token."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        table = backbone.token_embeddings
        vocabulary, width = table.shape
        self.transform = nn.Sequential(nn.Linear(backbone.hidden_size, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.embeddings = (backbone.embeddings,)  # in a tuple: the table stays a child of the backbone alone

    def forward(self, states: Tensor) -> Tensor:
        """(..., d) -> (..., V)."""
        return F.linear(self.transform(states), self.embeddings[0].get_parameter("weight"), self.bias)


class Writer(Head):
    """Writes texts after others.

    Args:
        backbone: gives states; not kept.
        end: id of the token that ends a text.
    """

    def __init__(self, backbone: TransformersBackbone, output: nn.Module, end: int) -> None:
        super().__init__()
        self.layers, self.mix = (backbone.num_layers,), None
        self.output, self.end = output, end

    @property
    def fixed_features(self) -> bool:
        """False: a text that is written is read as it grows."""
        return False

    @abstractmethod
    def states(self, backbone: TransformersBackbone, source: Tokens, target: Tokens) -> Tensor:
        """The state (b, u, d) that predicts each token of the target (b, u), given the source and those before it."""

    @abstractmethod
    def begin(self, backbone: TransformersBackbone, source: Tokens) -> tuple[Tensor, Any]:
        """The state (b, d) that predicts the first token, and what `go_on` needs."""

    @abstractmethod
    def go_on(self, backbone: TransformersBackbone, memory: Any, token: Tensor, parent: Tensor) -> Tensor:
        """The states (n, d) behind one more token (n,), each on the row `parent` (n,) of the call before."""

    def features(self, backbone: Backbone, batch: dict[str, Any]) -> Tensor:
        """The states (n, d) that predict the n real tokens of the batch's targets, in their order."""
        real = batch["target"]["attention_mask"].bool()
        return self.states(require_transformers(backbone, _WRITING), batch["source"], batch["target"])[real]

    def scores(self, backbone: Backbone, batch: dict[str, Any]) -> Tensor:
        """Scores (n, V) of the n real tokens of the batch's targets, in their order."""
        return self.output(self.features(backbone, batch))

    def outputs(self, backbone: Backbone, batch: dict[str, Any], task: Task) -> list[str]:
        """The text after each source: searched for, or the likeliest of the task's candidates."""
        assert isinstance(task, SequenceTask)
        tokenizer, source, model = backbone.tokenizer, batch["source"], require_transformers(backbone, _WRITING)
        if task.candidates:
            choice = self.choose(model, source, self._candidates(model, task)).argmax(1).tolist()
            return [task.candidates[index] for index in choice]
        ids = self.write(model, source, task.beams, task.max_target, task.length_penalty)
        return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]

    @torch.no_grad()
    def write(
        self, backbone: TransformersBackbone, source: Tokens, beams: int, longest: int, penalty: float
    ) -> list[list[int]]:
        """Token ids of the best hypothesis of each source."""
        state, memory = self.begin(backbone, source)

        def step(token: Tensor, parent: Tensor) -> Tensor:
            return self.output(self.go_on(backbone, memory, token, parent))

        return search(self.output(state), step, beams, longest, self.end, penalty)

    @torch.no_grad()
    def choose(self, backbone: TransformersBackbone, source: Tokens, candidates: Tokens) -> Tensor:
        """Log-probability (b, c) of each of c texts after each source."""
        found = []
        for ids, mask in zip(candidates["input_ids"], candidates["attention_mask"], strict=True):
            length, texts = int(mask.sum()), len(source["input_ids"])
            target = {"input_ids": ids[:length].expand(texts, -1), "attention_mask": mask[:length].expand(texts, -1)}
            scores = self.output(self.states(backbone, source, target)).float().log_softmax(-1)  # (b, u, V)
            found.append(scores.gather(-1, target["input_ids"].unsqueeze(-1)).sum((1, 2)))
        return torch.stack(found, dim=1)

    def _candidates(self, backbone: TransformersBackbone, task: SequenceTask) -> Tokens:
        """The candidates, each with its end token, padded on the right: (c, u)."""
        listed = backbone.tokenizer(list(task.candidates), add_special_tokens=False)["input_ids"]
        ended = [torch.tensor([*ids[: task.max_target - 1], self.end]) for ids in listed]
        mask: list[Tensor] = [torch.ones_like(ids) for ids in ended]
        device = backbone.device
        padded = [nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device) for rows in (ended, mask)]
        return {"input_ids": padded[0], "attention_mask": padded[1]}


class EncoderDecoderWriter(Writer):
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


class OneModelWriter(Writer):
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


def writer(backbone: Backbone) -> Writer:
    """The writer that suits the backbone."""
    model = require_transformers(backbone, _WRITING)
    return EncoderDecoderWriter(model) if model.encoder_decoder else OneModelWriter(model)
