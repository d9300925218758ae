"""What the documentation points at exists: links, files, commands, names in Python."""

import ast
import inspect
import json
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from pages import PAGES, ROOT, blocks, fenced, named, prose

from lm_lab.data import microworld
from lm_lab.doctor.examine import examine
from lm_lab.objectives.base import Objective
from lm_lab.strategies import AdaptationStrategy, FullFineTuning, WeightedFeatures

MADE_BY_RUNS = re.compile(r"docs/images/|.*[A-Z]{2,}")  # outputs, and names that stand for the reader's own


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as Python-Markdown makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_inside_the_project_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.is_file(), f"{target}: no such file"
        assert not anchor or anchor in anchors(found), f"{target}: no such heading; there are {sorted(anchors(found))}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_that_are_named_exist(page: Path) -> None:
    named_files = re.findall(r"(?<![\w/.])(?:configs|benchmarks|lm_lab|tests|docs)/[\w./-]*\w/?", page.read_text())
    missing = [name for name in named_files if not MADE_BY_RUNS.match(name) and not (ROOT / name).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_targets_of_make_exist(page: Path) -> None:
    targets = re.findall(r"^make (.+)$", "".join(blocks(page, "bash")), re.MULTILINE)
    assert [
        name for name in targets if not re.search(rf"^{name}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_stand_in_blocks_that_are_tried(page: Path) -> None:
    """Not indented, nor in a block of no language; tests/docs runs those in blocks of bash."""
    others = [prose(page), *(content for language, content in fenced(page) if language != "bash")]
    assert re.findall(r"^\s*(?:lm-lab|python \S+\.py) .*", "\n".join(others), re.MULTILINE) == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_uses_names_that_exist(page: Path) -> None:
    for source in blocks(page, "python"):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert all(hasattr(import_module(node.module), alias.name) for alias in node.names), ast.unparse(node)


def test_the_strategy_of_the_extending_page_works(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    source = next(source for source in blocks(ROOT / "docs/extending.md", "python") if "inject" in source)
    module = ModuleType("my_package")
    monkeypatch.setitem(sys.modules, "my_package", module)
    exec(source, vars(module))
    results = examine(make("bert"), "SublayerShift", module.SublayerShift())
    assert [f"{result.check}: {result.detail}" for result in results if not result.ok or result.refused] == []


def test_the_backbone_of_the_extending_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = next(source for source in blocks(ROOT / "docs/extending.md", "python") if "(Backbone)" in source)
    module = ModuleType("my_package")
    monkeypatch.setitem(sys.modules, "my_package", module)
    exec(source, vars(module))
    tokenizer = microworld.tokenizer()
    tokenizer.save_pretrained(tmp_path)
    torch.save(torch.randn(len(tokenizer), 8), tmp_path / "vectors.pt")
    for strategy in (FullFineTuning(), WeightedFeatures()):
        results = examine(module.StaticVectors(str(tmp_path)), type(strategy).__name__, strategy)
        assert [f"{result.check}: {result.detail}" for result in results if not result.ok or result.refused] == []


def test_the_pictures_are_those_their_script_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    pictures = import_module("pictures")
    drawn = {name: pictures.svg(picture) for name, picture in pictures.PICTURES.items()}
    assert {path.stem: path.read_text() for path in pictures.OUT.glob("*.svg")} == drawn


def test_measured_scores_are_those_of_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    measured = import_module("measured")
    found, named = measured.scores(), set[str]()
    for page in measured.PAGES:
        text = page.read_text()
        assert text == measured.filled(text, found), page.name
        named.update(name for place in measured.PLACE.finditer(text) for name in place[2].split())
    assert named == set(found)


def test_lists_of_strategies_are_what_the_classes_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    listed = import_module("listed")
    for page in (*listed.PAGES, *listed.LISTS):
        text = page.read_text()
        assert text == listed.filled(text), page.name
    assert set(listed.pages().values()) == set(listed.PAGES)
    fragments = [listed.built(yaml.safe_load(path.read_text())["model"]["strategy"]) for path in listed.FRAGMENTS]
    assert {type(strategy) for strategy in fragments} == set(listed.KINDS)
    for kind in listed.KINDS:  # a paper of its own, not that of the file it builds upon
        assert any("paper" in vars(base) for base in kind.__mro__ if base.__module__ == kind.__module__), kind
        assert listed.summary(kind), kind


def test_tables_of_settings_are_what_the_classes_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    arguments = import_module("arguments")
    named: list[str] = []
    for page in arguments.PAGES:
        text = page.read_text()
        assert text == arguments.filled(text), page.name
        named += [name for place in arguments.NAMED.finditer(text) for name in place[2].split()]
    assert len(set(named)) == len(named)
    for home, base in (("strategies", AdaptationStrategy), ("objectives", Objective)):
        module = import_module(f"lm_lab.{home}")
        kinds = [kind for kind in vars(module).values() if inspect.isclass(kind) and issubclass(kind, base)]
        known = {f"{home}.{kind.__name__}" for kind in kinds if not inspect.isabstract(kind)}
        assert {name for name in known if list(arguments.rows(arguments.kind_of(name)))} <= set(named)
    assert {"data.modules.base.TaskData", "data.OwnTexts", "data.SQuAD", "data.Sequences"} <= set(named)


def test_scores_in_and_out_of_domain_are_those_of_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    domains = import_module("domains")
    text = domains.PAGE.read_text()
    assert text == domains.filled(text)
    table = domains.PLACE.search(text)[0]
    assert table.count("\n| `") == len(domains.json.loads((domains.RESULTS / "suite.json").read_text())["strategies"])


def test_senses_are_those_of_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    senses = import_module("senses")
    text = senses.PAGE.read_text()
    assert text == senses.filled(text)
    assert senses.IMAGE.read_text() == senses.drawn()
    assert text.count("| skip-gram | 0 | 0.500 (0.500 to 0.500) |") == 1


def test_layers_are_those_of_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    layers = import_module("layers")
    text = layers.PAGE.read_text()
    assert text == layers.filled(text)
    for name, svg in layers.drawn().items():
        assert (layers.IMAGES / name).read_text() == svg, name
        assert svg.count("<polyline") == 2 * len(layers.NAMES) - 1  # static vectors have no layers, and no dotted line
    assert text.count("| skip-gram | 0 | 81.2 (79.2 to 83.3) | 61.3 | 21.8 |") == 1


def test_objectives_are_compared_by_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    compared = import_module("compared")
    for page in compared.PAGES:
        assert page.read_text() == compared.filled(page.read_text()), page.name
        assert "<!-- scores: " in page.read_text()
    text = compared.PAGES[0].read_text()
    for path, svg in compared.drawn().items():
        assert path.read_text() == svg, path.name
        assert svg.count("<polyline") == 3, path.name
    suite = yaml.safe_load((ROOT / "benchmarks/objectives.yaml").read_text())
    budgets = yaml.safe_load((ROOT / "benchmarks/budgets.yaml").read_text())
    shown = set(re.findall(r"^\| [`*](\w+)[`*] ", text, re.MULTILINE))
    assert shown == {*suite["backbones"], *budgets["backbones"]}
    corpora = sorted((ROOT / "benchmarks/results").glob("*/pretraining.json"))
    tables = "".join(compared.losses(path.parent.name) for path in corpora)
    losses = re.findall(r"^\| `\w+` \| [\d,]+ \| ([\d.]+) \| ([\d.]+) \|", tables, re.MULTILINE)
    assert len(losses) == sum(len(json.loads(path.read_text())) for path in corpora)
    assert all(float(loss) < float(unigram) for loss, unigram in losses)  # every objective has learned


def test_the_curve_of_budgets_is_of_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    budgets, measured = import_module("budgets"), import_module("measured")
    svg = budgets.drawn(measured.rows(budgets.RESULTS))
    assert budgets.IMAGE.read_text() == svg
    assert svg.count("<polyline") == len(budgets.TASKS) * len(budgets.STRATEGIES) * len(budgets.SIZES)


def test_the_reference_names_every_strategy_and_objective() -> None:
    named = re.findall(r"^::: (\S+)$", (ROOT / "docs/reference.md").read_text(), re.MULTILINE)
    found = {path: _named(path) for path in named}
    for package in ("lm_lab.strategies", "lm_lab.objectives"):
        module = import_module(package)
        missing = [name for name in module.__all__ if getattr(module, name) not in found.values()]
        assert not [name for name in missing if isinstance(getattr(module, name), type)], package


def _named(path: str) -> object:
    """The object of a dotted path. Raises ImportError or AttributeError where there is none."""
    module, _, name = path.rpartition(".")
    return import_module(path) if path == "lm_lab.metrics.uncertainty" else getattr(import_module(module), name)


def test_the_gallery_has_every_recorded_picture() -> None:
    images = ROOT / "docs/images"
    text = (ROOT / "docs/gallery.md").read_text()
    recorded = [path for path in images.rglob("*.svg") if path.parent.name != "strategies"]  # those are drawn by hand
    assert {path.relative_to(ROOT / "docs").as_posix() for path in recorded} == set(
        re.findall(r"images/[\w/]+\.svg", text)
    )
