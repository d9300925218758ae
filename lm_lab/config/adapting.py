"""The LightningCLI over an `Adaptation` and the data module of a task, for the command line and for cells."""

import copy
from typing import Any

import lightning as L
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback

import lm_lab.data.modules.choices
import lm_lab.data.modules.glue
import lm_lab.data.modules.marked
import lm_lab.data.modules.multi_label
import lm_lab.data.modules.options
import lm_lab.data.modules.own
import lm_lab.data.modules.sequences
import lm_lab.data.modules.squad
import lm_lab.data.modules.superglue_texts
import lm_lab.data.modules.tags
import lm_lab.data.modules.trees
import lm_lab.prompting
import lm_lab.strategies  # noqa: F401  the parser finds short class names among what is imported
from lm_lab.config.lightning_cli import LabCLI
from lm_lab.data.modules.base import TaskData
from lm_lab.errors import UsageError
from lm_lab.models import delta
from lm_lab.models.binding import bind
from lm_lab.training.adaptation import adaptation_of
from lm_lab.training.resuming.checkpoints import ExactResume

_PARSERS: dict[str, LightningArgumentParser] = {}  # those of cells


class AdaptCLI(LabCLI):
    """Adaptation and a data module whose `task` the model takes; `--delta DIR` loads what a fit has saved."""

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Those whose name is among the words, or all: a parser of each takes longer to build than a small model."""
        known = LabCLI.subcommands()
        return {name: given for name, given in known.items() if name in self.words} or known

    def setup_parser(
        self, add_subcommands: bool, main_kwargs: dict[str, Any], subparser_kwargs: dict[str, Any]
    ) -> None:
        """Build the parser, or take the one that was built for a cell before: it depends on none of its settings."""
        if add_subcommands:
            super().setup_parser(add_subcommands, main_kwargs, subparser_kwargs)
            return
        known = f"{type(self)} {main_kwargs} {self.seed_everything_default}"
        if known not in _PARSERS:
            super().setup_parser(add_subcommands, main_kwargs, subparser_kwargs)
            _PARSERS[known] = self.parser
        self.parser = _PARSERS[known]

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link the data's task to the model."""
        super().add_arguments_to_parser(parser)
        parser.add_argument("--delta", type=str | None, help="folder of a trained delta: model and task come from it")
        parser.link_arguments("data", "model.task", compute_fn=_task_of, apply_on="instantiate")

    def instantiate_classes(self) -> None:
        """Build all, and let model and data know of each other; a data module of another kind makes its own batches."""
        super().instantiate_classes()
        if isinstance(self.datamodule, TaskData):
            bind(self.model.model, self.datamodule)

    def load_delta(self) -> None:
        """Load the delta where one is given."""
        if folder := self._get(self.config, "delta"):
            delta.load(self.model.model, folder)

    before_validate = before_test = before_predict = load_delta

    def before_fit(self) -> None:
        """A trained delta is no start for another fit: its frozen and trained parts could not be told apart."""
        if self._get(self.config, "delta"):
            raise UsageError("--delta goes with validate, test or predict; resume a fit with --ckpt_path.")
        super().before_fit()


def build(
    args: Any = None,
    run: bool = True,
    callbacks: tuple[L.Callback, ...] = (),
    kind: type[AdaptCLI] = AdaptCLI,
    **settings: Any,
) -> AdaptCLI:
    """The command line interface; with `run=False`, model, data and trainer built from a plain dictionary `args`."""
    return kind(
        adaptation_of,
        L.LightningDataModule,
        subclass_mode_data=True,
        args=copy.deepcopy(args),  # the parser writes into lists that it is given
        run=run,
        auto_configure_optimizers=False,
        seed_everything_default=0,
        save_config_callback=SaveConfigCallback if run else None,
        save_config_kwargs={"overwrite": True},
        trainer_defaults={"callbacks": [ExactResume(), *callbacks], "log_every_n_steps": 10},
        **settings,
    )


def _task_of(data: Any) -> Any:
    return data.task
