"""The folder of a run, `runs/lightning_logs/version_N`: one run each, also where several start at one moment."""

from pathlib import Path

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only


class RunFolder(CSVLogger):
    """Metrics as csv in a folder that is taken, not only looked up.

    Lightning's loggers look for the next free number and make the folder later, so that runs started side by side, as
    in a sweep, share one and overwrite each other's delta.
    """

    @property
    def version(self) -> int | str:
        """The number of the run. The first process takes it; the others are told its folder."""
        if self._version is None:
            first = rank_zero_only.rank == 0  # type: ignore[attr-defined]  # set on the function by Lightning
            self._version = self._take() if first else self._get_next_version()
        return self._version

    def _take(self) -> int:
        while True:
            number = self._get_next_version()
            try:
                Path(self.root_dir, f"version_{number}").mkdir(parents=True)
            except FileExistsError:  # somebody else was quicker
                continue
            return number
