"""The LightningModule that trains a backbone with an objective, and the callback that saves what came of it."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lm_lab import provenance
from lm_lab.backbones import Backbone
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.errors import UsageError
from lm_lab.objectives import Loss, Objective
from lm_lab.training import pretrained
from lm_lab.training.callbacks.throughput import Throughput
from lm_lab.training.compiling import When
from lm_lab.training.losses.epoch_loss import EpochLoss
from lm_lab.training.losses.step_mean import StepMean
from lm_lab.training.losses.unigram import UnigramLoss
from lm_lab.training.machine import sharding
from lm_lab.training.machine.processes import keep_buffers
from lm_lab.training.optimizers import AdamW, OptimizerFactory, parameter_groups, require_rate
from lm_lab.training.pretrained import Facts
from lm_lab.training.scheduled import Scheduled
from lm_lab.training.schedules import SchedulerFactory, WarmupLinear

ObjectiveFactory = Callable[[Backbone], Objective]


class Pretraining(Scheduled):
    """A backbone trained on text by an objective.

    Args:
        backbone: random weights from a configuration, or weights to go on training.
        objective: callable of the backbone.
        optimizer: callable of (parameter groups, learning rate).
        scheduler: callable of (optimiser, total steps).
        learning_rate: highest one of the schedule.
        compile: whether a fit compiles the backbone; "auto" where that pays (`lm_lab.training.compiling`).
    """

    tokens: Tensor

    def __init__(
        self,
        backbone: Backbone,
        objective: ObjectiveFactory,
        optimizer: OptimizerFactory = AdamW,
        scheduler: SchedulerFactory = WarmupLinear,
        learning_rate: float = 1e-3,
        compile: When = "auto",
    ) -> None:
        super().__init__()
        require_rate(learning_rate)
        self.backbone, self.compiling = backbone, compile
        self.objective = objective(backbone)
        self.optimizer, self.scheduler, self.learning_rate = optimizer, scheduler, learning_rate
        # tokens that all processes have trained on, padding left out; in the checkpoint, so a resumed run counts on
        self.register_buffer("tokens", torch.zeros((), dtype=torch.long))
        self.unigram = UnigramLoss(backbone.vocabulary_size)
        self.step, self.held_out = StepMean(), EpochLoss()
        self.batches = self.empty = 0  # of this epoch, and those of them with nothing to predict

    @property
    def encoding(self) -> Encoding:
        """How the backbone wants its tokens: what `bind` gives to a corpus."""
        backbone = self.backbone
        return Encoding(
            backbone.tokenizer,
            "cross_encoder",
            backbone.max_length,
            causal=backbone.causal,
            segments=backbone.segments,
            asks=backbone.asks,
        )

    def forward(self, batch: dict[str, Tensor]) -> Loss:
        """Return the objective's loss of a batch of tokens, each entry (b, t)."""
        return self.objective(self.backbone, batch)

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Let processes evaluate different numbers of batches.

        Raises:
            UsageError: the strategy splits weights in a way of its own: they are saved whole, and decay by their shape.
        """
        name = type(self.trainer.strategy).__name__
        if name in {"FSDPStrategy", "ModelParallelStrategy", "DeepSpeedStrategy"}:
            raise UsageError(f"{name} is not supported; use ddp, or {sharding.NAME} to share weights out.")
        keep_buffers(self)

    def configure_model(self) -> None:
        """Share the weights out among processes, where the strategy asks for it."""
        strategy = self.trainer.strategy
        if isinstance(strategy, sharding.FullySharded):
            sharding.shard(self, self.backbone, strategy)

    def on_train_epoch_start(self) -> None:
        """Count batches anew."""
        self.batches = self.empty = 0

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch, weighed for its step, and count its tokens."""
        self.tokens += self.trainer.strategy.reduce(batch["attention_mask"].sum(), reduce_op="sum")
        loss = self(batch)
        self.batches, self.empty = self.batches + 1, self.empty + (not loss.count)
        if loss.count:
            named = {"loss": loss.total} | (loss.parts if len(loss.parts) > 1 else {}) | loss.metrics
            self.log_dict({f"train/{name}": value.detach() for name, value in named.items()}, prog_bar=True)
        return self.step.weigh(loss.total, loss.count, self.trainer, batch_idx)

    def on_after_backward(self) -> None:
        """Make the gradient that of the mean over all predictions of the step, before it is looked at or clipped."""
        self.step.divide(self)

    def on_train_epoch_end(self) -> None:
        """Say how many batches had nothing to predict.

        Raises:
            UsageError: none had anything.
        """
        if self.batches and self.empty == self.batches:
            raise UsageError(
                f"no batch of the epoch has a token for {type(self.objective).__name__} to predict, so nothing was "
                "learned: the texts are empty, too short, or all special or unknown tokens of this tokenizer."
            )
        if self.empty:
            rank_zero_warn(f"{self.empty} of {self.batches} batches had no token to predict and were skipped.")

    def on_validation_epoch_start(self) -> None:
        """Ask the other processes how many batches they have, while all are at one place."""
        self.missing = sharding.missing_batches(self.trainer)

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Take up the losses of held-out text."""
        self.last, loss = batch, self(batch)
        self.held_out.update(loss)
        if loss.targets is not None:
            self.unigram.update(loss.targets)

    def on_validation_epoch_end(self) -> None:
        """Log them, each over all that it is a mean of, and `val/unigram`: guessing the same tokens by frequency."""
        for _ in range(self.missing):
            self(self.last)
        losses = self.held_out.close()
        unigram = self.unigram.close()
        if not math.isnan(unigram):
            losses["unigram"] = unigram
        self.log_dict({f"val/{name}": value for name, value in losses.items()}, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """Return the optimiser and its schedule, stepped at every step."""
        optimizer = self.optimizer(parameter_groups(self, self.learning_rate), self.learning_rate)
        return self.scheduled(optimizer, self.scheduler)


class SaveBackbone(L.Callback):
    """Save the backbone when training ends, as a folder that `transformers` and `Backbone` load.

    Args:
        output: the folder; one that already holds a model is replaced, in one step, when training has ended.

    Raises:
        UsageError: before training, if `output` holds something that is no model.
    """

    configuration = ""  # what the command line was given; saved beside the weights

    def __init__(self, output: str = "runs/pretrained") -> None:
        self.output = Path(output)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Refuse a folder that must not be overwritten, or what cannot be saved, before any time is spent."""
        pretrained.require_replaceable(self.output)
        if isinstance(pl_module, Pretraining) and type(pl_module.backbone).write is Backbone.write:
            pl_module.backbone.write(self.output)  # says that it cannot

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save from the first process, and say where."""
        trial: bool = trainer.fast_dev_run  # type: ignore[attr-defined]
        if not isinstance(pl_module, Pretraining) or trial:
            return
        state, heads = map(sharding.whole_state, (pl_module.backbone, pl_module.objective))
        if trainer.is_global_zero:
            about = facts(trainer, pl_module), self.configuration
            print(f"backbone: {pretrained.save(pl_module.backbone, self.output, *about, state, heads)}")


def facts(trainer: L.Trainer, module: Pretraining) -> Facts:
    """What a pretrained backbone comes from: the text, the objective, the budget, the code, and the losses in nats."""
    known: Facts = {
        "architecture": module.backbone.architecture,
        "parameters": sum(p.numel() for p in module.backbone.parameters()),
        "started from": "weights" if module.backbone.pretrained else "random weights",
        "objective": type(module.objective).__name__,
        "corpus": getattr(trainer.datamodule, "description", "unnamed"),  # type: ignore[attr-defined]
        "steps": trainer.global_step,
        "tokens": int(module.tokens),
        **_cost(trainer),
        "highest learning rate": module.learning_rate,
        "precision": str(trainer.precision),
        **provenance.in_words(),
    }
    metrics = sorted(trainer.callback_metrics.items())
    return known | {name: float(value) for name, value in metrics if not name.startswith("speed/")}


def _cost(trainer: L.Trainer) -> Facts:
    """Operations (forward and backward, multiply and add apart) and seconds, if they were counted."""
    meter = next((c for c in trainer.callbacks if isinstance(c, Throughput)), None)  # type: ignore[attr-defined]
    return {} if meter is None else {"floating point operations": meter.flops, "seconds of training": meter.seconds}
