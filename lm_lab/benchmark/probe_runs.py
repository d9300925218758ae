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
from lm_lab.heads.scorers import Standardise
from lm_lab.probing.stacked import Curves, Run
from lm_lab.strategies.base import AdaptationStrategy
from lm_lab.training.adaptation import Adaptation
from lm_lab.training.optimizers import AdamW, BertAdam, parameter_groups
from lm_lab.training.standardising import ENOUGH

# what works entry by entry cannot tell stacked weights from those of one run
ELEMENTWISE = (AdamW, BertAdam, torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD, torch.optim.RMSprop)
PRECISIONS = ("32-true", "bf16-mixed")
POINTS = 50  # of a loss curve, as `TrainingMeter` keeps


def fits(module: Adaptation, trainer: L.Trainer, examples: int) -> bool:
    """True for a head on features that never change, trained in the way that `stacked.train` knows."""
    model = module.model
    if not (has_fixed_features(model) and isinstance(model.head, TextReadout) and module.language is None):
        return False
    if type(model.strategy).on_epoch is not AdaptationStrategy.on_epoch or not model.trained:
        return False
    if _standardises(model.head) and (model.head.mix is not None or examples > ENOUGH):  # of some examples alone
        return False
    simple = trainer.world_size == 1 and trainer.accumulate_grad_batches == 1 and trainer.precision in PRECISIONS
    by_norm = trainer.gradient_clip_algorithm in (None, "norm")
    return simple and by_norm and _entry_by_entry(module)


def _entry_by_entry(module: Adaptation) -> bool:
    try:
        optimizer = module.optimizer([{"params": [nn.Parameter(torch.zeros(1))]}], module.learning_rate)
    except Exception:  # a class of anybody's may raise anything, and shows it when the cell runs alone
        return False
    return type(optimizer) in ELEMENTWISE


def structure(module: Adaptation) -> str:
    """What heads that are stacked have in common: their modules, sizes, and how many vectors they read."""
    head = module.model.head
    assert isinstance(head, TextReadout)
    sizes = [(name, tuple(p.shape), p.requires_grad) for name, p in head.named_parameters()]
    return repr([type(head), head.scorer, sizes, len(head.layers), head.added])


def standardise(heads: Sequence[tuple[nn.Module, Tensor]], trainer: L.Trainer) -> None:
    """Fit what standardises to the features (n, texts, layers, d) of the training set, those of each tensor once."""
    known: dict[int, Standardise] = {}
    for head, features in heads:
        for module in (each for each in head.modules() if isinstance(each, Standardise) and not each.fitted):
            if (first := known.get(id(features))) is None:
                assert isinstance(head, TextReadout)
                with torch.no_grad(), trainer.precision_plugin.forward_context():
                    module.fit(head.vector(some).to(module.mean.device) for some in features.split(4096))
                known[id(features)] = module
            else:
                module.load_state_dict(first.state_dict())


def as_run(planned: PlannedCell, module: Adaptation, state: Tensor, table: FeatureTable, cli: AdaptCLI) -> Run:
    """How a cell's head is trained, from the `state` that random numbers had once it was built."""
    model, seed = planned.config["model"], planned.config["seed_everything"]
    device, rate, size = cli.trainer.strategy.root_device, module.learning_rate, cli.datamodule.batch_size

    def batches(epoch: int) -> list[list[int]]:
        order = LengthGroupedBatches(table.lengths, size, seed % 2**32)
        order.set_epoch(epoch)
        return list(order)

    generator = torch.Generator(device).manual_seed(seed)
    return Run(
        head=module.model.head,
        features=table.features.to(device),
        batches=batches,
        order=seed,
        groups=parameter_groups(module, rate),
        optimizer=lambda groups: module.optimizer(groups, rate),
        scheduler=module.scheduler,
        recipe=json.dumps([rate, model.get("optimizer"), model.get("scheduler")], sort_keys=True),
        generator=generator.set_state(state) if device.type == "cpu" else generator,
    )


def steps_of(trainer: L.Trainer, data: TaskData) -> int:
    """Steps of a fit that epochs or steps limit."""
    most, epochs = trainer.max_steps, trainer.max_epochs
    each = math.ceil(len(data.encoded["train"]) / data.batch_size)
    if epochs in (None, -1):
        return most
    return min(each * epochs, most) if most >= 0 else each * epochs


def history(curves: Curves, place: int) -> list[dict[str, Any]]:
    """The curve of a run as its record has it."""
    losses, rates = curves.losses[:, place].tolist(), curves.rates[:, place].tolist()
    every = max(1, len(losses) // POINTS)
    return [
        {"step": step, "loss": round(loss, 6), "learning_rate": rate}
        for step, (loss, rate) in enumerate(zip(losses, rates, strict=True), 1)
        if step % every == 0 or step == 1
    ]


def _standardises(head: nn.Module) -> bool:
    return any(isinstance(module, Standardise) for module in head.modules())
