"""Tasks on one sentence: is it well formed (as CoLA asks), is it favourable (as SST-2 asks)."""

from random import Random
from typing import Any

from lm_lab.data.microworld.lexicon import Words
from lm_lab.data.microworld.sentences import agreement, event, opinion

Row = dict[str, Any]


def cola(words: Words, rng: Random, label: int) -> Row:
    """Write an acceptable (1) or unacceptable (0) sentence: number agreement, or the order of two words."""
    if rng.random() < 0.75:
        return {"sentence": agreement(words, rng, correct=label == 1), "label": label}
    told = event(words, rng)
    order = (told.quality, told.noun) if label else (told.noun, told.quality)
    sentence = f"{told.who} {told.verb} the {' '.join(order)} ."
    return {"sentence": sentence, "label": label}


def sst2(words: Words, rng: Random, label: int) -> Row:
    """Write an event and a favourable (1) or unfavourable (0) opinion of it, denied in two of five."""
    told = event(words, rng)
    scene = f"{told.who} {told.verb} the {told.noun} ."
    return {"sentence": f"{scene} {opinion(words, rng, pleased=label == 1)}", "label": label}
