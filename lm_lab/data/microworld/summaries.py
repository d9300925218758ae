"""A text to be written: of three events that are told, the one that is asked for."""

from random import Random
from typing import Any

from lm_lab.data.microworld.lexicon import Words
from lm_lab.data.microworld.reading import three_events

Row = dict[str, Any]


def summary(words: Words, rng: Random, asked: int) -> Row:
    """Ask for a person, tell three events that share no word; the target is that person's, the first in a third."""
    told = three_events(words, rng)
    source = " ".join([f"{told[asked].who} :", *(item.text() for item in told)])
    return {"source": source, "target": told[asked].text()}
