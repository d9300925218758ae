from collections.abc import Callable
from functools import partial

import pytest
import torch
from learning import first_and_last, texts

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import CausalLM, MaskedLM, SumOfObjectives

Make = Callable[..., Backbone]
TERMS = {"few": partial(MaskedLM, probability=0.15), "many": partial(MaskedLM, probability=0.5)}


def test_it_is_the_weighted_sum_of_its_terms_named_after_them(make: Make) -> None:
    backbone = make().eval()
    objective = SumOfObjectives(backbone, TERMS, {"many": 0.25}).eval()
    batch = texts(backbone)
    loss = objective(backbone, batch)
    few, many = (objective.terms[name](backbone, batch) for name in TERMS)
    assert loss.total.item() == pytest.approx(few.total.item() + 0.25 * many.total.item())
    assert loss.parts == {"few/masked_lm": few.total, "many/masked_lm": many.total}
    assert loss.metrics == {"few/accuracy": few.metrics["accuracy"], "many/accuracy": many.metrics["accuracy"]}
    assert not torch.equal(few.total, many.total)


def test_every_head_trains_and_is_kept(make: Make) -> None:
    backbone = make()
    objective = SumOfObjectives(backbone, TERMS)
    objective(backbone, texts(backbone)).total.backward()
    assert all(parameter.grad is not None for parameter in objective.parameters())
    names = list(MaskedLM(backbone).state_dict())
    assert set(objective.state_dict()) == {f"terms.{term}.{name}" for term in TERMS for name in names}


def test_sums_nest(make: Make) -> None:
    backbone = make("gpt2")
    inner = partial(SumOfObjectives, terms={"next": CausalLM}, weights={"next": 3.0})
    loss = SumOfObjectives(backbone, {"inner": inner})(backbone, texts(backbone))
    assert list(loss.parts) == ["inner/next/causal_lm"]
    assert loss.total.item() == pytest.approx(3 * loss.parts["inner/next/causal_lm"].item())


def test_it_learns(make: Make) -> None:
    backbone = make(pretrained=False)
    first, last = first_and_last(SumOfObjectives(backbone, TERMS), backbone, steps=60)
    assert last < first - 1.0


@pytest.mark.parametrize(
    ("terms", "weights", "message"),
    [
        ({}, {}, "at least one objective"),
        ({"a/b": MaskedLM}, {}, "'a/b' must be letters"),
        ({"a": MaskedLM}, {"b": 1.0}, "no term 'b'; the terms are a"),
        ({"a": MaskedLM}, {"a": 0.0}, "a=0.0 must be above 0"),
        ({"a": MaskedLM}, {"a": float("nan")}, "a=nan must be above 0"),
    ],
)
def test_what_makes_no_sum_is_refused(make: Make, terms: dict, weights: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SumOfObjectives(make(), terms, weights)
