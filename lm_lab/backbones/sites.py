"""Where a strategy may act: the modules of a model that play a role.

A strategy asks for a role ("query", "mlp_out") and never for a family. A fused projection is one module that
plays several roles, each with its part of the output. Roles are inferred (`inference.py`); a row of `families.py`
corrects what inference gets wrong.

Roles:
    block           one transformer layer, lowest first
    attention       the module that calls the attention function with its queries, keys and values
    embeddings      what turns token ids into the first hidden state
    final_norm      the norm after the last block, where the family has one
    norm            every LayerNorm or RMSNorm, the embedding's included
    query key value qkv   attention projections; qkv is the whole fused projection
    attn_out mlp_in mlp_gate mlp_out    the other linear layers of a block
    linear          linear layers of a block that play none of these roles
    attn_residual mlp_residual          the module whose output is added to the residual stream: the sublayer's
                                        dropout or norm where it is a module, else its last projection (Houlsby's place)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from lm_lab.errors import UsageError

LINEAR = ("qkv", "query", "key", "value", "attn_out", "mlp_gate", "mlp_in", "mlp_out", "linear")


class MissingSiteError(UsageError):
    """A backbone has no module that plays a role."""


@dataclass(frozen=True)
class Part:
    """Outputs start to stop of each of `groups` equal stretches: of one where queries, keys and values lie side by
    side, of one a head where a projection interleaves them by head."""

    start: int
    stop: int
    groups: int = 1

    @property
    def size(self) -> int:
        """How many outputs."""
        return (self.stop - self.start) * self.groups

    def take(self, x: Tensor) -> Tensor:
        """(..., outputs) -> (..., size)."""
        return self._grouped(x)[..., self.start : self.stop].flatten(-2)

    def widen(self, x: Tensor, outputs: int) -> Tensor:
        """Zeros around: (..., size) -> (..., outputs)."""
        rest = outputs // self.groups - self.stop
        if not self.start + rest:
            return x
        return F.pad(self._grouped(x), (self.start, rest)).flatten(-2)

    def rows(self, weight: Tensor) -> Tensor:
        """A view of the rows (groups, size / groups, ...) of a weight (outputs, ...)."""
        return weight.unflatten(0, (self.groups, -1))[:, self.start : self.stop]

    def _grouped(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.groups, -1))


@dataclass(frozen=True)
class Match:
    """A module that plays a role.

    Attributes:
        name: in the model.
        module: itself.
        part: of its output; None is all of it.
        layer: 0 in the embeddings, 1 to L in a block, L + 1 behind the last.
    """

    name: str
    module: nn.Module
    part: Part | None = None
    layer: int = 0

    @property
    def sizes(self) -> tuple[int, int]:
        """(inputs, outputs) of a linear layer, or of the part of it."""
        inputs, outputs = linear_sizes(self.module)
        return inputs, self.part.size if self.part else outputs


@dataclass(frozen=True)
class Sites:
    """What plays which role in a model, by name, in the order of the model's own list; and where its blocks are.

    Attributes:
        roles: (name of a module, part of its output) for each role.
        missing: why a role that one would expect is not there.
        layers: of each block in turn, the names of its modules: one, unless a model keeps them in parallel lists.
        behind: names of the modules behind the last block.
    """

    roles: Mapping[str, Sequence[tuple[str, Part | None]]]
    missing: Mapping[str, str]
    layers: Sequence[Sequence[str]]
    behind: Sequence[str]

    def depth(self, name: str) -> int:
        """Where a module or parameter stands: 0 embeddings, 1 to L its block, L + 1 behind the last."""
        for number, blocks in enumerate(self.layers, start=1):
            if any(within(name, block) for block in blocks):
                return number
        return len(self.layers) + 1 if any(within(name, module) for module in self.behind) else 0

    def find(self, model: nn.Module, role: str, described: str) -> list[Match]:
        """Modules of `model`, `described` in messages, that play `role`.

        Raises:
            MissingSiteError: naming the model, the role, why it is missing and the roles that the model has.
        """
        if role not in self.roles:
            why = f": {self.missing[role]}" if role in self.missing else ""
            raise MissingSiteError(
                f"{described} has no site for the role '{role}'{why}; it has: {', '.join(sorted(self.roles))}."
            )
        return [Match(name, model.get_submodule(name), part, self.depth(name)) for name, part in self.roles[role]]

    @property
    def linear_roles(self) -> list[str]:
        """Roles that cover every linear layer of the blocks once; a fused projection counts as a whole."""
        found = [role for role in LINEAR if role in self.roles]
        whole = {name for name, _ in self.roles.get("qkv", ())}
        return [role for role in found if role == "qkv" or any(name not in whole for name, _ in self.roles[role])]


def within(name: str, module: str) -> bool:
    """True for a module itself and for all that is inside of it."""
    return name == module or name.startswith(f"{module}.")


def is_linear(module: nn.Module) -> bool:
    """True for a linear layer, `transformers`' Conv1D (GPT-2, weight stored transposed) included."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def linear_sizes(module: nn.Module) -> tuple[int, int]:
    """(inputs, outputs) of a linear layer."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    weight = module.get_parameter("weight")  # Conv1D: (inputs, outputs)
    return weight.shape[0], weight.shape[1]
