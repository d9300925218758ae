"""What an adaptation leaves behind: the delta and the head, as safetensors with a JSON description.

delta.safetensors   every trained parameter of the backbone, everything of the head
adaptation.json     strategy, task, reading, and which backbone the delta belongs to
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file
from torch import Tensor

from lm_lab.atomic import share
from lm_lab.described import plain
from lm_lab.errors import UsageError
from lm_lab.models.tensors import read_tensors, require_finite
from lm_lab.tasks.described import describe as describe_task

if TYPE_CHECKING:
    from lm_lab.models.adapted import AdaptedModel

TENSORS, DESCRIPTION = "delta.safetensors", "adaptation.json"
FORMAT = 3


def keys(model: "AdaptedModel") -> frozenset[str]:
    """Names in the model's state that the delta holds: what trains, and the head with its buffers."""
    return model.trained | {f"head.{name}" for name in model.head.state_dict()}


def describe(
    model: "AdaptedModel", chosen: Mapping[str, Any] | None = None, training: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Plain description: the backbone's fingerprint, and the configuration that builds the model again.

    Args:
        model: what was trained.
        chosen: `monitor`, `value` and `step` of the checkpoint that it was taken from; None for the last step's.
        training: how it was trained, for people to read; None where nobody says.
    """
    glue = {"class_path": "lm_lab.data.GLUE", "init_args": {"task": model.task.name}}
    return {
        "format": FORMAT,
        "chosen": chosen,
        "training": training,
        "bound": model.read_by is not None,
        "fingerprint": model.fingerprint,
        "task": describe_task(model.task),
        "config": {
            "model": {
                "backbone": model.backbone.description,
                "strategy": _strategy(model.strategy),
                "pooling": model.pooling,
                "pairs": model.pairs,
                "head": model.head_kind,
                "delimiter": model.delimiter,
            },
            "data": model.read_by or glue,
        },
    }


def _strategy(strategy: Any) -> dict[str, Any]:
    """The configuration of a strategy, and of those inside it. Raises `UsageError` if it is no dataclass."""
    kind = type(strategy)
    if not dataclasses.is_dataclass(strategy):
        raise UsageError(f"{kind.__name__} is no dataclass, so its settings cannot be saved.")
    found: dict[str, Any] = plain(strategy)
    return found


def save(
    model: "AdaptedModel",
    folder: str | Path,
    chosen: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> Path:
    """Write the delta and its description to `folder`. Raises `UsageError` if the delta is not finite."""
    folder = Path(folder)
    state, names = model.state_dict(), keys(model)
    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(names)}
    require_finite(tensors, "the delta is not saved")
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / TENSORS)
    share(folder / TENSORS)
    about = describe(model, chosen, training)
    (folder / DESCRIPTION).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return folder


def read_description(folder: str | Path) -> dict[str, Any]:
    """The description in `folder`: plain data from who knows where, see `trust.trusted_config`.

    Raises:
        UsageError: there is none, it is no JSON of ours, or of another format.
    """
    path = Path(folder) / DESCRIPTION
    if not path.is_file():
        raise UsageError(f"'{folder}' holds no {DESCRIPTION}; expected a folder written by `lm-lab adapt fit`.")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}; was it written by `lm-lab adapt fit`?") from error
    format_ = description.get("format") if isinstance(description, dict) else None
    if type(format_) is not int or format_ != FORMAT:
        raise UsageError(f"{path} has format {format_!r:.80}; this version reads {FORMAT}: train it again.")
    for name in ("fingerprint", "task", "config", "config.model", "config.model.backbone", "config.data"):
        _require_part(description, name, path)
    return description


def _require_part(description: Any, name: str, path: Path) -> None:
    value = description
    for key in name.split("."):
        value = value.get(key)
    if not isinstance(value, str if name == "fingerprint" else dict):
        expected = "text" if name == "fingerprint" else "a mapping"
        raise UsageError(f"{path} is damaged: {name} is {value!r:.80}; expected {expected}.")


def load(model: "AdaptedModel", folder: str | Path) -> None:
    """Load a saved delta into a model built the same way.

    Raises:
        UsageError: a damaged delta, other keys or shapes than this strategy trains, or a delta of another backbone.
    """
    description = read_description(folder)
    if description["fingerprint"] != model.fingerprint:
        said = description["config"]["model"]["backbone"]
        raise UsageError(
            f"the delta in '{folder}' belongs to the backbone {said.get('source', said.get('class_path'))!r:.300} "
            f"with weights {description['fingerprint']:.80}; this one has {model.fingerprint}."
        )
    put(model, read_tensors(Path(folder) / TENSORS), f"the delta in '{folder}'")


def put(model: "AdaptedModel", tensors: Mapping[str, Tensor], what: str) -> None:
    """Put a delta's tensors into a model. Raises `UsageError` unless they fit it."""
    require_fit(model, tensors, what)
    model.load_state_dict({**model.state_dict(), **tensors})


def require_fit(model: "AdaptedModel", tensors: Mapping[str, Tensor], what: str) -> None:
    """Raise `UsageError` unless `tensors` have the keys, shapes and kinds of this model's delta."""
    require_keys(model, tensors, what)
    state = model.state_dict()
    for name, value in tensors.items():
        if value.shape != state[name].shape or value.is_floating_point() != state[name].is_floating_point():
            found, expected = (f"{list(t.shape)} of {str(t.dtype)[6:]}" for t in (value, state[name]))
            raise UsageError(f"{what} does not fit this model: {name} is {found}; expected {expected}.")


def require_keys(model: "AdaptedModel", found: Iterable[str], what: str) -> None:
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
