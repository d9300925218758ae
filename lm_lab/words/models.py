"""Which vectors, with the settings of each as its paper or program has them."""

from dataclasses import dataclass, fields
from typing import ClassVar

from lm_lab.errors import UsageError


@dataclass(frozen=True)
class Model:
    """What all have.

    Args:
        size: dimensions of a vector.
        window: words to either side that count as context, at most.
        min_count: occurrences below which a word is left out.
        epochs: passes over the text.
        rate: learning rate at the start.
        seed: of everything that is drawn.

    Raises:
        UsageError: a number out of range.
    """

    name: ClassVar[str]
    size: int = 100
    window: int = 5
    min_count: int = 5
    epochs: int = 5
    rate: float = 0.025
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, (above, least, most) = getattr(self, field.name), _RANGES.get(field.name, (False, 1, 2**31))
            if not (value > least if above else value >= least) or value > most:
                low = f"more than {least}" if above else f"{least} or more"
                raise UsageError(f"{field.name}={value}: expected {low}, at most {most}.")


# whether a number is above the least, the least, the most
_RANGES: dict[str, tuple[bool, float, float]] = {
    "size": (False, 1, 10_000), "window": (False, 1, 1000), "rate": (True, 0, 10), "seed": (False, 0, 2**63),
    "negatives": (False, 0, 1000), "subsample": (False, 0, 1), "noise": (False, 0, 1), "x_max": (True, 0, 1e9),
    "power": (False, 0, 10), "longest": (False, 1, 100),
}  # fmt: skip


@dataclass(frozen=True)
class SkipGram(Model):
    """Each word of a window predicts its middle (Mikolov et al. 2013, https://arxiv.org/abs/1310.4546).

    Args:
        negatives: words drawn as noise for a window; 0 for a hierarchical softmax in their place.
        subsample: t; a word of share f is kept with probability sqrt(t / f) + t / f; 0 keeps all.
        noise: power of the counts that noise is drawn by.
    """

    name = "skip_gram"
    negatives: int = 5
    subsample: float = 1e-3
    noise: float = 0.75


@dataclass(frozen=True)
class CBOW(SkipGram):
    """A window's mean predicts its middle; arguments as of `SkipGram`."""

    name = "cbow"
    rate: float = 0.05


@dataclass(frozen=True)
class FastText(SkipGram):
    """A word's n-grams predict each word of its window (Bojanowski et al. 2017, https://arxiv.org/abs/1607.04606).

    Args:
        shortest, longest: characters of an n-gram.
        buckets: rows that n-grams are hashed into.
    """

    name = "fasttext"
    rate: float = 0.05
    subsample: float = 1e-4
    noise: float = 0.5
    shortest: int = 3
    longest: int = 6
    buckets: int = 2_000_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.longest < self.shortest:
            raise UsageError(f"longest={self.longest}: expected {self.shortest} or more, as the shortest n-gram has.")
        if not self.negatives:
            raise UsageError("negatives=0: fasttext has no hierarchical softmax here; expected 1 or more.")


@dataclass(frozen=True)
class GloVe(Model):
    """Products of vectors are logarithms of how often words meet (Pennington et al. 2014, https://aclanthology.org/D14-1162).

    Args:
        x_max, power: a pair that meets x times weighs min(1, (x / x_max)^power); x_max is 100 for billions of words.
    """

    name = "glove"
    window: int = 15
    epochs: int = 15
    rate: float = 0.05
    x_max: float = 10.0
    power: float = 0.75


MODELS: dict[str, type[Model]] = {kind.name: kind for kind in (SkipGram, CBOW, GloVe, FastText)}
