"""Entities in a sequence of BIO or BIOES tags, as CoNLL's script and seqeval count them.

B-x begins an entity of type x and I-x goes on with it; in BIOES, E-x is its last word and S-x its only one. An I-x or
E-x that has nothing of its type to go on with (after O, after E or S, after another type, at the start) begins one, and
an entity without E ends where nothing goes on with it: the lenient reading of conlleval, not seqeval's strict mode.
"""

from collections.abc import Iterable, Sequence

OUTSIDE = "O"
Entity = tuple[str, int, int]  # type, first word, behind the last word


def entities(tags: Sequence[str]) -> set[Entity]:
    """The entities of one sentence; no two of them share a word."""
    starts = [i for i, tag in enumerate(tags) if begins(tags[i - 1] if i else OUTSIDE, tag)]
    return {(kind(tags[start]), start, _end(tags, start)) for start in starts}


def begins(before: str, tag: str) -> bool:
    """Whether an entity begins at `tag`, whose left neighbour is `before`."""
    return tag != OUTSIDE and (tag[0] in "BS" or before[0] in "ES" or kind(before) != kind(tag))


def kind(tag: str) -> str:
    """The type x of B-x; empty for O."""
    return tag.partition("-")[2]


def is_bio(tag: str) -> bool:
    """Whether a tag is O, B-x or I-x."""
    return tag == OUTSIDE or (tag[:2] in ("B-", "I-") and len(tag) > 2)


def is_bioes(tag: str) -> bool:
    """Whether a tag is O, B-x, I-x, E-x or S-x."""
    return is_bio(tag) or (tag[:2] in ("E-", "S-") and len(tag) > 2)


def vocabulary(tags: Iterable[str]) -> tuple[str, ...]:
    """The distinct tags in a fixed order: O, then the others by name."""
    return (OUTSIDE, *sorted(set(tags) - {OUTSIDE}))


def _end(tags: Sequence[str], start: int) -> int:
    end = start + 1
    while end < len(tags) and tags[end] != OUTSIDE and not begins(tags[end - 1], tags[end]):
        end += 1
    return end
