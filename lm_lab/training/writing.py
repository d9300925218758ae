"""Texts that a model writes after others, as its task asks for them."""

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.strategies.writer import Text, Writer
from lm_lab.tasks.sequences import SequenceTask


def write_texts(writer: Writer, backbone: Backbone, task: SequenceTask, source: Text) -> list[str]:
    """The text after each source: searched for, or the likeliest of the task's candidates."""
    tokenizer = backbone.tokenizer
    if task.candidates:
        choice = writer.choose(backbone, source, _tokens(writer, backbone, task)).argmax(1).tolist()
        return [task.candidates[index] for index in choice]
    ids = writer.write(backbone, source, task.beams, task.max_target, task.length_penalty)
    return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]


def _tokens(writer: Writer, backbone: Backbone, task: SequenceTask) -> Text:
    """The candidates, each with its end token, padded on the right: (c, u)."""
    listed = backbone.tokenizer(list(task.candidates), add_special_tokens=False)["input_ids"]
    ended = [torch.tensor([*ids[: task.max_target - 1], writer.end]) for ids in listed]
    mask: list[Tensor] = [torch.ones_like(ids) for ids in ended]
    device = backbone.embeddings.get_parameter("weight").device
    padded = [torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device) for rows in (ended, mask)]
    return {"input_ids": padded[0], "attention_mask": padded[1]}
