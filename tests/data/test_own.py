"""A user's own texts: what is found out from the data, what is refused, and a csv from fit to prediction."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from lm_lab.cli import main
from lm_lab.config.imports import restrict
from lm_lab.data.modules.own import OwnTexts
from lm_lab.errors import UsageError
from lm_lab.tasks import described

REVIEWS = {"sentence": "review", "label": "verdict"}


@pytest.fixture(autouse=True)
def unrestricted() -> Any:
    yield
    restrict()


def csv(name: str, header: str, *lines: str) -> None:
    Path(name).write_text("\n".join([header, *lines]) + "\n")


def own(values: list[Any], **options: Any) -> OwnTexts:
    """Rows with these labels, in a file of parquet, where types are as given."""
    Path("mine").mkdir(exist_ok=True)
    for split in ("train", "validation"):
        table = pa.table({"sentence": [f"text {i}" for i in range(len(values))], "label": values})
        pq.write_table(table, f"mine/{split}.parquet")
    return OwnTexts("mine", source=".", **options)


@pytest.mark.parametrize(
    ("labels", "words", "ids"),
    [
        (["pos", "neg", "pos"], ("neg", "pos"), [1, 0, 1]),
        ([10, 2, 10], ("2", "10"), [1, 0, 1]),
        ([5.0, 4.0, None], ("4", "5"), [1, 0]),
        ([True, False], ("false", "true"), [1, 0]),
        ([3, -1, 4], ("3", "4"), [0, 1]),
        (["b", "", "a"], ("a", "b"), [1, 0]),
    ],
    ids=["words", "numbers", "whole floats", "booleans", "unlabelled", "empty"],
)
def test_labels_are_found_in_the_training_split(labels: list[Any], words: tuple[str, ...], ids: list[int]) -> None:
    data = own(labels)
    assert data.task.labels == words
    if len(ids) < len(labels):
        with pytest.warns(UserWarning, match=f"left out 1 of {len(labels)} rows that have no label"):
            assert data.rows("train").labels.tolist() == ids
    else:
        assert data.rows("train").labels.tolist() == ids


def test_labels_that_are_given_keep_their_order_and_may_be_written_as_ids() -> None:
    assert own(["pos", "neg"], labels=["pos", "neg"]).rows("train").labels.tolist() == [0, 1]
    assert own([1, 0], labels=["no", "yes"]).rows("train").labels.tolist() == [1, 0]


def test_numbers_that_are_not_whole_are_a_graded_score() -> None:
    data = own([1.0, 2.5, 4.0])
    assert data.task.regression
    assert data.task.label_range == (1.0, 4.0)
    assert [metric.__name__ for metric in data.task.metrics] == ["pearson", "spearman"]
    assert own([1, 2, 4], label_range=(0.0, 5.0)).task.regression


def test_metrics_by_name() -> None:
    assert [metric.__name__ for metric in own(["a", "b"], metrics=["f1", "matthews"]).task.metrics] == [
        "f1",
        "matthews",
    ]
    with pytest.raises(UsageError, match=r"metrics: 'bleu' is none for classes; choose from accuracy, f1, matthews, "):
        own(["a", "b"], metrics=["bleu"])
    with pytest.raises(UsageError, match="'accuracy' is none for a graded score; choose from pearson, spearman"):
        own([0.5, 1.0], metrics=["accuracy"])


def test_a_pair_where_a_second_column_is_named() -> None:
    csv("pairs.csv", "q1,q2,same", *["a,b,yes", "c,d,no"] * 20)
    data = OwnTexts(source="pairs.csv", columns={"sentence": "q1", "sentence2": "q2", "label": "same"})
    assert data.task.columns == ("sentence", "sentence2")
    assert len(data.rows("train").texts) == 2
    assert len(data.rows("train")) + len(data.rows("validation")) == 40


@pytest.mark.parametrize(
    ("header", "lines", "columns", "message"),
    [
        ("review,verdict", ["a,b"] * 3, REVIEWS, r"column 'label': b is all there is; expected two classes or more"),
        ("text,verdict", ["a,b", "c,d"], REVIEWS, r"has no column 'review' to take 'sentence' from"),
        ("review,verdict", ["a,0.5"] * 3, REVIEWS, r"every score is 0.5"),
        ("review,verdict", ["a,b"], {"text": "review"}, r"columns: 'text' is none of this form's; it has idx, label"),
        ("review,verdict", ["1,x", "2,y"], REVIEWS, r"column 'sentence': expected text, found int64"),
    ],
)
def test_what_is_refused(header: str, lines: list[str], columns: dict[str, str], message: str) -> None:
    Path("bad").mkdir()
    csv("bad/train.csv", header, *lines)
    with pytest.raises(UsageError, match=message):
        OwnTexts("bad", source=".", columns=columns).rows("train")


def test_a_label_that_training_has_not_is_named_by_row() -> None:
    own(["a", "b"])
    table = pa.table({"sentence": ["x", "y"], "label": ["a", "c"]})
    pq.write_table(table, "mine/validation.parquet")
    with pytest.raises(UsageError, match=r"validation.parquet, row 1, column 'label': 'c' is not 0 \(a\), 1 \(b\)"):
        OwnTexts("mine", source=".").rows("validation")


def test_a_split_to_predict_needs_no_labels() -> None:
    data = own(["a", "b"])
    csv("mine/test.csv", "sentence", "what is this")
    assert data.rows("test").texts == (["what is this"],)


def test_settings_build_the_same_task_without_the_data() -> None:
    for data in (own(["a", "b"], metrics=["matthews"]), own([0.5, 1.0])):
        settings = data.settings()
        again = OwnTexts(**(settings | {"columns": dict(settings["columns"])}), source="nowhere")
        assert again.task == data.task == described.build(described.describe(data.task))
        assert again.settings() == settings


def test_a_csv_trains_predicts_and_labels_new_lines(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance, words = random.Random(0), {"good": "happy", "bad": "sad"}
    rows = [chance.choice(list(words)) for _ in range(400)]
    lines = [f"it was {chance.choice(['a', 'the'])} {row} beast .,{words[row]}" for row in rows]
    csv("reviews.csv", "review,verdict", *lines)
    arguments = [
        f"--model.backbone.source={folders['bert']}", "--model.strategy=FullFineTuning", "--model.learning_rate=3e-3",
        "--model.head=mlp", "--model.pooling=mean", "--data=OwnTexts", "--data.name=reviews",
        "--data.source=reviews.csv",
        '--data.columns={"sentence": "review", "label": "verdict"}', "--trainer.max_epochs=4",
        "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
    ]  # fmt: skip
    assert main(["adapt", "fit", *arguments]) == 0
    trained = next(tmp_path.glob("runs/**/delta"))
    description = json.loads((trained / "adaptation.json").read_text())
    assert description["task"]["init_args"]["labels"] == ["happy", "sad"]
    capsys.readouterr()

    Path("new.txt").write_text("it was the bad beast .\nit was a good beast .\n")
    assert main(["adapt", "predict", "--delta", str(trained), "--text", "new.txt", "--trainer.accelerator=cpu"]) == 0
    found = [line for line in capsys.readouterr().out.splitlines() if "happy=" in line]
    assert [line.split("\t")[0] for line in found] == ["sad", "happy"]

    Path("later").mkdir()
    csv("later/test.csv", "review", "it was a good beast .", "it was the bad beast .")
    words_ = ["--data.source=later", "--trainer.accelerator=cpu"]
    assert main(["adapt", "predict", "--delta", str(trained), *words_]) == 0
    assert next(tmp_path.glob("runs/**/submission/*.tsv")).read_text().split() == [
        "index", "prediction", "0", "happy", "1", "sad",
    ]  # fmt: skip


def test_the_class_that_f1_is_of_is_named() -> None:
    data = own(["a", "b", "c"] * 3, metrics=["f1", "f1_macro"], positive="c")
    assert data.task.labels == ("a", "c", "b")
    values, labels = torch.tensor([1.0, 2, 0, 1]), torch.tensor([1.0, 0, 0, 2])
    assert data.task.scores(values, labels)["f1"] == pytest.approx(2 / 3)
    assert OwnTexts(**data.settings(), source="nowhere").task == data.task
    for options, said in (
        ({"metrics": ["f1"]}, "metrics: f1 is of one class, and there are a, b, c; name it"),
        ({"positive": "b"}, "positive='b' is the class that f1 is of; add f1 to metrics"),
        ({"positive": "d", "metrics": ["f1"]}, "positive='d' is none of the classes a, b, c"),
        ({"positive": "a", "metrics": ["f1"], "labels": ["a", "b", "c"]}, "positive='a': f1 is of the second class"),
    ):
        with pytest.raises(UsageError, match=said):
            own(["a", "b", "c"] * 3, **options)  # type: ignore[arg-type]
    assert own([0, 1] * 3, metrics=["f1"], positive=0).task.labels == ("1", "0")


def test_weights_of_classes() -> None:
    values = ["a"] * 6 + ["b"] * 2 + ["c"]
    balanced = own(values, class_weights="balanced").task.class_weights
    expected = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=values)
    assert balanced == pytest.approx(expected)
    assert own(values, class_weights={"b": 3}).task.class_weights == (1.0, 3.0, 1.0)
    for options, said in (
        ({"class_weights": {"d": 1}}, "class_weights: 'd' is none of the classes a, b, c"),
        ({"class_weights": {"a": 0}}, r"class_weights=\[0.0, 1.0, 1.0\]: expected a number above 0 for each"),
        ({"class_weights": "balanced", "labels": ["a", "b", "c", "d"]}, "balanced: no training row is 'd'"),
    ):
        with pytest.raises(UsageError, match=said):
            own(values, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="class_weights=balanced: a score has no classes"):
        own([0.5, 1.0], class_weights="balanced")


def test_a_weighted_loss_is_scikit_learns_and_the_mean_over_its_weights() -> None:
    task = own(["a", "b", "c"], class_weights={"a": 0.5, "c": 4.0}).task
    scores, labels = torch.randn(6, 3), torch.tensor([0.0, 1, 2, 2, 0, 1])
    weights = np.array(task.class_weights)[labels.long()]
    expected = log_loss(labels.long(), scores.double().softmax(1), sample_weight=weights, labels=[0, 1, 2])
    assert task.loss(scores, {"labels": labels}).item() == pytest.approx(expected, rel=1e-5)
    assert task.targets({"labels": labels}) == pytest.approx(weights.sum())
