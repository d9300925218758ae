"""What SuperGLUE's server expects of its tasks' test sets (Wang et al. 2019, https://arxiv.org/abs/1905.00537), and
WSC's row. BoolQ and CB are rows of `glue`, COPA is a choice, WiC, MultiRC and ReCoRD have forms of their own.
"""

from collections.abc import Mapping
from typing import Any

from lm_lab.tasks.texts import TextTask

WSC = TextTask("wsc", ("text1", "text2"), ("False", "True"), marked=True, test=(("test", "WSC"),))

# what a class of ours is called there; the names of other classes, and of ReCoRD's entities, are theirs
_WORDS = {
    "boolq": {"False": "false", "True": "true"},
    "wic": {"different": "false", "same": "true"},
}
NAMES = ("boolq", "cb", "copa", "wic", "wsc", "multirc", "record")


def lines(task: str, answers: Mapping[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The objects of a submission's lines: `idx` and `label`, of MultiRC nested as its data are.

    Args:
        task: one of `NAMES`.
        answers: those of the task's `answers`, by example id.
    """
    rows = sorted(answers.items())
    if task == "multirc":
        return _passages([answer for _, answer in rows])
    if task == "record":
        return [{"idx": answer["key"], "label": answer["prediction"]} for _, answer in rows]
    if task == "copa":
        return [{"idx": index, "label": answer["option"]} for index, answer in rows]
    words = _WORDS.get(task, {})
    return [{"idx": index, "label": words.get(a["prediction"], a["prediction"])} for index, a in rows]


def _passages(answers: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line a passage, with its questions and the answers of each."""
    found: dict[int, list[dict[str, Any]]] = {}
    for answer in answers:
        passage, question, options = answer["key"]
        said = [int(share > 0.5) for share in answer["probabilities"]]
        labels = [{"idx": option, "label": label} for option, label in zip(options, said, strict=True)]
        found.setdefault(passage, []).append({"idx": question, "answers": labels})
    return [{"idx": passage, "passage": {"questions": questions}} for passage, questions in found.items()]
