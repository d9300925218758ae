"""What `lm-lab adapt predict` shows: labels with probabilities for texts, submission files for a task's test sets."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
from torch import Tensor

from lm_lab.data.checks import Rows
from lm_lab.data.glue import GLUE
from lm_lab.data.texts import Texts
from lm_lab.tasks import Task
from lm_lab.tasks.submission import write_submission


def report_predictions(trainer: L.Trainer, task: Task, data: GLUE | Texts) -> None:
    """Print the user's texts with their labels, or write one GLUE submission file a split."""
    batches = _flat(trainer.predict_loop.predictions)
    if isinstance(data, Texts):
        assert data.rows is not None
        print("\n".join(_lines(task, data.rows, batches)))
        return
    folder = Path(trainer.log_dir or trainer.default_root_dir) / "submission"
    by_split: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for batch in batches:
        by_split[batch["split"]] += zip(batch["ids"].tolist(), batch["predictions"].tolist(), strict=True)
    named = data.task if task.labels == data.task.labels else task  # AX is predicted by an MNLI model
    for split, pairs in by_split.items():
        print(f"predictions: {write_submission(folder, named, split, pairs)}")


def _flat(predictions: list[Any]) -> list[dict[str, Any]]:
    """Batches of all loaders in one list."""
    return [batch for item in predictions for batch in (item if isinstance(item, list) else [item])]


def _lines(task: Task, rows: Rows, batches: list[dict[str, Any]]) -> Iterator[str]:
    """A line a text: label, probability or score, text."""
    found = {index: (value, row) for batch in batches for index, value, row in _examples(batch)}
    for position, index in enumerate(rows.ids.tolist()):
        value, probabilities = found[index]
        text = "\t".join(column[position] for column in rows.texts)
        if probabilities is None:
            yield f"{value:.3f}\t{text}"
            continue
        shares = "  ".join(f"{word}={share:.3f}" for word, share in zip(task.labels, probabilities, strict=True))
        yield f"{task.word(value)}\t{shares}\t{text}"


def _examples(batch: dict[str, Any]) -> Iterator[tuple[int, float, list[float] | None]]:
    probabilities: Tensor | None = batch.get("probabilities")
    rows = [None] * len(batch["ids"]) if probabilities is None else probabilities.tolist()
    yield from zip(batch["ids"].tolist(), batch["predictions"].tolist(), rows, strict=True)
