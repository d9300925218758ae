"""Every mean is over what it is a mean of: the gradient of a step over its targets, a loss over an epoch's tokens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from fixed_texts import QUIET
from torch import Tensor
from torch.nn import functional as F

from lm_lab.backbones import Backbone
from lm_lab.data.batching import LengthGroupedBatches, grouped_loader
from lm_lab.data.modules.own import OwnTexts
from lm_lab.data.modules.sequences import Sequences
from lm_lab.data.modules.tags import TokenClassification
from lm_lab.models.binding import bind
from lm_lab.objectives import CausalLM, MaskedLM, NextSentence, SumOfObjectives
from lm_lab.strategies import LoRA
from lm_lab.training.adaptation import Adaptation, adaptation_of
from lm_lab.training.pretraining import Pretraining

Make = Callable[..., Backbone]


class Ragged(L.LightningDataModule):
    """Texts of 4 to 30 tokens, the longest first: their batches hold very different numbers of tokens."""

    def __init__(self, batch_size: int, texts: int = 24) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.lengths = np.linspace(30, 4, texts).astype(int)
        self.rows = [torch.randint(10, 200, (length,), generator=generator) for length in self.lengths]
        self.batch_size = batch_size

    def train_dataloader(self) -> Any:
        batches = LengthGroupedBatches(self.lengths, self.batch_size, shuffle=False)
        return grouped_loader(self.rows, batches, collate)  # type: ignore[arg-type]

    val_dataloader = train_dataloader


def collate(rows: list[Tensor]) -> dict[str, Tensor]:
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    sides = torch.tensor([len(row) % 2 for row in rows])
    return {"input_ids": padded, "attention_mask": mask, "next_sentence": sides}


class Gradients(L.Callback):
    """The gradient of every step."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def on_before_optimizer_step(self, trainer: L.Trainer, module: L.LightningModule, optimizer: Any) -> None:
        found = [p.grad.flatten().clone() for p in module.parameters() if p.grad is not None]
        self.seen.append(torch.cat(found))


def steps(model: L.LightningModule, data: L.LightningDataModule, batches: int) -> list[Tensor]:
    seen = Gradients()
    options = QUIET | {"max_epochs": 1, "limit_val_batches": 0, "accumulate_grad_batches": batches}
    L.Trainer(**options, callbacks=[seen]).fit(model, data)
    return seen.seen


@pytest.mark.parametrize("texts", [24, 20])
def test_a_pretraining_step_of_small_batches_is_that_of_a_large_one(make: Make, texts: int) -> None:
    def run(batch_size: int, batches: int) -> list[Tensor]:
        torch.manual_seed(0)
        model = Pretraining(make("gpt2", dropout=0.0), CausalLM, learning_rate=1e-12)
        return steps(model, Ragged(batch_size, texts), batches)

    small, large = run(4, 3), run(12, 1)  # of 20 texts, the last step has two batches of four
    assert len(small) == len(large) == 2
    for one, other in zip(small, large, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def adapted(make: Make, data: Any) -> Adaptation:
    torch.manual_seed(0)
    model = adaptation_of(make(data.family, dropout=0.0), LoRA(rank=2), data.task, learning_rate=1e-12)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def tags(folder: Path, batch_size: int) -> Any:
    rows = [[f"w{j}" for j in range(1 + 3 * i % 17)] for i in range(20)]
    lines = "\n\n".join("\n".join(f"{word} {'B-x' if len(word) == 3 else 'O'}" for word in row) for row in rows)
    for split in ("train", "validation"):
        (folder / f"{split}.txt").write_text(lines + "\n")
    return TokenClassification("own", source=str(folder), batch_size=batch_size)


def texts(folder: Path, batch_size: int) -> Any:
    rows = [f"{'word ' * (1 + 5 * i % 19)},{'no' if i % 3 else 'yes'}" for i in range(20)]
    for split in ("train", "validation"):
        (folder / f"{split}.csv").write_text("\n".join(["sentence,label", *rows]) + "\n")
    return OwnTexts(source=str(folder), batch_size=batch_size)


def sequences(folder: Path, batch_size: int) -> Any:
    rows = [f"text number {i},{'word ' * (1 + 5 * i % 19)}" for i in range(20)]
    for split in ("train", "validation"):
        (folder / f"{split}.csv").write_text("\n".join(["source,target", *rows]) + "\n")
    return Sequences("own", source=str(folder), batch_size=batch_size)


@pytest.mark.parametrize(("data", "family"), [(tags, "bert"), (texts, "bert"), (sequences, "t5")])
def test_an_adaptation_step_of_small_batches_is_that_of_a_large_one(
    make: Make, tmp_path: Path, data: Any, family: str
) -> None:
    def run(batch_size: int, batches: int) -> list[Tensor]:
        given = data(tmp_path, batch_size)
        given.family = family
        model = adapted(make, given)
        return steps(model, bind(model.model, given), batches)

    small, large = run(4, 5), run(20, 1)
    assert len(small) == len(large) == 1
    torch.testing.assert_close(small[0], large[0], rtol=1e-3, atol=1e-6)


def test_the_last_short_step_of_an_epoch_is_a_mean_too(make: Make, tmp_path: Path) -> None:
    def run(batch_size: int, batches: int) -> list[Tensor]:
        given = texts(tmp_path, batch_size)
        given.family = "bert"
        model = adapted(make, given)
        return steps(model, bind(model.model, given), batches)

    small, large = run(4, 8), run(20, 1)  # 5 batches where a step may have 8
    torch.testing.assert_close(small[0], large[0], rtol=1e-3, atol=1e-6)


def test_the_loss_of_an_epoch_is_over_its_tokens(make: Make) -> None:
    torch.manual_seed(0)
    model, data = Pretraining(make("gpt2"), CausalLM), Ragged(5)
    logged = L.Trainer(**QUIET).validate(model, data, verbose=False)[0]
    total = right = count = 0.0
    with torch.no_grad():
        for batch in data.val_dataloader():
            states = model.backbone.last(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
            scores = model.objective.output(states[:, :-1])  # type: ignore[operator]
            real = batch["attention_mask"][:, 1:].bool()
            total += F.cross_entropy(scores[real], batch["input_ids"][:, 1:][real], reduction="sum").item()
            right += (scores[real].argmax(-1) == batch["input_ids"][:, 1:][real]).sum().item()
            count += real.sum().item()
    assert logged["val/loss"] == pytest.approx(total / count, rel=1e-5)
    assert logged["val/accuracy"] == pytest.approx(right / count, rel=1e-5)


def test_each_term_of_a_sum_is_over_its_own_kind(make: Make) -> None:
    torch.manual_seed(0)
    terms: Any = {"words": MaskedLM, "order": NextSentence}
    model = Pretraining(make(), lambda backbone: SumOfObjectives(backbone, terms, {"order": 0.5}))
    data = Ragged(5)
    logged = L.Trainer(**QUIET).validate(model, data, verbose=False)[0]
    losses = [model.eval()(batch) for batch in data.val_dataloader()]
    means = {
        name: sum(x.means[name].item() * x.counts[name] for x in losses) / sum(x.counts[name] for x in losses)
        for name in losses[0].means
    }
    assert {x.counts["order/next_sentence"] for x in losses} == {5, 4}
    assert len({x.counts["words/masked_lm"] for x in losses}) > 3
    for name, mean in means.items():
        assert logged[f"val/{name}"] == pytest.approx(mean, rel=1e-5)
    expected = means["words/masked_lm"] + 0.5 * means["order/next_sentence"]
    assert logged["val/loss"] == pytest.approx(expected, rel=1e-5)
