"""The metrics, once: pure functions of predictions (n,) or (n, k) and labels (n,), in numpy.

The same function scores an epoch, a record, and each of the thousands of resamples of a report. Nothing here knows
torch: a report is made without it.
"""

import math

from lm_lab.metrics.arrays import Array, Metric
from lm_lab.metrics.classes import accuracy, f1, f1_macro, f1_micro, f1_weighted, matthews, subset_accuracy
from lm_lab.metrics.correlations import pearson, spearman
from lm_lab.metrics.counts import (
    answer_f1,
    entity_f1,
    entity_precision,
    entity_recall,
    exact_match,
    has_answer_exact,
    has_answer_f1,
    no_answer_accuracy,
    node_accuracy,
    option_f1,
    question_exact,
    root_accuracy,
    rouge1,
    rouge2,
    rougeL,
    token_accuracy,
)

__all__ = [
    "METRICS",
    "Array",
    "Metric",
    "accuracy",
    "answer_f1",
    "entity_f1",
    "entity_precision",
    "entity_recall",
    "exact_match",
    "f1",
    "f1_macro",
    "f1_micro",
    "f1_weighted",
    "has_answer_exact",
    "has_answer_f1",
    "lowest",
    "matthews",
    "no_answer_accuracy",
    "node_accuracy",
    "option_f1",
    "pearson",
    "question_exact",
    "root_accuracy",
    "rouge1",
    "rouge2",
    "rougeL",
    "score",
    "spearman",
    "subset_accuracy",
    "token_accuracy",
]
METRICS: dict[str, Metric] = {
    metric.__name__: metric
    for metric in (
        *(accuracy, f1, f1_macro, f1_weighted, f1_micro, subset_accuracy, matthews, pearson, spearman),
        *(exact_match, answer_f1, has_answer_exact, has_answer_f1, no_answer_accuracy),
        *(
            entity_f1,
            entity_precision,
            entity_recall,
            token_accuracy,
            root_accuracy,
            node_accuracy,
            option_f1,
            question_exact,
            rouge1,
            rouge2,
            rougeL,
        ),
    )
}


def lowest(name: str) -> float:
    """The least that a metric can be: -1 of correlations, 0 of any other; the most is 1. `name` may have a suffix."""
    return -1.0 if name.startswith(("matthews", "pearson", "spearman")) else 0.0


def score(metric: Metric, predictions: Array, labels: Array) -> float:
    """The value of a metric; an undefined correlation (constant predictions) counts as 0: it ranks nothing."""
    value = metric(predictions, labels)
    return 0.0 if math.isnan(value) else value
