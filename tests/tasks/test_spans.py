"""Spans: the best ones against a search by hand, no answer, its threshold, questions over several windows."""

from dataclasses import replace

import pytest
import torch

from lm_lab.tasks import described
from lm_lab.tasks.spans import SpanTask, best_spans

TASK = SpanTask("squad", max_answer=3, n_best=4)
SECOND = replace(TASK, version=2)


def test_best_spans_are_those_of_a_search():
    torch.manual_seed(0)
    outputs = torch.randn(5, 9, 2)
    inside = torch.zeros(5, 9, dtype=torch.bool)
    inside[:, 3:8] = True
    scores, starts, ends = best_spans(outputs, inside, max_answer=3, n_best=12)
    for row in range(5):
        every = [(i, j) for i in range(3, 8) for j in range(i, min(i + 3, 8))]
        expected = sorted(every, key=lambda span: -(outputs[row, span[0], 0] + outputs[row, span[1], 1]))
        assert list(zip(starts[row].tolist(), ends[row].tolist(), strict=True)) == expected
        assert scores[row, 0] == pytest.approx(
            (outputs[row, expected[0][0], 0] + outputs[row, expected[0][1], 1]).item()
        )


def batch(outputs_of, answers, windows=((0, 0), (0, 4))):
    """One question on "ab cd ef gh ij kl", one token a word; each window shows four words from its start."""
    words = [(3 * i, 3 * i + 2) for i in range(6)]
    offsets = torch.zeros(len(windows), 7, 2, dtype=torch.int64)
    for row, (_, first) in enumerate(windows):
        for place, word in enumerate(words[first : first + 4]):
            offsets[row, 2 + place] = torch.tensor(word)
    return {
        "ids": torch.tensor([0]),
        "rows": [{"key": "q", "context": "ab cd ef gh ij kl", "answers": answers}],
        "question": torch.tensor([question for question, _ in windows]),
        "offsets": offsets,
        "inside": offsets[..., 0] < offsets[..., 1],
        "null": torch.zeros(len(windows), dtype=torch.int64),
    }, torch.tensor(outputs_of).float()


def scored(rows):
    """(w, 7, 2) scores, zero but for (window, token, which) -> value."""
    outputs = torch.zeros(2, 7, 2)
    for (window, token, which), value in rows.items():
        outputs[window, token, which] = value
    return outputs.tolist()


def test_the_best_span_of_all_windows_counts_and_the_question_is_never_answered_with():
    # the highest scores are on the question's token, which no answer may touch
    examples, outputs = batch(scored({(0, 1, 0): 9, (0, 1, 1): 9, (0, 3, 0): 2, (1, 2, 0): 3, (1, 3, 1): 3}), ["ij kl"])
    answer = TASK.answers(outputs, examples)[0]
    assert answer["prediction"] == "ij kl"
    assert answer["n_best"][0]["text"] == "ij kl"
    assert len({row["text"] for row in answer["n_best"]}) == len(answer["n_best"]) == 4
    judged = TASK.judge(outputs, examples)
    assert judged.values[0, :2].tolist() == [1, 1]
    assert judged.labels.tolist() == [1]


def test_spans_no_longer_than_max_answer():
    examples, outputs = batch(scored({(0, 2, 0): 5, (0, 5, 1): 5}), ["x"])
    assert TASK.answers(outputs, examples)[0]["prediction"] != "ab cd ef gh"
    assert replace(TASK, max_answer=4).answers(outputs, examples)[0]["prediction"] == "ab cd ef gh"


def test_no_answer_wins_by_the_smallest_null_score_of_all_windows():
    rows = {(0, 0, 0): 9, (0, 2, 0): 1, (0, 2, 1): 1}
    examples, outputs = batch(scored(rows), [])
    assert SECOND.answers(outputs, examples)[0]["prediction"] == "ab"  # the second window says 0
    examples, outputs = batch(scored(rows | {(1, 0, 0): 5}), [])
    answer = SECOND.answers(outputs, examples)[0]
    assert answer["prediction"] == ""
    assert answer["null_score"] == pytest.approx(3)
    assert answer["n_best"][0]["text"] == ""
    assert TASK.answers(outputs, examples)[0]["prediction"] == "ab"  # version 1 always answers


def test_a_context_without_any_token_gets_an_empty_answer():
    examples, outputs = batch(scored({}), ["ab"])
    examples["inside"] = torch.zeros_like(examples["inside"])
    assert TASK.answers(outputs, examples)[0]["prediction"] == ""
    assert TASK.judge(outputs, examples).values[0, :2].tolist() == [0, 0]


def test_the_threshold_decides_and_is_calibrated():
    # exact match, F1, by how much no answer scores better
    values = torch.tensor([[1, 1, -3.0], [0, 0.5, -1.0], [0, 0, 0.5], [0, 0, 2.0], [0, 0, -2.0]])
    labels = torch.tensor([1.0, 1, 0, 0, 1])
    assert SECOND.scores(values, labels)["answer_f1"] == pytest.approx((1 + 0.5 + 1 + 1 + 0) / 5)
    assert replace(SECOND, threshold=1.0).scores(values, labels)["answer_f1"] == pytest.approx(2.5 / 5)
    calibrated = replace(SECOND, threshold=9.0).calibrated(values, labels)
    every = [replace(SECOND, threshold=t).scores(values, labels)["answer_f1"] for t in torch.arange(-5, 5, 0.25)]
    assert calibrated.scores(values, labels)["answer_f1"] == pytest.approx(max(every))
    details = SECOND.detailed(values, labels)
    assert details["no_answer_accuracy"] == 1
    assert details["has_answer_f1"] == pytest.approx(0.5)
    assert TASK.calibrated(values, labels) is TASK


@pytest.mark.parametrize("all_silent", [True, False])
def test_the_threshold_where_all_or_no_answer_is_right(all_silent):
    torch.manual_seed(0)
    gaps = torch.randn(50, 1)
    values = torch.cat([torch.full((50, 2), float(not all_silent)), gaps], 1)
    labels = torch.full((50,), float(not all_silent))
    assert SECOND.calibrated(values, labels).scores(values, labels)["answer_f1"] == 1


def test_the_loss_leaves_out_padding():
    outputs = torch.randn(2, 5, 2)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    labels = torch.tensor([[1, 2], [0, 4]])
    found = TASK.loss(outputs, {"texts": [{"attention_mask": mask}], "labels": labels})
    rows = [-outputs[0, :3, k].log_softmax(0)[labels[0, k]] for k in (0, 1)]
    rows += [-outputs[1, :, k].log_softmax(0)[labels[1, k]] for k in (0, 1)]
    assert found.item() == pytest.approx(torch.stack(rows).mean().item(), rel=1e-5)


def test_a_task_is_kept_as_plain_data():
    task = replace(SECOND, threshold=-1.5, validation=("validation",))
    assert described.build(described.describe(task)) == task
    assert described.describe(task)["init_args"]["metrics"] == ["lm_lab.metrics.answer_f1"]
