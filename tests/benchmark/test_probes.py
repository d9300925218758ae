"""Probes of many cells as one problem: each becomes what it becomes alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from suites import run_alone, write_suite

from lm_lab.benchmark import execute, features
from lm_lab.benchmark.cells import built
from lm_lab.benchmark.fingerprints import cache_fingerprints
from lm_lab.benchmark.grouping import grouped
from lm_lab.benchmark.jobs import Job, Result
from lm_lab.benchmark.plan import PlannedCell, make_plan
from lm_lab.benchmark.suite import load_suite
from lm_lab.probing import linear
from lm_lab.results.predictions import read_predictions

RATES = {"learning_rate": [1e-3, 1e-2]}
LAYERS = {"class_path": "LinearProbe", "knob": "at_layer", "sizes": [0, 1, 2], "tune": RATES}
PENALTIES = {"model.strategy.init_args.penalty": [1e-3, 1e-1, 10.0]}
CONVERGED = LAYERS | {"tune": PENALTIES}
PAIRS = {"data": {"task": "stsb", "source": "microworld"}, "model": {"pairs": "bi_encoder"}}
ADAFACTOR = {"class_path": "transformers.Adafactor", "init_args": {"scale_parameter": False, "relative_step": False}}
FORMS: dict[str, dict[str, Any]] = {
    "classes": {"strategies": {"probe": LAYERS}},
    "graded pairs": {"strategies": {"probe": LAYERS}, "tasks": {"graded": PAIRS}},
    "mix": {"strategies": {"mix": {"class_path": "WeightedFeatures", "tune": RATES}}},
    "mlp with dropout": {
        "strategies": {"mlp": {"class_path": "MLPProbe", "init_args": {"hidden": 8, "dropout": 0.3}, "tune": RATES}}
    },
    "dropout": {"strategies": {"head": {"class_path": "LinearProbe", "model": {"head": "linear"}, "tune": RATES}}},
    "pooler": {"strategies": {"head": {"class_path": "LinearProbe", "model": {"head": "mlp"}, "tune": RATES}}},
    "no block": {"strategies": {"top": {"class_path": "PartialFineTuning", "init_args": {"blocks": 0}, "tune": RATES}}},
    "poolings": {
        "strategies": {"probe": LAYERS | {"sizes": [1]}},
        "axes": {"reading": {"mean": {"model": {"pooling": "mean"}}, "max": {"model": {"pooling": "max"}}}},
    },
    "random": {
        "strategies": {"head": {"class_path": "LinearProbe", "model": {"head": "linear"}, "tune": RATES}},
        "pretrained": False,
    },
    "converged": {"strategies": {"probe": CONVERGED}},
    "converged graded pairs": {"strategies": {"probe": CONVERGED}, "tasks": {"graded": PAIRS}},
    "converged poolings": {
        "strategies": {"probe": CONVERGED | {"sizes": [1]}},
        "axes": {"reading": {"mean": {"model": {"pooling": "mean"}}, "max": {"model": {"pooling": "max"}}}},
    },
    "optimisers": {
        "strategies": {
            name: {"class_path": "LinearProbe", "model": {"optimizer": {"class_path": path}}, "tune": RATES}
            for name, path in {"sgd": "torch.optim.SGD", "bert": "lm_lab.training.optimizers.BertAdam"}.items()
        }
    },
}


def planned(path: Path, backbone: Path, seeds: int = 2, pretrained: bool = True, **changes: Any) -> list[PlannedCell]:
    """Cells of a suite, all of which are wanted at once."""
    backbones = {"tiny": {"backbone": {"source": str(backbone)} | ({} if pretrained else {"pretrained": False})}}
    # a size of batches that leaves a short one, which comes at another step for each seed
    data = {"train_limit": 70, "validation_limit": 50, "holdout": 32, "batch_size": 16}
    defaults = {"model": {"pooling": "mean"}, "data": data, "trainer": {"max_epochs": 2, "accelerator": "cpu"}}
    suite = {"seeds": list(range(seeds)), "selection_seeds": seeds, "defaults": defaults, "backbones": backbones}
    found = load_suite(write_suite(path, backbone, **suite | changes))
    return make_plan(found, {}, cache_fingerprints()).cells


def together(cells: list[PlannedCell], folder: Path) -> list[Result]:
    return execute.run(Job(tuple(cells), "small", "test", features=folder / "features"))


@pytest.mark.parametrize("form", FORMS)
def test_what_a_cell_becomes_is_what_it_becomes_alone(folders, tmp_path, form):
    cells = planned(tmp_path / "suite.yaml", folders["bert"], **FORMS[form])
    jobs = grouped(cells, most=2)
    assert len(jobs) == (2 if form == "random" else 1)
    for job in jobs:
        for record, predictions in together(list(job), tmp_path / "together"):
            planned_cell = next(cell for cell in cells if cell.id == record["id"])
            alone = run_alone(planned_cell, tmp_path / "alone")
            assert record["status"] == alone["status"] == "done", record["reason"]
            assert set(record["packed_with"]) == {cell.id for cell in job} - {record["id"]}
            assert predictions is not None
            expected = read_predictions(tmp_path / "alone", record["id"])
            assert np.allclose(predictions.prediction, expected.prediction, atol=1e-5)
            assert predictions.id.tolist() == expected.id.tolist()
            for split, scores in alone["scores"].items():
                assert record["scores"][split] == pytest.approx(scores, abs=1e-5)
            assert record["layer_weights"] == pytest.approx(alone["layer_weights"], abs=1e-5)
            for name in ("step", "loss", "learning_rate"):
                curves = [[point[name] for point in each["history"]] for each in (record, alone)]
                assert curves[0] == pytest.approx(curves[1], abs=1e-5)
            for name in ("steps", "examples"):
                assert record["clocks"][name] == alone["clocks"][name]
            assert set(record["clocks"]) == set(alone["clocks"])
            assert record["ledger"] == alone["ledger"]
            json.dumps(record)


def test_one_that_diverges_fails_alone(folders, tmp_path):
    rates = {"learning_rate": [1e-2, 1e38]}
    sgd = {"model": {"optimizer": {"class_path": "torch.optim.SGD"}}}
    strategies = {"head": {"class_path": "LinearProbe", "tune": rates} | sgd}
    cells = planned(tmp_path / "suite.yaml", folders["bert"], strategies=strategies, seeds=1)
    found = {record["cell"]["tuned"]["learning_rate"]: record for record, _ in together(cells, tmp_path)}
    assert [found[rate]["status"] for rate in rates["learning_rate"]] == ["done", "diverged"]
    (bad,) = [cell for cell in cells if cell.cell["tuned"]["learning_rate"] == 1e38]
    (good,) = [cell for cell in cells if cell is not bad]
    assert found[1e38]["reason"] == run_alone(bad, tmp_path / "alone")["reason"]
    assert found[1e-2]["score"] == run_alone(good, tmp_path / "alone")["score"]


def test_what_has_no_like_runs_alone(folders, tmp_path):
    strategies = {
        "probe": {"class_path": "LinearProbe", "tune": RATES},
        "mlp": {"class_path": "MLPProbe", "init_args": {"hidden": 8}},
        "other": {"class_path": "LinearProbe", "model": {"optimizer": ADAFACTOR}},
    }
    cells = planned(tmp_path / "suite.yaml", folders["bert"], strategies=strategies, seeds=1)
    found = together(cells, tmp_path)
    packed = {record["cell"]["coordinates"]["strategy"] for record, _ in found if record.get("packed_with")}
    assert packed == {"probe"}
    assert [record["status"] for record, _ in found] == ["done"] * 4


def test_what_is_no_probe_does_not_go_with_them(folders, tmp_path):
    strategies = {
        "probe": LAYERS,
        "attention": {"class_path": "LinearProbe", "model": {"pooling": "attention"}, "tune": RATES},
        "own": {"class_path": "FeatureBased"},
        "unfrozen": {"class_path": "WeightedFeatures", "init_args": {"frozen": False}},
    }
    cells = planned(tmp_path / "suite.yaml", folders["bert"], strategies=strategies, seeds=1)
    (probes,) = [job for job in grouped(cells, most=8) if len(job) > 2]
    assert {cell.cell["coordinates"]["strategy"] for cell in probes} == {"probe"}


def test_a_path_of_penalties_is_one_fit_for_each_layer(folders, tmp_path, monkeypatch):
    """Seeds ask for the same optimum, and are no fits of their own."""
    fits = []
    path = linear.fit_path
    monkeypatch.setattr(linear, "fit_path", lambda *given: fits.append(given[3]) or path(*given))
    cells = planned(tmp_path / "suite.yaml", folders["bert"], strategies={"probe": CONVERGED}, seeds=2)
    assert len(together(cells, tmp_path)) == len(cells) == 18
    assert fits == [[1e-3, 1e-1, 10.0]] * 3


def test_all_layers_come_of_one_pass(folders, tmp_path, monkeypatch):
    cells = planned(tmp_path / "suite.yaml", folders["bert"], strategies={"probe": LAYERS}, seeds=1)
    passes = []
    computed = features.compute
    monkeypatch.setattr(features, "compute", lambda *given: passes.append(given[1]) or computed(*given))
    together(cells, tmp_path)
    assert [len(layers) for layers in passes] == [3, 3, 3]  # train, validation, selection


@pytest.mark.parametrize("task", ["classes", "graded"])
def test_a_penalty_is_tuned_in_a_suite_and_fits_to_convergence(folders, tmp_path, task):
    tasks = {} if task == "classes" else {"tasks": {"graded": PAIRS}}
    tune = {"model.strategy.init_args.penalty": [1e-2, 1e3]}
    strategies = {"converged": {"class_path": "LinearProbe", "tune": tune}}
    cells = planned(tmp_path / "suite.yaml", folders["bert"], seeds=1, strategies=strategies, **tasks)
    found = [record for record, _ in together(cells, tmp_path)]
    assert [record["status"] for record in found] == ["done", "done"]
    assert {record["clocks"]["steps"] for record in found} == {0}
    assert all(record["packed_with"] for record in found)
    cli = built(cells[0])
    cost = execute._prepare(cli, tmp_path / "features")
    cli.trainer.fit(cli.model, cli.datamodule)
    assert cost.seconds > 0
    head, table, task_ = cli.model.model.head, cli.datamodule.encoded["train"], cli.datamodule.task
    x, low, high = head.vector(table.features), *task_.label_range
    y = table.encoded.labels if task_.labels else (table.encoded.labels - low) / (high - low) - 0.5
    expected = linear.fit(x, y, len(task_.labels), 1e-2).scores(x)
    assert torch.allclose(head.eval()(table.features), expected, atol=1e-4)
