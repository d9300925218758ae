from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import SpanBERT
from lm_lab.objectives.masked.masked_lm import embeddings
from lm_lab.objectives.masked.span_bert import SpanBoundary, boundaries, inner

Make = Callable[..., Backbone]
TEXTS = ["the beast was good and the plant was poor .", "the plant was good .", "it was poor and awful ."]


def encode(backbone: Backbone, texts: list[str]) -> dict[str, Tensor]:
    return dict(backbone.tokenizer(texts, padding=True, return_tensors="pt"))


def test_boundaries_stand_just_outside_and_spans_that_touch_stay_apart() -> None:
    units = torch.tensor([[-1, 1, 1, 0, 0, 0, -1, 2, -1], [-1, -1, 0, 0, 1, -1, -1, -1, -1]])
    left, right = boundaries(units)
    chosen = units >= 0
    assert left[chosen].tolist() == [0, 0, 2, 2, 2, 6, 1, 1, 3]
    assert right[chosen].tolist() == [3, 3, 6, 6, 6, 8, 4, 4, 5]


def test_the_prediction_sees_both_boundaries_and_the_place_alone() -> None:
    head = SpanBoundary(8, 6, 20, 200, 20).eval()
    hidden = torch.randn(1, 7, 8, requires_grad=True)
    units = torch.tensor([[-1, -1, 0, 0, 0, -1, -1]])
    table = torch.randn(20, 6)
    logits = head(hidden, units, table)
    for i, place in enumerate(logits):
        (gradient,) = torch.autograd.grad(place.sum(), hidden, retain_graph=True)
        assert gradient[0].abs().sum(dim=1).nonzero().squeeze(1).tolist() == [1, 5]
        state = torch.cat([hidden[0, 1], hidden[0, 5], head.positions.weight[i]])  # the definition, written out
        for layer, norm in ((head.dense, head.norm), (head.head.dense, head.head.norm)):
            state = norm(F.gelu(layer(state)))
        assert torch.allclose(place, table @ state + head.head.bias, atol=1e-5)


def test_places_beyond_the_table_share_the_last() -> None:
    head = SpanBoundary(8, 6, 20, 200, 2).eval()
    units = torch.tensor([[-1, 0, 0, 0, 0, -1]])
    first, second, *rest = head(torch.randn(1, 6, 8), units, torch.randn(20, 6))
    assert not torch.equal(first, second)
    assert all(torch.equal(second, other) for other in rest)


def test_tokens_at_the_edges_of_a_row_are_no_part_of_a_span(make: Make) -> None:
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]])
    assert inner(mask).tolist() == [[0, 1, 1, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]
    backbone = make("bert").eval()
    bare = dict(backbone.tokenizer(["the beast was good ."], add_special_tokens=False, return_tensors="pt"))
    assert SpanBERT(backbone, probability=1.0).eval()(backbone, bare).total.isfinite()


def test_the_loss_is_the_sum_of_its_parts(make: Make) -> None:
    backbone = make("bert").eval()
    objective = SpanBERT(backbone, weight=0.5).eval()
    batch = encode(backbone, TEXTS)
    before = {name: value.clone() for name, value in batch.items()}
    loss, again = objective(backbone, batch), objective(backbone, batch)
    assert set(loss.parts) == {"masked_lm", "span_boundary"}
    assert set(loss.metrics) == {"accuracy", "boundary_accuracy"}
    assert loss.total.item() == pytest.approx(loss.parts["masked_lm"].item() + 0.5 * loss.parts["span_boundary"].item())
    assert loss.total.item() == again.total.item()
    assert all(torch.equal(batch[name], before[name]) for name in batch)


def test_gradients_reach_every_parameter_and_the_tied_table(make: Make) -> None:
    backbone = make("bert").train()
    objective = SpanBERT(backbone).train()
    objective(backbone, encode(backbone, TEXTS)).parts["span_boundary"].backward()
    assert all(parameter.grad is not None for parameter in objective.boundary.parameters())
    unseen = backbone.tokenizer.convert_tokens_to_ids("garment")
    assert embeddings(backbone).grad[unseen].abs().sum() > 0
    assert all(parameter is not embeddings(backbone) for parameter in objective.parameters())


@pytest.mark.parametrize("family", ["bert", "electra", "albert"])
def test_a_tiny_model_learns_both_parts(make: Make, family: str) -> None:
    backbone = make(family, dropout=0.0)
    objective = SpanBERT(backbone)
    optimizer = torch.optim.Adam([*backbone.parameters(), *objective.parameters()], lr=5e-3)
    batch = encode(backbone, TEXTS * 8)
    history = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = objective(backbone, batch)
        loss.total.backward()
        optimizer.step()
        history.append([part.item() for part in loss.parts.values()])
    start, end = torch.tensor(history[0]), torch.tensor(history[-5:]).mean(dim=0)
    assert (end < 0.7 * start).all()


@pytest.mark.parametrize("setting", ["positions", "position_size"])
@pytest.mark.parametrize("value", [0, 20910214])
def test_sizes_out_of_range_are_refused(make: Make, setting: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"{setting}={value}.*1 or more, 65,536 at most"):
        SpanBERT(make("bert"), **{setting: value})
