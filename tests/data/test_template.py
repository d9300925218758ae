"""Delimiters and end tokens: what each kind of tokenizer gets, and that BERT-like ones keep every token."""

import json
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from lm_lab.data import microworld
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.template import with_template

WORDS = ["<s>", "</s>", "$", "then", "a", "b", "c", "d"]


def tokenizer(single: str | None = None, pair: str | None = None, **tokens: str) -> Any:
    """One word one token; GPT-2's template is none, Llama's `<s> A <s> B`."""
    ids = {word: number for number, word in enumerate(WORDS)}
    core = Tokenizer(models.WordLevel(ids, unk_token="a"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if single:
        special = [("<s>", 0), ("</s>", 1)]
        core.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=special)
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="</s>", **({"eos_token": "</s>"} | tokens))


GPT2 = tokenizer()
LLAMA = tokenizer("<s> $A", "<s> $A <s>:1 $B:1")
T5 = tokenizer("$A </s>", "$A </s> $B </s>")
ROBERTA = tokenizer("<s> $A </s>", "<s> $A </s> </s> $B </s>")


def read(tokens: Any) -> str:
    return " ".join(WORDS[i] for i in tokens["input_ids"])


@pytest.mark.parametrize(
    ("own", "text", "pair"),
    [
        (GPT2, "a b </s>", "a b $ c </s>"),
        (LLAMA, "<s> a b </s>", "<s> a b $ c </s>"),
        (T5, "a b </s>", "a b </s> c </s>"),
        (ROBERTA, "<s> a b </s>", "<s> a b </s> </s> c </s>"),
    ],
    ids=["gpt2", "llama", "t5", "roberta"],
)
def test_a_decoder_has_a_delimiter_and_an_end(own: Any, text: str, pair: str) -> None:
    changed = with_template(own, None, extract=True)
    assert read(changed("a b")) == text
    assert read(changed("a b", "c")) == pair
    assert (changed is own) == (own in (T5, ROBERTA))


@pytest.mark.parametrize("own", [T5, ROBERTA, microworld.tokenizer()], ids=["t5", "roberta", "microworld"])
@pytest.mark.parametrize("extract", [False, True])
def test_a_tokenizer_that_does_both_is_left_as_it_is(own: Any, extract: bool) -> None:
    before = own.backend_tokenizer.to_str(), Encoding(own, "cross_encoder", 64).fingerprint([b"x"])
    assert with_template(own, None, extract) is own
    assert before == (own.backend_tokenizer.to_str(), Encoding(own, "cross_encoder", 64).fingerprint([b"x"]))


def test_an_encoder_gets_no_end_that_its_tokenizer_does_not_put() -> None:
    assert read(with_template(GPT2, None, extract=False)("a", "b")) == "a $ b"


def test_a_tokenizer_without_an_end_token_gets_none() -> None:
    bare = PreTrainedTokenizerFast(tokenizer_object=GPT2.backend_tokenizer, pad_token="</s>")
    assert read(with_template(bare, None, extract=True)("a", "b")) == "a $ b"


def test_a_given_delimiter_takes_the_place_of_what_stands_there() -> None:
    assert read(with_template(ROBERTA, " then ", extract=False)("a", "b")) == "<s> a then b </s>"
    assert read(with_template(LLAMA, " then $ ", extract=True)("a", "b")) == "<s> a then $ b </s>"


def test_truncation_and_segment_ids_are_still_the_tokenizers() -> None:
    changed = with_template(LLAMA, None, extract=True)
    assert read(changed("a b c d", "d c b", truncation=True, max_length=7)) == "<s> a b $ d c </s>"
    encoded = changed("a b", "c", return_token_type_ids=True)
    assert encoded["token_type_ids"] == [0, 0, 0, 0, 1, 1]
    assert encoded.sequence_ids(0) == [None, 0, 0, None, 1, None]
    assert changed("a", "b", return_special_tokens_mask=True)["special_tokens_mask"] == [1, 0, 1, 0, 1]


def test_the_fingerprint_of_tokens_follows_delimiter_and_end() -> None:
    forms = [LLAMA, *(with_template(LLAMA, text, end) for text in (None, " then ") for end in (False, True))]
    assert len({Encoding(form, "cross_encoder", 8).fingerprint([b"x"]) for form in forms}) == 5
    pairs = ("cross_encoder", "bi_encoder", "both_orders")
    assert len({Encoding(LLAMA, how, 8).fingerprint([b"x"]) for how in pairs}) == 3  # type: ignore[arg-type]


def test_a_byte_level_tokenizer_keeps_trimming_its_offsets() -> None:
    core = Tokenizer(models.BPE({"a": 0, "b": 1, "\u0120": 2, "$": 3, "</s>": 4}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.post_processor = processors.ByteLevel(trim_offsets=True)
    own = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>")
    changed = with_template(own, None, extract=True)
    assert changed.convert_ids_to_tokens(changed("a", "b")["input_ids"]) == ["a", "Ġ", "$", "Ġ", "b", "</s>"]
    state = json.loads(changed.backend_tokenizer.to_str())["post_processor"]
    assert [step["type"] for step in state["processors"]] == ["ByteLevel", "TemplateProcessing"]
    assert state["processors"][0]["trim_offsets"] is True
