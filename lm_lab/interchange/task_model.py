"""An adapted model with its head as the class of `transformers` for its task, where that computes the same."""

import copy
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from lm_lab.backbones import TransformersBackbone
from lm_lab.errors import UsageError
from lm_lab.heads.encoder_decoder import EncoderDecoderGeneration
from lm_lab.heads.one_model import OneModelGeneration
from lm_lab.heads.readout import LSTMReader, TextReadout, TokenReadout
from lm_lab.interchange.agreement import Agreement
from lm_lab.interchange.head_layers import Layer, Layers, fills, layers_of
from lm_lab.models import AdaptedModel
from lm_lab.tasks import Task, TextTask
from lm_lab.tasks.choices import ChoiceTask
from lm_lab.tasks.multi_label import MultiLabelTask
from lm_lab.tasks.sequences import SequenceTask
from lm_lab.tasks.spans import SpanTask
from lm_lab.tasks.tags import TagTask

BARE = "--bare writes the backbone alone, with the head beside it"
_CLASSES: dict[type[Task], Any] = {
    TextTask: AutoModelForSequenceClassification,
    MultiLabelTask: AutoModelForSequenceClassification,
    TagTask: AutoModelForTokenClassification,
    SpanTask: AutoModelForQuestionAnswering,
    ChoiceTask: AutoModelForMultipleChoice,
}
_PROBLEMS = {TextTask: "single_label_classification", MultiLabelTask: "multi_label_classification"}


def task_class(model: AdaptedModel, backbone: TransformersBackbone) -> Any:
    """The `AutoModelFor...` of the task. Raises `UsageError` if there is none, or a head that none could compute."""
    if model.task.marked:
        raise UsageError(f"'{model.task.name}' reads the words that are marked, which no class of transformers does.")
    found = _CLASSES.get(_kind(model.task))
    if isinstance(model.task, SequenceTask):
        writes = isinstance(model.head, EncoderDecoderGeneration | OneModelGeneration)
        if not writes or not (backbone.causal or backbone.encoder_decoder):
            raise UsageError(
                f"{backbone.kind} writes with a prefix mask here, which no class of transformers has; train a "
                f"decoder or an encoder-decoder, or {BARE}."
            )
        found = AutoModelForSeq2SeqLM if backbone.encoder_decoder else AutoModelForCausalLM
    if found is None or type(backbone.config) not in found._model_mapping:
        what = "the task's form" if found is None else f"{found.__name__} of {backbone.kind}"
        raise UsageError(f"transformers has no class for '{model.task.name}' ({what}); {BARE}.")
    if not isinstance(model.task, SequenceTask):
        _require_plain(model)
    return found


def _kind(task: Task) -> type[Task]:
    return next((kind for kind in _CLASSES if isinstance(task, kind)), type(task))


def _require_plain(model: AdaptedModel) -> None:
    """Raise `UsageError` for what no head of `transformers` reads."""
    head = model.head
    if type(head) not in (TextReadout, TokenReadout):
        raise UsageError(f"the head of '{model.task.name}', {type(head).__name__}, is no head of transformers; {BARE}.")
    if model.task.paired and model.pairs != "cross_encoder":
        raise UsageError(
            f"a head of transformers reads a pair as one sequence, and this one was trained with pairs={model.pairs}: "
            f"train with --model.pairs cross_encoder, or {BARE}."
        )
    if head.layers != (model.backbone.num_layers,) or head.mix is not None:
        raise UsageError(
            f"a head of transformers reads the last layer, and this one reads {list(head.layers)}: train with a "
            f"strategy that reads the last one, or {BARE}."
        )
    lstm = isinstance(getattr(head, "reader", None), LSTMReader)
    if model.pooling == "attention" or lstm or (isinstance(head, TextReadout) and model.pooling == "lstm"):
        raise UsageError(
            f"no head of transformers pools by {model.pooling}: train with --model.pooling {model.backbone.pooling}, "
            f"or {BARE}."
        )


@torch.no_grad()
def task_model(model: AdaptedModel, backbone: TransformersBackbone, agreement: Agreement) -> PreTrainedModel:
    """The model of `transformers`, whose scores agree; the delta of `model` is merged already.

    Raises:
        UsageError: its class computes something else; what would have to be trained for it is named.
    """
    found = task_class(model, backbone).from_config(_config(model, backbone)).eval().float()
    _put_states(found, backbone, agreement.tokenizer)
    if isinstance(model.head, EncoderDecoderGeneration | OneModelGeneration):
        _put_output(found, model.head.output)
        if agreement.close(gap := agreement.gap(found)):
            return found
        raise UsageError(f"{type(found).__name__} would score tokens differently, by {gap:.2g}; {BARE}.")
    ours, gap = _layers(model), float("inf")
    for fill in fills(found, found.base_model, ours, model.task.reads == "tokens"):
        fill()
        if agreement.close(own := agreement.gap(found)):
            return found
        gap = min(gap, own)
    raise UsageError(_reason(model, found, ours, gap))


def _put_states(found: PreTrainedModel, backbone: TransformersBackbone, tokenizer: Any) -> None:
    """The backbone's weights; a token that only the tokenizer has gets a row."""
    lost = found.base_model.load_state_dict(backbone.model.state_dict(), strict=False).unexpected_keys
    if backbone.encoder_decoder and any(name.startswith("decoder.") for name in lost):
        raise UsageError(f"{type(found).__name__} reads an encoder alone, and this head a decoder's states; {BARE}.")
    if lost:
        raise UsageError(f"{type(found).__name__} has no {lost[0]} of {backbone.architecture}; {BARE}.")
    if len(tokenizer) > backbone.vocabulary_size:
        found.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    found.config.pad_token_id = tokenizer.pad_token_id


def _layers(model: AdaptedModel) -> Layers:
    """The head's; a graded score is on the scale of its labels, as `transformers` gives it."""
    head = model.head
    assert isinstance(head, TextReadout | TokenReadout)
    if (found := layers_of(head.scorer)) is None:
        raise UsageError(f"no head of transformers is a {type(head.scorer).__name__} like this one; {BARE}.")
    factor, offset = scale(model.task)
    return found._replace(out=Layer(found.out.weight * factor, found.out.bias * factor + offset))


def scale(task: Task) -> tuple[float, float]:
    """By what our scores are multiplied, and what is added, to be those of `transformers`."""
    if isinstance(task, TextTask) and task.regression:
        low, high = task.label_range
        return high - low, 0.5 * (high - low) + low
    return 1.0, 0.0


def _config(model: AdaptedModel, backbone: TransformersBackbone) -> Any:
    config, task = copy.deepcopy(backbone.config), model.task
    if backbone.encoder_decoder:
        config.decoder_start_token_id = backbone.start_id
    if isinstance(task, SequenceTask):
        return config
    names = task.labels or (() if isinstance(task, SpanTask | ChoiceTask) else ("score",))
    config.num_labels = task.outputs
    if model.pooling in ("cls", "mean") and hasattr(config, "classifier_pooling"):  # ModernBERT's head has either
        config.classifier_pooling = model.pooling
    if names:
        config.id2label, config.label2id = dict(enumerate(names)), {name: i for i, name in enumerate(names)}
    problem = _PROBLEMS.get(_kind(task))
    config.problem_type = "regression" if problem and not task.labels else problem
    return config


def _put_output(found: PreTrainedModel, output: Any) -> None:
    """The output layer of a language model, where it is not the table of embeddings."""
    if output.weight is not None:
        found.get_output_embeddings().weight.copy_(output.weight)
    if output.bias is not None and isinstance(bias := getattr(found, "final_logits_bias", None), Tensor):
        bias.copy_(output.bias)


def _reason(model: AdaptedModel, found: PreTrainedModel, ours: Layers, gap: float) -> str:
    """Why the scores differ, and what would have none of it."""
    name, natural = type(found).__name__, model.backbone.pooling
    start = f"{name} would score texts differently" + (f", by {gap:.2g}" if gap < float("inf") else "")
    if model.task.reads == "text" and model.pooling != natural:
        place = "last" if natural == "last" else "first"
        return (
            f"{start}: its head reads the {place} token, and this one pools by {model.pooling}; train with "
            f"--model.pooling {natural}, or {BARE}."
        )
    if model.task.reads == "tokens" and model.backbone.kind == "longformer":
        return f"{start}: other tokens than the first, which the fit had, see the whole text there; {BARE}."
    if ours.hidden is not None:
        return f"{start}: it has no tanh between two layers; train with --model.head linear, or {BARE}."
    if bool(ours.out.bias.any()) and (score := getattr(found, "score", None)) is not None and score.bias is None:
        train = "" if scale(model.task)[1] else "train with --model.head no_bias, or "
        return f"{start}: its `score` has no bias, and this family's last norm has none to take it up; {train}{BARE}."
    return f"{start}: its head computes what no linear layer of ours can be written as; {BARE}."
