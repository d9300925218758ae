"""Computed embeddings in a model of `transformers`, in the place of its table of tokens."""

from typing import Any

from safetensors import safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel

from lm_lab.backbones import identity
from lm_lab.backbones.embeddings.base import TokenEmbeddings
from lm_lab.errors import UsageError


def place(model: PreTrainedModel) -> str:
    """The name of the module that embeds tokens."""
    table = model.get_input_embeddings()
    return next(name for name, module in model.named_modules() if module is table)


def replace(model: PreTrainedModel, settings: TokenEmbeddings, tokenizer: Any, source: str | None) -> None:
    """Put computed embeddings where the table was, with the weights that `source` holds of them; else random ones.

    Raises:
        UsageError: a model that reads with two parts, or does more than look its tokens up; weights that do not fit.
    """
    table, name = model.get_input_embeddings(), place(model)
    if model.config.is_encoder_decoder or type(table) is not nn.Embedding:
        raise UsageError(
            f"{model.config.model_type} cannot have computed embeddings: it has "
            f"{'two parts that share them' if model.config.is_encoder_decoder else f'a {type(table).__name__}'}; give "
            "an encoder or a decoder with a plain table (bert, gpt2, llama)."
        )
    built = settings.build(tokenizer, table.embedding_dim, *_deviation(table))
    if source is not None:
        load(built, source, f"{name}.")
    model.set_input_embeddings(built)


def _deviation(table: nn.Embedding) -> tuple[float, ...]:
    """Of the numbers in a table; none on the meta device, where there are none."""
    return () if table.weight.is_meta else (float(table.weight.detach().std()),)


def load(module: nn.Module, source: str, prefix: str) -> None:
    """Put weights whose names have a prefix into a module, where there are any. Raises `UsageError` if they misfit."""
    found: dict[str, Tensor] = {}
    for file in identity.weight_files(source):
        with safe_open(file, "pt") as tensors:
            mine = [name for name in tensors.keys() if name.startswith(prefix)]  # noqa: SIM118
            found |= {name.removeprefix(prefix): tensors.get_tensor(name) for name in mine}
    if set(found) <= {"weight"}:  # a table: what is computed begins with random weights
        return
    try:
        module.load_state_dict(found)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise UsageError(f"the weights at '{source}' do not fit these embeddings: {said:.200}") from error
