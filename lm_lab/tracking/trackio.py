"""Trackio, a dashboard on this machine: a logger of Lightning's over it. `trackio show --project lm_lab` opens it.

trainer:
  logger:
    class_path: lm_lab.tracking.trackio.Trackio
"""

import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from lm_lab.errors import UsageError
from lm_lab.tracking.names import Names
from lm_lab.tracking.session import PROJECT


class Trackio(Logger):
    """Settings and curves of a run in a database under a folder; nothing leaves the machine.

    Args:
        project: what its runs are shown under.
        save_dir: where the databases are, unless TRACKIO_DIR says so.
        name: shown name of the run; None says task, backbone, strategy, size and seed.

    Raises:
        UsageError: `trackio` is not installed.
    """

    def __init__(self, project: str = PROJECT, save_dir: str = "runs/trackio", name: str | None = None) -> None:
        super().__init__()
        os.environ.setdefault("TRACKIO_DIR", str(Path(save_dir).absolute()))  # read when it is imported
        try:
            import trackio
        except ImportError as error:
            raise UsageError("this logger needs `trackio`: pip install 'lm-lab[trackio]'.") from error
        self._trackio, self._project, self._name = trackio, project, name
        self._config: dict[str, Any] = {}
        self._run: Any = None

    @property
    def name(self) -> str:
        """The project."""
        return self._project

    @property
    def version(self) -> str | None:
        """The run's name."""
        return self._name

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run, which begins when it is first asked for."""
        if self._run is None:
            measured = {"auto_log_gpu": False, "auto_log_cpu": False}
            self._run = self._trackio.init(self._project, self._name, config=self._config, embed=False, **measured)
            self._run.config["_Username"] = None  # of the hub
        return self._run

    def fill(self, names: Names) -> None:
        """Name the run, if its user has not."""
        self._name = self._name or names.name

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Keep settings for the run, which takes them when it begins."""
        self._config |= vars(params) if isinstance(params, Namespace) else params

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values at a step."""
        self.experiment.log(dict(metrics), step=step)

    @rank_zero_only
    def finalize(self, status: str) -> None:  # noqa: ARG002
        """Write what is left."""
        run, self._run = self._run, None
        if run is not None:
            run.finish()
