"""Texts in, a batch or answers out, without a data module: for a loop of one's own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lm_lab.data.encode_texts import encode_texts
from lm_lab.data.text_rows import TextRows
from lm_lab.errors import UsageError
from lm_lab.tasks import TextTask

if TYPE_CHECKING:
    from lm_lab.models.adapted import AdaptedModel

Text = str | tuple[str, str]
BATCH, LENGTH = 64, 512


def batch(
    model: "AdaptedModel", texts: Sequence[Text], labels: Sequence[float] | None = None, length: int = LENGTH
) -> dict[str, Any]:
    """A batch as the data modules make it, on the model's device.

    Args:
        model: says how texts are tokenised.
        texts: each one text, or two for a task of pairs.
        labels: numbers of classes, or scores; None for none.
        length: longest sequence in tokens; what is longer is truncated.

    Raises:
        UsageError: not as many texts as the task reads, or a task that reads something else than whole texts.
    """
    task = _text_task(model)
    columns = [(text,) if isinstance(text, str) else tuple(text) for text in texts]
    if wrong := [column for column in columns if len(column) != len(task.columns)]:
        raise UsageError(f"{wrong[0]!r:.200}: the task '{task.name}' reads {len(task.columns)} text(s) a row.")
    given = np.full(len(columns), np.nan) if labels is None else np.asarray(labels, dtype=float)
    rows = TextRows(tuple(map(list, zip(*columns, strict=True))), given, np.arange(len(columns)), "the texts given")
    encoding = model.encoding
    encoding = replace(encoding, max_length=min(length, encoding.max_length), kept=False)
    encoded = encode_texts(rows, encoding)
    found = encoded.collate(list(range(len(rows))))
    device = next(model.parameters()).device
    moved = [{name: value.to(device) for name, value in text.items()} for text in found["texts"]]
    return found | {"texts": moved, "labels": found["labels"].to(device)}


@torch.no_grad()
def predict(model: "AdaptedModel", texts: Sequence[Text], length: int = LENGTH) -> list[dict[str, Any]]:
    """What the task answers to each text, in words: as `lm-lab adapt predict` writes it; errors as of `batch`."""
    training = model.training
    model.eval()
    try:
        answers: list[dict[str, Any]] = []
        for start in range(0, len(texts), BATCH):
            own = batch(model, texts[start : start + BATCH], length=length)
            answers += model.task.answers(model.outputs(own), own)
        return answers
    finally:
        model.train(training)


def _text_task(model: "AdaptedModel") -> TextTask:
    if not isinstance(model.task, TextTask):
        raise UsageError(
            f"the task '{model.task.name}' does not read whole texts; use a data module of its form, or "
            "`lm-lab adapt predict --text`."
        )
    return model.task
