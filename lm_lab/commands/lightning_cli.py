"""What the LightningCLI commands share: an allowlist for imports, short class names, defaults of the Trainer."""

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jsonargparse
import lightning as L
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.utilities import rank_zero_warn

import lm_lab.training.sharding  # noqa: F401  its strategy gets a name
from lm_lab.training import precision
from lm_lab.training.resuming import WholeCheckpoints
from lm_lab.training.run_folders import RunFolder

ALLOWED = (
    "lm_lab",
    "lightning",
    "pytorch_lightning",
    "torch.optim",
    "transformers.Adafactor",
    "transformers.optimization.Adafactor",
)
_FLAG = "--allow-import"
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

# lightning 2.6 calls names that jsonargparse 4.50 renamed; the person at the command line can do nothing about it
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")


class LabCLI(LightningCLI):
    """LightningCLI over subclasses of a data module, with this project's defaults."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Values only the data knows reach the model when both are built."""
        parser.set_defaults(
            {
                "trainer.gradient_clip_val": 1.0,
                "trainer.use_distributed_sampler": False,  # our batches share themselves out
                "trainer.default_root_dir": "runs",
            }
        )

    def before_instantiate_classes(self) -> None:
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
        logger = RunFolder(config.default_root_dir or ".") if config.logger in (None, True) else config.logger
        return super().instantiate_trainer(**kwargs | {"plugins": plugins, "logger": logger})


def allow_imports(args: Sequence[str]) -> list[str]:
    """Restrict what a configuration may import, to which `--allow-import MODULE` adds; returns the other arguments."""
    rest, extra = [], []
    words = iter(args)
    for word in words:
        if word == _FLAG:
            extra.append(next(words, ""))
        elif word.startswith(_FLAG + "="):
            extra.append(word.split("=", 1)[1])
        else:
            rest.append(word)
    restrict([name for name in extra if name])
    return rest


def restrict(extra: Sequence[str] = ()) -> None:
    """Let configurations import nothing but `ALLOWED` and `extra`."""
    jsonargparse.set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*ALLOWED, *extra])


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out warnings that say nothing to the person who runs a command."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_no_tips)
    with warnings.catch_warnings():
        for text in _SAY_NOTHING:
            warnings.filterwarnings("ignore", text)
        yield


def _no_tips(record: logging.LogRecord) -> bool:
    """Advertisements of other products help nobody who runs a command."""
    return "Tip:" not in record.getMessage()
