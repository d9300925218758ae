"""The LightningModule that pairs a backbone with an adaptation strategy on a task."""

from typing import Any

import lightning as L
import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.backbones.pooling import Pooling
from lm_lab.data.encoding import Encoding, Pairs
from lm_lab.data.framing import framed
from lm_lab.errors import UsageError
from lm_lab.strategies import AdaptationStrategy
from lm_lab.strategies.heads import HeadKind
from lm_lab.strategies.readout import Readout
from lm_lab.strategies.writer import Writer
from lm_lab.tasks import Task
from lm_lab.tasks.sequences import SequenceTask
from lm_lab.training import budget, delta
from lm_lab.training.auxiliary import AuxiliaryLM
from lm_lab.training.evaluation import Evaluation
from lm_lab.training.modes import freeze_modes, trained_names
from lm_lab.training.optimizers import AdamW, OptimizerFactory, parameter_groups, require_rate
from lm_lab.training.processes import keep_buffers
from lm_lab.training.reading import build_head
from lm_lab.training.schedules import SchedulerFactory, WarmupLinear
from lm_lab.training.standardising import fit_standardisation
from lm_lab.training.step_mean import StepMean
from lm_lab.training.writing import write_texts


class Adaptation(L.LightningModule):
    """A backbone, adapted to a task by a strategy.

    Args:
        backbone: gives the hidden states; changed in place by the strategy.
        strategy: what is frozen, what is added, which layer is read, with which head.
        task: outputs, loss and metrics.
        optimizer: callable of (parameter groups, learning rate); None is AdamW.
        scheduler: callable of (optimiser, total steps); None is WarmupLinear.
        learning_rate: None takes the strategy's default.
        pooling: cls, mean, max, last, attention, which learns what to look at, or lstm, which reads all tokens; None
            takes the family's (cls for encoders, last for decoders). Where every token has its scores, lstm alone
            makes a difference.
        pairs: "joint" encodes a pair as one sequence; "towers" encodes each text alone and the head reads
            [u, v, |u - v|, u * v], which sentence-tuned backbones need; "both_orders" encodes a pair in both orders
            and adds the two vectors, as GPT does for similarity.
        frozen_dropout: keep dropout on in frozen parts of the backbone too.
        head: "linear", or "mlp": BERT's pooler and its classifier. None takes the strategy's own.
        delimiter: text between the two texts of one sequence. None takes what the tokenizer puts there, and GPT's " $ "
            where it puts nothing. A decoder's sequences end with an end token, which it is read at.
        lm_weight: what the loss of predicting each next token is multiplied by and added with, as GPT does with 0.5;
            for decoders.

    Raises:
        UsageError: the strategy cannot adapt this family, or the language-model loss has nothing to train.
    """

    def __init__(
        self,
        backbone: Backbone,
        strategy: AdaptationStrategy,
        task: Task,
        # None, since a command line that names another class would keep the default class's settings for it
        optimizer: OptimizerFactory | None = None,
        scheduler: SchedulerFactory | None = None,
        learning_rate: float | None = None,
        pooling: Pooling | None = None,
        pairs: Pairs = "joint",
        frozen_dropout: bool = False,
        head: HeadKind | None = None,
        delimiter: str | None = None,
        lm_weight: float = 0.0,
    ) -> None:
        super().__init__()
        require_rate(learning_rate)
        strategy = strategy.given_labels(task.labels)
        strategy.apply(backbone)
        self.backbone, self.strategy, self.task = backbone, strategy, task
        self.optimizer: OptimizerFactory = optimizer or AdamW
        self.scheduler: SchedulerFactory = scheduler or WarmupLinear
        self.learning_rate = strategy.learning_rate if learning_rate is None else learning_rate
        self.pooling: Pooling = pooling or backbone.pooling
        self.pairs, self.frozen_dropout = pairs, frozen_dropout
        self.head_kind, self.delimiter, self.lm_weight = head, delimiter, lm_weight
        self.language = AuxiliaryLM(backbone, lm_weight) if lm_weight else None
        self.head = build_head(backbone, strategy, task, self.pooling, pairs, head)
        self.trained = trained_names(self)
        if not self.trained:
            raise UsageError(
                f"{type(strategy).__name__} trains nothing here: a {backbone.config.model_type} writes with the output "
                "layer that it was pretrained with; use a strategy that adapts the backbone."
            )
        self.max_length: int | None = None
        self.read_by: dict[str, Any] | None = None
        self.evaluation = Evaluation()
        self.step = StepMean()

    def encoding(self, max_length: int) -> Encoding:
        """How this model wants its texts: asked by the data module."""
        self.max_length = max_length
        tokenizer = framed(self.backbone.tokenizer, self.delimiter, extract=self.backbone.family.causal)
        return Encoding(tokenizer, self.pairs, min(max_length, self.backbone.max_length))

    def features(self, batch: dict[str, Any]) -> Tensor:
        """What the head reads of each text (b, texts, layers, d), or of each token (b, 1, t, layers, d).

        Taken from the batch if it brings them.
        """
        if "features" in batch:
            return batch["features"]
        return torch.stack([self._read(text)[0] for text in batch["texts"]], dim=1)

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Scores (b, outputs), or (b, t, outputs); for a text to be written, (n, V) of the targets' real tokens."""
        if isinstance(self.head, Writer):
            return self.head(self.backbone, batch)
        return self.head(self.features(batch))

    def outputs(self, batch: dict[str, Any]) -> Any:
        """What a task judges: scores, or the texts that were written."""
        if not isinstance(self.head, Writer):
            return self(batch)
        assert isinstance(self.task, SequenceTask)
        return write_texts(self.head, self.backbone, self.task, batch["source"])

    def train(self, mode: bool = True) -> "Adaptation":
        """Train mode for what is trained; frozen parts of the backbone stay in eval mode."""
        super().train(mode)
        if mode and not self.frozen_dropout:
            freeze_modes(self.backbone)
        return self

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Let processes evaluate different numbers of batches."""
        keep_buffers(self)

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The task's mean loss of a batch, and with it the language model's where there is one."""
        return self.task.loss(self(batch), batch) if self.language is None else self._with_lm(self.language, batch)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Loss of a batch, weighed for its step."""
        loss = self.loss(batch)
        self.log("train/loss", loss, batch_size=len(batch["ids"]), prog_bar=True)
        return self.step.weigh(loss, self.task.targets(batch), self.trainer, batch_idx)

    def on_after_backward(self) -> None:
        """Make the gradient that of the mean over all targets of the step, before it is looked at or clipped."""
        self.step.divide(self)

    def validation_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> None:  # noqa: ARG002
        """Collect the predictions of a batch."""
        judged = self.task.judge(self.outputs(batch), batch)
        self.evaluation.update(batch["split"], batch["ids"], judged)

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        """Log every metric of every split, and the score: the mean over them."""
        self.task, logged = self.evaluation.close(self.task)
        for name, value in logged.items():
            self.log(name, value, prog_bar=name.endswith("/score"), rank_zero_only=True)
        for layer, weight in enumerate(self.layer_weights()):
            self.log(f"mix/layer_{layer}", weight, rank_zero_only=True)

    on_test_epoch_end = on_validation_epoch_end

    def layer_weights(self) -> list[float]:
        """What a mix of layers gives to each, summing to 1; empty where one layer is read."""
        return [] if self.head.mix is None else self.head.mix.weights.detach().softmax(0).tolist()

    def predict_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:  # noqa: ARG002
        """Split, ids (b,), what the metrics need (`predictions`, `labels`), and `answers` in words."""
        outputs = self.outputs(batch)
        values, labels = self.task.judge(outputs, batch)
        found = {"split": batch["split"], "ids": batch["ids"], "predictions": values, "labels": labels}
        return found | {"answers": self.task.answers(outputs, batch)}

    def configure_optimizers(self) -> Any:
        """The optimiser over what is trained, its schedule stepped at every step."""
        groups = parameter_groups(self, self.learning_rate, self._rate_scale)
        optimizer = self.optimizer(groups, self.learning_rate)
        self.total_steps = budget.total_steps(self.trainer)
        scheduler = self.scheduler(optimizer, self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:  # noqa: ARG002
        """Move the schedule on, by steps or by time."""
        budget.advance(scheduler, self.trainer, self.total_steps)

    def on_fit_start(self) -> None:
        """Set the modes: pretrained weights come in eval mode, and Lightning keeps what it finds."""
        self.train()

    def on_train_start(self) -> None:
        """Fit the head's standardisation, if it has one, to the features of the training set."""
        fit_standardisation(self)

    def on_train_epoch_start(self) -> None:
        """Let the strategy freeze what is not due yet."""
        self.strategy.on_epoch(self.backbone, self.current_epoch)
        self.train()

    def on_train_epoch_end(self) -> None:
        """Show all that trains again, as what counts and what is saved go by it."""
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in self.trained)

    def finish(self) -> None:
        """Drop what only training needs, such as the MLP of prefix tuning."""
        self.strategy = self.strategy.finish(self.backbone)
        self.trained = trained_names(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the delta and the head only."""
        keys = delta.keys(self)
        checkpoint["state_dict"] = {name: value for name, value in checkpoint["state_dict"].items() if name in keys}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that the checkpoint holds exactly this strategy's delta, then let the frozen weights stand."""
        delta.require_keys(self, checkpoint["state_dict"], "the checkpoint")
        checkpoint["state_dict"] = {**self.state_dict(), **checkpoint["state_dict"]}

    def _read(self, text: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What the head reads of one text, and its final hidden states (b, t, d)."""
        assert isinstance(self.head, Readout)
        layers = self.head.layers
        if layers == (self.backbone.num_layers,):
            states = [self.backbone.last(**text)]
            final = states[0]
        else:
            found = self.backbone(**text)
            states, final = [found[layer] for layer in layers], found[-1]
        return self.head.pooled(states, text["attention_mask"]), final

    def _with_lm(self, language: AuxiliaryLM, batch: dict[str, Any]) -> Tensor:
        """The task's loss and the language model's, from one pass over the sequences."""
        assert isinstance(self.head, Readout)
        read = [self._read(text) for text in batch["texts"]]
        task = self.task.loss(self.head(torch.stack([pooled for pooled, _ in read], dim=1)), batch)
        lm = language((final, text) for (_, final), text in zip(read, batch["texts"], strict=True))
        self.log("train/lm_loss", lm, batch_size=len(batch["ids"]))
        return task + language.weight * lm

    def _rate_scale(self, name: str) -> float:
        inside = name.startswith("backbone.")
        return self.strategy.rate_scale(self.backbone, name.removeprefix("backbone.")) if inside else 1.0
