"""Operations against the closed form, totals over resumptions, and a run that being watched does not change."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from fixed_texts import QUIET, FixedTexts
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.utils._python_dispatch import _get_current_dispatch_mode

from lm_lab.backbones import Backbone
from lm_lab.objectives import CausalLM, MaskedLM
from lm_lab.training.callbacks.throughput import Throughput, operand_type, product_rate
from lm_lab.training.pretraining import Pretraining

Make = Callable[..., Backbone]


def fit(model: Pretraining, *callbacks: L.Callback, resume: Path | None = None, **options: Any) -> L.Trainer:
    trainer = L.Trainer(**QUIET | {"max_epochs": 1} | options, callbacks=list(callbacks))
    trainer.fit(model, FixedTexts(length=48), ckpt_path=resume, weights_only=True)
    return trainer


def counted(backbone: Backbone) -> int:
    meter = Throughput()
    fit(Pretraining(backbone, CausalLM), meter)
    return meter.flops


def test_operations_are_six_a_parameter_and_token_and_the_attention(make: Make) -> None:
    backbone = make("gpt2", attention="eager")
    layers, width, length, tokens = backbone.num_layers, backbone.hidden_size, 48, 48 * 48
    matrices = sum(match.module.weight.numel() for role in backbone.linear_roles for match in backbone.sites(role))
    table = backbone.embeddings.get_parameter("weight").numel()  # of the output layer, where it is a product
    attention = 12 * layers * width * length  # scores and their use, forward and twice backward
    # the last token of each text predicts nothing
    expected = tokens * (6 * matrices + attention) + 6 * table * tokens * (length - 1) / length
    assert counted(backbone) == pytest.approx(expected, rel=0.01)


def test_fused_attention_counts_like_the_plain_one(make: Make) -> None:
    """Its backward pass computes the scores anew: 7 products instead of 6."""
    plain, fused = (counted(make("gpt2", attention=kind, dropout=0.0)) for kind in ("eager", "sdpa"))
    again = 2 * 2 * 32 * 48 * 48 * 48
    assert fused == pytest.approx(plain + again, rel=0.01)


def test_watching_changes_no_bit(make: Make) -> None:
    def trained(*callbacks: L.Callback) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = Pretraining(make("bert", dropout=0.1), MaskedLM)
        fit(model, *callbacks)
        return model.state_dict()

    alone, watched = trained(), trained(Throughput())
    assert all(torch.equal(value, watched[name]) for name, value in alone.items())


def test_speeds_are_logged_at_the_trainers_steps(make: Make, tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    fit(Pretraining(make("bert"), MaskedLM), Throughput(), logger=logger, log_every_n_steps=4)
    with open(logger.experiment.metrics_file_path) as file:
        rows = [row for row in csv.DictReader(file) if row["speed/utilisation"]]
    assert [row["step"] for row in rows] == ["3", "7", "11"]
    for row in rows:
        speeds = [float(row[f"speed/{name}"]) for name in ("tokens_per_second", "flops_per_second", "utilisation")]
        assert min(speeds) > 0


def test_a_resumed_run_counts_on(make: Make, tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=5, save_top_k=-1)
    whole, resumed = Throughput(), Throughput()
    fit(Pretraining(make("gpt2"), CausalLM), whole, keep, enable_checkpointing=True)
    saved = torch.load(tmp_path / "step=5.ckpt", weights_only=True)["throughput"]
    assert saved["flops"] == 5 * whole.flops // 12
    model = Pretraining(make("gpt2"), CausalLM)
    fit(model, resumed, keep, resume=tmp_path / "step=5.ckpt", enable_checkpointing=True)
    assert resumed.flops == whole.flops
    assert resumed.seconds > saved["seconds"] > 0
    assert int(model.tokens) == 48 * 48


def test_a_failure_leaves_no_counter_behind(make: Make) -> None:
    class Fails(L.Callback):
        def on_before_optimizer_step(self, *_: Any) -> None:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        fit(Pretraining(make("bert"), MaskedLM), Throughput(), Fails())
    assert _get_current_dispatch_mode() is None


@pytest.mark.parametrize(
    ("precision", "kind"),
    [
        ("32-true", torch.float32),
        ("bf16-mixed", torch.bfloat16),
        ("16-mixed", torch.float16),
        ("64-true", torch.float64),
    ],
)
def test_the_product_is_of_the_runs_precision(precision: str, kind: torch.dtype) -> None:
    assert operand_type(precision) == kind


def test_timing_a_product_draws_no_number_of_the_run() -> None:
    before = torch.get_rng_state()
    assert product_rate(torch.device("cpu"), torch.float32) > 1e8
    assert torch.equal(torch.get_rng_state(), before)
