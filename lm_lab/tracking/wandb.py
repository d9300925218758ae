"""`WandB`: the logger of one training, with what a run of W&B has beside curves.

trainer:
  logger:
    class_path: lm_lab.tracking.wandb.WandB
    init_args: {project: my-project, save_dir: runs/wandb}
"""

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger

from lm_lab.errors import UsageError
from lm_lab.results.predictions import Predictions
from lm_lab.tracking.names import Names
from lm_lab.tracking.session import PROJECT, check_online, chosen_mode, guarded, settings
from lm_lab.tracking.tables import of_predictions


class WandB(WandbLogger):
    """Lightning's WandbLogger, offline unless chosen otherwise, with one folder a run and no shared runs.

    Args:
        project: W&B project.
        save_dir: runs go to `save_dir`/<id>, so that no run's config overwrites another's.
        name: shown name of the run; None says task, backbone, strategy, size and seed.
        mode: "online", "offline" or "disabled"; default WANDB_MODE, else "offline".
        group: runs to be shown together; None is the task or the corpus.
        job_type: kind of run; None is the strategy or the objective.
        tags: labels to filter by; None is backbone and task.
        system_metrics: log processor, memory and GPU of the machine too, and its name.
        predictions: how many examples of each split the table of predictions has; the same ones in every run.

    Raises:
        UsageError: an unknown mode, a negative number, or online without a key or a network.
    """

    def __init__(
        self,
        project: str = PROJECT,
        save_dir: str = "runs/wandb",
        name: str | None = None,
        mode: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        job_type: str | None = None,
        system_metrics: bool = False,
        predictions: int = 0,
    ) -> None:
        selected = chosen_mode(mode)
        if predictions < 0:
            raise UsageError(f"predictions: {predictions} of the logger: expected 0 or more examples of each split.")
        self.predictions = predictions
        if selected == "online":
            check_online()
        run_id = secrets.token_hex(4)
        folder = Path(save_dir) / run_id
        folder.mkdir(parents=True, exist_ok=True)
        for part in ("data", "cache"):
            # for the whole process: checkpoints are staged long after this constructor
            os.environ.setdefault(f"WANDB_{part.upper()}_DIR", str(Path(save_dir, part).absolute()))
        init = {"mode": selected, "reinit": "create_new", "settings": settings(system_metrics)}
        init |= {"group": group, "job_type": job_type, "tags": tags}
        super().__init__(name=name, save_dir=str(folder), project=project, version=run_id, **init)
        self._wandb_init.pop("anonymous", None)  # which W&B warns of, whatever it is
        # W&B's process, which several runs share, may have started in another folder
        self._wandb_init["dir"] = str(folder.absolute())

    def fill(self, names: Names) -> None:
        """Name what the user has not named; before the run has begun."""
        given = {"name": names.name, "group": names.group, "job_type": names.job_type, "tags": list(names.tags)}
        for key, value in given.items():
            if self._wandb_init.get(key) is None:
                self._wandb_init[key] = value
        self._name = self._wandb_init["name"]

    def conclude(
        self, folder: Path, scores: Mapping[str, float], about: Mapping[str, Any], shown: Predictions | None = None
    ) -> None:
        """Log final scores as the summary, the data as a used artifact and `folder` as one of kind model.

        Args:
            folder: of a delta, or of a pretrained backbone.
            scores: of the weights in it.
            about: what the run is of; its `fingerprints` name the data.
            shown: what these weights predict, of which a sample is logged.
        """
        guarded(lambda: self._conclude(folder, scores, about, shown))

    def finish(self, code: int) -> None:
        """End the run, whose file is whole then; `code` is not 0 where it failed."""
        run, self._experiment = self._experiment, None
        if run is not None:
            guarded(lambda: run.finish(exit_code=code))

    def _conclude(
        self, folder: Path, scores: Mapping[str, float], about: Mapping[str, Any], shown: Predictions | None
    ) -> None:
        import wandb

        run: Any = self.experiment
        run.summary.update(dict(scores))
        if shown is not None and self.predictions:
            run.log({"predictions": of_predictions(shown, self.predictions)})
        named, prints = about.get("task") or about["corpus"], about["fingerprints"]
        data = wandb.Artifact(_named("data", named), type="dataset", metadata=dict(prints))
        with data.new_file("fingerprint.txt") as file:  # an artifact is told from another one by its content
            file.write(f"{prints['data']}\n")
        # `use_artifact` refuses to work offline; this is what it does online
        run._log_artifact(data, is_user_created=True, use_after_commit=True)
        model = wandb.Artifact(_named("model", str(run.name)), type="model", metadata={**about, **scores})
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            model.add_file(str(path), name=path.relative_to(folder).as_posix())
        run.log_artifact(model)


def _named(kind: str, name: str) -> str:
    """A name that W&B takes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{kind}-{name}")[:128]
