"""What an objective does when nothing is said is what its paper did: the numbers, one by one."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lm_lab import objectives
from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import (
    BART,
    MASS,
    BertStyle,
    DropTokens,
    MaskedLM,
    MassStyle,
    NextSentence,
    NGramMasking,
    PermutationLM,
    PrefixLM,
    ReplacedToken,
    ReplaceSpans,
    SentenceOrder,
    SentenceStructure,
    SkipThoughts,
    SpanBERT,
    SpanCorruption,
    SpanMasking,
    TransformerXL,
    UniLM,
    WholeWordMasking,
    WordStructure,
    replaced_token,
)
from lm_lab.objectives.denoising import mass
from lm_lab.objectives.generator import generator_config
from lm_lab.objectives.masked import unilm
from lm_lab.objectives.masked.corruption import Corruption

Make = Callable[..., Backbone]
PUBLISHED: dict[Any, dict[str, Any]] = {
    MaskedLM: {"probability": 0.15, "static": 0},  # BERT; dynamic as RoBERTa's
    Corruption: {"probability": 0.15, "static": 0, "shares": (0.8, 0.1)},  # BERT
    NGramMasking: {"longest": 3},  # ALBERT
    SpanMasking: {"p": 0.2, "longest": 10},  # SpanBERT
    SpanBERT: {"probability": 0.15, "static": 0, "weight": 1.0, "position_size": 200, "positions": 20},
    ReplacedToken: {"probability": 0.15, "size": 0.25, "weight": 50.0, "static": 0},  # ELECTRA
    WordStructure: {"probability": 0.15, "shuffled": 0.05, "static": 0},  # StructBERT
    UniLM: {"probability": 0.15, "static": 0},  # UniLM
    PermutationLM: {"k": 6, "memory": 0},  # XLNet
    TransformerXL: {"memory": 0},
    MASS: {"probability": 0.5},  # MASS
    BART: {"infilling": 0.3, "mean": 3.0, "masking": 0.0, "deletion": 0.0, "permute": True, "rotation": False},
    SpanCorruption: {"probability": 0.15, "mean": 3.0, "roll": False, "sentinels": 0},  # T5, 3.1.4
    BertStyle: {"probability": 0.15, "random": 0.1, "sentinels": 0},  # T5, table 3
    MassStyle: {"probability": 0.15, "sentinels": 0},
    ReplaceSpans: {"probability": 0.15, "sentinels": 0},
    DropTokens: {"probability": 0.15},
    SkipThoughts: {"width": 2400},
}  # fmt: skip


def numbers(of: Any) -> dict[str, Any]:
    """The defaults of a class that are numbers or groups of them."""
    given = {name: parameter.default for name, parameter in inspect.signature(of).parameters.items()}
    return {name: value for name, value in given.items() if isinstance(value, int | float) or name == "shares"}


@pytest.mark.parametrize("of", PUBLISHED, ids=lambda of: of.__name__)
def test_defaults_are_the_papers(of: Any) -> None:
    assert numbers(of) == PUBLISHED[of]


def test_no_objective_is_left_out() -> None:
    assert {of for name in objectives.__all__ if numbers(of := getattr(objectives, name))} <= set(PUBLISHED)


def test_shares_that_no_argument_sets() -> None:
    assert unilm.SHARES == (1 / 3, 1 / 3, 1 / 6, 1 / 6)  # both directions, source and target, each direction (2.4)
    assert (mass._MASKED, mass._RANDOM) == (0.8, 0.1)
    assert replaced_token._SHARES == (0.85, 0.0)  # the released code's


@pytest.mark.parametrize(
    "least",
    [
        lambda b: MaskedLM(b, probability=1),
        lambda _: NGramMasking(longest=1),
        lambda _: SpanMasking(longest=1),
        lambda b: ReplacedToken(b, size=1 / b.hidden_size),
        lambda b: ReplacedToken(b, size=1),
        lambda b: SpanBERT(b, position_size=1, positions=1),
        lambda b: WordStructure(b, shuffled=0),
        lambda b: WordStructure(b, shuffled=1),
    ],
)
def test_the_ends_of_a_range_belong_to_it(make: Make, least: Any) -> None:
    assert least(make())


@pytest.mark.parametrize("least", [{"mean": 1}, {"infilling": 1}, {"masking": 1}, {"deletion": 1}])
def test_so_do_those_of_barts_noises(make: Make, least: dict[str, float]) -> None:
    assert BART(make("bart"), **least)


@pytest.mark.parametrize("value", [-0.1, 0, 1.0001])
@pytest.mark.parametrize(
    ("family", "of"),
    [("bert", MaskedLM), ("bert", UniLM), ("bert", SpanBERT), ("bert", ReplacedToken), ("bert", WordStructure),
     ("bart", MASS), ("bart", BertStyle), ("bart", MassStyle), ("bart", DropTokens), ("bart", SpanCorruption),
     ("bart", ReplaceSpans)],
)  # fmt: skip
def test_and_what_lies_beyond_does_not(make: Make, family: str, of: Any, value: float) -> None:
    with pytest.raises(UsageError, match="probability"):
        of(make(family), probability=value)


@pytest.mark.parametrize("name", ["infilling", "masking", "deletion"])
def test_nor_beyond_barts(make: Make, name: str) -> None:
    for value in (-0.1, 1.0001):
        with pytest.raises(UsageError, match=f"{name}="):
            BART(make("bart"), **{name: value})
    with pytest.raises(UsageError, match="mean="):
        BART(make("bart"), mean=0.9)


def test_nor_a_share_of_random_tokens(make: Make) -> None:
    with pytest.raises(UsageError, match=r"random=1\.5"):
        BertStyle(make("bart"), random=1.5)


def test_two_tokens_are_cut_between_them(make: Make) -> None:
    ids, real = torch.tensor([[7, 8], [9, 0]]), torch.tensor([[True, True], [True, False]])
    for _ in range(20):
        (source, read), (target, asked) = PrefixLM(make("bart")).noise(ids, real, None)
        assert [row[kept].tolist() for row, kept in zip(source, read, strict=True)] == [[7], []]
        assert [row[kept].tolist() for row, kept in zip(target, asked, strict=True)] == [[8], [9]]


def test_new_layers_start_as_berts(make: Make) -> None:
    """N(0, 0.02^2), and norms with BERT's epsilon."""
    torch.manual_seed(0)
    boundary, relation = SpanBERT(make()).boundary, NextSentence(make())
    wide = [
        boundary.dense.weight,
        boundary.head.dense.weight,
        boundary.positions.weight,
        relation.pooler.weight,
        ReplacedToken(make()).dense.weight,
    ]
    for weight in wide:
        assert weight.std().item() == pytest.approx(0.02, rel=5 * (2 * weight.numel()) ** -0.5)
    assert boundary.norm.eps == 1e-12


def test_classes_of_sentence_relations(make: Make) -> None:
    """Two of BERT's and ALBERT's, three of StructBERT's."""
    found = [of(make()).output.out_features for of in (NextSentence, SentenceOrder, SentenceStructure)]
    assert found == [2, 2, 3]


FAMILIES = {
    "bert": (MaskedLM, UniLM, SpanBERT, ReplacedToken, WordStructure),
    "bart": (BART, MASS, BertStyle, DropTokens),
    "xlnet": (PermutationLM, TransformerXL),
}


@pytest.mark.parametrize(("family", "of"), [(family, of) for family, found in FAMILIES.items() for of in found])
def test_nothing_that_comes_with_the_tokenizer_is_saved(make: Make, family: str, of: Any) -> None:
    backbone = make(family)
    objective: Any = of(backbone)
    assert {name for name, _ in objective.named_buffers()} & set(objective.state_dict()) == set()


def test_whole_words_come_one_by_one(make: Make) -> None:
    backbone = make()
    corrupt = Corruption(backbone, 0.3, WholeWordMasking()).train()
    words = torch.tensor([id for token, id in backbone.tokenizer.get_vocab().items() if token.isalpha()])
    ids = words[torch.randint(len(words), (200, 40))]
    units = corrupt({"input_ids": ids, "attention_mask": torch.ones_like(ids)}).units
    assert all(row[row >= 0].bincount().max() == 1 for row in units)


def test_static_masks_are_a_texts_own_whatever_it_stands_beside(make: Make) -> None:
    backbone = make()
    corrupt = Corruption(backbone, 0.3, static=1).train()
    batch = dict(
        backbone.tokenizer(["the beast was good and the plant was poor .", "it was"], padding=True, return_tensors="pt")
    )
    together = corrupt(batch)
    short = {name: value[1:, : int(batch["attention_mask"][1].sum())] for name, value in batch.items()}
    for whole, alone in zip(together, corrupt(short), strict=True):
        assert torch.equal(whole[1:, : alone.shape[1]], alone)
    assert (together.targets[1, short["input_ids"].shape[1] :] == -100).all()
    assert (together.units[1, short["input_ids"].shape[1] :] == -1).all()


def test_heads_of_the_generator_divide_its_width(make: Make) -> None:
    backbone = make()
    backbone.config.hidden_size, backbone.config.num_attention_heads = 40, 8
    config = generator_config(backbone, 0.35)
    assert (config.hidden_size, config.num_attention_heads) == (14, 2)  # of 3, the share of 8, which does not divide it
    backbone.config.intermediate_size = 4
    assert generator_config(backbone, 0.1).intermediate_size == 1  # 0.4 of one
