"""The head of a PEFT adapter: one that we exported, or a sequence classifier of `transformers` that we have too.

    decoders (score)            s = W h_last                           our linear head without a bias, at the last token
    RoBERTa, XLM-R, Longformer  s = W tanh(D h_first + d) + b          our MLP head, at the first token

A BERT's classifier reads a pooler that stands in the weights of the whole model, ELECTRA's and DistilBERT's have other
non-linearities, and a regression's output is on another scale: those are refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, get_args

from safetensors import safe_open
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.backbones.pooling import Pooling
from lm_lab.data.encoding.encoding import Pairs
from lm_lab.errors import UsageError
from lm_lab.heads.scorers import HeadKind
from lm_lab.interchange.peft_write import HEAD
from lm_lab.models import AdaptedModel
from lm_lab.models.tensors import read_tensors
from lm_lab.tasks import Task, TextTask

_ROBERTA = {
    f"classifier.{theirs}.{name}": f"scorer.{ours}.{name}"
    for theirs, ours in (("dense", "hidden"), ("out_proj", "classifier.out"))
    for name in ("weight", "bias")
}
_DECODER = {"score.weight": "scorer.out.weight"}
_READINGS: Mapping[str, tuple[str, ...]] = {"pooling": get_args(Pooling), "pairs": get_args(Pairs), "delimiter": ()}
_FRESH = "--fresh-head leaves it out"


class Head(NamedTuple):
    """Tensors by our names, none for a fresh head; and what we exported with them: pooling, pairs, delimiter."""

    kind: HeadKind | None = None
    tensors: Mapping[str, Tensor] = {}
    reading: Mapping[str, str] = {}


def read_head(folder: Path, own: Mapping[str, Tensor], backbone: Backbone, task: Task, pooling: Pooling | None) -> Head:
    """The head in `folder`, or among the adapter's `own` tensors.

    Raises:
        UsageError: a head that computes something else than ours.
    """
    if (folder / HEAD).is_file():
        tensors = read_tensors(folder / HEAD)
        return Head(_kind_of(tensors), tensors, _reading(folder / HEAD))
    if not own:
        return Head()
    first = backbone.kind in ("roberta", "xlm-roberta", "longformer")
    names, kind = (_ROBERTA, "mlp") if first else (_DECODER, "linear")
    wanted: Pooling = "cls" if first else "last"
    plain = isinstance(task, TextTask) and not task.regression
    if set(own) != set(names) or (pooling or backbone.pooling) != wanted or not plain:
        raise UsageError(
            f"the adapter brings a head, {sorted(own)[0]} (modules_to_save), which has no counterpart for the task "
            f"'{task.name}' on {backbone.kind} here; {_FRESH}."
        )
    tensors = {names[name]: value for name, value in own.items()}
    if not first:
        tensors["scorer.out.bias"] = tensors["scorer.out.weight"].new_zeros(len(tensors["scorer.out.weight"]))
    return Head(kind, tensors)  # type: ignore[arg-type]


def _kind_of(tensors: Mapping[str, Tensor]) -> HeadKind | None:
    if "scorer.classifier.out.weight" in tensors:
        return "mlp"
    return "no_bias" if "scorer.out.weight" in tensors and "scorer.out.bias" not in tensors else None


def _reading(path: Path) -> dict[str, str]:
    """What the head reads. Raises `UsageError` for a word that is none of ours."""
    with safe_open(path, "pt") as file:
        said = {name: value for name, value in (file.metadata() or {}).items() if name in _READINGS}
    for name, value in said.items():
        if _READINGS[name] and value not in _READINGS[name]:
            raise UsageError(f"'{path}': {name}='{value}'; expected one of {', '.join(_READINGS[name])}.")
    return said


def how_read(head: Head, **given: str | None) -> dict[str, str]:
    """What the head was trained to read, or where it does not say, what is given.

    Raises:
        UsageError: something else is given.
    """
    for name, value in given.items():
        if value is not None and head.reading.get(name, value) != value:
            raise UsageError(
                f"--{name} {value}: the adapter's head was trained with '{head.reading[name]}'; leave the option out, "
                "or the head with --fresh-head."
            )
    return {name: value for name, value in given.items() if value is not None} | dict(head.reading)


def load_head(model: AdaptedModel, head: Head) -> None:
    """Put the tensors in place. Raises `UsageError` if they are another head's, or of another number of classes."""
    if not head.tensors:
        return
    expected = model.head.state_dict()
    for name in sorted(expected.keys() | head.tensors.keys()):
        ours, theirs = (list(found[name].shape) if name in found else None for found in (expected, head.tensors))
        if ours != theirs:
            raise UsageError(
                f"the adapter's head does not fit the task '{model.task.name}': {name} is {theirs or 'not there'}, "
                f"expected {ours or 'none'}; name its own task, or {_FRESH.replace('it out', 'the head out')}."
            )
    model.head.load_state_dict(dict(head.tensors))
