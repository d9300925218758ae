"""How fast pretraining is: tokens and floating point operations a second, and the share of what the machine can do.

Operations are those of forward and backward pass, a multiply and an add counted as two. torch's `FlopCounterMode`
counts them on the first batch of each shape, and batches of that shape are taken to cost the same. It knows products of
matrices, convolutions and attention: nearly all of a Transformer (6 a parameter and token, and the attention), but not
an LSTM's fused kernel.
"""

import time
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from lm_lab.models.flops import counter
from lm_lab.training.losses.step_mean import ends_step

Shapes = tuple[tuple[int, ...], ...]


class Throughput(L.Callback):
    """Log `speed/tokens_per_second`, `speed/flops_per_second` and `speed/utilisation`, and keep the totals.

    All three are of all processes together; padding is no token, but costs operations. The clock runs from batch to
    batch and stands still while the run validates or saves. Utilisation is the operations a second over those of a
    large product of matrices, timed on the same device in the run's precision before the first step.

    Attributes:
        seconds, flops: of the whole run so far, over resumptions; those that a killed run had not saved are lost.
    """

    def __init__(self) -> None:
        self.seconds, self.flops = 0.0, 0
        self._of_shape: dict[Shapes, int] = {}
        self._counter: FlopCounterMode | None = None
        self._started: float | None = None  # of the present lap; None while the clock stands still
        self._lap_flops = self._lap_tokens = 0
        self._peak = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Time the product."""
        self._peak = product_rate(pl_module.device, operand_type(trainer.precision))

    def on_train_batch_start(
        self,
        trainer: L.Trainer,  # noqa: ARG002
        pl_module: L.LightningModule,
        batch: dict[str, Any],
        *_: Any,
    ) -> None:
        """Start the clock, and count a shape that is new."""
        if self._started is None:
            self._started, self._lap_tokens = time.perf_counter(), _tokens(pl_module)
        if _shapes(batch) not in self._of_shape:
            self._counter = counter()
            self._counter.__enter__()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: dict[str, Any],
        batch_idx: int,
    ) -> None:
        """Add the batch, and log at the steps at which the Trainer does."""
        if self._counter is not None:
            self._of_shape[_shapes(batch)] = self._counter.get_total_flops()
            self._stop_counting()
        self._lap_flops += self._of_shape[_shapes(batch)]
        if ends_step(trainer, batch_idx) and trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            pl_module.log_dict(self._lap(trainer, pl_module))

    def on_exception(self, *_: Any) -> None:
        """Count no further."""
        self._stop_counting()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop the clock until the next batch."""
        self._lap(trainer, pl_module)
        self._started = None

    on_train_epoch_end = on_validation_start

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the totals, and stop the clock until the next batch."""
        self.on_validation_start(trainer, pl_module)
        checkpoint["throughput"] = {"seconds": self.seconds, "flops": self.flops, "of_shape": dict(self._of_shape)}

    def on_load_checkpoint(
        self,
        trainer: L.Trainer,  # noqa: ARG002
        pl_module: L.LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Count on from the totals of a checkpoint that has them."""
        if saved := checkpoint.get("throughput"):
            self.seconds, self.flops, self._of_shape = saved["seconds"], saved["flops"], saved["of_shape"]

    def _lap(self, trainer: L.Trainer, module: L.LightningModule) -> dict[str, float]:
        """Add what the clock has measured since it was last read, and return its speeds."""
        if self._started is None:
            return {}
        _wait_for(module.device)
        now, tokens = time.perf_counter(), _tokens(module)
        seconds = now - self._started
        flops = int(trainer.strategy.reduce(torch.tensor(self._lap_flops, device=module.device), reduce_op="sum"))
        done = tokens - self._lap_tokens
        self.seconds, self.flops = self.seconds + seconds, self.flops + flops
        self._started, self._lap_tokens, self._lap_flops = now, tokens, 0
        return {
            "speed/tokens_per_second": done / seconds,
            "speed/flops_per_second": flops / seconds,
            "speed/utilisation": flops / seconds / (self._peak * trainer.world_size),
        }

    def _stop_counting(self) -> None:
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
            self._counter = None


def operand_type(precision: Any) -> torch.dtype:
    """What a Trainer of `precision` multiplies: "bf16-mixed" gives bfloat16."""
    kinds = {"bf16": torch.bfloat16, "16": torch.float16, "64": torch.float64}
    return next((kind for name, kind in kinds.items() if str(precision).startswith(name)), torch.float32)


def product_rate(device: torch.device, kind: torch.dtype) -> float:
    """Operations a second of the best of three products of square matrices, after one to warm up."""
    size = 1024 if device.type == "cpu" else 8192
    # of its own, so that the run's random numbers stay as they are
    generator = torch.Generator(device).manual_seed(0)
    matrix = torch.rand(size, size, generator=generator, device=device).to(kind)
    times = []
    for _ in range(4):
        _wait_for(device)
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        _wait_for(device)
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times[1:])


def _tokens(module: L.LightningModule) -> int:
    return int(module.tokens)  # type: ignore[arg-type]


def _shapes(batch: dict[str, Any]) -> Shapes:
    return tuple(tuple(value.shape) for value in batch.values() if isinstance(value, Tensor))


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
