"""Features of a frozen backbone, computed once: every learning rate, penalty and seed of a probe reads them.

A file holds one layer of a split, keyed by content: the weights' hash, the tokens' fingerprint, the layer, the pooling,
the precision. Whatever layers and poolings are asked for at once come of one pass over the texts. A file carries its
hash; a damaged one is computed again. Files are kept up to a limit (`kept_files`). Features replace the tokens in the
data module, so the same module, loop and batches fit the probe.
"""

import hashlib
import json
import time
from collections.abc import Sequence
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
from lm_lab.backbones import Backbone
from lm_lab.benchmark.kept_files import Held, trim
from lm_lab.data.encoding.texts import EncodedTexts
from lm_lab.data.modules.base import TaskData
from lm_lab.heads.readout import Readout, Text
from lm_lab.models import AdaptedModel
from lm_lab.strategies.base import Delta
from lm_lab.tasks import TextTask
from lm_lab.tokens import MARKED

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


class Layer(NamedTuple):
    """One hidden state and how a text is read of it: what a file holds."""

    number: int
    norm: bool
    pooling: str


def use_features(model: AdaptedModel, data: TaskData, trainer: L.Trainer, folder: Path) -> Cost:
    """Put features in place of the tokens of every split that is trained or evaluated on.

    Returns what the features of the training set took when they were computed.
    """
    data.encode(("train", *data.evaluated))
    costs = {}
    for split, encoded in list(data.encoded.items()):
        assert isinstance(encoded, EncodedTexts)
        ((features, costs[split]),) = stored([model], encoded, data.eval_batch_size, trainer, folder)
        data.encoded[split] = FeatureTable(features, encoded)  # type: ignore[assignment]
    return costs["train"]


def stored(
    models: Sequence[AdaptedModel], encoded: EncodedTexts, batch_size: int, trainer: L.Trainer, folder: Path
) -> list[tuple[Tensor, Cost]]:
    """Features (n, texts, layers, d) of each of `models`, which have one backbone, and what they took to compute.

    What is not in `folder` is computed in one pass, while other processes wait. Models that read alike share memory.
    """
    wanted = {layer: _path(folder, models[0], layer, encoded, trainer) for each in models for layer in layers_of(each)}
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{_key(models[0], encoded.fingerprint, trainer)}.lock"):
        found = {layer: there for layer, path in wanted.items() if (there := _read(path))}
        if missing := [layer for layer in wanted if layer not in found]:
            started, cpu_started = time.perf_counter(), time.process_time()
            features = compute(models, missing, encoded, batch_size, trainer)
            cost = Cost(time.perf_counter() - started, time.process_time() - cpu_started)
            for layer, values in features.items():
                _write(wanted[layer], values, cost)
                found[layer] = values, cost
            trim(folder)
    together = {asked: _together([found[layer] for layer in asked]) for asked in {layers_of(each) for each in models}}
    return [together[layers_of(each)] for each in models]


def layers_of(model: AdaptedModel) -> tuple[Layer, ...]:
    """What a model reads, in the order of its mix."""
    norm = model.head.mix is not None and model.head.mix.norm
    return tuple(Layer(number, norm, model.pooling) for number in model.head.layers)


def _together(found: Sequence[tuple[Tensor, Cost]]) -> tuple[Tensor, Cost]:
    """Layers of one model as one tensor; any pass gives all layers, so the longest is what all of them took."""
    features = found[0][0] if len(found) == 1 else torch.cat([values for values, _ in found], dim=2)
    return features, max(cost for _, cost in found)


@torch.no_grad()
def compute(
    models: Sequence[AdaptedModel], layers: Sequence[Layer], encoded: EncodedTexts, batch_size: int, trainer: L.Trainer
) -> dict[Layer, Tensor]:
    """Features (n, texts, 1, d) of each layer, of all examples, in one pass: longest first, as the trainer computes."""
    device, backbone = trainer.strategy.root_device, models[0].backbone
    reading = {layer: each for each in models for layer in layers_of(each)}
    for model in models:
        model.to(device).eval()
    order = np.argsort(-encoded.lengths, kind="stable")
    parts: dict[Layer, list[Tensor]] = {layer: [] for layer in layers}
    with trainer.precision_plugin.forward_context():
        for start in range(0, len(order), batch_size):
            batch = encoded.collate(order[start : start + batch_size].tolist())
            texts = [{name: value.to(device) for name, value in text.items()} for text in batch["texts"]]
            states = [_states(backbone, layers, text) for text in texts]
            for layer in layers:
                read = [
                    _pooled(reading[layer], own[layer.number], text) for own, text in zip(states, texts, strict=True)
                ]
                parts[layer].append(torch.stack(read, dim=1).cpu())
    place = torch.from_numpy(order)
    return {layer: _placed(torch.cat(part), place) for layer, part in parts.items()}


def _states(backbone: Backbone, layers: Sequence[Layer], text: Text) -> dict[int, Tensor]:
    """The hidden states (b, t, d) that are read, by number."""
    own = {name: values for name, values in text.items() if name != MARKED.name}
    numbers = {layer.number for layer in layers}
    if numbers == {backbone.num_layers}:
        return {backbone.num_layers: backbone.last(**own)}
    found = backbone(**own)
    return {number: found[number] for number in numbers}


def _pooled(model: AdaptedModel, state: Tensor, text: Text) -> Tensor:
    """(b, 1, d)."""
    assert isinstance(model.head, Readout)
    return model.head.pooled([state], text)


def _placed(features: Tensor, place: Tensor) -> Tensor:
    return torch.empty_like(features).index_copy_(0, place, features)


def _key(model: AdaptedModel, tokens: str, trainer: L.Trainer, layer: Layer | None = None) -> str:
    # weights of a random backbone are those of the run's seed
    seed = None if model.backbone.pretrained else torch.initial_seed()
    parts = [model.backbone.fingerprint, seed, tokens, layer, model.pairs, trainer.precision]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _path(folder: Path, model: AdaptedModel, layer: Layer, encoded: EncodedTexts, trainer: L.Trainer) -> Path:
    return folder / f"{_key(model, encoded.fingerprint, trainer, layer)}.safetensors"


def _write(path: Path, features: Tensor, cost: Cost) -> None:
    facts = {name: str(value) for name, value in cost._asdict().items()} | {_DIGEST: _digest(features)}
    with replacing(path) as beside:
        save_file({"features": features}, beside, facts)


def _read(path: Path) -> tuple[Tensor, Cost] | None:
    """What a file holds, which is in use with it; None if there is none, or if it is not what was written."""
    held = Held([path])
    try:
        with safe_open(path, "pt") as file:
            facts, features = file.metadata() or {}, file.get_tensor("features")
        cost = Cost(**{name: float(facts[name]) for name in Cost._fields})
        if facts.get(_DIGEST) == _digest(features):
            held.until_gone(features)
            return features, cost
    except (OSError, SafetensorError, KeyError, ValueError):
        pass
    held.release()
    return None


def _digest(features: Tensor) -> str:
    return hashlib.sha256(features.contiguous().view(torch.uint8).numpy().data).hexdigest()
