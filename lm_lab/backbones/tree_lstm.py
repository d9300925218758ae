"""Tree-LSTMs as backbones (Tai et al. 2015, https://arxiv.org/abs/1503.00075): a state a node, of its children's.

    child sum   h~ = sum_k h_k                                binary   the same with matrices of each child's own:
                i, o, u = of W x + U h~ + b                            i, o, u = of W x + U_l h_l + U_r h_r + b
                f_k = sigmoid(W_f x + U_f h_k + b_f)                   f_k = of W_f x + U_kl h_l + U_kr h_r + b_f
                c = i * u + sum_k f_k * c_k                            c = i * u + f_l * c_l + f_r * c_r
                h = o * tanh(c)                                        h = o * tanh(c)

A forget gate for each child; a node above words has x = 0. All nodes of a level, over all texts of a batch, are one
product: as many steps as the deepest tree has levels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lm_lab.backbones import folders, loading
from lm_lab.backbones.base import Backbone
from lm_lab.backbones.pooling import Pooling
from lm_lab.backbones.static_vectors import StaticVectors
from lm_lab.backbones.tree_levels import Level, levels
from lm_lab.errors import UsageError
from lm_lab.tokens import Asked, WordColumn
from lm_lab.trees import NONE, nodes

Kind = Literal["binary", "child_sum"]
Trees = Literal["given", "right", "balanced", "chain"]
_SHAPE = "tree_lstm.json"
_INITIAL = 0.1  # half of the range of a fresh embedding


class TreeCell(nn.Module):
    """From what a node reads and its two children's states to its own.

    Args:
        width: d.
        kind: "binary", whose children differ, or "child_sum", whose children are added up.
    """

    def __init__(self, width: int, kind: Kind) -> None:
        super().__init__()
        self.width, self.kind = width, kind
        self.reads = nn.Linear(width, 4 * width)  # input, output, new content, forget
        self.left = nn.Linear(width, (5 if kind == "binary" else 3) * width, bias=False)
        self.right = nn.Linear(width, (5 if kind == "binary" else 1) * width, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Forget gates begin open (Jozefowicz et al. 2015)."""
        for module in (self.reads, self.left, self.right):
            nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(self.reads.bias)
        nn.init.ones_(self.reads.bias.data[3 * self.width :])

    def forward(self, read: Tensor, children: Sequence[Tensor] = ()) -> Tensor:
        """State and cell (n, 2d) of what is read (n, 4d) and those of the left and the right child, noughts for none.

        Children that no node has can be left out: both, or the right one.
        """
        d = self.width
        gates, forget = read[:, : 3 * d], list[Tensor]()
        if children and self.kind == "binary":
            below = sum(of(child[:, :d]) for of, child in zip((self.left, self.right), children, strict=False))
            gates, forget = gates + below[:, : 3 * d], [below[:, 3 * d : 4 * d], below[:, 4 * d :]]
        elif children:  # `left` takes the sum, `right` each child to its gate
            gates = gates + self.left(sum(child[:, :d] for child in children))
            forget = [self.right(child[:, :d]) for child in children]
        cell = gates[:, :d].sigmoid() * gates[:, 2 * d :].tanh()
        for gate, child in zip(forget, children, strict=False):
            cell = cell + (read[:, 3 * d :] + gate).sigmoid() * child[:, d:]
        return torch.cat([gates[:, d : 2 * d].sigmoid() * cell.tanh(), cell], dim=1)


class TreeLSTM(Backbone):
    """Hidden states of what is read, and of the nodes of a tree.

    With trees that are given, tokens are nodes, children before parents, and the data say in the columns `left` and
    `right` which are whose children (`lm_lab.data.SSTTrees`): a state a node, the root's last. Over other texts stands
    a tree of their tokens: the first token keeps its own state, those behind it have the states of the nodes above,
    the root's last. So `last` reads the root in either case.

    Args:
        source: a folder that this class wrote; vectors of words, as of `StaticVectors`; or any with a tokenizer.
        pretrained: False takes the shape of `source` with random weights.
        width: of states; of a folder that this class wrote, its own.
        kind: "binary", or "child_sum".
        trees: "given"; "right": a token and the rest; "balanced"; "chain": the token before is the only child, with
            "child_sum" an LSTM.
        dropout: on what is read.

    Raises:
        UsageError: a kind or trees that are none of these, a number out of range, or no tokenizer.
    """

    num_layers = 1

    def __init__(
        self,
        source: str,
        pretrained: bool = True,
        width: int = 150,
        kind: Kind = "binary",
        trees: Trees = "balanced",
        dropout: float = 0.0,
    ) -> None:
        given = {"pretrained": pretrained, "width": width, "kind": kind, "trees": trees, "dropout": dropout}
        super().__init__(source=source, **given)
        if width < 1 or not 0 <= dropout < 1 or kind not in get_args(Kind) or trees not in get_args(Trees):
            raise UsageError(
                f"width={width}, dropout={dropout}, kind={kind!r}, trees={trees!r}: expected 1 or more, 0 to 1, one of "
                f"{', '.join(get_args(Kind))}, one of {', '.join(get_args(Trees))}."
            )
        self.trees: Trees = trees
        self.embeddings, sizes, weights = self._read(source, width)
        self.hidden_size = sizes["width"]
        size = self.embedding_size
        self.project = nn.Identity() if size == self.hidden_size else nn.Linear(size, self.hidden_size)
        self.layers = nn.ModuleList([TreeCell(self.hidden_size, kind)])
        self.dropout = nn.Dropout(dropout)
        self.pretrained = pretrained and weights
        if self.pretrained:
            folders.load(self, Path(loading.locate(source)))

    @property
    def asks(self) -> tuple[Asked, ...]:  # type: ignore[override]
        """The children of each node, where trees are given."""
        columns = (WordColumn("left", NONE, points=True), WordColumn("right", NONE, points=True))
        return columns if self.trees == "given" else ()

    @property
    def pooling(self) -> Pooling:
        """The root, which stands last."""
        return "last"

    def forward(
        self, left: Tensor | None = None, right: Tensor | None = None, **encoding: Tensor
    ) -> tuple[Tensor, ...]:
        """What is read, and the nodes: (b, t, d) each; `left` and `right` (b, t) are children, -1 for none."""
        ids, real = encoding["input_ids"], encoding["attention_mask"].bool()
        read = self.project(self.embeddings(ids))
        x = self.dropout(read)
        if self.trees == "given":
            assert left is not None
            assert right is not None
            x = x.masked_fill((left != NONE).unsqueeze(-1), 0.0)
            return read, self._composed(x, [left, right], real)
        if self.trees == "chain":
            before = torch.arange(-1, ids.shape[1] - 1, device=ids.device).expand_as(ids)
            return read, self._composed(x, [before], real)
        return read, self._above(x, real)

    @property
    def cell(self) -> TreeCell:
        """What composes children."""
        found = self.layers[0]
        assert isinstance(found, TreeCell)
        return found

    def _above(self, x: Tensor, real: Tensor) -> Tensor:
        """Trees over tokens: nodes stand behind the tokens, and come back to the tokens' places."""
        counts, room = real.sum(1).tolist(), real.shape[1]
        children = torch.full((2, len(counts), 2 * room - 1), NONE)
        for row, count in enumerate(counts):
            children[:, row, room : room + count - 1] = _over(count, room, self.trees == "balanced")
        left, right = children.to(x.device)
        there = torch.cat([real, right[:, room:] != NONE], dim=1)
        wide = torch.cat([x, x.new_zeros(len(x), room - 1, x.shape[-1])], dim=1)
        states = self._composed(wide, [left, right], there)
        return torch.cat([states[:, :1], states[:, room:]], dim=1)

    def _composed(self, x: Tensor, children: list[Tensor], real: Tensor) -> Tensor:
        """States (b, m, d) of nodes that read x (b, m, d), level by level; the left, or both children (b, m)."""
        b, m, d = x.shape
        order, steps = levels(children, real)
        read = self.cell.reads(x).view(b * m, 4 * d)[order].split([sum(step.onward) for step in steps])
        handed = [list[Tensor]() for _ in range(len(steps) + 1)]
        made = []
        for own, step, arrived in zip(read, steps, handed, strict=False):
            state = self._step(own, step, arrived)
            for inbox, part in zip(handed, state.split(step.onward), strict=True):
                inbox += [part] if len(part) else []
            made.append(state[:, :d])
        return x.new_zeros(b * m, d).index_copy(0, order, torch.cat(made).to(x.dtype)).view(b, m, d)

    def _step(self, read: Tensor, step: Level, arrived: list[Tensor]) -> Tensor:
        """State and cell (n, 2d) of a level, of what the levels below handed to it."""
        if not arrived:
            return self.cell(read)
        below = torch.cat([*arrived, arrived[0].new_zeros(1, 2 * self.hidden_size)])
        return self.cell(read, [below[places] for places in step.children])

    def _read(self, source: str, width: int) -> tuple[nn.Module, dict[str, int], bool]:
        """The table of embeddings, the sizes, and whether there are weights; sets the tokenizer."""
        folder = Path(loading.locate(source)) if not Path(source).is_file() else Path(source)
        sizes, weights = folders.shape(folder, _SHAPE, {"width": width, "embedding": width})
        if weights or (folder / "tokenizer.json").is_file() or not folder.exists():
            self.tokenizer = loading.load_tokenizer(str(folder))
            return folders.token_table(self.tokenizer, sizes["embedding"], _INITIAL), sizes, weights
        vectors = StaticVectors(source)
        self.tokenizer = vectors.tokenizer
        return vectors.embeddings, sizes, False

    def write(self, folder: Path, state: Mapping[str, Tensor] | None = None) -> None:
        """Write a folder that this class loads."""
        shape = {"width": self.hidden_size, "embedding": self.embedding_size}
        folders.write(self, folder, _SHAPE, shape, None, state)


def _over(count: int, room: int, balanced: bool) -> Tensor:
    """The children (2, count - 1) of the nodes over so many tokens: tokens from 0, nodes from `room` on."""
    places, found, inner = list[int](), list[tuple[int, int]](), room
    for (begin, _), left, right in nodes(count, balanced):
        if left == NONE:
            places.append(begin)
        else:
            found.append((places[left], places[right]))
            places.append(inner)
            inner += 1
    return torch.tensor(found, dtype=torch.long).view(-1, 2).T
