"""The shipped sweep: W&B reads it, and what its agent runs is a run of the sweep."""

import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from offline_runs import config, curves, logged, of_kind
from wandb.sdk.launch.sweeps.utils import load_sweep_config
from wandb.wandb_agent import Agent

ROOT = Path(__file__).parents[2]
SWEEP = ROOT / "benchmarks" / "sweeps" / "lora.yaml"


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """W&B's agent without its server, in a folder with the project's configurations."""
    program = tmp_path / "bin" / "lm-lab"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport sys\nfrom lm_lab.cli import main\nsys.exit(main())\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # beside those set here, the agent sets WANDB_RUN_ID and WANDB_SWEEP_PARAM_PATH for its processes
    for name, value in {
        "SWEEP_ID": "s1",
        "MODE": "offline",
        "DIR": str(tmp_path),
        "RUN_ID": "",
        "SWEEP_PARAM_PATH": "",
    }.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    return SimpleNamespace(
        _in_jupyter=False, _function=None, _forward_signals=False, _run_processes={},
        _sweep_command=yaml.safe_load(SWEEP.read_text())["command"],
    )  # fmt: skip


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)  # W&B's reader
def test_wandb_reads_the_file() -> None:
    read = load_sweep_config(str(SWEEP))
    assert read is not None
    assert read["metric"] == {"name": "validation/score", "goal": "maximize"}
    assert {"program", "method", "parameters", "command"} <= set(read)


def test_what_the_agent_runs_is_a_run_of_the_sweep(agent: Any, folders: dict[str, Path]) -> None:
    given = {"model.learning_rate": 0.003, "model.strategy.rank": 2, "seed_everything": 1}
    assert set(given) == set(yaml.safe_load(SWEEP.read_text())["parameters"])
    small = {
        "model.backbone.source": str(folders["bert"]), "data.source": "microworld", "data.train_limit": 64,
        "data.validation_limit": 16, "trainer.max_epochs": 1, "trainer.accelerator": "cpu",
    }  # fmt: skip
    command = {"run_id": "r1", "program": "lm-lab", "args": {name: {"value": v} for name, v in (given | small).items()}}
    Agent._command_run(agent, command)
    assert agent._run_processes["r1"].wait() == 0
    lines = logged(Path("runs/wandb"))
    (run,) = of_kind(lines, "run")[:1]
    assert (run["sweep_id"], run["run_id"]) == ("s1", "r1")
    assert config(lines)["model"]["learning_rate"] == 0.003
    assert config(lines)["model"]["strategy"]["init_args"]["rank"] == 2
    assert config(lines)["seed_everything"] == 1
    assert len(curves(lines)["validation/score"]) == 1
