"""What a backbone asks for of each token beside its id, in the place of the ids of a row.

    ids       [CLS]  the  dog  ##s  [SEP]
    pieces    [CLS]  the  dog  s    [SEP]      their texts: what a `TokenInput` computes its values of
    words      -1     0    1    1    -1        their words: whose number a `WordColumn` gives, or points at

The cache keeps pieces and words, which depend on texts and tokenizer alone. Values are computed of the different pieces
of a split, however often each stands in it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lm_lab.data.encoding.ragged import Arrays, Beside
from lm_lab.data.reading.word_columns import WordValues, aligned
from lm_lab.errors import UsageError
from lm_lab.tokens import Asked, TokenInput, WordColumn


class Places(NamedTuple):
    """Of each of t tokens: the text that it stands for, whose text it is of, and which word there, -1 for none."""

    pieces: list[str]
    sides: np.ndarray
    words: np.ndarray


def of_texts(encoding: Any, texts: Sequence[str]) -> Places:
    """Places in a row of one or two texts; `encoding` is one of `tokenizers`."""
    numbered = [_word_of_character(text) for text in texts]
    pieces, sides, words = [], [], []
    for token, side, (start, stop) in zip(encoding.tokens, encoding.sequence_ids, encoding.offsets, strict=True):
        pieces.append(token if side is None else texts[side][start:stop].strip())
        sides.append(-1 if side is None else side)
        # its last character: the space before a word may be part of its first token
        words.append(-1 if side is None or stop == start else numbered[side][stop - 1])
    return Places(pieces, np.array(sides, np.int8), np.array(words, np.int32))


def of_words(encoding: Any, words: Sequence[str], filler: str) -> Places:
    """Places in a row of one text that came as words; `filler` is the token of one without any."""
    rows = list(zip(encoding.tokens, encoding.word_ids, encoding.offsets, strict=True)) or [(filler, None, (0, 0))]
    pieces = [token if word is None else words[word][start:stop].strip() for token, word, (start, stop) in rows]
    numbers = np.array([-1 if word is None else word for _, word, _ in rows], np.int32)
    return Places(pieces, np.where(numbers < 0, -1, 0).astype(np.int8), numbers)


def arrays(rows: Iterable[Places], name: str = "0") -> Arrays:
    """Places as flat arrays for the cache, under names that end in `name`."""
    found, known = list(rows), dict[str, int]()
    pieces = [known.setdefault(piece, len(known) + 1) for row in found for piece in row.pieces]
    return {
        f"pieces{name}": np.array(pieces, np.int32),
        f"sides{name}": np.concatenate([row.sides for row in found]),
        f"words{name}": np.concatenate([row.words for row in found]),
        f"surfaces{name}": packed(known),
    }


def packed(surfaces: Iterable[str]) -> np.ndarray:
    """Texts as bytes."""
    return np.frombuffer(json.dumps(list(surfaces)).encode(), np.uint8)


def unpacked(surfaces: np.ndarray) -> list[str]:
    """The texts."""
    found: list[str] = json.loads(surfaces.tobytes())
    return found


def of(
    asks: Sequence[Asked], arrays: Arrays, offsets: np.ndarray, given: WordValues, origin: str, name: str = "0"
) -> dict[str, Beside]:
    """What is asked for, of rows of tokens that begin at `offsets`.

    Args:
        asks: what the backbone asks for.
        arrays: made by `arrays`.
        offsets: (n + 1,) where each row starts.
        given: the numbers that came with the data, of the texts of a row in their order there.
        origin: of the data, for messages.
        name: that the arrays' names end in.

    Raises:
        UsageError: the data has no such column, or one that points at no word.
    """
    found = {}
    for asked in asks:
        if isinstance(asked, WordColumn):
            places = np.concatenate(_column(asked, arrays, offsets, require(asked, given, origin), origin, name))
            found[asked.name] = Beside(places, asked.padding)
        else:
            found[asked.name] = Beside(arrays[f"pieces{name}"], 0, table(asked, unpacked(arrays[f"surfaces{name}"])))
    return found


def table(asked: TokenInput, surfaces: Sequence[str]) -> Tensor:
    """(u + 1, ...) the values of u texts behind the padding. Raises `UsageError` if they are not as many."""
    values = np.asarray(asked.values(surfaces))
    if len(values) != len(surfaces):
        raise UsageError(f"{type(asked).__name__} gives {len(values)} values for {len(surfaces)} tokens.")
    first = np.full((1, *values.shape[1:]), asked.padding, values.dtype)
    return torch.from_numpy(np.concatenate([first, values]))


def require(asked: Asked, given: Mapping[str, Any], origin: str) -> Any:
    """The data's column. Raises `UsageError` if it has none of this name."""
    if asked.name not in given:
        raise UsageError(
            f"{origin}: the model reads '{asked.name}' of every word, which these rows do not have; name the column: "
            f"--data.word_columns '[{asked.name}]'."
        )
    return given[asked.name]


def _column(
    asked: WordColumn, arrays: Arrays, offsets: np.ndarray, given: Sequence[Any], origin: str, name: str
) -> list[np.ndarray]:
    sides, words = (np.split(arrays[f"{kind}{name}"], offsets[1:-1]) for kind in ("sides", "words"))
    found = []
    for row, numbers in enumerate(zip(*given, strict=True)):
        try:
            found.append(aligned(asked, numbers, sides[row], words[row]))
        except ValueError as error:
            raise UsageError(f"{origin}, row {row}, column '{asked.name}': {error}.") from error
    return found


def _word_of_character(text: str) -> np.ndarray:
    """The word that each character is of, as `text.split()` has them; -1 for spaces."""
    space = np.array([character.isspace() for character in text], dtype=bool)
    starts = ~space & np.concatenate([[True], space[:-1]])
    return np.where(space, -1, starts.cumsum() - 1)
