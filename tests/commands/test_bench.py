"""`lm-lab bench` from suite to page, in this process."""

import contextlib
import io
import json
import shutil

import pytest
from suites import STRATEGIES, write_suite

from lm_lab.cli import main
from lm_lab.commands.bench import default_workers


@pytest.fixture(scope="module")
def run_once(tmp_path_factory, folders):
    """The folder of a finished suite, with `suite.yaml` and `out`, and what the command said."""
    root, said = tmp_path_factory.mktemp("ran"), io.StringIO()
    strategies = {"probe": STRATEGIES["probe"], "full": STRATEGIES["full"]}
    suite = write_suite(root / "suite.yaml", folders["bert"], strategies=strategies)
    with contextlib.chdir(root), contextlib.redirect_stdout(said):
        assert main(["bench", "run", str(suite), "--out", "out", "--workers", "0"]) == 0
    return root, said.getvalue()


@pytest.fixture
def ran(run_once, tmp_path):
    """The same in the test's own folder."""
    root, shown = run_once
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    return tmp_path / "out", shown


def test_a_suite_ends_with_a_table_a_page_and_offline_runs(ran):
    root, shown = ran
    assert "8 cells; 1 at a time" in shown
    assert shown.splitlines()[-1] == "8 of 8 cells done"
    assert "W&B: 9 offline runs in out/wandb; this uploads them: lm-lab track sync out" in shown
    assert "[8/8]" in shown
    assert "report: out/report/index.html" in shown
    assert all(name in shown for name in ("probe, at_layer 0", "probe, at_layer 2", "full"))
    assert (root / "report" / "index.html").stat().st_size > 1_000_000  # Plotly is inside
    assert {"results.csv", "cells.csv"} <= {path.name for path in (root / "report").iterdir()}
    runs = {path.name for path in (root / "wandb").iterdir()}
    assert {path.stem for path in (root / "cells").iterdir()} <= runs
    assert "summary-small" in runs


def test_status_and_report_need_no_suite_file(ran, capsys):
    root, _ = ran
    assert main(["bench", "status", str(root)]) == 0
    assert "8 of 8 cells done" in capsys.readouterr().out
    assert main(["bench", "report", str(root), "--to", "elsewhere"]) == 0
    assert "report: elsewhere/index.html" in capsys.readouterr().out
    (root / "file").touch()
    assert main(["bench", "report", str(root), "--to", str(root / "file")]) == 2
    assert "error: the report cannot be written to" in capsys.readouterr().err


def test_a_cells_configuration_runs_alone(ran, tmp_path, capsys):
    """What a record keeps is what `lm-lab adapt` reads."""
    root, _ = ran
    record = next(json.loads(path.read_text()) for path in (root / "cells").iterdir())
    config = tmp_path / "cell.json"
    config.write_text(json.dumps(record["config"]))
    options = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    assert main(["adapt", "fit", "--config", str(config), *options]) == 0
    assert "delta: " in capsys.readouterr().out


def test_wrong_options_are_one_line(ran, tmp_path, capsys):
    assert main(["bench", "run", "suite.yaml", "--out", "out", "--workers", "-1"]) == 2
    assert "error: --workers -1" in capsys.readouterr().err
    suite = str(write_suite(tmp_path / "suite.yaml", tmp_path))
    assert main(["bench", "run", suite, "--out", "out", "--cell-timeout", "0"]) == 2
    assert "error: --cell-timeout 0: expected more than 0 seconds." in capsys.readouterr().err


def test_a_cell_that_did_not_end_well_shows_in_the_exit_code_and_the_last_line(tmp_path, folders, capsys):
    strategies = {
        "full": {"class_path": "FullFineTuning", "model": {"learning_rate": 1e30}},
        "bitfit": {"class_path": "BitFit"},
    }
    suite = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=strategies)
    assert main(["bench", "run", str(suite), "--out", "out", "--workers", "0"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "2 of 4 cells done, 2 diverged"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, folders, capsys):
    (tmp_path / "out").write_text("a file")
    suite = write_suite(tmp_path / "suite.yaml", folders["bert"])
    assert main(["bench", "run", str(suite), "--out", "out", "--workers", "0"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_suite_may_report_the_test_split(tmp_path, folders, capsys):
    tasks = {"acceptability": {"data": {"task": "cola", "source": "microworld", "validation": "test"}}}
    strategies = {"bitfit": {"class_path": "BitFit"}, "full": STRATEGIES["full"]}
    suite = write_suite(tmp_path / "suite.yaml", folders["bert"], strategies=strategies, tasks=tasks)
    assert main(["bench", "run", str(suite), "--out", "out", "--workers", "0"]) == 0
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "Against full fine-tuning" in page
    assert "cannot be compared" not in capsys.readouterr().out + page


@pytest.mark.parametrize(
    ("cores", "gibibytes", "workers"),
    [(2, None, 2), (16, None, 16), (16, 140, 8), (16, 80, 5), (16, 24, 1), (4, 80, 2), (1, 80, 1), (16, 8, 1)],
)
def test_default_workers_leave_each_two_cores_and_16_gibibytes_of_a_gpu(cores, gibibytes, workers):
    assert default_workers(cores, gibibytes and gibibytes * 2**30) == workers
