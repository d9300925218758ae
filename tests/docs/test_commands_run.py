"""Every command and every example of every page runs, in the order of the page, as a reader would run it.

A page has a folder of its own, with the project's configurations and suites made small (`small.py`), data and weights
under the names that the docs give (`made_data.py`), and what a reader is taken to have (`reader.py`).
"""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_data import make_data, make_weights
from pages import PAGES, ROOT, blocks, commands, fenced, named
from reader import ADDED, BEFORE, NAMES, NOT_RUN, SLOW, VALUES, give
from small import copy_small

from lm_lab.benchmark.preflight import check_settings
from lm_lab.benchmark.suite import load_suite
from lm_lab.cli import main
from lm_lab.config import adapting
from lm_lab.config.imports import restrict

pytestmark = pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*")  # of three batches
RUN = [page for page in PAGES if {"bash", "python", "yaml"} & {language for language, _ in fenced(page)}]
# what a command says that it wrote; `--text` and the rest print what was asked for
_WRITTEN = re.compile(r"^(?:delta|backbone|predictions|tokenizer|adapter|model|report): ([^\s:,]+)", re.MULTILINE)
_WRITES = re.compile(r"(adapt|pretrain) fit|tokenizer|export|merge|import|bench (run|report)|adapt predict(?!.*--text)")


def found(pattern: str, page: Path) -> bool:
    """Whether a page has a command that fits."""
    return any(re.search(pattern, command) for block in blocks(page, "bash") for command in commands(block))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, weights, configurations and suites, all small; results of suites are shared between pages."""
    root = tmp_path_factory.mktemp("project")
    make_data(root / "data")
    make_weights(root / "weights")
    copy_small(root)
    (root / "results").mkdir()
    return root


@pytest.fixture
def folder(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the blocks of one page run."""
    monkeypatch.setenv("LM_LAB_DATA", str(project / "data"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # Lightning's own use of jsonargparse
    monkeypatch.setattr("sys.argv", ["lm-lab"])  # Lightning warns if pytest's own arguments are there too
    monkeypatch.setenv("LM_LAB_CACHE", str(project / "cache"))  # as on one computer
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("configs", "benchmarks"):
        Path(name).symlink_to(project / name)
    give(tmp_path)
    yield tmp_path
    restrict()


@pytest.mark.parametrize("page", RUN, ids=named)
def test_what_stands_on_a_page_runs(page: Path, folder: Path) -> None:
    read_through(page, {**NOT_RUN, **SLOW})


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in RUN if any(found(words, page) for words in SLOW)], ids=named)
def test_what_takes_longer_runs_too(page: Path, folder: Path) -> None:
    read_through(page, NOT_RUN)


def read_through(page: Path, left_out: Collection[str]) -> None:
    """Run the blocks of a page in their order, in one place, but for some commands."""
    names: dict[str, Any] = {}
    for command in BEFORE.get(named(page), []):
        run(command)
    exec(VALUES.get(named(page), ""), names)
    for language, content in fenced(page):
        if language == "python":
            exec(compile(content, named(page), "exec"), names)
        elif language == "yaml":
            build(content)
        elif language == "bash":
            for command in commands(content):
                if not any(re.search(pattern, command) for pattern in left_out):
                    run(command)


def build(settings: str) -> None:
    """Build what a block of settings describes: a suite's cells, or with the usual fragments a model and its data."""
    if settings.startswith("axes:"):  # of the suite above it
        settings = Path("settings.yaml").read_text() + settings
    Path("settings.yaml").write_text(settings)
    if "strategies:" in settings:
        check_settings(load_suite("settings.yaml"))
        return
    fragments = ("backbones/minilm_l3", "tasks/rte", "strategies/lora")
    adapting.build([*(f"--config=configs/{name}.yaml" for name in fragments), "--config=settings.yaml"], run=False)


def run(command: str) -> None:
    """Run a command, which must end well and have written what it is for."""
    for pattern, own in NAMES.items():
        command = re.sub(pattern, own, command)
    if suite := re.search(r"bench run benchmarks/(\w+).yaml --out (\S+)", command):
        share(suite[1], Path(suite[2]))
    command += "".join(f" {words}" for pattern, words in ADDED.items() if re.search(pattern, command))
    code, said = ended(command)
    assert code == 0, f"{command}\n{said}"
    assert said.strip() or not command.startswith("lm-lab"), f"{command} says nothing"
    written = _WRITTEN.findall(said)
    assert written or not re.search(rf"lm-lab ({_WRITES.pattern})", command), f"{command} has written nothing:\n{said}"
    for path in [*written, *re.findall(r"(?:--out|--save\.output|>) (\S+)", command)]:
        assert any(Path(path).iterdir()) if Path(path).is_dir() else Path(path).stat().st_size, f"{command}: {path}"


def ended(command: str) -> tuple[int, str]:
    """Exit code and output: of `lm-lab` in this process, unless it starts others; of all else in a shell."""
    first, *words = shlex.split(command)
    if first != "lm-lab" or "--trainer.devices" in words:
        command = re.sub("^lm-lab", f"{sys.executable} -m lm_lab", command)
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(words)
    return code, said.getvalue()


def share(suite: str, out: Path) -> None:
    """Let a suite that ran for another page go on from its results, as `bench run` does: what is done runs once."""
    results = Path("benchmarks").resolve().parent / "results" / suite
    results.mkdir(exist_ok=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.symlink_to(results)


@pytest.mark.parametrize("pattern", [*NOT_RUN, *SLOW, *ADDED, *NAMES])
def test_every_exception_is_of_a_command_that_is_there(pattern: str) -> None:
    assert any(found(pattern, page) for page in RUN)


def test_every_page_for_which_something_is_given_is_there() -> None:
    assert set(BEFORE) | set(VALUES) <= set(map(named, RUN))
