"""Gradients that are added up: as one large batch gives them, over a growing number of batches, also when resumed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from fixed_texts import QUIET, FixedTexts
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import CausalLM
from lm_lab.training.callbacks.batch_size_warmup import BatchSizeWarmup
from lm_lab.training.pretraining import Pretraining
from lm_lab.training.resuming.checkpoints import ExactResume

Make = Callable[..., Backbone]
Weights = dict[str, Tensor]


class Sizes(L.Callback):
    """Batches of every step, and the gradient it takes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.gradients: list[Tensor] = []
        self._batches = 0

    def on_train_batch_start(self, *_: Any) -> None:
        self._batches += 1

    def on_before_optimizer_step(self, trainer: L.Trainer, module: L.LightningModule, optimizer: Any) -> None:
        self.sizes.append(self._batches)
        self.gradients.append(torch.cat([p.grad.flatten().clone() for p in module.parameters()]))
        self._batches = 0


def fit(
    make: Make,
    data: FixedTexts,
    *callbacks: L.Callback,
    resume: Path | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[Weights, L.Trainer]:
    torch.manual_seed(0)
    model = Pretraining(make("gpt2", dropout=dropout), CausalLM, learning_rate=0.01)
    trainer = L.Trainer(**QUIET | options, callbacks=[ExactResume(), *callbacks])
    trainer.fit(model, data, ckpt_path=resume, weights_only=True)
    return model.state_dict(), trainer


def test_a_sum_over_batches_is_the_gradient_of_one_large_batch(make: Make) -> None:
    small, large = Sizes(), Sizes()
    fit(make, FixedTexts(batch_size=4), small, max_epochs=1, accumulate_grad_batches=6)
    fit(make, FixedTexts(batch_size=24), large, max_epochs=1)
    assert (small.sizes, large.sizes) == ([6, 6], [1, 1])
    torch.testing.assert_close(small.gradients[0], large.gradients[0], rtol=1e-4, atol=1e-7)


def test_the_batch_grows_and_each_step_is_the_mean_over_exactly_its_batches(make: Make) -> None:
    data, seen = FixedTexts(texts=96), Sizes()
    fit(make, data, seen, BatchSizeWarmup(over_steps=6), max_epochs=1, accumulate_grad_batches=4)
    assert sum(seen.sizes) == 24
    assert seen.sizes == sorted(seen.sizes)
    assert {seen.sizes[0], seen.sizes[-1]} == {1, 4}
    # the same batches as one: each step's gradient, taken on the weights it was taken on
    model = Pretraining(make("gpt2", dropout=0.0), CausalLM, learning_rate=0.01).train()
    first = seen.sizes[0] * 4
    ids = torch.stack([row["input_ids"] for row in data.rows[:first]])
    model({"input_ids": ids, "attention_mask": torch.ones_like(ids)}).total.backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()])
    torch.testing.assert_close(seen.gradients[0], expected, rtol=1e-4, atol=1e-7)


def test_a_step_of_a_grown_batch_equals_one_large_batch(make: Make, tmp_path: Path) -> None:
    """From the very weights of the middle of the warm-up: no gradient of the step before it is left over."""
    data, seen = FixedTexts(texts=96), Sizes()
    keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    options = {"max_epochs": 1, "accumulate_grad_batches": 4, "enable_checkpointing": True}
    fit(make, data, seen, BatchSizeWarmup(over_steps=6), keep, **options)
    for step in range(1, len(seen.sizes)):
        saved = torch.load(tmp_path / f"step={step}.ckpt", weights_only=True)["state_dict"]
        model = Pretraining(make("gpt2", dropout=0.0), CausalLM).train()
        model.load_state_dict(saved)
        start, size = 4 * sum(seen.sizes[:step]), 4 * seen.sizes[step]
        ids = torch.stack([row["input_ids"] for row in data.rows[start : start + size]])
        model({"input_ids": ids, "attention_mask": torch.ones_like(ids)}).total.backward()
        expected = torch.cat([p.grad.flatten() for p in model.parameters()])
        torch.testing.assert_close(seen.gradients[step], expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("batches", "epochs", "end", "over"), [(12, 3, 4, 6), (7, 5, 3, 4), (50, 1, 8, 5), (3, 4, 8, 1)]
)
def test_the_schedule_knows_how_many_steps_there_will_be(
    make: Make, batches: int, epochs: int, end: int, over: int
) -> None:
    data = FixedTexts(texts=batches * 4)
    _, trainer = fit(make, data, BatchSizeWarmup(over), max_epochs=epochs, accumulate_grad_batches=end)
    assert trainer.global_step == trainer.lightning_module.total_steps
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0)
    assert trainer.accumulate_grad_batches == end  # as it was given


def test_long_warmups_are_as_linear_as_whole_batches_allow() -> None:
    warmup = BatchSizeWarmup(over_steps=400)
    warmup.end, size, batch = 8, 1, 0
    for step in range(500):
        size = warmup.next_size(size, step, batch)
        due = min(8, 1 + 7 * step / 400)
        assert due - 1.3 < size <= due, step
        batch += size
    assert size == 8


@pytest.mark.parametrize("batches", [3, 5, 9, 13, 20, 24, 30])
def test_a_run_resumed_in_the_middle_of_the_warm_up_ends_with_the_same_bits(
    make: Make, tmp_path: Path, batches: int
) -> None:
    """At the end of a step and within one, where the gradients summed so far must come back; dropout on."""

    class SaveAt(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            if trainer.fit_loop.total_batch_idx + 1 == batches:
                trainer.save_checkpoint(tmp_path / "middle.ckpt")

    options = {"max_epochs": 2, "accumulate_grad_batches": 4, "dropout": 0.2}
    data = FixedTexts(texts=80)
    whole, _ = fit(make, data, BatchSizeWarmup(6), SaveAt(), **options)
    torch.randn(7)  # a new process would have drawn other numbers
    resumed, _ = fit(make, data, BatchSizeWarmup(6), resume=tmp_path / "middle.ckpt", **options)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_mistakes_are_told(make: Make) -> None:
    with pytest.raises(UsageError, match="over_steps=0: expected 1 or more"):
        BatchSizeWarmup(0)
    with pytest.raises(UsageError, match="accumulate_grad_batches, which is 1"):
        fit(make, FixedTexts(), BatchSizeWarmup(3), max_epochs=1)
