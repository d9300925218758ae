"""What a fit ends with, in a few lines: scores, parameters, time and memory, where it is, what to run next."""

import re
from collections.abc import Mapping
from typing import Any

import lightning as L

from lm_lab.commands.validations import Validations
from lm_lab.data.modules.base import HELD_OUT
from lm_lab.metrics import METRICS
from lm_lab.models import delta
from lm_lab.models.ledger import ledger
from lm_lab.report import text
from lm_lab.training.adaptation import Adaptation
from lm_lab.training.callbacks.meter import TrainingMeter
from lm_lab.training.callbacks.throughput import Throughput
from lm_lab.training.machine import memory
from lm_lab.training.pretraining import Pretraining, SaveBackbone

_METRIC = re.compile(rf"(?:{'|'.join(map(re.escape, METRICS))})(?:_\w+)?")
_EXAMPLE = "--config configs/tasks/sst2.yaml --config configs/strategies/lora.yaml"


class AdaptSummary(L.Callback):
    """Says how an adaptation ended: the scores of the weights that were saved, and what they took.

    Args:
        validations: what the saved weights scored.
        meter: the clock and the memory of training.
    """

    def __init__(self, validations: Validations, meter: TrainingMeter) -> None:
        self.validations, self.meter = validations, meter
        self.scores: dict[str, float] = {}  # of the weights that were saved

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say it, once the delta is saved."""
        folder = self.validations.saved.folder
        if folder is None or not isinstance(pl_module, Adaptation):
            return
        found = self.validations.of_saved(trainer)
        self.scores = found.metrics
        counted = ledger(pl_module.model)
        said = {
            split: _scores(split, found.metrics, len(found.examples[split].labels)) for split in sorted(found.examples)
        }
        share = text.percent(counted["trained"] / counted["total"])
        said["trained"] = f"{counted['trained']:,} of {counted['total']:,} parameters ({share})"
        steps = f"{trainer.global_step:,} steps, {text.seconds(self.meter.seconds)}"
        said["training"] = f"{steps}, {text.size(self.meter.peak_bytes)} ({memory.kind(pl_module.device)}) at the peak"
        said["size"] = f"{text.size((folder / delta.TENSORS).stat().st_size)} of weights"
        said["predict"] = f"lm-lab adapt predict --delta {folder} --text FILE"
        _say(said)


class PretrainSummary(L.Callback):
    """Says how pretraining ended: the loss beside that of guessing by frequency, the speed, how to adapt it."""

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say it, once the backbone is saved."""
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        folder = next((each.output for each in callbacks if isinstance(each, SaveBackbone)), None)
        trial: bool = trainer.fast_dev_run  # type: ignore[attr-defined]
        if folder is None or not isinstance(pl_module, Pretraining) or trial or not trainer.is_global_zero:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        said = {"validation": _losses(metrics)} if "val/loss" in metrics else {}
        speed = next((each for each in callbacks if isinstance(each, Throughput)), None)
        tokens = int(pl_module.tokens)
        said["training"] = f"{trainer.global_step:,} steps, {text.count(tokens)} tokens"
        if speed and speed.seconds:
            said["training"] += f", {text.seconds(speed.seconds)}: {text.count(tokens / speed.seconds)} tokens a second"
        own = " --data.source microworld" if getattr(trainer.datamodule, "source", None) == "microworld" else ""  # type: ignore[attr-defined]
        said["adapt"] = f"lm-lab adapt fit --model.backbone.source {folder} {_EXAMPLE}{own}"
        _say(said)


def _scores(split: str, found: Mapping[str, float], count: int) -> str:
    """Metrics of a split, in points out of 100: "accuracy 91.2 (872 examples)"."""
    named = {name.removeprefix(f"{split}/"): value for name, value in found.items() if name.startswith(f"{split}/")}
    shown = [f"{name} {text.score(value)}" for name, value in named.items() if _METRIC.fullmatch(name)]
    held_out = " of train, held out" if split == HELD_OUT else ""
    return f"{', '.join(shown) or text.NONE} ({count:,} examples{held_out})"


def _losses(metrics: Mapping[str, float]) -> str:
    guessed = metrics.get("val/unigram")
    beside = f" (guessing by frequency: {guessed:.3f})" if guessed is not None else ""
    right = f", accuracy {text.score(metrics['val/accuracy'])}" if "val/accuracy" in metrics else ""
    return f"loss {metrics['val/loss']:.3f} nats{beside}{right}"


def _say(lines: Mapping[str, str]) -> None:
    print("\n".join(f"{name}: {line}" for name, line in lines.items()), flush=True)
