"""Tree-LSTMs against the recursion of the paper, node by node, and a chain against torch's LSTM."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from lm_lab import AdaptedModel, bind
from lm_lab.backbones import TreeLSTM
from lm_lab.cli import main
from lm_lab.data import SSTTrees
from lm_lab.data.reading.trees import NODE, parse, reshaped, spans
from lm_lab.doctor.examine import examine
from lm_lab.errors import UsageError
from lm_lab.strategies import FullFineTuning, LinearProbe
from lm_lab.trees import NONE

TREE = "(3 (2 (2 the) (2 beast)) (4 (2 was) (4 (3 very) (4 good))))"
OTHER = "(1 (2 it) (1 (2 was) (0 bad)))"
Folders = dict[str, Path]


@pytest.fixture
def data(tmp_path: Path) -> str:
    folder = tmp_path / "sst_trees"
    folder.mkdir()
    for split in ("train", "validation"):
        pq.write_table(pa.table({"tree": [TREE, OTHER, "(2 (2 it) (2 was))"] * 8}), folder / f"{split}.parquet")
    return str(tmp_path)


def lstm(folders: Folders, **settings: Any) -> TreeLSTM:
    torch.manual_seed(1)
    return TreeLSTM(str(folders["bert"]), width=6, **settings).eval()


def recursion(model: TreeLSTM, x: Tensor, left: int, right: int, done: dict[int, tuple[Tensor, Tensor]]) -> Any:
    """State and cell of one node, from the equations; `done` has those of its children."""
    cell, d = model.layers[0], 6
    nought = (torch.zeros(d), torch.zeros(d))
    (hl, cl), (hr, cr) = (done[child] if child != NONE else nought for child in (left, right))
    w, b = cell.reads.weight, cell.reads.bias
    if cell.kind == "binary":
        below = cell.left.weight @ hl + cell.right.weight @ hr
        f = [w[3 * d :] @ x + b[3 * d :] + below[3 * d : 4 * d], w[3 * d :] @ x + b[3 * d :] + below[4 * d :]]
        below = below[: 3 * d]
    else:
        below = cell.left.weight @ (hl + hr)
        f = [w[3 * d :] @ x + b[3 * d :] + cell.right.weight @ h for h in (hl, hr)]
    i, o, u = (w[: 3 * d] @ x + b[: 3 * d] + below).split(d)
    c = i.sigmoid() * u.tanh() + f[0].sigmoid() * cl + f[1].sigmoid() * cr
    return o.sigmoid() * c.tanh(), c


@pytest.mark.parametrize("kind", ["binary", "child_sum"])
def test_given_trees_are_the_recursion(folders: Folders, data: str, kind: str) -> None:
    model = lstm(folders, kind=kind, trees="given")
    adapted = AdaptedModel(model, FullFineTuning(), SSTTrees(source=data).task)
    module = bind(adapted, SSTTrees(source=data, batch_size=3))
    module.setup("validate")
    batch = next(iter(module.val_dataloader()[0]))
    text = batch["texts"][0]
    assert text["left"].max() > 0
    with torch.no_grad():
        read, states = model.eval()(**text)
        for row, ids in enumerate(text["input_ids"]):
            done: dict[int, tuple[Tensor, Tensor]] = {}
            for place in range(int(text["attention_mask"][row].sum())):
                a, b = int(text["left"][row, place]), int(text["right"][row, place])
                x = read[row, place] if a == NONE else torch.zeros(6)
                done[place] = recursion(model, x, a, b, done)
                assert torch.allclose(states[row, place], done[place][0], atol=1e-5)
            assert ids[0] == model.tokenizer.cls_token_id


@pytest.mark.parametrize("trees", ["right", "balanced"])
@pytest.mark.parametrize("kind", ["binary", "child_sum"])
def test_trees_over_a_text_end_in_the_root(folders: Folders, trees: str, kind: str) -> None:
    model = lstm(folders, kind=kind, trees=trees)
    texts = model.tokenizer(["it was good", "the beast was very good .", "it"], padding=True, return_tensors="pt")
    with torch.no_grad():
        read, states = model(**texts)

        def node(row: int, begin: int, end: int) -> tuple[Tensor, Tensor]:
            if end - begin == 1:
                return recursion(model, read[row, begin], NONE, NONE, {})  # type: ignore[no-any-return]
            middle = begin + 1 if trees == "right" else begin + (end - begin + 1) // 2
            done = {0: node(row, begin, middle), 1: node(row, middle, end)}
            return recursion(model, torch.zeros(6), 0, 1, done)  # type: ignore[no-any-return]

        for row, count in enumerate(texts["attention_mask"].sum(1).tolist()):
            assert torch.allclose(states[row, count - 1], node(row, 0, count)[0], atol=1e-5)
            assert torch.allclose(states[row, 0], node(row, 0, 1)[0], atol=1e-5)
            assert (states[row, :count].abs().sum(-1) > 0).all()


def test_a_chain_is_torchs_lstm(folders: Folders) -> None:
    model = lstm(folders, kind="child_sum", trees="chain")
    cell, d = model.layers[0], 6
    same = torch.nn.LSTM(d, d, batch_first=True)
    order = torch.cat(
        [torch.arange(0, d), torch.arange(3 * d, 4 * d), torch.arange(2 * d, 3 * d), torch.arange(d, 2 * d)]
    )
    with torch.no_grad():  # torch's gates: input, forget, content, output
        same.weight_ih_l0.copy_(cell.reads.weight[order])
        same.bias_ih_l0.copy_(cell.reads.bias[order])
        same.bias_hh_l0.zero_()
        same.weight_hh_l0.copy_(torch.cat([cell.left.weight, cell.right.weight])[order])
        texts = model.tokenizer(["it was good", "the beast was very good ."], padding=True, return_tensors="pt")
        read, states = model(**texts)
        expected = same(read)[0]
    for row, count in enumerate(texts["attention_mask"].sum(1).tolist()):
        assert torch.allclose(states[row, :count], expected[row, :count], atol=1e-5)


def test_a_node_has_seen_its_own_words_alone(folders: Folders, data: str) -> None:
    model = lstm(folders, trees="given")
    tree = parse(TREE)
    rows = torch.tensor([tree.left]), torch.tensor([tree.right])
    ids = torch.tensor([model.tokenizer.convert_tokens_to_ids(tree.words)])
    changed = ids.clone()
    changed[0, 0] = 7
    with torch.no_grad():
        one, two = (
            model(left=rows[0], right=rows[1], input_ids=i, attention_mask=torch.ones_like(i))[1]
            for i in (ids, changed)
        )
    differs = (one - two).abs().sum(-1)[0] > 0
    assert [place for place, other in enumerate(differs.tolist()) if other] == [0, 2, len(tree.words) - 1]


def test_brackets_are_read_and_reshaped() -> None:
    tree = parse(TREE)
    assert tree.words == ["the", "beast", NODE, "was", "very", "good", NODE, NODE, NODE]
    assert (tree.left[-1], tree.right[-1], tree.labels[-1]) == (2, 7, 3)
    assert spans(tree) == {
        (0, 1): 2, (1, 2): 2, (0, 2): 2, (2, 3): 2, (3, 4): 3, (4, 5): 4, (3, 5): 4, (2, 5): 4, (0, 5): 3,
    }  # fmt: skip
    right, balanced = reshaped(tree, "right"), reshaped(tree, "balanced")
    assert spans(right)[0, 5] == spans(balanced)[0, 5] == 3
    assert set(spans(right)) == {*((i, i + 1) for i in range(5)), (0, 5), (1, 5), (2, 5), (3, 5)}
    assert spans(right)[1, 5] == NONE
    assert spans(right)[2, 5] == 4
    for wrong in ("(3 a b)", "(3 (2 a))", "(3 a", "(x a)", "a", "(3 (2 a) (2 b) (2 c))", ")"):
        with pytest.raises(ValueError, match=r"."):
            parse(wrong)


def test_two_classes_leave_neutral_ones_out(data: str) -> None:
    rows = SSTTrees(2, source=data).rows("train")
    assert len(rows) == 16  # a third is neutral
    assert rows.tags[0] == [-100, -100, -100, -100, 1, 1, 1, 1, 1]
    roots = SSTTrees(5, nodes="roots", source=data)
    assert [tags.count(-100) for tags in roots.rows("train").tags[:2]] == [8, 4]
    assert [tags.count(-100) for tags in roots.rows("validation").tags[:2]] == [0, 0]
    words = SSTTrees(5, shape="sequence", source=data)
    assert words.rows("train").words[2] == ["the", "beast"]
    assert words.rows("validation").words[0] == ["the", "beast", "was", "very", "good"]


@pytest.mark.parametrize("shape", ["given", "right", "balanced", "sequence"])
def test_it_is_adapted_and_judged_at_root_and_nodes(
    folders: Folders, data: str, shape: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trees = "chain" if shape == "sequence" else "given"
    kind = "child_sum" if trees == "chain" else "binary"
    words = ["adapt", "fit", "--data", "SSTTrees", "--data.source", data, "--data.shape", shape]
    words += ["--model.backbone", "lm_lab.backbones.TreeLSTM", "--model.backbone.source", str(folders["bert"])]
    words += ["--model.backbone.width", "8", "--model.backbone.trees", trees, "--model.backbone.kind", kind]
    words += ["--model.strategy", "FullFineTuning", "--trainer.max_epochs", "12", "--model.learning_rate", "0.05"]
    assert main([*words, "--trainer.accelerator", "cpu", "--trainer.logger", "false"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("trees", ["balanced", "given"])
def test_the_doctor_finds_nothing(folders: Folders, trees: str) -> None:
    for strategy in (FullFineTuning(), LinearProbe()):
        results = examine(lstm(folders, trees=trees), type(strategy).__name__, strategy)
        assert [f"{r.check}: {r.detail}" for r in results if not r.ok or r.refused] == []


def test_it_is_written_and_read_again(folders: Folders, tmp_path: Path) -> None:
    model = lstm(folders)
    (tmp_path / "kept").mkdir()
    model.write(tmp_path / "kept")
    again = TreeLSTM(str(tmp_path / "kept")).eval()
    texts = model.tokenizer(["it was good"], return_tensors="pt")
    assert torch.equal(again(**texts)[1], model(**texts)[1])


def test_vectors_of_words_are_its_embeddings(tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text("good 1 2 3\nbad 4 5 6\n")
    model = TreeLSTM(str(tmp_path / "vectors.txt"), width=5)
    assert model.embeddings(torch.tensor(model.tokenizer("bad")["input_ids"])).tolist() == [[4.0, 5.0, 6.0]]
    assert model(**model.tokenizer(["good bad"], return_tensors="pt"))[1].shape == (1, 2, 5)


def test_what_is_wrong_is_told(folders: Folders, data: str) -> None:
    with pytest.raises(UsageError, match="kind='ternary'"):
        lstm(folders, kind="ternary")
    with pytest.raises(UsageError, match="classes=3"):
        SSTTrees(3, source=data)
    pq.write_table(pa.table({"tree": ["(3 a b)"]}), Path(data) / "sst_trees/train.parquet")
    with pytest.raises(UsageError, match=r"row 0, column 'tree': 'a' stands beside a node"):
        SSTTrees(source=data).rows("train")
