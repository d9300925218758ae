"""`lm-lab adapt fit|validate|test|predict`."""

import json
from pathlib import Path

from lm_lab.commands.card import WriteCard
from lm_lab.commands.prediction_files import on_device, read_names, write_predictions
from lm_lab.commands.predictions import report_predictions
from lm_lab.commands.summary import AdaptSummary
from lm_lab.commands.validations import Validations
from lm_lab.config import checks
from lm_lab.config.adapting import AdaptCLI, build
from lm_lab.config.imports import allow_imports, split_imports
from lm_lab.config.lightning_cli import quiet
from lm_lab.config.resume import take_wishes
from lm_lab.errors import UsageError
from lm_lab.models import delta
from lm_lab.models.loading import load_adaptation
from lm_lab.models.trust import trusted_config
from lm_lab.tracking.describing import Described
from lm_lab.training.callbacks.curves import Curves
from lm_lab.training.callbacks.delta import SaveDelta
from lm_lab.training.callbacks.meter import TrainingMeter
from lm_lab.training.machine.processes import leave


class Commands(AdaptCLI):
    """What is said and written beside training."""

    def before_predict(self) -> None:
        """Standard input can be read once."""
        if getattr(self.datamodule, "text", None) == "-" and self.trainer.world_size > 1:
            raise UsageError(
                f"--text - is standard input, which {self.trainer.world_size} processes cannot all read; give a file, "
                "or --trainer.devices 1."
            )
        self.load_delta()

    def before_fit(self) -> None:
        """Say to the loggers what is trained."""
        super().before_fit()
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Described):
                callback.begin(self.trainer, self.model, self.datamodule, self.settings)

    def after_predict(self) -> None:
        """Print or write the predictions."""
        report_predictions(self.trainer, self.model.model.task, self.datamodule)


def main(words: list[str]) -> int:
    """Run a subcommand. `--delta DIR` takes model and task from a fit, `--text FILE` predicts on lines of text."""
    checks.require_small_files(words)
    args, wishes = take_wishes(allow_imports(words))
    given, (args, text) = args, take(args, "--text")
    args, out = take(args, "--out")
    folder = take(args, "--delta")[1]
    if text and not (folder and args[:1] == ["predict"]):
        raise UsageError("--text goes with `predict --delta DIR`, the folder of a trained model.")
    _require_form(text, out)
    trusted = [name.split(".")[0] for name in split_imports(words)[1]]
    if text and out and folder:
        return _to_file(take(args[1:], "--delta")[0], Path(folder), Path(text), Path(out), trusted)
    if folder:
        config = trusted_config(delta.read_description(folder), trusted, any(checks.TRUST in word for word in given))
        if text:
            config["data"]["init_args"]["text"] = text
        args = [*args[:1], "--config", json.dumps(config), *args[1:]]
    with quiet():
        saved, meter = SaveDelta(), TrainingMeter()
        found = Validations(saved)
        summary = AdaptSummary(found, meter)
        described = Described(lambda _: (saved.folder, summary.scores), lambda t: found.of_saved(t).examples)
        callbacks = (meter, Curves(meter), found, saved, WriteCard(found, meter), summary, described)
        build(args, callbacks=callbacks, kind=Commands, wishes=wishes, given=given)
    leave()
    return 0


def _require_form(text: str | None, out: str | None) -> None:
    """Raise `UsageError` for rows without a place to go to, or a place for no rows."""
    if out and not text:
        raise UsageError("--out FILE goes with `predict --delta DIR --text FILE`.")
    if text and not out and Path(text).suffix in (".csv", ".jsonl", ".parquet"):
        raise UsageError(f"--text {text} has columns; say where they go with their predictions: --out FILE.csv.")
    if text == "-" and out:
        raise UsageError("--text - is read line by line and printed; with --out give a file.")


def _to_file(args: list[str], folder: Path, text: Path, out: Path, trusted: list[str]) -> int:
    """Rows of a file with their predictions to another one, without a trainer."""
    args, names = take(args, "--data.columns")
    if args:
        raise UsageError(f"{args[0]}: with --out, `predict` takes --delta, --text, --data.columns and --allow-import.")
    if not text.is_file():
        raise UsageError(f"no file '{text}' to predict on; give a text file, csv, jsonl or parquet.")
    with quiet():
        model = on_device(load_adaptation(folder, trusted))
        count = write_predictions(model, text, out, dict(read_names(names)) if names else None)
    print(f"predictions: {out} ({count:,} rows)")
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
