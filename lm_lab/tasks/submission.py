"""Files that a benchmark's own evaluation reads: GLUE's TSV a test set, SuperGLUE's JSON lines, SQuAD's answers by
question id."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lm_lab.tasks import superglue
from lm_lab.tasks.glue import SUBMITTED_AS_ID
from lm_lab.tasks.names import require_name, require_split
from lm_lab.tasks.spans import SpanTask
from lm_lab.tasks.task import Task
from lm_lab.tasks.texts import TextTask


def submission_name(task: TextTask, split: str) -> str:
    """File name for the predictions of a split, such as `MNLI-mm.tsv`; splits that GLUE does not test keep theirs."""
    return f"{dict(task.test).get(split, f'{task.name}-{split}').replace('/', '-')}.tsv"


def write_submission(folder: Path, task: TextTask, split: str, predictions: Iterable[tuple[int, float]]) -> Path:
    """Write (example id, prediction) pairs in the order of their ids, header `index<TAB>prediction`."""
    as_id = task.name in SUBMITTED_AS_ID
    rows = [f"{index}\t{int(value) if as_id else task.word(value)}" for index, value in sorted(predictions)]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / require_name(submission_name(task, split), "the name of a file,")
    path.write_text("\n".join(["index\tprediction", *rows]) + "\n", encoding="utf-8")
    return path


def write_superglue(folder: Path, task: Task, split: str, answers: Mapping[int, Mapping[str, Any]]) -> Path:
    """Write SuperGLUE's file of a split, such as `BoolQ.jsonl`; splits that it does not test carry their name."""
    name = dict(task.test).get(split, f"{task.name}-{require_split(split).replace('/', '-')}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{require_name(name, 'the name of a file,')}.jsonl"
    lines = [json.dumps(line, ensure_ascii=False) for line in superglue.lines(task.name, answers)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_answers(folder: Path, task: SpanTask, split: str, answers: Iterable[Mapping[str, Any]]) -> list[Path]:
    """Write what SQuAD's script reads: `predictions.json`, `nbest_predictions.json`; for version 2 `null_odds.json`.

    Files of a split other than `validation` carry its name. Answers are those of `SpanTask.answers`.
    """
    by_key = {answer["key"]: answer for answer in answers}
    tables: dict[str, dict[str, Any]] = {
        "predictions": {key: answer["prediction"] for key, answer in by_key.items()},
        "nbest_predictions": {key: answer["n_best"] for key, answer in by_key.items()},
    }
    if task.version == 2:
        tables["null_odds"] = {key: answer["null_score"] for key, answer in by_key.items()}
    folder.mkdir(parents=True, exist_ok=True)
    suffix = "" if split == "validation" else f"-{require_split(split).replace('/', '-')}"
    paths = [folder / f"{name}{suffix}.json" for name in tables]
    for path, table in zip(paths, tables.values(), strict=True):
        path.write_text(json.dumps(table, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return paths
