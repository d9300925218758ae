"""What a run of `adapt fit` or `pretrain fit` is: its settings and its lineage, for whatever logger it has.

Every logger of Lightning's gets the configuration with the values that nulls came to, what is trained (strategy, task,
backbone, counts of parameters) and what of (fingerprints of data and weights). A `WandB` run has a name, a group, a
type and tags besides, its data as a used artifact, and its delta or its pretrained folder as a logged one.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from torch import Tensor

from lm_lab.models.ledger import counts
from lm_lab.redaction import redacted
from lm_lab.results.predictions import Predictions
from lm_lab.tracking.names import Names, of_adaptation, of_pretraining
from lm_lab.tracking.trackio import Trackio
from lm_lab.tracking.wandb import WandB
from lm_lab.training.adaptation import Adaptation

End = Callable[[L.Trainer], tuple[Path | None, Mapping[str, float]]]
Examples = Callable[[L.Trainer], Mapping[str, tuple[Tensor, Tensor]]]  # split -> values and labels, by id


class Described(L.Callback):
    """Log what a run is of, where it ended and what came of it.

    Args:
        end: gives the folder that was saved, or None, and the scores of what is in it; asked once the callbacks
            before this one have ended.
        examples: gives the judged examples of what is in it, by split; asked for where a logger wants some.
    """

    def __init__(self, end: End, examples: Examples | None = None) -> None:
        self.end, self.examples = end, examples
        self._about: dict[str, Any] = {}

    def begin(self, trainer: L.Trainer, module: Any, data: Any, config: Mapping[str, Any]) -> None:
        """Name the run and log its settings: before the Trainer starts, which opens the loggers.

        Args:
            trainer: whose loggers are told; without one nothing is computed.
            module: an `Adaptation` or a `Pretraining`, bound to its data.
            data: the data module; its fingerprint is taken.
            config: as plain data, nulls resolved.
        """
        if not trainer.loggers or not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        names, about = describe(module, config)
        prints = {"data": data.fingerprint() if hasattr(data, "fingerprint") else None}
        prints["weights"] = module.backbone.fingerprint if "corpus" in about else module.model.fingerprint
        self._about = {**about, "fingerprints": prints}
        for logger in trainer.loggers:
            if isinstance(logger, WandB | Trackio):
                logger.fill(names)
            logger.log_hyperparams(_redacted({**config, **self._about}))

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log what came of it, on the first process."""
        folder, scores = self.end(trainer)
        if folder is None or not trainer.is_global_zero or not self._about:
            return
        for logger in trainer.loggers:
            if isinstance(logger, WandB):
                asked = self.examples if logger.predictions else None
                shown = _predictions(pl_module, asked(trainer)) if asked else None
                logger.conclude(folder, scores, self._about, shown)

    def on_exception(self, trainer: L.Trainer, *_: Any) -> None:
        """What failed here has failed on the server too."""
        _finish(trainer, 1)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Close the runs, whose files are whole then."""
        _finish(trainer, 0)


def describe(module: Any, config: Mapping[str, Any]) -> tuple[Names, dict[str, Any]]:
    """The names of a run, and what is known of it beside its settings."""
    if isinstance(module, Adaptation):
        model = module.model
        names = of_adaptation(model, config.get("seed_everything"))
        return names, _about(names, "strategy", "task", counts(model))
    names = of_pretraining(module.objective, module.backbone, config)
    total = sum(parameter.numel() for parameter in module.backbone.parameters())
    return names, _about(names, "objective", "corpus", {"trained": total, "total": total})


def _predictions(module: Any, examples: Mapping[str, tuple[Tensor, Tensor]]) -> Predictions | None:
    """Examples as the metrics take them, numbered in the order of their ids."""
    parts = []
    for split, (values, labels) in examples.items():
        kept = module.model.task.kept(values, labels).numpy()
        parts.append(Predictions(np.full(len(labels), split), np.arange(len(labels)), kept, labels.numpy()))
    return Predictions(*map(np.concatenate, zip(*parts, strict=True))) if parts else None


def _about(names: Names, kind: str, what: str, ledger: Mapping[str, int]) -> dict[str, Any]:
    return {kind: names.job_type, what: names.group, "backbone": names.backbone, "ledger": dict(ledger)}


def _finish(trainer: L.Trainer, code: int) -> None:
    for logger in trainer.loggers:
        if isinstance(logger, WandB):
            logger.finish(code)


def _redacted(value: Any) -> Any:
    """`value` without secrets and home folders in its words."""
    if isinstance(value, Mapping):
        return {name: _redacted(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(inner) for inner in value]
    return redacted(value) if isinstance(value, str) else value
