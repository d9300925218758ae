"""The LightningModule that trains an adapted model: loss, logging, optimiser, evaluation, checkpoints."""

from typing import Any

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.backbones.pooling import Pooling
from lm_lab.data.encoding.encoding import Pairs
from lm_lab.errors import UsageError
from lm_lab.heads import HeadKind
from lm_lab.heads.readout import Readout
from lm_lab.models import AdaptedModel, delta
from lm_lab.strategies import AdaptationStrategy
from lm_lab.tasks import Task
from lm_lab.training.compiling import When
from lm_lab.training.converged import fit_converged
from lm_lab.training.losses.auxiliary import AuxiliaryLM
from lm_lab.training.losses.evaluation import Evaluation
from lm_lab.training.losses.step_mean import StepMean
from lm_lab.training.machine.processes import keep_buffers
from lm_lab.training.optimizers import AdamW, OptimizerFactory, parameter_groups, require_rate
from lm_lab.training.scheduled import Scheduled
from lm_lab.training.schedules import SchedulerFactory, WarmupLinear
from lm_lab.training.standardising import fit_standardisation

_MODEL = "model."  # before the names of the model's parameters in a checkpoint


class Adaptation(Scheduled):
    """Trains an adapted model on its task.

    Args:
        model: what is trained.
        optimizer: callable of (parameter groups, learning rate); None is AdamW.
        scheduler: callable of (optimiser, total steps); None is WarmupLinear.
        learning_rate: None takes the strategy's default.
        lm_weight: what the loss of predicting each next token is multiplied by and added with, as GPT does with 0.5;
            for decoders.
        compile: whether a fit compiles the backbone; "auto" where that pays (`lm_lab.training.compiling`).

    Raises:
        UsageError: a rate below 0, or a language-model loss that has nothing to train.
    """

    def __init__(
        self,
        model: AdaptedModel,
        optimizer: OptimizerFactory | None = None,
        scheduler: SchedulerFactory | None = None,
        learning_rate: float | None = None,
        lm_weight: float = 0.0,
        compile: When = "auto",
    ) -> None:
        super().__init__()
        require_rate(learning_rate)
        self.model, self.compiling = model, compile
        self.optimizer: OptimizerFactory = optimizer or AdamW
        self.scheduler: SchedulerFactory = scheduler or WarmupLinear
        self.learning_rate = model.strategy.learning_rate if learning_rate is None else learning_rate
        self.language = AuxiliaryLM(model.backbone, lm_weight) if lm_weight else None
        self.evaluation = Evaluation()
        self.step = StepMean()

    @property
    def backbone(self) -> Backbone:
        """The model's, whose weights say what a run is of."""
        return self.model.backbone

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """The model's scores."""
        return self.model(batch)

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Let processes evaluate different numbers of batches."""
        keep_buffers(self)

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The task's mean loss of a batch, and with it the language model's where there is one."""
        return self.model.loss(batch) if self.language is None else self._with_lm(self.language, batch)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Loss of a batch, weighed for its step."""
        loss = self.loss(batch)
        self.log("train/loss", loss, batch_size=len(batch["ids"]), prog_bar=True)
        return self.step.weigh(loss, self.model.task.targets(batch), self.trainer, batch_idx)

    def on_after_backward(self) -> None:
        """Make the gradient that of the mean over all targets of the step, before it is looked at or clipped."""
        self.step.divide(self)

    def validation_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> None:  # noqa: ARG002
        """Collect the predictions of a batch."""
        judged = self.model.task.judge(self.model.outputs(batch), batch)
        self.evaluation.update(batch["split"], batch["ids"], judged)

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        """Log every metric of every split, and the score: the mean over them."""
        self.model.task, logged = self.evaluation.close(self.model.task)
        for name, value in logged.items():
            self.log(name, value, prog_bar=name.endswith("/score"), rank_zero_only=True)
        for layer, weight in enumerate(self.model.layer_weights()):
            self.log(f"mix/layer_{layer}", weight, rank_zero_only=True)

    on_test_epoch_end = on_validation_epoch_end

    def predict_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:  # noqa: ARG002
        """Split, ids (b,), what the metrics need (`predictions`, `labels`), and `answers` in words."""
        task, outputs = self.model.task, self.model.outputs(batch)
        values, labels = task.judge(outputs, batch)
        found = {"split": batch["split"], "ids": batch["ids"], "predictions": values, "labels": labels}
        return found | {"answers": task.answers(outputs, batch)}

    def configure_optimizers(self) -> Any:
        """The optimiser over what is trained, its schedule stepped at every step."""
        if not self.model.trained:
            raise UsageError(
                f"{type(self.model.strategy).__name__} trains nothing, so there is nothing to fit; score it with "
                "`lm-lab adapt validate`, or in a suite."
            )
        groups = parameter_groups(self, self.learning_rate, self.rate_scale)
        optimizer = self.optimizer(groups, self.learning_rate)
        return self.scheduled(optimizer, self.scheduler)

    def on_train_start(self) -> None:
        """Fit to the features of the training set what of the head takes no steps."""
        fit_standardisation(self.model, self.trainer)
        fit_converged(self.model, self.trainer)

    def on_train_epoch_start(self) -> None:
        """Let the strategy freeze what is not due yet."""
        self.begin_epoch(self.current_epoch)
        self.train()

    def on_train_epoch_end(self) -> None:
        """Show all that trains again."""
        self.end_epoch()

    def begin_epoch(self, epoch: int) -> None:
        """Freeze what is not due in this epoch."""
        self.model.strategy.on_epoch(self.model.backbone, epoch)

    def end_epoch(self) -> None:
        """Show all that trains again, as what counts and what is saved go by it."""
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in self.model.trained)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the delta and the head only."""
        keys = {_MODEL + name for name in delta.keys(self.model)}
        checkpoint["state_dict"] = {name: value for name, value in checkpoint["state_dict"].items() if name in keys}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that the checkpoint holds exactly this strategy's delta, then let the frozen weights stand."""
        delta.require_keys(self.model, delta_of(checkpoint), "the checkpoint")
        checkpoint["state_dict"] = {**self.state_dict(), **checkpoint["state_dict"]}

    def _with_lm(self, language: AuxiliaryLM, batch: dict[str, Any]) -> Tensor:
        """The task's loss and the language model's, from one pass over the sequences."""
        backbone, head, task = self.model.backbone, self.model.head, self.model.task
        assert isinstance(head, Readout)
        read = [head.read(backbone, text) for text in batch["texts"]]
        loss = task.loss(head(torch.stack([pooled for pooled, _ in read], dim=1)), batch)
        lm = language((final, text) for (_, final), text in zip(read, batch["texts"], strict=True))
        self.log("train/lm_loss", lm, batch_size=len(batch["ids"]))
        return loss + language.weight * lm

    def rate_scale(self, name: str) -> float:
        """What the learning rate of one of its parameters is multiplied by."""
        inside = f"{_MODEL}backbone."
        if not name.startswith(inside):
            return 1.0
        return self.model.strategy.rate_scale(self.model.backbone, name.removeprefix(inside))


def delta_of(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The delta in a checkpoint of an `Adaptation`, by the names that it has in the model."""
    return {name.removeprefix(_MODEL): value for name, value in checkpoint["state_dict"].items()}


def adaptation_of(
    backbone: Backbone,
    strategy: AdaptationStrategy,
    task: Task,
    # None, since a command line that names another class would keep the default class's settings for it
    optimizer: OptimizerFactory | None = None,
    scheduler: SchedulerFactory | None = None,
    learning_rate: float | None = None,
    pooling: Pooling | None = None,
    pairs: Pairs = "cross_encoder",
    frozen_dropout: bool = False,
    head: HeadKind | None = None,
    delimiter: str | None = None,
    lm_weight: float = 0.0,
    compile: When = "auto",
) -> Adaptation:
    """An `Adaptation` of an `AdaptedModel`: what a configuration's `model` says.

    Args:
        backbone: see `AdaptedModel`.
        strategy: see `AdaptedModel`.
        task: see `AdaptedModel`.
        optimizer: see `Adaptation`.
        scheduler: see `Adaptation`.
        learning_rate: see `Adaptation`.
        pooling: cls, mean, max, last, attention or lstm; None takes the family's.
        pairs: "cross_encoder", "bi_encoder" or "both_orders".
        frozen_dropout: keep dropout on in frozen parts of the backbone too.
        head: "linear", "no_bias" or "mlp"; None takes the strategy's own.
        delimiter: text between the two texts of one sequence; None takes the tokenizer's.
        lm_weight: of the language model's loss, for decoders.
        compile: see `Adaptation`.

    Raises:
        UsageError: as of both.
    """
    require_rate(learning_rate)
    model = AdaptedModel(backbone, strategy, task, pooling, pairs, head, delimiter, frozen_dropout)
    return Adaptation(model, optimizer, scheduler, learning_rate, lm_weight, compile)
