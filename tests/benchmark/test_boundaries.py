"""Training that starts from stored hidden states becomes what it becomes on tokens."""

from pathlib import Path
from typing import Any

import pytest
import torch
from suites import write_suite

from lm_lab import strategies as s
from lm_lab.benchmark import boundaries, execute
from lm_lab.benchmark.cells import built
from lm_lab.benchmark.fingerprints import cache_fingerprints
from lm_lab.benchmark.plan import PlannedCell, make_plan
from lm_lab.benchmark.suite import load_suite
from lm_lab.models import AdaptedModel
from lm_lab.models.boundary import boundary
from lm_lab.tasks import glue_task

STRATEGIES: dict[str, dict[str, Any]] = {
    "partial": {"class_path": "PartialFineTuning", "init_args": {"blocks": 1}},
    "adapter": {"class_path": "PfeifferAdapter", "init_args": {"size": 4, "skip": 1}},
    "whole": {"class_path": "PartialFineTuning", "init_args": {"blocks": 2}},
}
FAMILIES = ("bert", "roberta", "electra", "distilbert", "modernbert", "gpt2", "llama")


def planned(path: Path, folder: Path, strategy: str, epochs: int = 2, **task: Any) -> PlannedCell:
    data = {"train_limit": 40, "validation_limit": 20, "holdout": 8, "batch_size": 8}
    defaults = {"data": data, "trainer": {"max_epochs": epochs, "accelerator": "cpu"}}
    changes: dict[str, Any] = {"defaults": defaults, "strategies": {"own": STRATEGIES[strategy]}, "seeds": [0]}
    if task:
        changes["tasks"] = {"task": task}
    (cell,) = make_plan(load_suite(write_suite(path, folder, **changes)), {}, cache_fingerprints()).cells
    return cell


def trained(cell: PlannedCell, features: Path | None) -> tuple[AdaptedModel, float]:
    """The model after training, and what its states cost; without dropout, which draws as often as there are blocks."""
    cli = built(cell)
    for module in cli.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    cost = execute._prepare(cli, features)
    cli.trainer.fit(cli.model, cli.datamodule)
    return cli.model.model, cost.seconds


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("strategy", ["partial", "adapter"])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_trained_is_what_tokens_train(folders, tmp_path, family, strategy):
    cell = planned(tmp_path / "s.yaml", folders[family], strategy)
    (plain, nothing), (stored, cost) = trained(cell, None), trained(cell, tmp_path / "features")
    assert cost > 0 == nothing
    assert plain.trained == stored.trained
    expected = dict(plain.named_parameters())
    for name in stored.trained:
        assert torch.allclose(dict(stored.named_parameters())[name], expected[name], atol=1e-5), name


@pytest.mark.filterwarnings("ignore")
def test_two_texts_apart_start_from_states_of_each(folders, tmp_path):
    task = {"data": {"task": "stsb", "source": "microworld"}, "model": {"pairs": "bi_encoder"}}
    cell = planned(tmp_path / "s.yaml", folders["bert"], "partial", **task)
    (plain, _), (stored, cost) = trained(cell, None), trained(cell, tmp_path / "features")
    assert cost > 0
    for name, value in stored.named_parameters():
        assert torch.allclose(value, dict(plain.named_parameters())[name], atol=1e-5), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", ["deberta-v2", "longformer", "xlnet", "albert", "reformer", "t5", "bart"])
def test_a_family_that_hands_on_more_than_states_trains_on_tokens(folders, tmp_path, family):
    strategy = "partial" if family not in ("albert", "reformer") else "whole"
    cell = planned(tmp_path / "s.yaml", folders[family], strategy)
    (plain, _), (stored, cost) = trained(cell, None), trained(cell, tmp_path / "features")
    assert cost == 0
    for name, value in stored.named_parameters():
        assert torch.equal(value, dict(plain.named_parameters())[name]), name


@pytest.mark.filterwarnings("ignore")
def test_what_is_stored_serves_other_runs_and_is_checked(folders, tmp_path):
    cell = planned(tmp_path / "s.yaml", folders["bert"], "partial")
    first, second = (execute._prepare(built(cell), tmp_path / "features").seconds for _ in range(2))  # with dropout
    assert first == second > 0
    (states,) = (tmp_path / "features" / "boundaries").glob("*.states")
    states.write_bytes(bytes(len(states.read_bytes())))
    assert trained(cell, tmp_path / "features")[1] != first
    assert any(states.read_bytes())


@pytest.mark.parametrize(("epochs", "limit"), [(1, "4"), (2, "0"), (2, "0.000001")])
def test_it_is_used_where_it_pays_and_fits(folders, tmp_path, monkeypatch, epochs, limit):
    monkeypatch.setenv(boundaries.LIMIT, limit)
    cli = built(planned(tmp_path / "s.yaml", folders["bert"], "partial", epochs))
    assert execute._prepare(cli, tmp_path / "features").seconds == 0


@pytest.mark.parametrize(
    ("strategy", "options", "expected"),
    [
        (s.PartialFineTuning(blocks=1), {}, 1),
        (s.PartialFineTuning(blocks=1), {"frozen_dropout": True}, None),
        (s.PartialFineTuning(blocks=1, embeddings=True), {}, None),
        (s.PartialFineTuning(blocks=2), {}, None),
        (s.PfeifferAdapter(size=4, skip=1), {}, 1),
        (s.Combination([s.PfeifferAdapter(size=4, skip=1), s.BitFit()]), {}, None),
        (s.LoRA(rank=2), {}, None),
        (s.PTuningV2(length=2), {}, None),
        (s.PromptTuning(length=2), {}, None),
        (s.GradualUnfreezing(), {}, None),
        (s.LinearProbe(), {}, None),
        (s.FullFineTuning(), {}, None),
    ],
)
def test_the_boundary_is_below_all_that_trains_or_was_added(make, strategy, options, expected):
    assert boundary(AdaptedModel(make("bert"), strategy, glue_task("sst2"), **options)) == expected
