"""Heads of one structure over stored features, trained as one: K runs a step, each with weights and batches of its own.

    w (K, ...)   x (K, b, ...)   losses (K,)        the gradient of their sum is each run's own gradient

What a run becomes is what it becomes alone: its batches, rate, schedule, clipping and dropout are its own, and an
optimiser that works entry by entry cannot tell stacked weights from single ones. Runs with one recipe share an
optimiser. A run whose loss is no number goes on without touching the others.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lm_lab.probing.noise import given_noise

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
        recipe: what runs with an equal optimiser, rate and schedule have in common.
        generator: state of the random numbers that dropout is drawn from.
    """

    head: nn.Module
    features: Tensor
    batches: Callable[[int], Sequence[Sequence[int]]]
    order: Any
    groups: Sequence[Mapping[str, Any]]
    optimizer: Callable[[list[dict[str, Any]]], Optimizer]
    scheduler: Callable[[Optimizer, int], LRScheduler]
    recipe: str
    generator: torch.Generator


@dataclass(frozen=True)
class Curves:
    """Losses and learning rates of every step, (steps, K), in the order of the runs; examples of each run (K,)."""

    losses: Tensor
    rates: Tensor
    examples: Tensor


def train(
    runs: Sequence[Run],
    labels: Tensor,
    loss: Callable[[Tensor, Mapping[str, Any]], Tensor],
    steps: int,
    clip: float | None,
    context: Callable[[], AbstractContextManager[Any]],
) -> Curves:
    """Train every run for `steps` steps.

    Args:
        runs: with heads of one structure.
        labels: (n, ...) of the examples.
        loss: of scores and a batch with `labels`, as a task has it.
        steps: of each run.
        clip: largest norm of a run's gradient.
        context: in which scores and losses are computed.
    """
    recipes = list(dict.fromkeys(run.recipe for run in runs))
    order = sorted(range(len(runs)), key=lambda place: recipes.index(runs[place].recipe))
    back, runs = torch.tensor(order).argsort(), [runs[place] for place in order]
    with context():
        stack = _Stack(runs, loss)
    losses, rates, examples = [], [], torch.zeros(len(runs), dtype=torch.long)
    batches = _batches(runs)
    for _ in range(steps):
        found = torch.zeros(len(runs), device=labels.device)
        total = torch.zeros((), device=labels.device)
        parameters = stack.parameters()
        for places, index in next(batches):
            with context():
                own = stack.losses(parameters, places, index.to(labels.device), labels)
            total = total + own.float().sum()
            found[places] = own.detach().float()
            examples[places] += index.shape[1]
        stack.step(total, clip, steps)
        losses.append(found)
        rates.append(stack.rates())
    stack.write_back()
    return Curves(torch.stack(losses).cpu()[:, back], torch.stack(rates)[:, back], examples[back])


def _batches(runs: Sequence[Run]) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """A step at a time: places of runs (k,) whose batches are of one size, and their examples (k, b)."""
    kinds = list(dict.fromkeys(run.order for run in runs))
    kind = torch.tensor([kinds.index(run.order) for run in runs])
    first = [next(run for run in runs if run.order == own) for own in kinds]
    epoch = 0
    while True:
        for step in zip(*(run.batches(epoch) for run in first), strict=True):
            sizes = torch.tensor([len(batch) for batch in step])[kind]
            yield [_of_size(int(size), sizes, step, kind) for size in sizes.unique()]
        epoch += 1


def _of_size(size: int, sizes: Tensor, step: Sequence[Sequence[int]], kind: Tensor) -> tuple[Tensor, Tensor]:
    (places,) = torch.where(sizes == size)
    return places, torch.tensor([step[number] for number in kind[places].tolist()])


class _Stack:
    """The runs' weights, a part for each recipe, with the part's optimiser and schedule; runs come sorted by recipe."""

    def __init__(self, runs: Sequence[Run], loss: Callable[[Tensor, Mapping[str, Any]], Tensor]) -> None:
        recipes = list(dict.fromkeys(run.recipe for run in runs))
        self.runs, self.loss = runs, loss
        self.members = [[place for place, run in enumerate(runs) if run.recipe == recipe] for recipe in recipes]
        heads = [run.head.train() for run in runs]
        self.base, self.noises = given_noise(copy.deepcopy(heads[0]), runs[0].features[:1])
        self.parts = [stack_module_state([heads[place] for place in part])[0] for part in self.members]
        self.buffers = stack_module_state(heads)[1]
        kept = list({id(run.features): run.features for run in runs}.values())
        which = {id(features): number for number, features in enumerate(kept)}
        self.which = torch.tensor([which[id(run.features)] for run in runs], device=kept[0].device)
        self.features = torch.stack(kept)  # (different features, n, ...)
        self.optimizers = [
            runs[part[0]].optimizer(_stacked_groups(runs[part[0]], own))
            for part, own in zip(self.members, self.parts, strict=True)
        ]
        self.schedules: list[LRScheduler] = []

    def parameters(self) -> Parameters:
        """All runs' weights by name, (K, ...)."""
        return {name: torch.cat([part[name] for part in self.parts]) for name in self.parts[0]}

    def losses(self, parameters: Parameters, places: Tensor, index: Tensor, labels: Tensor) -> Tensor:
        """(k,) of the runs at `places` on the examples `index` (k, b)."""
        whole = len(places) == len(self.runs)
        own = parameters if whole else {name: value[places] for name, value in parameters.items()}
        buffers = self.buffers if whole else {name: value[places] for name, value in self.buffers.items()}
        generators = [self.runs[place].generator for place in places.tolist()]
        buffers = buffers | {noise.name: noise.draw(generators, index.shape[1]) for noise in self.noises}
        x = self.features[self.which[places][:, None], index]  # (k, b, ...)
        return vmap(self._loss)(own, buffers, x, labels[index])

    def _loss(self, parameters: Parameters, buffers: Parameters, x: Tensor, labels: Tensor) -> Tensor:
        scores = functional_call(self.base, (parameters, buffers), (x,))
        return self.loss(scores, {"labels": labels})

    def step(self, total: Tensor, clip: float | None, steps: int) -> None:
        """One update of every run."""
        self.schedules = self.schedules or [
            self.runs[part[0]].scheduler(optimizer, steps)
            for part, optimizer in zip(self.members, self.optimizers, strict=True)
        ]
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        total.backward()
        for part, optimizer, schedule in zip(self.parts, self.optimizers, self.schedules, strict=True):
            if clip is not None:
                _clip([value.grad for value in part.values() if value.grad is not None], clip)
            optimizer.step()
            schedule.step()

    def rates(self) -> Tensor:
        """(K,) the learning rates, of the first group of each optimiser."""
        found = [optimizer.param_groups[0]["lr"] for optimizer in self.optimizers]
        return torch.tensor([found[number] for number, part in enumerate(self.members) for _ in part])

    @torch.no_grad()
    def write_back(self) -> None:
        """Give every head its weights."""
        values = self.parameters()
        for place, run in enumerate(self.runs):
            for name, parameter in run.head.named_parameters():
                parameter.copy_(values[name][place])


def _stacked_groups(run: Run, stacked: Parameters) -> list[dict[str, Any]]:
    names = {id(parameter): name for name, parameter in run.head.named_parameters()}
    return [dict(group) | {"params": [stacked[names[id(p)]] for p in group["params"]]} for group in run.groups]


def _clip(gradients: Sequence[Tensor], most: float) -> None:
    """As `torch.nn.utils.clip_grad_norm_`, for each run of gradients (K, ...)."""
    squares = torch.stack([gradient.reshape(len(gradient), -1).square().sum(1) for gradient in gradients])
    factor = (most / (squares.sum(0).sqrt() + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))
