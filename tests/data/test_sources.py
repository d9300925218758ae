"""TextRows from every kind of source, and what is said of those that are wrong."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from lm_lab.data.modules.glue import GLUE
from lm_lab.data.reading.checks import check, require_labels
from lm_lab.data.reading.sources import read_split
from lm_lab.errors import UsageError
from lm_lab.tasks import glue_task

RTE = {"sentence1": ["a b", 'c "d'], "sentence2": ["e", "f"], "label": [0, 1], "idx": [10, 11]}


def write(folder, name, table):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if name.endswith(".parquet"):
        pa.parquet.write_table(table, path)
    elif name.endswith(".csv"):
        pa.csv.write_csv(table, path)
    else:
        import json

        path.write_text("\n".join(json.dumps(row) for row in table.to_pylist()))
    return path


@pytest.mark.parametrize("place", ["glue/rte", "rte", "."])
@pytest.mark.parametrize("name", ["train.parquet", "train.csv", "train.json", "train.jsonl"])
def test_a_folder_in_the_hubs_schema(tmp_path, place, name):
    write(tmp_path / place, name, pa.table(RTE))
    rows = read_split(glue_task("rte"), "train", str(tmp_path))
    assert rows.texts == (["a b", 'c "d'], ["e", "f"])
    assert rows.labels.tolist() == [0.0, 1.0]
    assert rows.ids.tolist() == [10, 11]


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    write(tmp_path / "rte", "train.parquet", pa.table(RTE))
    monkeypatch.setenv("LM_LAB_DATA", str(tmp_path))
    assert len(read_split(glue_task("rte"), "train")) == 2


def test_label_words_stand_for_their_ids(tmp_path):
    write(tmp_path, "train.csv", pa.table(RTE | {"label": ["not_entailment", "entailment"]}))
    assert read_split(glue_task("rte"), "train", str(tmp_path)).labels.tolist() == [1.0, 0.0]


CLASSIC = {
    "rte": ("RTE/train.tsv", "train", "index\tsentence1\tsentence2\tlabel", '0\tan "open\tb\tnot_entailment', 1.0),
    "cola": ("CoLA/train.tsv", "train", None, 'gj04\t0\t*\tan "open', 0.0),
    "sst2": ("SST-2/dev.tsv", "validation", "sentence\tlabel", 'an "open\t1', 1.0),
    "mrpc": (
        "MRPC/train.tsv",
        "train",
        "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        '1\t70\t71\tan "open\tb',
        1.0,
    ),
    "qqp": (
        "QQP/train.tsv",
        "train",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        '1\t2\t3\tan "open\tb\t1',
        1.0,
    ),
    "stsb": (
        "STS-B/train.tsv",
        "train",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
        '0\tg\tf\ty\t1\ts\ts\tan "open\tb\t3.800',
        3.8,
    ),
    "mnli": (
        "MNLI/dev_mismatched.tsv",
        "validation_mismatched",
        "index\tgenre\tsentence1\tsentence2\tlabel1\tgold_label",
        '0\tg\tan "open\tb\tneutral\tcontradiction',
        2.0,
    ),
    "qnli": ("QNLI/train.tsv", "train", "index\tquestion\tsentence\tlabel", '0\tan "open\tb\tentailment', 0.0),
    "wnli": ("WNLI/train.tsv", "train", "index\tsentence1\tsentence2\tlabel", '0\tan "open\tb\t1', 1.0),
}


@pytest.mark.parametrize("task", CLASSIC)
def test_glues_own_layout(tmp_path, task):
    name, split, header, row, label = CLASSIC[task]
    path = tmp_path / name
    path.parent.mkdir()
    path.write_text("\n".join(filter(None, ["" if header is None else header, row])) + "\n", encoding="utf-8-sig")
    rows = read_split(glue_task(task), split, str(tmp_path))
    assert rows.texts[0] == ['an "open']
    assert rows.labels.tolist() == [label]
    assert rows.ids.tolist() == [0]


def test_classic_test_files_have_no_labels(tmp_path):
    (tmp_path / "CoLA").mkdir()
    (tmp_path / "CoLA" / "test.tsv").write_text("index\tsentence\n0\thello\n")
    (tmp_path / "diagnostic").mkdir()
    (tmp_path / "diagnostic" / "diagnostic.tsv").write_text("index\tsentence1\tsentence2\n0\ta\tb\n")
    assert not read_split(glue_task("cola"), "test", str(tmp_path)).labelled.any()
    ax = read_split(glue_task("ax"), "test", str(tmp_path))
    assert ax.texts == (["a"], ["b"])
    assert not ax.labelled.any()


def test_a_classic_line_with_missing_fields_names_file_line_and_column(tmp_path):
    (tmp_path / "RTE").mkdir()
    (tmp_path / "RTE" / "train.tsv").write_text("index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n1\tc\n")
    with pytest.raises(
        UsageError, match=r"RTE/train\.tsv, line 3, column 'sentence2': 2 fields where the header has 4"
    ):
        read_split(glue_task("rte"), "train", str(tmp_path))


def test_a_classic_header_without_the_label(tmp_path):
    (tmp_path / "RTE").mkdir()
    (tmp_path / "RTE" / "train.tsv").write_text("index\tsentence1\tsentence2\n0\ta\tb\n")
    with pytest.raises(UsageError, match=r"train\.tsv has no column 'label'; its header is: index, sentence1"):
        read_split(glue_task("rte"), "train", str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentence2": None}, r"F has no column 'sentence2'; 'rte' needs sentence1, sentence2, label, the file has"),
        ({"sentence1": ["a", None]}, r"F, row 1, column 'sentence1': no text"),
        ({"sentence1": [1, 2]}, r"F, column 'sentence1': expected text, found int64"),
        ({"label": [0, 2]}, r"F, row 1, column 'label': 2 is not 0 \(entailment\), 1 \(not_entailment\) or -1"),
        ({"label": ["entailment", "maybe"]}, r"F, row 1, column 'label': 'maybe' is not 0 \(entailment\)"),
        ({"label": [0.5, 1]}, r"F, row 0, column 'label': 0\.5 is not"),
        ({"idx": [7, 7]}, r"F, row 1, column 'idx': 7 appears twice"),
    ],
)
def test_a_wrong_row_names_file_row_and_column(change, message):
    columns = {name: values for name, values in (RTE | change).items() if values is not None}
    with pytest.raises(UsageError, match=message):
        check(glue_task("rte"), pa.table(columns), "F")


def test_a_graded_label_outside_of_the_range():
    table = pa.table({"sentence1": ["a"], "sentence2": ["b"], "label": [5.2]})
    with pytest.raises(UsageError, match=r"row 0, column 'label': 5\.2 is not a number from 0 to 5"):
        check(glue_task("stsb"), table, "F")


def test_an_empty_split():
    with pytest.raises(UsageError, match="F is empty; expected rows with the columns sentence1, sentence2, label"):
        check(glue_task("rte"), pa.table({name: [] for name in RTE}), "F")


def test_an_unlabelled_training_set_is_refused_and_a_partly_labelled_one_counted():
    task = glue_task("rte")
    with pytest.raises(UsageError, match="F: no row of the split 'train' is labelled"):
        require_labels(task, check(task, pa.table(RTE | {"label": [-1, -1]}), "F"), "train")
    rows = check(task, pa.table(RTE | {"label": [-1, 1]}), "F")
    with pytest.warns(UserWarning, match="F: left out 1 of 2 rows that have no label"):
        kept = require_labels(task, rows, "train")
    assert np.array_equal(kept.ids, [11])


def test_a_missing_split_says_where_it_looked_and_what_is_there(tmp_path):
    write(tmp_path / "rte", "train.parquet", pa.table(RTE))
    with pytest.raises(UsageError, match=r"no split 'dev' of 'rte' .*RTE/dev\.tsv\. Splits that are there: train"):
        read_split(glue_task("rte"), "dev", str(tmp_path))


def test_a_source_that_is_no_folder():
    with pytest.raises(UsageError, match="data source 'nowhere' is no folder and no file; give one of these"):
        read_split(glue_task("rte"), "train", "nowhere")


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"nonsense")
    with pytest.raises(UsageError, match=r"train\.parquet cannot be read"):
        read_split(glue_task("rte"), "train", str(tmp_path))


def test_the_hub_out_of_bounds_says_what_to_set():
    with pytest.raises(UsageError, match=r"'nyu-mll/glue' .*HF_HUB_OFFLINE.*--data\.source FOLDER or set LM_LAB_DATA"):
        read_split(glue_task("rte"), "train", "hub")


@pytest.mark.parametrize("task", ["cola", "sst2", "mrpc", "stsb", "rte", "wnli"])
def test_real_data(real_data, task):
    row = glue_task(task)
    for split in ("train", "validation"):
        rows = read_split(row, split, real_data)
        assert rows.labelled.all()
        assert len(rows.texts) == len(row.columns)


def test_the_fingerprint_of_data_stays_or_every_finished_cell_of_a_suite_would_run_again():
    data = GLUE("mnli", source="microworld", train_limit=50, holdout=20)
    assert data.fingerprint() == "68b65a15a88c7c7e"


def test_splits_of_a_folder_may_have_other_names(tmp_path):
    for name in ("teach", "dev"):
        write(tmp_path, f"{name}.csv", pa.table(RTE))
    data = GLUE("rte", source=str(tmp_path), splits={"train": "teach", "validation": "dev"})
    assert [len(data.rows(split)) for split in ("train", "validation")] == [2, 2]
    with pytest.raises(UsageError, match=r"in the split's name '\.\./secret'"):
        GLUE("rte", source=str(tmp_path), splits={"train": "../secret"}).rows("train")
    with pytest.raises(UsageError, match="no split 'nowhere' of 'rte' below"):
        GLUE("rte", source=str(tmp_path), splits={"train": "nowhere"}).rows("train")


def test_superglues_name_of_the_validation_split_is_known(tmp_path):
    write(tmp_path, "val.jsonl", pa.table(RTE))
    assert len(read_split(glue_task("rte"), "validation", str(tmp_path))) == 2
    write(tmp_path, "validation.jsonl", pa.table({name: values[:1] for name, values in RTE.items()}))
    assert len(read_split(glue_task("rte"), "validation", str(tmp_path))) == 1
