"""Tagging as WNUT has it: persons, places and things, each a span of words."""

from random import Random
from typing import Any

from lm_lab.data.microworld.lexicon import Words
from lm_lab.data.microworld.sentences import opinion

Row = dict[str, Any]
Span = tuple[str, str]  # words, and the type of what they name; none for words between


def tags(words: Words, rng: Random, form: int) -> Row:
    """Write a sentence with its tags; an adjective belongs to a thing only where it stands before it.

    The forms: who did what to which things where (0); one thing, person or place near another (1); two who did
    something (2). In the last two any type may stand in a slot, so a word's place does not tell its type.
    """
    spans = (_event, _near, _meeting)[form](words, rng)
    pairs = [pair for text, kind in spans for pair in _tagged(text, kind)]
    return {"tokens": [word for word, _ in pairs], "tags": [tag for _, tag in pairs]}


def _event(words: Words, rng: Random) -> list[Span]:
    spans = [_person(words, rng), _verb(words, rng), ("the", ""), _thing(words, rng)]
    if rng.random() < 0.5:
        spans += [("and the", ""), _thing(words, rng)]
    if rng.random() < 0.5:
        spans += [("in", ""), _place(words, rng)]
    return [*spans, (".", ""), (opinion(words, rng, pleased=rng.random() < 0.5), "")]


def _near(words: Words, rng: Random) -> list[Span]:
    return [*_any(words, rng), (rng.choice(("is near", "was near", "is not near")), ""), *_any(words, rng), (".", "")]


def _meeting(words: Words, rng: Random) -> list[Span]:
    return [*_any(words, rng), ("and", ""), *_any(words, rng), _verb(words, rng), *_any(words, rng), (".", "")]


def _any(words: Words, rng: Random) -> list[Span]:
    """A person, a place or a thing; a thing has an article."""
    draw = rng.choice((_person, _place, _thing))
    return [*([("the", "")] if draw is _thing else []), draw(words, rng)]


def _person(words: Words, rng: Random) -> Span:
    return rng.choice(words.names), "person"


def _place(words: Words, rng: Random) -> Span:
    return rng.choice(words.places), "place"


def _thing(words: Words, rng: Random) -> Span:
    """A noun, with one adjective or two in front of it half the time."""
    adjectives = [rng.choice(rng.choice(words.praise + words.blame)) for _ in range(rng.choice((0, 0, 1, 2)))]
    return " ".join([*adjectives, rng.choice(words.nouns).singular]), "thing"


def _verb(words: Words, rng: Random) -> Span:
    return rng.choice(rng.choice(words.verbs)), ""


def _tagged(text: str, kind: str) -> list[tuple[str, str]]:
    return [(word, f"{'I' if place else 'B'}-{kind}" if kind else "O") for place, word in enumerate(text.split())]
