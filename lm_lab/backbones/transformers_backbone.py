"""One class over `transformers.AutoModel`: token ids in, the hidden states of every layer out."""

import inspect
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from lm_lab.backbones import behind, inference, loading, output, shapes, vocabulary
from lm_lab.backbones.base import Backbone
from lm_lab.backbones.embeddings import base as computed
from lm_lab.backbones.embeddings import replacing
from lm_lab.backbones.embeddings.base import TokenEmbeddings
from lm_lab.backbones.families import Correction, Family, FamilyRow, family_of
from lm_lab.backbones.inputs import Inputs
from lm_lab.backbones.output import Output
from lm_lab.backbones.pooling import Pooling
from lm_lab.backbones.sites import Match, MissingSiteError, Sites
from lm_lab.backbones.trace import few_tokens
from lm_lab.described import plain
from lm_lab.errors import UsageError


class TransformersBackbone(Backbone):
    """A pretrained encoder, decoder or encoder-decoder of `transformers` without any head.

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
        embeddings: what stands in place of the table of tokens, such as `CharacterCNN`; None: what `source` was written
            with, else the table. An encoder-decoder keeps its table.

    Raises:
        UsageError: `source` cannot be found, reached or read, its weights do not fit its configuration, or it is of a
            family that reads no text.
    """

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
        embeddings: TokenEmbeddings | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__(**given)
        origin = loading.origin(**self.settings)
        self.config, self.pretrained, self.fingerprint = origin.config, origin.pretrained, origin.fingerprint
        self.family: Family = family_of(self.config, cast("FamilyRow | None", family))
        self.causal, self.shared_layers = self.family.causal, self.family.shared_layers
        self.encoder_decoder, self.reach = bool(self.config.is_encoder_decoder), self.family.row.reach
        if self.encoder_decoder:
            self.start_id = shapes.start_id(self.config)
        self.hidden_size, self.num_layers = self.residual_size * self.family.streams, shapes.depth(self.config)
        self._tokenizer = (tokenizer or origin.source, origin.options)
        attention = attention or loading.default_attention(self.config)
        where = (origin.source, self.config, self.pretrained, attention, self.family.row.model)
        self.computed = origin.computed
        self.model = loading.load_model(*where, computed=self.computed is not None, **origin.options)
        if self.computed:
            words = loading.load_tokenizer(loading.locate(self._tokenizer[0]), **origin.options)
            replacing.replace(self.model, self.computed, words, origin.source if self.pretrained else None)
        takes = frozenset(inspect.signature(self.model.forward).parameters)
        loading.require_text(self.model, takes, self.causal)
        self.initial_scale = getattr(self.config, "initializer_range", self.initial_scale)
        # a tokenizer may mark two segments where the model knows none
        self.segments = getattr(self.config, "type_vocab_size", 2 if takes & {"token_type_ids", "kwargs"} else 0)
        self._inputs = Inputs(takes, self.segments, self.start_id if self.encoder_decoder else None)

    @property
    def description(self) -> dict[str, Any]:
        """The settings, without a class: what names none is of this one."""
        row, own = self.settings["family"], self.settings["embeddings"]
        found = {**self.settings, "family": row and row.description, "embeddings": own and plain(own)}
        return {name: value for name, value in found.items() if value or name not in ("family", "embeddings")}

    @classmethod
    def identify(cls, **settings: Any) -> str:
        """The fingerprint of what `settings` build, without loading weights."""
        return loading.origin(**settings).fingerprint

    @classmethod
    def outline(cls, settings: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """The settings with random weights, and whether shapes alone say what is computed."""
        source = loading.locate(settings["source"])
        # a row of one's own, embeddings that are computed: only what is built knows more
        own = settings.get("family") or settings.get("embeddings") or computed.read(Path(source))
        return {**settings, "pretrained": False}, own is None and family_of(loading.load_config(source)).static

    def randomised(self) -> Self:
        """The same with random weights."""
        return type(self)(**self.settings | {"pretrained": False})

    def language_output(self) -> Output:
        """That of its weights; errors as of `output.pretrained`."""
        files = (self.settings["source"], self.settings["revision"]) if self.pretrained else None
        if self.computed:
            return output.own(files and files[0], self.vocabulary_size, self.hidden_size)
        return output.pretrained(self.config, self.token_embeddings, files)

    def write(self, folder: Path, state: Mapping[str, Tensor] | None = None) -> None:
        """Write a folder that `transformers` and this class load."""
        own = None if state is None else {name.removeprefix("model."): value for name, value in state.items()}
        with loading.quiet():
            self.model.save_pretrained(folder, state_dict=own)
            self.tokenizer.save_pretrained(folder)
        computed.write(self.computed, folder, self.tokenizer)

    @cached_property
    def tokenizer(self) -> Any:
        """The fast tokenizer, loaded when first asked for: a configuration alone has none.

        Raises:
            UsageError: there is none, or it has ids that the weights do not embed.
        """
        source, options = self._tokenizer
        found = loading.load_tokenizer(loading.locate(source), **options)
        vocabulary.require_ids(found, self.vocabulary_size)
        return found

    @property
    def residual_size(self) -> int:
        """Width of what a sublayer adds to the residual stream; half of d in a Reformer, whose state is two streams."""
        return shapes.width(self.config)

    @property
    def embeddings(self) -> nn.Module:  # type: ignore[override]
        """The module from token ids (b, t) to token embeddings."""
        return shapes.embeddings(self.model)

    @property
    def token_embeddings(self) -> Tensor:
        """Their table (V, e); e is less than `hidden_size` where the family factorises it (ALBERT, ELECTRA). Raises
        `MissingSiteError` where they are computed."""
        if self.computed:
            raise MissingSiteError(f"this {self.kind} computes its embeddings, so it has no table of them.")
        return self.embeddings.get_parameter("weight")

    @property
    def vocabulary_size(self) -> int:
        """Rows of the table: a tokenizer may have fewer ids."""
        return self.embeddings.num_embeddings if self.computed else len(self.token_embeddings)  # type: ignore[return-value]

    @property
    def device(self) -> torch.device:
        """Where its embeddings are."""
        return next(self.embeddings.parameters()).device

    @property
    def kind(self) -> str:
        """The `model_type` of its configuration."""
        return str(self.config.model_type)

    @property
    def architecture(self) -> str:
        """The class of `transformers`."""
        return type(self.model).__name__

    @property
    def described(self) -> str:
        """Both."""
        return f"{self.architecture} ({self.kind})"

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

    @property
    def _root(self) -> nn.Module:
        """In which sites have their names: the model of `transformers`."""
        return self.model

    @cached_property
    def _sites(self) -> Sites:
        return inference.infer(self.model, self.family.row, self.residual_size, self._read_few)

    def _read_few(self) -> object:
        """A forward pass over a text of four tokens."""
        return self.model(**self._inputs(few_tokens(self.vocabulary_size, self.device)))

    def sites(self, role: str) -> list[Match]:
        """As of any backbone; a row of the family can name what is missing."""
        try:
            return super().sites(role)
        except MissingSiteError as error:
            raise MissingSiteError(f"{error} A row for the family can name it (docs/backbones.md).") from None

    def depth(self, name: str) -> int:
        """Where a module or parameter stands, `model.` before its name or not."""
        return super().depth(name.removeprefix("model."))

    def forward(self, **encoding: Tensor) -> tuple[Tensor, ...]:
        """L + 1 hidden states (b, t, d)."""
        if self.family.row.behind:
            return behind.states(self.model, self.sites("block")[0].module, self._inputs(encoding))
        output = self.model(**self._inputs(encoding), output_hidden_states=True)
        if not self.encoder_decoder:
            return (*output.hidden_states[:-1], output.last_hidden_state)
        encoder = (*output.encoder_hidden_states[:-1], output.encoder_last_hidden_state)
        length = output.last_hidden_state.shape[1]  # an encoder that reads whole blocks (Pegasus-X) fills them up
        encoder = tuple(state[:, :length] if state.shape[1] > length else state for state in encoder)
        return (*encoder, *output.decoder_hidden_states[1:-1], output.last_hidden_state)

    def last(self, **encoding: Tensor) -> Tensor:
        """The final hidden state alone, (b, t, d)."""
        return self.model(**self._inputs(encoding)).last_hidden_state


def require_transformers(backbone: Backbone, what: str) -> TransformersBackbone:
    """`backbone`, seen to be a model of `transformers`. Raises `UsageError`, which names `what` needs one."""
    if isinstance(backbone, TransformersBackbone):
        return backbone
    raise UsageError(f"{what} works inside a model of transformers; {backbone.kind} is none.")
