"""Tokens of a corpus: ends of sentences and documents, shards on disk, a build that was stopped."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from lm_lab.backbones import Backbone
from lm_lab.data import checksums
from lm_lab.data.corpora import store, tokenised
from lm_lab.data.corpora.annotated import AnnotatedText
from lm_lab.data.corpora.rows import Documents, Packed, RowLayout
from lm_lab.data.corpora.sentences import ends
from lm_lab.data.corpora.store import TokenStore
from lm_lab.data.microworld import corpus
from lm_lab.data.microworld import tokenizer as microworld_tokenizer
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
    assert len(list(tokenised._pieces(0, text))) > 10
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
    for name in ("sentences", "documents", "firsts", "units"):
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


def test_of_two_that_build_the_same_store_one_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, texts, folder = microworld_tokenizer(), corpus(50), tmp_path / "store"

    def overtaken(group: list[str], tokenizer: object) -> tokenised.Shard:
        monkeypatch.setattr(store, "tokenise", tokenised.tokenise)
        store.build(folder, texts, tokenizer)  # another process, all at once
        return tokenised.tokenise(group, tokenizer)

    monkeypatch.setattr(store, "tokenise", overtaken)
    assert len(store.build(folder, texts, tokenizer)) == len(texts)
    assert sorted(path.name for path in folder.iterdir()) == ["00000", "complete.json"]


def test_a_shard_that_cannot_be_written_stops_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space left"):
        store.build(tmp_path / "store", corpus(50), microworld_tokenizer())
    assert list((tmp_path / "store").iterdir()) == []


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


def test_the_tokens_of_a_span_share_a_number(tokenizer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "A cat sat. It slept! Then it ate."
    spans = ((2, 9), (11, 13), (14, 19))  # "cat sat", "It", "slept"
    for piece in (20_000, 12):
        monkeypatch.setattr(tokenised, "_PIECE", piece)
        found = TokenStore.of(tokenised.tokenise(["one two", AnnotatedText(text, spans)], tokenizer))
        start, stop = found.bounds[1:3]
        units = found.tokens(int(start), int(stop)) >> 32
        assert (found.tokens(0, int(start)) >> 32 == 0).all()
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]  # type: ignore[operator]
        words = [(i + len(text[i:j]) - len(text[i:j].lstrip()), j) for i, j in offsets]  # without the space before
        inside = [next((k + 1 for k, (a, b) in enumerate(spans) if a <= i < j <= b), 0) for i, j in words]
        assert units.tolist() == inside
        assert set(inside) == {0, 1, 2, 3}


def test_spans_survive_the_disk_and_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_SHARD", 30)
    tokenizer = microworld_tokenizer()
    texts = [
        AnnotatedText("the beast was good .", ((0, 9),)),
        *["it was fine ."] * 6,
        AnnotatedText("it was not good .", ((7, 15),)),
    ]
    found = store.build(tmp_path, texts, tokenizer)
    assert len(found.parts) > 2
    for make in (Documents, Packed):
        rows = make(found, RowLayout.of(tokenizer, False, 16, 0))
        batch = rows.collate([rows[0, i] for i in range(len(rows))])
        marked = [row[unit > 0].tolist() for row, unit in zip(batch["input_ids"], batch["units"], strict=True)]
        words = [" ".join(tokenizer.convert_ids_to_tokens(row)) for row in marked if row]
        assert words == ["the beast", "not good"]
    assert found.counts(len(tokenizer)).sum() == found.starts[-1]


def damaged(path: Path, how: str) -> None:
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(
        {"truncated": content[:half], "zeroed": content[:half] + bytes(len(content) - half), "empty": b""}[how]
    )


@pytest.mark.parametrize("name", ["tokens.npy", "sentences.npy", "documents.npy", "firsts.npy", "sha256"])
@pytest.mark.parametrize("how", ["truncated", "zeroed", "empty"])
def test_a_damaged_shard_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str) -> None:
    tokenizer, texts, made = microworld_tokenizer(), corpus(100), list[int]()
    monkeypatch.setattr(store, "_SHARD", 2000)
    whole = store.build(tmp_path, texts, tokenizer).tokens(0, 900).copy()
    damaged(tmp_path / "00001" / name, how)

    def counted(group: list[str], tokenizer: object) -> tokenised.Shard:
        made.append(len(group))
        return tokenised.tokenise(group, tokenizer)

    monkeypatch.setattr(store, "tokenise", counted)
    with pytest.warns(UserWarning, match="00001 is damaged, or of an older version: tokenised anew"):
        assert np.array_equal(store.build(tmp_path, texts, tokenizer).tokens(0, 900), whole)
    assert len(made) == 1  # the others stay
    assert len(store.build(tmp_path, iter(()), tokenizer)) == 100


@pytest.mark.parametrize("how", ["truncated", "zeroed", "empty"])
def test_damaged_counts_are_made_anew(tmp_path: Path, how: str) -> None:
    tokenizer, texts = microworld_tokenizer(), corpus(20)
    store.build(tmp_path, texts, tokenizer)
    damaged(tmp_path / "complete.json", how)
    assert len(store.build(tmp_path, texts, tokenizer)) == 20


def test_a_file_changed_in_place_is_another_text(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one cat\n")
    state, times = checksums.of_file(path), path.stat()
    path.write_text("two cat\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    assert checksums.of_file(path) != state


def test_a_large_file_is_known_by_its_size_its_time_and_its_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "SMALL", 10)
    monkeypatch.setattr(checksums, "_EDGE", 10)
    path = tmp_path / "text.txt"
    path.write_text("a" * 50)
    state = checksums.of_file(path)
    assert state[:2] == [str(path), "50"]
    os.utime(path, ns=(1, 1))
    assert checksums.of_file(path) != state


def test_stores_joined_are_the_store_of_all_their_documents() -> None:
    reading, texts = microworld_tokenizer(), list(corpus(90, 0))
    groups = [
        [tokenised.tokenise(texts[at : at + 15], reading) for at in range(first, first + 45, 15)] for first in (0, 45)
    ]
    first, second = (TokenStore.of(*group) for group in groups)
    joined = TokenStore.joined(first.part(7, 40), second.part(0, 11))
    expected = TokenStore.of(tokenised.tokenise([*texts[7:40], *texts[45:56]], reading))
    assert np.array_equal(joined.tokens(0, joined.starts[-1]), expected.tokens(0, expected.starts[-1]))
    for name in ("sentences", "documents", "firsts", "bounds"):
        assert np.array_equal(getattr(joined, name), getattr(expected, name))
    assert np.shares_memory(joined.parts[-1], second.parts[0])


def test_a_store_without_spans_has_none_beside_one_that_has() -> None:
    reading = microworld_tokenizer()
    word = next(iter(corpus(1, 0))).split()[0]
    marked = TokenStore.of(tokenised.tokenise([AnnotatedText(f"{word} {word}", ((0, len(word)),))], reading))
    plain = TokenStore.of(tokenised.tokenise([word], reading))
    both = TokenStore.joined(plain, marked)
    spans = both.tokens(0, both.starts[-1]) >> store.UNIT_BITS
    assert spans.tolist() == [0, *(marked.tokens(0, marked.starts[-1]) >> store.UNIT_BITS).tolist()]
    assert spans.any()
