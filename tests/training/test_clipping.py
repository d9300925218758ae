"""Gradients are clipped after they are unscaled and before the fused optimiser uses them, in every precision."""

from collections.abc import Callable, Iterable
from typing import Any

import lightning as L
import pytest
import torch
from fixed_texts import QUIET, FixedTexts
from lightning.pytorch.plugins.precision import MixedPrecision

from lm_lab.backbones import Backbone
from lm_lab.objectives import CausalLM
from lm_lab.training.optimizers import AdamW
from lm_lab.training.pretraining import Pretraining

Make = Callable[..., Backbone]
SCALE = 2.0**12
PRECISIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "fp32": lambda: {"precision": "32-true"},
    "bf16": lambda: {"precision": "bf16-mixed"},
    # Lightning takes fp16 to a GPU only; its loss scaling is the same here
    "fp16": lambda: {"plugins": [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=SCALE))]},
}


class Watched(AdamW):
    """Notes the norm of the gradients that it uses."""

    def __init__(self, params: Iterable, lr: float) -> None:
        super().__init__(params, lr)
        self.norms: list[float] = []

    def step(self, closure: Any = None) -> Any:
        loss = closure() if closure is not None else None
        used = [p.grad.flatten() for group in self.param_groups for p in group["params"]]
        self.norms.append(float(torch.cat(used).norm()))
        super().step()
        return loss


def norms(make: Make, precision: str, clip: float | None) -> list[float]:
    torch.manual_seed(0)
    model = Pretraining(make("gpt2", dropout=0.0), CausalLM, optimizer=Watched)
    settings = PRECISIONS[precision]() | {"gradient_clip_val": clip, "max_epochs": 1}
    trainer = L.Trainer(**QUIET | settings)
    trainer.fit(model, FixedTexts())
    return trainer.optimizers[0].norms


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_optimiser_uses_clipped_gradients(make: Make, precision: str) -> None:
    free, clipped = norms(make, precision, None), norms(make, precision, 0.1)
    assert min(free) > 0.5
    assert clipped == pytest.approx([0.1] * 12, rel=1e-3)


def test_gradients_of_all_precisions_are_of_one_size(make: Make) -> None:
    """Those of fp16 were scaled, and are not any more."""
    first = {precision: norms(make, precision, None)[0] for precision in PRECISIONS}
    assert first["fp16"] == pytest.approx(first["fp32"], rel=0.02)
    assert first["bf16"] == pytest.approx(first["fp32"], rel=0.05)
