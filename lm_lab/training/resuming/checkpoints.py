"""Exact resumption: what Lightning's checkpoints leave out, and a checkpoint that is written whole or not at all."""

import os
import random
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, distributed

from lm_lab.errors import UsageError
from lm_lab.training.losses.step_mean import ends_step

_MOMENTS = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer"}


class ExactResume(L.Callback):
    """Let a resumed run end with the weights of an undisturbed one, bit for bit.

    The checkpoint gets every process's random generators and, where it is written in the middle of a step of several
    batches, the gradients summed so far and what they weigh. Lightning does write such ones: right after a resumption,
    or when it validates. Each process but the first also gets random numbers of its own, else all would hide the same
    places and drop the same units.
    """

    def __init__(self) -> None:
        self._restore: dict[str, Any] | None = None
        self._module: L.LightningModule | None = None
        self._summing = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Seed processes apart, since their weights were drawn from the same numbers, and see that epochs are counted.

        Moments of another shape are refused: torch's fused kernels do not look, and read beyond them.

        Resumed from a checkpoint of an epoch's very last batch, Lightning goes on with the next epoch without counting
        it as begun. A checkpoint written in it would then be taken for one between two epochs.
        """
        _require_moments(trainer)
        if trainer.global_rank > 0:
            torch.manual_seed(torch.initial_seed() + trainer.global_rank)
        loop = trainer.fit_loop
        epoch: Any = loop.epoch_progress.current
        if loop.restarted_mid_epoch and epoch.ready == epoch.processed:
            loop.reset_restart_stage()

    def state_dict(self) -> dict[str, Any]:
        """The state of every process, which all of them must ask for."""
        if not _distributed():
            return {"processes": [self._state()]}
        states: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(states, self._state())
        return {"processes": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take this process's state; it is set just before the next step, after all that set-up may draw."""
        states = state_dict["processes"]
        rank, world = (distributed.get_rank(), distributed.get_world_size()) if _distributed() else (0, 1)
        if len(states) == world:
            self._restore = states[rank]
        else:
            rank_zero_warn(
                f"the checkpoint is of {len(states)} processes, this run has {world}: not an exact resumption"
            )

    def on_train_batch_start(
        self,
        trainer: L.Trainer,  # noqa: ARG002
        pl_module: L.LightningModule,
        *_: Any,
    ) -> None:
        """Set the state of the checkpoint, once."""
        if self._restore is None:
            return
        state, self._restore = self._restore, None
        _set_generators(state)
        if state["step"]:
            pl_module.step.load_state_dict(state["step"])  # type: ignore[union-attr]
        for name, gradient in state["gradients"].items():
            parameter = pl_module.get_parameter(name)
            parameter.grad = gradient.to(parameter.device)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Notice whether a step is under way; checkpoints are written after this."""
        self._module, self._summing = pl_module, not ends_step(trainer, batch_idx)

    def _state(self) -> dict[str, Any]:
        module: Any = self._module
        step = getattr(module, "step", None)
        return _generators() | {
            "gradients": _gradients(module) if self._summing else {},
            "step": step.state_dict() if step else {},
        }


class TakeNewRates(L.Callback):
    """Let a resumed run go on with the rates and the schedule that it is given now, not those of its checkpoint."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take what the module would begin with, at the step where the run stands."""
        fresh: Any = pl_module.configure_optimizers()
        optimizer, schedule = fresh["optimizer"], fresh["lr_scheduler"]["scheduler"]
        kept: Any = trainer.lr_scheduler_configs[0].scheduler
        kept.base_lrs, kept.lr_lambdas = schedule.base_lrs, schedule.lr_lambdas
        factors = [base * factor(kept.last_epoch) for base, factor in zip(kept.base_lrs, kept.lr_lambdas, strict=True)]
        for group, new, rate in zip(trainer.optimizers[0].param_groups, optimizer.param_groups, factors, strict=True):
            group.update({name: value for name, value in new.items() if name != "params"} | {"lr": rate})


class WholeCheckpoints(TorchCheckpointIO):
    """Write a checkpoint beside its place and rename it there, so that a kill leaves the old one or the new one.

    Lightning's own way writes to the system's folder of temporary files, and moves. If that is on another file system
    the move is a copy, and a kill leaves a part of it under the checkpoint's name.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save to a local path; one with a protocol (`s3://`) goes Lightning's way."""
        if "://" in str(path):
            return super().save_checkpoint(checkpoint, path, storage_options)
        beside = Path(f"{path}.part")
        beside.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "wb") as stream:
            torch.save(checkpoint, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
        return None


def _require_moments(trainer: L.Trainer) -> None:
    for optimizer in trainer.optimizers:
        for parameter, state in optimizer.state.items():
            for name in _MOMENTS & set(state):
                if state[name] is not None and state[name].shape != parameter.shape:
                    found, expected = list(state[name].shape), list(parameter.shape)
                    raise UsageError(
                        f"the checkpoint is damaged: {name} of the optimiser is {found}, expected {expected}."
                    )


def _distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _gradients(module: L.LightningModule) -> dict[str, Tensor]:
    return {name: parameter.grad for name, parameter in module.named_parameters() if parameter.grad is not None}


def _generators() -> dict[str, Any]:
    """States of the generators of Python, numpy and torch, in types that load with `weights_only`."""
    version, key, position, *gauss = np.random.get_state(legacy=True)
    kind, numbers, following = random.getstate()
    return {
        "python": [kind, list(numbers), following],
        "numpy": [version, key.tolist(), position, *gauss],  # type: ignore[union-attr]
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
    }


def _set_generators(state: dict[str, Any]) -> None:
    kind, numbers, following = state["python"]
    random.setstate((kind, tuple(numbers), following))
    name, key, *rest = state["numpy"]
    np.random.set_state((name, np.array(key, dtype=np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
