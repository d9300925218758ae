"""How likely a model finds texts, by its kind, and a masked one's output layer: of a folder of ours, or of
`transformers`."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM

from lm_lab.backbones import Backbone, ELMo, TransformersBackbone, loading
from lm_lab.backbones.output import FACTS, HEADS
from lm_lab.backbones.transformers_backbone import require_transformers
from lm_lab.errors import UsageError
from lm_lab.objectives.autoregressive import softmax
from lm_lab.objectives.autoregressive.bidirectional_lm import predicted
from lm_lab.objectives.token_head import TokenHead
from lm_lab.scoring.gaps import GapLikelihood, first_sentinel
from lm_lab.scoring.likelihood import (
    BothWaysLikelihood,
    CausalLikelihood,
    Likelihood,
    MaskedLikelihood,
    Scores,
    Untrained,
)
from lm_lab.scoring.restored import RestoringLikelihood
from lm_lab.scoring.xlnet import xlnet

_FILLS = ("SpanCorruption", "ReplaceSpans")  # objectives with a sentinel in a gap
_RESTORED = ("BART", "MASS", "BertStyle", "MassStyle")  # those with a mask
_RESTORES = ("bart", "mbart")  # models of the hub with a mask
_SOFTMAX = "softmax."
_PARTS = ("dense.weight", "dense.bias", "norm.weight", "norm.bias", "bias")


def likelihood(backbone: Backbone) -> Likelihood:
    """How likely a backbone finds texts.

    Raises:
        UsageError: it was pretrained with no output layer over tokens, or its weights lack it. Random weights of a
            model that hides tokens say so when they are asked.
    """
    if backbone.encoder_decoder:
        return _filling(backbone, _objective(backbone))
    if backbone.causal:
        return CausalLikelihood(backbone)
    if isinstance(backbone, ELMo):
        return _both_ways(backbone)
    if not backbone.pretrained:  # a suite asks so before it loads weights, whether a prompt fits the tokenizer
        return Untrained(backbone)
    model = require_transformers(backbone, "scoring texts by hiding their tokens")
    heads = _heads(model)
    if model.kind == "xlnet":
        return xlnet(model, heads, _objective(model))
    return MaskedLikelihood(model, _ours(model, heads) if heads else _of_transformers(model))


def _heads(backbone: Backbone) -> dict[str, Tensor]:
    """What the objective trained beside the backbone, where it was `lm-lab pretrain`."""
    file = Path(loading.locate(backbone.settings["source"])) / HEADS
    return load_file(file) if backbone.pretrained and file.is_file() else {}


def _objective(backbone: Backbone) -> str | None:
    """The class that trained it, where it was `lm-lab pretrain` and one alone."""
    file = Path(loading.locate(backbone.settings["source"])) / FACTS
    found = json.loads(file.read_text(encoding="utf-8")).get("objective") if file.is_file() else None
    return None if found == "SumOfObjectives" else found


def _filling(backbone: Backbone, objective: str | None) -> Likelihood:
    """An encoder-decoder, by what it was trained to write."""
    if objective in _FILLS or (objective is None and backbone.kind not in _RESTORES):
        return GapLikelihood(backbone)
    if objective is not None and objective not in _RESTORED:
        raise UsageError(f"{objective} trained this {backbone.kind}, which was never asked to fill in a hidden token.")
    mask = backbone.tokenizer.mask_token_id
    mask = first_sentinel(backbone) if mask is None else int(mask)  # as `BertStyle` has it
    if objective is None:  # as published
        return RestoringLikelihood(backbone, mask, lead=True)
    return RestoringLikelihood(backbone, mask, one_mask=objective == "BART", hidden_alone=objective == "MASS")


def _both_ways(backbone: ELMo) -> Likelihood:
    """The softmax that both directions share."""
    weights = {name.partition(_SOFTMAX)[2]: value for name, value in _heads(backbone).items() if _SOFTMAX in name}
    if not weights:
        raise UsageError("this ELMo has no softmax: its weights are random, or BidirectionalLM did not train them.")
    output = softmax.of_weights(weights).to(backbone.device).eval()
    size, unknown = output.size, int(backbone.tokenizer.unk_token_id or 0)
    return BothWaysLikelihood(backbone, output.log_prob, lambda ids: predicted(ids, size, unknown))


def _ours(backbone: TransformersBackbone, heads: dict[str, Tensor]) -> Scores:
    """The head that `lm-lab pretrain` trained and saved beside the weights."""
    found = [name.removesuffix(_PARTS[0]) for name in heads if name.endswith(f"head.{_PARTS[0]}")]
    if len(found) != 1:
        raise UsageError(f"the objective that trained '{backbone.settings['source']}' predicts no hidden tokens.")
    own = {part: heads[found[0] + part] for part in _PARTS}
    width, hidden = own["dense.weight"].shape
    head = TokenHead(hidden, width, len(own["bias"]))
    head.load_state_dict(own)

    def scores(ids: Tensor, mask: Tensor, places: Tensor) -> Tensor:
        states = backbone.last(input_ids=ids, attention_mask=mask)
        return head.to(states.device)(states[torch.arange(len(ids)), places], backbone.token_embeddings)

    return scores


def _of_transformers(backbone: TransformersBackbone) -> Scores:
    """The head that the checkpoint holds."""
    source, revision = backbone.settings["source"], backbone.settings["revision"]
    lacking = f"the weights at '{source}' have no output layer that predicts hidden tokens"
    try:
        with loading.quiet():
            model, report = AutoModelForMaskedLM.from_pretrained(
                loading.locate(source), revision=revision, output_loading_info=True, attn_implementation="eager"
            )
    except ValueError as error:
        raise UsageError(f"{lacking}: {backbone.kind} has none in `transformers`.") from error
    if missing := sorted(report["missing_keys"]):
        raise UsageError(f"{lacking}: they lack {missing[0]}.")
    return _reading(model.eval())


def _reading(model: nn.Module) -> Scores:
    def scores(ids: Tensor, mask: Tensor, places: Tensor) -> Tensor:
        logits: Tensor = model.to(ids.device)(input_ids=ids, attention_mask=mask).logits
        return logits[torch.arange(len(ids)), places]

    return scores
