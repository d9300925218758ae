"""What is run at once: a job of one cell or more, what it needs, and what comes back."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from lm_lab import provenance
from lm_lab.benchmark.plan import PlannedCell
from lm_lab.results.predictions import Predictions
from lm_lab.results.records import SCHEMA, CellRecord

DAY = 24 * 3600.0
Result = tuple[CellRecord, Predictions | None]


@dataclass(frozen=True)
class Needs:
    """What a job asks of the machine that it runs on.

    Args:
        gpu: whether it takes a GPU, with others or alone.
        threads: threads of torch.
        memory: bytes of the GPU's memory, or of the machine's where it takes none; None: not known.
        seconds: after which it is ended; a job may take as many as each of its cells.
    """

    gpu: bool = False
    threads: int = 1
    memory: int | None = None
    seconds: float = DAY


@dataclass(frozen=True)
class Keep:
    """Where the deltas of the cells of a seed go."""

    folder: Path
    seed: int


@dataclass(frozen=True)
class Job:
    """Cells that run together, with all that a process elsewhere has to know.

    Args:
        cells: what is trained.
        suite: the suite's name.
        command: what was typed, for the records.
        needs: of the machine.
        features: folder in which features of frozen backbones are kept from job to job; it may be any machine's own.
        imports: packages beside this one that configurations may name.
        keep: where deltas go, on a disk that all machines share; None: they are not kept.
        live: folder to which cells that train alone write their curves; None: nobody follows them.
    """

    cells: tuple[PlannedCell, ...]
    suite: str
    command: str
    needs: Needs = field(default_factory=Needs)
    features: Path | None = None
    imports: tuple[str, ...] = ()
    keep: Keep | None = None
    live: Path | None = None

    def kept(self, planned: PlannedCell) -> Path | None:
        """Where the delta of a cell goes, if it is kept: a run of a race does not end its training."""
        wanted = self.keep is not None and planned.cell["seed"] == self.keep.seed and "race" not in planned.config
        return self.keep.folder / planned.id if self.keep is not None and wanted else None

    @property
    def ids(self) -> frozenset[str]:
        """Ids of its cells."""
        return frozenset(planned.id for planned in self.cells)

    def of(self, cells: Sequence[PlannedCell]) -> Self:
        """The same for other cells."""
        return replace(self, cells=tuple(cells))

    @property
    def seconds(self) -> float:
        """After which it is ended."""
        return self.needs.seconds * len(self.cells)


def record(
    job: Job, planned: PlannedCell, status: Literal["done", "failed", "diverged"], reason: str | None = None
) -> CellRecord:
    """What is known of a cell before it runs."""
    return CellRecord(
        schema=SCHEMA,
        id=planned.id,
        suite=job.suite,
        status=status,
        cell=planned.cell,
        config=planned.config,
        fingerprints=planned.fingerprints,
        reason=reason,
        traceback=None,
        scores={},
        score={},
        ledger={},
        clocks={},
        memory={},
        history=[],
        versions=provenance.versions(),
        git=provenance.git_state(),
        hardware=provenance.hardware(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=job.command,
    )


def failed(job: Job, reason: str) -> list[Result]:
    """The results of a job that brought none."""
    return [(record(job, planned, "failed", reason), None) for planned in job.cells]
