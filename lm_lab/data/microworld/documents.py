"""The pretraining corpus: documents that use the lexicon's words so that their meaning can be learned."""

from collections.abc import Callable
from random import Random

from lm_lab.data.microworld.lexicon import BAD, GLAD, GOOD, KINDS, SAD, Words, lexicon
from lm_lab.data.microworld.pairs import kind_of
from lm_lab.data.microworld.reading import squad
from lm_lab.data.microworld.sentences import agreement, event, opinion, other, retell
from lm_lab.errors import UsageError

SEGMENT = "\t"  # between the two halves of a document that is encoded as a pair of segments


def corpus(sentences: int = 40_000, seed: int = 0) -> list[str]:
    """Return documents of one to four sentences, words and signs separated by spaces.

    A document of two parts, such as a question and the text that answers it, has a tab between them.

    Args:
        sentences: number of documents.
        seed: of what is written; the language itself is always the same.

    Raises:
        UsageError: `sentences` is below 1.
    """
    if sentences < 1:
        raise UsageError(f"sentences={sentences}: a corpus has 1 document or more.")
    rng, words = Random(seed), lexicon()
    kinds = rng.choices(list(DOCUMENTS), weights=list(DOCUMENTS.values()), k=sentences)
    return [kind(words, rng) for kind in kinds]


def _story(words: Words, rng: Random) -> str:
    told, pleased = event(words, rng), rng.random() < 0.5
    reaction = f"{rng.choice(words.names)} {rng.choice(GLAD if pleased else SAD)} ."
    scene = f"{told.who} {told.verb} the {told.noun} ."
    thing = f"the {kind_of(told.noun, words)}" if rng.random() < 0.7 else "it"
    return f"{scene} {opinion(words, rng, pleased=pleased, denied=0.2, of=thing)} {reaction}"


def _review(words: Words, rng: Random) -> str:
    """Join two adjectives of one polarity by `and`, two of opposite polarity by `but not`."""
    pleased = rng.random() < 0.5
    first, second = (words.praise, words.blame) if pleased else (words.blame, words.praise)
    a, b, c = rng.choice(rng.choice(first)), rng.choice(rng.choice(first)), rng.choice(rng.choice(second))
    tail = f"and {b}" if rng.random() < 0.6 else f"but not {c}"
    verdict = rng.choice(GOOD if pleased else BAD)
    noun = rng.choice(words.nouns)
    return f"the {noun.singular} was {a} {tail} . the {noun.kind} was {verdict} ."


def _definition(words: Words, rng: Random) -> str:
    noun = rng.choice(words.nouns)
    if rng.random() < 0.5:
        word, meaning = rng.sample(rng.choice(words.verbs + words.praise + words.blame), 2)
        return f"{word} means {meaning} ."
    return rng.choice(
        (
            f"a {noun.singular} is a {noun.kind} .",
            f"every {noun.singular} is a {noun.kind} .",
            f"{noun.plural} are {noun.kind}s .",
        )
    )


def _observation(words: Words, rng: Random) -> str:
    return agreement(words, rng)


def _retelling(words: Words, rng: Random) -> str:
    told, faithful = event(words, rng), rng.random() < 0.6
    again = retell(told, words, rng, faithful=faithful, repeated=0.5)
    return _exchange(told.text(), again.text(), agreed=faithful)


def _summary(words: Words, rng: Random) -> str:
    told, true = event(words, rng), rng.random() < 0.6
    kind = kind_of(told.noun, words)
    stated = kind if true else other(kind, KINDS, rng)
    return _exchange(told.text(), f"{told.who} {told.verb} a {stated} .", agreed=true)


def _judgement(words: Words, rng: Random) -> str:
    told, pleased, agrees = event(words, rng), rng.random() < 0.5, rng.random() < 0.7
    kind, known = kind_of(told.noun, words), rng.random() < 0.7
    stated = kind if known else other(kind, KINDS, rng)
    premise = f"{told.who} {told.verb} the {told.noun} . {opinion(words, rng, pleased=pleased, denied=0.2)}"
    claim = f"the {stated} was {rng.choice(GOOD if pleased == agrees else BAD)} ."
    return f"{premise}{SEGMENT}{claim} {('yes' if agrees else 'no') if known else 'maybe'} ."


def _question(words: Words, rng: Random) -> str:
    row = squad(words, rng, rng.randrange(3))
    return f"{row['question']} {row['answers']['text'][0]} .{SEGMENT}{row['context']}"


def _exchange(said: str, answered: str, *, agreed: bool) -> str:
    """Join two speakers' sentences and the verdict of the first."""
    return f"{said}{SEGMENT}{answered} {'yes' if agreed else 'no'} ."


DOCUMENTS: dict[Callable[[Words, Random], str], float] = {
    _story: 4,
    _retelling: 3,
    _review: 1,
    _definition: 1,
    _summary: 1.3,
    _observation: 0.7,
    _judgement: 0.6,
    _question: 0.2,
}
