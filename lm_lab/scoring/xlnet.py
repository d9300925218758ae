"""Log-likelihoods under an XLNet (Yang et al. 2019, https://arxiv.org/abs/1906.08237).

    PermutationLM     log p(x_t | x without x_t): the query stream at t, while no position sees what is hidden
    TransformerXL     log p(x_t | x_<t): told to look to the left alone

Scores are of the table of embeddings E: E h + bias.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import XLNetLMHeadModel

from lm_lab.backbones import TransformersBackbone, loading
from lm_lab.errors import UsageError
from lm_lab.objectives.autoregressive.transformer_xl import later
from lm_lab.objectives.token_head import TiedOutput
from lm_lab.scoring.likelihood import CausalLikelihood, Likelihood, MaskedLikelihood, Scores

_BIAS = "output.bias"


def xlnet(backbone: TransformersBackbone, heads: dict[str, Tensor], objective: str | None) -> Likelihood:
    """How likely an XLNet finds texts.

    Args:
        backbone: an XLNet.
        heads: what the objective trained beside it, empty for a model of the hub.
        objective: its class, None for a model of the hub.

    Raises:
        UsageError: it has no output layer.
    """
    output = TiedOutput(backbone.vocabulary_size).to(backbone.device)
    output.bias.data.copy_(_bias(backbone, heads))

    def scored(states: Tensor) -> Tensor:
        return output(states, backbone.token_embeddings)

    if objective == "TransformerXL":
        return CausalLikelihood(backbone, scored, lambda ids: {"perm_mask": later(ids)})
    return MaskedLikelihood(backbone, _permuted(backbone, scored))


def _bias(backbone: TransformersBackbone, heads: dict[str, Tensor]) -> Tensor:
    found = [value for name, value in heads.items() if name.endswith(_BIAS)]
    if heads or not backbone.pretrained:
        if len(found) != 1:
            raise UsageError(f"'{backbone.settings['source']}' has no output layer that predicts tokens.")
        return found[0].float()
    source, revision = backbone.settings["source"], backbone.settings["revision"]
    with loading.quiet():
        model, report = XLNetLMHeadModel.from_pretrained(
            loading.locate(source), revision=revision, output_loading_info=True
        )
    if "lm_loss.bias" in report["missing_keys"]:
        raise UsageError(
            f"the weights at '{source}' have no output layer that predicts tokens: they lack lm_loss.bias."
        )
    return model.lm_loss.bias.detach().float()


def _permuted(backbone: TransformersBackbone, scored: Callable[[Tensor], Tensor]) -> Scores:
    def scores(ids: Tensor, mask: Tensor, places: Tensor) -> Tensor:
        b, t = ids.shape
        unseen = (ids == backbone.tokenizer.mask_token_id) | (mask == 0)
        query = torch.nn.functional.one_hot(places, t).unsqueeze(1).float()
        masks = {"perm_mask": unseen.unsqueeze(1).expand(b, t, t).float(), "target_mapping": query}
        states = backbone.last(input_ids=ids, attention_mask=mask, **masks)
        return scored(states[:, 0])

    return scores
