"""What the LightningCLI commands share: short class names, defaults of the Trainer, settings that are looked at."""

import logging
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonargparse
import lightning as L
import torch
import yaml
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.utilities import rank_zero_warn

import lm_lab.training.machine.sharding  # noqa: F401  its strategy gets a name
from lm_lab.backbones import UNNAMED
from lm_lab.config import checks
from lm_lab.config.building import build, refusals_told
from lm_lab.config.nulls import require_values
from lm_lab.config.resolved import plain, resolve
from lm_lab.config.restoring import Begun, naming
from lm_lab.config.resume import PRINTED, Wishes, place, read, require_local, require_same, require_whole, say
from lm_lab.errors import UsageError
from lm_lab.training.callbacks.progress import PlainProgress
from lm_lab.training.callbacks.watching import RequireMonitors, StopAtNaN
from lm_lab.training.machine import precision
from lm_lab.training.resuming.checkpoints import TakeNewRates, WholeCheckpoints
from lm_lab.training.resuming.run_folders import RunFolder
from lm_lab.training.resuming.settings import deciding, key
from lm_lab.training.resuming.unfinished import Stoppable, Unfinished

_SAY_NOTHING = (
    r".*does not have many workers.*",  # batches are collated in a fraction of a millisecond
    r".*module\(s\) in eval mode at the start of training.*",  # frozen parts are, on purpose
    r".*LightningCLI's args parameter is intended.*",
    r".*is not supported by the model summary.*",
    r".*Checkpoint directory .* exists.*",
    r".*LeafSpec.*",
    r".*custom batch sampler.*for prediction.*",  # ours returns all
    r".*tensorboardX.*",
    r".*log_every_n_steps.*",
)

_SAYS_NOTHING = re.compile(
    r"Tip:|^(GPU available: False|TPU available: False|HPU available: False)|^`Trainer\.fit` stopped: "
)


class LabCLI(LightningCLI):
    """LightningCLI over subclasses of a data module, with this project's defaults.

    Args:
        wishes: what the command says of resuming a fit.
        given: the words of the command, where code of strangers may be allowed and nowhere else.
        settings: those of LightningCLI.
    """

    logs = "lightning_logs"  # folder of the runs that log as csv

    def __init__(self, *args: Any, wishes: Wishes | None = None, given: Sequence[str] = (), **settings: Any) -> None:
        self.wishes, self.given = wishes or Wishes(), given
        self.stoppable: Stoppable | None = None
        self.begun = Begun()
        self.settings: dict[str, Any] = {}  # of a fit, nulls resolved
        self.words = settings["args"] if isinstance(settings.get("args"), list) else []
        settings["parser_kwargs"] = {"exit_on_error": False} | settings.get("parser_kwargs", {})
        try:
            super().__init__(*args, **settings)
        except (UsageError, jsonargparse.ArgumentError) as error:
            if not self.wishes.printed:
                raise
            try:
                super().__init__(*args, **settings | {"args": [*self.words, PRINTED]})
            except SystemExit:  # it is printed
                print(f"nulls stay, since this cannot be built yet: {error}", file=sys.stderr)
                raise

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Values only the data knows reach the model when both are built."""
        parser.add_instantiator(build, object)
        parser.set_defaults(
            {
                "trainer.gradient_clip_val": 1.0,
                "trainer.use_distributed_sampler": False,  # our batches share themselves out
                "trainer.default_root_dir": "runs",
                "trainer.enable_model_summary": False,  # a table of two modules; a fit ends with what it trained
                "model.backbone": UNNAMED,
            }
        )

    def _parse_ckpt_path(self) -> None:
        """Keep Lightning from opening a checkpoint before it has been looked at: none of ours holds settings for it."""

    def _set_seed(self) -> None:
        """Seed everything, with a number that numpy takes too."""
        checks.require_seed(self._get(self.config, "seed_everything"))
        super()._set_seed()

    def before_instantiate_classes(self) -> None:
        """Look at what was asked for before anything is built, and take what this machine can do."""
        config = self._get(self.config, "trainer")
        checks.require_device(config)
        checks.require_counts(config)
        if torch.cuda.is_available():
            torch.set_float32_matmul_precision("high")  # TF32, which Lightning would ask for in a warning
        self._take_precision()
        if self.subcommand is None:  # a program, or a suite, which has looked at what it gives
            return
        data = self._get(self.config, "data")
        require_local(self._get(self.config, "ckpt_path"))
        checks.require_own_words(self._get(self.config, "model"), self.given)
        require_values("model", self._model_class, self._get(self.config, "model"))
        require_values("data", self._datamodule_class, {"of": data} if self.subclass_mode_data else data)
        self._watch([self.begun])
        if self.subcommand == "fit":
            self._watch_fit(config)

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; a checkpoint is looked at before an evaluation too."""
        settings = self.config_init[subcommand]
        if subcommand != "fit" and settings.ckpt_path is not None:
            read(settings.ckpt_path)
        with naming(lambda: settings.ckpt_path, self.begun):  # known when the fit has looked where it stands
            super()._run_subcommand(subcommand)

    def before_fit(self) -> None:
        """Go on where the run stands, if it has begun; nothing is unpickled. What nulls came to is kept."""
        fit, stoppable = self.config_init["fit"], self.stoppable
        resolve(self.config["fit"], self.trainer, self.model)
        self.settings = plain(self._parser("fit"), self.config["fit"])
        if self.wishes.printed:
            print(yaml.safe_dump(self.settings, sort_keys=False), end="")
            raise SystemExit(0)
        if fit.weights_only is False:
            raise UsageError("--weights_only false would run code that a checkpoint holds; leave it out.")
        fit.weights_only = True
        assert stoppable is not None
        fit.ckpt_path = place(fit.ckpt_path, stoppable.path, self.trainer, self.wishes.fresh)
        if fit.ckpt_path is not None:
            found = read(fit.ckpt_path)
            require_whole(fit.ckpt_path, found)
            require_same(fit.ckpt_path, found, self, (stoppable.settings, deciding(self.settings)), self.wishes.changed)
            say(fit.ckpt_path, found)
        stoppable.settings = deciding(self.settings)

    def _watch_fit(self, config: Any) -> None:
        """Let the fit be stopped and go on, say how far it is, and end at a loss that is no number."""
        given = plain(self._parser("fit"), self.config["fit"])
        kept = Path(config.default_root_dir or ".") / "unfinished" / f"{key(given)}.ckpt"
        off = config.enable_checkpointing is False
        self.stoppable = Stoppable(None, deciding(given)) if off else Unfinished(kept, deciding(given))
        watching: list[L.Callback] = [StopAtNaN(), RequireMonitors(), self.stoppable]
        if self.wishes.changed:
            watching.append(TakeNewRates())
        if config.enable_progress_bar is not False and not sys.stderr.isatty():
            config.enable_progress_bar = False
            watching.append(PlainProgress())
        self._watch(watching)

    def _watch(self, callbacks: Sequence[L.Callback]) -> None:
        self.trainer_defaults["callbacks"] = [*self.trainer_defaults.get("callbacks", []), *callbacks]

    def _take_precision(self) -> None:
        """Do not emulate bf16: a product takes many times as long as in fp32."""
        trainer = self._get(self.config, "trainer")
        wanted, possible = trainer.precision, precision.usable(trainer.precision)
        if possible != wanted:
            rank_zero_warn(f"this processor has no bf16 instructions: running in {possible} instead of {wanted}")
            trainer.precision = possible

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Build the Trainer, whose checkpoints are written whole or not at all, in a folder of the run's own."""
        config = self._get(self.config_init, "trainer")
        given = config.plugins or []
        plugins = list(given) if isinstance(given, (list, tuple)) else [given]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins.append(WholeCheckpoints())
        logger = _with_folder(config.logger, RunFolder(config.default_root_dir or ".", self.logs))
        with refusals_told("Trainer"):
            return super().instantiate_trainer(**kwargs | {"plugins": plugins, "logger": logger})


def _with_folder(logger: Any, folder: RunFolder) -> Any:
    """A run folder where no logger is given, and first beside those that keep nothing on this disk."""
    given = logger if isinstance(logger, list) else [logger]
    if logger in (None, True):
        return folder
    if logger is False or not given or given[0].save_dir is not None:
        return logger
    return [folder, *given]


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out warnings that say nothing to the person who runs a command."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_says_something)
    with warnings.catch_warnings():
        for text in _SAY_NOTHING:
            warnings.filterwarnings("ignore", text)
        yield


def _says_something(record: logging.LogRecord) -> bool:
    """Advertisements, devices that are not there and the end that was asked for help nobody who runs a command."""
    return not _SAYS_NOTHING.search(record.getMessage())
