"""Multiple choice: which of four sentences tells the same event."""

from dataclasses import replace
from random import Random
from typing import Any

from lm_lab.data.microworld.lexicon import Words
from lm_lab.data.microworld.sentences import event, synonym, unrelated

Row = dict[str, Any]
OPTIONS = 4


def choice(words: Words, rng: Random, answer: int) -> Row:
    """Tell an event, then four with its person and thing: the right one has synonyms of verb and adjective.

    The others have a verb, an adjective or both that mean something else. Both words of each kind stand in two options,
    so the options without the context tell nothing.
    """
    told = event(words, rng)
    verbs = synonym(told.verb, words.verbs, rng), unrelated(told.verb, words.verbs, rng)
    qualities = words.praise + words.blame
    adjectives = synonym(told.quality, qualities, rng), unrelated(told.quality, qualities, rng)
    others = [(verbs[i], adjectives[j]) for i, j in ((0, 1), (1, 0), (1, 1))]
    rng.shuffle(others)
    pairs = [*others[:answer], (verbs[0], adjectives[0]), *others[answer:]]
    options = [replace(told, verb=verb, quality=quality).text() for verb, quality in pairs]
    return {"context": told.text(), "options": options, "answer": answer}
