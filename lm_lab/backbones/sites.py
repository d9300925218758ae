"""Where a strategy may act: role -> module pattern; the rows are in `families.py`.

A strategy asks for a role ("query", "mlp_out") and never for a family. A fused projection is one module that
plays several roles, each with its slice of the output.

Roles:
    block           one transformer layer, lowest first
    attention       the module that calls the attention function with its queries, keys and values
    embeddings      what turns token ids into the first hidden state
    final_norm      the norm after the last block, where the family has one
    norm            every LayerNorm or RMSNorm, the embedding's included
    query key value qkv   attention projections; qkv is the whole fused projection
    attn_out mlp_in mlp_gate mlp_out    the other linear layers of a block
    attn_residual mlp_residual          the module whose output is added to the residual stream: the sublayer's
                                        dropout where it is a module, else its last projection (Houlsby's place)
"""

import re
from dataclasses import dataclass

from torch import nn

from lm_lab.backbones.pooling import Pooling
from lm_lab.errors import UsageError


class MissingSiteError(UsageError):
    """A backbone has no module that plays a role."""


@dataclass(frozen=True)
class Site:
    """A pattern matched against whole module names, and the part (index, of) of the output it stands for."""

    pattern: str
    part: tuple[int, int] | None = None


@dataclass(frozen=True)
class Family:
    """The row of one family: its natural pooling and its sites by role."""

    pooling: Pooling
    sites: dict[str, Site]
    shared_layers: bool = False  # one set of weights serves every layer (ALBERT)
    causal: bool = False  # a token sees no later one
    streams: int = 1  # residual streams, side by side in a hidden state (the Reformer has two)
    static: bool = True  # what is computed follows from shapes alone, so that it can be counted without weights


@dataclass(frozen=True)
class Match:
    """A module that plays a role: its name in the model, itself, and the slice of its output (None: all)."""

    name: str
    module: nn.Module
    part: slice | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """(inputs, outputs) of a linear layer, or of the part of it."""
        inputs, outputs = linear_sizes(self.module)
        return inputs, self.part.stop - self.part.start if self.part else outputs


def find(model: nn.Module, family: Family, role: str) -> list[Match]:
    """Modules of `model` that play `role`, in the order of the model's own list.

    Raises:
        MissingSiteError: naming the model, the role and the roles that the model has.
    """
    found = _matches(model, family.sites.get(role))
    if not found:
        raise MissingSiteError(
            f"{type(model).__name__} has no site for the role '{role}'; it has: {', '.join(roles_of(model, family))}."
        )
    return found


def roles_of(model: nn.Module, family: Family) -> list[str]:
    """Roles that some module of `model` plays."""
    return sorted(role for role, site in family.sites.items() if _matches(model, site))


def _matches(model: nn.Module, site: Site | None) -> list[Match]:
    return [
        Match(name, module, _slice(module, site.part))
        for name, module in model.named_modules()
        if site and re.fullmatch(site.pattern, name)
    ]


def _slice(module: nn.Module, part: tuple[int, int] | None) -> slice | None:
    if part is None:
        return None
    index, of = part
    width = linear_sizes(module)[1] // of
    return slice(index * width, (index + 1) * width)


def linear_sizes(module: nn.Module) -> tuple[int, int]:
    """(inputs, outputs) of a linear layer, `transformers`' Conv1D (GPT-2, weight stored transposed) included."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    weight = module.get_parameter("weight")  # Conv1D: (inputs, outputs)
    return weight.shape[0], weight.shape[1]
