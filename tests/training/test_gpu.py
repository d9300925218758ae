"""What only a GPU can show; skipped without one, and run by benchmarks/gpu_session.sh."""

import lightning as L
import pytest
import torch

from lm_lab import GLUE, bind
from lm_lab.strategies import LoRA
from lm_lab.training.adaptation import adaptation_of
from lm_lab.training.callbacks.meter import TrainingMeter

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def losses(make, accelerator, window=None, compile=False):
    torch.manual_seed(0)
    data, meter = GLUE("sst2", source="microworld", train_limit=96, batch_size=16), TrainingMeter(window)
    model = adaptation_of(make(), LoRA(), data.task, compile=compile)
    switched_off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    options = dict.fromkeys(switched_off, False) | {"accelerator": accelerator, "devices": 1, "max_epochs": 2}
    L.Trainer(callbacks=[meter], **options).fit(model, bind(model.model, data))
    assert model.compiled == bool(compile)
    return [row["loss"] for row in meter.history]


def test_losses_that_are_read_together_are_those_of_the_steps(make):
    assert losses(make, "gpu") == losses(make, "gpu", 1)


def test_losses_are_those_of_the_processor(make):
    assert losses(make, "gpu") == pytest.approx(losses(make, "cpu"), abs=1e-2)


@pytest.mark.parametrize("compile", [True, "graphs"])
def test_losses_are_those_of_a_compiled_backbone(make, compile):
    assert losses(make, "gpu", compile=compile) == pytest.approx(losses(make, "gpu"), abs=1e-2)
