"""An adapted model is a plain module: trained in any loop, asked, saved, merged, and without its delta for a while."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from lm_lab import Adaptation, AdaptedModel, Backbone
from lm_lab.errors import UsageError
from lm_lab.strategies import (
    IA3,
    AdaptationStrategy,
    BitFit,
    FullFineTuning,
    HoulsbyAdapter,
    LinearProbe,
    LoRA,
    PartialFineTuning,
    PrefixTuning,
    PromptTuning,
    PTuningV2,
    RandomMask,
)
from lm_lab.tasks import glue_task
from lm_lab.training.schedules import WarmupConstant

Make = Callable[..., Backbone]
TEXTS = ["the beast was good .", "the plant was poor and awful .", "it was good .", "it was awful ."]
LABELS = [1, 0, 1, 0]
DELTAS = [
    LoRA(rank=2), IA3(), HoulsbyAdapter(size=4), PromptTuning(length=3), PTuningV2(length=3), PrefixTuning(length=3),
    RandomMask(like=LoRA(rank=2)), BitFit(), PartialFineTuning(blocks=1), FullFineTuning(),
]  # fmt: skip


def built(make: Make, strategy: AdaptationStrategy, task: str = "sst2", **options: Any) -> AdaptedModel:
    torch.manual_seed(0)
    model = AdaptedModel(make("bert", dropout=0.0), strategy, glue_task(task), pooling="mean", **options)
    for module in model.head.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # so that runs are equal whatever else draws
    return model


def trained(model: AdaptedModel, steps: int = 4) -> list[float]:
    """A loop of one's own."""
    batch, losses = model.batch(TEXTS, LABELS), []
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0)
    model.train()
    for _ in range(steps):
        loss = model.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.filterwarnings("ignore:.*no `val_dataloader`.*")
@pytest.mark.parametrize("strategy", [LoRA(rank=2), FullFineTuning()], ids=lambda s: type(s).__name__)
def test_a_loop_of_ones_own_and_a_trainer_give_equal_losses(make: Make, strategy: AdaptationStrategy) -> None:
    seen: list[float] = []

    class Watch(L.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
            seen.append(float(outputs["loss"]))

    own = built(make, strategy)
    expected = trained(own)
    model = built(make, strategy)
    adamw = partial(torch.optim.AdamW, weight_decay=0.0)
    module = Adaptation(model, adamw, partial(WarmupConstant, warmup=0.0), learning_rate=1e-2)  # type: ignore[arg-type]
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(
        max_steps=4, limit_val_batches=0, accelerator="cpu", callbacks=[Watch()], enable_model_summary=False, **quiet
    )
    trainer.fit(module, DataLoader([model.batch(TEXTS, LABELS)] * 4, batch_size=None))  # type: ignore[arg-type]
    assert seen == pytest.approx(expected, abs=1e-6)
    assert expected[-1] < expected[0]


def test_texts_are_answered_in_words(make: Make) -> None:
    model = built(make, FullFineTuning())
    trained(model, 60)
    answers = model.predict(TEXTS)
    assert [answer["prediction"] for answer in answers] == ["positive", "negative", "positive", "negative"]
    assert model.training  # as it was
    assert len(model.predict(TEXTS * 40)) == 160


def test_pairs_are_pairs(make: Make) -> None:
    model = built(make, LoRA(rank=2), "mrpc", pairs="bi_encoder")
    assert len(model.predict([("it was good .", "it was poor .")] * 3)) == 3
    with pytest.raises(UsageError, match="1 texts, but this task needs 2"):
        model.predict(["it was good ."])


@pytest.mark.parametrize("strategy", DELTAS, ids=lambda s: type(s).__name__)
def test_without_its_delta_it_is_the_pretrained_model(make: Make, strategy: AdaptationStrategy) -> None:
    model = built(make, strategy)
    text = model.batch(TEXTS)["texts"][0]
    trained(model)
    model.eval()
    with torch.no_grad():
        expected = make("bert", dropout=0.0).eval().last(**text)
        learned = model.backbone.last(**text)
        with model.disabled():
            without = model.backbone.last(**text)
        again = model.backbone.last(**text)
    assert torch.allclose(without, expected, atol=1e-6)
    assert not torch.allclose(learned, expected, atol=1e-4)
    assert torch.equal(again, learned)


def test_a_gradient_survives_a_look_at_the_teacher(make: Make) -> None:
    model, other = built(make, FullFineTuning()), built(make, FullFineTuning())
    batch = model.batch(TEXTS, LABELS)
    trained(model), trained(other)
    loss = model.eval().loss(batch)
    with model.disabled(), torch.no_grad():
        model(batch)
    loss.backward()
    other.eval().loss(batch).backward()
    found = {name: p.grad for name, p in model.named_parameters()}
    assert all(torch.equal(found[name], p.grad) for name, p in other.named_parameters() if p.grad is not None)


def test_random_weights_that_train_have_nothing_to_go_back_to(make: Make) -> None:
    model = AdaptedModel(make("bert", pretrained=False), FullFineTuning(), glue_task("sst2"))
    with pytest.raises(UsageError, match="nothing to go back to"), model.disabled():
        pass


def test_it_is_saved_loaded_and_merged(make: Make, tmp_path: Path) -> None:
    model = built(make, LoRA(rank=2))
    trained(model)
    model.eval()
    batch = model.batch(TEXTS)
    scores = model(batch)
    model.save(tmp_path / "delta")
    fresh = built(make, LoRA(rank=2)).eval()
    fresh.load(tmp_path / "delta")
    assert torch.equal(fresh(batch), scores)
    fresh.merge()
    assert torch.allclose(fresh(batch), scores, atol=1e-5)


def test_a_task_of_another_form_has_no_batch_of_texts(make: Make) -> None:
    from lm_lab.data.modules.squad import SQuAD

    model = AdaptedModel(make("bert"), LinearProbe(), SQuAD().task)
    with pytest.raises(UsageError, match="does not read whole texts"):
        model.batch(TEXTS)
