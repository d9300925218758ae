"""Models and tokenizers from a hub id, a folder or a configuration, with errors that say what to do."""

import inspect
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.utils import logging as transformers_logging

from lm_lab import hub
from lm_lab.backbones import architectures, identity, vocabulary
from lm_lab.backbones.embeddings import replacing
from lm_lab.backbones.embeddings.base import TokenEmbeddings
from lm_lab.backbones.embeddings.base import read as kept_embeddings
from lm_lab.errors import UsageError

_REMEDY = (
    "Give a folder that holds config.json and model.safetensors, or set LM_LAB_WEIGHTS (or LM_LAB_DATA) to a "
    "local mirror"
)
_DEEPEST = 10_000  # layers; a damaged or hostile number would be built until memory is gone
_DROPOUTS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout", "resid_pdrop",
    "embd_pdrop", "attn_pdrop", "embedding_dropout", "mlp_dropout", "local_attention_probs_dropout_prob",
    "lsh_attention_probs_dropout_prob",
)  # fmt: skip


def locate(source: str) -> str:
    """A local path for `source` where there is one, else the hub id, once the hub has answered.

    Raises:
        UsageError: within seconds, if `source` is neither local nor reachable.
    """
    if source.startswith(architectures.PREFIX):
        return source
    if folder := hub.local_weights(source):
        return str(folder)
    if source.startswith((".", "/", "~")) or source.endswith(".json") or source.count("/") > 1:
        raise UsageError(f"the backbone '{source}' does not exist on this disk. {_REMEDY}, or give a hub id.")
    if not hub.cached_model(source):
        hub.require(source, _REMEDY)
    hub.stay_offline_if_silent()
    return source


def load_config(source: str, **options: Any) -> PreTrainedConfig:
    """The configuration at `source`: a hub id, a folder, a `.json` file, or `new:FAMILY-SIZE`."""
    if source.startswith(architectures.PREFIX):
        return architectures.config_of(source)
    with _clear_errors(source):
        config: PreTrainedConfig = AutoConfig.from_pretrained(source, **options)
    for name, value in config.to_dict().items():
        if name.endswith("layers") and isinstance(value, int) and value > _DEEPEST:
            raise UsageError(f"the configuration at '{source}' has {name}={value}; expected {_DEEPEST:,} at most.")
    return config


class Origin(NamedTuple):
    """What a backbone is loaded from.

    Attributes:
        source: a path, a hub id, or an architecture.
        options: `revision` and `trust_remote_code`, as `from_pretrained` takes them.
        config: with the dropout that was asked for and, of random weights, the vocabulary.
        pretrained: whether weights are loaded.
        fingerprint: of the weights (`identity.fingerprint`), and of how embeddings are computed.
        computed: what stands in place of the table of tokens, if anything.
    """

    source: str
    options: dict[str, Any]
    config: PreTrainedConfig
    pretrained: bool
    fingerprint: str
    computed: TokenEmbeddings | None


def origin(
    source: str,
    pretrained: bool = True,
    tokenizer: str | None = None,
    revision: str | None = None,
    dropout: float | None = None,
    trust_remote_code: bool = False,
    embeddings: TokenEmbeddings | None = None,
    **_: Any,
) -> Origin:
    """Find a backbone without loading its weights; arguments and errors as those of `TransformersBackbone`."""
    found = locate(source)
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if revision and not Path(found).exists():
        options["revision"] = revision
    config = load_config(found, **options)
    loaded = pretrained and has_weights(found)
    weights = identity.fingerprint(found, config, True, options.get("revision")) if loaded else ""
    if dropout is not None:
        set_dropout(config, dropout)
    if tokenizer and not loaded:
        vocabulary.fit(config, load_tokenizer(locate(tokenizer), **options))
    known = weights or identity.fingerprint(found, config, False)
    computed = embeddings or kept_embeddings(Path(found))
    return Origin(found, options, config, loaded, identity.with_embeddings(known, computed), computed)


def has_weights(source: str) -> bool:
    """False for a configuration without weights beside it (a `.json` file, a folder with no weights, `new:`)."""
    if source.startswith(architectures.PREFIX):
        return False
    path = Path(source)
    return not path.exists() or (path.is_dir() and bool(identity.weight_files(source)))


def load_model(
    source: str,
    config: PreTrainedConfig,
    pretrained: bool,
    attention: str,
    kind: type[PreTrainedModel] | None = None,
    computed: bool = False,
    **options: Any,
) -> PreTrainedModel:
    """A bare model in fp32 without a pooler, whose parameters would get no gradient and inflate every count.

    Pickled weights load with `weights_only`; safetensors are preferred. `kind` stands in for the class of
    `transformers`; with `computed`, its table of tokens may be missing.
    """
    if "add_pooling_layer" in inspect.signature(kind or _model_class(config)).parameters:
        options["add_pooling_layer"] = False
    if getattr(config, "attention_type", None) == "block_sparse":
        # BigBird would turn to full attention at the first short text, for good: what it gives would follow its past
        config.attention_type = "original_full"
    options |= {"attn_implementation": attention, "dtype": torch.float32}
    if kind:
        options.pop("trust_remote_code", None)
    if not pretrained:
        options.pop("revision", None)
        with _clear_errors(source):
            return (kind._from_config if kind else AutoModel.from_config)(config, **options)
    with _clear_errors(source), quiet():
        model, report = (kind or AutoModel).from_pretrained(
            source, config=config, output_loading_info=True, weights_only=True, ignore_mismatched_sizes=True, **options
        )
    _require_shapes(source, report["mismatched_keys"])
    replaced = f"{replacing.place(model)}." if computed else None
    if missing := sorted(key for key in report["missing_keys"] if not (replaced and key.startswith(replaced))):
        raise UsageError(
            f"the weights at '{source}' lack {len(missing)} tensors that {type(model).__name__} needs, "
            f"such as {missing[0]}; they would be random. Check that config.json belongs to these weights."
        )
    return model


def require_text(model: PreTrainedModel, takes: Collection[str], causal: bool) -> None:
    """Raise `UsageError` for a model that reads no token ids, or would read padding as text."""
    kind, name = model.config.model_type, type(model).__name__
    if "input_ids" not in takes:
        raise UsageError(f"{kind} cannot be a backbone: {name} reads no token ids.")
    if "attention_mask" not in takes and not causal:
        raise UsageError(
            f"{kind} cannot be a backbone: {name} takes no attention mask, so that padding would change what it makes "
            "of a text."
        )


def _require_shapes(source: str, mismatched: Collection[Any]) -> None:
    """Raise `UsageError` for tensors (name, shape in the file, shape of the model) that differ."""
    if mismatched:
        name, found, expected = min(mismatched, key=str)
        raise UsageError(
            f"the weights at '{source}' do not fit its config.json: {name} is {_shape(found)} in the file and "
            f"{_shape(expected)} by the configuration{_more(mismatched)}. Use the config.json they were saved with."
        )


def _shape(size: Any) -> str:
    return " x ".join(str(length) for length in size)


def _more(found: Collection[Any]) -> str:
    return f" (and {len(found) - 1} more)" if len(found) > 1 else ""


def default_attention(config: PreTrainedConfig) -> str:
    """sdpa on an accelerator, where the family has it; eager on a CPU, where sdpa's backward pass is the slower."""
    sdpa = getattr(_model_class(config), "_supports_sdpa", False)
    return "sdpa" if sdpa and torch.accelerator.is_available() else "eager"


def load_tokenizer(source: str, **options: Any) -> Any:
    """The fast tokenizer at `source`, with a padding token (the end token where the model was given none)."""
    if source.startswith(architectures.PREFIX):
        raise UsageError(f"'{source}' is an architecture alone; give a tokenizer beside it (backbone.tokenizer).")
    folder = str(Path(source).parent) if source.endswith(".json") else source
    with _clear_errors(folder), quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, **options)
    if not tokenizer.is_fast:
        raise UsageError(f"'{folder}' has no fast tokenizer; save one there (tokenizer.json).")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def set_dropout(config: PreTrainedConfig, probability: float) -> None:
    """Set every dropout probability that `config` has."""
    for name in _DROPOUTS:
        if hasattr(config, name):
            setattr(config, name, probability)


def _model_class(config: PreTrainedConfig) -> type:
    if type(config).__module__.startswith("transformers_modules."):
        return PreTrainedModel  # its code comes with the weights, and is run only when the model is built
    try:
        found = MODEL_MAPPING[type(config)]
    except KeyError:
        raise UsageError(f"transformers has no bare model for '{config.model_type}'.") from None
    return found[0] if isinstance(found, (list, tuple)) else found


@contextmanager
def _clear_errors(source: str) -> Iterator[None]:
    try:
        yield
    except UsageError:
        raise
    except Exception as error:  # of damaged files: tokenizers raises Exception itself, strict dataclasses their own
        first = str(error).strip().split("\n")[0] or type(error).__name__
        raise UsageError(f"cannot load the backbone '{source}': {first} {_REMEDY}.") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Heads that the checkpoint has and a bare model has not are expected; no report of them, no progress bar."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
