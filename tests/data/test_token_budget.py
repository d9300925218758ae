"""Batches by a budget of tokens: none is over it, every example comes once, and an epoch's number of steps is known."""

from itertools import pairwise

import lightning as L
import numpy as np
import pytest
from suites import write_suite

from lm_lab.benchmark.fingerprints import cache_fingerprints
from lm_lab.benchmark.grouping import key, on_features
from lm_lab.benchmark.plan import make_plan
from lm_lab.benchmark.suite import load_suite
from lm_lab.config.adapting import build
from lm_lab.data import GLUE
from lm_lab.data.batching import LengthGroupedBatches, grouped_loader
from lm_lab.data.token_budget import TokenBudgetBatches
from lm_lab.errors import UsageError

LENGTHS = np.random.default_rng(0).integers(3, 120, 1003)


def epoch(number=0, seed=0, tokens=600, **at):
    batches = TokenBudgetBatches(LENGTHS, tokens, seed, **at)
    batches.set_epoch(number)
    return list(batches)


def positions(batch):
    return LENGTHS[batch].max() * len(batch)


def test_every_example_comes_once_within_the_budget():
    batches = epoch()
    assert sorted(i for batch in batches for i in batch) == list(range(1003))
    assert max(map(positions, batches)) <= 600
    sizes = [len(batch) for batch in batches]
    assert max(sizes) > 10 * min(sizes)


def test_no_batch_could_take_the_next_longer_example():
    batches = sorted(epoch(), key=lambda batch: (LENGTHS[batch].max(), LENGTHS[batch].min(), -len(batch)))
    for batch, longer in pairwise(batches):
        assert (len(batch) + 1) * LENGTHS[longer].min() > 600


def test_an_example_longer_than_the_budget_stands_alone():
    batches = epoch(tokens=100)
    over = [batch for batch in batches if positions(batch) > 100]
    assert over
    assert all(len(batch) == 1 for batch in over)


@pytest.mark.parametrize("tokens", [1, 90, 600, 10**9])
def test_an_epoch_has_as_many_batches_whatever_its_order(tokens):
    counts = {len(epoch(number, seed, tokens)) for number in range(3) for seed in range(3)}
    assert counts == {len(TokenBudgetBatches(LENGTHS, tokens))}


def test_order_depends_on_seed_and_epoch_alone():
    assert epoch() == epoch()
    assert epoch(1) != epoch(0)
    assert epoch(0, 1) != epoch(0, 0)
    assert {frozenset(batch) for batch in epoch(0)} != {frozenset(batch) for batch in epoch(1)}
    longest = [LENGTHS[batch].max() for batch in epoch()]
    assert longest not in (sorted(longest), sorted(longest, reverse=True))


def test_processes_take_turns_and_as_many_steps():
    parts = [epoch(rank=rank, world=3) for rank in range(3)]
    assert len({len(part) for part in parts}) == 1
    assert {i for part in parts for batch in part for i in batch} == set(range(1003))


def test_a_loader_goes_on_in_mid_epoch():
    def loader():
        batches = TokenBudgetBatches(LENGTHS, 600)
        batches.set_epoch(2)
        return grouped_loader(range(1003), batches, list)

    whole, first, again = list(loader()), loader(), loader()
    given = [batch for _, batch in zip(range(7), first, strict=False)]
    again.load_state_dict(first.state_dict())
    assert given + list(again) == whole


def configured(folder, **data):
    settings = {"task": "sst2", "source": "microworld", "train_limit": 100, "max_length": 32, **data}
    model = {"backbone": {"source": str(folder)}, "strategy": {"class_path": "BitFit"}}
    trainer = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer |= {"accelerator": "cpu", "max_epochs": 2, "limit_val_batches": 0}
    data = {"class_path": "GLUE", "init_args": settings}
    return {"seed_everything": 0, "model": model, "data": data, "trainer": trainer}


class Sizes(L.Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(len(batch["ids"]))


def test_training_takes_the_steps_that_its_schedule_counts_on(folders):
    sizes = Sizes()
    cli = build(configured(folders["bert"], tokens_per_batch=200), run=False, callbacks=(sizes,))
    cli.trainer.fit(cli.model, cli.datamodule)
    batches = cli.datamodule.train_dataloader().batch_sampler
    assert isinstance(batches, TokenBudgetBatches)
    assert cli.trainer.global_step == cli.trainer.estimated_stepping_batches == 2 * len(batches)
    assert sum(sizes.seen) == 200
    assert len(set(sizes.seen)) > 1
    (evaluated, *_) = cli.datamodule.val_dataloader()
    assert type(evaluated.batch_sampler) is LengthGroupedBatches


@pytest.mark.parametrize("tokens", [0, -5])
def test_a_budget_of_nothing_is_refused(tokens):
    with pytest.raises(UsageError, match=f"tokens_per_batch={tokens}: expected 1 or more"):
        GLUE("sst2", tokens_per_batch=tokens)


def test_cells_with_a_budget_run_alone(folders, tmp_path):
    strategies = {
        "lora": {"class_path": "LoRA", "init_args": {"rank": 2}, "tune": {"learning_rate": [1e-3, 1e-2]}},
        "probe": {"class_path": "LinearProbe", "tune": {"learning_rate": [1e-3, 1e-2]}},
    }
    for budget, alone in ((None, False), (300, True)):
        data = {"train_limit": 60, "validation_limit": 50, "holdout": 32, "tokens_per_batch": budget}
        defaults = {"data": data, "trainer": {"max_epochs": 1, "accelerator": "cpu"}}
        path = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=strategies, defaults=defaults)
        cells = make_plan(load_suite(path), {}, cache_fingerprints()).cells
        if alone:
            assert not any(on_features(cell.config) for cell in cells)
        by_strategy = {cell.cell["coordinates"]["strategy"]: key(cell) for cell in cells}
        assert (by_strategy["lora"] is None) == alone
