"""Draw docs/images/layers_*.svg and write the tables of docs/layers.md, of benchmarks/results/layers: `python
docs/layers.py`. A file is what `lm-lab probe --task TASK --out` wrote of a backbone."""

import csv
import re
from pathlib import Path

from lm_lab.probing.word_sweep import WordLayer
from lm_lab.report.layer_curves import Curves, Mark, svg

ROOT = Path(__file__).parents[1]
RESULTS, PAGE, IMAGES = ROOT / "benchmarks/results/layers", ROOT / "docs/layers.md", ROOT / "docs/images"
NAMES = {
    "skip_gram": "skip-gram",
    "elmo": "ELMo",
    "skip_thoughts": "LSTM, skip-thoughts",
    "stories15m": "Llama, stories15M",
    "minilm": "MiniLM",
    "bert_novels": "BERT on novels",
}
TITLES = {"pos": "Parts of speech", "relations": "Labels of dependencies", "heads": "Heads"}
PLACE = re.compile(r"(<!-- layers: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def layers(task: str) -> dict[str, list[WordLayer]]:
    """Every backbone's layers."""
    found = {}
    for name, words in NAMES.items():
        path = RESULTS / f"{name}_{task}.csv"
        if path.exists():
            with path.open(encoding="utf-8") as stream:
                found[words] = [_layer(row) for row in csv.DictReader(stream)]
    return found


def drawn() -> dict[str, str]:
    """A picture a task, by the name of its file."""
    return {f"layers_{task}.svg": _drawn(layers(task), f"{title}: accuracy, %") for task, title in TITLES.items()}


def table(task: str) -> str:
    """A row a backbone and layer: score with its interval, random weights, selectivity."""
    found = layers(task)
    lines = [f"| backbone | layer | {TITLES[task].lower()} | random | selectivity |", "|---|---|---|---|---|"]
    lines += [f"| {name} | {row.layer} |{_cells(row)}" for name, rows in found.items() for row in rows]
    majority = 100 * next(iter(found.values()))[0].majority
    return "\n".join([*lines, f"| the commonest answer | – | {majority:.1f} | – | – |"]) + "\n"


def filled(text: str) -> str:
    """The page with its tables."""
    return PLACE.sub(lambda place: place[1] + table(place[2]) + place[3], text)


def _layer(row: dict[str, str]) -> WordLayer:
    values = {name: float(value) if value else None for name, value in row.items() if name != "layer"}
    return WordLayer(layer=int(row["layer"]), **values)  # type: ignore[arg-type]


def _drawn(found: dict[str, list[WordLayer]], title: str) -> str:
    curves: Curves = {
        name: [Mark(row.layer, row.score, row.low, row.high) for row in rows] for name, rows in found.items()
    }
    controls = {
        name: [Mark(row.layer, *[row.random] * 3) for row in rows if row.random is not None]
        for name, rows in found.items()
        if len(rows) > 1 and rows[0].random is not None
    }
    return svg(curves, title, controls)


def _cells(row: WordLayer) -> str:
    random = "–" if row.random is None else f"{100 * row.random:.1f}"
    score, low, high = (100 * value for value in (row.score, row.low, row.high))
    return f" {score:.1f} ({low:.1f} to {high:.1f}) | {random} | {100 * row.selectivity:.1f} |"


def main() -> None:
    """Write all."""
    for name, picture in drawn().items():
        (IMAGES / name).write_text(picture, encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
