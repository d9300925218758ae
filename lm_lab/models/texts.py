"""Examples in, a batch or answers out, with no trainer: encoded by the same code as a data module's rows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device

from lm_lab.data.batching import LengthGroupedBatches
from lm_lab.data.described import data_of
from lm_lab.data.encoding.texts import encode_texts
from lm_lab.data.protocols import Encoded
from lm_lab.data.reading.lines import given_lines
from lm_lab.data.reading.text_rows import text_rows
from lm_lab.errors import UsageError
from lm_lab.tasks import TextTask

if TYPE_CHECKING:
    from lm_lab.models.adapted import AdaptedModel

Text = str | tuple[str, str]
BATCH, LENGTH = 64, 512  # where no data module says others


def batch(model: "AdaptedModel", texts: Sequence[Text], labels: Sequence[float] | None = None) -> dict[str, Any]:
    """A batch as the data modules make it, on the model's device.

    Args:
        model: says how texts are tokenised.
        texts: each one text, or two for a task of pairs; longer ones than the data's `max_length` are truncated, or
            than 512 tokens where the model is bound to none.
        labels: numbers of classes, or scores; None for none.

    Raises:
        UsageError: not as many texts as the task reads, or a task that reads something else than whole texts.
    """
    if not isinstance(model.task, TextTask):
        raise UsageError(f"the task '{model.task.name}' does not read whole texts; its batches are its data module's.")
    encoded = _encoded(model, texts)
    found = encoded.collate(list(range(len(encoded))))
    if labels is not None:
        found["labels"] = torch.from_numpy(np.asarray(labels, dtype=np.float32))
    return _moved(model, found)


@torch.no_grad()
def predict(model: "AdaptedModel", examples: Sequence[Any]) -> list[dict[str, Any]]:
    """What the task answers to each example, in words: as `lm-lab adapt predict` writes it.

    Args:
        model: bound to its data, unless it classifies or scores texts.
        examples: of the model's form: a text, or a pair; a sentence, or a list of its words; (question, context);
            (context, options); a source.

    Raises:
        UsageError: an example of another form, or a model that does not know how its examples are read.
    """
    if not len(examples):
        return []
    training = model.training
    model.eval()
    try:
        encoded, found = _encoded(model, examples), dict[int, dict[str, Any]]()
        for index in LengthGroupedBatches(encoded.lengths, BATCH, shuffle=False):
            own = _moved(model, encoded.collate(index))
            found |= zip(index, model.task.answers(model.outputs(own), own), strict=True)
        return [found[place] for place in range(len(encoded))]
    finally:
        model.train(training)


def _encoded(model: "AdaptedModel", examples: Sequence[Any]) -> Encoded:
    """The examples as the model's data module encodes them; whole texts need none."""
    encoding = replace(model.encoding, kept=False)
    if model.read_by is not None:
        data = data_of(model.read_by)
        data.bind(encoding)
        return data.encode_rows(data.read_examples(examples), data.reading, train=False)
    if not isinstance(model.task, TextTask):
        raise UsageError(
            f"how the examples of '{model.task.name}' are read is not known to the model: from lm_lab import bind; "
            "bind(model, data), with the data module that the task is of."
        )
    rows = text_rows(given_lines(examples, model.task.columns))
    return encode_texts(rows, replace(encoding, max_length=min(LENGTH, encoding.max_length)))


def _moved(model: "AdaptedModel", found: dict[str, Any]) -> dict[str, Any]:
    moved: dict[str, Any] = move_data_to_device(found, next(model.parameters()).device)
    return moved
