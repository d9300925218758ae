"""A schedule ends with its run, whether steps, epochs or time limit it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from fixed_texts import QUIET, FixedTexts
from lightning.pytorch.callbacks import ModelCheckpoint, Timer

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import CausalLM
from lm_lab.training.budget import TIME_STEPS, total_steps
from lm_lab.training.pretraining import Pretraining
from lm_lab.training.schedules import WarmupLinear, linear

Make = Callable[..., Backbone]
RATE = 0.01


class Clock(Timer):
    """A timer whose second is a batch."""

    def __init__(self, seconds: int) -> None:
        super().__init__(timedelta(seconds=seconds), verbose=False)
        self.seconds = 0

    def time_elapsed(self, stage: str = "train") -> float:
        return self.seconds + self._offset

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.seconds += 1
        super().on_train_batch_end(*args, **kwargs)


class Rates(L.Callback):
    """The learning rate of every step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_before_optimizer_step(self, trainer: L.Trainer, module: L.LightningModule, optimizer: Any) -> None:
        self.seen.append(optimizer.param_groups[0]["lr"] / RATE)


def rates(
    make: Make, seconds: int | None = None, resume: Path | None = None, callbacks: Any = (), **limits: Any
) -> list[float]:
    seen = Rates()
    timers = [Clock(seconds)] if seconds else []
    model = Pretraining(make("gpt2"), CausalLM, scheduler=WarmupLinear, learning_rate=RATE)
    trainer = L.Trainer(**QUIET | limits, callbacks=[seen, *timers, *callbacks])
    trainer.fit(model, FixedTexts(), ckpt_path=resume, weights_only=True)
    return seen.seen


def test_time_alone_drives_the_schedule_to_its_end(make: Make) -> None:
    found = rates(make, seconds=20, max_epochs=-1)
    tenth = TIME_STEPS // 10
    # the schedule moves on within a batch, before that batch's second has passed
    done = [0, *(round(TIME_STEPS * second / 20) for second in range(19))]
    assert found == pytest.approx([linear(step, TIME_STEPS, tenth) for step in done])
    assert found[-1] < 0.12


def test_steps_that_end_the_run_before_its_time_drive_the_schedule(make: Make) -> None:
    assert rates(make, seconds=100, max_epochs=1) == rates(make, max_epochs=1)


def test_time_that_ends_the_run_before_its_steps_drives_the_schedule(make: Make) -> None:
    found = rates(make, seconds=20, max_epochs=100)
    assert len(found) == 20
    assert found[-1] < 0.12


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_a_resumed_run_goes_on_at_the_share_of_time_that_was_used(make: Make, tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=7, save_top_k=-1)
    whole = rates(make, seconds=20, max_epochs=-1, callbacks=[keep], enable_checkpointing=True)
    resumed = rates(make, seconds=20, max_epochs=-1, resume=tmp_path / "step=7.ckpt")
    assert resumed == whole[7:]


def test_max_time_of_the_trainer_is_a_limit() -> None:
    assert total_steps(L.Trainer(max_time="00:01:00:00", **QUIET)) == TIME_STEPS
    assert total_steps(L.Trainer(max_time="00:01:00:00", max_steps=5, **QUIET)) == 5


def test_a_run_without_a_limit_has_no_schedule() -> None:
    with pytest.raises(UsageError, match="neither max_epochs, max_steps nor max_time"):
        total_steps(L.Trainer(max_epochs=-1, **QUIET))
