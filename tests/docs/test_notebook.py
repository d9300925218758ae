"""The notebook runs, cell after cell, and shows what it gave."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


def code_cells(notebook: Path) -> list[dict[str, Any]]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_run_in_order(notebook: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    """In a checkout whose backbone is a tiny one with random weights, on few rows; displayed values are printed."""
    for name in ("configs", "benchmarks", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/microworld-bert").symlink_to(folders["bert"])
    sources = ["".join(cell["source"]) for cell in code_cells(notebook)]
    assert any("1500" in source for source in sources)
    sources = [source.replace("1500", "160").replace("200", "40") for source in sources]  # rows: seconds, no minute
    script = "\n".join(f"exec(compile({source!r}, 'cell {n}', 'exec'), globals())" for n, source in enumerate(sources))
    more = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", script + "\nprint(points.to_csv(index=False))"]
    ran = subprocess.run(
        command, cwd=tmp_path, env=os.environ | more, capture_output=True, text=True, timeout=600, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert {line.split(",")[1] for line in ran.stdout.splitlines() if line.startswith("bert,")} >= {"lora", "full"}
    assert (tmp_path / "runs/notebook/results/report/index.html").is_file()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_was_run_from_top_to_bottom(notebook: Path) -> None:
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert any("image/svg+xml" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output["output_type"] == "error"]
