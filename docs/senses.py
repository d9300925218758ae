"""Draw docs/images/senses.svg and write its table into docs/senses.md, of benchmarks/results/senses: `python
docs/senses.py`. A file is what `lm-lab senses --out` wrote of a backbone."""

import csv
import re
from pathlib import Path

from lm_lab.probing.senses import SenseLayer
from lm_lab.report.layer_curves import Mark, svg

ROOT = Path(__file__).parents[1]
RESULTS, PAGE, IMAGE = ROOT / "benchmarks/results/senses", ROOT / "docs/senses.md", ROOT / "docs/images/senses.svg"
NAMES = {
    "skip_gram": "skip-gram",
    "glove": "GloVe",
    "elmo": "ELMo, 2M tokens",
    "minilm": "MiniLM",
    "bert_novels": "BERT on novels",
}
PLACE = re.compile(r"(<!-- senses -->\n).*?(<!-- end -->)", re.DOTALL)
Lines = dict[str, list[SenseLayer]]


def lines(ending: str = "") -> Lines:
    """Every backbone's layers, with its random weights behind it."""
    found: Lines = {}
    for name, words in NAMES.items():
        path = RESULTS / f"{name}{ending}.csv"
        if not path.exists():
            continue
        with path.open(encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                line = words if row["weights"] == "pretrained" else f"{words}, random"
                auc, low, high = (float(row[key]) for key in ("auc", "low", "high"))
                layer = SenseLayer(int(row["layer"]), auc, low, high, int(row["lemmas"]), int(row["pairs"]))
                found.setdefault(line, []).append(layer)
    return found


def drawn() -> str:
    """The picture: static vectors, which are at chance, once."""
    marks = {name: [Mark(row.layer, row.auc, row.low, row.high) for row in rows] for name, rows in lines().items()}
    shown = [name for name in NAMES.values() if name in marks and (len(marks[name]) > 1 or name == "skip-gram")]
    controls = {name: marks[f"{name}, random"] for name in shown if len(marks[name]) > 1}
    title = "AUC of same against different senses, %"
    return svg({name: marks[name] for name in shown}, title, controls, floor=0.5)


def table() -> str:
    """A row a backbone and layer: pairs of one form, with random weights, of all forms."""
    one, every = lines(), lines("_all_forms")
    head = ["| backbone | layer | AUC, 95% interval | random weights | all forms |", "|---|---|---|---|---|"]
    for name, rows in one.items():
        if name.endswith("random"):
            continue
        for row in rows:
            control, wide = _at(one.get(f"{name}, random"), row.layer), _at(every.get(name), row.layer)
            head.append(f"| {name} | {row.layer} | {_cell(row)} | {_cell(control)} | {_cell(wide)} |")
    return "\n".join(head) + "\n"


def filled(text: str) -> str:
    """The page with its table."""
    return PLACE.sub(lambda place: place[1] + table() + place[2], text)


def _at(rows: list[SenseLayer] | None, layer: int) -> SenseLayer | None:
    return next((row for row in rows or [] if row.layer == layer), None)


def _cell(row: SenseLayer | None) -> str:
    return "" if row is None else f"{row.auc:.3f} ({row.low:.3f} to {row.high:.3f})"


def main() -> None:
    """Write both."""
    IMAGE.write_text(drawn(), encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
