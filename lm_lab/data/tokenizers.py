"""A vocabulary trained here: characters, words, WordPiece, bytes by BPE or a unigram model, with BERT's special tokens.

    [CLS] a [SEP]          [CLS] a [SEP] b [SEP]

character   every character is a token, white space none: the unit of Chinese (no dictionary, no word boundaries)
word        words cut as BERT's, whole; commonest first: the unit of ELMo, whose input is a word's characters
wordpiece   BERT's: words cut at white space, signs and Chinese characters, then longest pieces first
bpe         GPT-2's: bytes merged by frequency, so nothing is unknown
unigram     SentencePiece's: the most likely of all ways to cut a text
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from lm_lab.errors import UsageError

Kind = Literal["character", "word", "wordpiece", "bpe", "unigram"]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_UNKNOWN = "[UNK]"
_BYTES = pre_tokenizers.ByteLevel.alphabet()


class Recipe(NamedTuple):
    """The parts of one kind of tokenizer."""

    model: Callable[[], Any]
    pre_tokenizer: Any
    decoder: Any
    trainer: Callable[..., Any]


_MOST = 2**22  # tokens: the library ends the whole process when it gets no memory for them
_CHARACTERS = pre_tokenizers.Sequence(
    [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("."), behavior="isolated")]
)
RECIPES: dict[str, Recipe] = {
    "character": Recipe(
        lambda: models.WordLevel(unk_token=_UNKNOWN), _CHARACTERS, decoders.Fuse(), trainers.WordLevelTrainer
    ),
    "word": Recipe(
        lambda: models.WordLevel(unk_token=_UNKNOWN),
        pre_tokenizers.BertPreTokenizer(),
        decoders.WordPiece(),
        trainers.WordLevelTrainer,
    ),
    "wordpiece": Recipe(
        lambda: models.WordPiece(unk_token=_UNKNOWN),
        pre_tokenizers.BertPreTokenizer(),
        decoders.WordPiece(),
        # each character stands at the start of words and inside them (##): so many leave room for both
        lambda vocab_size, **settings: trainers.WordPieceTrainer(
            vocab_size=vocab_size, limit_alphabet=(vocab_size - len(SPECIAL)) // 2, **settings
        ),
    ),
    "bpe": Recipe(
        lambda: models.BPE(unk_token=_UNKNOWN),
        pre_tokenizers.ByteLevel(add_prefix_space=True),
        decoders.ByteLevel(),
        lambda **settings: trainers.BpeTrainer(initial_alphabet=_BYTES, **settings),
    ),
    "unigram": Recipe(
        models.Unigram,
        pre_tokenizers.Metaspace(),
        decoders.Metaspace(),
        lambda min_frequency, **settings: trainers.UnigramTrainer(unk_token=_UNKNOWN, **settings),  # noqa: ARG005
    ),
}


def train(
    texts: Iterable[str],
    kind: Kind = "character",
    vocab_size: int = 8000,
    min_frequency: int = 2,
    lowercase: bool = False,
    max_length: int = 512,
) -> PreTrainedTokenizerFast:
    """An ordinary fast tokenizer of `transformers`, trained on texts; what is rare becomes [UNK].

    Args:
        texts: documents.
        kind: what a token is.
        vocab_size: most tokens, the five special ones included.
        min_frequency: how often a token must occur; the unigram model goes by likelihood instead.
        lowercase: read capitals as small letters.
        max_length: what the tokenizer gives as its longest sequence.

    Raises:
        UsageError: an unknown kind, a size that leaves no room for tokens, or one that takes more memory than there is.
    """
    least = len(SPECIAL) + (len(_BYTES) if kind == "bpe" else 1)
    if kind not in RECIPES or not least <= vocab_size <= _MOST:
        raise UsageError(
            f"kind '{kind}', vocab_size={vocab_size}: expected one of {', '.join(RECIPES)} and {least} tokens or more, "
            f"{_MOST:,} at most."
        )
    if min_frequency < 1 or max_length < 3:
        raise UsageError(f"min_frequency={min_frequency} max_length={max_length}: expected 1 or more, and 3 or more.")
    recipe = RECIPES[kind]
    core = Tokenizer(recipe.model())
    core.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=kind in ("word", "wordpiece"), strip_accents=False, lowercase=lowercase
    )
    core.pre_tokenizer, core.decoder = recipe.pre_tokenizer, recipe.decoder
    settings = {"vocab_size": vocab_size, "min_frequency": min_frequency, "show_progress": False}
    try:
        core.train_from_iterator(texts, recipe.trainer(special_tokens=list(SPECIAL), **settings))
    except Exception as error:  # the library has no finer class
        raise UsageError(
            f"no '{kind}' vocabulary of {vocab_size} tokens: {error}; give another --vocab_size."
        ) from error
    return _bert_like(core, max_length)


def save(tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    """Write the tokenizer to a folder that `AutoTokenizer` and `--model.backbone.tokenizer` read."""
    if (folder / "model.safetensors").exists():
        raise UsageError(f"'{folder}' holds a model, whose tokenizer would be replaced; choose another folder (--out).")
    tokenizer.save_pretrained(folder)
    return folder


def unknown_share(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> float:
    """Share of the tokens of texts that the vocabulary lacks."""
    ids = [
        token for row in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"] for token in row
    ]
    return ids.count(tokenizer.unk_token_id) / max(len(ids), 1)


def _bert_like(core: Tokenizer, max_length: int) -> PreTrainedTokenizerFast:
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, core.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=max_length,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")},
    )
