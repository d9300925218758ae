"""The Stanford Sentiment Treebank (Socher et al. 2013, https://aclanthology.org/D13-1170): labels at every node."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.tags import EncodedTags, encode_tags
from lm_lab.data.modules.base import TaskData
from lm_lab.data.reading.lines import Lines
from lm_lab.data.reading.sources import Place, read_table
from lm_lab.data.reading.tagged import TaggedRows
from lm_lab.data.reading.trees import Shape, Tree, leaves, parsed, phrases, reshaped
from lm_lab.data.reading.word_columns import WordValues
from lm_lab.errors import UsageError
from lm_lab.tasks.nodes import NodeTask
from lm_lab.tasks.tags import IGNORED

PLACE = Place("sst_trees", ("sst_trees",), "stanfordnlp/sst")
LABELS: dict[int, tuple[str, ...]] = {
    5: ("very negative", "negative", "neutral", "positive", "very positive"),
    2: ("negative", "positive"),
}
_NEUTRAL = 2


class SSTTrees(TaskData):
    """Trees of sentences, a row of nodes each, the root last; columns `left` and `right` are the nodes' children.

    Args:
        classes: 5, or 2: without the neutral ones.
        nodes: "all" trains on every labelled node, "roots" on whole sentences alone.
        shape: of the trees: "given"; "right", a word and the rest; "balanced"; "sequence" gives words without a tree, a
            row a node (of the training set) or a sentence, labelled at its last word.
        settings: those of `TaskData`.

    Raises:
        UsageError: a number of classes, nodes or a shape that is none of these; no data, or a row that is no tree.
    """

    task: NodeTask
    carries = True

    def __init__(
        self,
        classes: int = 5,
        nodes: Literal["all", "roots"] = "all",
        shape: Shape = "given",
        source: str | None = None,
        **settings: Any,
    ) -> None:
        for name, value, known in (
            ("classes", classes, (5, 2)), ("nodes", nodes, ("all", "roots")),
            ("shape", shape, ("given", "right", "balanced", "sequence")),
        ):  # fmt: skip
            if value not in known:
                raise UsageError(f"{name}={value!r}: expected one of {', '.join(map(str, known))}.")
        self.classes, self.nodes, self.shape = classes, nodes, shape
        task = NodeTask(f"sst{classes}_trees", LABELS[classes], scheme="plain", test=(("test", "SST"),))
        super().__init__(task, source, **settings)

    def read(self, split: str, labelled: bool) -> TaggedRows:  # noqa: ARG002  every split has labels
        """The checked rows of a split."""
        table, origin = read_table(
            replace(PLACE, splits=self.splits), split, self.source, self.columns, encoding=self.encoding
        )
        if "tree" not in table.column_names:
            raise UsageError(f"{origin} has no column 'tree'; it has {', '.join(table.column_names)}.")
        trees = [self._classed(tree) for tree in parsed(table["tree"].to_pylist(), origin)]
        kept = [tree for tree in trees if tree.labels[-1] != IGNORED]
        if self.shape == "sequence":
            return self._sequences(kept, origin, split == self.task.train and self.nodes == "all")
        roots = split == self.task.train and self.nodes == "roots"
        return _rows([reshaped(tree, self.shape) for tree in kept], origin, roots)

    def _classed(self, tree: Tree) -> Tree:
        """With the numbers of the classes that are asked for."""
        if self.classes == 5:
            return tree
        labels = [IGNORED if label == _NEUTRAL else int(label > _NEUTRAL) for label in tree.labels]
        return Tree(tree.words, tree.left, tree.right, labels)

    def _sequences(self, trees: list[Tree], origin: str, every: bool) -> TaggedRows:
        whole = [(leaves(tree), tree.labels[-1]) for tree in trees]
        rows = [row for tree in trees for row in phrases(tree) if row[1] != IGNORED] if every else whole
        words = [own for own, _ in rows]
        tags = [[IGNORED] * (len(own) - 1) + [label] for own, label in rows]
        return TaggedRows(words, tags, np.arange(len(rows)), origin)

    @property
    def given_columns(self) -> tuple[str, ...]:
        """A tree in brackets."""
        return ("tree",)

    def given_rows(self, given: Lines) -> TaggedRows:
        """A tree a row, whose labels do not matter; words alone where no tree is read."""
        trees = [reshaped(tree, self.shape) for tree in parsed(given.column(0), given.origin)]
        if self.shape == "sequence":
            return TaggedRows([leaves(tree) for tree in trees], None, given.ids, given.origin)
        return replace(_rows(trees, given.origin, False), tags=None, ids=given.ids)

    def encode_rows(self, rows: TaggedRows, encoding: Encoding, train: bool) -> EncodedTags:  # noqa: ARG002
        """Nodes as tokens."""
        return encode_tags(rows, 0, encoding)

    def settings(self) -> dict[str, Any]:
        """What is read of a tree, and how rows are cut."""
        return {"classes": self.classes, "nodes": self.nodes, "shape": self.shape} | self.cut()


def _rows(trees: list[Tree], origin: str, roots: bool) -> TaggedRows:
    """Nodes with their labels, or the root's alone, and their children beside."""
    tags = [[label if label >= 0 else IGNORED for label in tree.labels] for tree in trees]
    if roots:
        tags = [[IGNORED] * (len(own) - 1) + own[-1:] for own in tags]
    beside: WordValues = {"left": ([tree.left for tree in trees],), "right": ([tree.right for tree in trees],)}
    return TaggedRows([tree.words for tree in trees], tags, np.arange(len(trees)), origin, beside)
