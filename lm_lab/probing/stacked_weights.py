"""The stacked weights of runs, (K, ...): one optimiser for those of one recipe, with the rate of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import stack_module_state
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class Run:
    """A head and how it is trained.

    Args:
        head: from features (b, ...) to scores; gets the trained weights.
        features: (n, ...) of all examples; runs may share them.
        batches: the batches of an epoch, as places of examples.
        order: what runs with equal batches have in common.
        groups: the head's parameters as an optimiser takes them.
        optimizer: makes an optimiser of groups, one that works entry by entry.
        scheduler: makes its schedule, of so many steps.
        recipe: what runs with equal optimisers and schedules, but for the rate, have in common.
        rate: the learning rate.
        generator: state of the random numbers that dropout is drawn from.
    """

    head: nn.Module
    features: Tensor
    batches: Callable[[int], Sequence[Sequence[int]]]
    order: int
    groups: Sequence[Mapping[str, Any]]
    optimizer: Callable[[list[dict[str, Any]], float], Optimizer]
    scheduler: Callable[[Optimizer, int], LRScheduler]
    recipe: str
    rate: float
    generator: torch.Generator

    @property
    def reads(self) -> tuple[int, int]:
        """What runs that read the same features in the same order have in common."""
        return id(self.features), self.order


class Weights:
    """Weights of runs that come sorted by recipe and rate: a part for each, an optimiser for each recipe."""

    def __init__(self, runs: Sequence[Run], steps: int) -> None:
        self.runs = runs
        alike = [list(part) for _, part in groupby(runs, lambda run: (run.recipe, run.rate))]
        self.sizes = [len(part) for part in alike]
        self.parts: list[Parameters] = [stack_module_state([run.head.train() for run in part])[0] for part in alike]
        self.first: list[tuple[int, int]] = []  # of each part, its optimiser and the place of its first group there
        self.optimizers: list[Optimizer] = []
        self.schedules: list[LRScheduler] = []
        for _, several in groupby(range(len(alike)), lambda number: alike[number][0].recipe):
            groups: list[dict[str, Any]] = []
            for number in several:
                run = alike[number][0]
                self.first.append((len(self.optimizers), len(groups)))
                groups += _groups(run, self.parts[number])
            self.optimizers.append(run.optimizer(groups, run.rate))
            self.schedules.append(run.scheduler(self.optimizers[-1], steps))

    def stacked(self) -> Parameters:
        """By name, (K, ...), for a step's gradients."""
        found = {}
        for name, own in self.parts[0].items():
            found[name] = torch.cat([part[name].detach() for part in self.parts]).requires_grad_(own.requires_grad)
        return found

    def step(self, total: Tensor, stacked: Parameters, clip: float | None) -> None:
        """One update of every run, by the sum of their losses as it depends on `stacked`."""
        names = [name for name, value in stacked.items() if value.requires_grad]
        found = torch.autograd.grad(total, [stacked[name] for name in names])
        gradients = found if clip is None else _clipped(found, clip)
        for name, gradient in zip(names, gradients, strict=True):
            for part, own in zip(self.parts, gradient.split(self.sizes), strict=True):
                part[name].grad = own.contiguous()  # a fused optimiser reads memory as it reads the parameter's
        for optimizer, schedule in zip(self.optimizers, self.schedules, strict=True):
            optimizer.step()
            schedule.step()

    def rates(self) -> list[float]:
        """(K,) the learning rates of each run's first group."""
        found = [self.optimizers[number].param_groups[group]["lr"] for number, group in self.first]
        return [rate for rate, size in zip(found, self.sizes, strict=True) for _ in range(size)]

    @torch.no_grad()
    def write_back(self) -> None:
        """Give every head its weights."""
        values = self.stacked()
        for place, run in enumerate(self.runs):
            for name, parameter in run.head.named_parameters():
                parameter.copy_(values[name][place])


def _groups(run: Run, stacked: Parameters) -> list[dict[str, Any]]:
    """A run's groups, of stacked weights, with its rate."""
    names = {id(parameter): name for name, parameter in run.head.named_parameters()}
    return [
        {"lr": run.rate, **group, "params": [stacked[names[id(p)]] for p in group["params"]]} for group in run.groups
    ]


def _clipped(gradients: Sequence[Tensor], most: float) -> list[Tensor]:
    """As `torch.nn.utils.clip_grad_norm_`, for each run of gradients (K, ...)."""
    squares = [gradient.reshape(len(gradient), -1).square().sum(1) for gradient in gradients]
    factor = (most / (torch.stack(squares).sum(0).sqrt() + 1e-6)).clamp(max=1.0)
    return [gradient * factor.view(-1, *[1] * (gradient.dim() - 1)) for gradient in gradients]
