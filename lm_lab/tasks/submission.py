"""Files for GLUE's evaluation server: one TSV a test set, with GLUE's names, header and label words."""

from collections.abc import Iterable
from pathlib import Path

from lm_lab.tasks.glue import SUBMITTED_AS_ID
from lm_lab.tasks.texts import TextTask


def submission_name(task: TextTask, split: str) -> str:
    """File name for the predictions of a split, such as `MNLI-mm.tsv`; splits that GLUE does not test keep theirs."""
    return f"{dict(task.test).get(split, f'{task.name}-{split}')}.tsv"


def write_submission(folder: Path, task: TextTask, split: str, predictions: Iterable[tuple[int, float]]) -> Path:
    """Write (example id, prediction) pairs in the order of their ids, header `index<TAB>prediction`."""
    as_id = task.name in SUBMITTED_AS_ID
    rows = [f"{index}\t{int(value) if as_id else task.word(value)}" for index, value in sorted(predictions)]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / submission_name(task, split)
    path.write_text("\n".join(["index\tprediction", *rows]) + "\n", encoding="utf-8")
    return path
