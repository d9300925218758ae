"""A probe's cell as a run of `lm_lab.probing.stacked`: which can be one, with which optimiser, batches and steps."""

import json
import math
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from lm_lab.benchmark.features import FeatureTable, has_fixed_features
from lm_lab.benchmark.plan import PlannedCell
from lm_lab.config.adapting import AdaptCLI
from lm_lab.data.batching import LengthGroupedBatches
from lm_lab.data.modules.base import TaskData
from lm_lab.heads.readout import TextReadout
from lm_lab.heads.scorers import ProbeHead, Standardise
from lm_lab.models import AdaptedModel
from lm_lab.probing.stacked import Curves
from lm_lab.probing.stacked_weights import Run
from lm_lab.strategies.base import AdaptationStrategy
from lm_lab.training.adaptation import Adaptation
from lm_lab.training.converged import can_converge, converges, fit_path
from lm_lab.training.optimizers import AdamW, BertAdam, parameter_groups
from lm_lab.training.standardising import ENOUGH

# what works entry by entry cannot tell stacked weights from those of one run
ELEMENTWISE = (AdamW, BertAdam, torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD, torch.optim.RMSprop)
PRECISIONS = ("32-true", "bf16-mixed")
CONVERGED = "converged"
POINTS = 50  # of a loss curve, as `TrainingMeter` keeps


def kind(module: Adaptation, trainer: L.Trainer, examples: int) -> str | None:
    """What heads have in common that are fitted together; None for one that is fitted alone."""
    model = module.model
    if not (has_fixed_features(model) and isinstance(model.head, TextReadout) and module.language is None):
        return None
    if converges(model):
        return CONVERGED if can_converge(model) and trainer.world_size == 1 else None
    return _structure(module) if _steps(module, trainer, examples) else None


def _steps(module: Adaptation, trainer: L.Trainer, examples: int) -> bool:
    """True for a head that is trained in the way that `stacked.train` knows."""
    model = module.model
    if type(model.strategy).on_epoch is not AdaptationStrategy.on_epoch or not model.trained:
        return False
    if _standardises(model.head) and (examples > ENOUGH or not isinstance(model.head.scorer, ProbeHead)):
        return False  # it would be standardised by some of its examples, or is of a kind that is not known
    simple = trainer.world_size == 1 and trainer.accumulate_grad_batches == 1 and trainer.precision in PRECISIONS
    by_norm = trainer.gradient_clip_algorithm in (None, "norm")
    return simple and by_norm and _entry_by_entry(module)


def _entry_by_entry(module: Adaptation) -> bool:
    try:
        optimizer = module.optimizer([{"params": [nn.Parameter(torch.zeros(1))]}], module.learning_rate)
    except Exception:  # a class of anybody's may raise anything, and shows it when the cell runs alone
        return False
    return type(optimizer) in ELEMENTWISE


def _structure(module: Adaptation) -> str:
    """What heads that are stacked have in common: their modules, sizes, and how many vectors they read."""
    head = module.model.head
    assert isinstance(head, TextReadout)
    sizes = [(name, tuple(p.shape), p.requires_grad) for name, p in head.named_parameters()]
    return repr([type(head), head.scorer, sizes, len(head.layers), head.added])


def fit(models: Sequence[AdaptedModel], features: Sequence[Tensor], labels: Tensor, trainer: L.Trainer) -> None:
    """Fit to convergence what each model reads: one path of penalties for all that read the same features (n, ...).

    Layers are fitted one after the other, which is as fast and takes the memory of one.
    """
    alike: dict[int, list[int]] = {}
    for place, values in enumerate(features):
        alike.setdefault(id(values), []).append(place)
    for places in alike.values():
        head = models[places[0]].head
        assert isinstance(head, TextReadout)
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            x = head.vector(features[places[0]].to(trainer.strategy.root_device)).float().cpu()
        fit_path([models[place] for place in places], x, labels)


def prepared(heads: Sequence[tuple[TextReadout, Tensor]], trainer: L.Trainer) -> list[tuple[nn.Module, Tensor]]:
    """What of each head trains, and what that reads: all that comes before it is computed once for features (n, ...).

    What standardises is fitted on the way.
    """
    known: dict[tuple[int, bool], tuple[Tensor, Standardise | None]] = {}
    found: list[tuple[nn.Module, Tensor]] = []
    for head, features in heads:
        if head.mix is not None:
            found.append((head, features))
            continue
        scorer, key = head.scorer, (id(features), isinstance(head.scorer, ProbeHead))
        if key not in known:
            known[key] = _read(head, features, trainer)
        vectors, first = known[key]
        if isinstance(scorer, ProbeHead):
            assert first is not None
            scorer.standardise.load_state_dict(first.state_dict())
            scorer = nn.Sequential(*scorer.hidden.children(), scorer.out)  # without a hidden layer the latter alone
        found.append((scorer, vectors))
    return found


@torch.no_grad()
def _read(head: TextReadout, features: Tensor, trainer: L.Trainer) -> tuple[Tensor, Standardise | None]:
    """What a scorer's weights see of features (n, texts, layers, d), and what it was standardised by."""
    with trainer.precision_plugin.forward_context():
        vectors = head.vector(features.to(trainer.strategy.root_device))
        if not isinstance(head.scorer, ProbeHead):
            return vectors, None
        head.scorer.standardise.fit([vectors])
        return head.scorer.standardise(vectors), head.scorer.standardise


def as_run(
    planned: PlannedCell,
    module: Adaptation,
    state: Tensor,
    table: FeatureTable,
    prepared: tuple[nn.Module, Tensor],
    cli: AdaptCLI,
) -> Run:
    """How a cell's head is trained.

    Args:
        planned: the cell.
        module: its model, with optimiser and schedule.
        state: that random numbers had once it was built.
        table: of the training set.
        prepared: what trains, and what it reads, as of `prepared`.
        cli: has the trainer.
    """
    head, features = prepared
    model, seed = planned.config["model"], planned.config["seed_everything"]
    device, rate, size = cli.trainer.strategy.root_device, module.learning_rate, cli.datamodule.batch_size

    def batches(epoch: int) -> list[list[int]]:
        order = LengthGroupedBatches(table.lengths, size, seed % 2**32)
        order.set_epoch(epoch)
        return list(order)

    generator = torch.Generator(device).manual_seed(seed)
    return Run(
        head=head,
        features=features,
        batches=batches,
        order=seed,
        groups=parameter_groups(module, rate),
        optimizer=module.optimizer,
        scheduler=module.scheduler,
        recipe=json.dumps([model.get("optimizer"), model.get("scheduler")], sort_keys=True),
        rate=rate,
        generator=generator.set_state(state) if device.type == "cpu" else generator,
    )


def steps_of(trainer: L.Trainer, data: TaskData) -> int:
    """Steps of a fit that epochs or steps limit."""
    most, epochs = trainer.max_steps, trainer.max_epochs
    each = math.ceil(len(data.encoded["train"]) / data.batch_size)
    if epochs in (None, -1):
        return most
    return min(each * epochs, most) if most >= 0 else each * epochs


def history(curves: Curves | None, place: int) -> list[dict[str, Any]]:
    """The curve of a run as its record has it; none of one that took no steps."""
    if curves is None:
        return []
    losses, rates = curves.losses[:, place].tolist(), curves.rates[:, place].tolist()
    every = max(1, len(losses) // POINTS)
    return [
        {"step": step, "loss": round(loss, 6), "learning_rate": rate}
        for step, (loss, rate) in enumerate(zip(losses, rates, strict=True), 1)
        if step % every == 0 or step == 1
    ]


def _standardises(head: nn.Module) -> bool:
    return any(isinstance(module, Standardise) for module in head.modules())
