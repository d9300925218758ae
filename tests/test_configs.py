"""Every fragment in configs/ fits the command line, says how it is used, and composes; every suite loads."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from lm_lab.backbones.loading import load_config
from lm_lab.benchmark.suite import load_suite
from lm_lab.commands import pretrain
from lm_lab.config import adapting
from lm_lab.data.modules.tags import PLACES as TAGGED
from lm_lab.tasks import TASKS

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
FRAGMENTS = sorted(path for path in CONFIGS.rglob("*.yaml") if path.parent.name != "pretraining")
SUITES = sorted((ROOT / "benchmarks").glob("*.yaml"))
BACKBONE, TASK, STRATEGY = (
    CONFIGS / name for name in ("backbones/minilm_l3.yaml", "tasks/rte.yaml", "strategies/lora.yaml")
)
Parse = Callable[..., dict[str, Any]]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def parser() -> Iterator[Any]:
    """The parser of `lm-lab adapt`, without building what it describes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # lightning calls what jsonargparse renames
        patch.setattr(sys, "argv", ["lm-lab"])
        patch.setattr(adapting.AdaptCLI, "instantiate_classes", lambda _: None)
        yield adapting.build([f"--config={path}" for path in (BACKBONE, TASK, STRATEGY)], run=False).parser


@pytest.fixture(scope="module")
def parse(parser: Any) -> Parse:
    """What `--config A --config B` resolves to."""

    def resolved(*paths: Path) -> dict[str, Any]:
        config = parser.parse_args([f"--config={path}" for path in paths]).as_dict()
        return {key: value for key, value in config.items() if key != "config"}

    return resolved


@pytest.mark.parametrize("path", FRAGMENTS, ids=named)
def test_every_fragment_parses_and_keeps_what_it_says(path: Path, parse: Parse) -> None:
    config = parse(BACKBONE, TASK, STRATEGY, path)
    assert list(differences(yaml.safe_load(path.read_text()), config)) == []


@pytest.mark.parametrize("path", FRAGMENTS, ids=named)
def test_the_first_line_is_a_command_that_uses_the_fragment(path: Path) -> None:
    first, second, *_ = path.read_text().split("\n")
    assert first.startswith("# lm-lab adapt ")
    assert second.startswith("# ")
    used = re.findall(r"--config (\S+)", first)
    assert named(path) in used
    assert all((ROOT / name).is_file() for name in used)


@pytest.mark.parametrize(("form", "tasks"), [("GLUE", TASKS), ("TokenClassification", TAGGED)])
def test_every_task_has_a_fragment(form: str, tasks: Mapping[str, Any]) -> None:
    data = {path.stem: yaml.safe_load(path.read_text())["data"] for path in (CONFIGS / "tasks").glob("*.yaml")}
    assert {name for name, of_a_task in data.items() if of_a_task["class_path"] == form} == set(tasks)


def test_the_order_of_fragments_of_different_kinds_does_not_matter(parse: Parse) -> None:
    extra = (CONFIGS / "schedules/cosine.yaml", CONFIGS / "trainer/bf16.yaml", CONFIGS / "optimizers/bert_adam.yaml")
    paths = (BACKBONE, TASK, STRATEGY, *extra)
    forwards, backwards = (parse(*order) for order in (paths, paths[::-1]))
    assert forwards == backwards
    assert forwards["trainer"]["precision"] == "bf16-mixed"
    assert forwards["model"]["optimizer"]["init_args"]["eps"] == 1e-6
    assert forwards["model"]["scheduler"]["class_path"].endswith("WarmupCosine")
    assert forwards["data"]["init_args"]["task"] == "rte"


def test_a_later_strategy_replaces_an_earlier_one(parse: Parse) -> None:
    strategies = sorted((CONFIGS / "strategies").glob("*.yaml"))
    for first, second in product(strategies, strategies):
        alone, after = (parse(BACKBONE, TASK, *paths)["model"]["strategy"] for paths in ((second,), (first, second)))
        assert {"init_args": {}} | after == {"init_args": {}} | alone, f"{second.stem} after {first.stem}"


@pytest.mark.parametrize("path", sorted((CONFIGS / "pretraining").glob("*.yaml")), ids=named)
def test_every_pretraining_parses_and_its_backbone_is_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    monkeypatch.setattr(sys, "argv", ["lm-lab"])
    monkeypatch.setattr(pretrain.PretrainCLI, "instantiate_classes", lambda _: None)
    parser = pretrain.build([f"--config={path}"], run=False).parser
    said = yaml.safe_load(path.read_text())
    assert list(differences(said, parser.parse_args([f"--config={path}"]).as_dict())) == []
    assert path.read_text().startswith(f"# lm-lab pretrain fit --config {named(path)}\n")
    backbone = said["model"]["backbone"]
    source = backbone.get("init_args", backbone)["source"]
    if source.startswith("runs/"):  # another of these makes it
        others = {yaml.safe_load(other.read_text())["save"]["output"] for other in path.parent.glob("*.yaml")}
        assert source in others | set(re.findall(r"^# lm-lab tokenizer .*--out (\S+)", path.read_text(), re.MULTILINE))
    else:
        assert load_config(source if source.startswith("new:") else str(ROOT / source)).model_type


@pytest.mark.parametrize("path", SUITES, ids=named)
def test_every_suite_loads_and_its_cells_parse(path: Path, parser: Any) -> None:
    suite = load_suite(path)
    for setting in suite.settings():
        size, tuned = suite.sizes(setting)[0], suite.tuned(setting)[0]
        parser.parse_object(suite.config(suite.cell(setting, size, tuned, seed=0)))


def differences(said: Any, found: Any, where: str = "") -> Iterator[str]:
    """Where `found` is not what `said` says; short forms may have become whole ones."""
    if isinstance(said, Mapping):
        if "class_path" in found and "class_path" not in said:
            found = found["init_args"]
        for key, value in said.items():
            yield from differences(value, found[key], f"{where}.{key}")
    elif isinstance(said, list) and any(isinstance(item, Mapping) for item in said):
        for number, (item, other) in enumerate(zip(said, found, strict=True)):
            yield from differences(item, other, f"{where}[{number}]")
    elif where.endswith(".class_path"):
        if found.rsplit(".", 1)[-1] != said.rsplit(".", 1)[-1]:
            yield f"{where}: {said} became {found}"
    elif list(found) != said if isinstance(said, list) else found != said:
        yield f"{where}: {said} became {found}"
