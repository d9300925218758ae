"""Prompt tuning: learned embeddings in front of the text, all else frozen (Lester et al. 2021,
https://arxiv.org/abs/2104.08691).

    [p_1 .. p_k, E(x_1) .. E(x_t)]        p: (k, e)

The states of the k prompt positions are cut off again, so pooling, spans and token labels see the text's own
positions. They do take positions from the model: a text may be k tokens shorter. An encoder-decoder has its prompt in
front of the encoder, whose states the decoder attends to, the prompt's included. Cost: k e; a longer input at
inference.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from transformers.utils import ModelOutput

from lm_lab.backbones import Backbone
from lm_lab.backbones.transformers_backbone import require_transformers
from lm_lab.errors import UsageError
from lm_lab.strategies import limits
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.base import AdaptationStrategy, Delta

_CUT = ("last_hidden_state", "hidden_states")
_CUT_ENCODER = ("encoder_last_hidden_state", "encoder_hidden_states")


class SoftPrompt(Delta):
    """k embeddings."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.vectors = nn.Parameter(vectors)

    def rows(self, texts: int) -> Tensor:
        """A prompt for each text: (texts, k, e)."""
        return self.vectors.expand(texts, -1, -1)

    def arranged(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """What the model reads, of its inputs with the prompt in front."""
        return inputs

    def cut(self, states: Tensor) -> Tensor:
        """The states of the text alone: (b, k + t, d) -> (b, t, d)."""
        return states[:, self.vectors.shape[-2] :]


def _prepend(model: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    if not (model.prompt.enabled and _begins(inputs)):  # in the middle the prompt is among what was read before
        return args, inputs
    inputs = dict(inputs)
    embedded = model.prompt_embeddings[0](inputs.pop("input_ids"))
    prompt = model.prompt.rows(len(embedded))  # (b, k, e)
    k = prompt.shape[1]
    inputs["inputs_embeds"] = torch.cat([prompt.to(embedded.dtype), embedded], dim=1)
    if inputs.get("token_type_ids") is not None:
        inputs["token_type_ids"] = nn.functional.pad(inputs["token_type_ids"], (k, 0))
    for name in ("attention_mask", "global_attention_mask"):  # what is global sees all and is seen by all
        if inputs.get(name) is not None:
            inputs[name] = _widened(inputs[name], k)
    if (places := inputs.get("position_ids")) is not None:
        first = torch.arange(k, device=places.device).expand(len(places), -1)
        inputs["position_ids"] = torch.cat([first + places.min(), places + k], dim=1)
    return args, model.prompt.arranged(inputs)


def _begins(inputs: dict[str, Any]) -> bool:
    """True where a text is read from its start, and not one more token of it."""
    past = inputs.get("past_key_values")
    return inputs.get("encoder_outputs") is None and (past is None or past.get_seq_length() == 0)


def _widened(mask: Tensor, k: int) -> Tensor:
    """A mask (b, t), or (b, 1, t, t) whose prompt sees what the first token sees; all see the prompt."""
    seen = True if mask.dtype == torch.bool else int(mask.dim() == 2)  # a mask of numbers is added to the scores
    wider = nn.functional.pad(mask, (k, 0), value=seen)
    return wider if mask.dim() == 2 else torch.cat([wider[:, :, :1].expand(-1, -1, k, -1), wider], dim=2)


def _cut(model: Any, args: tuple[Any, ...], inputs: dict[str, Any], output: ModelOutput) -> ModelOutput:  # noqa: ARG001
    if inputs.get("inputs_embeds") is None or not model.prompt.enabled:
        return output
    cut = model.prompt.cut
    for name in _CUT_ENCODER if model.config.is_encoder_decoder else _CUT:
        states = output.get(name)
        if states is not None:
            output[name] = cut(states) if isinstance(states, Tensor) else tuple(map(cut, states))
    return output


@dataclass(frozen=True)
class PromptTuning(AdaptationStrategy):
    """Train `length` embeddings before the text.

    Args:
        length: k.
        init: "vocabulary" starts from random tokens of the vocabulary, "labels" from the task's class words (the rest
            of the length from the vocabulary), "uniform" from numbers in [-0.5, 0.5].
        words: the class words; taken from the task if empty.
    """

    group: ClassVar[Group] = "prompts"
    paper: ClassVar[Paper] = Paper(
        "Lester et al.",
        2021,
        "The power of scale for parameter-efficient prompt tuning",
        "https://arxiv.org/abs/2104.08691",
    )
    # the paper's 0.3 goes with Adafactor and T5; AdamW wants less
    learning_rate: ClassVar[float] = 3e-2
    learning_rates: ClassVar[tuple[float, ...]] = (3e-3, 3e-2, 3e-1)
    start: ClassVar[float | None] = None
    may_differ: ClassVar[tuple[str, ...]] = ("length", "init", "words")

    length: int = 20
    init: Literal["vocabulary", "labels", "uniform"] = "vocabulary"
    words: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.length < 1:
            raise UsageError(f"length={self.length}: a prompt needs at least one embedding.")
        limits.between(1, limits.WIDEST, length=self.length)

    def given_labels(self, labels: Sequence[str]) -> Self:
        """Take the class words of the task, where the prompt is to start from them."""
        return self if self.words or self.init != "labels" else replace(self, words=tuple(labels))

    def inject(self, backbone: Backbone) -> None:
        """Put the prompt before the model. Raises `UsageError` if it leaves no room for a text, or has no words."""
        if backbone.max_length <= self.length:
            raise UsageError(f"length={self.length}: this backbone takes {backbone.max_length} tokens in all.")
        model = require_transformers(backbone, type(self).__name__).model
        if "prompt" in model._modules:
            raise UsageError("this backbone has a prompt already; apply one.")
        vectors = self._start(backbone)
        model.add_module("prompt", SoftPrompt(vectors))
        # in a tuple: the embeddings stay a child of their own parent alone
        model.prompt_embeddings = (backbone.embeddings,)
        model.register_forward_pre_hook(_prepend, with_kwargs=True)
        model.register_forward_hook(_cut, with_kwargs=True)
        backbone.reserved += self.length

    def parameters(self, backbone: Backbone) -> int:
        """k e."""
        return self.length * backbone.embedding_size

    def _start(self, backbone: Backbone) -> Tensor:
        if self.init == "uniform":
            return torch.rand(self.length, backbone.embedding_size) - 0.5
        table = backbone.token_embeddings.detach()
        if table.is_meta:  # counted, not run
            return torch.empty(self.length, backbone.embedding_size, device="meta")
        special = set(backbone.tokenizer.all_special_ids)
        usable = torch.tensor([i for i in range(min(len(table), len(backbone.tokenizer))) if i not in special])
        vectors = table[usable[torch.randint(len(usable), (self.length,))]].clone()
        if self.init == "labels":
            words = self._word_vectors(backbone, table)[: self.length]
            vectors[: len(words)] = torch.stack(words)
        return vectors

    def _word_vectors(self, backbone: Backbone, table: Tensor) -> list[Tensor]:
        """The embedding of each word: the mean over its pieces."""
        if not self.words:
            raise UsageError('init=labels: this task has no class words; use init=vocabulary, or give "words".')
        texts = [word.replace("_", " ") for word in self.words]
        return [table[backbone.tokenizer(text, add_special_tokens=False)["input_ids"]].mean(0) for text in texts]
