"""The microworld's tokenizer: one word one token, special tokens and pairs as BERT has them."""

from functools import cache

from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from lm_lab.data.microworld.lexicon import ACTIONS, BAD, GLAD, GOOD, KINDS, SAD, lexicon

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_LENGTH = 64
_FUNCTION_WORDS = (
    "a and are but every in is it maybe means near no not said that the these this those was were what where who yes"
    " . ? :"
)


@cache
def vocabulary() -> list[str]:
    """Return every token, special ones first; a token's position is its id."""
    words = lexicon()
    grammar = {*_FUNCTION_WORDS.split(), *GOOD, *BAD, *GLAD, *SAD, *KINDS, *(f"{kind}s" for kind in KINDS)}
    content = {word for noun in words.nouns for word in (noun.singular, noun.plural)}
    sets = {word for group in (*words.verbs, *words.praise, *words.blame, *ACTIONS) for word in group}
    return [*SPECIAL, *sorted(grammar | content | sets | {*words.names, *words.places})]


def tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer, an ordinary one of `transformers`: `save_pretrained` and `AutoTokenizer` work."""
    ids = {token: index for index, token in enumerate(vocabulary())}
    core = Tokenizer(WordLevel(ids, unk_token="[UNK]"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")},
    )
