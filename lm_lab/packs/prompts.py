"""Prompts and prefixes of several runs in one pass, each of a length of its own.

A shorter prefix is filled up in front by positions that no text sees. A shorter prompt is filled up behind its text,
where padding stands anyway, so that every token has the position that it has alone:

    [p_1 .. p_k, x_1 .. x_t, 0 ..]        mask 1 for k + t, then 0
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lm_lab.packs.errors import ApartError
from lm_lab.packs.over_runs import Rows
from lm_lab.strategies.prefix import Prefix
from lm_lab.strategies.prompt import SoftPrompt

_MASKS = ("attention_mask", "global_attention_mask")


class PackedPrefix(Prefix):
    """Keys and values of each run's own prefix, for each of its rows."""

    def __init__(self, prefixes: Sequence[Prefix], pack: Rows) -> None:
        super().__init__()
        self.prefixes, self.pack = tuple(prefixes), (pack,)
        self.lengths: list[int] = []  # of the runs, at the present pass

    def key_value(self) -> Tensor:
        """(2, k * b, longest, d_kv)."""
        own = [prefix.key_value() for prefix in self.prefixes]  # (2, length, d_kv) each
        self.lengths = [values.shape[1] for values in own]
        longest = max(self.lengths)
        filled = [nn.functional.pad(values, (0, 0, longest - values.shape[1], 0)) for values in own]
        return torch.stack(filled, dim=1).repeat_interleave(self.pack[0].rows, dim=1)

    def widened(self, mask: Tensor, length: int) -> Tensor:
        """(k * b, 1, t, longest + s): a row sees its own run's prefix alone."""
        if min(self.lengths) == length:
            return super().widened(mask, length)
        places = torch.arange(length, device=mask.device)
        lengths = torch.tensor(self.lengths, device=mask.device).repeat_interleave(self.pack[0].rows)
        seen = (places >= length - lengths[:, None])[:, None, None]  # (k b, 1, 1, longest)
        mask = mask.expand(len(lengths), -1, -1, -1)
        return torch.cat([seen.expand(*mask.shape[:-1], -1), mask], dim=-1)


class PackedPrompt(SoftPrompt):
    """Each run's own prompt."""

    def __init__(self, prompts: Sequence[SoftPrompt]) -> None:
        nn.Module.__init__(self)
        self.prompts = tuple(prompts)
        self.lengths = torch.tensor([len(prompt.vectors) for prompt in prompts])
        self.longest = int(self.lengths.max())
        self.alike = bool((self.lengths == self.longest).all())

    @property
    def vectors(self) -> Tensor:  # type: ignore[override]
        """(longest, e) of the run with the longest, for its length."""
        return self.prompts[int(self.lengths.argmax())].vectors

    def rows(self, texts: int) -> Tensor:
        """(k * b, longest, e)."""
        own = [
            nn.functional.pad(prompt.vectors, (0, 0, 0, self.longest - len(prompt.vectors))) for prompt in self.prompts
        ]
        return torch.stack(own).repeat_interleave(texts // len(self.prompts), dim=0)

    def arranged(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """What fills up a shorter prompt goes behind the text."""
        if self.alike:
            return inputs
        given = {name: value for name, value in inputs.items() if isinstance(value, Tensor)}
        embedded = given["inputs_embeds"]
        if "position_ids" in given or any(given[name].dim() != 2 for name in _MASKS if name in given):
            raise ApartError("prompts of several lengths go with masks of tokens and their own positions alone.")
        own, places = self._of_rows(embedded), torch.arange(embedded.shape[1], device=embedded.device)
        text = embedded.shape[1] - self.longest
        order = torch.where(places < own, places, places + self.longest - own)  # (k b, longest + t)
        order = torch.where(places < own + text, order, places - text)
        moved = [name for name in ("inputs_embeds", "token_type_ids", *_MASKS) if name in given]
        found = {name: _gathered(given[name], order) for name in moved}
        for name in set(moved) & set(_MASKS):
            found[name] = found[name] * (places < own + text)
        return inputs | found

    def cut(self, states: Tensor) -> Tensor:
        """The states of each row's text: (k * b, longest + t, d) -> (k * b, t, d)."""
        if self.alike:
            return super().cut(states)
        places = torch.arange(states.shape[1] - self.longest, device=states.device)
        return _gathered(states, self._of_rows(states) + places)

    def _of_rows(self, rows: Tensor) -> Tensor:
        """Length of each row's prompt, (k * b, 1)."""
        lengths = self.lengths.to(rows.device)
        return lengths.repeat_interleave(len(rows) // len(lengths))[:, None]


def _gathered(values: Tensor, order: Tensor) -> Tensor:
    """values (b, s, ...), order (b, u) -> (b, u, ...)."""
    index = order.view(*order.shape, *(1,) * (values.dim() - 2)).expand(*order.shape, *values.shape[2:])
    return values.gather(1, index)
