"""Phrases and names that rules find."""

import pytest

from lm_lab.data.corpora.chunkers import Chunker, NameChunker, PhraseChunker, chunked
from lm_lab.errors import UsageError


def found(chunker: Chunker, text: str) -> list[str]:
    return [text[start:end] for start, end in chunker(text)]


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("The old sailor was on the high seas.", ["old sailor", "high seas"]),
        ("A well-known sea captain's ship", ["well-known sea captain's"]),  # cut; the last word is no phrase
        ("red, green and blue flags; they don’t wave", ["blue flags"]),
        ("line breaks\nare no end: grey\nmist", ["line breaks", "grey\nmist"]),
        ("first segment\tsecond segment", ["first segment", "second segment"]),
        ("he did n't see it .", []),
        ("", []),
    ],
)
def test_phrases_are_runs_of_content_words(text: str, phrases: list[str]) -> None:
    assert found(PhraseChunker(), text) == phrases


def test_long_runs_are_cut() -> None:
    assert found(PhraseChunker(longest=2), "north sea oil field workers") == ["north sea", "oil field"]
    with pytest.raises(UsageError, match="longest=1: a phrase has at least 2 words"):
        PhraseChunker(longest=1)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("We met Mr. Darcy of New York in London.", ["Mr. Darcy", "New York", "London"]),
        ("Yes. London was cold. The Thames froze.", ["Thames"]),  # a single word that begins a sentence tells nothing
        ('He said: "Paris is far." Rome is not.', ["Paris"]),
        ("Anna Karenina left.", ["Anna Karenina"]),
        ("He saw J. Austen. Emma Woodhouse came", ["J. Austen", "Emma Woodhouse"]),
        ("from London\tParis", ["London", "Paris"]),
    ],
)
def test_names_are_runs_of_capitals(text: str, names: list[str]) -> None:
    assert found(NameChunker(), text) == names


@pytest.mark.parametrize("chunker", [PhraseChunker(), NameChunker()])
def test_spans_come_in_order_and_none_over_another(chunker: Chunker) -> None:
    text = "The Great War of 1914 ended in November 1918 . King George V spoke to large silent crowds . " * 3
    (given,) = chunked([text], chunker)
    places = [place for span in given.spans for place in span]
    assert given.text == text
    assert len(given.spans) > 6
    assert places == sorted(set(places))
