"""Features of a frozen backbone, computed once: every learning rate, penalty and seed of a probe reads them.

A split's features are keyed by content: the weights' hash, the tokens' fingerprint, the layer, the pooling, the
precision. A file carries its hash; a damaged one is computed again. Features replace the tokens in the data module, so
the same module, loop and batches fit the probe.
"""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lm_lab.atomic import replacing
from lm_lab.data.encoding.texts import EncodedTexts
from lm_lab.data.modules.base import TaskData
from lm_lab.models import AdaptedModel
from lm_lab.strategies.base import Delta
from lm_lab.tasks import TextTask

_DIGEST = "sha256"


@dataclass
class FeatureTable:
    """Features in place of tokens, with the interface of `EncodedTexts`; features (n, texts, layers, d)."""

    features: Tensor
    encoded: EncodedTexts

    def __post_init__(self) -> None:
        self.lengths: np.ndarray = self.encoded.lengths

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, index: list[int]) -> dict[str, Any]:
        """A batch with `features` (b, texts, layers, d), `labels` and `ids` (b,)."""
        rows = self.encoded
        return {"features": self.features[index], "labels": rows.labels[index], "ids": rows.ids[index]}


def has_fixed_features(model: AdaptedModel) -> bool:
    """True if nothing below the pooled vectors trains or was added, so they never change."""
    trains = any(parameter.requires_grad for parameter in model.backbone.parameters()) or not model.head.fixed_features
    if not isinstance(model.task, TextTask):  # a vector a token, or an option of a question, has no place in the table
        return False
    return not trains and not any(isinstance(module, Delta) for module in model.backbone.modules())


class Cost(NamedTuple):
    """What computing features took: wall and processor seconds."""

    seconds: float
    cpu_seconds: float


def use_features(model: AdaptedModel, data: TaskData, trainer: L.Trainer, folder: Path) -> Cost:
    """Put features in place of the tokens of every split that is trained or evaluated on.

    Returns what the features of the training set took when they were computed.
    """
    data.encode(("train", *data.evaluated))
    costs = {}
    for split, encoded in list(data.encoded.items()):
        assert isinstance(encoded, EncodedTexts)
        key = _key(model, encoded.fingerprint, trainer)
        features, costs[split] = _stored(folder / f"{key}.safetensors", model, encoded, data.eval_batch_size, trainer)
        data.encoded[split] = FeatureTable(features, encoded)  # type: ignore[assignment]
    return costs["train"]


@torch.no_grad()
def compute(model: AdaptedModel, encoded: EncodedTexts, batch_size: int, trainer: L.Trainer) -> Tensor:
    """Features (n, texts, layers, d) of all examples, longest first, in the trainer's precision and on its device."""
    device = trainer.strategy.root_device
    model.to(device).eval()
    order = np.argsort(-encoded.lengths, kind="stable")
    parts = []
    with trainer.precision_plugin.forward_context():
        for start in range(0, len(order), batch_size):
            batch = encoded.collate(order[start : start + batch_size].tolist())
            texts = [{name: value.to(device) for name, value in text.items()} for text in batch["texts"]]
            parts.append(model.features({"texts": texts}).cpu())
    features = torch.cat(parts)
    return torch.empty_like(features).index_copy_(0, torch.from_numpy(order), features)


def _key(model: AdaptedModel, tokens: str, trainer: L.Trainer) -> str:
    # weights of a random backbone are those of the run's seed
    seed = None if model.backbone.pretrained else torch.initial_seed()
    norm = model.head.mix is not None and model.head.mix.norm
    reading = [model.head.layers, norm, model.pooling, model.pairs]
    parts = [model.backbone.fingerprint, seed, tokens, *reading, trainer.precision]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _stored(
    path: Path, model: AdaptedModel, encoded: EncodedTexts, batch_size: int, trainer: L.Trainer
) -> tuple[Tensor, Cost]:
    """The features in `path`; computed where there are none, or damaged ones, while other processes wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if found := _read(path):
            return found
        started, cpu_started = time.perf_counter(), time.process_time()
        features = compute(model, encoded, batch_size, trainer)
        cost = Cost(time.perf_counter() - started, time.process_time() - cpu_started)
        facts = {name: str(value) for name, value in cost._asdict().items()} | {_DIGEST: _digest(features)}
        with replacing(path) as beside:
            save_file({"features": features}, beside, facts)
        return features, cost


def _read(path: Path) -> tuple[Tensor, Cost] | None:
    """What a file holds; None if there is none, or if it is not what was written."""
    try:
        with safe_open(path, "pt") as file:
            facts, features = file.metadata() or {}, file.get_tensor("features")
        cost = Cost(**{name: float(facts[name]) for name in Cost._fields})
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    return (features, cost) if facts.get(_DIGEST) == _digest(features) else None


def _digest(features: Tensor) -> str:
    return hashlib.sha256(features.contiguous().view(torch.uint8).numpy().data).hexdigest()
