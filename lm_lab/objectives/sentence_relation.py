"""What two segments are to each other, told from the first token: sentence-level objectives of BERT and its kin.

    p = tanh(W h_1 + c)                        h_1: final state of the first token, (d,)
    loss = cross_entropy(V p + b, label)

    NextSentence        b follows a, or is of another document       Devlin et al. 2019, BERT
    SentenceOrder       b follows a, or goes before it               Lan et al. 2020, ALBERT
    SentenceStructure   b follows, goes before, is of another one    Wang et al. 2020, StructBERT

The rows of a corpus carry the label (`lm_lab.data.corpora.rows`). In a sum with masked language modelling the states
are those of masked tokens, as in all three papers.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives.base import Loss, Reader, cross_entropy, require_context


class SentenceRelation(Reader):
    """A classifier on the first token's state.

    Attributes:
        label: the batch's entry, (b,), with the labels.
        rows: the rows of a corpus that carry it.
        classes: number of labels.

    Args:
        backbone: an encoder whose rows begin with a token for the whole text.

    Raises:
        UsageError: the backbone is a decoder, or an encoder-decoder.
    """

    label: ClassVar[str]
    rows: ClassVar[str]
    classes: ClassVar[int]

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        if backbone.causal or backbone.encoder_decoder:
            raise UsageError(
                f"{backbone.kind}: {type(self).__name__} reads the first token, which must have seen all "
                "others; give an encoder (bert, roberta, albert, electra)."
            )
        require_context(self, backbone)
        self.pooler = nn.Linear(backbone.hidden_size, backbone.hidden_size)
        self.output = nn.Linear(backbone.hidden_size, self.classes)
        for layer in (self.pooler, self.output):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def read(self, states: Tensor, batch: Mapping[str, Tensor]) -> Loss:
        """Return the mean cross entropy and the accuracy of final states (b, t, d).

        Raises:
            UsageError: the batch has no such labels.
        """
        if self.label not in batch:
            raise UsageError(
                f"this corpus has no labels '{self.label}', which {type(self).__name__} learns; "
                f"set data.rows to lm_lab.data.{self.rows}."
            )
        logits = self.output(torch.tanh(self.pooler(states[:, 0]))).float()  # (b, classes)
        loss, accuracy = cross_entropy(logits, batch[self.label])
        counts = dict.fromkeys((self.label, "accuracy"), len(logits))
        return Loss({self.label: loss}, counts, {"accuracy": accuracy}, states=states)


class NextSentence(SentenceRelation):
    """BERT's next-sentence prediction: label 1 says that the second segment is of another document."""

    label, rows, classes = "next_sentence", "NextSentencePairs", 2


class SentenceOrder(SentenceRelation):
    """ALBERT's sentence-order prediction: label 1 says that the two segments are swapped."""

    label, rows, classes = "sentence_order", "SentenceOrderPairs", 2


class SentenceStructure(SentenceRelation):
    """StructBERT's three ways: the second segment follows, goes before, or is of another document."""

    label, rows, classes = "sentence_structure", "ThreeWayPairs", 3
