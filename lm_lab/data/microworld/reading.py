"""Reading comprehension as SQuAD has it: the answer is a span of the context."""

from random import Random
from typing import Any

from lm_lab.data.microworld.lexicon import Words
from lm_lab.data.microworld.sentences import Event

Row = dict[str, Any]


def squad(words: Words, rng: Random, asked: int) -> Row:
    """Tell three events that share no word and ask for one's person (0), thing (1) or place (2)."""
    told = three_events(words, rng)
    about = rng.choice(told)
    question, answer = ask(about, asked)
    context = " ".join(item.text() for item in told)
    start = context.split().index(answer)
    answers = {"text": [answer], "answer_start": [len(" ".join([*context.split()[:start], ""]))]}
    return {"title": "microworld", "context": context, "question": question, "answers": answers}


def ask(about: Event, asked: int) -> tuple[str, str]:
    """Return a question on an event and its answer."""
    questions = (
        (f"who {about.verb} the {about.noun} ?", about.who),
        (f"what was it that {about.who} {about.verb} ?", about.noun),
        (f"where was it that {about.who} {about.verb} the {about.noun} ?", about.place),
    )
    return questions[asked]


def three_events(words: Words, rng: Random) -> list[Event]:
    """Return three events that share no word."""
    who, places, verbs = rng.sample(words.names, 3), rng.sample(words.places, 3), rng.sample(words.verbs, 3)
    nouns = rng.sample(words.nouns, 3)
    return [Event(who[i], rng.choice(verbs[i]), "", nouns[i].singular, places[i]) for i in range(3)]
