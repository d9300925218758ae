"""What `lm-lab adapt predict` shows: labels with probabilities for texts, submission files for a task's test sets."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L

from lm_lab.data.modules.base import TaskData
from lm_lab.data.reading.lines import TEXT, Lines
from lm_lab.tasks import Task, TextTask, superglue
from lm_lab.tasks.sequences import SequenceTask
from lm_lab.tasks.spans import SpanTask
from lm_lab.tasks.submission import write_answers, write_submission, write_superglue
from lm_lab.training.machine.processes import gathered

Answers = dict[int, dict[str, Any]]


def report_predictions(trainer: L.Trainer, task: Task, data: TaskData) -> None:
    """Print the user's texts with their labels, or write the predictions of each split to files.

    All processes must call it; the first one has the rows of all, and writes.
    """
    by_split: dict[str, Answers] = defaultdict(dict)
    folder = Path(trainer.log_dir or trainer.default_root_dir) / "submission"  # the same for all
    for own in gathered([_row(batch) for batch in _flat(trainer.predict_loop.predictions)]):
        for split, answers in own:
            by_split[split] |= answers
    if not trainer.is_global_zero:
        return
    if data.given is not None:
        print("\n".join(_lines(data.given, by_split[TEXT])))
        return
    for split, answers in by_split.items():
        for path in _write(folder, task, data, split, answers):
            print(f"predictions: {path}")


def _flat(predictions: list[Any]) -> list[dict[str, Any]]:
    """Batches of all loaders in one list."""
    return [batch for item in predictions for batch in (item if isinstance(item, list) else [item])]


def _row(batch: dict[str, Any]) -> tuple[str, Answers]:
    """The split of a batch and its answers by id."""
    return batch["split"], dict(zip(batch["ids"].tolist(), _answers(batch), strict=True))


def _answers(batch: dict[str, Any]) -> list[dict[str, Any]]:
    values = batch["predictions"].tolist()
    return [answer | {"value": value} for answer, value in zip(batch["answers"], values, strict=True)]


def _write(folder: Path, task: Task, data: TaskData, split: str, answers: Answers) -> Iterator[Path]:
    """GLUE's files for a class or a score a text; what the form's own server reads; else JSON lines."""
    if task.name in superglue.NAMES and not isinstance(task, SequenceTask):
        yield write_superglue(folder, task, split, answers)
        return
    if isinstance(task, TextTask) and isinstance(data.task, TextTask):
        named = data.task if task.labels == data.task.labels else task  # AX is predicted by an MNLI model
        yield write_submission(folder, named, split, ((index, row["value"]) for index, row in answers.items()))
        return
    if isinstance(task, SpanTask):
        yield from write_answers(folder, task, split, answers.values())
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{task.name}-{split}.jsonl"
    rows = [{"id": index} | {k: v for k, v in row.items() if k != "value"} for index, row in sorted(answers.items())]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    yield path


def _lines(given: Lines, answers: Answers) -> Iterator[str]:
    """A line for each that was given: what was predicted, probabilities of classes if there are any, the text."""
    for number, texts in zip(given.ids.tolist(), given.texts, strict=True):
        found, shares = answers[number]["prediction"], answers[number].get("probabilities")
        words = " ".join(found) if isinstance(found, list) else found
        listed = "  ".join(f"{word}={share:.3f}" for word, share in shares.items()) if isinstance(shares, dict) else ""
        yield "\t".join([words, *([listed] if listed else []), *texts])
