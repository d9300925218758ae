"""Writes a text after another one: with an encoder-decoder, or with one model that reads [source, target] in one go.

    encoder-decoder     encoder: s_1 .. s_n            decoder: start t_1 .. t_m  ->  t_1 .. t_m end
    one model           s_1 .. s_n t_1 .. t_m          states of s_n t_1 .. t_m   ->  t_1 .. t_m end

In one model, s_n is the tokenizer's own separator (BERT's [SEP], a decoder's end token). A decoder sees what stands to
the left of a token; an encoder is given a prefix mask: the source sees all of itself, a token of the target the source
and what was written before it (Dong et al. 2019, UniLM, https://arxiv.org/abs/1905.03197). Scores are those of the
output layer that the model was pretrained with; an encoder without one gets BERT's: a transform and the embeddings.
"""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.backbones.transformers_backbone import require_transformers
from lm_lab.heads.base import Head
from lm_lab.heads.beam_search import search
from lm_lab.tasks import Task
from lm_lab.tasks.sequences import SequenceTask
from lm_lab.tokens import Tokens

WRITING = "a head that writes texts"


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


class GenerationHead(Head):
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
        return self.states(require_transformers(backbone, WRITING), batch["source"], batch["target"])[real]

    def scores(self, backbone: Backbone, batch: dict[str, Any]) -> Tensor:
        """Scores (n, V) of the n real tokens of the batch's targets, in their order."""
        return self.output(self.features(backbone, batch))

    def outputs(self, backbone: Backbone, batch: dict[str, Any], task: Task) -> list[str]:
        """The text after each source: searched for, or the likeliest of the task's candidates."""
        assert isinstance(task, SequenceTask)
        tokenizer, source, model = backbone.tokenizer, batch["source"], require_transformers(backbone, WRITING)
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
        lengths, texts = candidates["attention_mask"].sum(1).tolist(), len(source["input_ids"])  # waits once for all
        for ids, mask, length in zip(candidates["input_ids"], candidates["attention_mask"], lengths, strict=True):
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
