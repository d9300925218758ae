"""A step of a pack beside steps of its runs: whether it is the same, and whether it is faster."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lm_lab.heads.readout import Text
from lm_lab.packs.errors import ApartError
from lm_lab.packs.model import Pack, without_marks
from lm_lab.packs.streams import kept

LOOP = 2e-3  # seconds that Lightning's loop takes a step: 1.6 to 2.5 ms on a CPU
GAIN = 1.1  # how many times as fast a pack must be
ROWS, TOKENS = 3, 5  # of the batch on which gradients are compared: numbers that cannot be taken for one another
_WHOLE, _HALF = 1e-3, 5e-2  # how far lengths may be apart, by precision

Batch = Mapping[str, Any]


def require_same(pack: Pack, batches: Sequence[Batch], half: bool) -> None:
    """Compare hidden states, and what they send back, of the first and the last run with those of each alone.

    Args:
        pack: in any mode; it is left as it was.
        batches: of each run; a few rows and tokens are read.
        half: whether products are of half precision.

    Raises:
        ApartError: they differ.
    """
    small = [{"texts": [_cut(text, bool(pack.shared.asks)) for text in batch["texts"]]} for batch in batches]
    models: Any = pack.models
    with kept(), undisturbed(pack):
        pack.eval()
        read = [text[run][-1] for text in pack.read(small) for run in (0, -1)]
        _send_back(read)
        pack.require_own()
        found = [_gradients(models[run]) for run in (0, -1)]
        pack.zero_grad()
        texts = [(run, small[run]["texts"][place]) for place in range(len(small[0]["texts"])) for run in (0, -1)]
        alone = [models[run].backbone.last(**without_marks(text)) for run, text in texts]
        _send_back(alone)
        expected = [_gradients(models[run]) for run in (0, -1)]
    for own, other in zip([*read, *found], [*alone, *expected], strict=True):
        apart = torch.linalg.vector_norm((own - other).float()) / torch.linalg.vector_norm(other.float()).clamp(
            min=1e-6
        )
        if not float(apart) <= (_HALF if half else _WHOLE):
            raise ApartError(f"a pack and its runs alone differ by {float(apart):.1g} of what they compute.")


def gain(pack: Pack, batches: Sequence[Batch], repeats: int = 3, loop: float = LOOP) -> float:
    """How many times as long the runs' own steps take, one after the other, as one of the pack: the best of each.

    Either way the loop takes its time beside a step, of a pack once.
    """
    models: Any = pack.models
    with kept(), undisturbed(pack):
        pack.train()
        alone = _seconds(lambda: models[0].loss(batches[0]).backward(), repeats, pack)
        packed = _seconds(lambda: _pack_step(pack, batches), repeats, pack)
    return len(batches) * (alone + loop) / (packed + loop)


def _pack_step(pack: Pack, batches: Sequence[Batch]) -> None:
    models: Any = pack.models
    scores = zip(models, pack.each(batches), batches, strict=True)
    torch.stack([model.task.loss(own, batch) for model, own, batch in scores]).sum().backward()


def _seconds(step: Callable[[], None], repeats: int, module: nn.Module) -> float:
    """The shortest of some steps, the first left out; on a CPU of the processor, whose neighbours cannot stretch it."""
    found = []
    on_gpu = next(module.parameters()).device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    for _ in range(repeats + 1):
        started = clock()
        step()
        if on_gpu:
            torch.cuda.synchronize()
        found.append(clock() - started)
        module.zero_grad()
    return min(found[1:])


def _send_back(states: Sequence[Tensor]) -> None:
    if any(state.requires_grad for state in states):  # nothing of a probe's backbone trains
        torch.stack([state.float().square().sum() for state in states]).sum().backward()


def _gradients(model: nn.Module) -> Tensor:
    return torch.cat([p.grad.float().flatten() for p in model.parameters() if p.grad is not None] or [torch.zeros(1)])


def _cut(text: Text, whole: bool) -> Text:
    """A few rows, of a few tokens each, unless something points from token to token."""
    return {name: values[:ROWS] if whole else values[:ROWS, :TOKENS] for name, values in text.items()}


class undisturbed:  # noqa: N801  a context
    """Gradients and random numbers of the runs are after it what they were before."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack

    def __enter__(self) -> None:
        self.states = [stream.state for stream in self.pack.streams]
        self.training = self.pack.training

    def __exit__(self, *_: object) -> None:
        for stream, state in zip(self.pack.streams, self.states, strict=True):
            stream.state = state
        self.pack.zero_grad()
        self.pack.train(self.training)
