import copy
import math

import pytest
import torch
from torch import nn
from transformers import Adafactor

from lm_lab.errors import UsageError
from lm_lab.training.muon import Muon, orthogonal
from lm_lab.training.optimizers import AdamW, BertAdam, parameter_groups
from lm_lab.training.schedules import (
    WarmupConstant,
    WarmupCosine,
    WarmupInverseSqrt,
    WarmupLinear,
    constant,
    cosine,
    inverse_sqrt,
    linear,
)


@pytest.mark.parametrize(("step", "ratio"), [(1, 3.16), (12, 6.57), (234, 2.19), (3000, 1.03)])
def test_bert_adams_updates_exceed_adams_by_the_known_ratio(step, ratio):
    """(1 - 0.9^t) / sqrt(1 - 0.999^t) under a constant gradient, the figures of Zhang et al. 2021."""
    ours, theirs = (nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in range(2))
    optimizers = (
        BertAdam([ours], 1e-3, eps=0.0, weight_decay=0.0),
        torch.optim.Adam([theirs], 1e-3, eps=0.0),
    )
    for _ in range(step):
        before = [parameter.item() for parameter in (ours, theirs)]
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = torch.full_like(parameter, 0.7)
            optimizer.step()
    moved = [parameter.item() - start for parameter, start in zip((ours, theirs), before, strict=True)]
    exact = (1 - 0.9**step) / math.sqrt(1 - 0.999**step)
    assert moved[0] / moved[1] == pytest.approx(exact, rel=1e-9)
    assert exact == pytest.approx(ratio, abs=0.006)


def test_bert_adam_decays_weights_apart_from_the_gradient():
    parameter = nn.Parameter(torch.ones(3, 3))
    parameter.grad = torch.zeros(3, 3)
    BertAdam([parameter], 0.1, weight_decay=0.5).step()
    assert torch.allclose(parameter, torch.full((3, 3), 0.95))


def test_fused_adamw_equals_torchs():
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    pairs = ((ours, AdamW(ours.parameters(), 1e-2)), (theirs, torch.optim.AdamW(theirs.parameters(), 1e-2)))
    for _ in range(5):
        x = torch.randn(4, 5)
        for model, optimizer in pairs:
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)


def test_biases_and_norms_do_not_decay():
    module = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    module[0].weight.requires_grad_(True)
    decayed, kept = parameter_groups(module, 0.1)
    assert [p.shape for p in decayed["params"]] == [(4, 4)]
    assert len(kept["params"]) == 3
    assert kept["weight_decay"] == 0.0
    module[0].requires_grad_(False)
    assert [len(group["params"]) for group in parameter_groups(module, 0.1)] == [2]


OPTIMIZERS = {
    "adam": lambda groups: torch.optim.Adam(groups, 0.05),
    "adamw": lambda groups: AdamW(groups, 0.05),
    "bert_adam": lambda groups: BertAdam(groups, 0.05),
    "sgd": lambda groups: torch.optim.SGD(groups, 0.05, momentum=0.9),
    "adafactor": lambda groups: Adafactor(groups, 0.05, scale_parameter=False, relative_step=False),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_fits_a_line(name):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    x = torch.randn(64, 3)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.3
    optimizer = OPTIMIZERS[name](parameter_groups(model, 0.1))
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]


def test_linear_rises_and_falls_to_zero():
    assert linear(0, 100, 10) == pytest.approx(1 / 11)  # the first step counts
    assert linear(10, 100, 10) == 1.0
    assert linear(55, 100, 10) == pytest.approx(0.5)
    assert linear(100, 100, 10) == 0.0


def test_cosine_falls_to_its_floor():
    assert cosine(10, 100, 10, 0.1) == 1.0
    assert cosine(55, 100, 10, 0.1) == pytest.approx(0.55)
    assert cosine(100, 100, 10, 0.1) == pytest.approx(0.1)


@pytest.mark.parametrize("step", [1, 2, 400, 3999, 4000, 4001, 100_000])
def test_inverse_square_root_is_the_formula_of_the_transformer(step):
    """d^-0.5 min(step^-0.5, step warmup^-1.5), steps counted from 1, over its highest value."""
    warmup, d = 4000, 512
    rate = d**-0.5 * min(step**-0.5, step * warmup**-1.5)
    assert inverse_sqrt(step - 1, warmup - 1) == pytest.approx(rate / (d * warmup) ** -0.5)


def test_constant_stays():
    assert [constant(step, 2) for step in range(4)] == pytest.approx([1 / 3, 2 / 3, 1, 1])


@pytest.mark.parametrize("schedule", [WarmupLinear, WarmupCosine, WarmupInverseSqrt, WarmupConstant])
def test_schedules_scale_the_optimisers_rate(schedule):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.5)
    scheduler = schedule(optimizer, 10, warmup=0.2)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert max(rates) == pytest.approx(0.5)
    assert rates[0] < rates[1] < rates[2]
    with pytest.raises(UsageError, match=r"warmup=1\.5"):
        schedule(optimizer, 10, warmup=1.5)


def blocks():
    torch.manual_seed(0)
    layers = nn.ModuleList([nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 4)])
    return nn.ModuleDict({"embeddings": nn.Embedding(9, 6), "layers": layers, "head": nn.Linear(4, 2)})


def moved(model, optimizer, steps=3):
    for seed in range(steps):
        torch.manual_seed(seed)
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return dict(model.named_parameters())


def test_muon_takes_the_matrices_of_blocks_and_adamw_the_rest():
    ours, peer = blocks(), blocks()
    found = moved(ours, Muon(parameter_groups(ours, 0.1), 0.1))
    matrices = {name: p for name, p in peer.named_parameters() if name in ("layers.0.weight", "layers.2.weight")}
    rest = [p for name, p in peer.named_parameters() if name not in matrices]
    decayed, kept = ([p for p in rest if (p.dim() == 2) is wanted] for wanted in (True, False))
    muon = torch.optim.Muon(matrices.values(), 0.1, 0.01, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW([{"params": decayed}, {"params": kept, "weight_decay": 0.0}], 0.1, weight_decay=0.01)
    for seed in range(3):
        torch.manual_seed(seed)
        for parameter in peer.parameters():
            parameter.grad = torch.randn_like(parameter)
        muon.step()
        adam.step()
    start = dict(blocks().named_parameters())
    for name, parameter in peer.named_parameters():  # torch's orthogonal updates are rounded to bfloat16
        off = (found[name] - parameter).norm() / (parameter - start[name]).norm()
        assert off < (0.03 if name in matrices else 1e-5), name


def test_muons_updates_are_its_polynomial_of_the_singular_values():
    stack = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))
    found = orthogonal(stack)
    for matrix, update in zip(stack.double(), found, strict=True):
        u, s, v = torch.linalg.svd(matrix / matrix.norm(), full_matrices=False)
        for _ in range(5):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        assert torch.allclose(update.double(), u @ s.diag() @ v, atol=1e-4)
        assert s.min() > 0.6
        assert s.max() < 1.3


def test_muon_goes_on_from_a_state_and_follows_a_schedule():
    whole, again = blocks(), blocks()
    optimizer = Muon(parameter_groups(whole, 0.1), 0.1)
    moved(whole, optimizer)
    again.load_state_dict(whole.state_dict())
    resumed = Muon(parameter_groups(again, 0.1), 0.1)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for each in (optimizer, resumed):
        for group in each.param_groups:
            group["lr"] = 0.01
    first, second = moved(whole, optimizer, 1), moved(again, resumed, 1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = {name: parameter.clone() for name, parameter in whole.named_parameters()}
    assert all(torch.equal(parameter, before[name]) for name, parameter in moved(whole, optimizer, 1).items())


def test_muon_without_a_matrix_of_a_block_is_refused():
    with pytest.raises(UsageError, match="no matrix of a block"):
        Muon(parameter_groups(nn.Linear(3, 2), 0.1), 0.1)
