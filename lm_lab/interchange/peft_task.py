"""A delta with its head as a PEFT adapter of a task's model, where `transformers` has a class that computes the same.

    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=k)
    PeftModel.from_pretrained(model, folder)

gives our scores. What the head needs stands whole in the adapter (`modules_to_save`): the classifier, with a BERT its
pooler, with a decoder the last norm where that takes up the head's bias. Scores are compared on a merged copy.
"""

import copy
import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from lm_lab.atomic import share
from lm_lab.backbones import TransformersBackbone, loading
from lm_lab.backbones.transformers_backbone import require_transformers
from lm_lab.errors import UsageError
from lm_lab.interchange.agreement import agreement
from lm_lab.interchange.merged import merge
from lm_lab.interchange.peft_config import CONFIG
from lm_lab.interchange.peft_write import TENSORS, export
from lm_lab.interchange.task_folder import own_tokenizer
from lm_lab.interchange.task_model import scale, task_class, task_model
from lm_lab.models import AdaptedModel
from lm_lab.models.tensors import read_tensors

_TYPES = {
    "AutoModelForSequenceClassification": "SEQ_CLS",
    "AutoModelForTokenClassification": "TOKEN_CLS",
    "AutoModelForQuestionAnswering": "QUESTION_ANS",
    "AutoModelForSeq2SeqLM": "SEQ_2_SEQ_LM",
    "AutoModelForCausalLM": "CAUSAL_LM",
}


def export_for_task(model: AdaptedModel, folder: Path) -> str:
    """Write the adapter and the tokenizer that its texts want to `folder`; the class that loads it, in Python.

    Raises:
        UsageError: the head is none that the family's class has, or the method none that PEFT has or that merges.
    """
    backbone = require_transformers(model.eval().cpu().backbone, "PEFT's format")
    kind, tokenizer = task_class(model, backbone), own_tokenizer(model, backbone)
    if kind.__name__ not in _TYPES:
        raise UsageError(f"PEFT has no form for {kind.__name__}.")
    if len(tokenizer) > backbone.vocabulary_size:
        raise UsageError("the tokenizer pads with its end token, and an adapter brings no token of its own.")
    expected, merged = agreement(model, tokenizer, *scale(model.task)), copy.deepcopy(model)
    merge(merged)
    whole = require_transformers(merged.backbone, "PEFT's format")
    with loading.quiet():
        theirs = task_model(merged, whole, expected)
    config, tensors = _adapter(export(model, folder), theirs, whole, _TYPES[kind.__name__])
    save_file(tensors, folder / TENSORS)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tokenizer.save_pretrained(folder)
    share(folder)
    labels = f", num_labels={theirs.config.num_labels}" if config["modules_to_save"] else ""
    pooled = getattr(theirs.config, "classifier_pooling", None)
    if pooled != getattr(backbone.config, "classifier_pooling", None):
        labels += f", classifier_pooling={pooled!r}"
    return f"{kind.__name__}.from_pretrained({backbone.settings['source']!r}{labels})"


def _adapter(
    folder: Path, theirs: PreTrainedModel, merged: TransformersBackbone, task_type: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The bare model's adapter, with the names of the task's model and the modules of its head."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    prefix = "" if theirs.base_model is theirs else f"{theirs.base_model_prefix}."
    tensors = {
        name.replace("base_model.model.", f"base_model.model.{prefix}", 1): value
        for name, value in read_tensors(folder / TENSORS).items()
    }
    head = _head(theirs, merged, prefix) if prefix and task_type not in ("SEQ_2_SEQ_LM", "CAUSAL_LM") else {}
    modules = sorted({_module(name.removeprefix(prefix)) for name in head})
    config |= {"task_type": task_type, "modules_to_save": modules or None}
    whole = {
        name: value for name, value in theirs.state_dict().items() if _module(name.removeprefix(prefix)) in modules
    }
    return config, tensors | {f"base_model.model.{name}": value.contiguous().clone() for name, value in whole.items()}


def _head(theirs: PreTrainedModel, merged: TransformersBackbone, prefix: str) -> dict[str, Tensor]:
    """What the task's model has that the merged backbone has not, or has other values of."""
    known = {f"{prefix}{name}": value for name, value in merged.model.state_dict().items()}
    return {
        name: value
        for name, value in theirs.state_dict().items()
        if name not in known or not bool((known[name] == value).all())
    }


def _module(name: str) -> str:
    """The part of a head that is saved whole: `classifier` of classifier.dense.weight, else the parameter's module."""
    first = name.split(".")[0]
    inside = first in ("encoder", "decoder", "layers", "h", "embeddings")
    return name.rpartition(".")[0] if inside else first
