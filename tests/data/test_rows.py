"""Rows of a corpus: documents, packed, going on from batch to batch, pairs of sentences."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from lm_lab.data.batching import grouped_loader
from lm_lab.data.corpora.rows import (
    ConsecutiveSentences,
    Continuing,
    Documents,
    NextSentencePairs,
    Packed,
    RowLayout,
    SentenceOrderPairs,
    SentencePairs,
    ThreeWayPairs,
)
from lm_lab.data.corpora.rows.batches import RowBatches
from lm_lab.data.corpora.rows.packed import Stream
from lm_lab.data.corpora.rows.sentence_pairs import fit
from lm_lab.data.corpora.store import TokenStore
from lm_lab.data.corpora.tokenised import tokenise
from lm_lab.data.encoding.template import with_template
from lm_lab.data.microworld import corpus, tokenizer
from lm_lab.errors import UsageError

PAIRS = [NextSentencePairs, SentenceOrderPairs, ThreeWayPairs]


def stories(count: int = 40, sentences: int = 12) -> list[str]:
    """Documents of many sentences; no sentence stands in two of them, for each begins with numbers of its own."""
    lines = [line for line in corpus(2 * count * sentences) if "\t" not in line]
    groups = [lines[i * sentences : (i + 1) * sentences] for i in range(count)]
    return [" ".join(group) for group in groups]


def made(texts: list[str], make: Any, max_length: int = 32, seed: int = 0, causal: bool = False) -> Any:
    words = tokenizer()
    return make(TokenStore.of(tokenise(texts, words)), RowLayout.of(words, causal, max_length, seed))


def bpe(template: str | None = None) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer, without special tokens or with a start token."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    core.train_from_iterator(corpus(50), trainer)
    if template:
        core.post_processor = processors.TemplateProcessing(
            single=template, pair=f"{template} <s>:1 $B:1", special_tokens=[("<s>", 0)]
        )
    words = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    words.model_input_names = ["input_ids", "attention_mask"]
    return words


def roberta() -> PreTrainedTokenizerFast:
    """A tokenizer with two tokens between texts."""
    words = bpe()
    words.backend_tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return words


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama"])
@pytest.mark.parametrize("max_length", [64, 17, 12])
@pytest.mark.filterwarnings("ignore:.*were truncated")
def test_a_document_has_special_tokens_and_is_cut_as_the_tokenizer_does_it(family: str, max_length: int) -> None:
    words = {"roberta": roberta, "gpt2": bpe, "llama": lambda: bpe("<s> $A")}.get(family, tokenizer)()
    texts = [*corpus(60), "the good beast was very good .\tit was", "a\tthe plant was poor and good and poor ."]
    rows = Documents(TokenStore.of(tokenise(texts, words)), RowLayout.of(words, False, max_length, 0))
    for i, text in enumerate(texts):
        expected = words(*text.split("\t"), truncation=True, max_length=max_length, return_tensors="pt")
        row = {name: values[0] for name, values in rows.collate([rows[0, i]]).items()}
        assert set(row) == set(words.model_input_names)
        for name, values in row.items():
            assert torch.equal(values, expected[name][0]), (text, name)
        assert rows.lengths(0)[i] == len(row["input_ids"])


def test_packed_rows_hold_every_token_once_and_no_padding() -> None:
    texts = stories()
    rows = made(texts, Packed)
    words = tokenizer()
    ids = [rows[0, i].ids for i in range(len(rows))]
    assert {len(row) for row in ids} == {32}
    assert all(row[0] == words.cls_token_id and row[-1] == words.sep_token_id for row in ids)
    stream = [
        token for text in texts for token in words(text, add_special_tokens=False)["input_ids"] + [words.sep_token_id]
    ]
    read = [token for row in ids for token in row[1:-1].tolist()]
    assert len(stream) - len(read) < 30
    assert read == stream[: len(read)]


def test_an_epoch_cuts_the_stream_elsewhere_and_the_same_each_time() -> None:
    rows = made(stories(), Packed)
    first, later = rows[0, 3].ids, rows[1, 3].ids
    assert not np.array_equal(first, later)
    assert np.array_equal(later, made(stories(), Packed)[1, 3].ids)
    starts = {int(rows.random(epoch).integers(30)) for epoch in range(1, 200)}
    assert len(starts) == 30


def test_a_decoder_reads_one_stream_with_an_end_behind_each_document() -> None:
    texts = stories(4)
    bare, begun = bpe(), bpe("<s> $A")  # as GPT-2's, as Llama's
    for words, glue in ((bare, bare.eos_token_id), (begun, begun.bos_token_id)):
        rows = Packed(TokenStore.of(tokenise(texts, words)), RowLayout.of(words, True, 16, 0))
        own = [words(text, add_special_tokens=False)["input_ids"] for text in texts]
        stream = [token for ids in own for token in [*ids, glue]]
        assert [t for i in range(len(rows)) for t in rows[0, i].ids.tolist()] == stream[: 16 * len(rows)]


@pytest.mark.parametrize("max_length", [64, 7])
@pytest.mark.filterwarnings("ignore:.*were truncated")
def test_a_decoder_reads_a_sentence_as_its_vector_will_be_read(max_length: int) -> None:
    """With the same last token: a vector that is read at one that was never trained tells nothing."""
    for words in (bpe(), bpe("<s> $A"), tokenizer()):  # as GPT-2's, as Llama's, as BERT's
        reader = with_template(words, None, extract=True)
        texts = [f"the beast was number {number} ." for number in range(4)]
        store = TokenStore.of(tokenise([" ".join(texts)], words))
        rows = ConsecutiveSentences(store, RowLayout.of(words, True, max_length, 0))
        read = [rows.collate([rows[0, i]])["input_ids"][0].tolist() for i in range(len(rows))]
        expected = [texts[0], *(f" {text}" for text in texts[1:])]  # white space belongs to what follows
        assert read == reader(expected, truncation=True, max_length=max_length)["input_ids"]
        assert [len(ids) for ids in read] == rows.lengths(0).tolist()
        assert {ids[-1] for ids in read} == {words.eos_token_id or words.sep_token_id}


def test_the_stream_is_a_ring() -> None:
    words = tokenizer()
    store = TokenStore.of(tokenise(corpus(7), words)).part(2, 6)
    stream = Stream(store, (3, 2))
    bounds = store.bounds
    flat = np.concatenate([[*store.tokens(*bounds[i : i + 2]), 3, 2] for i in range(4)])
    assert len(stream) == len(flat)
    for start in range(len(flat)):
        for count in (1, 5, len(flat)):
            assert np.array_equal(stream.read(start, count), np.roll(flat, -start)[:count])


def test_too_little_text_for_a_row_is_refused() -> None:
    with pytest.raises(UsageError, match=r"max_length=512: 2 documents of \d+ tokens in all fill no row"):
        made(corpus(2), Packed, 512)


@pytest.mark.parametrize("world", [1, 2])
def test_rows_go_on_where_those_of_the_batch_before_ended(world: int) -> None:
    rows = made(stories(), Continuing, causal=True)
    each = [list(RowBatches(rows, 3, rank=rank, world=world)) for rank in range(world)]
    assert {len(batches) for batches in each} == {len(rows) // (3 * world)}
    seen = []
    for batches in each:
        for lane in range(3):
            read = [rows[batch[lane]] for batch in batches]
            assert [bool(row.labels["continues"]) for row in read] == [False] + [True] * (len(batches) - 1)
            tokens = np.concatenate([row.ids for row in read])
            start = batches[0][lane][1] * 32
            assert tokens.tolist() == rows.stream.read(start, len(tokens)).tolist()
            seen += [key for batch in batches for key in [batch[lane]]]
    assert len(seen) == len(set(seen))


def test_lanes_that_fill_no_batch_are_shared_out_among_processes() -> None:
    rows = made(stories(4), Continuing, causal=True)
    each = [list(RowBatches(rows, 64, rank=rank, world=2)) for rank in range(2)]
    assert [len(batch) for batches in each for batch in batches] == [len(rows) // 2] * 2
    with pytest.raises(UsageError, match=rf"{len(rows)} rows cannot go on in {len(rows) + 1} processes"):
        RowBatches(rows, 1, world=len(rows) + 1)


@pytest.mark.parametrize("kind", PAIRS)
def test_the_label_says_what_the_second_segment_is(kind: type[SentencePairs]) -> None:
    texts = stories()
    rows = made(texts, kind)
    bounds, counts = rows.store.bounds, np.zeros(len(kind.relations), int)
    for start, stop, second, end, label in rows._pairs(0):
        counts[label] += 1
        document, other = np.searchsorted(bounds, [start, second], side="right")
        relation = kind.relations[label]
        assert start < stop
        assert second < end
        assert stop <= bounds[document]
        assert end <= bounds[other]
        assert (document != other) == (relation == "random")
        if relation == "next":
            assert stop <= second
        if relation == "previous":
            assert end <= start
    for count in counts:
        assert binomtest(int(count), int(counts.sum()), 1 / len(counts)).pvalue > 1e-3


@pytest.mark.parametrize("kind", PAIRS)
def test_a_pair_has_special_tokens_and_carries_its_label(kind: type[SentencePairs]) -> None:
    rows, words = made(stories(), kind), tokenizer()
    lengths = rows.lengths(0)
    batch = rows.collate([rows[0, i] for i in range(8)])
    assert batch[kind.label].shape == (8,)
    for i in range(8):
        ids = batch["input_ids"][i][: lengths[i]]
        assert batch["attention_mask"][i].sum() == lengths[i] == len(ids) <= 32
        middle, end = (ids == words.sep_token_id).nonzero().flatten().tolist()
        assert (ids[0], end) == (words.cls_token_id, len(ids) - 1)
        assert batch["token_type_ids"][i].tolist() == [0] * (middle + 1) + [1] * (end - middle) + [0] * (
            batch["input_ids"].shape[1] - len(ids)
        )


def test_uncut_pairs_are_whole_sentences_side_by_side() -> None:
    rows = made(stories(), SentenceOrderPairs, 512)
    ends = set(rows.store.sentences.tolist())
    short = 0
    for start, stop, second, end, label in rows._pairs(0):
        assert {start, stop, second, end} <= ends
        assert (end == start) if label else (stop == second)
        short += end - start < 100 if not label else 0
    assert short  # one pair of ten


def test_what_would_have_followed_goes_back_to_the_text() -> None:
    """No token of a document is lost between two pairs, but for a last sentence alone."""
    rows = made(stories(), NextSentencePairs, 512)
    used = np.zeros(int(rows.store.starts[-1]), int)
    for start, stop, second, end, label in rows._pairs(0):
        used[start:stop] += 1
        if label == 0:
            used[second:end] += 1
    assert used.max() == 1
    bounds = rows.store.bounds
    for document in range(len(rows.store)):
        ends = rows._sentences(document)
        spent = used[bounds[document] : bounds[document + 1]]
        assert spent[: ends[-2] - ends[0]].all()


@pytest.mark.parametrize("kind", PAIRS)
def test_pairs_are_drawn_anew_at_every_epoch_as_many_as_in_the_first(kind: type[SentencePairs]) -> None:
    rows, again = made(stories(), kind), made(stories(), kind)
    drawn = [rows._pairs(epoch).tolist() for epoch in range(4)]
    assert {len(pairs) for pairs in drawn} == {len(rows)}
    assert all(drawn[0] != pairs for pairs in drawn[1:])
    assert again._pairs(2).tolist() == drawn[2]
    assert made(stories(), kind, seed=1)._pairs(0).tolist() != drawn[0]


@pytest.mark.parametrize("room", [5, 8, 9, 30])
def test_a_pair_is_cut_to_the_room_the_longer_segment_first(room: int) -> None:
    rng = np.random.default_rng(0)
    for a, b in [((0, 20), (30, 34)), ((5, 9), (10, 12)), ((0, 9), (9, 18))]:
        found = np.array([fit(a, b, room, rng) for _ in range(50)])
        sizes = found[:, [1, 3]] - found[:, [0, 2]]
        whole = a[1] - a[0] + b[1] - b[0]
        assert set(sizes.sum(axis=1)) == {min(room, whole)}
        assert (found[:, 0] >= a[0]).all()
        assert (found[:, 1] <= a[1]).all()
        if room >= whole:
            assert (found == [*a, *b]).all()
        else:
            assert len(set(found[:, 0])) > 1 or len(set(found[:, 2])) > 1  # from either side


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["it was good .", "a b"], "no document has two sentences"),
        ([" ".join(corpus(9))], "needs two documents or more"),
    ],
)
def test_text_without_pairs_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        made([text.replace("\t", " ") for text in texts], NextSentencePairs)


class Keys(Dataset):
    """The key that was asked for."""

    def __getitem__(self, key: Any) -> Any:
        return key


@pytest.mark.filterwarnings("ignore:.*were truncated")
@pytest.mark.parametrize("kind", [Documents, Packed, Continuing, *PAIRS])
def test_batches_name_their_epoch_and_resume(kind: Any) -> None:
    rows = made(stories(), kind, 64)
    batches = RowBatches(rows, 4)
    given = []
    for epoch in range(2):
        batches.set_epoch(epoch)
        given.append(list(batches))
        assert len(given[-1]) == len(batches)
        assert {key[0] for batch in given[-1] for key in batch} == {epoch}
    rows = made(stories(), kind, 64)
    resumed = grouped_loader(Keys(), RowBatches(rows, 4), list)
    resumed.load_state_dict({"epoch": 1, "given": 2, "examples": 4})
    assert list(resumed) == given[1][2:]
