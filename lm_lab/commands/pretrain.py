"""`lm-lab pretrain fit`: a LightningCLI over Pretraining and a corpus."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.cli import LightningArgumentParser

import lm_lab.objectives  # noqa: F401  the parser finds short class names among what is imported
from lm_lab.commands.summary import PretrainSummary
from lm_lab.config import checks
from lm_lab.config.imports import allow_imports
from lm_lab.config.lightning_cli import LabCLI, quiet
from lm_lab.config.nulls import require_values
from lm_lab.config.resume import take_wishes
from lm_lab.data.corpora.corpus import Corpus
from lm_lab.models.binding import bind
from lm_lab.tracking.describing import Described
from lm_lab.training.callbacks.curves import Curves
from lm_lab.training.callbacks.throughput import Throughput
from lm_lab.training.machine.processes import leave
from lm_lab.training.pretraining import Pretraining, SaveBackbone
from lm_lab.training.resuming.checkpoints import ExactResume


class PretrainCLI(LabCLI):
    """Pretraining on a corpus; `--save.output FOLDER` is where the backbone goes when training has ended."""

    logs = "pretraining_logs"  # apart from adaptations, whose numbers the pages name

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callback that saves the backbone."""
        super().add_arguments_to_parser(parser)
        parser.add_lightning_class_args(SaveBackbone, "save")

    def instantiate_classes(self) -> None:
        """Build model, data and trainer, and let model and data know of each other."""
        super().instantiate_classes()
        bind(self.model, self.datamodule)

    def before_instantiate_classes(self) -> None:
        """Look at the settings of the callback that saves, too."""
        super().before_instantiate_classes()
        if self.subcommand is not None:
            require_values("save", SaveBackbone, self._get(self.config, "save"))

    def before_fit(self) -> None:
        """Hand over the whole configuration, to be saved beside the weights and logged."""
        super().before_fit()
        text = self._parser("fit").dump(self.config["fit"], skip_none=False)
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, SaveBackbone):
                callback.configuration = text
            if isinstance(callback, Described):
                callback.begin(self.trainer, self.model, self.datamodule, self.settings)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Offer `fit` alone: there is no labelled split to test on and nothing to predict."""
        return {"fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule"}}


def main(args: list[str]) -> int:
    """Run a subcommand."""
    checks.require_small_files(args)
    args, wishes = take_wishes(allow_imports(args))
    with quiet():
        build(args, wishes=wishes, given=args)
    leave()
    return 0


def build(args: Any = None, run: bool = True, **settings: Any) -> PretrainCLI:
    """The command line interface; with `run=False`, model, data and trainer built from a dictionary `args`."""
    callbacks = [ExactResume(), Throughput(), Curves(), PretrainSummary(), Described(_ended)]
    return PretrainCLI(
        Pretraining,
        Corpus,
        args=args,
        run=run,
        auto_configure_optimizers=False,
        seed_everything_default=0,
        save_config_callback=None,  # SaveBackbone has it
        trainer_defaults={"callbacks": callbacks, "log_every_n_steps": 10},
        **settings,
    )


def _ended(trainer: L.Trainer) -> tuple[Path | None, dict[str, float]]:
    """The folder of the backbone, and the losses it ended with."""
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    folder = next((each.output for each in callbacks if isinstance(each, SaveBackbone)), None)
    return folder, {name: float(value) for name, value in trainer.callback_metrics.items()}
