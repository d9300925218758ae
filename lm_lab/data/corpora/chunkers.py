"""Phrases and names of a text found without a tagger: rules of a line, good enough to hide them whole.

    phrase: content words side by side, as between the stop words of RAKE (Rose et al. 2010, in: Text Mining,
            Applications and Theory, https://doi.org/10.1002/9780470689646.ch1)
    name:   capitalised words side by side; a single one that begins a sentence is none

White space stands between two words of one span, and no tab, which separates segments; in a name the full stop of a
title or an initial too (`Mr. Darcy`).
"""

import re
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile

from lm_lab.data.corpora.annotated import AnnotatedText
from lm_lab.data.corpora.sentences import ends
from lm_lab.errors import UsageError

_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_SPACE = re.compile(r"[^\S\t]+")
_SPACE_OR_STOP = re.compile(r"\.?[^\S\t]+")
_FUNCTION_WORDS = frozenset(
    """
    a an the this that these those some any no every each either neither both all half such what which whose whatever
    whichever another other others same many much more most few fewer less least several enough own one ones
    i me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its itself we us
    our ours ourselves they them their theirs themselves who whom someone somebody something anyone anybody anything
    everyone everybody everything nobody nothing none
    about above across after against along among around as at before behind below beneath beside besides between beyond
    by despite down during except for from in inside into like near of off on onto out outside over past per since
    than through throughout till to toward towards under until unto up upon via with within without
    and or but nor so yet if unless because although though while whereas whether lest
    am is are was were be been being do does did done doing have has had having can could may might must shall should
    will would ought
    not never there here then thus hence when where why how again also too very just only even still ever now quite
    rather almost already always often once perhaps indeed however therefore else yes oh
    s t d ll m re ve n't don't didn't doesn't isn't aren't wasn't weren't won't wouldn't can't cannot couldn't shouldn't
    hasn't haven't hadn't i'm i've i'll i'd it's that's he's she's you're you've you'll we're we've we'll they're
    they've they'll there's let's
    """.split()  # noqa: SIM905
)


class Chunker(ABC):
    """Finds spans of characters in a text. Its `repr` says all that it depends on: tokens are cached under it."""

    @abstractmethod
    def __call__(self, text: str) -> list[tuple[int, int]]:
        """Return the spans [start, end) of a text, in order, none over another."""


@dataclass(frozen=True)
class PhraseChunker(Chunker):
    """English phrases: runs of words that are no function words; longer ones are cut.

    Args:
        longest: words in a phrase, at least 2.

    Raises:
        UsageError: if `longest` is below 2.
    """

    longest: int = 3

    def __post_init__(self) -> None:
        if self.longest < 2:
            raise UsageError(f"longest={self.longest}: a phrase has at least 2 words.")

    def __call__(self, text: str) -> list[tuple[int, int]]:
        """Runs of two content words or more."""
        words = (match for match in _WORD.finditer(text) if _is_content(match))
        cut = [
            run[first : first + self.longest]
            for run in _runs(words, text, _SPACE)
            for first in range(0, len(run), self.longest)
        ]
        return [(phrase[0].start(), phrase[-1].end()) for phrase in cut if len(phrase) > 1]


@dataclass(frozen=True)
class NameChunker(Chunker):
    """Names in scripts with capitals: runs of capitalised words. The corpus keeps its case; the tokenizer need not."""

    def __call__(self, text: str) -> list[tuple[int, int]]:
        """Runs of capitalised words, without the function words that begin them."""
        words = (match for match in _WORD.finditer(text) if match[0][0].isupper())
        stops = ends(text)
        names = []
        for run in _runs(words, text, _SPACE_OR_STOP, stops):
            name = list(dropwhile(lambda word: not _is_content(word), run))
            if len(name) > 1 or (name and not _begins_sentence(text, name[0].start(), stops)):
                names.append((name[0].start(), name[-1].end()))
        return names


def chunked(texts: Iterable[str], chunker: Chunker) -> Iterator[AnnotatedText]:
    """Texts with the spans that a chunker finds in them."""
    return (AnnotatedText(text, tuple(chunker(text))) for text in texts)


def _is_content(word: re.Match[str]) -> bool:
    return word[0].lower().replace("’", "'") not in _FUNCTION_WORDS


def _runs(
    words: Iterable[re.Match[str]], text: str, gap: re.Pattern[str], stops: Sequence[int] = ()
) -> Iterator[list[re.Match[str]]]:
    """Group words that have nothing but a gap between them, and none of the stops."""
    run = list[re.Match[str]]()
    for word in words:
        if run:
            begin, end = run[-1].end(), word.start()
            if not gap.fullmatch(text, begin, end) or bisect_left(stops, begin) < bisect_left(stops, end):
                yield run
                run = []
        run.append(word)
    if run:
        yield run


def _begins_sentence(text: str, start: int, stops: Sequence[int]) -> bool:
    """Whether no word stands between this one and the end of the sentence before."""
    place = bisect_left(stops, start)
    # no slice: in a text without stops it would be copied for every name
    return not any(text[i].isalnum() for i in range(stops[place - 1] if place else 0, start))
