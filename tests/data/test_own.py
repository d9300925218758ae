"""A user's own texts: what is found out from the data, what is refused, and a csv from fit to prediction."""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lm_lab.cli import main
from lm_lab.commands.lightning_cli import restrict
from lm_lab.data.own import OwnTexts
from lm_lab.errors import UsageError
from lm_lab.tasks import saved

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
        assert again.task == data.task == saved.build(saved.spec(data.task))
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
