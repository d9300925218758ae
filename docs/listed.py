"""Write the lists of strategies from what their classes say of themselves: `python docs/listed.py`.

A page of docs/strategies names its classes, `<!-- strategy: HoulsbyAdapter PfeifferAdapter -->`, up to `<!-- end -->`:
papers and code stand there. docs/strategies/index.md has a row for each fragment of configs/strategies, with what it
costs on BERT-base (`lm-lab ledger`), and the learning rates; README.md and the navigation of mkdocs.yml have a link to
each page, in the order of the groups.
"""

import inspect
import re
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from transformers import BertConfig

from lm_lab import strategies
from lm_lab.doctor.examples import EXAMPLES
from lm_lab.models.ledger import full_ledger
from lm_lab.strategies import AdaptationStrategy
from lm_lab.strategies.about import GROUPS
from lm_lab.tasks import glue_task

ROOT = Path(__file__).parents[1]
PAGES = [page for page in sorted((ROOT / "docs/strategies").glob("*.md")) if page.stem != "index"]
LISTS = [ROOT / "README.md", ROOT / "mkdocs.yml", ROOT / "docs/strategies/index.md"]
FRAGMENTS = sorted((ROOT / "configs/strategies").glob("*.yaml"))
NAMED = re.compile(r"(<!-- strategy: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
PLACE = re.compile(r"(<!-- (costs|rates|links) -->\n?).*?(<!-- end -->)", re.DOTALL)
NAV = re.compile(r"(# from docs/listed\.py\n)().*?( *# end\n)", re.DOTALL)
KINDS = list(dict.fromkeys(type(example) for example in EXAMPLES.values()))  # in the doctor's order
Kind = type[AdaptationStrategy]


@cache
def pages() -> dict[Kind, Path]:
    """Class -> the page that names it, in the order of the groups."""
    found = {name: page for page in PAGES for place in NAMED.finditer(page.read_text()) for name in place[2].split()}
    return {kind: found[kind.__name__] for kind in sorted(KINDS, key=_group)}


def _group(kind: Kind) -> int:
    assert kind.group, f"{kind.__name__} says no group"
    return GROUPS.index(kind.group)


def title(page: Path) -> str:
    """The heading of a page."""
    return page.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")


def sources(names: Iterable[str]) -> str:
    """Papers and code of the classes of a page."""
    kinds: list[Kind] = [getattr(strategies, name) for name in names]
    papers = [paper for kind in kinds if (paper := kind.paper)]
    cited = [f"{paper.authors} {paper.year}, [{paper.title}]({paper.url})" for paper in dict.fromkeys(papers)]
    code = dict.fromkeys(f"`{kind.__module__.replace('.', '/')}.py`" for kind in kinds)
    return f"{'; '.join(cited)}. Code: {', '.join(code)}.\n"


def links() -> str:
    """Links from the README, a group after another."""
    groups: dict[str, dict[Path, None]] = {}
    for kind, page in pages().items():
        groups.setdefault(str(kind.group), {})[page] = None
    linked = {name: ", ".join(f"[{title(p)}]({p.relative_to(ROOT)})" for p in found) for name, found in groups.items()}
    return "; ".join(f"{name}: {found}" for name, found in linked.items())


def navigation() -> str:
    """Entries of mkdocs.yml."""
    entries = dict.fromkeys(pages().values())
    return "".join(f"      - {title(page)}: strategies/{page.name}\n" for page in entries)


def costs() -> str:
    """A row a fragment, cheapest first."""
    head = (
        "| strategy | configuration | what it is | BERT-base, head apart | operations at inference | "
        "one more task stores |\n|---|---|---|---|---|---|\n"
    )
    return head + "".join(row for _, row in sorted(_cost_rows(), key=lambda each: each[0]))


def _cost_rows() -> Iterator[tuple[float, str]]:
    with tempfile.TemporaryDirectory() as base:
        BertConfig().save_pretrained(base)
        for path in FRAGMENTS:
            strategy = built(yaml.safe_load(path.read_text())["model"]["strategy"])
            kind, spent = type(strategy), full_ledger(base, strategy, glue_task("sst2"), 1)
            count = spent["backbone_trained"] + spent["added"]
            name = f"[{kind.__name__}]({pages()[kind].name}){_size(strategy)}"
            cells = (name, f"`{path.stem}`", summary(kind), f"{count:,.0f}", _operations(spent), _size_of(spent))
            yield count, f"| {' | '.join(cells)} |\n"


def built(spec: Any) -> Any:
    """A strategy from its fragment, and those inside it."""
    if isinstance(spec, list):
        return [built(item) for item in spec]
    if not (isinstance(spec, dict) and "class_path" in spec):
        return spec
    settings = {name: built(value) for name, value in spec.get("init_args", {}).items()}
    return getattr(strategies, spec["class_path"])(**settings)


def summary(kind: Kind) -> str:
    """The first sentence of the docstring."""
    first = (inspect.getdoc(kind) or "").split("\n", 1)[0]
    return first.split(". ")[0].rstrip(".")


def _size(strategy: AdaptationStrategy) -> str:
    """The first setting that is a count, such as a rank."""
    settings = vars(strategy).items()
    return next((f", {name} {value}" for name, value in settings if type(value) is int and value > 0), "")


def _operations(spent: dict[str, float]) -> str:
    ratio, merged = (f"{spent[name]:.4g}" for name in ("inference_flops_ratio", "merged_flops_ratio"))
    return ratio if ratio == merged else f"{ratio}, merged {merged}"


def _size_of(spent: dict[str, float]) -> str:
    size = spent["delta_bytes"]
    return f"{size / 1e3:.0f} kB" if size < 1e5 else f"{size / 1e6:.{int(size < 1e7)}f} MB"


def rates() -> str:
    """A row for all classes of one default and grid."""
    found: dict[tuple[float, ...], list[str]] = {}
    for kind in pages():
        found.setdefault((kind.learning_rate, *kind.learning_rates), []).append(kind.__name__)
    rows = (
        f"| {', '.join(names)} | {_rate(default)} | {', '.join(map(_rate, grid))} |\n"
        for (default, *grid), names in found.items()
    )
    return "| strategy | default | grid |\n|---|---|---|\n" + "".join(rows)


def _rate(value: float) -> str:
    return f"{value:.0e}".replace("e-0", "e-")


def filled(text: str) -> str:
    """A page with its lists as the classes have them."""
    text = NAMED.sub(lambda place: place[1] + sources(place[2].split()) + place[3], text)
    text = NAV.sub(lambda place: place[1] + navigation() + place[3], text)
    lists = {"costs": costs, "rates": rates, "links": links}
    return PLACE.sub(lambda place: place[1] + lists[place[2]]() + place[3], text)


if __name__ == "__main__":
    for path in (*PAGES, *LISTS):
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
