from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from lm_lab.data import microworld
from lm_lab.data.encoding import texts as module
from lm_lab.data.encoding.encoding import Encoding, cache_folder, cached
from lm_lab.data.encoding.texts import encode_texts
from lm_lab.data.reading.sources import read_split
from lm_lab.data.reading.text_rows import TextRows
from lm_lab.tasks import glue_task


@pytest.fixture(scope="module")
def tokenizer():
    return microworld.tokenizer()


@pytest.fixture(scope="module")
def rows():
    return read_split(glue_task("rte"), "validation", "microworld")


@pytest.mark.parametrize("pairs", ["cross_encoder", "bi_encoder"])
def test_a_batch_equals_the_tokenizers_own(tokenizer, rows, pairs):
    encoded = encode_texts(rows, Encoding(tokenizer, pairs, 64))
    index = [3, 0, 7]
    batch = encoded.collate(index)
    chosen = [[column[i] for i in index] for column in rows.texts]
    expected = [tokenizer(*chosen, padding=True, return_tensors="pt")] if pairs == "cross_encoder" else [
        tokenizer(texts, padding=True, return_tensors="pt") for texts in chosen
    ]  # fmt: skip
    assert len(batch["texts"]) == len(expected)
    for ours, theirs in zip(batch["texts"], expected, strict=True):
        assert set(ours) == set(theirs)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert batch["labels"].tolist() == rows.labels[index].tolist()
    assert batch["ids"].tolist() == rows.ids[index].tolist()


def test_tokens_come_from_the_cache_the_second_time(tokenizer, rows, monkeypatch):
    encoding = Encoding(tokenizer, "cross_encoder", 64)
    first = encode_texts(rows, encoding)
    assert len(list((cache_folder() / "tokens").iterdir())) == 1
    monkeypatch.setattr(module, "tokens", lambda *_: pytest.fail("tokenised again"))
    again = encode_texts(rows, encoding)
    assert torch.equal(first.collate([0, 1])["texts"][0]["input_ids"], again.collate([0, 1])["texts"][0]["input_ids"])


def test_the_fingerprint_follows_texts_tokenizer_pairs_and_length_alone(tokenizer, rows):
    base = Encoding(tokenizer, "cross_encoder", 64).fingerprint(rows.content())
    assert Encoding(tokenizer, "bi_encoder", 64).fingerprint(rows.content()) != base
    assert Encoding(tokenizer, "cross_encoder", 32).fingerprint(rows.content()) != base
    assert Encoding(tokenizer, "cross_encoder", 64).fingerprint(rows.take(rows.ids[:5]).content()) != base
    other = microworld.tokenizer()
    other.add_tokens(["zzz"])
    assert Encoding(other, "cross_encoder", 64).fingerprint(rows.content()) != base
    tokenizer("x", truncation=True, max_length=5, padding="max_length")  # leaves traces in a fast tokenizer
    assert Encoding(tokenizer, "cross_encoder", 64).fingerprint(rows.content()) == base


def test_truncation_is_counted(tokenizer, rows):
    lengths = [len(tokenizer(a, b)["input_ids"]) for a, b in zip(*rows.texts, strict=True)]
    limit = max(lengths) - 1
    cut = sum(length > limit for length in lengths)
    message = f"{cut} of {len(rows)} examples are longer than {limit} tokens and were truncated"
    for _ in range(2):  # said again when the tokens come from the cache
        with pytest.warns(UserWarning, match=message):
            encoded = encode_texts(rows, Encoding(tokenizer, "cross_encoder", limit))
    assert encoded.lengths.max() == limit


@pytest.mark.parametrize("how", ["truncated", "zeroed", "empty", "without checksum"])
def test_a_damaged_cache_is_made_anew(how: str) -> None:
    arrays = {"ids0": np.arange(2000, dtype=np.int32), "none": np.zeros(0, np.int8)}
    assert cached("key", lambda: arrays) is arrays
    path = next(cache_folder().glob("tokens/*"))
    content = path.read_bytes()
    half = len(content) // 2
    if how == "without checksum":
        save_file(arrays, path)
    else:
        ends = {"truncated": b"", "zeroed": bytes(len(content) - half), "empty": b""}
        path.write_bytes((b"" if how == "empty" else content[:half]) + ends[how])
    with pytest.warns(UserWarning, match="is damaged, or of an older version: tokenised anew"):
        assert np.array_equal(cached("key", lambda: arrays)["ids0"], arrays["ids0"])
    assert np.array_equal(cached("key", dict)["ids0"], arrays["ids0"])  # whole again


@pytest.mark.parametrize("pairs", ["cross_encoder", "bi_encoder"])
def test_the_beginning_goes_where_truncation_is_left(pairs: Any) -> None:
    tokenizer, texts = microworld.tokenizer(), ["it was a good beast .", "the cat saw the dog ."]
    rows = TextRows(tuple([text] for text in texts), np.array([0.0]), np.array([0]), "F")
    whole = tokenizer(texts[0])["input_ids"]
    for side in ("right", "left"):
        with pytest.warns(UserWarning, match="1 of 1 examples are longer than 5 tokens"):
            found = encode_texts(rows, Encoding(tokenizer, pairs, 5, side)).sequences[0].ids.tolist()
        if pairs == "bi_encoder":
            assert found == [whole[0], *(whole[1:4] if side == "right" else whole[-4:-1]), whole[-1]]
        else:
            assert len(found) == 5
    assert tokenizer.truncation_side == "right"
