"""A model card: what an adaptation is, of what data, how well it does, and how it was made; README.md of a folder.

The facts are kept beside a delta as card.json, so that what is exported from it has a card too. The header is the
hub's: https://huggingface.co/docs/hub/model-cards.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from lm_lab.models import AdaptedModel
from lm_lab.tasks import Task, TextTask
from lm_lab.tasks.choices import ChoiceTask
from lm_lab.tasks.multi_label import MultiLabelTask
from lm_lab.tasks.sequences import SequenceTask
from lm_lab.tasks.spans import SpanTask
from lm_lab.tasks.tags import TagTask

FACTS, CARD = "card.json", "README.md"
Library = Literal["transformers", "peft", "lm_lab"]
Facts = Mapping[str, Any]
_TAGS: dict[type[Task], str] = {
    TextTask: "text-classification",
    MultiLabelTask: "text-classification",
    TagTask: "token-classification",
    SpanTask: "question-answering",
    ChoiceTask: "multiple-choice",
    SequenceTask: "text-generation",
}
_LOADED = {
    "transformers": "An ordinary folder of `transformers`: `from_pretrained` loads it, with its tokenizer.",
    "peft": "An adapter that `peft.PeftModel.from_pretrained` puts on the base model.",
    "lm_lab": "A delta: `lm_lab.models.loading.load_adaptation` loads it, `lm-lab merge` makes a plain model of it.",
}


def write_card(folder: Path, model: AdaptedModel, library: Library, facts: Facts) -> None:
    """Write README.md of a model's folder; `facts` as `read_facts` gives them."""
    (folder / CARD).write_text(card(model, library, facts), encoding="utf-8")


def read_facts(delta: Path) -> dict[str, Any]:
    """What is known of the training of the delta in a folder; nothing where it was saved from Python."""
    try:
        found = json.loads((delta / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def card(model: AdaptedModel, library: Library, facts: Facts) -> str:
    """The card as Markdown."""
    source = str(model.backbone.settings.get("source", model.backbone.kind))
    local = Path(source).exists() or source.startswith(("new:", "/", ".", "~"))
    source = Path(source).name if local else source  # a folder's path may name a person
    name = f"{Path(source).name}, {type(model.strategy).__name__}, {model.task.name}"
    lines = [
        "---",
        yaml.safe_dump(_header(model, library, None if local else source, facts), sort_keys=False).rstrip(),
        "---",
        "",
    ]
    lines += [f"# {_plain(name)}", "", _LOADED[library], "", "| | |", "|---|---|"]
    lines += [f"| {key} | {_plain(value)} |" for key, value in _rows(model, source, facts)]
    scores = [row for row in _listed(facts.get("scores")) if {"split", "metric", "value"} <= row.keys()]
    if scores:
        lines += ["", "| split | metric | score | 95% interval over examples | examples |", "|---|---|---|---|---|"]
        lines += [_score(row) for row in scores]
        lines += ["", "An interval is over the examples of this one run; another training seed varies beside it."]
    if command := facts.get("command"):
        lines += ["", "Trained with", "", "```bash", str(command).replace("```", ""), "```"]
    return "\n".join([*lines, ""])


def _header(model: AdaptedModel, library: Library, source: str | None, facts: Facts) -> dict[str, Any]:
    tag = next((tag for kind, tag in _TAGS.items() if isinstance(model.task, kind)), None)
    metrics = [metric.__name__ for metric in model.task.metrics]
    found: dict[str, Any] = {"library_name": library, "base_model": source, "pipeline_tag": tag}
    found["metrics"] = metrics
    first = [row for row in _listed(facts.get("scores")) if row.get("metric") in metrics and "value" in row]
    if tag and first:
        dataset = {"type": model.task.name, "name": model.task.name, "split": str(first[0].get("split"))}
        values = [{"type": row["metric"], "value": row["value"]} for row in first if row["split"] == first[0]["split"]]
        result = {"task": {"type": tag}, "dataset": dataset, "metrics": values}
        found["model-index"] = [{"name": f"{model.backbone.kind}-{model.task.name}", "results": [result]}]
    return {key: value for key, value in found.items() if value}


def _rows(model: AdaptedModel, source: str, facts: Facts) -> Iterable[tuple[str, Any]]:
    yield "backbone", f"{source} ({model.backbone.kind})"
    yield "strategy", type(model.strategy).__name__
    labels = f": {', '.join(model.task.labels)}" if model.task.labels else ""
    yield "task", f"{model.task.name} ({type(model.task).__name__}){labels}"
    yield (
        "reading",
        f"pooling {model.pooling}, pairs {model.pairs}" if model.task.paired else f"pooling {model.pooling}",
    )
    for key in ("data", "trained", "training", "versions", "hardware", "commit"):
        if value := facts.get(key):
            yield key, value


def _score(row: Mapping[str, Any]) -> str:
    low, high = row.get("low"), row.get("high")
    interval = f"{low:.3f} to {high:.3f}" if isinstance(low, float) and isinstance(high, float) else "–"
    return (
        f"| {_plain(row['split'])} | {_plain(row['metric'])} | {row['value']:.3f} | {interval} | {row.get('n', '')} |"
    )


def _listed(rows: Any) -> list[Mapping[str, Any]]:
    """Rows of a file that may be a stranger's."""
    found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [row for row in found if isinstance(row.get("value"), int | float)]


def _plain(value: Any) -> str:
    """One cell of a table."""
    return " ".join(str(value).replace("|", "\\|").split())
