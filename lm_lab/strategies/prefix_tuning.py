"""The strategies that learn keys and values: prefix tuning and P-tuning v2. Formulas and mechanism: `prefix.py`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from transformers import PreTrainedModel

from lm_lab.backbones import Backbone
from lm_lab.backbones.sites import Match
from lm_lab.backbones.transformers_backbone import require_transformers
from lm_lab.errors import UsageError
from lm_lab.strategies import limits
from lm_lab.strategies.about import Group, Paper
from lm_lab.strategies.base import AdaptationStrategy
from lm_lab.strategies.prefix import NAME, KeyValuePrefix, Prefix, ProjectedPrefix, Trunk

INIT_STD = 0.02


def _model(backbone: Backbone) -> PreTrainedModel:
    return require_transformers(backbone, "a prefix").model


class LearnedPrefix(AdaptationStrategy):
    """What both share: a prefix in every attention module."""

    start: ClassVar[float | None] = None
    length: int

    def __post_init__(self) -> None:
        if self.length < 1:
            raise UsageError(f"length={self.length}: a prefix needs at least one position.")
        limits.between(1, limits.WIDEST, length=self.length)

    def _add(self, backbone: Backbone, make: Callable[[int], Prefix]) -> None:
        for match, width in self._widths(backbone):
            if "prefix" in match.module._modules:
                raise UsageError("this backbone has a prefix already; apply one.")
            match.module.add_module("prefix", make(width))
        _model(backbone).set_attn_implementation(NAME)

    def _widths(self, backbone: Backbone) -> Iterable[tuple[Match, int]]:
        """Each attention module, with the width of its values."""
        values = backbone.sites("value")
        for match in backbone.sites("attention"):
            own = next(value for value in values if value.name.startswith(f"{match.name}."))
            yield match, own.sizes[1]


@dataclass(frozen=True)
class PTuningV2(LearnedPrefix):
    """Train the keys and values of a prefix in every attention layer.

    Args:
        length: positions of the prefix.
    """

    group: ClassVar[Group] = "prompts"
    paper: ClassVar[Paper] = Paper(
        "Liu et al.",
        2022,
        "P-tuning v2: Prompt tuning can be comparable to fine-tuning universally across scales and tasks",
        "https://arxiv.org/abs/2110.07602",
    )
    learning_rate: ClassVar[float] = 1e-2
    learning_rates: ClassVar[tuple[float, ...]] = (5e-3, 1e-2, 3e-2)
    may_differ: ClassVar[tuple[str, ...]] = ("length",)

    length: int = 16

    def inject(self, backbone: Backbone) -> None:
        """Add keys and values, N(0, 0.02^2). Raises `UsageError` for a family whose attention cannot take them."""
        self._add(backbone, lambda width: KeyValuePrefix(torch.randn(2, self.length, width) * INIT_STD))

    def parameters(self, backbone: Backbone) -> int:
        """2 length d_kv an attention module."""
        return sum(2 * self.length * width for _, width in self._widths(backbone))


@dataclass(frozen=True)
class PrefixTuning(LearnedPrefix):
    """Train the keys and values of a prefix through an MLP, which is dropped after training.

    Args:
        length: positions of the prefix.
        hidden: width of the MLP's inner layer.
    """

    group: ClassVar[Group] = "prompts"
    paper: ClassVar[Paper] = Paper(
        "Li & Liang",
        2021,
        "Prefix-tuning: Optimizing continuous prompts for generation",
        "https://arxiv.org/abs/2101.00190",
    )
    learning_rate: ClassVar[float] = 1e-3
    learning_rates: ClassVar[tuple[float, ...]] = (3e-4, 1e-3, 3e-3)
    may_differ: ClassVar[tuple[str, ...]] = ("length", "hidden")

    length: int = 16
    hidden: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        limits.between(1, limits.WIDEST, hidden=self.hidden)

    def inject(self, backbone: Backbone) -> None:
        """Add trunk and projections. Raises `UsageError` for a family whose attention cannot take a prefix."""
        trunk = Trunk(self.length, backbone.hidden_size, self.hidden)
        self._add(backbone, lambda width: ProjectedPrefix(trunk, self.hidden, width))
        _model(backbone).add_module("prefix_trunk", trunk)

    def parameters(self, backbone: Backbone) -> int:
        """length d + (d + 1) hidden, and (hidden + 1) 2 d_kv an attention module."""
        d, hidden = backbone.hidden_size, self.hidden
        outs = sum((hidden + 1) * 2 * width for _, width in self._widths(backbone))
        return self.length * d + (d + 1) * hidden + outs

    @torch.no_grad()
    def finish(self, backbone: Backbone) -> AdaptationStrategy:
        """Put the keys and values themselves in place of the MLP."""
        for match in backbone.sites("attention"):
            prefix = match.module.get_submodule("prefix")
            assert isinstance(prefix, Prefix)
            match.module.add_module("prefix", KeyValuePrefix(prefix.key_value().clone()))
        del _model(backbone)._modules["prefix_trunk"]
        return PTuningV2(self.length)
