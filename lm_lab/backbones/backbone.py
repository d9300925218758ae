"""One class over `transformers.AutoModel`: token ids in, the hidden states of every layer out."""

import inspect
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn

from lm_lab.backbones import inference, loading, shapes, vocabulary
from lm_lab.backbones.families import Correction, Family, Row, family_of
from lm_lab.backbones.pooling import Pooling
from lm_lab.backbones.sites import Match, Sites
from lm_lab.backbones.trace import TOKENS
from lm_lab.tokens import Asked


class Backbone(nn.Module):
    """A pretrained encoder, decoder or encoder-decoder without any head.

    An encoder-decoder reads a text with both parts, as BART does to classify (Lewis et al. 2020): the decoder gets it
    shifted right by one. Its hidden states are the encoder's, then those of the decoder's blocks: position t of the
    last one has seen the whole text through the encoder, and the tokens before t once more.

    Args:
        source: hub id, folder, or configuration (`.json`, a folder without weights, or `new:bert-mini` and the like
            (`lm_lab.backbones.architectures`): random weights).
        pretrained: False takes the architecture of `source` with random weights: the control every probe needs.
        tokenizer: where the tokenizer is, if not at `source`. Random weights take the size of its vocabulary and its
            special tokens, whatever their configuration says.
        revision: branch, tag or commit on the hub.
        dropout: overrides every dropout probability of the configuration.
        attention: attention implementation of `transformers` ("sdpa", "eager", "flash_attention_2"). None takes sdpa
            on an accelerator and eager on a CPU, where the backward pass of torch's fused kernel takes half of a step.
        trust_remote_code: run the model code that comes with the weights. Off unless you read that code.
        family: what is known of a family that has no row in `lm_lab.backbones.families`, or another row than that.

    Raises:
        UsageError: `source` cannot be found, reached or read, its weights do not fit its configuration, or it is of a
            family that reads no text.
    """

    asks: tuple[Asked, ...] = ()  # what it reads of a token beside its id, as keywords of `forward`

    def __init__(
        self,
        source: str,
        pretrained: bool = True,
        tokenizer: str | None = None,
        revision: str | None = None,
        dropout: float | None = None,
        attention: str | None = None,
        trust_remote_code: bool = False,
        family: Correction | None = None,
    ) -> None:
        super().__init__()
        self.reserved = 0
        given: dict[str, Any] = {
            "source": source,
            "pretrained": pretrained,
            "tokenizer": tokenizer,
            "revision": revision,
            "dropout": dropout,
            "attention": attention,
            "trust_remote_code": trust_remote_code,
        }
        origin = loading.origin(**given)
        self.spec = given | ({"family": cast("Row", family).spec} if family else {})
        self.config, self.pretrained, self.fingerprint = origin.config, origin.pretrained, origin.fingerprint
        self.family: Family = family_of(self.config, cast("Row | None", family))
        self._tokenizer = (tokenizer or origin.source, origin.options)
        attention = attention or loading.default_attention(self.config)
        kind = self.family.row.model
        self.model = loading.load_model(origin.source, self.config, self.pretrained, attention, kind, **origin.options)
        self._takes = frozenset(inspect.signature(self.model.forward).parameters)
        loading.require_text(self.model, self._takes, self.family.causal)

    @cached_property
    def tokenizer(self) -> Any:
        """The fast tokenizer, loaded when first asked for: a configuration alone has none.

        Raises:
            UsageError: there is none, or it has ids that the weights do not embed.
        """
        source, options = self._tokenizer
        found = loading.load_tokenizer(loading.locate(source), **options)
        vocabulary.require_ids(found, len(self.embeddings.get_parameter("weight")))
        return found

    @property
    def hidden_size(self) -> int:
        """Width d of every hidden state."""
        return self.residual_size * self.family.streams

    @property
    def residual_size(self) -> int:
        """Width of what a sublayer adds to the residual stream; half of d in a Reformer, whose state is two streams."""
        return shapes.width(self.config)

    @property
    def num_layers(self) -> int:
        """Number L of blocks; hidden states are numbered 0 (embeddings) to L."""
        return shapes.depth(self.config)

    @property
    def embedding_size(self) -> int:
        """Width of a token's embedding; less than `hidden_size` where the family factorises it (ALBERT, ELECTRA)."""
        return self.embeddings.get_parameter("weight").shape[1]

    @property
    def embeddings(self) -> nn.Module:
        """The module from token ids (b, t) to token embeddings."""
        return shapes.embeddings(self.model)

    @property
    def pooling(self) -> Pooling:
        """The family's natural pooling: the first token of an encoder, the last of a decoder."""
        return self.family.pooling

    @property
    def max_length(self) -> int:
        """Longest input in tokens, less those positions that a strategy has taken for itself; relative ones have no
        end."""
        return shapes.positions(self.config, self.first_position) - self.reserved

    @property
    def first_position(self) -> int:
        """Position of the first token: pad + 1 in RoBERTa and all that keeps padding among its positions, else 0."""
        return shapes.first_position(self.model)

    @cached_property
    def _sites(self) -> Sites:
        """What plays which role; found before anything is attached, as a strategy asks before it acts."""
        return inference.infer(self.model, self.family.row, self.residual_size, self._read_few)

    def _read_few(self) -> object:
        """A forward pass over a text of four tokens."""
        table = self.embeddings.get_parameter("weight")
        ids = (torch.arange(TOKENS, device=table.device) + 5).remainder(len(table)).unsqueeze(0)
        # on the meta device a mask would be looked at for padding, and has no values
        mask = {} if table.is_meta else {"attention_mask": torch.ones_like(ids)}
        return self.model(**self._inputs({"input_ids": ids} | mask))

    def sites(self, role: str) -> list[Match]:
        """Modules that play `role`; see `lm_lab.backbones.sites`. Raises `MissingSiteError` for a role it lacks."""
        return self._sites.find(self.model, role)

    def has(self, role: str) -> bool:
        """True if some module plays `role`."""
        return role in self._sites.roles

    @property
    def roles(self) -> list[str]:
        """Roles that some module of this very model plays."""
        return sorted(self._sites.roles)

    @property
    def linear_roles(self) -> list[str]:
        """Roles that cover every linear layer of the blocks once; a fused projection counts as a whole."""
        return self._sites.linear_roles

    def depth(self, name: str) -> int:
        """Where a module or parameter of `model` stands: 0 embeddings, 1 to L its block, L + 1 behind the last."""
        return self._sites.depth(name)

    def forward(self, **encoding: Tensor) -> tuple[Tensor, ...]:
        """Hidden states of the embeddings and of every layer: L + 1 tensors of shape (b, t, d)."""
        if self.family.row.behind:
            return self._forward_behind(encoding)
        output = self.model(**self._inputs(encoding), output_hidden_states=True)
        if not self.config.is_encoder_decoder:
            return (*output.hidden_states[:-1], output.last_hidden_state)
        encoder = (*output.encoder_hidden_states[:-1], output.encoder_last_hidden_state)
        length = output.last_hidden_state.shape[1]  # an encoder that reads whole blocks (Pegasus-X) fills them up
        encoder = tuple(state[:, :length] if state.shape[1] > length else state for state in encoder)
        return (*encoder, *output.decoder_hidden_states[1:-1], output.last_hidden_state)

    def _forward_behind(self, encoding: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The states of a model that gives those behind its blocks: the embeddings' are what enters the first."""
        entered: list[Tensor] = []
        hook = self.sites("block")[0].module.register_forward_pre_hook(lambda _, args: entered.append(args[0]))
        try:
            output = self.model(**self._inputs(encoding), output_hidden_states=True)
        finally:
            hook.remove()
        length = output.last_hidden_state.shape[1]
        return (entered[0][:, -length:], *output.hidden_states[:-2], output.last_hidden_state)

    def last(self, **encoding: Tensor) -> Tensor:
        """The final hidden state alone, (b, t, d)."""
        return self.model(**self._inputs(encoding)).last_hidden_state

    @property
    def segments(self) -> int:
        """How many segments the embeddings tell apart; a tokenizer may mark two where the model knows none."""
        return getattr(self.config, "type_vocab_size", 2 if self._takes & {"token_type_ids", "kwargs"} else 0)

    @property
    def start_id(self) -> int:
        """Id of the token that a decoder over an encoder reads first."""
        return shapes.start_id(self.config)

    def _inputs(self, encoding: dict[str, Tensor]) -> dict[str, Any]:
        left = {"token_type_ids"} if self.segments < 2 or "token_type_ids" not in self._takes else set()
        left |= {"attention_mask"} - self._takes
        encoding = {name: value for name, value in encoding.items() if name not in left}
        if "global_attention_mask" in self._takes:
            encoding |= {"global_attention_mask": _first_token(**encoding)}
        if not self.config.is_encoder_decoder:
            # a recurrent model would write the states that it keeps in place, where a gradient needs them
            keeps = "use_cache" in self._takes and "past_key_values" not in self._takes
            return encoding | ({"use_cache": False} if keeps else {})
        # the decoder attends to its left alone and padding is on the right: it needs no mask
        shifted = encoding["input_ids"].roll(1, dims=1)
        shifted[:, 0] = self.start_id
        return encoding | {"decoder_input_ids": shifted, "use_cache": False}


def _first_token(input_ids: Tensor, attention_mask: Tensor | None = None, **_: Tensor) -> Tensor:
    """Ones (b, t) at the first token of each text: it sees all and is seen by all, as a Longformer's must be that
    classifies (Beltagy et al. 2020, https://arxiv.org/abs/2004.05150)."""
    real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    return ((real.cumsum(dim=1) == 1) & (real == 1)).long()
