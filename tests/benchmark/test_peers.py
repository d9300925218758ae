"""`benchmarks/peers/compare.py` from end to end, with a tiny model and few of everything."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # most of a minute
ROOT = Path(__file__).parents[2]


def test_a_comparison_leaves_a_table_and_a_record(folders, tmp_path):
    script, out = ROOT / "benchmarks/peers/compare.py", tmp_path / "peers.json"
    options = ["--tiny", "--data", "microworld", "--source", str(folders["bert"]), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, check=False, env=environment
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(out.read_text())
    assert [row["part"] for row in found["rows"]] == ["step"] * 6 + ["run"] * 6 + ["grid"]
    grid = found["rows"][-1]
    assert (grid["ours"]["cells"], grid["ours"]["whole"]) == (3 * 4, 3 * 4)
    assert grid["raced"]["cells"] == 3 * 4 + grid["raced"]["whole"]
    assert all(row["ratio"][0] > 0 for row in found["rows"])
    for side in ("ours", "theirs"):  # the same number of steps, and scores that are accuracies
        assert {row[side]["steps"] for row in found["rows"] if row["part"] == "run"} == {4}
        assert all(0 <= row["scores"][side] <= 1 for row in found["rows"] if row["part"] == "run")
    assert ran.stdout.splitlines()[-1].startswith("grid")
