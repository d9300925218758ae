"""Many users, one batch: N deltas of one kind over one frozen backbone, each text read with its own.

A delta of LoRA, adapters, IA3, prompts, prefixes, BitFit or norms is small, so N of them fit beside one backbone.
Swapping them in and out serves one user at a time; a bank serves a mixed batch in one pass of the backbone.
"""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lm_lab.errors import UsageError
from lm_lab.models import AdaptedModel
from lm_lab.models import delta as deltas
from lm_lab.models.tensors import read_tensors
from lm_lab.serving.rows import RowDelta, RowPrefix, RowPrompt, Users, own_weights
from lm_lab.strategies.base import Delta
from lm_lab.strategies.prefix import Prefix
from lm_lab.strategies.prompt import SoftPrompt


class Bank(nn.Module):
    """N adaptations of one backbone, for inference.

    Args:
        model: an adaptation built as the deltas were, its backbone included; the bank takes it over.
        folders: of the deltas; a user is a position in this list.

    Raises:
        UsageError: no folder, deltas made in different ways, or of another strategy or backbone than `model`.
    """

    def __init__(self, model: AdaptedModel, folders: Sequence[str | Path]) -> None:
        super().__init__()
        require_alike(folders)
        model.finish()
        for folder in folders:
            deltas.load(model, folder)  # checks backbone and keys
        found = [read_tensors(Path(folder) / deltas.TENSORS) for folder in folders]
        self.users = Users()
        self.heads = nn.ModuleList(_head(model, tensors) for tensors in found)
        self.reader = model.requires_grad_(False).eval()
        inside = [name for name in model.trained if name.startswith("backbone.")]
        self._stack({name: torch.stack([tensors[name] for tensors in found]) for name in inside})

    @torch.no_grad()
    def forward(self, batch: dict[str, Any], users: Tensor) -> Tensor:
        """Scores (b, outputs); `batch` as an `AdaptedModel` takes it, `users` (b,) says whose each text is."""
        self.users.index = users
        pooled = self.reader.features(batch)
        scores = pooled.new_empty(len(pooled), self.reader.task.outputs)
        for user in users.unique().tolist():
            scores[users == user] = self.heads[user](pooled[users == user]).to(scores.dtype)
        return scores

    def _stack(self, stacked: dict[str, Tensor]) -> None:
        """Put the stacks in the place of single weights."""
        modules = dict(self.reader.named_modules())
        owners: dict[str, dict[str, Tensor]] = {}
        for name, value in stacked.items():
            owner = _owner(name, modules)
            owners.setdefault(owner, {})[name.removeprefix(f"{owner}.")] = value
        for owner, values in owners.items():
            module, (parent, _, child) = modules[owner], owner.rpartition(".")
            if isinstance(module, Delta):
                modules[parent]._modules[child] = self._rows(module, values)
            else:
                module.register_forward_hook(own_weights(self.users, values))

    def _rows(self, module: Delta, values: dict[str, Tensor]) -> Delta:
        if isinstance(module, Prefix):
            return RowPrefix(values["vectors"], self.users)
        if isinstance(module, SoftPrompt):
            return RowPrompt(values["vectors"], self.users)
        return RowDelta(module, values, self.users)


def require_alike(folders: Sequence[str | Path]) -> None:
    """Raise `UsageError` unless all deltas were made in the same way."""
    if not folders:
        raise UsageError("a bank needs at least one folder of a delta.")
    first, *others = [deltas.read_description(folder)["config"] for folder in folders]
    for folder, other in zip(folders[1:], others, strict=True):
        reading = [("model", key) for key in ("strategy", "pooling", "pairs", "head", "delimiter")]
        for group, key in (*reading, ("data", "init_args")):
            a, b = first[group].get(key), other[group].get(key)
            if a != b:
                raise UsageError(
                    f"the deltas in '{folders[0]}' and '{folder}' differ in {key}: {json.dumps(a)} and "
                    f"{json.dumps(b)}; a bank holds deltas of one kind."
                )


def _owner(name: str, modules: dict[str, nn.Module]) -> str:
    """The delta that a parameter is in, else its own module."""
    parts = name.split(".")[:-1]
    paths = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return next((path for path in paths if isinstance(modules[path], Delta)), paths[-1])


def _head(model: AdaptedModel, tensors: dict[str, Tensor]) -> nn.Module:
    head = copy.deepcopy(model.head)
    head.load_state_dict({n.removeprefix("head."): t for n, t in tensors.items() if n.startswith("head.")})
    return head.requires_grad_(False).eval()
