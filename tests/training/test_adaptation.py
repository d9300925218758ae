"""Fit, resume, evaluate and predict with real code paths on tiny models."""

from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lm_lab import GLUE, AdaptedModel, bind
from lm_lab.errors import UsageError
from lm_lab.heads.scorers import Standardise
from lm_lab.strategies import FullFineTuning, LinearProbe, LoRA
from lm_lab.tasks import Judged, TextTask
from lm_lab.training import adaptation, standardising
from lm_lab.training.adaptation import adaptation_of
from lm_lab.training.budget import total_steps
from lm_lab.training.callbacks import meter as meters
from lm_lab.training.callbacks.meter import TrainingMeter
from lm_lab.training.callbacks.watching import DivergedError
from lm_lab.training.losses.evaluation import Evaluation
from lm_lab.training.resuming.checkpoints import ExactResume

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def glue(task: str = "sst2", **options) -> GLUE:
    options = {"train_limit": 96, "validation_limit": 60, "batch_size": 16} | options
    return GLUE(task, source="microworld", **options)


def test_a_plain_trainer_fits_and_scores(make):
    data = glue(holdout=20)
    model = adaptation_of(make(), FullFineTuning(), data.task, learning_rate=1e-3, pooling="mean")
    trainer = L.Trainer(max_epochs=2, **QUIET)
    trainer.fit(model, bind(model.model, data))
    assert set(trainer.callback_metrics) >= {"train/loss", "validation/accuracy", "validation/score", "selection/score"}
    assert trainer.global_step == 12


@pytest.mark.parametrize("pairs", ["cross_encoder", "bi_encoder"])
@pytest.mark.parametrize("task", ["rte", "stsb", "mnli"])
def test_pairs_as_one_sequence_and_as_a_bi_encoder(make, task, pairs):
    data = glue(task)
    model = adaptation_of(make(), LoRA(), data.task, pairs=pairs)
    inputs = model.model.head.scorer.out.in_features
    assert inputs == model.model.backbone.hidden_size * (4 if pairs == "bi_encoder" else 1)
    trainer = L.Trainer(max_epochs=1, **QUIET)
    trainer.fit(model, bind(model.model, data))
    expected = {"rte": "validation/accuracy", "stsb": "validation/spearman", "mnli": "validation_mismatched/accuracy"}
    assert expected[task] in trainer.callback_metrics


def test_each_strategy_brings_its_learning_rate(make):
    data = glue()
    assert adaptation_of(make(), LoRA(), data.task).learning_rate == LoRA.learning_rate
    assert adaptation_of(make(), LoRA(), data.task, learning_rate=0.1).learning_rate == 0.1


def fit(make, checkpoint=None, callbacks=()):
    L.seed_everything(3, verbose=False)
    data = glue()
    model = adaptation_of(make("bert", dropout=0.2), FullFineTuning(), data.task, learning_rate=1e-3)
    trainer = L.Trainer(
        max_epochs=2, **QUIET | {"enable_checkpointing": bool(callbacks)}, callbacks=[ExactResume(), *callbacks]
    )
    trainer.fit(model, bind(model.model, data), ckpt_path=checkpoint, weights_only=True)
    return model.state_dict()


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize("step", [3, 6, 8])
def test_a_resumed_run_ends_with_the_same_bits(make, tmp_path, step):
    """In mid-epoch, between epochs, and in the second one; dropout on, so the generators matter too."""
    keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    whole = fit(make, callbacks=[keep])
    torch.randn(7)  # a new process would have drawn other numbers
    resumed = fit(make, checkpoint=str(tmp_path / f"step={step}.ckpt"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_a_checkpoint_holds_the_delta_and_the_head(make, tmp_path):
    data = glue()
    keep = ModelCheckpoint(tmp_path, "last")
    trainer = L.Trainer(max_epochs=1, **QUIET | {"enable_checkpointing": True}, callbacks=[keep])
    model = adaptation_of(make(), LoRA(rank=2), data.task)
    trainer.fit(model, bind(model.model, data))
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert all("lora" in name or name.startswith("model.head.") for name in saved)
    other = adaptation_of(make(), LoRA(rank=2), data.task)
    scores = [L.Trainer(**QUIET).validate(other, data, ckpt_path=str(tmp_path / "last.ckpt"), verbose=False)]
    scores.append(L.Trainer(**QUIET).validate(model, data, verbose=False))
    assert scores[0] == scores[1]
    wrong = adaptation_of(make(), FullFineTuning(), data.task)
    with pytest.raises(UsageError, match=r"the checkpoint does not fit FullFineTuning .* It lacks"):
        L.Trainer(**QUIET).validate(wrong, data, ckpt_path=str(tmp_path / "last.ckpt"), verbose=False)


def test_a_probe_standardises_with_the_training_set_alone(make):
    data = glue(train_limit=50)
    model = adaptation_of(make(), LinearProbe(at_layer=1), data.task, pooling="mean")
    L.Trainer(max_epochs=1, **QUIET).fit(model, bind(model.model, data))
    with torch.no_grad():
        features = model.eval().model.features(data.encoded["train"].collate(list(range(50))))
    standardise = next(m for m in model.model.head.modules() if isinstance(m, Standardise))
    assert standardise.fitted
    assert torch.allclose(standardise.mean, features.mean(0), atol=1e-5)
    assert torch.allclose(standardise.std, features.std(0, correction=0), atol=1e-5)


def test_a_probe_stops_reading_once_its_statistics_are_known(make, monkeypatch):
    data = glue(train_limit=50)
    model = adaptation_of(make(), LinearProbe(at_layer=1), data.task, pooling="mean")
    read: list[int] = []

    def features(batch):
        read.append(len(batch["ids"]))
        return AdaptedModel.features(model.model, batch)

    monkeypatch.setattr(model.model, "features", features)
    monkeypatch.setattr(standardising, "ENOUGH", 17)
    trainer = L.Trainer(max_steps=1, limit_val_batches=0, **QUIET)
    trainer.fit(model, bind(model.model, data))
    assert sum(read[:-1]) < 17 <= sum(read) < 50


def test_pretrained_weights_train_with_dropout_on_and_frozen_ones_without(make):
    """`from_pretrained` gives eval mode and Lightning keeps it, so a fit must set the modes itself."""
    seen = {}

    class Modes(L.Callback):
        def on_train_batch_start(self, trainer, model, *_):
            seen[type(model.model.strategy)] = {m.training for m in model.model.backbone.model.encoder.modules()}

    for strategy in (FullFineTuning(), LinearProbe()):
        data = glue()
        model = adaptation_of(make("bert").eval(), strategy, data.task)
        L.Trainer(max_epochs=2, callbacks=[Modes()], **QUIET).fit(model, bind(model.model, data))
    assert seen == {FullFineTuning: {True}, LinearProbe: {False}}


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"max_epochs": 2}, 12),
        ({"max_epochs": 2, "accumulate_grad_batches": 4}, 4),
        ({"max_epochs": 2, "limit_train_batches": 3}, 6),
        ({"max_epochs": 2, "limit_train_batches": 0.5}, 6),
        ({"max_epochs": 2, "max_steps": 5}, 5),
        ({"max_epochs": -1, "max_steps": 7}, 7),
    ],
)
def test_a_schedule_ends_with_the_run(make, options, steps):
    data = glue()
    model = adaptation_of(make(), LoRA(), data.task)
    trainer = L.Trainer(**options, **QUIET)
    trainer.fit(model, bind(model.model, data))
    assert trainer.global_step == steps == total_steps(trainer)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0)


def test_the_meter_counts_steps_and_examples(make):
    data, meter = glue(), TrainingMeter()
    model = adaptation_of(make(), LoRA(), data.task)
    L.Trainer(max_epochs=2, callbacks=[meter], **QUIET).fit(model, bind(model.model, data))
    assert (meter.steps, meter.examples) == (12, 192)
    assert meter.seconds > 0
    assert meter.peak_bytes > 10_000_000
    assert [row["step"] for row in meter.history] == list(range(1, 13))


@pytest.mark.parametrize("window", [4, 50])
def test_losses_that_are_read_together_are_those_of_the_steps(make, window):
    found = []
    for each in (1, window):
        data, meter = glue(), TrainingMeter(each)
        torch.manual_seed(0)
        model = adaptation_of(make(), LoRA(), data.task)
        L.Trainer(max_steps=11, max_epochs=2, callbacks=[meter], **QUIET).fit(model, bind(model.model, data))
        found.append((meter.history, meter.steps, meter.examples))
    assert found[0] == found[1]
    assert [row["step"] for row in found[1][0]] == list(range(1, 12))


def test_a_meter_that_reads_losses_together_reads_no_loss_by_itself(make, monkeypatch):
    data, meter, read = glue(), TrainingMeter(5), []
    model = adaptation_of(make(), LoRA(), data.task)
    kept = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: read.append(len(meter._losses)) or kept(tensor))
    batch_end = meter.on_train_batch_end
    waits = []

    def watched(*args):
        before = len(read)
        batch_end(*args)
        waits.append(len(read) > before)

    monkeypatch.setattr(meter, "on_train_batch_end", watched)
    L.Trainer(max_epochs=2, callbacks=[meter], **QUIET).fit(model, bind(model.model, data))
    assert waits == [False, False, False, False, True, True] * 2  # six batches an epoch


def test_a_run_that_diverged_is_told_with_its_step_however_seldom_losses_are_read(make):
    data = glue()
    model = adaptation_of(make(), FullFineTuning(), data.task)
    step = model.training_step

    def diverging(batch, batch_idx):
        loss = step(batch, batch_idx)
        return loss * float("nan") if batch_idx == 2 else loss

    model.training_step = diverging
    with pytest.raises(DivergedError, match="the loss is nan at step 3"):
        L.Trainer(max_epochs=1, callbacks=[TrainingMeter(50)], **QUIET).fit(model, bind(model.model, data))


def test_the_meter_counts_what_is_fitted_before_the_first_step(make, monkeypatch):
    data, meter, now = glue(), TrainingMeter(), [0.0]

    def fit(*_: Any) -> None:
        now[0] += 60

    monkeypatch.setattr(adaptation, "fit_standardisation", fit)
    clock = SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: now[0] / 2)
    monkeypatch.setattr(meters, "time", clock)
    model = adaptation_of(make(), LinearProbe(), data.task)
    L.Trainer(max_epochs=2, callbacks=[meter], **QUIET).fit(model, bind(model.model, data))
    assert (meter.seconds, meter.cpu_seconds) == (60, 30)


def test_a_loss_that_is_no_number_stops_the_run(make):
    data = glue()
    model = adaptation_of(make(), FullFineTuning(), data.task)
    with torch.no_grad():
        model.model.head.scorer.out.bias.fill_(float("nan"))
    with pytest.raises(DivergedError, match="the loss is nan at step 1"):
        L.Trainer(max_epochs=1, callbacks=[TrainingMeter()], **QUIET).fit(model, bind(model.model, data))


def test_low_precision_trains(make):
    data = glue()
    model = adaptation_of(make(), LoRA(), data.task)
    L.Trainer(max_epochs=1, precision="bf16-mixed", gradient_clip_val=1.0, **QUIET).fit(model, bind(model.model, data))
    assert next(model.parameters()).dtype == torch.float32


def test_examples_that_two_batches_have_count_once():
    evaluation = Evaluation()
    for ids, values, labels in (([4, 2], [1, 0], [1, 1]), ([2, 9], [1, 1], [1, 0])):
        evaluation.update("validation", torch.tensor(ids), Judged(torch.tensor(values), torch.tensor(labels)))
    _, logged = evaluation.close(TextTask("own", labels=("a", "b")))
    assert logged["validation/accuracy"] == pytest.approx(1 / 3)
    assert evaluation.close(TextTask("own", labels=("a", "b")))[1] == {}


def test_limits_take_the_same_examples_for_every_seed():
    first = glue(holdout=30)
    L.seed_everything(1, verbose=False)
    second = glue(holdout=30)
    for split in ("train", "selection", "validation"):
        assert first.rows(split).ids.tolist() == second.rows(split).ids.tolist()
    assert not set(first.rows("train").ids) & set(first.rows("selection").ids)
    assert first.fingerprint() == second.fingerprint() != glue(holdout=31).fingerprint()


def test_limits_that_leave_nothing():
    with pytest.raises(UsageError, match=r"holdout=999999 leaves nothing of the \d+ rows"):
        glue(holdout=999_999).rows("train")


def test_ax_cannot_be_trained_on():
    with pytest.raises(UsageError, match="'ax' has no training split; train on one with the same labels"):
        GLUE("ax", source="microworld").rows("train")
