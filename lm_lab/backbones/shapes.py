"""Numbers that `transformers` keeps in different places of a configuration or a model."""

from contextlib import suppress
from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

_NO_END = 10**9  # longest text where positions are relative


def width(config: PreTrainedConfig) -> int:
    """Of the residual stream."""
    return int(_of_encoder(config, "hidden_size"))


def depth(config: PreTrainedConfig) -> int:
    """Number of blocks, an encoder's and its decoder's together."""
    if not config.is_encoder_decoder:
        return int(config.num_hidden_layers)
    decoder = getattr(config, "num_decoder_layers", None) or getattr(config, "decoder_layers", None)
    return int(_of_encoder(config, "num_hidden_layers")) + (decoder or config.decoder.num_hidden_layers)


def embeddings(model: PreTrainedModel) -> nn.Module:
    """The module from token ids (b, t) to token embeddings, the encoder's where there are two."""
    if model.config.is_encoder_decoder:
        with suppress(AttributeError, NotImplementedError):  # an encoder may leave it to the whole (FSMT)
            encoder: nn.Module = model.get_encoder().get_input_embeddings()
            return encoder
    return model.get_input_embeddings()


def first_position(model: nn.Module) -> int:
    """Position of the first token: pad + 1 in RoBERTa and all that keeps padding among its positions, else 0."""
    tables = (module for name, module in model.named_modules() if name.rpartition(".")[2] == "position_embeddings")
    padding = next((getattr(table, "padding_idx", None) for table in tables), None)
    return 0 if padding is None else int(padding) + 1


def positions(config: PreTrainedConfig, first: int) -> int:
    """How many tokens have a position; relative ones have no end."""
    names = ("max_position_embeddings", "max_encoder_position_embeddings", "max_decoder_position_embeddings")  # LED's
    given = [value - first for value in (getattr(config, name, None) for name in names) if value]
    return min((value for value in given if value > 0), default=_NO_END)


def start_id(config: PreTrainedConfig) -> int:
    """Id of the token that a decoder over an encoder reads first: as configured, else the decoder's own first token
    (T5Gemma, which does not see padding), else padding (T5)."""
    decoder = getattr(config, "decoder", None)
    given = (getattr(config, "decoder_start_token_id", None), getattr(decoder, "bos_token_id", None))
    return int(next((token for token in given if token is not None), config.pad_token_id))


def _of_encoder(config: PreTrainedConfig, name: str) -> Any:
    """A setting of a model, or of its encoder where that has a configuration of its own (T5Gemma)."""
    found = getattr(config, name, None)
    return getattr(config.encoder, name) if found is None else found
