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
from torch.utils._pytree import tree_map

from lm_lab.probing.noise import Noise, given_noise
from lm_lab.probing.stacked_weights import Parameters, Run, Weights

Loss = Callable[[Tensor, Mapping[str, Any]], Tensor]


@dataclass(frozen=True)
class Curves:
    """Losses and learning rates of every step, (steps, K), in the order of the runs; examples of each run (K,)."""

    losses: Tensor
    rates: Tensor
    examples: Tensor


def train(
    runs: Sequence[Run],
    labels: Tensor,
    loss: Loss,
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
    order = sorted(range(len(runs)), key=lambda place: (runs[place].recipe, runs[place].rate, *runs[place].reads))
    back, runs = torch.tensor(order).argsort(), [runs[place] for place in order]
    with context():
        grid = Grid(runs, loss)
    weights = Weights(runs, steps)
    losses, rates, batches = [], [], _batches(grid.columns)
    examples = torch.zeros(len(runs), dtype=torch.long)
    for _ in range(steps):
        own = weights.stacked()
        with context():
            found, counts = grid.losses(own, next(batches), labels)
        weights.step(found.sum(), own, clip)
        losses.append(found.detach())
        rates.append(weights.rates())
        examples += counts
    weights.write_back()
    return Curves(torch.stack(losses).cpu()[:, back], torch.tensor(rates)[:, back], examples[back])


def _batches(columns: Sequence[Run]) -> Iterator[list[tuple[list[int], Tensor]]]:
    """A step at a time: columns (c,) whose batches are of one size, and their examples (c, b)."""
    first = {run.order: run for run in columns}
    epoch = 0
    while True:
        for step in zip(*(run.batches(epoch) for run in first.values()), strict=True):
            batch = dict(zip(first, step, strict=True))
            sizes = [len(batch[run.order]) for run in columns]
            alike = [[place for place, own in enumerate(sizes) if own == size] for size in dict.fromkeys(sizes)]
            yield [(places, torch.tensor([batch[columns[place].order] for place in places])) for places in alike]
        epoch += 1


class Grid:
    """Runs as rows, which read the same, and columns: what a column reads is gathered once for all of its rows.

    Runs come sorted; where they are no whole grid, there is one row.
    """

    def __init__(self, runs: Sequence[Run], loss: Loss) -> None:
        reads = list(dict.fromkeys(run.reads for run in runs))
        whole = all(runs[place].reads == reads[place % len(reads)] for place in range(len(runs)))
        self.rows = len(runs) // len(reads) if whole and len(runs) % len(reads) == 0 else 1
        self.columns = runs[: len(runs) // self.rows]
        self.runs, self.loss = runs, loss
        self.base, self.noises = given_noise(copy.deepcopy(runs[0].head).train(), runs[0].features[:1])
        self.buffers = {name: self._shaped(value) for name, value in stacked_buffers(runs).items()}
        kept = {id(run.features): run.features for run in self.columns}
        numbers = {key: number for number, key in enumerate(kept)}
        self.which = torch.tensor([numbers[id(run.features)] for run in self.columns])
        self.features = torch.stack(list(kept.values()))  # (different features, n, ...)
        self.projects = isinstance(self.base, nn.Sequential) and isinstance(self.base.get_submodule("0"), nn.Linear)
        if self.projects:
            self.base.set_submodule("0", nn.Identity())
        self.each = vmap(self._loss)

    def losses(
        self, stacked: Parameters, batches: Sequence[tuple[list[int], Tensor]], labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(K,) losses, and (K,) how many examples they are of, of weights (K, ...)."""
        shaped = {name: self._shaped(value) for name, value in stacked.items()}
        found, counts, places = [], torch.zeros(self.rows, len(self.columns), dtype=torch.long), list[int]()
        for some, index in batches:
            found.append(self._some(shaped, some, index.to(labels.device), labels).float())
            counts[:, some] = index.shape[1]
            places += some
        losses = found[0] if len(found) == 1 else torch.cat(found, 1)[:, torch.tensor(places).argsort()]
        return losses.flatten(), counts.flatten()

    def _some(self, shaped: Parameters, places: list[int], index: Tensor, labels: Tensor) -> Tensor:
        """(rows, c) of the columns at `places`, on the examples `index` (c, b)."""
        own, buffers = shaped, self.buffers
        if len(places) < len(self.columns):
            own, buffers = ({name: value[:, places] for name, value in each.items()} for each in (own, buffers))
        x = self.features[self.which[places, None].to(index.device), index]  # (c, b, ...)
        if self.projects:
            x = _projected(x, own["0.weight"], own["0.bias"])
            own = {name: value for name, value in own.items() if not name.startswith("0.")}
        else:
            x = x.expand(self.rows, *x.shape)
        noises = {noise.name: self._drawn(noise, places, index.shape[1]) for noise in self.noises}
        true = labels[index]
        given = [own, buffers | noises, x, true.expand(self.rows, *true.shape)]
        return self.each(*tree_map(lambda value: value.flatten(0, 1), given)).unflatten(0, (self.rows, len(places)))

    def _drawn(self, noise: Noise, places: list[int], size: int) -> Tensor:
        """(rows, c, b, ...)."""
        width = len(self.columns)
        drawing = [self.runs[row * width + place].generator for row in range(self.rows) for place in places]
        return noise.draw(drawing, size).unflatten(0, (self.rows, len(places)))

    def _shaped(self, value: Tensor) -> Tensor:
        return value.unflatten(0, (self.rows, len(self.columns)))

    def _loss(self, parameters: Parameters, buffers: Parameters, x: Tensor, labels: Tensor) -> Tensor:
        return self.loss(functional_call(self.base, (parameters, buffers), (x,)), {"labels": labels})


def _projected(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (c, b, i), weight (rows, c, o, i), bias (rows, c, o) -> (rows, c, b, o), as one product for all rows."""
    rows, _, outputs, _ = weight.shape
    found = torch.bmm(x, weight.transpose(0, 1).flatten(1, 2).transpose(1, 2))  # (c, b, rows o)
    shaped = found.unflatten(2, (rows, outputs)).permute(2, 0, 1, 3)
    return shaped + bias[:, :, None].to(shaped.dtype)


def stacked_buffers(runs: Sequence[Run]) -> Parameters:
    """(K, ...) by name."""
    found: Parameters = stack_module_state([run.head for run in runs])[1]
    return found
