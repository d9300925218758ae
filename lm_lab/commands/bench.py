"""`lm-lab bench run|status|report|pack`: a suite to results, results to a table and a page."""

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lm_lab.commands.arguments import Arguments
from lm_lab.errors import UsageError

if TYPE_CHECKING:
    from lm_lab.benchmark.executors import Executor

PACK, PACK_GPU = 8, 16  # cells that train in one pass
GPU_SHARE = 2**34  # bytes of a GPU that a worker is given
EXIT_FAILED = 1  # of `run`: some cells failed or diverged; their reasons are in the report


def main(args: list[str]) -> int:
    """Run a subcommand; `run` returns 0 if every cell is done, else 1."""
    options = parser().parse_args(args)
    return options.run(options)


def parser() -> argparse.ArgumentParser:
    """What reads its arguments."""
    parser = Arguments("lm-lab bench", description="Trade-off curves from a grid of adaptations.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run every cell of a suite that has no result yet, then report")
    run.add_argument("suite", help="suite file (YAML)")
    run.add_argument("--out", type=Path, required=True, help="folder of the results")
    run.add_argument(
        "--workers", type=int, help="processes (default: one a core, with a GPU one for 2 cores and 16 GiB; 0: here)"
    )
    run.add_argument("--threads", type=int, help="threads a worker (default: cores divided by workers)")
    run.add_argument(
        "--pack", type=int, help="most cells that train in one pass (default: 8, with a GPU 16; 1: each alone)"
    )
    run.add_argument("--measure-time", action="store_true", help="run the cells of the last seed alone, for the clock")
    run.add_argument("--retry-failed", action="store_true", help="run cells again that failed or diverged")
    run.add_argument("--cell-timeout", type=float, help="seconds a cell may take (default: a day)")
    run.add_argument("--executor", help="what runs the cells: a class path, or a YAML file")
    run.add_argument("--allow-import", action="append", default=[], help="package that class paths may name")
    run.add_argument(
        "--trust-remote-code", action="store_true", help="let backbones that ask for it run the code in their folder"
    )
    run.add_argument("--wandb", choices=("offline", "online", "disabled"), help="default: WANDB_MODE, else offline")
    run.add_argument("--project", default="lm_lab", help="W&B project")
    run.add_argument(
        "--log-predictions", type=int, default=0, help="examples of each split whose predictions W&B shows"
    )
    run.add_argument("--system-metrics", action="store_true", help="log processor, memory and GPU to W&B too")
    run.set_defaults(run=_run)

    status = commands.add_parser("status", help="what is done, failed and missing")
    status.add_argument("out", type=Path, help="folder of the results")
    status.set_defaults(run=_status)

    report = commands.add_parser("report", help="table, CSV and page from the results there are")
    report.add_argument("out", type=Path, help="folder of the results")
    report.add_argument("--to", type=Path, help="folder of the report (default: OUT/report)")
    report.set_defaults(run=_report)

    pack = commands.add_parser("pack", help="results as a few files, for a repository or an archive")
    pack.add_argument("results", type=Path, help="folder of the results")
    pack.add_argument("--out", type=Path, required=True, help="folder of the packed results")
    pack.set_defaults(run=_pack)
    return parser


def _run(options: argparse.Namespace) -> int:
    from lm_lab.benchmark.suite import load_suite

    suite = load_suite(options.suite)  # before the slow imports: a typing error should not take seconds
    workers, threads = _share(options.workers, options.threads)
    if options.cell_timeout is not None and not options.cell_timeout > 0:
        raise UsageError(f"--cell-timeout {options.cell_timeout:g}: expected more than 0 seconds.")

    from lm_lab.benchmark.jobs import DAY, Needs
    from lm_lab.benchmark.preflight import check_settings
    from lm_lab.benchmark.progress import Progress
    from lm_lab.benchmark.runner import run_suite
    from lm_lab.report.table import progress as counts
    from lm_lab.results.records import read_suite, scan
    from lm_lab.tracking.live import Live
    from lm_lab.tracking.suites import log_summary

    if options.log_predictions < 0:
        raise UsageError(f"--log-predictions {options.log_predictions}: expected 0 or more examples of each split.")
    if options.pack is not None and options.pack < 1:
        raise UsageError(f"--pack {options.pack}: expected 1 or more cells; 1 trains each alone.")
    executor = _executor(options.executor, workers, options.allow_import)
    check_settings(suite, options.trust_remote_code, options.allow_import)

    gpu = _gpu_bytes() is not None
    needs = Needs(gpu, threads, GPU_SHARE if gpu else None, options.cell_timeout or DAY)
    wanted = (options.project, options.wandb, options.system_metrics, options.log_predictions)
    live = Live(options.out, options.out / "live", *wanted)
    more = {
        "live": live.folder if live.follows else None,
        "pack": options.pack or (PACK_GPU if gpu else PACK),
        "measure_time": options.measure_time,
    }
    with live, Progress() as progress:
        run_suite(
            suite, options.out, executor, progress, live, needs, options.allow_import, options.retry_failed, **more
        )
    _report(argparse.Namespace(out=options.out, to=None))
    log_summary(options.out, options.project, options.wandb)
    _say_where(options.out)
    records, planned = scan(options.out).records, read_suite(options.out)
    print(counts(records, (), planned)[0])
    return 0 if sum(record["status"] == "done" for record in records) == planned["planned_cells"] else EXIT_FAILED


def _say_where(out: Path) -> None:
    """Say where the runs of W&B are that were logged offline, and what uploads them."""
    from lm_lab.tracking.sync import waiting

    if count := len(waiting(out)):
        uploads = shlex.join(["lm-lab", "track", "sync", str(out)])
        print(f"W&B: {count} offline runs in {out / 'wandb'}; this uploads them: {uploads}")


def _executor(named: str | None, workers: int, imports: list[str]) -> "Executor":
    """What runs the cells: the class that was named, else processes here, or this process alone."""
    from jsonargparse import ArgumentParser

    from lm_lab.benchmark.executors import Executor, InProcess, LocalProcesses
    from lm_lab.config.imports import restrict
    from lm_lab.yaml_files import read_yaml

    if named is None:
        return LocalProcesses(workers) if workers else InProcess()
    restrict(imports)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Executor, "executor")
    given = read_yaml(named, "executor") if named.endswith((".yaml", ".yml")) else {"class_path": named}
    found: Executor = parser.instantiate(parser.parse_object({"executor": given})).executor
    return found


def _share(workers: int | None, threads: int | None) -> tuple[int, int]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = default_workers(cores, _gpu_bytes()) if workers is None else workers
    if workers < 0 or (threads is not None and threads < 1):
        raise UsageError(f"--workers {workers} --threads {threads}: expected 0 or more workers of 1 or more threads.")
    return workers, threads or max(1, cores // max(1, workers))


def default_workers(cores: int, gpu_bytes: int | None) -> int:
    """One a core; with a GPU, which waits for Python most of the time, one for every two cores and 16 GiB of it."""
    return cores if gpu_bytes is None else max(1, min(cores // 2, gpu_bytes // GPU_SHARE))


def _gpu_bytes() -> int | None:
    import torch

    return torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else None


def _status(options: argparse.Namespace) -> int:
    from lm_lab.report.table import progress
    from lm_lab.results.records import read_suite, scan

    suite, found = read_suite(options.out), scan(options.out)
    print("\n".join(progress(found.records, found.broken, suite)))
    return 0


def _report(options: argparse.Namespace) -> int:
    from lm_lab.report.page import write_report
    from lm_lab.report.table import all_points, terminal_table
    from lm_lab.results.records import read_suite, scan

    suite = read_suite(options.out)  # says what is wrong with a folder that holds no results
    found = scan(options.out)
    points = all_points(found.records, suite)
    try:
        page = write_report(options.out, options.to, found=found, points=points)
    except OSError as error:
        raise UsageError(f"the report cannot be written to '{error.filename}': {error.strerror}.") from error
    print(terminal_table(options.out, found, points), end="\n\n")
    print(f"report: {page}", file=sys.stdout)
    return 0


def _pack(options: argparse.Namespace) -> int:
    from lm_lab.results.packing import pack

    pack(options.results, options.out)
    print(f"packed: {options.out}")
    return 0
