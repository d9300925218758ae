"""The words of the microworld, what they mean, and which of them each split may use.

Content words are invented and their spelling says nothing about their meaning: what kind of thing a `noun`
names, whether an adjective praises or blames and which verbs mean the same can only be learned from
how the corpus uses them. Function words and the names of the kinds are English, so sentences read.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

T = TypeVar("T")
Synonyms = tuple[tuple[str, ...], ...]  # sets of words that mean the same

SPLITS = ("train", "validation", "test")
KINDS = ("beast", "plant", "tool", "garment")
GOOD = ("good", "fine", "lovely")  # what every praising adjective implies
BAD = ("bad", "poor", "awful")
GLAD = ("smiled", "cheered", "danced", "sang")
SAD = ("frowned", "wept", "sighed", "groaned")
ACTIONS = (("sleeps", "sleep"), ("waits", "wait"), ("falls", "fall"), ("moves", "move"), ("shines", "shine"))

_NOUNS_PER_KIND, _NAMES, _PLACES, _SYNONYMS = 12, 12, 12, 8
_PRAISE, _BLAME, _VERBS = 3, 3, 4  # sets of synonyms
_LEXICON_SEED = 2018  # fixed: corpora and tasks drawn with any seed speak the same language
_ONSETS = ("bl", "br", "dr", "fl", "fr", "gl", "gr", "kl", "kr", "pl", "pr", "skr", "sn", "spr", "tr", "vl", "vr", "zl")
_FRACTIONS = {"train": (0.0, 0.5), "validation": (0.5, 0.75), "test": (0.75, 1.0)}


@dataclass(frozen=True)
class Noun:
    """A countable noun: its two forms and the kind of thing it names."""

    singular: str
    plural: str
    kind: str


@dataclass(frozen=True)
class Words:
    """Content words to write with; each set of adjectives or verbs holds words that mean the same."""

    nouns: tuple[Noun, ...]
    names: tuple[str, ...]
    places: tuple[str, ...]
    praise: Synonyms
    blame: Synonyms
    verbs: Synonyms


@cache
def lexicon() -> Words:
    """Return every content word of the language."""
    stems = _stems()
    return Words(
        nouns=tuple(_noun(next(stems), kind) for kind in KINDS for _ in range(_NOUNS_PER_KIND)),
        names=tuple(next(stems) + "in" for _ in range(_NAMES)),
        places=tuple(next(stems) + "ton" for _ in range(_PLACES)),
        praise=_synonyms(stems, "ish", _PRAISE),
        blame=_synonyms(stems, "ish", _BLAME),
        verbs=_synonyms(stems, "ed", _VERBS),
    )


@cache
def words_of(split: str) -> Words:
    """Return the content words of one split: half the lexicon trains, a quarter each validates and tests.

    The three sets are disjoint, so a validation row is never seen in training, nor is any content word in it.
    """
    everything = lexicon()
    by_kind = [[n for n in everything.nouns if n.kind == kind] for kind in KINDS]
    return Words(
        nouns=tuple(noun for nouns in by_kind for noun in _share(nouns, split)),
        names=_share(everything.names, split),
        places=_share(everything.places, split),
        praise=tuple(_share(words, split) for words in everything.praise),
        blame=tuple(_share(words, split) for words in everything.blame),
        verbs=tuple(_share(words, split) for words in everything.verbs),
    )


def _share(words: Sequence[T], split: str) -> tuple[T, ...]:
    start, stop = _FRACTIONS[split]
    return tuple(words[int(start * len(words)) : int(stop * len(words))])


def _synonyms(stems: Iterator[str], ending: str, sets: int) -> Synonyms:
    return tuple(tuple(next(stems) + ending for _ in range(_SYNONYMS)) for _ in range(sets))


def _noun(stem: str, kind: str) -> Noun:
    return Noun(stem + "o", stem + "os", kind)


def _stems() -> Iterator[str]:
    stems = sorted(onset + vowel + coda for onset in _ONSETS for vowel in "aeiou" for coda in "bdfklmnprvz")
    random.Random(_LEXICON_SEED).shuffle(stems)
    return iter(stems)
