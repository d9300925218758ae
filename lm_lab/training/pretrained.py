"""A pretrained backbone on disk: an ordinary `transformers` folder, written whole or not at all."""

import os
import tempfile
from pathlib import Path

from torch import Tensor

from lm_lab.backbones import Backbone, loading
from lm_lab.errors import UsageError

CONFIGURATION = "pretraining.yaml"
State = dict[str, Tensor] | None


def save(backbone: Backbone, output: Path, card: str, configuration: str = "", state: State = None) -> Path:
    """Write weights (safetensors), configurations, tokenizer and README.md to a folder, replacing a model there.

    `configuration` is what `lm-lab pretrain fit` was given, which trains such a backbone once more; `state` holds the
    weights where the model itself has them in pieces.
    A reader sees the old folder or the new one, never a part of it: the new one is written beside and renamed.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as beside:
        new = Path(beside, "new")
        new.mkdir()  # with the permissions of any new folder; the temporary one around it is private
        with loading.quiet():
            backbone.model.save_pretrained(new, state_dict=state)
            backbone.tokenizer.save_pretrained(new)
        (new / "README.md").write_text(card, encoding="utf-8")
        if configuration:
            (new / CONFIGURATION).write_text(configuration, encoding="utf-8")
        if output.exists():
            os.rename(output, Path(beside, "old"))
        os.rename(new, output)
    return output


def require_replaceable(output: Path) -> None:
    """Raise `UsageError` unless `output` is absent, empty, or holds a model that a new one may replace."""
    if output.is_dir() and (not any(output.iterdir()) or (output / "config.json").is_file()):
        return
    if output.exists():
        raise UsageError(
            f"output '{output}' exists and is no model (it has no config.json); choose a new folder with --save.output."
        )
