"""The model card of a fit: scores with their intervals over examples, what trained, of what data, by which command."""

import json
import math
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L

from lm_lab import provenance
from lm_lab.commands.validations import Validations
from lm_lab.data.modules.base import HELD_OUT, TaskData
from lm_lab.data.reading.hub_sets import hub_set
from lm_lab.errors import UsageError
from lm_lab.interchange.card import FACTS, write_card
from lm_lab.metrics.uncertainty import example_interval
from lm_lab.models.ledger import ledger
from lm_lab.report import text
from lm_lab.tasks import Judged, Task
from lm_lab.training.adaptation import Adaptation
from lm_lab.training.callbacks.meter import TrainingMeter


class WriteCard(L.Callback):
    """Write card.json and README.md beside the delta.

    Args:
        validations: what the saved weights scored.
        meter: the clock and the memory of training.
    """

    def __init__(self, validations: Validations, meter: TrainingMeter) -> None:
        self.validations, self.meter = validations, meter

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write it, once the delta is saved."""
        folder = self.validations.saved.folder
        if folder is None or not isinstance(pl_module, Adaptation):
            return
        model, found = pl_module.model, self.validations.of_saved(trainer).examples
        order, counted = sorted(found, key=lambda split: (split == HELD_OUT, split)), ledger(model)
        size = text.size(counted["delta_bytes"])
        facts: dict[str, Any] = {
            "scores": [row for split in order for row in _scores(model.task, split, found[split])],
            "trained": f"{counted['trained']:,} of {counted['total']:,} parameters; {size}",
            "training": f"{trainer.global_step:,} steps, {text.seconds(self.meter.seconds)}",
            "command": provenance.command(),
            "commit": provenance.git_state()["commit"],
            "versions": ", ".join(f"{name} {number}" for name, number in provenance.versions().items()),
        }
        if isinstance(data := getattr(trainer, "datamodule", None), TaskData):
            facts["data"] = _described(data)
        (folder / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        write_card(folder, model, "lm_lab", facts)


def _scores(task: Task, split: str, judged: Judged) -> Iterator[dict[str, Any]]:
    values, labels = (each.numpy() for each in (task.kept(*judged), judged.labels))
    for metric in task.metrics:
        value = task.scores(*judged)[metric.__name__]
        low, high = example_interval(values, labels, metric)
        ends = {} if math.isnan(low) else {"low": low, "high": high}
        yield {"split": split, "metric": metric.__name__, "value": value, "n": len(labels), **ends}


def _described(data: TaskData) -> str:
    """Name, source, counts and a hash of all rows."""
    counts = ", ".join(f"{len(encoded):,} {split}" for split, encoded in data.encoded.items())
    kept = data.source if hub_set(data.source or "") else Path(data.source or "").name  # a path may name a person
    source = f" from {kept}" if kept else ""
    print_ = ""
    with suppress(UsageError, OSError), warnings.catch_warnings():  # files may be gone since they were read
        warnings.simplefilter("ignore")  # what is wrong with rows was told then
        print_ = f"; fingerprint {data.fingerprint()}"
    return f"{data.task.name}{source}: {counts}{print_}"
