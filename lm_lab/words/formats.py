"""Files of word vectors: word2vec's text and binary forms, fastText's .vec, GloVe's text.

text     V d\\n   then   word x_1 .. x_d\\n              word2vec, fastText
         word x_1 .. x_d\\n                              GloVe: without the first line
binary   V d\\n   then   word, a blank, d float32, often a line feed
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lm_lab.atomic import replacing
from lm_lab.errors import UsageError
from lm_lab.words.vectors import WordVectors

_BINARY = ".bin"
_LONGEST = 1000  # bytes of a word


def read(path: str | Path, limit: int | None = None) -> WordVectors:
    """The vectors in a file, the first `limit` of them; of words that come twice, the first.

    Raises:
        UsageError: no such file, one that ends too soon, or a line that is not a word with its numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"'{path}' is no file; expected word vectors as text, or word2vec's binary form (.bin).")
    with open(path, "rb") as stream:
        pairs = _binary(stream, path) if path.suffix == _BINARY else _text(stream, path)
        found: dict[str, np.ndarray] = {}
        for word, vector in islice(pairs, limit):
            found.setdefault(word, vector)
    if not found:
        raise UsageError(f"{path} holds no vectors.")
    return WordVectors(list(found), np.stack(list(found.values())))


def write(vectors: WordVectors, path: str | Path) -> Path:
    """Write word2vec's binary form to a file that ends in .bin, its text form to any other; whole or not at all.

    Raises:
        UsageError: a word holds a blank or a line feed, which the forms cannot.
    """
    path = Path(path)
    if odd := next((word for word in vectors.words if not word or any(sign.isspace() for sign in word)), None):
        raise UsageError(f"the word {odd!r:.60} holds a blank, which no file of word vectors can.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside, open(beside, "wb") as stream:
        stream.write(f"{len(vectors.words)} {vectors.matrix.shape[1]}\n".encode())
        for word, vector in zip(vectors.words, vectors.matrix, strict=True):
            if path.suffix == _BINARY:
                stream.write(word.encode() + b" " + vector.astype("<f4").tobytes() + b"\n")
            else:
                numbers = " ".join(np.format_float_positional(x, unique=True, trim="-") for x in vector)
                stream.write(f"{word} {numbers}\n".encode())
    return path


def _text(stream: BinaryIO, path: Path) -> Iterator[tuple[str, np.ndarray]]:
    width = None
    for number, raw in enumerate(stream, start=1):
        parts = raw.decode("utf-8", "replace").rstrip("\r\n ").split(" ")
        if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
            width = int(parts[1])
            continue
        width = width or len(parts) - 1
        word, numbers = " ".join(parts[:-width]), parts[-width:]  # GloVe has words with blanks
        try:
            vector = np.array(numbers, np.float32)
        except ValueError as error:
            raise UsageError(f"{path}, line {number}: expected a word and {width} numbers.") from error
        if not word or not width:
            raise UsageError(f"{path}, line {number}: expected a word and {width or 'some'} numbers.")
        yield word, vector


def _binary(stream: BinaryIO, path: Path) -> Iterator[tuple[str, np.ndarray]]:
    head = stream.readline(100).split()
    if len(head) != 2 or not all(part.isdigit() for part in head):
        raise UsageError(f"{path} does not begin with the numbers of words and dimensions, as word2vec's files do.")
    count, width = map(int, head)
    for number in range(count):
        word = _word(stream, path, number)
        raw = stream.read(4 * width)
        if len(raw) < 4 * width:
            raise UsageError(f"{path} ends in word {number + 1:,} of {count:,}; it was not copied whole.")
        yield word, np.frombuffer(raw, "<f4")


def _word(stream: BinaryIO, path: Path, number: int) -> str:
    found = bytearray()
    while (sign := stream.read(1)) != b" ":
        if not sign or len(found) > _LONGEST:
            raise UsageError(f"{path} ends, or has no blank, behind word {number:,}; expected another word.")
        if sign != b"\n":
            found += sign
    return found.decode("utf-8", "replace")
