"""What an adaptation leaves behind: the delta and the head, as safetensors with a JSON description.

delta.safetensors   every trained parameter of the backbone, everything of the head
adaptation.json     strategy, task, reading, and which backbone the delta belongs to
"""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file, save_file

from lm_lab.errors import UsageError
from lm_lab.tasks import saved

if TYPE_CHECKING:
    from lm_lab.training.adaptation import Adaptation

TENSORS, DESCRIPTION = "delta.safetensors", "adaptation.json"
FORMAT = 2


def keys(model: "Adaptation") -> frozenset[str]:
    """Names in the model's state that the delta holds: what trains, and the head with its buffers."""
    return model.trained | {f"head.{name}" for name in model.head.state_dict()}


def describe(model: "Adaptation") -> dict[str, Any]:
    """Plain description: the backbone's fingerprint, and the configuration that builds the model again."""
    limit = {} if model.max_length is None else {"max_length": model.max_length}
    glue = {"class_path": "lm_lab.data.glue.GLUE", "init_args": {"task": model.task.name} | limit}
    return {
        "format": FORMAT,
        "fingerprint": model.backbone.fingerprint,
        "task": saved.spec(model.task),
        "config": {
            "model": {
                "backbone": model.backbone.spec,
                "strategy": spec(model.strategy),
                "pooling": model.pooling,
                "pairs": model.pairs,
                "head": model.head_kind,
                "delimiter": model.delimiter,
            },
            "data": model.read_by or glue,
        },
    }


def spec(strategy: Any) -> dict[str, Any]:
    """The configuration of a strategy, and of those inside it. Raises `UsageError` if it is no dataclass."""
    kind = type(strategy)
    if not dataclasses.is_dataclass(strategy):
        raise UsageError(f"{kind.__name__} is no dataclass, so its settings cannot be saved.")
    settings = {field.name: _plain(getattr(strategy, field.name)) for field in dataclasses.fields(strategy)}
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": settings}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return spec(value)
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def save(model: "Adaptation", folder: str | Path) -> Path:
    """Write the delta and its description to `folder`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state, names = model.state_dict(), keys(model)
    save_file({name: state[name].detach().cpu().contiguous() for name in sorted(names)}, folder / TENSORS)
    (folder / DESCRIPTION).write_text(json.dumps(describe(model), indent=2) + "\n", encoding="utf-8")
    return folder


def read_description(folder: str | Path) -> dict[str, Any]:
    """The description in `folder`. Raises `UsageError` if there is none or it is of another format."""
    path = Path(folder) / DESCRIPTION
    if not path.is_file():
        raise UsageError(f"'{folder}' holds no {DESCRIPTION}; expected a folder written by `lm-lab adapt fit`.")
    description = json.loads(path.read_text(encoding="utf-8"))
    if description.get("format") != FORMAT:
        raise UsageError(f"{path} has format {description.get('format')!r}; this version reads {FORMAT}.")
    return description


def load(model: "Adaptation", folder: str | Path) -> None:
    """Load a saved delta into a model built the same way.

    Raises:
        UsageError: other keys than this strategy trains, or a delta of another backbone.
    """
    description = read_description(folder)
    if description["fingerprint"] != model.backbone.fingerprint:
        raise UsageError(
            f"the delta in '{folder}' belongs to the backbone {description['config']['model']['backbone']['source']} "
            f"with weights {description['fingerprint']}; this one has {model.backbone.fingerprint}."
        )
    tensors = load_file(Path(folder) / TENSORS)
    require_keys(model, tensors, f"the delta in '{folder}'")
    model.load_state_dict({**model.state_dict(), **tensors})


def require_keys(model: "Adaptation", found: Iterable[str], what: str) -> None:
    """Raise `UsageError` unless `found` are exactly the keys of this model's delta."""
    expected, present = keys(model), frozenset(found)
    if expected == present:
        return
    strategy = type(model.strategy).__name__
    lacks = f" It lacks {_some(expected - present)}." if expected - present else ""
    extra = f" It has {_some(present - expected)} too many." if present - expected else ""
    raise UsageError(
        f"{what} does not fit {strategy} on this backbone.{lacks}{extra} Use the settings it was trained with."
    )


def _some(names: frozenset[str]) -> str:
    first = sorted(names)[0]
    return first if len(names) == 1 else f"{first} and {len(names) - 1} more"
