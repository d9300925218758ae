"""The head of an adaptation: what reads the backbone for a task's form, or writes with it."""

from lm_lab.backbones import Backbone
from lm_lab.backbones.pooling import Pooling
from lm_lab.data.encoding import Pairs
from lm_lab.strategies import AdaptationStrategy
from lm_lab.strategies.heads import HEADS, HeadKind
from lm_lab.strategies.readout import Readout, TextReadout, TokenReadout
from lm_lab.strategies.writer import Writer, writer
from lm_lab.tasks import Task


def build_head(
    backbone: Backbone, strategy: AdaptationStrategy, task: Task, pooling: Pooling, pairs: Pairs, kind: HeadKind | None
) -> Readout | Writer:
    """A vector a text, one a token, or a text to be written, as the task reads; `kind` None: the strategy's own."""
    if task.reads == "sequence":
        return writer(backbone)
    width, layers, mix = backbone.hidden_size, strategy.layers(backbone), strategy.mix(backbone)
    head = HEADS[kind] if kind else strategy.head
    if task.reads == "tokens":
        return TokenReadout(layers, mix, head(width, task.outputs), pooling == "lstm", width)
    towers = task.paired and pairs == "towers"
    scorer = head(width * (4 if towers else 1), task.outputs)
    return TextReadout(layers, mix, scorer, pooling, width, added=pairs == "both_orders")
