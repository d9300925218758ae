"""Tasks on two sentences: paraphrase (MRPC), graded similarity (STS-B) and entailment (RTE, MNLI)."""

from dataclasses import replace
from random import Random
from typing import Any

from lm_lab.data.microworld.lexicon import BAD, GOOD, KINDS, Synonyms, Words
from lm_lab.data.microworld.sentences import (
    Event,
    belongs,
    event,
    opinion,
    other,
    retell,
    synonym,
    unrelated,
)

Row = dict[str, Any]
ENTAILMENT, NEUTRAL = 0, 1  # 2 is contradiction


def mrpc(words: Words, rng: Random, label: int) -> Row:
    """Tell an event twice: a paraphrase (1) replaces words by their synonyms alone, the other (0) does not."""
    told = event(words, rng)
    again = retell(told, words, rng, faithful=label == 1)
    return {"sentence1": told.text(), "sentence2": again.text(), "label": label}


def stsb(words: Words, rng: Random, label: int) -> Row:
    """Tell two events that are alike from 0 to 5: 1.5 for verb and adjective, 1 for the thing, 0.5 for who and where.

    Verb and adjective are never repeated: a synonym counts in full, an adjective of the same polarity half, as
    does a thing of the same kind. `label` asks for neither (0), the verb (1), the adjective (2) or both (3) to
    agree; who, where and the thing agree in half the rows whatever the label, so shared words tell little.
    """
    told = replace(event(words, rng), place=rng.choice(words.places))
    agreeing = {slot for slot in ("who", "noun", "place") if rng.random() < 0.5}
    agreeing.update(((), ("verb",), ("quality",), ("verb", "quality"))[label])
    again = _differ(told, words, rng, agreeing)
    return {"sentence1": told.text(), "sentence2": again.text(), "label": _alike(told, again, words)}


def rte(words: Words, rng: Random, label: int) -> Row:
    """State an event, then less of it: the thing's kind (0, entailed) or another kind (1, not entailed)."""
    told = event(words, rng)
    kind = kind_of(told.noun, words)
    general = f"{told.who} {told.verb} a {other(kind, KINDS, rng) if label else kind} ."
    return {"sentence1": told.text(), "sentence2": general, "label": label}


def mnli(words: Words, rng: Random, label: int) -> Row:
    """State an opinion of a thing, then of a kind: it follows (0), is of another kind (1) or is denied (2)."""
    scene, thought, hypothesis = _claim(words, rng, label)
    return {"premise": f"{scene} . {thought}", "hypothesis": hypothesis, "label": label}


def mnli_mismatched(words: Words, rng: Random, label: int) -> Row:
    """Write an MNLI row in another genre: someone reports the premise, the opinion first."""
    scene, thought, hypothesis = _claim(words, rng, label)
    premise = f"{rng.choice(words.names)} said {thought.removesuffix(' .')} : {scene} ."
    return {"premise": premise, "hypothesis": hypothesis, "label": label}


def kind_of(noun: str, words: Words) -> str:
    """Return the kind of thing a singular noun names."""
    return next(candidate.kind for candidate in words.nouns if candidate.singular == noun)


def _claim(words: Words, rng: Random, label: int) -> tuple[str, str, str]:
    told, pleased = event(words, rng), rng.random() < 0.5
    kind = kind_of(told.noun, words)
    stated = other(kind, KINDS, rng) if label == NEUTRAL else kind
    agrees = rng.random() < 0.5 if label == NEUTRAL else label == ENTAILMENT
    verdict = rng.choice(GOOD if pleased == agrees else BAD)
    scene = f"{told.who} {told.verb} the {told.noun}"
    return scene, opinion(words, rng, pleased=pleased), f"the {stated} was {verdict} ."


def _differ(told: Event, words: Words, rng: Random, agreeing: set[str]) -> Event:
    adjectives = words.praise if belongs(told.quality, words.praise) else words.blame
    same = {"verb": synonym(told.verb, words.verbs, rng), "quality": synonym(told.quality, adjectives, rng)}
    different = {
        "who": other(told.who, words.names, rng),
        "verb": unrelated(told.verb, words.verbs, rng),
        "quality": unrelated(told.quality, words.praise + words.blame, rng),
        "noun": other(told.noun, [noun.singular for noun in words.nouns], rng),
        "place": other(told.place, words.places, rng),
    }
    kept = {slot: word for slot, word in same.items() if slot in agreeing}
    changed = {slot: word for slot, word in different.items() if slot not in agreeing}
    return replace(told, **kept, **changed)


def _alike(a: Event, b: Event, words: Words) -> float:
    same_polarity = belongs(a.quality, words.praise) == belongs(b.quality, words.praise)
    same_quality = _same(a.quality, b.quality, words.praise + words.blame)
    same_kind = kind_of(a.noun, words) == kind_of(b.noun, words)
    verb = 1.5 * _same(a.verb, b.verb, words.verbs)
    quality = 1.5 if same_quality else 0.75 * same_polarity
    noun = 1.0 if a.noun == b.noun else 0.5 * same_kind
    return verb + quality + noun + 0.5 * (a.who == b.who) + 0.5 * (a.place == b.place)


def _same(a: str, b: str, sets: Synonyms) -> bool:
    return any(a in words and b in words for words in sets)
