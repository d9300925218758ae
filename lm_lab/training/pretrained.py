"""A pretrained backbone on disk: an ordinary `transformers` folder, written whole or not at all."""

import json
import os
import tempfile
from pathlib import Path

from safetensors.torch import save as serialised
from torch import Tensor

from lm_lab.atomic import require_writable, share
from lm_lab.backbones import Backbone
from lm_lab.backbones.output import FACTS, HEADS
from lm_lab.errors import UsageError

CONFIGURATION = "pretraining.yaml"
_MODELS = ("config.json", FACTS)  # one of them is in every folder with a model: not all are models of transformers
Facts = dict[str, str | int | float]
State = dict[str, Tensor] | None


def save(
    backbone: Backbone,
    output: Path,
    facts: Facts,
    configuration: str = "",
    state: State = None,
    heads: State = None,
) -> Path:
    """Write weights (safetensors), configurations, tokenizer and facts to a folder, replacing a model there.

    `facts` say what the weights come from, in README.md for people and in pretraining.json for programs;
    `configuration` is what `lm-lab pretrain fit` was given, which trains such a backbone once more; `state` holds the
    weights where the model itself has them in pieces; `heads` are those of the objective, with which the backbone is a
    language model (`lm_lab.scoring`).
    A reader sees the old folder or the new one, never a part of it: the new one is written beside and renamed.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as beside:
        new = Path(beside, "new")
        new.mkdir()  # with the permissions of any new folder; the temporary one around it is private
        backbone.write(new, state)
        if heads:
            own = {name: value.detach().cpu().contiguous() for name, value in heads.items()}
            (new / HEADS).write_bytes(serialised(own))
        (new / "README.md").write_text(card(facts), encoding="utf-8")
        (new / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        if configuration:
            (new / CONFIGURATION).write_text(configuration, encoding="utf-8")
        share(new)
        if output.exists():
            os.rename(output, Path(beside, "old"))
        os.rename(new, output)
    return output


def card(facts: Facts) -> str:
    """Return facts as a table in Markdown: counts in groups of three digits, other numbers to five digits."""
    rows = "\n".join(f"| {name} | {_shown(value)} |" for name, value in facts.items())
    return f"# Pretrained with lm_lab\n\n| | |\n|---|---|\n{rows}\n"


def _shown(value: str | int | float) -> str:
    if isinstance(value, str):
        return value.replace("|", "\\|")
    return f"{value:,}" if isinstance(value, int) else f"{value:.5g}"


def require_replaceable(output: Path) -> None:
    """Raise `UsageError` unless `output` is absent, empty, or holds a model that a new one may replace, on a disk that
    takes files.
    """
    require_writable(output.parent)
    if output.is_dir() and (not any(output.iterdir()) or any((output / name).is_file() for name in _MODELS)):
        return
    if output.exists():
        raise UsageError(
            f"output '{output}' exists and is no model (it has no {_MODELS[0]} or {_MODELS[1]}); choose a new folder "
            "with --save.output."
        )
