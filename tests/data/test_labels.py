"""A class is the word in the file, whatever type a format has for it: the same task from every storage."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lm_lab.cli import main
from lm_lab.config.imports import restrict
from lm_lab.data.modules.own import OwnTexts
from lm_lab.data.reading.checks import check
from lm_lab.data.reading.labels import class_ids, classes, given_labels, is_graded, word
from lm_lab.errors import UsageError
from lm_lab.tasks import glue_task


def csv(name: str, labels: list[str], separator: str = ",") -> None:
    rows = [f"text {i}{separator}{label}" for i, label in enumerate(labels)]
    Path(name).write_text("\n".join([f"sentence{separator}label", *rows]) + "\n")


def jsonl(name: str, labels: list[Any]) -> None:
    Path(name).write_text(
        "".join(json.dumps({"sentence": f"text {i}", "label": v}) + "\n" for i, v in enumerate(labels))
    )


def parquet(name: str, labels: Any) -> None:
    pq.write_table(pa.table({"sentence": [f"text {i}" for i in range(len(labels))], "label": labels}), name)


def folder(train: Any, validation: Any, write: Any = jsonl, suffix: str = "jsonl") -> None:
    for split, labels in (("train", train), ("validation", validation)):
        write(f"{split}.{suffix}", labels)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, "1"), (1.0, "1"), (1234567.0, "1234567"), (1e15, "1000000000000000"), (0.5, "0.5"), ("01", "01"),
        (True, "true"), (None, None), (float("nan"), None), (Decimal("2.00"), "2"), (date(2020, 1, 1), "2020-01-01"),
        (float("inf"), "inf"), (np.float32(3.0).item(), "3"),
    ],
)  # fmt: skip
def test_a_value_as_it_is_written(value: Any, expected: str | None) -> None:
    assert word(value) == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["01", "02"], ("01", "02")),
        (["1", "2", "NA"], ("1", "2", "NA")),
        (["yes", "no", "NA"], ("NA", "no", "yes")),
        (["2020-01-01", "2021-01-01"], ("2020-01-01", "2021-01-01")),
        (["10", "2"], ("2", "10")),
        (["1e3", "7"], ("7", "1e3")),
        (["12:30", "13:45"], ("12:30", "13:45")),
        (["1.0", "1", "2"], ("1", "2")),
        (["true", "false"], ("false", "true")),
        (["1000001.0", "1000000.0"], ("1000000.0", "1000001.0")),
    ],
)
@pytest.mark.parametrize("storage", ["csv", "tsv", "jsonl", "category"])
def test_classes_are_the_words_of_the_file(labels: list[str], expected: tuple[str, ...], storage: str) -> None:
    values = [labels[i % len(labels)] for i in range(60)]
    if storage == "csv":
        csv("l.csv", values)
    elif storage == "tsv":
        csv("l.tsv", values, "\t")
    elif storage == "jsonl":
        jsonl("l.jsonl", values)
    else:
        parquet("l.parquet", pa.array(values).dictionary_encode())
    data = OwnTexts(source=next(str(path) for path in Path().glob("l.*")))
    assert data.task.labels == expected
    assert len(data.read("train", True)) + len(data.read("validation", True)) == 60


def test_whole_numbers_that_are_stored_as_floats_stay_apart() -> None:
    parquet("products.parquet", [1234567.0, 1234568.0, None] * 30)
    data = OwnTexts(source="products.parquet")
    assert data.task.labels == ("1234567", "1234568")
    with pytest.warns(UserWarning, match=r"left out \d+ of \d+ rows that have no label$"):
        assert set(data.read("train", True).labels.tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("train", [["1000000", "1000001"], [1000000, 1000001], [1000000.0, 1000001.0]])
@pytest.mark.parametrize("validation", [["1000001", "1000000"], [1000001, 1000000], [1000001.0, 1000000.0]])
def test_one_class_in_splits_of_different_types(train: list[Any], validation: list[Any]) -> None:
    folder(train, validation)
    assert OwnTexts(source=".").read("validation", True).labels.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("stored", [["True", "False"], ["true", "false"], [True, False]])
def test_booleans_are_words_in_any_writing(stored: list[Any]) -> None:
    folder([True, False], stored)
    assert OwnTexts(source=".").read("validation", True).labels.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("train", "validation", "said"),
    [
        ([2, 3, 4], [0, 1], r"row 0, column 'label': 0 is not 2, 3, 4 or -1"),
        ([0, 1, 2, 4], [3], r"row 0, column 'label': 3 is not 0, 1, 2, 4 or -1"),
        (["cat", "dog"], [0, 1], r"row 0, column 'label': 0 is not cat, dog or -1"),
        (["cat", "dog"], ["cat", "1"], r"row 1, column 'label': '1' is not cat, dog"),
        (["01", "02"], ["1", "2"], r"row 0, column 'label': '1' is not 01, 02"),
        (["yes", "no"], [True, False], r"row 0, column 'label': True is not"),
    ],
)
def test_a_number_that_is_no_class_of_training_is_never_a_place(train: Any, validation: Any, said: str) -> None:
    folder(train, validation)
    data = OwnTexts(source=".")
    with pytest.raises(UsageError, match=said):
        data.read("validation", True)
    again = OwnTexts(source=".", **data.settings() | {"name": "own"})  # as a delta brings it back
    with pytest.raises(UsageError, match=said):
        again.read("validation", True)


def test_ids_of_given_classes_are_all_ids_or_none() -> None:
    folder([1, 0], ["no", 1])
    data = OwnTexts(source=".", labels=["no", "yes"])
    assert data.read("train", True).labels.tolist() == [1.0, 0.0]
    with pytest.raises(UsageError, match=r"row 1, column 'label': '1' is not 0 \(no\), 1 \(yes\)"):
        data.read("validation", True)


@pytest.mark.parametrize("stored", [[-1, 0, 1], ["-1", "0", "1"], [-1.0, 0.0, 1.0]])
def test_minus_one_is_a_class_where_labels_name_it_and_is_said_where_it_is_dropped(stored: list[Any]) -> None:
    folder(stored * 5, stored)
    assert OwnTexts(source=".", labels=["-1", "0", "1"]).read("validation", True).labels.tolist() == [0.0, 1.0, 2.0]
    data = OwnTexts(source=".")
    assert data.task.labels == ("0", "1")
    said = r"left out 5 of 15 rows that have no label: '-1' in 5 rows, which is no class unless `labels` names it"
    with pytest.warns(UserWarning, match=said):
        data.read("train", True)


def test_na_is_a_class_where_labels_name_it_and_is_said_where_it_is_dropped() -> None:
    csv("l.csv", ["1", "2", "NA"] * 30)
    assert set(OwnTexts(source="l.csv", labels=["NA", "1", "2"]).read("train", True).labels) == {0.0, 1.0, 2.0}
    with pytest.warns(UserWarning, match=r"'NA' in \d+ rows, which is no class unless"):
        assert set(OwnTexts(source="l.csv", labels=["1", "2"]).read("train", True).labels) == {0.0, 1.0}


def test_minus_one_and_one_say_what_minus_one_is() -> None:
    csv("l.csv", ["-1", "1"] * 30)
    with pytest.raises(UsageError, match=r"1 is all there is.*-1 is read as no label, unless `labels` names it"):
        OwnTexts(source="l.csv")


@pytest.mark.parametrize("storage", ["csv", "tsv", "jsonl", "parquet", "strings"])
def test_numbers_that_are_not_whole_are_a_score_in_any_storage(storage: str) -> None:
    values = [i / 8 for i in range(125)]
    if storage in ("csv", "tsv"):
        csv(f"l.{storage}", [str(value) for value in values], {"csv": ",", "tsv": "\t"}[storage])
    elif storage == "parquet":
        parquet("l.parquet", values)
    else:
        jsonl("l.jsonl", [str(value) for value in values] if storage == "strings" else values)
    data = OwnTexts(source=next(str(path) for path in Path().glob("l.*")))
    assert data.task.regression
    assert data.task.label_range == (0.0, 15.5)
    assert not OwnTexts(source=data.source, labels=[str(value) for value in values]).task.regression


def test_an_infinite_score_makes_no_classes_of_the_others() -> None:
    parquet("l.parquet", [0.5, float("inf"), 0.25] * 30)
    with pytest.raises(UsageError, match=r"row \d+, column 'label': inf is not a number from 0.25 to 0.5"):
        OwnTexts(source="l.parquet").read("train", True)


def test_a_missing_score_is_said_and_minus_one_is_one_where_scores_are_negative() -> None:
    csv("l.csv", ["0.5", "NA", "-1", "", "0.25"] * 20)
    with pytest.warns(UserWarning, match=r"rows that have no label: '-1' in \d+ rows, 'NA' in \d+ rows"):
        assert set(OwnTexts(source="l.csv").read("train", True).labels) == {0.25, 0.5}
    csv("l.csv", ["-0.5", "-1", "0.25"] * 20)
    data = OwnTexts(source="l.csv")
    assert data.task.label_range == (-1.0, 0.25)
    assert -1.0 in data.read("train", True).labels


def test_the_range_of_scores_is_not_that_of_the_training_part_alone() -> None:
    for seed in range(40):
        csv("score.csv", [f"{value:.4f}" for value in np.random.default_rng(seed).uniform(0, 1, 300)])
        OwnTexts(source="score.csv").read("validation", True)


def test_scores_beyond_the_range_are_refused_to_train_on_and_told_elsewhere() -> None:
    folder([0.5, 1.0, 7.0], [0.5, 9.0])
    data = OwnTexts(source=".", label_range=(0.0, 5.0))
    with pytest.raises(UsageError, match=r"row 2, column 'label': 7.0 is not a number from 0 to 5 \(label_range\)"):
        data.read("train", True)
    with pytest.warns(UserWarning, match=r"1 of 2 scores are not from 0 to 5, where all predictions are"):
        assert data.read("validation", True).labels.tolist() == [0.5, 9.0]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            [False, True],
            r"labels: YAML reads no, yes, .* as booleans; quote the words: --data.labels '\[\"no\", \"yes\"\]'",
        ),
        (["yes", "no", "yes"], "labels: 'yes' stands there more than once"),
        ([1, 1.0], "labels: '1' stands there more than once"),
        (["a"], "labels: a is all there is; give two classes or more"),
        ([], "labels: nothing is all there is"),
        (["a", ""], "every class needs a word"),
    ],
)
def test_labels_that_are_none(labels: list[Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        given_labels(labels)


def test_numbers_given_as_labels_are_the_words_that_they_are() -> None:
    assert given_labels([-1, 0, 1.0]) == ("-1", "0", "1")


def test_labels_of_yaml_on_the_command_line(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv("yn.csv", ["yes", "no"] * 30)
    words = [
        "adapt", "fit", f"--model.backbone.source={folders['bert']}", "--model.strategy=LinearProbe",
        "--data=OwnTexts", "--data.source=yn.csv", "--trainer.fast_dev_run=1", "--trainer.accelerator=cpu",
    ]  # fmt: skip
    try:
        assert main([*words, "--data.labels", "[no, yes]"]) == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith("error: labels: YAML reads no, yes")
        csv("yn.csv", ["-1", "0", "1"] * 30)
        assert main([*words, "--data.labels", "[-1, 0, 1]"]) == 0
    finally:
        restrict()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([True, False], r"row 0, column 'label': True is not 0 \(entailment\), 1"),
        (["true", "false"], r"row 0, column 'label': 'true' is not 0 \(entailment\)"),
        ([0, 5], r"row 1, column 'label': 5 is not 0 \(entailment\), 1"),
        (["01", "0"], r"row 0, column 'label': '01' is not"),
    ],
)
def test_glue_labels_that_are_neither_ids_nor_words(labels: list[Any], expected: str) -> None:
    table = pa.table({"sentence1": ["a"] * 2, "sentence2": ["b"] * 2, "label": labels})
    with pytest.raises(UsageError, match=expected):
        check(glue_task("rte"), table, "F")


def test_glue_scores_that_are_stored_as_strings() -> None:
    table = pa.table({"sentence1": ["a"] * 3, "sentence2": ["b"] * 3, "label": ["0.5", "5", "NA"]})
    assert check(glue_task("stsb"), table, "F").labels.tolist()[:2] == [0.5, 5.0]


def test_the_hubs_names_of_classes_are_their_words(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "y": datasets.ClassLabel(names=["neg", "pos"])})
    rows = datasets.Dataset.from_dict({"text": ["a", "b"] * 5, "y": [1, 0] * 5}, features)
    pq.write_table(rows.with_format("arrow")[:], "train.parquet")
    data = OwnTexts(source=".", columns={"sentence": "text", "label": "y"})
    assert data.task.labels == ("neg", "pos")
    assert data.read("train", True).labels.tolist()[:2] == [1.0, 0.0]


def test_functions_of_words() -> None:
    assert classes(["b", "-1", "", None, "a"]) == ("a", "b")
    assert is_graded(["1", "2.5", "NA", None])
    assert not is_graded(["1", "2.0"])
    assert not is_graded(["1.5", "good"])
    assert class_ids(["a", None, "NA", "c"], ["a", "b"], numbered=True) == ([0, None, None, -1], {"NA": 1})
