"""What the documentation points at exists: links, files, commands, names in Python."""

import ast
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from lm_lab.commands import adapt, bench, doctor, export, import_peft, ledger, pretrain, probe, tokenizer
from lm_lab.doctor.examine import examine

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
MADE_BY_RUNS = re.compile(r"docs/images/|.*[A-Z]{2,}")  # outputs, and names that stand for the reader's own
Check = Callable[[list[str]], object]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as Python-Markdown makes them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
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


@pytest.fixture(scope="module")
def checks() -> Iterator[dict[str, Check]]:
    """For each command, a function that parses its arguments as the command would, and runs nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # lightning calls what jsonargparse renames
        patch.setattr(sys, "argv", ["lm-lab"])
        patch.chdir(ROOT)
        for cli in (adapt.AdaptCLI, pretrain.PretrainCLI):
            patch.setattr(cli, "instantiate_classes", lambda _: None)
        fragments = ("backbones/minilm_l3", "tasks/rte", "strategies/lora")
        adapting = adapt.build([f"--config=configs/{name}.yaml" for name in fragments], run=False).parser
        pretraining = pretrain.build(["--config=configs/pretraining/microworld_mlm.yaml"], run=False).parser
        yield {
            "adapt": lambda words: _lightning(adapting, {"fit", "validate", "test", "predict"}, words),
            "pretrain": lambda words: _lightning(pretraining, {"fit"}, words),
            "bench": lambda words: bench._parser().parse_args(words),
            "doctor": doctor.parse,
            "export": export.parse,
            "import": import_peft.parse,
            "ledger": ledger.parse,
            "probe": probe.parse,
            "tokenizer": tokenizer.parse,
        }


def _lightning(parser: Any, subcommands: set[str], words: list[str]) -> None:
    assert words[0] in subcommands
    rest = words[1:]
    of_a_fit = "--delta" in rest  # then model and data come from the folder
    for flag in ("--delta", "--text", "--ckpt_path"):  # which the parser of a subcommand takes
        rest, _ = adapt.take(rest, flag)
    if not of_a_fit and rest != ["--help"]:
        parser.parse_args(rest)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_parse(page: Path, checks: dict[str, Check], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    lines = "".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    for line in lines:
        words = shlex.split(line, comments=True)
        if "lm-lab" in words:
            _, command, *rest = words[words.index("lm-lab") :]
            checks[command](rest)
        elif words[:1] == ["make"]:
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
            assert len(words) == 2


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


def test_scores_in_and_out_of_domain_are_those_of_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    domains = import_module("domains")
    text = domains.PAGE.read_text()
    assert text == domains.filled(text)
    assert text.count("\n| `") == len(domains.json.loads((domains.RESULTS / "suite.json").read_text())["strategies"])


def test_objectives_are_compared_by_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    compared = import_module("compared")
    text = compared.PAGE.read_text()
    assert text == compared.filled(text)
    for path, svg in compared.drawn().items():
        assert path.read_text() == svg, path.name
        assert svg.count("<polyline") == 3, path.name
    suite = yaml.safe_load((ROOT / "benchmarks/objectives.yaml").read_text())
    shown = set(re.findall(r"^\| [`*](\w+)[`*] ", text, re.MULTILINE))
    assert shown == set(suite["backbones"])
    losses = re.findall(r"^\| `\w+` \| [\d,]+ \| ([\d.]+) \| ([\d.]+) \|", text, re.MULTILINE)
    corpora = (ROOT / "benchmarks/results").glob("*/pretraining.json")
    assert len(losses) == sum(len(json.loads(path.read_text())) for path in corpora)
    assert all(float(loss) < float(unigram) for loss, unigram in losses)  # every objective has learned
