"""Sentences of the microworld: an event, what was thought of it, and how number agrees.

Everything here is written in lower case with a space around each sign, one word one token. Functions take
the words they may use and a seeded `random.Random`, so the corpus and every task draw from the same grammar.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from lm_lab.data.microworld.lexicon import ACTIONS, Synonyms, Words

T = TypeVar("T")


@dataclass(frozen=True)
class Event:
    """Someone did something to a thing somewhere."""

    who: str
    verb: str
    quality: str
    noun: str
    place: str = ""

    def text(self) -> str:
        """Write the event as a sentence."""
        thing = f"the {self.quality} {self.noun}" if self.quality else f"the {self.noun}"
        return f"{self.who} {self.verb} {thing}{f' in {self.place}' if self.place else ''} ."


def event(words: Words, rng: Random) -> Event:
    """Draw an event: an adjective of either polarity, a verb, a thing, and a person."""
    adjectives = words.praise if rng.random() < 0.5 else words.blame
    return Event(
        who=rng.choice(words.names),
        verb=rng.choice(rng.choice(words.verbs)),
        quality=rng.choice(rng.choice(adjectives)),
        noun=rng.choice(words.nouns).singular,
    )


def retell(told: Event, words: Words, rng: Random, *, faithful: bool, repeated: float = 0.0) -> Event:
    """Tell an event again with verb and adjective replaced: by synonyms, or by words that mean something else.

    Faithful or not, as many words are shared. With probability `repeated` a faithful word is not replaced.
    An unfaithful adjective keeps its polarity.
    """
    adjectives = words.praise if belongs(told.quality, words.praise) else words.blame
    replaced = {}
    for slot, word, sets in (("verb", told.verb, words.verbs), ("quality", told.quality, adjectives)):
        same = word if rng.random() < repeated else synonym(word, sets, rng)
        replaced[slot] = same if faithful else unrelated(word, sets, rng)
    return replace(told, **replaced)


def opinion(words: Words, rng: Random, *, pleased: bool, denied: float = 0.4, of: str = "it") -> str:
    """Write what someone thinks of a thing: praise, or blame denied, when pleased; else the opposite."""
    negated = rng.random() < denied
    adjective = rng.choice(rng.choice(words.praise if pleased != negated else words.blame))
    return f"{of} was {'not ' if negated else ''}{adjective} ."


def agreement(words: Words, rng: Random, *, correct: bool = True) -> str:
    """Write a sentence whose verb or determiner agrees in number with its noun, or fails to.

    Another noun of either number stands between subject and verb half the time.
    """
    plural, noun = rng.random() < 0.5, rng.choice(words.nouns)
    subject, number = noun.plural if plural else noun.singular, int(plural == correct)
    if rng.random() < 0.3:
        determiner = rng.choice((("this", "these"), ("that", "those")))[number]
        verb = rng.choice(rng.choice(words.verbs))
        return f"{rng.choice(words.names)} {verb} {determiner} {subject} in {rng.choice(words.places)} ."
    near = rng.choice(words.nouns)
    between = f" near the {rng.choice((near.singular, near.plural))}" if rng.random() < 0.5 else ""
    return f"the {subject}{between} {_predicate(words, rng, number)} ."


def _predicate(words: Words, rng: Random, number: int) -> str:
    if rng.random() < 0.4:
        return f"{rng.choice(ACTIONS)[number]} in {rng.choice(words.places)}"
    adjective = rng.choice(rng.choice(words.praise + words.blame))
    return f"{rng.choice((('is', 'are'), ('was', 'were')))[number]} {adjective}"


def synonym(word: str, sets: Synonyms, rng: Random) -> str:
    """Return another word that means the same."""
    return other(word, next(words for words in sets if word in words), rng)


def unrelated(word: str, sets: Synonyms, rng: Random) -> str:
    """Return a word that means something else."""
    return rng.choice(rng.choice([words for words in sets if word not in words]))


def belongs(word: str, sets: Synonyms) -> bool:
    """Say whether the word is in any of the sets."""
    return any(word in words for words in sets)


def other(item: T, items: Sequence[T], rng: Random) -> T:
    """Return one of the items that is not this one."""
    return rng.choice([candidate for candidate in items if candidate != item])
