"""Where a model and its data meet: the model says how it wants its tokens, the data how it reads its texts."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, overload

from lm_lab.data.corpora.corpus import Corpus
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.modules.base import TaskData
from lm_lab.errors import UsageError
from lm_lab.models.adapted import AdaptedModel


class Pretrained(Protocol):
    """What is trained on a corpus: `Pretraining`."""

    @property
    def encoding(self) -> Encoding:
        """How it wants its tokens."""
        ...


T = TypeVar("T", bound=TaskData)
C = TypeVar("C", bound=Corpus)


@overload
def bind(model: AdaptedModel, data: T) -> T: ...
@overload
def bind(model: Pretrained, data: C) -> C: ...
def bind(model: Any, data: Any) -> Any:
    """Let `data` encode its texts as `model` reads them; an `AdaptedModel` keeps how `data` reads, for its delta.

    Args:
        model: an `AdaptedModel`, or a `Pretraining`.
        data: a data module of a task, or a `Corpus`.

    Returns:
        The data, for a `Trainer`.

    Raises:
        UsageError: the two do not belong together, or the model has no tokenizer.
    """
    adapted = isinstance(model, AdaptedModel)
    fits = hasattr(type(model), "encoding") and isinstance(data, TaskData if adapted else Corpus)
    if not fits:
        raise UsageError(
            f"bind: {type(model).__name__} and {type(data).__name__} do not belong together; expected an AdaptedModel "
            "(the `model` of an Adaptation) and the data module of a task, or a Pretraining and a Corpus."
        )
    if adapted:
        model.head.given(lambda: data.rows("train"))
    data.bind(model.encoding)
    if adapted:
        model.read_by = data.description()
    return data


def restore(model: AdaptedModel, description: Mapping[str, Any]) -> None:
    """Let a model that was saved know again by which data module its texts are read."""
    model.read_by = dict(description)
