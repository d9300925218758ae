"""Texts with several classes each: read from any format, scored as scikit-learn scores indicators, learned."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random

import lightning as L
import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss

from lm_lab import adaptation_of, bind
from lm_lab.backbones import Backbone
from lm_lab.cli import main
from lm_lab.config.imports import restrict
from lm_lab.data.modules.multi_label import METRICS, MultiLabelTexts
from lm_lab.errors import UsageError
from lm_lab.metrics import f1_macro, f1_micro, f1_weighted, subset_accuracy
from lm_lab.strategies import FullFineTuning
from lm_lab.tasks import described
from lm_lab.tasks.multi_label import MultiLabelTask

LABELS: list[list[str]] = [["good", "old"], [], ["old"], ["good"]] * 10


def jsonl(name: str = "train.jsonl", labels: list[list[str]] | None = None) -> None:
    rows = ({"sentence": f"text {i}", "label": label} for i, label in enumerate(labels or LABELS))
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("storage", ["jsonl", "csv", "tsv", "semicolons"])
def test_labels_of_any_format(storage: str) -> None:
    if storage == "jsonl":
        jsonl()
    else:
        separator, inner = "\t" if storage == "tsv" else ",", "; " if storage == "semicolons" else ","
        lines = [f'text {i}{separator}"{inner.join(label)}"' for i, label in enumerate(LABELS)]
        name = "train.tsv" if storage == "tsv" else "train.csv"
        Path(name).write_text("\n".join([f"sentence{separator}label", *lines]))
    data = MultiLabelTexts(source=".", separator=";" if storage == "semicolons" else ",")
    assert data.task.labels == ("good", "old")
    assert data.rows("train").labels[:4].tolist() == [[1, 1], [0, 0], [0, 1], [1, 0]]
    again = MultiLabelTexts(source="nowhere", **data.settings())
    assert again.task == data.task == described.build(described.describe(data.task))


@pytest.mark.parametrize("seed", range(30))
def test_scores_are_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = (rng.random((12, 4)) < rng.random(4)).astype(int)
    predicted = np.where(rng.random((12, 4)) < 0.7, true, 1 - true)
    task = MultiLabelTask("t", labels=("a", "b", "c", "d"))
    scores = torch.tensor(np.where(predicted, 1.0, -1.0))
    judged = task.judge(scores, {"labels": torch.tensor(true).float()})
    values, labels = (each.double().numpy() for each in judged)
    for average, ours in (("micro", f1_micro), ("macro", f1_macro), ("weighted", f1_weighted)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert ours(values, labels) == pytest.approx(f1_score(true, predicted, average=average, zero_division=0))
    assert subset_accuracy(values, labels) == pytest.approx(accuracy_score(true, predicted))


def test_the_loss_is_the_mean_over_decisions() -> None:
    task, scores = MultiLabelTask("t", labels=("a", "b")), torch.randn(5, 2)
    labels = torch.tensor([[1.0, 0], [0, 0], [1, 1], [0, 1], [1, 0]])
    expected = np.mean([log_loss(labels[:, k], scores[:, k].sigmoid().double(), labels=[0, 1]) for k in (0, 1)])
    assert task.loss(scores, {"labels": labels}).item() == pytest.approx(expected, rel=1e-5)
    assert task.targets({"labels": labels}) == 10


def test_what_is_refused() -> None:
    jsonl()
    data = MultiLabelTexts(source=".")
    jsonl("validation.jsonl", [["good"], ["new"]])
    with pytest.raises(UsageError, match="row 1, column 'label': 'new' is none of the classes good, old"):
        data.rows("validation")
    with pytest.raises(UsageError, match="metrics: 'accuracy' is none of f1_micro, f1_macro"):
        MultiLabelTexts(source=".", metrics=["accuracy"])
    jsonl(labels=[["a"], []])
    with pytest.raises(UsageError, match="a is all there is; give two"):
        MultiLabelTexts(source=".")
    jsonl(labels=[["a", "b"], ["b", "a"]])
    with pytest.raises(UsageError, match="all rows have the same; there is nothing to learn from"):
        MultiLabelTexts(source=".").rows("train")
    Path("train.jsonl").write_text('{"sentence": "a", "label": {"a": 1}}\n{"sentence": "b", "label": {"b": 1}}\n')
    with pytest.raises(UsageError, match="row 0, column 'label': expected a list of words"):
        MultiLabelTexts(source=".")


def test_rows_without_label_are_left_out_and_told() -> None:
    Path("train.jsonl").write_text(
        '{"sentence": "a", "label": ["x"]}\n{"sentence": "b"}\n{"sentence": "c", "label": ["y"]}\n'
    )
    with pytest.warns(UserWarning, match="left out 1 of 3 rows that have no label"):
        assert len(MultiLabelTexts(source=".").rows("train")) == 2


def test_a_small_model_learns_predicts_and_is_loaded(
    make: Callable[..., Backbone], folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = Random(0)
    lines = []
    for _ in range(400):
        mood, size = chance.choice(["good", "bad"]), chance.choice(["a", "the"])
        marks = [*(["happy"] if mood == "good" else []), *(["known"] if size == "the" else [])]
        lines.append(json.dumps({"sentence": f"it was {size} {mood} beast .", "label": marks}))
    Path("own.jsonl").write_text("\n".join(lines))
    L.seed_everything(0, verbose=False)
    arguments = [
        f"--model.backbone.source={folders['bert']}", "--model.strategy=FullFineTuning", "--model.learning_rate=3e-3",
        "--model.pooling=mean", "--data=MultiLabelTexts", "--data.source=own.jsonl", "--trainer.max_epochs=4",
        f"--data.metrics={json.dumps(list(METRICS))}", "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
    ]  # fmt: skip
    Path("new.txt").write_text("it was the good beast .\nit was a bad beast .\n")
    try:
        assert main(["adapt", "fit", *arguments]) == 0
        trained = str(next(tmp_path.glob("runs/**/delta")))
        capsys.readouterr()
        assert main(["adapt", "predict", "--delta", trained, "--text", "new.txt", "--trainer.accelerator=cpu"]) == 0
    finally:
        restrict()
    found = [line for line in capsys.readouterr().out.splitlines() if "happy=" in line]
    assert [line.split("\t")[0] for line in found] == ["happy known", ""]


def test_it_trains_from_python(make: Callable[..., Backbone]) -> None:
    jsonl()
    jsonl("validation.jsonl")
    data = MultiLabelTexts(source=".", metrics=["subset_accuracy"])
    trainer = L.Trainer(fast_dev_run=2, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False)
    model = adaptation_of(make("bert"), FullFineTuning(), data.task)
    trainer.fit(model, bind(model.model, data))
    assert 0 <= trainer.callback_metrics["validation/score"] <= 1
