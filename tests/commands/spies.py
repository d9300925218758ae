"""Callbacks for commands that tests start as processes of their own (`--allow-import spies`)."""

import hashlib
import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import lightning as L
import torch

from lm_lab.training.resuming import checkpoints as resuming


class Trace(L.Callback):
    """Write what each process saw to `rankN.json` of a folder: losses of its batches, its generator's state."""

    def __init__(self, folder: str) -> None:
        self.folder, self.losses, self.generator = Path(folder), [], ""

    def on_train_batch_start(self, *_: Any) -> None:
        self.generator = hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, *_: Any) -> None:
        self.losses.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        seen = {"losses": self.losses, "generator": self.generator, "tokens": int(module.tokens)}
        (self.folder / f"rank{trainer.global_rank}.json").write_text(json.dumps(seen))


class Die(L.Callback):
    """Kill the process, as `kill -9` does: at the start of a batch, or with half of the next checkpoint written.

    Args:
        batch: number of the batch, counted over epochs and resumptions.
        saving: wait for the first checkpoint from there on.
    """

    def __init__(self, batch: int, saving: bool) -> None:
        self.batch, self.saving = batch, saving

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.fit_loop.total_batch_idx + 1 < self.batch:
            return
        if not self.saving:
            os.kill(os.getpid(), signal.SIGKILL)
        resuming.torch = Halved(torch)


class Halved:
    """torch, whose `save` ends in the middle."""

    def __init__(self, whole: Any) -> None:
        self.whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def save(self, content: Any, stream: Any) -> None:
        memory = io.BytesIO()
        self.whole.save(content, memory)
        stream.write(memory.getvalue()[: memory.tell() // 2])
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)


class Tell(L.Callback):
    """Tell the process to stop in a batch.

    Args:
        batch: number of the batch, counted over epochs from 1.
        number: of the signal.
        times: how often.
    """

    def __init__(self, batch: int, number: int, times: int = 1) -> None:
        self.batch, self.number, self.times = batch, number, times

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.fit_loop.total_batch_idx + 1 == self.batch:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)
