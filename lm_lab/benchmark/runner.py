"""Run a suite to its end, resumably: what has a record is done, all else is run."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lm_lab import provenance
from lm_lab.atomic import remove_leftovers, replace_file
from lm_lab.benchmark import deltas
from lm_lab.benchmark.baselines import write_baselines
from lm_lab.benchmark.executors import Executor
from lm_lab.benchmark.fingerprints import cache_fingerprints
from lm_lab.benchmark.grouping import grouped, known_apart
from lm_lab.benchmark.jobs import Job, Keep, Needs
from lm_lab.benchmark.kept_files import BOUNDARIES, LIMIT, limit
from lm_lab.benchmark.plan import Plan, Planner
from lm_lab.benchmark.progress import Progress
from lm_lab.benchmark.racing import paired_p_value
from lm_lab.benchmark.suite import Suite
from lm_lab.config.imports import restrict
from lm_lab.errors import Terminated, UsageError
from lm_lab.results.packing import unpack
from lm_lab.results.predictions import has_predictions
from lm_lab.results.records import CellRecord, read_record, read_suite, scan, write_record

Tracker = Callable[[CellRecord], object]
_PARTS = ("cells", "predictions", "features", "features/boundaries", deltas.FOLDER)


def run_suite(
    suite: Suite,
    root: Path,
    executor: Executor,
    progress: Progress,
    track: Tracker,
    needs: Needs | None = None,
    imports: Sequence[str] = (),
    retry_failed: bool = False,
    pack: int = 1,
    measure_time: bool = False,
    live: Path | None = None,
) -> Plan:
    """Run every cell of `suite` that has no record in `root` yet, and write what comes back.

    Args:
        suite: the grid.
        root: folder of the results; only one run at a time may write there.
        executor: runs jobs of cells; stopped at the end, also when interrupted.
        progress: shows what was done.
        track: called with each new record.
        needs: what a job of one cell asks of a machine.
        imports: packages beside this one that the suite may name.
        retry_failed: run cells again that failed or diverged.
        pack: most cells that train in one pass; 1: each trains alone.
        measure_time: the cells of the last seed run alone, for the clock.
        live: folder to which cells that train alone write their curves while they run.

    Raises:
        UsageError: another run holds `root`, or it belongs to another suite.
        KeyboardInterrupt: on Ctrl-C, `Terminated` on SIGTERM; what is finished stays.
    """
    for name in (LIMIT, BOUNDARIES):
        limit(name)  # what is no size is told before a cell runs
    with _writable(root), _locked(root), _terminable():
        for folder in (root, *(root / part for part in _PARTS), *(root / "superseded" / part for part in _PARTS)):
            remove_leftovers(folder)
        unpack(root)
        restrict(imports)  # before anything that the suite names is imported
        own = _places(suite, root, imports, live)
        template = Job((), suite.name, provenance.command(), needs or Needs(), *own)
        try:
            return _run(suite, root, executor, progress, track, template, retry_failed, pack, measure_time)
        finally:
            executor.stop()


def _places(
    suite: Suite, root: Path, imports: Sequence[str], live: Path | None
) -> tuple[Path, tuple[str, ...], Keep | None, Path | None]:
    """What a job is told last: where features, deltas and curves go."""
    if live is not None:
        live.mkdir(exist_ok=True)
    keep = Keep(root / deltas.FOLDER, suite.seeds[0]) if suite.keeps_best else None
    return root / "features", tuple(imports), keep, live


def _run(
    suite: Suite,
    root: Path,
    executor: Executor,
    progress: Progress,
    track: Tracker,
    template: Job,
    again: bool,
    pack: int,
    measure_time: bool,
) -> Plan:
    make_plan = Planner(suite, cache_fingerprints(), paired_p_value(root))
    records = {record["id"]: record for record in scan(root).records if _whole(root, record)}
    plan = make_plan(records)
    _prepare_folder(suite, root, plan, records)
    write_baselines(root, plan.cells)
    records = _left_as_they_are(suite, root, plan, records, again)
    running: list[set[str]] = []  # ids of what each job has not brought back
    clocked = suite.seeds[-1] if measure_time else None
    aside = {path.stem for path in (root / "superseded" / "cells").glob("*.json")}
    progress.start(plan.total, len(records), executor.capacity)
    while True:
        before, plan = plan.total, make_plan(records)
        if plan.total != before:  # a race is over
            _write_suite(suite, root, plan)
            progress.resize(plan.total)
        out = set().union(*running)
        waiting = [c for c in plan.cells if c.id not in records and c.id not in out]
        if restored := [record for c in waiting if c.id in aside and (record := _restore(root, c.id))]:
            for record in restored:
                records[record["id"]] = record
                progress.advance(record)
            continue
        free = executor.capacity + 1 - len(running)  # one in reserve keeps every worker busy
        jobs = grouped(waiting, pack, executor.capacity, known_apart(plan.cells, records), clocked) if free else []
        running += [_submit(executor, template.of(cells)) for cells in jobs[:free]]
        if not running:
            return plan
        for record, predictions in executor.wait():
            write_record(root, record, predictions)
            running = [left for ids in running if (left := ids - {record["id"]})]
            records[record["id"]] = record
            _trim_deltas(suite, root, plan, records)
            progress.advance(record)
            track(record)


def _left_as_they_are(
    suite: Suite, root: Path, plan: Plan, records: dict[str, CellRecord], again: bool
) -> dict[str, CellRecord]:
    """Records of cells that do not run again: with `again` of those that ended well."""
    lost = deltas.lost(root, plan.cells, records, suite.seeds[0]) if suite.keeps_best else set()
    return {
        key: record for key, record in records.items() if key not in lost and (record["status"] == "done" or not again)
    }


def _trim_deltas(suite: Suite, root: Path, plan: Plan, records: Mapping[str, CellRecord]) -> None:
    if suite.keeps_best:
        deltas.trim(root, plan.cells, records)


def _submit(executor: Executor, job: Job) -> set[str]:
    """Ids of a job that is on its way."""
    executor.submit(job)
    return set(job.ids)


def _prepare_folder(suite: Suite, root: Path, plan: Plan, records: dict[str, CellRecord]) -> None:
    """Write `suite.json`, and put cells of an earlier version of the suite aside."""
    if (name := _name_of(root, records)) not in (None, suite.name):
        raise UsageError(f"'{root}' holds results of the suite '{name}', not of '{suite.name}'; give another --out.")
    _write_suite(suite, root, plan)
    known = {planned.id for planned in plan.cells}
    for stale in [key for key in records if key not in known]:
        del records[stale]
        _move(stale, root, root / "superseded")


def _write_suite(suite: Suite, root: Path, plan: Plan) -> None:
    content = json.dumps(suite.resolved(plan.total), indent=1) + "\n"
    replace_file(root / "suite.json", content.encode())


def _name_of(root: Path, records: Mapping[str, CellRecord]) -> str | None:
    """Name of the suite whose results are here; of its records, where its own file is missing or damaged."""
    try:
        name: str = read_suite(root)["name"]
    except UsageError:
        return next((record["suite"] for record in records.values() if "suite" in record), None)
    return name


def _whole(root: Path, record: CellRecord) -> bool:
    """False for a finished cell whose predictions are missing or damaged: it runs again."""
    return record["status"] != "done" or has_predictions(root, record["id"], record.get("predictions"))


def _restore(root: Path, cell_id: str) -> CellRecord | None:
    """A finished cell that was put aside, back in its place: the plan grows, and may come to it again."""
    aside = read_record(root / "superseded", cell_id)
    if aside is None or aside["status"] != "done" or not _whole(root / "superseded", aside):
        return None
    _move(cell_id, root / "superseded", root)
    return aside


def _move(cell_id: str, source: Path, target: Path) -> None:
    for folder, suffix in (("predictions", ".parquet"), ("cells", ".json")):
        if (old := source / folder / f"{cell_id}{suffix}").exists():
            (target / folder).mkdir(parents=True, exist_ok=True)
            os.replace(old, target / folder / old.name)


@contextmanager
def _writable(root: Path) -> Iterator[None]:
    """A disk that is full or may not be written, told in one line; what is finished stays."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UsageError(f"'{error.filename or root}' cannot be written: {error.strerror or error}.") from error


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    try:
        with FileLock(root / ".lock", timeout=0):
            yield
    except Timeout:
        raise UsageError(f"another run is writing to '{root}'; wait for it, or give another --out.") from None


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does, but for the exit code."""

    def interrupt(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
