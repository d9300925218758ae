"""`benchmarks/sentence_form.py`: what is counted of a sentence, and that a pass over the text learns from it."""

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from lm_lab.objectives.sentences.quick_thoughts import neighbours

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sentence_form", ROOT / "benchmarks/sentence_form.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_form_is_counted(script: ModuleType) -> None:
    class Words:
        """A tokenizer whose ids are the places of words in a list."""

        words = ("[PAD]", "[CLS]", "[SEP]", '"', *script.ENDS, *script.WORDS, "beast")

        def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]:
            return [self.words.index(token) for token in tokens]

    texts = ['" you beast ! "', "the beast and i ."]
    rows = [["[CLS]", *text.split(), "[SEP]"] for text in texts]
    longest = max(map(len, rows))
    padded = [row + ["[PAD]"] * (longest - len(row)) for row in rows]
    ids = torch.tensor([Words().convert_tokens_to_ids(row) for row in padded])
    found = script.form({"input_ids": ids, "attention_mask": (ids != 0).long()}, Words())
    assert found.shape == (2, max(script.SETS.values()))
    assert found[:, 1].tolist() == pytest.approx([math.log(7) - 3] * 2)
    assert found[:, 3:6].tolist() == [[1, 1, 2], [0, 0, 0]]  # quotation marks: at the beginning, the end, how many
    assert found[:, 6:9].tolist() == [[0, 0, 1], [1, 0, 0]]  # . ? !, before the mark that closes a speech too
    assert found[:, 9:].tolist() == [[0, 1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1, 1]]


def test_a_pass_learns_what_tells_neighbours(script: ModuleType) -> None:
    beside = neighbours(torch.tensor([True, False, True, False, True]))
    counts = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]])
    matrix = script.fit([(counts, beside)] * 200, 3)
    loss, accuracy = script.compared(counts @ matrix, counts, beside)
    assert float(accuracy) == 1.0
    assert float(loss) < 0.2
