"""Training that starts from stored hidden states becomes what it becomes on tokens."""

from pathlib import Path
from typing import Any

import pytest
import torch
from suites import write_suite
from transformers import AutoTokenizer, BertConfig, BertModel

from lm_lab import TransformersBackbone
from lm_lab import strategies as s
from lm_lab.benchmark import boundaries, execute, packed_cells
from lm_lab.benchmark.cells import built
from lm_lab.benchmark.fingerprints import cache_fingerprints
from lm_lab.benchmark.jobs import Job
from lm_lab.benchmark.plan import PlannedCell, make_plan
from lm_lab.benchmark.suite import load_suite
from lm_lab.models import AdaptedModel
from lm_lab.models.boundary import boundary
from lm_lab.packs import PackedAdaptation
from lm_lab.packs.clock import PackClock
from lm_lab.tasks import glue_task

STRATEGIES: dict[str, dict[str, Any]] = {
    "partial": {"class_path": "PartialFineTuning", "init_args": {"blocks": 1}},
    "adapter": {"class_path": "PfeifferAdapter", "init_args": {"size": 4, "skip": 1}},
    "lora": {"class_path": "LoRA", "init_args": {"rank": 4, "skip": 1}},
    "upper adapter": {"class_path": "PfeifferAdapter", "init_args": {"size": 4, "skip": 2}},
    "gradual": {"class_path": "GradualUnfreezing"},
    "whole": {"class_path": "PartialFineTuning", "init_args": {"blocks": 2}},
}
SUMMARY = {"data": {"class_path": "lm_lab.data.Sequences", "task": "summary", "source": "microworld", "max_target": 10}}
FAMILIES = ("bert", "roberta", "electra", "distilbert", "modernbert", "gpt2", "llama")


def planned(path: Path, folder: Path, strategy: str, epochs: int = 2, **task: Any) -> PlannedCell:
    (cell,) = all_planned(path, folder, strategy, epochs, **task)
    return cell


def all_planned(
    path: Path, folder: Path, strategy: str, epochs: int = 2, seeds: int = 1, **task: Any
) -> tuple[PlannedCell, ...]:
    data = {"train_limit": 40, "validation_limit": 20, "holdout": 8, "batch_size": 8}
    defaults = {"data": data, "trainer": {"max_epochs": epochs, "accelerator": "cpu"}}
    changes: dict[str, Any] = {"defaults": defaults, "strategies": {"own": STRATEGIES[strategy]}}
    changes["seeds"] = list(range(seeds))
    if task:
        changes["tasks"] = {"task": task}
    return tuple(make_plan(load_suite(write_suite(path, folder, **changes)), {}, cache_fingerprints()).cells)


def trained(cell: PlannedCell, features: Path | None) -> tuple[AdaptedModel, float]:
    """The model after training, and what its states cost; without dropout, which draws as often as there are blocks."""
    cli = built(cell)
    for module in cli.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    cost = execute._prepare(cli, features)
    cli.trainer.fit(cli.model, cli.datamodule)
    return cli.model.model, cost.seconds


def packed(cells: tuple[PlannedCell, ...], features: Path | None) -> tuple[PackedAdaptation, float]:
    """A pack after training, and what its states cost."""
    job = Job(cells, "small", "test", features=features)
    module, data, trainer = packed_cells._assembled(job, PackClock())
    cost = packed_cells._start(job, module, data, trainer)
    packed_cells._try(module, data, trainer)
    assert not cost.seconds or data.data.encoded["train"].given  # the trial has not ended what is to serve training
    trainer.fit(module, data)
    return module, cost.seconds


def require_close(found: torch.nn.Module, expected: torch.nn.Module) -> None:
    others = dict(expected.named_parameters())
    for name, value in found.named_parameters():
        assert torch.allclose(value, others[name], atol=1e-5), name


@pytest.fixture
def deep(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A BERT of four blocks."""
    config = BertConfig.from_pretrained(folders["bert"], num_hidden_layers=4)
    BertModel(config).save_pretrained(tmp_path / "deep")
    AutoTokenizer.from_pretrained(folders["bert"]).save_pretrained(tmp_path / "deep")
    return tmp_path / "deep"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("strategy", ["partial", "adapter", "lora"])
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
@pytest.mark.parametrize("family", ["deberta-v2", "longformer", "xlnet", "albert", "reformer"])
def test_a_family_that_hands_on_more_than_states_trains_on_tokens(folders, tmp_path, family):
    strategy = "partial" if family not in ("albert", "reformer") else "whole"
    cell = planned(tmp_path / "s.yaml", folders[family], strategy)
    (plain, _), (stored, cost) = trained(cell, None), trained(cell, tmp_path / "features")
    assert cost == 0
    for name, value in stored.named_parameters():
        assert torch.equal(value, dict(plain.named_parameters())[name]), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("task", [{}, SUMMARY], ids=["class", "summary"])
@pytest.mark.parametrize(
    ("family", "strategy"),
    [("t5", "partial"), ("t5", "upper adapter"), ("bart", "partial"), ("bart", "upper adapter"), ("bart", "adapter")],
)
def test_an_encoder_decoder_starts_from_what_its_encoder_gives(folders, tmp_path, family, strategy, task):
    """From all of it where the decoder alone trains, else from the encoder's last block that stays."""
    cell = planned(tmp_path / "s.yaml", folders[family], strategy, **task)
    (plain, _), (stored, cost) = trained(cell, None), trained(cell, tmp_path / "features")
    assert cost > 0
    require_close(stored, plain)


@pytest.mark.filterwarnings("ignore")
def test_blocks_of_an_encoder_that_hand_on_positions_are_computed(folders, tmp_path):
    cell = planned(tmp_path / "s.yaml", folders["t5"], "adapter")
    assert trained(cell, tmp_path / "features")[1] == 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("epochs", "to_the_end"), [(2, True), (4, False)])
def test_gradual_unfreezing_starts_from_states_until_it_reaches_them(deep, tmp_path, epochs, to_the_end, monkeypatch):
    made = []
    table = boundaries.BoundaryTable
    monkeypatch.setattr(boundaries, "BoundaryTable", lambda *given: made.append(table(*given)) or made[-1])
    cell = planned(tmp_path / "s.yaml", deep, "gradual", epochs)
    (plain, _), (stored, cost) = trained(cell, None), trained(cell, tmp_path / "features")
    assert cost > 0
    assert made[0].given is to_the_end
    require_close(stored, plain)


@pytest.mark.parametrize(("epochs", "expected"), [(1, None), (2, 2), (3, 2), (6, 2)])
def test_the_states_that_spare_most_blocks_are_stored(deep, epochs, expected):
    """Epoch by epoch three, two, one and no blocks stay: two spare two blocks of the second epoch."""
    model = AdaptedModel(TransformersBackbone(str(deep)), s.GradualUnfreezing(), glue_task("sst2"))
    assert boundaries.spares_most(model, epochs) == expected
    assert all(parameter.requires_grad for parameter in model.parameters())


PACKED = [
    ("bert", "partial", {}), ("bert", "adapter", {}), ("bert", "lora", {}), ("gpt2", "partial", {}),
    ("bart", "partial", {}), ("t5", "partial", {}), ("deep", "gradual", {"epochs": 4}),
    ("bert", "partial", {"data": {"task": "stsb", "source": "microworld"}, "model": {"pairs": "bi_encoder"}}),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("family", "strategy", "task"), PACKED)
def test_a_pack_starts_from_states_and_becomes_what_it_becomes_on_tokens(
    folders, deep, tmp_path, monkeypatch, family, strategy, task
):
    monkeypatch.setattr(packed_cells, "SMALL", 10**6)
    monkeypatch.setattr(packed_cells, "GAIN", 0.0)
    cells = all_planned(tmp_path / "s.yaml", {**folders, "deep": deep}[family], strategy, seeds=2, **task)
    (plain, nothing), (stored, cost) = packed(cells, None), packed(cells, tmp_path / "features")
    assert cost > 0 == nothing
    assert torch.allclose(torch.stack(stored.losses), torch.stack(plain.losses), atol=1e-5)
    for run, other in zip(stored.runs, plain.runs, strict=True):
        require_close(run, other)
    ((first, _), (second, _)) = packed_cells.run(Job(cells, "small", "test", features=tmp_path / "features"))
    for record in (first, second):
        assert record["clocks"]["feature_seconds"] == cost
        assert record["clocks"]["train_seconds"] > cost


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
    monkeypatch.setenv("LM_LAB_BOUNDARIES", limit)
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
        (s.LoRA(rank=2, skip=1), {}, 1),
        (s.VeRA(rank=2, skip=1), {}, 1),
        (s.PTuningV2(length=2), {}, None),
        (s.PromptTuning(length=2), {}, None),
        (s.GradualUnfreezing(), {}, None),
        (s.LinearProbe(), {}, None),
        (s.FullFineTuning(), {}, None),
    ],
)
def test_the_boundary_is_below_all_that_trains_or_was_added(make, strategy, options, expected):
    assert boundary(AdaptedModel(make("bert"), strategy, glue_task("sst2"), **options)) == expected
