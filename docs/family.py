"""Write what the family's models cost and know untrained into docs/family.md, of benchmarks/results/family: `python
docs/family.py`. `pretraining.json` there holds what is known of each model, `scores/MODEL-TASK.csv` what `lm-lab score`
wrote; the adapted scores are written by `python docs/compared.py`."""

import csv
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks/results/family", ROOT / "docs/family.md"
NAMES = {
    "skip_gram": "skip-gram, 128",
    "lstm": "LSTM, left to right",
    "elmo": "ELMo",
    "gpt": "GPT-2",
    "bert": "BERT",
    "t5": "T5, span corruption",
}
PLACE = re.compile(r"(<!-- family: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def models() -> str:
    """A row a model: parameters, tokens, operations, seconds, loss beside that of guessing by frequency."""
    known: dict[str, Any] = json.loads((RESULTS / "pretraining.json").read_text(encoding="utf-8"))
    lines = ["| | parameters | tokens | operations | seconds | loss | by frequency |", "|---|---|---|---|---|---|---|"]
    for name, words in NAMES.items():
        facts = known[name]
        operations = facts.get("floating point operations")
        cells = [
            f"{facts['parameters'] / 1e6:.2f}M",
            f"{facts['tokens'] / 1e6:.2f}M",
            f"{operations / 1e12:.1f}T" if operations else "–",
            f"{facts['seconds of training']:,.0f}",
            *(f"{facts[key]:.2f}" if key in facts else "–" for key in ("val/loss", "val/unigram")),
        ]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def untrained() -> str:
    """A row a model: minimal pairs, last words, the best layer's agreement on STS-B."""
    lines = ["| | BLiMP | LAMBADA: right | perplexity | STS-B, best layer |", "|---|---|---|---|---|"]
    for name, words in NAMES.items():
        pairs = next((row for row in _rows(name, "blimp") if row["name"] == "all"), None)
        last = next(iter(_rows(name, "lambada")), None)
        best = max(_rows(name, "sts"), key=lambda row: float(row["spearman"]))
        cells = [
            _interval(pairs, "accuracy") if pairs else "–",
            *((f"{100 * float(last['accuracy']):.1f}", f"{float(last['perplexity']):,.0f}") if last else ("–", "–")),
            f"{_interval(best, 'spearman')}, layer {best['layer']}",
        ]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def filled(text: str) -> str:
    """The page with its tables."""
    tables = {"models": models, "untrained": untrained}
    return PLACE.sub(lambda place: place[1] + tables[place[2]]() + place[3], text)


def _rows(name: str, task: str) -> list[dict[str, str]]:
    path = RESULTS / "scores" / f"{name}-{task}.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _interval(row: dict[str, str], score: str) -> str:
    value, low, high = (100 * float(row[key]) for key in (score, "low", "high"))
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
