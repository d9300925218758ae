"""Segment recurrence: a text's states of the segments before are read again, without gradient (Dai et al. 2019).

    k, v of layer l at segment s = W [memory_l ; h_l]        memory_l: the last m states that entered layer l before s

https://arxiv.org/abs/1901.02860, Transformer-XL. Row k of a batch continues row k of the batch before where
`batch["continues"]` (b,) says so. `transformers` lets every row see the whole memory, and states of zeros would be seen
as well as any others; so the layers' masks are rewritten on their way in. To a row that continues nothing, or to a
token whose predecessor in the batch was padding, the memory is then absent.

Training and evaluation have memories of their own. That of training is in the state dict, so that a run resumed in the
middle of an epoch goes on exactly; of several processes only the first one's is saved, and the others start without.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.transformers_backbone import require_transformers
from lm_lab.errors import UsageError

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_MASKS = ("attn_mask_h", "attn_mask_g")  # of the content stream and of the query stream


class Remembered(NamedTuple):
    """States of the segments before.

    Attributes:
        states: what entered each layer, L tensors (m, b, d).
        seen: (b, m) bool, False where a row must not see one.
    """

    states: list[Tensor]
    seen: Tensor


class SegmentMemory(nn.Module):
    """Runs an XLNet with the states of the segments before, and keeps those of this one.

    Args:
        backbone: its configuration must not keep less than `length`.
        length: states kept of each layer, in tokens; 0 keeps none.

    Raises:
        UsageError: `length` is below 0 or above what the configuration lets the model return.
    """

    def __init__(self, backbone: Backbone, length: int) -> None:
        super().__init__()
        config = require_transformers(backbone, "a memory of segments").config
        if length < 0:
            raise UsageError(f"memory={length}: expected the number of tokens to remember, or 0 for none.")
        if length and (config.reuse_len or (config.mem_len or length) < length):
            raise UsageError(
                f"memory={length}: the configuration keeps less (mem_len: {config.mem_len}, reuse_len: "
                f"{config.reuse_len}); set both to null in config.json."
            )
        self.length = length
        self._kept: dict[bool, Remembered] = {}  # of training (True) and of evaluation

    def forward(
        self, backbone: Backbone, batch: Mapping[str, Tensor], remembered: Remembered | None, **inputs: Tensor
    ) -> Tensor:
        """Return the final states: (b, t, d), or (b, m, d) of the query stream if `inputs` has a `target_mapping`."""
        given: dict[str, Any] = {name: batch[name] for name in _INPUTS if name in batch} | inputs
        real, model = batch["attention_mask"].bool(), require_transformers(backbone, "a memory of segments").model
        if remembered is None:
            output = model(**given, use_mems=self.length > 0)
        else:
            with _restricted(backbone, remembered.seen, real.shape[1]):
                output = model(**given, use_mems=True, mems=remembered.states)
            real = torch.cat([remembered.seen, real], dim=1)
        if self.length:
            # copies: a part of a tensor would keep the whole of it alive, in a checkpoint too
            states = [state[-self.length :].detach().clone() for state in output.mems]
            self._kept[self.training] = Remembered(states, real[:, -len(states[0]) :])
        return output.last_hidden_state

    def recall(self, batch: Mapping[str, Tensor]) -> Remembered | None:
        """Return what the rows of a batch see of the batch before; None where no row can see anything."""
        kept, continues = self._kept.get(self.training), batch.get("continues")
        if kept is None or continues is None or len(continues) != len(kept.seen) or not continues.any():
            return None
        states = [state.to(continues.device) for state in kept.states]
        return Remembered(states, kept.seen.to(continues.device) & continues[:, None])

    def metrics(self, batch: Mapping[str, Tensor], remembered: Remembered | None) -> dict[str, Tensor]:
        """Return the share of rows that see a memory, under a name, if there is to be one at all."""
        if not self.length:
            return {}
        none = torch.zeros((), device=batch["input_ids"].device)
        return {"remembering": none if remembered is None else remembered.seen.any(dim=1).float().mean()}

    def get_extra_state(self) -> dict[str, Any]:
        """Return the memory of training for the state dict; no buffer, for its shape is the batch's."""
        kept = self._kept.get(True)
        return {"states": kept.states, "seen": kept.seen} if kept else {}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the memory of training from a state dict, in the process whose memory it was."""
        several = torch.distributed.is_available() and torch.distributed.is_initialized()
        own = not several or torch.distributed.get_rank() == 0
        self._kept = {True: Remembered(**state)} if state and own else {}


def require_xlnet(backbone: Backbone, objective: str) -> None:
    """Raise `UsageError` for what is no XLNet, or one with `attn_type: uni`, which takes no masks of its own."""
    config = require_transformers(backbone, objective).config
    if config.model_type != "xlnet" or config.attn_type != "bi":
        found = "attn_type: uni" if config.model_type == "xlnet" else config.model_type
        raise UsageError(f"{objective} needs an XLNet with attn_type: bi in its config.json; this backbone is {found}.")


@contextmanager
def _restricted(backbone: Backbone, seen: Tensor, length: int) -> Iterator[None]:
    """Hide states of the memory from rows; seen (b, m) bool, length t of the segment."""
    hidden = F.pad((~seen).float(), (0, length)).T[None, :, :, None]  # (1, m + t, b, 1)

    def restrict(block: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:  # noqa: ARG001
        return args, kwargs | {name: kwargs[name] + hidden for name in _MASKS}  # (t, m + t, b, 1)

    handles = [match.module.register_forward_pre_hook(restrict, with_kwargs=True) for match in backbone.sites("block")]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
