"""An adaptation with its head as a folder that plain `transformers` loads, for its task.

    AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)

give our model's scores: they are compared, on texts, through the folder itself, before it takes its place.
"""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedModel

from lm_lab.atomic import replacing
from lm_lab.backbones import TransformersBackbone, loading
from lm_lab.backbones.transformers_backbone import require_transformers
from lm_lab.errors import UsageError
from lm_lab.interchange.agreement import agreement
from lm_lab.interchange.merged import merge, require_new
from lm_lab.interchange.task_model import BARE, scale, task_class, task_model
from lm_lab.models import AdaptedModel
from lm_lab.tasks import Task
from lm_lab.tasks.sequences import SequenceTask
from lm_lab.tokens import end_token

_PAD = "<|pad|>"


def save_task_model(model: AdaptedModel, folder: str | Path) -> Path:
    """Merge the delta of `model` into its backbone, in place, on the CPU; write that, head and tokenizer to `folder`.

    Raises:
        UsageError: the delta cannot be merged, the head is none that `transformers` has for the family, or the folder
            is there already.
    """
    folder = Path(folder)
    require_new(folder)
    backbone = require_transformers(model.eval().cpu().backbone, "a folder of transformers")
    kind, tokenizer = task_class(model, backbone), own_tokenizer(model, backbone)
    expected = agreement(model, tokenizer, *scale(model.task))
    merge(model)
    with loading.quiet():
        theirs = task_model(model, backbone, expected)
    _set_generation(theirs, model.task, tokenizer)
    with replacing(folder) as new, loading.quiet():
        new.mkdir()
        theirs.save_pretrained(new)
        tokenizer.save_pretrained(new)
        read = replace(expected, tokenizer=AutoTokenizer.from_pretrained(new))
        gap = read.gap(kind.from_pretrained(new).eval())
        if not read.close(gap):
            raise UsageError(f"the folder would score texts differently than the model, by {gap:.2g}; {BARE}.")
    return folder


def own_tokenizer(model: AdaptedModel, backbone: TransformersBackbone) -> Any:
    """Ours, with what stands between and behind texts; it cuts where our data does."""
    tokenizer = copy.deepcopy(model.encoding.tokenizer)
    longest = (model.read_by or {}).get("init_args", {}).get("max_length", backbone.max_length)
    settings: dict[str, Any] = {"model_max_length": min(longest, backbone.max_length)}
    if backbone.segments < 2:  # else a template for two texts names segments that the model has not
        names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
        settings["model_input_names"] = names
    if backbone.pooling == "last" and not backbone.encoder_decoder:
        # a text is read, or goes on, at its end: XLNet's head takes the last place of a row, decoders look for padding
        ends = isinstance(model.task, SequenceTask) or not backbone.causal
        settings["padding_side"] = "left" if ends else "right"
    for name, value in settings.items():
        setattr(tokenizer, name, value)
    tokenizer.init_kwargs |= settings  # these are saved
    if backbone.causal and model.task.reads == "text" and tokenizer.pad_token_id in tokenizer("a")["input_ids"]:
        # what `transformers` takes for padding, where it looks for the last token, would be the token that is read
        tokenizer.add_special_tokens({"pad_token": _PAD})
    return tokenizer


def _set_generation(theirs: PreTrainedModel, task: Task, tokenizer: Any) -> None:
    """What `generate` is to do, as the task has it."""
    if isinstance(task, SequenceTask) and theirs.generation_config is not None:
        settings = {"num_beams": task.beams, "max_new_tokens": task.max_target, "length_penalty": task.length_penalty}
        if task.beams == 1:
            del settings["length_penalty"]
        theirs.generation_config.update(
            **settings, do_sample=False, early_stopping=task.beams > 1, eos_token_id=end_token(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
