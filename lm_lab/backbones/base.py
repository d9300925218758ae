"""From token ids to hidden states: what strategies, heads, objectives, data and the doctor ask of any backbone."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from lm_lab.backbones import identity, structure
from lm_lab.backbones.output import Output
from lm_lab.backbones.pooling import Pooling
from lm_lab.backbones.sites import Match, MissingSiteError, Sites
from lm_lab.described import described, plain
from lm_lab.errors import UsageError
from lm_lab.tokens import Asked

NO_END = 10**9  # longest text where positions have no end


class Backbone(nn.Module, ABC):
    """What reads a text and has no head. `TransformersBackbone` is one; ten lines make another (docs/extending.md).

    A class sets `hidden_size`, `tokenizer` and, unless it is 0, `num_layers`, and has `forward`. What else is asked has
    an answer here, which it may replace. Places for strategies come from its modules: its blocks are a list of
    `num_layers` modules. What it lacks is refused by name.

    Args:
        settings: what the class was built with, by name: a saved delta builds it again from these.

    Attributes:
        hidden_size: width d of every hidden state.
        num_layers: number L of layers; hidden states are numbered 0 (embeddings) to L.
        tokenizer: a fast tokenizer of `transformers`, with a padding token.
        embeddings: a module whose `weight` (V, e) has a row for every token id, where it has one; what is tied to
            embeddings is refused elsewhere.
        pretrained: whether its weights come from files. Random ones are known by the settings that they are drawn with.
        causal: whether a token sees no later one.
        encoder_decoder: whether a decoder reads the text behind an encoder.
        start_id: id of the token that the decoder of an encoder-decoder reads first.
        shared_layers: whether one set of weights serves every layer.
        segments: how many segments it tells apart.
        reach: how many tokens to either side an embedding is made of.
        initial_scale: standard deviation of a fresh block's weights.
        asks: what it reads of a token beside its id, as keywords of `forward`.
        reserved: positions that a strategy has taken for itself.
    """

    hidden_size: int
    num_layers: int = 0
    tokenizer: Any
    embeddings: nn.Module
    pretrained: bool = True
    causal: bool = False
    encoder_decoder: bool = False
    start_id: int
    shared_layers: bool = False
    segments: int = 0
    reach: int = 0
    initial_scale: float = 0.02
    asks: tuple[Asked, ...] = ()
    reserved: int = 0

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings

    @abstractmethod
    def forward(self, **encoding: Tensor) -> tuple[Tensor, ...]:
        """Hidden states of the embeddings and of every layer: L + 1 tensors of shape (b, t, d).

        Args:
            encoding: `input_ids` and `attention_mask` (b, t), and `token_type_ids` (b, t) of a pair.
        """

    def last(self, **encoding: Tensor) -> Tensor:
        """The final hidden state alone, (b, t, d)."""
        return self(**encoding)[-1]

    @property
    def pooling(self) -> Pooling:
        """How a text is read from its tokens, unless told otherwise."""
        return "last" if self.causal else "mean"

    @property
    def max_length(self) -> int:
        """Longest input in tokens, less those positions that a strategy has taken for itself."""
        return NO_END - self.reserved

    @property
    def token_embeddings(self) -> Tensor:
        """The table of token embeddings (V, e). Raises `MissingSiteError` without one."""
        table = self._modules.get("embeddings")
        weight = None if table is None else table._parameters.get("weight")
        if weight is None:
            raise MissingSiteError(f"{self.kind} has no table of token embeddings.")
        return weight

    @property
    def embedding_size(self) -> int:
        """Width e of a token's embedding."""
        return self.token_embeddings.shape[1]

    @property
    def vocabulary_size(self) -> int:
        """How many token ids it reads."""
        return len(self.tokenizer)

    @property
    def residual_size(self) -> int:
        """Width of what a sublayer adds to the residual stream."""
        return self.hidden_size

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.parameters()).device

    @property
    def kind(self) -> str:
        """What it is, in messages and tables: the model type of `transformers`, or the class."""
        return type(self).__name__

    @property
    def architecture(self) -> str:
        """The class that computes."""
        return type(self).__name__

    @property
    def description(self) -> dict[str, Any]:
        """The backbone as a configuration names it."""
        return described(type(self), plain(self.settings))

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of what decides on hidden states, asked for before anything is trained.

        They are of the class, its settings without names of files, and every weight; of random ones, their shapes.
        """
        return identity.of_weights(self.description["class_path"], self.settings, self.state_dict(), self.pretrained)

    @classmethod
    def identify(cls, **settings: Any) -> str:
        """The fingerprint of what `settings` build; arguments and errors as those of the class."""
        return cls(**settings).fingerprint

    @classmethod
    def outline(cls, settings: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """The settings of the same without its weights, to count and to try, and whether the meta device will do."""
        return dict(settings), False

    def again(self) -> Self:
        """The same as it was when it was built."""
        return type(self)(**self.settings)

    def randomised(self) -> Self:
        """The same with random weights, the control that every probe needs.

        Raises:
            UsageError: a module with weights of its own does not say (`reset_parameters`) how they are drawn.
        """
        twin = self.again()
        twin.pretrained = False
        for name, module in twin.named_modules():
            if module._parameters and not hasattr(module, "reset_parameters"):
                raise UsageError(
                    f"{self.kind} cannot have random weights to compare with, as {name or 'it'} has no "
                    "`reset_parameters`; leave that control out (--no-random)."
                )
            if module._parameters:
                module.reset_parameters()
        return twin

    def write(self, folder: Path, state: Mapping[str, Tensor] | None = None) -> None:  # noqa: ARG002
        """Write weights and tokenizer to a folder, from which it can be built.

        Args:
            folder: is there.
            state: the whole weights, where the module itself has them in pieces.

        Raises:
            UsageError: the class does not say how.
        """
        raise UsageError(f"{self.kind} cannot be saved as a folder: its class has no `write`.")

    def language_output(self) -> Output:
        """The output layer that it was pretrained with as a language model: here that over the token embeddings."""
        return Output()

    @property
    def described(self) -> str:
        """What it is, in a message about its modules."""
        return self.kind

    @property
    def _root(self) -> nn.Module:
        """In which sites have their names."""
        return self

    @cached_property
    def _sites(self) -> Sites:
        """What plays which role; found before anything is attached, as a strategy asks before it acts."""
        return structure.sites(self, self.num_layers)

    def sites(self, role: str) -> list[Match]:
        """Modules that play `role`; see `lm_lab.backbones.sites`. Raises `MissingSiteError` for a role it lacks."""
        return self._sites.find(self._root, role, self.described)

    def has(self, role: str) -> bool:
        """True if some module plays `role`."""
        return role in self._sites.roles

    @property
    def roles(self) -> list[str]:
        """Roles that some module of this very backbone plays."""
        return sorted(self._sites.roles)

    @property
    def linear_roles(self) -> list[str]:
        """Roles that cover every linear layer of the blocks once; a fused projection counts as a whole."""
        return self._sites.linear_roles

    def depth(self, name: str) -> int:
        """Where a module or parameter stands: 0 embeddings, 1 to L its block, L + 1 behind the last."""
        return self._sites.depth(name)
