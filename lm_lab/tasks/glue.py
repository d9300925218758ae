"""The GLUE tasks (Wang et al. 2018, https://arxiv.org/abs/1804.07461), SNLI, ChnSentiCorp, and SuperGLUE's BoolQ and CB
in the same form: a row each.

Columns, label ids and splits are those of the hub's `nyu-mll/glue` and `aps/super_glue`.
"""

from collections.abc import Mapping
from statistics import fmean

from lm_lab.errors import UsageError
from lm_lab.metrics import accuracy, f1, f1_macro, matthews, pearson, spearman
from lm_lab.nearest import did_you_mean
from lm_lab.tasks.texts import TextTask

_NLI = ("entailment", "neutral", "contradiction")
_ENTAILMENT = ("entailment", "not_entailment")
_PAIR = ("sentence1", "sentence2")

_ROWS = (
    TextTask("cola", ("sentence",), ("unacceptable", "acceptable"), metrics=(matthews,), test=(("test", "CoLA"),)),
    TextTask("sst2", ("sentence",), ("negative", "positive"), test=(("test", "SST-2"),)),
    TextTask("mrpc", _PAIR, ("not_equivalent", "equivalent"), metrics=(accuracy, f1), test=(("test", "MRPC"),)),
    TextTask("stsb", _PAIR, label_range=(0.0, 5.0), metrics=(pearson, spearman), test=(("test", "STS-B"),)),
    TextTask(
        "qqp",
        ("question1", "question2"),
        ("not_duplicate", "duplicate"),
        metrics=(accuracy, f1),
        test=(("test", "QQP"),),
    ),
    TextTask(
        "mnli",
        ("premise", "hypothesis"),
        _NLI,
        validation=("validation_matched", "validation_mismatched"),
        test=(("test_matched", "MNLI-m"), ("test_mismatched", "MNLI-mm")),
    ),
    TextTask("qnli", ("question", "sentence"), _ENTAILMENT, test=(("test", "QNLI"),)),
    TextTask("rte", _PAIR, _ENTAILMENT, test=(("test", "RTE"),)),
    TextTask("wnli", _PAIR, ("not_entailment", "entailment"), test=(("test", "WNLI"),)),
    TextTask(
        "ax", ("premise", "hypothesis"), _NLI, metrics=(matthews,), train="", validation=(), test=(("test", "AX"),)
    ),
    TextTask("snli", ("premise", "hypothesis"), _NLI, test=(("test", "SNLI"),)),
    TextTask("boolq", ("question", "passage"), ("False", "True"), test=(("test", "BoolQ"),)),
    TextTask(
        "cb",
        ("premise", "hypothesis"),
        ("entailment", "contradiction", "neutral"),
        metrics=(accuracy, f1_macro),
        test=(("test", "CB"),),
    ),
    TextTask("chnsenticorp", ("text",), ("negative", "positive"), test=(("test", "ChnSentiCorp"),)),
)

TASKS: dict[str, TextTask] = {task.name: task for task in _ROWS}

# Tasks whose submission holds class ids; the others hold the words.
SUBMITTED_AS_ID = frozenset({"cola", "sst2", "mrpc", "qqp", "wnli"})

# AX is a diagnostic set; SNLI, ChnSentiCorp, BoolQ and CB are not part of GLUE.
AVERAGED = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")


def glue_task(name: str) -> TextTask:
    """The row called `name`. Raises `UsageError` that lists the rows there are."""
    if name not in TASKS:
        listed = f"; the tasks are: {', '.join(TASKS)}."
        raise UsageError(f"unknown task '{name}'{did_you_mean(name, TASKS) or listed}")
    return TASKS[name]


def glue_average(scores: Mapping[str, float]) -> float:
    """GLUE's number: the mean of the nine tasks' scores, each the mean of its own metrics (MNLI: of both sets).

    Raises:
        UsageError: naming the tasks that are missing.
    """
    missing = [name for name in AVERAGED if name not in scores]
    if missing:
        raise UsageError(f"the GLUE average needs all nine tasks; missing: {', '.join(missing)}.")
    return fmean(scores[name] for name in AVERAGED)
