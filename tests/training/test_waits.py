"""No step asks for a number that a GPU has: it would wait there until all that was launched is done.

On a CPU such a question shows as `aten._local_scalar_dense` (`int(tensor)`, `.item()`, `if tensor`), or is `tolist` or
`cpu`. Rows chosen by a mask wait too, for how many there are: what is predicted is a part of the tokens, and to score
them all would take several times as long. `transformers` asks whether a batch is padded at all, for the sake of a
faster kernel; a compiled network does not ask.
"""

import inspect
import traceback
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lm_lab import AdaptedModel, TransformersBackbone, objectives
from lm_lab.doctor.examples import EXAMPLES
from lm_lab.errors import UsageError
from lm_lab.objectives import Objective
from lm_lab.tasks import glue_task

DRAWN = "how long a noised text becomes is drawn on the device, and shapes what comes next"
WAITS = {
    **dict.fromkeys(("BART", "MASS", "BertStyle", "MassStyle", "Deshuffling", "DropTokens", "PrefixLM"), DRAWN),
    **dict.fromkeys(("ReplaceSpans", "SpanCorruption"), DRAWN),
    "SpanBERT": "spans are placed one after the other until enough tokens are hidden",
    "PermutationLM": "the query stream is as long as the row with most targets",
    "QuickThoughts": "sentences with a neighbour are counted, as their mean weighs a batch",
    "SkipThoughts": "the sentences before and after are read as far as the longest",
}
"""Objectives that ask all the same, and why."""
READS_ON_HOST = {"FeatureBased": "torch packs what its LSTM reads by lengths on the host"}
FAMILIES = ("bert", "gpt2", "bart", "t5", "xlnet")
OBJECTIVES = [
    name
    for name, found in vars(objectives).items()
    if isinstance(found, type)
    and issubclass(found, Objective)
    and not inspect.isabstract(found)
    # a sum is of others; ELMo's objective has a backbone of its own
    and name not in ("SumOfObjectives", "BidirectionalLM")
]


class Asked(TorchDispatchMode):
    """Where a number was asked for, in code of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.places: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            self.note()
        return function(*args, **(kwargs or {}))

    def note(self) -> None:
        frames = [f for f in traceback.extract_stack() if "/lm_lab/" in f.filename or "/transformers/" in f.filename]
        if frames and "/lm_lab/" in frames[-1].filename:
            self.places.add(f"{Path(frames[-1].filename).name}:{frames[-1].lineno}")


@pytest.fixture
def asked(monkeypatch):
    asked = Asked()
    for name in ("tolist", "cpu"):
        plain = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda self, plain=plain: (asked.note(), plain(self))[1])
    return asked


def batch():
    ids = torch.randint(5, 100, (8, 24))
    mask = torch.ones_like(ids)
    mask[0, 20:] = 0
    labels = dict.fromkeys(("next_sentence", "sentence_order", "sentence_structure"), torch.arange(8) % 2)
    tokens = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    return tokens | labels | {"document": torch.arange(8) // 4}


@pytest.fixture
def built(make, sentinels, tmp_path):
    """An objective by name, and the first backbone that it takes."""

    def build(name):
        refused = []
        for family in FAMILIES:
            backbone = TransformersBackbone(str(sentinels)) if family == "t5" else make(family)
            try:
                options = {"sentinels": 10} if name in ("SpanCorruption", "ReplaceSpans") else {}
                return backbone.train(), getattr(objectives, name)(backbone, **options).train()
            except UsageError as error:
                refused.append(f"{family}: {error}")
        pytest.fail("\n".join(refused))

    return build


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(built, asked, name):
    backbone, objective = built(name)
    read = batch()
    asked.places.clear()
    with asked:
        objective(backbone, read).total.backward()
    assert bool(asked.places) == (name in WAITS), asked.places


@pytest.mark.parametrize("name", EXAMPLES)
def test_strategies(make, asked, name):
    model, read = AdaptedModel(make(), EXAMPLES[name], glue_task("sst2")).train(), batch()
    asked.places.clear()
    with asked:
        model.loss({"texts": [read], "labels": read["next_sentence"]}).backward()
    assert bool(asked.places) == (name in READS_ON_HOST), asked.places
