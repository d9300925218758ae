"""The settings of a user's own texts: columns, ranges, metrics, the class that F1 is of, weights of classes."""

from collections.abc import Mapping, Sequence
from typing import Literal

from lm_lab.data.limits import finite
from lm_lab.data.reading.labels import Label, key, second, word
from lm_lab.errors import UsageError
from lm_lab.metrics import Metric, accuracy, f1, f1_macro, f1_micro, f1_weighted, matthews, pearson, spearman

METRICS: dict[str, Metric] = {
    metric.__name__: metric for metric in (accuracy, f1, matthews, f1_macro, f1_micro, f1_weighted, pearson, spearman)
}
_GRADED = ("pearson", "spearman")
COLUMNS = {"sentence": "sentence", "label": "label"}
_FORM = {"sentence", "sentence2", "label", "idx"}
Range = tuple[float, float]
Weights = Literal["balanced"] | dict[Label, float]


def known_columns(columns: Mapping[str, str] | None) -> dict[str, str]:
    """The form's columns with their names in the data. Raises `UsageError` for one that it has not."""
    if unknown := set(columns or ()) - _FORM:
        raise UsageError(f"columns: {min(unknown)!r} is none of this form's; it has {', '.join(sorted(_FORM))}.")
    return COLUMNS | dict(columns or {})


def two(words: tuple[str, ...], origin: str) -> tuple[str, ...]:
    """The classes of a training split. Raises `UsageError` if there are fewer than two."""
    if len(words) < 2:
        raise UsageError(
            f"{origin}, column 'label': {', '.join(words) or 'nothing'} is all there is; expected two classes or more, "
            "or numbers that are not whole, or label_range, for a graded score. -1 is read as no label, unless "
            "`labels` names it."
        )
    return words


def positive_class(positive: Label | None, words: Sequence[str], metrics: Sequence[str]) -> str | None:
    """The class that F1 is of. Raises `UsageError` if it is not the second, or F1 is of no class."""
    if positive is None:
        if "f1" in metrics and len(words) > 2:
            raise UsageError(
                f"metrics: f1 is of one class, and there are {', '.join(words)}; name it (positive), or take f1_macro, "
                "f1_micro or f1_weighted."
            )
        return None
    if "f1" not in metrics:
        raise UsageError(f"positive='{positive}' is the class that f1 is of; add f1 to metrics.")
    if second(words, positive) != tuple(words):
        raise UsageError(
            f"positive='{positive}': f1 is of the second class; give it second: labels {', '.join(words)}."
        )
    return words[1]


def bounds(label_range: Range | None) -> Range | None:
    """The range that a user gives."""
    if label_range is None:
        return None
    low, high = label_range
    finite(lowest=low, highest=high)
    if low >= high:
        raise UsageError(f"label_range=[{low:g}, {high:g}]: expected the lowest score, then a higher one.")
    return float(low), float(high)


def metrics_by_name(names: Sequence[str] | None, graded: bool) -> tuple[Metric, ...]:
    """The metrics of these names. Raises `UsageError` for one that does not fit."""
    names = names or (_GRADED if graded else ("accuracy",))
    if wrong := [name for name in names if name not in METRICS or (name in _GRADED) != graded]:
        fitting: Mapping[bool, Sequence[str]] = {
            True: _GRADED,
            False: [name for name in METRICS if name not in _GRADED],
        }
        kind = "a graded score" if graded else "classes"
        raise UsageError(f"metrics: {wrong[0]!r} is none for {kind}; choose from {', '.join(fitting[graded])}.")
    return tuple(METRICS[name] for name in names)


def weights(given: Weights | None, labels: Sequence[str], counts: Sequence[int] | None) -> tuple[float, ...]:
    """A weight for each class, () for none.

    Args:
        given: the setting.
        labels: class words; none for a score.
        counts: training rows of each class, for "balanced".
    """
    if given is None:
        return ()
    if not labels:
        raise UsageError(f"class_weights={given}: a score has no classes.")
    if counts is not None:
        if 0 in counts:
            raise UsageError(f"class_weights=balanced: no training row is '{labels[list(counts).index(0)]}'.")
        return tuple(sum(counts) / (len(labels) * count) for count in counts)
    assert isinstance(given, Mapping), given
    found = {key(word(label) or ""): float(weight) for label, weight in given.items()}
    if unknown := set(found) - {key(label) for label in labels}:
        raise UsageError(
            f"class_weights: '{min(unknown)}' is none of the classes {', '.join(labels)} (YAML: quote words)."
        )
    return tuple(found.get(key(label), 1.0) for label in labels)
