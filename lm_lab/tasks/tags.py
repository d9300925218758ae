"""A tag for each word of a sentence, judged by the entities that the tags spell: token classification.

    P = correct / predicted      R = correct / gold      F1 = 2 correct / (predicted + gold)

over the entities of all sentences, correct where type, first and last word are right. Tags that spell no entities, such
as parts of speech, are judged by the words that have the right one.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lm_lab.errors import UsageError
from lm_lab.metrics import Metric, entity_f1, entity_precision, entity_recall, token_accuracy
from lm_lab.tasks.entities import OUTSIDE, entities, is_bioes
from lm_lab.tasks.task import Judged, Reads, Task

IGNORED = -100  # a label of nothing: padding
LOST = -1  # in place of a position: the word has no token
_ENTITY_TAGS = (
    "O and, once each, tags of the form B-x, I-x, E-x or S-x; or scheme=plain, for parts of speech and the like"
)
UNTAGGED = "_"  # what a word without a token gets where there is no O
Scheme = Literal["entities", "plain"]
_GOLD = 4  # place of the true entities among what `count` gives


@dataclass(frozen=True)
class TagTask(Task):
    """A tag for each word, read off the word's first token.

    A batch has, beside the tokens, `first` (b, w), the position of each word's first token, -1 for a word that
    truncation or the tokenizer has left without any, and `labels` (b, w), the true tags, -100 behind the last word.
    A word without a token is not trained on and is predicted O, or _ where tags are plain: it counts like any other.

    Args:
        labels: tags in the order of their ids, with O among them if they spell entities.
        scheme: "entities" for BIO and BIOES, "plain" for tags that are classes of words.

    Raises:
        UsageError: labels that repeat; of entities, labels that lack O or are no BIO or BIOES tags.
    """

    reads: ClassVar[Reads] = "tokens"

    labels: tuple[str, ...] = (OUTSIDE,)
    _: KW_ONLY
    metrics: tuple[Metric, ...] = (entity_f1,)
    scheme: Scheme = "entities"

    def __post_init__(self) -> None:
        """Check the name and the tags."""
        super().__post_init__()
        fit = self.scheme == "plain" or (OUTSIDE in self.labels and all(map(is_bioes, self.labels)))
        if not fit or not self.labels or len(set(self.labels)) < len(self.labels):
            wanted = "tags, once each" if self.scheme == "plain" else _ENTITY_TAGS
            raise UsageError(f"the tags of '{self.name}' are {', '.join(self.labels) or 'none'}; expected {wanted}.")

    @property
    def outputs(self) -> int:
        """One score a tag."""
        return len(self.labels)

    @property
    def details(self) -> tuple[Metric, ...]:
        """Precision, recall, and the accuracy over words."""
        return () if self.scheme == "plain" else (entity_precision, entity_recall, token_accuracy)

    def loss(self, outputs: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """Mean cross-entropy over the words that have a token; outputs (b, t, k)."""
        targets = _known(batch)
        scores = _at(batch["first"], outputs).float()
        total = F.cross_entropy(scores.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
        return total / (targets != IGNORED).sum().clamp(min=1)  # a batch may hold no word at all

    def targets(self, batch: Mapping[str, Any]) -> float:
        """The words that have a token."""
        return int((_known(batch) != IGNORED).sum())

    def predictions(self, outputs: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """Tag ids of the words (b, w), O for a word without a token, or -1 if there is none; outputs (b, t, k)."""
        found = _at(batch["first"], outputs).argmax(-1)
        return found.masked_fill(batch["first"] == LOST, LOST if self.scheme == "plain" else self.labels.index(OUTSIDE))

    def judge(self, outputs: Tensor, batch: Mapping[str, Any]) -> Judged:
        """Values (b, 4): entities correct and predicted, words right and all; labels (b,): gold entities."""
        predicted, gold = self._words(self.predictions(outputs, batch), batch), self._words(batch["labels"], batch)
        counts = [count(*pair, spell=self.scheme == "entities") for pair in zip(predicted, gold, strict=True)]
        return judged(torch.tensor(counts, dtype=torch.double, device=outputs.device))

    def answers(self, outputs: Tensor, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        """`prediction`: the tags of the words."""
        return [{"prediction": tags} for tags in self._words(self.predictions(outputs, batch), batch)]

    def _words(self, ids: Tensor, batch: Mapping[str, Any]) -> list[list[str]]:
        """Tag names of each sentence's words; ids (b, w)."""
        labelled = (batch["labels"] != IGNORED).tolist()
        names = [*self.labels, UNTAGGED]  # -1 is the last
        return [
            [names[i] for i, there in zip(*row, strict=True) if there]
            for row in zip(ids.tolist(), labelled, strict=True)
        ]


def _known(batch: Mapping[str, Any]) -> Tensor:
    """Labels of the words that have a token, (b, w); -100 elsewhere."""
    return batch["labels"].masked_fill(batch["first"] == LOST, IGNORED)


def judged(counts: Tensor) -> Judged:
    """What the metrics take of sentences; counts (b, 5) as `count` gives them."""
    return Judged(counts[:, :_GOLD], counts[:, _GOLD])


def count(predicted: list[str], gold: list[str], spell: bool = True) -> tuple[int, int, int, int, int]:
    """Of one sentence: entities correct and predicted, words right and all, gold entities, none if tags spell none."""
    found, true = (entities(tags) if spell else set() for tags in (predicted, gold))
    right = sum(a == b for a, b in zip(predicted, gold, strict=True))
    return len(found & true), len(found), right, len(gold), len(true)


def _at(first: Tensor, outputs: Tensor) -> Tensor:
    """Scores of each word's first token: (b, t, k) -> (b, w, k); any where it has none."""
    position = first.clamp(min=0).unsqueeze(-1).expand(-1, -1, outputs.shape[-1])
    return outputs.gather(1, position)
