"""Tokens of a corpus: ends of sentences and documents, shards on disk, a build that was stopped."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from lm_lab.backbones import Backbone
from lm_lab.data import store, tokenised
from lm_lab.data.microworld import corpus
from lm_lab.data.microworld import tokenizer as microworld_tokenizer
from lm_lab.data.sentences import ends
from lm_lab.data.store import TokenStore
from lm_lab.data.tokenizers import RECIPES, save, train

Make = Callable[..., Backbone]
TEXTS = [
    "A cat sat. It slept! Then it ate.",
    "他来了。她没来。",
    "one two\tthree four. five",
    "x",
    "Naïve café – 3.5 €. Ok.",
]


@pytest.fixture(params=RECIPES)
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    return AutoTokenizer.from_pretrained(save(train(TEXTS * 3, request.param, 400), tmp_path / "tokenizer"))


def own(tokenizer: object, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[operator]


def test_tokens_are_the_tokenizers_own(tokenizer: object) -> None:
    found = TokenStore.of(tokenised.tokenise(TEXTS, tokenizer))
    for i, text in enumerate(TEXTS):
        segments = text.split("\t")
        expected = [token for segment in segments for token in own(tokenizer, segment)]
        assert found.tokens(*found.bounds[i : i + 2]).tolist() == expected
        assert found.firsts[i] == (len(own(tokenizer, segments[0])) if "\t" in text else -1)


def test_sentences_end_where_their_tokens_do(tokenizer: object) -> None:
    found = TokenStore.of(tokenised.tokenise(TEXTS, tokenizer))
    for i in (0, 1, 4):
        text, places = TEXTS[i], found.sentences[found.documents[i] : found.documents[i + 1] + 1]
        sizes = [len(own(tokenizer, text[:stop])) for stop in ends(text)]
        assert (places[1:] - places[0]).tolist() == sizes


def test_a_long_document_is_tokenised_in_pieces_of_whole_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, text = microworld_tokenizer(), " ".join(text for text in corpus(200) if "\t" not in text)
    whole = tokenised.tokenise([text], tokenizer)
    monkeypatch.setattr(tokenised, "_PIECE", 300)
    pieces = tokenised.tokenise([text], tokenizer)
    assert len(list(tokenised._pieces(text))) > 10
    for a, b in zip(whole, pieces, strict=True):
        assert np.array_equal(a, b)


def test_documents_without_tokens_are_left_out() -> None:
    tokenizer = microworld_tokenizer()
    found = TokenStore.of(tokenised.tokenise(["", "it was good .", "\t", "  "], tokenizer))
    assert len(found) == 1
    assert found.bounds.tolist() == [0, 4]


def test_the_store_on_disk_equals_the_one_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, texts = microworld_tokenizer(), corpus(300)
    monkeypatch.setattr(store, "_SHARD", 3000)
    found, memory = store.build(tmp_path, texts, tokenizer), TokenStore.of(tokenised.tokenise(texts, tokenizer))
    counts = json.loads((tmp_path / "complete.json").read_text())
    assert counts == {"shards": len(found.parts), "documents": 300, "tokens": int(memory.starts[-1])}
    assert counts["shards"] > 3
    assert all(isinstance(part, np.memmap) and part.dtype == np.uint16 for part in found.parts)
    for name in ("sentences", "documents", "firsts"):
        assert np.array_equal(getattr(found, name), getattr(memory, name)), name
    end = int(memory.starts[-1])
    for start, stop in [(0, end), (5, 6), (int(found.starts[1]) - 2, int(found.starts[3]) + 2), (7, 7)]:
        assert np.array_equal(found.tokens(start, stop), memory.tokens(start, stop))
    assert len(store.build(tmp_path, iter(()), tokenizer)) == 300  # nothing is read again


def test_a_build_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, texts, made = microworld_tokenizer(), corpus(300), list[int]()
    monkeypatch.setattr(store, "_SHARD", 3000)
    whole = store.build(tmp_path / "whole", texts, tokenizer)

    def stopped(group: list[str], tokenizer: object) -> tokenised.Shard:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(len(group))
        return tokenised.tokenise(group, tokenizer)

    monkeypatch.setattr(store, "tokenise", stopped)
    with pytest.raises(KeyboardInterrupt):
        store.build(tmp_path / "cut", texts, tokenizer)
    assert not (tmp_path / "cut" / "complete.json").exists()

    def counted(group: list[str], tokenizer: object) -> tokenised.Shard:
        made.append(len(group))
        return tokenised.tokenise(group, tokenizer)

    monkeypatch.setattr(store, "tokenise", counted)
    found = store.build(tmp_path / "cut", texts, tokenizer)
    assert len(made) == len(whole.parts)  # none twice
    assert np.array_equal(found.tokens(0, found.starts[-1]), whole.tokens(0, whole.starts[-1]))


def test_a_part_keeps_documents_and_places() -> None:
    found = TokenStore.of(tokenised.tokenise(corpus(50), microworld_tokenizer()))
    part = found.part(10, 30)
    assert len(part) == 20
    assert part.bounds.tolist() == found.bounds[10:31].tolist()
    assert np.array_equal(part.firsts, found.firsts[10:30])


def test_the_fingerprint_follows_the_tokenizer_and_the_text(make: Make) -> None:
    first, second = microworld_tokenizer(), train(TEXTS)
    assert store.fingerprint(first, ["a"]) == store.fingerprint(microworld_tokenizer(), ["a"])
    assert (
        len({store.fingerprint(first, ["a"]), store.fingerprint(first, ["b"]), store.fingerprint(second, ["a"])}) == 3
    )
