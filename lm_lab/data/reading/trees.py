"""Trees of labelled spans, from brackets: `(3 (2 fine) (4 film))`, and the same words under other trees.

A tree is read as a row of nodes, children before parents, so that the root is the last:

    words      fine  film  ∘          the words and, for a node with children, a sign
    left        -1    -1   0          place of the first child, -1 for a word
    right       -1    -1   1          place of the second
    labels       2     4   3          -1 where a span of this tree has none
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lm_lab.errors import UsageError
from lm_lab.trees import NONE, nodes

NODE = "∘"  # a node with children; no word of the data, and no punctuation to a tokenizer
Shape = Literal["given", "right", "balanced", "sequence"]


@dataclass(frozen=True)
class Tree:
    """Nodes in an order of children before parents; of binary trees."""

    words: list[str]
    left: list[int]
    right: list[int]
    labels: list[int]


def parse(text: str) -> Tree:
    """The tree that brackets write: every node a label and one word, or two nodes.

    Raises:
        ValueError: brackets that do not close, no label, or a node that has neither a word nor two nodes.
    """
    tree, open_nodes = Tree([], [], [], []), list[list[int]]()  # of an open node: its label, then its children
    tokens = [
        token for token in text.replace("(", " ( ").replace(")", " ) ").split(" ") if token
    ]  # a word may hold nbsp
    place = 0
    while place < len(tokens):
        token = tokens[place]
        if token == "(":
            open_nodes.append([_label(tokens[place + 1 : place + 2])])
            place += 1
        elif token == ")":
            _close(tree, open_nodes)
        elif not open_nodes or len(open_nodes[-1]) > 1 or tokens[place + 1 : place + 2] != [")"]:
            raise ValueError(f"'{token}' stands beside a node")
        else:
            _add(tree, open_nodes.pop()[0], token, open_nodes)
            place += 1  # its bracket
        place += 1
    if open_nodes or not tree.words:
        raise ValueError("a bracket is not closed")
    return tree


def _label(found: Sequence[str]) -> int:
    if not found or not found[0].isdigit():
        raise ValueError(f"{found[0] if found else 'the end'!r} in place of a label")
    return int(found[0])


def _close(tree: Tree, open_nodes: list[list[int]]) -> None:
    label, *children = open_nodes.pop() if open_nodes else [0]
    if len(children) != 2:
        raise ValueError(f"a node has {len(children)} children; expected a word, or two")
    _add(tree, label, NODE, open_nodes, *children)


def _add(tree: Tree, label: int, word: str, open_nodes: list[list[int]], left: int = NONE, right: int = NONE) -> None:
    for column, value in zip((tree.words, tree.left, tree.right, tree.labels), (word, left, right, label), strict=True):
        column.append(value)  # type: ignore[attr-defined]
    if open_nodes:
        open_nodes[-1].append(len(tree.words) - 1)


def spans(tree: Tree) -> dict[tuple[int, int], int]:
    """Of each node, its first word and the one behind its last, and its label."""
    found, ends, leaf = dict[tuple[int, int], int](), list[tuple[int, int]](), 0
    for left, right, label in zip(tree.left, tree.right, tree.labels, strict=True):
        ends.append((leaf, leaf + 1) if left == NONE else (ends[left][0], ends[right][1]))
        leaf += left == NONE
        found[ends[-1]] = label
    return found


def leaves(tree: Tree) -> list[str]:
    """The words alone."""
    return [word for word, left in zip(tree.words, tree.left, strict=True) if left == NONE]


def reshaped(tree: Tree, shape: Shape) -> Tree:
    """The same words under another tree; a span that the first tree labels keeps its label."""
    if shape == "given":
        return tree
    words, known = leaves(tree), spans(tree)
    made = Tree([], [], [], [])
    for (begin, end), left, right in nodes(len(words), balanced=shape == "balanced"):
        leaf = left == NONE
        label = known.get((begin, end), NONE)
        _add(made, label, words[begin] if leaf else NODE, [], left, right)
    return made


def phrases(tree: Tree) -> Iterator[tuple[list[str], int]]:
    """The words and the label of every node."""
    words = leaves(tree)
    yield from ((words[begin:end], label) for (begin, end), label in spans(tree).items())


def parsed(texts: Sequence[str], origin: str) -> list[Tree]:
    """The trees of a column. Raises `UsageError` that names the row."""
    found = []
    for row, text in enumerate(texts):
        try:
            found.append(parse(text))
        except (ValueError, TypeError, AttributeError) as error:
            raise UsageError(f"{origin}, row {row}, column 'tree': {error}: {text!r:.80}") from error
    return found
