"""Updates: deltas of linear layers that fold into the weights, and the strategies that are made of them alone.

LoRA, DoRA, VeRA, IA3 and random masks say where (`named_sites`) and what (`updates`); attaching, folding and detaching
is here. A fused projection (GPT-2's c_attn, ModernBERT's Wqkv) may carry several updates, one for each part of its
output.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn

from lm_lab.backbones import Backbone
from lm_lab.backbones.sites import LINEAR, Match, Part, linear_sizes
from lm_lab.errors import UsageError
from lm_lab.strategies.base import AdaptationStrategy, Delta, above, attach, detach

Roles = Sequence[str] | Literal["all"]
LINEAR_LAYERS = f"linear layers of the blocks ({', '.join(LINEAR)})"


class Update(Delta):
    """A delta of one linear layer, or of the `part` of its output.

    Attributes:
        inputs, outputs: widths of the layer.
        part: the rows of the weight that it stands for.
    """

    def __init__(self, match: Match) -> None:
        super().__init__()
        self.inputs, self.outputs = linear_sizes(match.module)
        self.part = match.part or Part(0, self.outputs)

    @abstractmethod
    def fold(self, linear: nn.Module) -> None:
        """Change the weight of `linear` as this delta changes its outputs."""

    def widen(self, values: Tensor) -> Tensor:
        """Zeros around the part: (..., width of the part) -> (..., outputs)."""
        return self.part.widen(values, self.outputs)

    def rows(self, linear: nn.Module) -> Tensor:
        """The part of the weight: (width of the part, inputs)."""
        return self.part.rows(weight_rows(linear)).flatten(0, 1)

    def change(self, linear: nn.Module, new: Callable[[Tensor], Tensor]) -> None:
        """Put `new` of the part of the weight in its place."""
        found = self.part.rows(weight_rows(linear))  # a view, which an interleaved part is not once it is flat
        found.copy_(new(self.rows(linear)).view_as(found))


def weight_rows(linear: nn.Module) -> Tensor:
    """A view of the weight as (outputs, inputs); `transformers`' Conv1D stores it transposed."""
    weight = linear.get_parameter("weight")
    return weight if isinstance(linear, nn.Linear) else weight.T


class SiteUpdates(AdaptationStrategy):
    """A strategy of updates alone, so that it merges."""

    merges: ClassVar[bool] = True

    @abstractmethod
    def named_sites(self, backbone: Backbone) -> list[tuple[str, Match]]:
        """(name of the delta, site) of every update. Raises `UsageError` for a role the family lacks."""

    @abstractmethod
    def updates(self, backbone: Backbone) -> Iterator[tuple[str, Match, Update]]:
        """(name, site, its update), for those of `named_sites` that get one."""

    def inject(self, backbone: Backbone) -> None:
        """Add the updates."""
        for name, match, update in self.updates(backbone):
            attach(match.module, name, update)

    def merge(self, backbone: Backbone) -> None:
        """Fold every update into its weight and remove it: same outputs, no cost at inference."""
        for name, match in self.named_sites(backbone):
            if name in match.module._modules:  # a random mask leaves some sites out
                update = detach(match.module, name)
                assert isinstance(update, Update)
                update.fold(match.module)

    def sizes(self, backbone: Backbone) -> list[tuple[int, int]]:
        """(inputs, outputs) of every site, or of the part of it."""
        return [match.sizes for _, match in self.named_sites(backbone)]


def role_sites(backbone: Backbone, roles: Roles, prefix: str, skip: int = 0) -> list[tuple[str, Match]]:
    """(PREFIX_ROLE, site) for every site of `roles`, or of all linear layers, above the lowest `skip` blocks."""
    chosen = backbone.linear_roles if roles == "all" else roles
    return [(f"{prefix}_{role}", match) for role in chosen for match in above(backbone, backbone.sites(role), skip)]


def require_roles(strategy: AdaptationStrategy, roles: Roles) -> None:
    """Raise `UsageError` for no role at all."""
    if not roles:
        raise UsageError(f"roles=[]: {type(strategy).__name__} needs at least one role, such as query.")
