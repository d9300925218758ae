import pytest
import torch

from lm_lab.errors import UsageError
from lm_lab.tasks import TASKS, glue_average, glue_task, task_score
from lm_lab.tasks.glue import AVERAGED
from lm_lab.tasks.submission import write_submission


def test_all_ten_tasks_and_their_kin():
    assert set(TASKS) == {*AVERAGED, "ax", "snli", "chnsenticorp", "boolq", "cb"}
    assert len(AVERAGED) == 9


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("cola", ["matthews"]),
        ("sst2", ["accuracy"]),
        ("mrpc", ["accuracy", "f1"]),
        ("stsb", ["pearson", "spearman"]),
        ("qqp", ["accuracy", "f1"]),
        ("mnli", ["accuracy"]),
        ("qnli", ["accuracy"]),
        ("rte", ["accuracy"]),
        ("wnli", ["accuracy"]),
        ("ax", ["matthews"]),
    ],
)
def test_metrics_are_glues(name, metrics):
    assert [metric.__name__ for metric in glue_task(name).metrics] == metrics


def test_a_tasks_score_is_the_mean_of_its_metrics():
    labels, predictions = torch.tensor([1, 1, 0, 1]), torch.tensor([1, 0, 0, 1])
    scores = glue_task("mrpc").scores(predictions, labels)
    assert scores == pytest.approx({"accuracy": 0.75, "f1": 0.8})
    assert task_score(scores) == pytest.approx(0.775)


def test_constant_regression_scores_zero_instead_of_nan():
    assert glue_task("stsb").scores(torch.full((4,), 2.0), torch.tensor([0.0, 1.0, 2.0, 3.0])) == {
        "pearson": 0.0,
        "spearman": 0.0,
    }


def test_the_average_is_over_nine_tasks_and_names_what_is_missing():
    scores = dict.fromkeys(AVERAGED, 0.5) | {"cola": 0.95}
    assert glue_average(scores | {"ax": 0.0, "snli": 0.0}) == pytest.approx(0.55)
    with pytest.raises(UsageError, match="missing: wnli"):
        glue_average({name: 0.5 for name in AVERAGED if name != "wnli"})


def test_regression_scale_round_trip():
    task = glue_task("stsb")
    labels = torch.tensor([0.0, 2.5, 5.0])
    outputs = torch.tensor([[-0.5], [0.0], [0.5]])
    assert task.loss(outputs, {"labels": labels}).item() == pytest.approx(0.0)
    assert task.predictions(outputs).tolist() == labels.tolist()
    assert task.predictions(torch.tensor([[3.0], [-3.0]])).tolist() == [5.0, 0.0]


@pytest.mark.parametrize(
    ("name", "split", "file", "rows"),
    [
        ("cola", "test", "CoLA.tsv", ["0\t1", "1\t0"]),
        ("sst2", "test", "SST-2.tsv", ["0\t1", "1\t0"]),
        ("mrpc", "test", "MRPC.tsv", ["0\t1", "1\t0"]),
        ("qqp", "test", "QQP.tsv", ["0\t1", "1\t0"]),
        ("wnli", "test", "WNLI.tsv", ["0\t1", "1\t0"]),
        ("rte", "test", "RTE.tsv", ["0\tnot_entailment", "1\tentailment"]),
        ("qnli", "test", "QNLI.tsv", ["0\tnot_entailment", "1\tentailment"]),
        ("mnli", "test_matched", "MNLI-m.tsv", ["0\tneutral", "1\tentailment"]),
        ("mnli", "test_mismatched", "MNLI-mm.tsv", ["0\tneutral", "1\tentailment"]),
        ("ax", "test", "AX.tsv", ["0\tneutral", "1\tentailment"]),
        ("stsb", "test", "STS-B.tsv", ["0\t1.000", "1\t0.000"]),
    ],
)
def test_submission_files_have_glues_names_header_and_words(tmp_path, name, split, file, rows):
    path = write_submission(tmp_path, glue_task(name), split, [(1, 0.0), (0, 1.0)])
    assert path.name == file
    assert path.read_text().splitlines() == ["index\tprediction", *rows]


def test_an_unknown_task_lists_the_known_ones():
    with pytest.raises(UsageError, match="unknown task 'glue'; the tasks are: cola, sst2"):
        glue_task("glue")
