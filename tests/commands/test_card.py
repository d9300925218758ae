"""The card of a fit goes with what is exported from it, and its header is what the hub reads."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from lm_lab.cli import main
from lm_lab.config.imports import restrict
from lm_lab.metrics import accuracy, f1
from lm_lab.metrics.uncertainty import example_interval

BEST = Path(__file__).parents[2] / "configs/trainer/best.yaml"


def test_a_card_says_what_was_trained_on_what_and_how_well(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["lm-lab", "adapt", "fit"])
    try:
        assert main([
            "adapt", "fit", f"--model.backbone.source={folders['bert']}", "--model.strategy=LoRA", "--data=GLUE",
            "--data.task=mrpc", "--data.source=microworld", "--data.train_limit=64", "--data.validation_limit=40",
            "--trainer.max_epochs=2", "--trainer.accelerator=cpu", "--trainer.default_root_dir=runs",
            f"--config={BEST}", "--data.holdout=24",
        ]) == 0  # fmt: skip
    finally:
        restrict()
    (delta,) = (path.parent for path in Path("runs").rglob("adaptation.json"))
    facts = json.loads((delta / "card.json").read_text())
    assert [row["metric"] for row in facts["scores"]] == ["accuracy", "f1"] * 2
    for row in facts["scores"]:
        assert row["n"] == {"validation": 40, "selection": 24}[row["split"]]
        assert row["low"] <= row["value"] <= row["high"]
    assert main(["merge", f"--delta={delta}", "--out=merged"]) == 0
    assert main(["export", f"--delta={delta}", "--out=adapter"]) == 0
    for folder, library in ((delta, "lm_lab"), (Path("merged"), "transformers"), (Path("adapter"), "peft")):
        _, header, body = (folder / "README.md").read_text().split("---\n", 2)
        found = yaml.safe_load(header)
        assert (found["library_name"], found["pipeline_tag"]) == (library, "text-classification")
        assert found["metrics"] == ["accuracy", "f1"]
        (result,) = found["model-index"][0]["results"]
        assert result["metrics"][0] == {"type": "accuracy", "value": facts["scores"][0]["value"]}
        for part in ("64 train", "24 selection", "40 validation", "; fingerprint ", "| trained | ", "lm-lab", "torch "):
            assert part in body


def test_a_delta_saved_from_python_has_a_card_without_scores(folders: dict[str, Path]) -> None:
    from lm_lab import AdaptedModel
    from lm_lab.backbones import TransformersBackbone
    from lm_lab.strategies import LoRA
    from lm_lab.tasks import glue_task

    AdaptedModel(TransformersBackbone(str(folders["bert"])), LoRA(rank=2), glue_task("sst2")).save("delta")
    assert main(["merge", "--delta=delta", "--out=merged"]) == 0
    assert "| strategy | LoRA |" in Path("merged/README.md").read_text()


def test_intervals_over_examples() -> None:
    values, labels = np.ones(50), np.r_[np.ones(45), np.zeros(5)]
    low, high = example_interval(values, labels, accuracy)
    assert (low, high) == pytest.approx((0.7864, 0.9565), abs=2e-4)  # statsmodels' proportion_confint(45, 50, wilson)
    assert example_interval(np.ones(9), np.ones(9), accuracy)[1] == pytest.approx(1)
    low, high = example_interval(values, labels, f1)
    assert 0.85 < low < 0.95 < high <= 1
    assert np.isnan(example_interval(values[:1], labels[:1], accuracy)).all()
