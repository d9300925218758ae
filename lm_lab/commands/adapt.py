"""`lm-lab adapt fit|validate|test|predict`: a LightningCLI over Adaptation and the task's data module."""

import copy
import json
from typing import Any

import lightning as L
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback

import lm_lab.data.choices
import lm_lab.data.glue
import lm_lab.data.multi_label
import lm_lab.data.own
import lm_lab.data.sequences
import lm_lab.data.squad
import lm_lab.data.tags
import lm_lab.strategies  # noqa: F401  the parser finds short class names among what is imported
from lm_lab.commands import checks
from lm_lab.commands.lightning_cli import LabCLI, allow_imports, quiet, split_imports
from lm_lab.commands.predictions import report_predictions
from lm_lab.commands.resume import take_wishes
from lm_lab.errors import UsageError
from lm_lab.models import delta
from lm_lab.models.trust import trusted_config
from lm_lab.training.adaptation import adaptation_of
from lm_lab.training.callbacks import SaveDelta
from lm_lab.training.resuming import ExactResume


class AdaptCLI(LabCLI):
    """Adaptation and a data module whose `task` the model takes; `--delta DIR` loads what a fit has saved."""

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Those whose name is among the words, or all: a parser of each takes longer to build than a small model."""
        known = LabCLI.subcommands()
        return {name: given for name, given in known.items() if name in self.words} or known

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link the data's task to the model."""
        super().add_arguments_to_parser(parser)
        parser.add_argument("--delta", type=str | None, help="folder of a trained delta: model and task come from it")
        parser.link_arguments("data", "model.task", compute_fn=_task_of, apply_on="instantiate")

    def load_delta(self) -> None:
        """Load the delta where one is given."""
        if folder := self._get(self.config, "delta"):
            delta.load(self.model.model, folder)

    before_validate = before_test = load_delta

    def before_predict(self) -> None:
        """Standard input can be read once."""
        if getattr(self.datamodule, "text", None) == "-" and self.trainer.world_size > 1:
            raise UsageError(
                f"--text - is standard input, which {self.trainer.world_size} processes cannot all read; give a file, "
                "or --trainer.devices 1."
            )
        self.load_delta()

    def before_fit(self) -> None:
        """A trained delta is no start for another fit: its frozen and trained parts could not be told apart."""
        if self._get(self.config, "delta"):
            raise UsageError("--delta goes with validate, test or predict; resume a fit with --ckpt_path.")
        super().before_fit()

    def after_predict(self) -> None:
        """Print or write the predictions."""
        report_predictions(self.trainer, self.model.model.task, self.datamodule)


def _task_of(data: Any) -> Any:
    return data.task


def build(args: Any = None, run: bool = True, callbacks: tuple[L.Callback, ...] = (), **settings: Any) -> AdaptCLI:
    """The command line interface; with `run=False`, model, data and trainer built from a plain dictionary `args`."""
    return AdaptCLI(
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


def main(words: list[str]) -> int:
    """Run a subcommand. `--delta DIR` takes model and task from a fit, `--text FILE` predicts on lines of text."""
    checks.require_small_files(words)
    args, wishes = take_wishes(allow_imports(words))
    given, (args, text) = args, take(args, "--text")
    folder = take(args, "--delta")[1]
    if text and not (folder and args[:1] == ["predict"]):
        raise UsageError("--text goes with `predict --delta DIR`, the folder of a trained model.")
    if folder:
        trusted = [name.split(".")[0] for name in split_imports(words)[1]]
        config = trusted_config(delta.read_description(folder), trusted, any(checks.TRUST in word for word in given))
        if text:
            config["data"]["init_args"]["text"] = text
        args = [*args[:1], "--config", json.dumps(config), *args[1:]]
    with quiet():
        build(args, callbacks=(SaveDelta(),), wishes=wishes, given=given)
    return 0


def take(args: list[str], flag: str) -> tuple[list[str], str | None]:
    """`args` without `flag VALUE` or `flag=VALUE`, and the value."""
    for position, word in enumerate(args):
        if word == flag and position + 1 < len(args):
            return args[:position] + args[position + 2 :], args[position + 1]
        if word == flag:
            raise UsageError(f"{flag} needs a value.")
        if word.startswith(flag + "="):
            return args[:position] + args[position + 1 :], word.split("=", 1)[1]
    return args, None
