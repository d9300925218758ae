"""A label for each node of a tree, and for its root, the sentence: the Stanford Sentiment Treebank's form.

accuracy over roots, reported as the score, and over all labelled nodes; the last labelled node of a row is its root.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor

from lm_lab.metrics import Metric, node_accuracy, root_accuracy
from lm_lab.tasks.tags import IGNORED, TagTask
from lm_lab.tasks.task import Judged


@dataclass(frozen=True)
class NodeTask(TagTask):
    """Labels of nodes, as a `TagTask` of plain tags; see there for arguments, errors and batches."""

    _: KW_ONLY
    metrics: tuple[Metric, ...] = (root_accuracy,)

    @property
    def details(self) -> tuple[Metric, ...]:
        """The accuracy over all labelled nodes."""
        return (node_accuracy,)

    def judge(self, outputs: Tensor, batch: Mapping[str, Any]) -> Judged:
        """Values (b, 4): the root right, 1, nodes right and all; labels (b,): 1."""
        right = self.predictions(outputs, batch) == batch["labels"]
        labelled = batch["labels"] != IGNORED
        places = torch.arange(labelled.shape[1], device=labelled.device)
        root = right.gather(1, (labelled * (places + 1)).argmax(1, keepdim=True)).squeeze(1)
        one = torch.ones(len(right), dtype=torch.double, device=outputs.device)
        counts = [root.double(), one, (right & labelled).sum(1).double(), labelled.sum(1).double()]
        return Judged(torch.stack(counts, dim=1), one)
