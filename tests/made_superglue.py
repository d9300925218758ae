"""SuperGLUE's tasks on made rows, in the hub's schema and in the benchmark's own files."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 24
PASSAGE = "the tool was fine .\n@highlight\nthe plant saw the {name}\n@highlight\nit was fine ."


def boolq(i: int) -> dict[str, Any]:
    return {"question": "is it fine", "passage": "it is fine" if i % 2 else "it is bad", "label": i % 2, "idx": i}


def cb(i: int) -> dict[str, Any]:
    words = ["it is fine", "it is bad", "who is it"]
    return {"premise": words[i % 3], "hypothesis": "it is fine", "label": i % 3, "idx": i}


def copa(i: int) -> dict[str, Any]:
    right, wrong = "it was fine .", "it was bad ."
    choices = {"choice1": wrong if i % 2 else right, "choice2": right if i % 2 else wrong}
    return {"premise": "it was .", **choices, "question": ("cause", "effect")[i // 2 % 2], "label": i % 2, "idx": i}


def wic(i: int) -> dict[str, Any]:
    texts = {"word": "fine", "sentence1": "it was fine .", "sentence2": "a fine is bad ." if i % 2 else "is it fine"}
    places = {"start1": 7, "end1": 11, "start2": 2 if i % 2 else 6, "end2": 6 if i % 2 else 10}
    return {**texts, **places, "label": i % 2, "idx": i}


def wsc(i: int) -> dict[str, Any]:
    noun = {"span1_index": 0, "span1_text": "the beast"} if i % 2 else {"span1_index": 3, "span1_text": "the tool"}
    pronoun = {"span2_index": 6, "span2_text": "it"}
    return {"text": "the beast saw the tool and it was fine .", **noun, **pronoun, "label": i % 2, "idx": i}


def multirc(i: int) -> list[dict[str, Any]]:
    """Three answers of one question, of which one or two are right."""
    passage = "the beast was fine ." if i % 2 else "the beast was bad ."
    answers = [("fine", 1), ("bad", 0), ("a beast", i % 2)]
    return [
        {
            "passage": passage, "question": "what was it ?", "answer": text, "label": label,
            "idx": {"paragraph": i, "question": 10 * i, "answer": 100 * i + number},
        }
        for number, (text, label) in enumerate(answers)
    ]  # fmt: skip


def record(i: int) -> dict[str, Any]:
    right = "beast" if i % 2 else "garment"
    names = {"entities": ["tool", "plant", right], "answers": [right]}
    passage = PASSAGE.format(name=right)
    return {"passage": passage, "query": "it was a @placeholder .", **names, "idx": {"passage": i, "query": 7 * i}}


TASKS = {
    "boolq": ("BoolQ", boolq), "cb": ("CB", cb), "copa": ("COPA", copa), "wic": ("WiC", wic), "wsc": ("WSC", wsc),
    "multirc": ("MultiRC", multirc), "record": ("ReCoRD", record),
}  # fmt: skip
SPLITS = {"train": "train", "validation": "val", "test": "test"}


def rows(task: str, split: str) -> list[dict[str, Any]]:
    """Rows in the hub's schema; a test split has labels of -1, and no answers of ReCoRD."""
    made = [TASKS[task][1](i) for i in range(ROWS)]
    found = [row for each in made for row in (each if isinstance(each, list) else [each])]
    if split != "test":
        return found
    return [row | ({"answers": []} if task == "record" else {"label": -1}) for row in found]


def write_hub(root: Path, task: str) -> str:
    """`super_glue/TASK/SPLIT.parquet` below `root`."""
    folder = root / "super_glue" / task
    folder.mkdir(parents=True)
    for split in SPLITS:
        pq.write_table(pa.Table.from_pylist(rows(task, split)), folder / f"{split}.parquet")
    return str(root)


def write_own(root: Path, task: str) -> str:
    """The benchmark's own download: `TASK/val.jsonl`, labels as words or booleans, none in `test.jsonl`."""
    folder = root / TASKS[task][0]
    folder.mkdir(parents=True)
    for split, name in SPLITS.items():
        lines = [json.dumps(line) for line in _own(task, rows(task, split), split)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return str(root)


def _own(task: str, given: list[dict[str, Any]], split: str) -> list[dict[str, Any]]:
    if task == "multirc":
        return [_passage(given[start : start + 3], split) for start in range(0, len(given), 3)]
    if task == "record":
        return [_news(row, split) for row in given]
    found = []
    for row in given:
        label: Any = row["label"]
        if task in ("boolq", "wic", "wsc"):
            label = bool(label)
        if task == "cb":
            label = ("entailment", "contradiction", "neutral")[label]
        spans = {name: value for name, value in row.items() if name.startswith("span")}
        kept = {name: value for name, value in row.items() if name not in spans} | {"label": label}
        found.append((kept | {"target": spans}) if spans else kept)
    return [{k: v for k, v in row.items() if k != "label"} for row in found] if split == "test" else found


def _passage(answers: list[dict[str, Any]], split: str) -> dict[str, Any]:
    own = [{"text": a["answer"], "idx": a["idx"]["answer"], "label": a["label"]} for a in answers]
    own = [{k: v for k, v in answer.items() if split != "test" or k != "label"} for answer in own]
    asked = {"question": answers[0]["question"], "answers": own, "idx": answers[0]["idx"]["question"]}
    return {"idx": answers[0]["idx"]["paragraph"], "passage": {"text": answers[0]["passage"], "questions": [asked]}}


def _news(row: dict[str, Any], split: str) -> dict[str, Any]:
    """Every mention of an entity is a place of its own; the last character belongs to it."""
    text, places = row["passage"], []
    for name in row["entities"]:
        start = -1
        while (start := text.find(name, start + 1)) >= 0:
            places.append({"start": start, "end": start + len(name) - 1})
    asked = {"query": row["query"], "idx": row["idx"]["query"]}
    if split != "test":
        asked["answers"] = [{"text": text, "start": 0, "end": 0} for text in row["answers"]]
    return {"idx": row["idx"]["passage"], "passage": {"text": text, "entities": places}, "qas": [asked]}
