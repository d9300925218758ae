"""Weights, gradients and the optimiser's state shared out among processes: `--trainer.strategy fully_sharded`.

Zhao et al. 2023, https://arxiv.org/abs/2304.11277, as torch's `fully_shard` has it: each process keeps a slice of every
tensor; a block's are brought together just before it runs, those of embeddings and heads for the whole step. A step is
that of `ddp`, to rounding.
"""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import Loss
from lm_lab.training.machine.processes import gathered

NAME = "fully_sharded"


class FullySharded(ModelParallelStrategy):
    """Lightning's strategy for `fully_shard` with all processes in one group and checkpoints of one file."""

    def __init__(self, **options: Any) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False, **options)

    def setup_environment(self) -> None:
        """Make the group as large as the run."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def setup(self, trainer: L.Trainer) -> None:
        """Refuse modules that do not shard themselves."""
        module = self.lightning_module
        if module is None or not any(isinstance(parameter, DTensor) for parameter in module.parameters()):
            raise UsageError(f"{NAME} is for pretraining; adapt with --trainer.strategy ddp.")
        super().setup(trainer)


StrategyRegistry.register(NAME, FullySharded, description="fully_shard over all processes")


def shard(module: L.LightningModule, backbone: Backbone, strategy: FullySharded) -> None:
    """Share out the blocks one by one, and all that is left with the module itself."""
    mesh = strategy.device_mesh["data_parallel"]
    torch.export.register_dataclass(Loss)  # else the backward pass goes unnoticed: it begins at what forward returns
    for match in backbone.sites("block"):
        fully_shard(match.module, mesh=mesh)
    fully_shard(module, mesh=mesh)


def missing_batches(trainer: L.Trainer) -> int:
    """How many batches of an evaluation this process has less than the one with most.

    Each forward pass brings weights together, for which all processes must come: it reads as many once more.
    """
    if not isinstance(trainer.strategy, FullySharded):
        return 0
    own = int(sum(trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches))
    return max(gathered(own)) - own


def whole_state(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of the state dict, each in one piece, on a CPU; all processes must ask for it."""
    every: dict[str, Any] = model.state_dict(keep_vars=True)
    state = {name: value for name, value in every.items() if isinstance(value, Tensor)}  # a memory is no weight
    pieces = {id(tensor): tensor for tensor in state.values()}  # what two names share stays shared
    whole = {key: (t.full_tensor() if isinstance(t, DTensor) else t).detach().cpu() for key, t in pieces.items()}
    return {name: whole[id(tensor)] for name, tensor in state.items()}
