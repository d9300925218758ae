"""The head that a task's form asks for."""

from collections.abc import Callable
from typing import Protocol, cast

from torch import nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.pooling import FixedPooling, Pooling
from lm_lab.backbones.transformers_backbone import require_transformers
from lm_lab.data.encoding.encoding import Pairs
from lm_lab.errors import UsageError
from lm_lab.heads.base import Head
from lm_lab.heads.encoder_decoder import EncoderDecoderGeneration
from lm_lab.heads.generation import WRITING, GenerationHead
from lm_lab.heads.mix import ScalarMix
from lm_lab.heads.one_model import OneModelGeneration
from lm_lab.heads.readout import TextReadout, TokenReadout
from lm_lab.heads.scorers import HEADS, HeadKind
from lm_lab.heads.task_model import TaskModel, TaskReadout
from lm_lab.tasks import Task


class Reader(Protocol):
    """What says how a backbone is read: an adaptation strategy."""

    def layers(self, backbone: Backbone) -> tuple[int, ...]:
        """Hidden states that the head reads."""

    def mix(self, backbone: Backbone) -> ScalarMix | None:
        """How several of them become one."""

    def beside(self, backbone: Backbone) -> TaskModel | None:
        """What the task itself reads of its tokens."""

    def head(self, inputs: int, outputs: int) -> nn.Module:
        """From vectors to scores."""

    def whole_head(self, backbone: Backbone, task: Task) -> Head | None:
        """A head that is no readout of vectors."""


def build_head(
    backbone: Backbone, reader: Reader, task: Task, pooling: Pooling, pairs: Pairs, kind: HeadKind | None
) -> Head:
    """A vector a text, one a token, or a text to be written, as the task reads; `kind` None: the reader's own."""
    if (whole := reader.whole_head(backbone, task)) is not None:
        return whole
    if task.reads == "sequence":
        return generation_head(backbone)
    width, layers, mix = backbone.hidden_size, reader.layers(backbone), reader.mix(backbone)
    scorer: Callable[[int, int], nn.Module] = HEADS[kind] if kind else reader.head
    if task.marked and (pooling not in ("mean", "max", "attention") or reader.beside(backbone)):
        raise UsageError(
            f"'{task.name}' reads the words that are marked: pooling is mean, max or attention, without a model of the "
            f"task's own; found pooling={pooling}."
        )
    if task_model := reader.beside(backbone):
        return _task_readout(task_model, reader, backbone, task, pooling, pairs, kind)
    if task.reads == "tokens":
        return TokenReadout(layers, mix, scorer(width, task.outputs), pooling == "lstm", width)
    apart = task.paired and pairs == "bi_encoder"
    wide = width * (4 if apart else 1)
    return TextReadout(layers, mix, scorer(wide, task.outputs), pooling, width, added=pairs == "both_orders")


def _task_readout(
    model: TaskModel,
    reader: Reader,
    backbone: Backbone,
    task: Task,
    pooling: Pooling,
    pairs: Pairs,
    kind: HeadKind | None,
) -> TaskReadout:
    """Reads with a model of the task's own. Raises `UsageError` for a pooling that learns too, or without a mix."""
    mix, scorer = reader.mix(backbone), HEADS[kind] if kind else reader.head
    if mix is None or pooling in ("attention", "lstm"):
        raise UsageError(
            f"a task's own model reads a mix of states and learns; pooling={pooling}: give mean, max or last."
        )
    tokens, apart = task.reads == "tokens", task.paired and pairs == "bi_encoder"
    found = scorer(model.width * (4 if apart and not tokens else 1), task.outputs)
    fixed = None if tokens else cast("FixedPooling", pooling)
    return TaskReadout(model, reader.layers(backbone), mix, found, fixed, added=pairs == "both_orders")


def generation_head(backbone: Backbone) -> GenerationHead:
    """What writes texts with this backbone. Raises `UsageError` if it is no model of `transformers`."""
    model = require_transformers(backbone, WRITING)
    return EncoderDecoderGeneration(model) if model.encoder_decoder else OneModelGeneration(model)
