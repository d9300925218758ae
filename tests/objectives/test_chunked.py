"""The loss that is taken some rows at a time against the plain one: values, gradients, precisions."""

import pytest
import torch
import torch.nn.functional as F

from lm_lab.objectives import chunked
from lm_lab.objectives.chunked import linear_cross_entropy


@pytest.fixture(autouse=True)
def few_rows_at_a_time(monkeypatch):
    monkeypatch.setitem(chunked._SCORES, "cpu", 3 * 50)  # three rows of a vocabulary of fifty


def inputs(n=10, bias=True, trained=(True, True, True)):
    torch.manual_seed(0)
    made = [torch.randn(n, 8), torch.randn(50, 8), torch.randn(50) if bias else None]
    parts = [None if x is None else x.requires_grad_(y) for x, y in zip(made, trained, strict=True)]
    return parts, torch.randint(50, (n,))


def plain(states, weight, bias, targets):
    scores = F.linear(states, weight, bias).float()
    return F.cross_entropy(scores, targets), (scores.argmax(-1) == targets).float().mean()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n", [1, 3, 10])
def test_loss_and_gradients_are_the_plain_ones(n, bias):
    found = []
    for function in (plain, linear_cross_entropy):
        parts, targets = inputs(n, bias)
        loss, accuracy = function(*parts, targets)
        (3 * loss).backward()
        found.append((loss, accuracy, *(x.grad for x in parts if x is not None)))
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_what_is_frozen_gets_no_gradient():
    parts, targets = inputs(trained=(True, False, False))
    linear_cross_entropy(*parts, targets)[0].backward()
    assert parts[0].grad is not None
    assert parts[1].grad is None
    with torch.no_grad():
        assert torch.allclose(linear_cross_entropy(*parts, targets)[0], plain(*parts, targets)[0])


def test_in_bf16_it_is_as_near_to_fp32_as_the_plain_one():
    exact = plain(*inputs()[0], inputs()[1])[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        parts, targets = inputs()
        loss = linear_cross_entropy(*parts, targets)[0]
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), abs=2e-2)
    assert parts[1].grad.dtype == torch.float32


def test_no_targets_are_no_loss_and_still_a_graph():
    parts, targets = inputs(0)
    loss, accuracy = linear_cross_entropy(*parts, targets)
    loss.backward()
    assert (loss.item(), accuracy.item()) == (0, 0)
    assert not parts[1].grad.any()


def test_scores_are_never_all_in_memory(monkeypatch):
    largest = []
    kept = F.linear
    monkeypatch.setattr(F, "linear", lambda *args: largest.append(args[0].shape[0]) or kept(*args))
    parts, targets = inputs(10)
    linear_cross_entropy(*parts, targets)[0].backward()
    assert largest == [3, 3, 3, 1]
