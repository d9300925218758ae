"""One strategy on one backbone, and what the checks need of it: fresh copies, batches, a few steps of training."""

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.models import AdaptedModel
from lm_lab.strategies import AdaptationStrategy
from lm_lab.tasks import glue_task
from lm_lab.tokens import Asked, WordColumn

ROWS, LENGTH, STEPS = 4, 6, 3
SEED = 0


class CheckError(AssertionError):
    """A promise that was not kept, and how far from it."""


@dataclass
class Case:
    """A strategy and the backbone it is tried on; the backbone itself is never changed."""

    original: Backbone
    strategy: AdaptationStrategy

    def backbone(self) -> Backbone:
        """A fresh copy, in eval mode."""
        return copy.deepcopy(self.original).eval()

    def adapted(self) -> AdaptedModel:
        """A fresh model on a task of two classes, the same at every call."""
        torch.manual_seed(SEED)
        return AdaptedModel(self.backbone(), self.strategy, glue_task("sst2"), pooling="mean").eval()

    @property
    def trained(self) -> AdaptedModel:
        """A model after a few steps; checks must not change it."""
        return self._steps[0]

    @property
    def idle(self) -> set[str]:
        """The tensors that train and got no gradient in these steps."""
        return {name for name, moved in self._steps[1].items() if not moved}

    @cached_property
    def _steps(self) -> tuple[AdaptedModel, dict[str, bool]]:
        model = self.adapted()
        moved = train(model, self.batch())
        return model.eval(), moved

    def batch(self) -> dict[str, Any]:
        """Texts of random tokens, one of them padded, and labels."""
        text = self.reads(self.tokens())
        text["attention_mask"][0, -2:] = 0
        return {"texts": [text], "labels": torch.arange(ROWS) % 2.0}

    def reads(self, ids: Tensor) -> dict[str, Tensor]:
        """What the backbone is given of ids (b, t): beside them, all that it asks for."""
        asked = {asked.name: self._asked(asked, ids) for asked in self.original.asks}
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **asked}

    def padded(self, text: dict[str, Tensor], more: int) -> dict[str, Tensor]:
        """A text with so many tokens of padding behind."""
        padding = {asked.name: asked.padding for asked in self.original.asks}
        return {
            name: F.pad(value, (*(0, 0) * (value.dim() - 2), 0, more), value=padding.get(name, 0))
            for name, value in text.items()
        }

    def _asked(self, asked: Asked, ids: Tensor) -> Tensor:
        """Of tokens, their values; of words, turns of 0 and 1, or each word points at the one before."""
        if not isinstance(asked, WordColumn):
            tokens = self.original.tokenizer.convert_ids_to_tokens(ids.flatten().tolist())
            values = torch.from_numpy(np.asarray(asked.values(tokens)))
            return values.view(*ids.shape, *values.shape[1:])
        places = torch.arange(ids.shape[1])
        numbers = torch.where(places > 0, places - 1, asked.padding) if asked.points else places % 2
        return numbers.expand_as(ids).clone()

    def tokens(self, seed: int = SEED) -> Tensor:
        """(4, 6) token ids without special tokens."""
        special = set(self.original.tokenizer.all_special_ids)
        size = min(len(self.original.tokenizer), self.original.vocabulary_size)
        usable = torch.tensor([token for token in range(size) if token not in special])
        generator = torch.Generator().manual_seed(seed)
        return usable[torch.randint(len(usable), (ROWS, LENGTH), generator=generator)]


@torch.enable_grad()  # the first check to ask for a trained model may not need gradients itself
def train(model: AdaptedModel, batch: dict[str, Any], rate: float = 0.1) -> dict[str, bool]:
    """Take a few steps; returns, for each trained parameter, whether any gradient of it was not zero."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    moved = dict.fromkeys(parameters, False)
    optimizer = torch.optim.SGD(parameters.values(), rate)
    model.train()
    for _ in range(STEPS):
        optimizer.zero_grad()
        model.task.loss(model(batch), batch).backward()
        for name, parameter in parameters.items():
            moved[name] |= parameter.grad is not None and bool(parameter.grad.any())
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
    return moved


def unlike(model: nn.Module) -> None:
    """Change every entry that trains, by about as much as the weights of a new model are."""
    for module in model.modules():
        pad = module.padding_idx if isinstance(module, nn.Embedding) else None
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad:
                noise = 0.02 * torch.randn_like(parameter)
                if pad is not None:
                    noise[pad] = 0  # no step moves it, and MobileBERT's last token reads it
                parameter.data += noise
