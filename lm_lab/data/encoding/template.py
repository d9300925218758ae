"""Input forms of GPT: where two texts meet and where a sequence ends, in the tokens of any tokenizer.

    text    start  a  extract
    pair    start  a  delimiter  b  extract

"extract" is the token whose state the head reads (Radford et al. 2018, Improving Language Understanding by Generative
Pre-Training): the last one, since a decoder's last token alone has seen all the others. BERT-like tokenizers end every
sequence and separate two texts by themselves, and are left as they are; GPT-2's and Llama's do neither.
"""

import copy
import json
from dataclasses import dataclass
from typing import Any

from tokenizers import processors

DELIMITER = " $ "  # GPT's


@dataclass(frozen=True)
class Template:
    """Ids that stand around and between texts, and the segment ids of two texts."""

    start: tuple[int, ...]
    between: tuple[int, ...]
    end: tuple[int, ...]
    types: tuple[int, int] = (0, 0)

    @staticmethod
    def of(tokenizer: Any) -> "Template":
        """What the tokenizer's own template puts there."""
        encoded = tokenizer("a", "b", return_token_type_ids=True)
        places, ids = encoded.sequence_ids(0), encoded["input_ids"]
        first = [i for i, place in enumerate(places) if place == 0]
        second = [i for i, place in enumerate(places) if place == 1]
        start, between, end = ids[: first[0]], ids[first[-1] + 1 : second[0]], ids[second[-1] + 1 :]
        types = encoded["token_type_ids"][first[0]], encoded["token_type_ids"][second[0]]
        return Template(tuple(start), tuple(between), tuple(end), types)

    @property
    def separates(self) -> bool:
        """True if a reader can tell where the first text ends; a start token once more begins another document."""
        return bool(self.between) and self.between != self.start


def with_template(tokenizer: Any, delimiter: str | None, extract: bool) -> Any:
    """A tokenizer with a delimiter between two texts and, if `extract`, an end token behind the last.

    Args:
        tokenizer: a fast tokenizer of `transformers`.
        delimiter: the text between two texts; None keeps what separates them, and gives " $ " where nothing does.
        extract: end every sequence, as a decoder needs it.

    Returns the tokenizer itself where its own template does all that already.
    """
    own = Template.of(tokenizer)
    if delimiter is None and own.separates:
        between = own.between
    else:
        between = tuple(tokenizer(delimiter or DELIMITER, add_special_tokens=False)["input_ids"])
    end = ending(tokenizer, own) if extract else own.end
    if (between, end) == (own.between, own.end):
        return tokenizer
    return templated(tokenizer, Template(own.start, between, end, own.types))


def ending(tokenizer: Any, own: Template) -> tuple[int, ...]:
    """What ends a text that a decoder reads: what the tokenizer's template puts there, else its end token, if any."""
    return own.end or (() if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,))


def templated(tokenizer: Any, template: Template) -> Any:
    """The tokenizer with another template."""
    changed = copy.deepcopy(tokenizer)
    changed.backend_tokenizer.post_processor = _template(tokenizer, template)
    return changed


def _template(tokenizer: Any, template: Template) -> Any:
    """The template as a post-processor: truncation, segment ids and offsets are then the tokenizer's own."""
    parts = {"<start>": template.start, "<between>": template.between, "<end>": template.end}
    tokens = {name: tokenizer.convert_ids_to_tokens(list(ids)) for name, ids in parts.items() if ids}
    a, b = template.types
    single = ["<start>", f"$A:{a}", f"<end>:{a}"]
    pair = [f"<start>:{a}", f"$A:{a}", f"<between>:{a}", f"$B:{b}", f"<end>:{b}"]
    single, pair = (
        [piece for piece in form if piece[0] == "$" or piece.split(":")[0] in tokens] for form in (single, pair)
    )
    special = [{"id": name, "ids": list(parts[name]), "tokens": tokens[name]} for name in tokens]
    processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=special)
    return processors.Sequence([*_byte_level(tokenizer), processor])


def _byte_level(tokenizer: Any) -> list[Any]:
    """What trims the offsets of a byte-level tokenizer stays."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())["post_processor"] or {}
    steps = state.get("processors", [state])
    return [
        processors.ByteLevel(trim_offsets=step["trim_offsets"]) for step in steps if step.get("type") == "ByteLevel"
    ]
