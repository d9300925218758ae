"""Texts that a user gives to predict on: a file or standard input, one example a line, tabs between its texts; or
examples from Python."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lm_lab.data.reading.texts import UTF_8, decoded, read_text
from lm_lab.errors import UsageError

TEXT = "text"  # the split that lines are


@dataclass(frozen=True)
class Lines:
    """The n lines that hold anything, or n examples.

    Attributes:
        texts: the texts of each.
        ids: (n,) line numbers from 0, or those of the examples.
        origin: the file, for messages.
    """

    texts: list[list[str]]
    ids: np.ndarray
    origin: str

    def column(self, place: int) -> list[str]:
        """The text at a place of every line."""
        return [texts[place] for texts in self.texts]


def read_lines(path: str, columns: Sequence[str], more: bool = False, encoding: str = UTF_8) -> Lines:
    """The lines of `path`, "-" for standard input.

    Args:
        path: a text file.
        columns: what the texts of a line are, in order.
        more: a line may have more of the last kind.
        encoding: of the file, or of standard input.

    Raises:
        UsageError: no such file, another encoding, no lines, or a line with the wrong number of texts or an empty one.
    """
    if path != "-" and not Path(path).is_file():
        raise UsageError(f"no file '{path}' to predict on; give a text file, or - for standard input.")
    origin = "standard input" if path == "-" else path
    text = _standard_input(encoding) if path == "-" else read_text(Path(path), encoding)
    lines = text.split("\n")
    found = [(number, line.rstrip("\r").split("\t")) for number, line in enumerate(lines) if line.strip()]
    if not found:
        raise UsageError(f"{origin} has no text; expected one example a line.")
    for number, texts in found:
        if len(texts) < len(columns) or (len(texts) > len(columns) and not more):
            raise UsageError(
                f"{origin}, line {number + 1}: {len(texts)} texts, but this task needs {len(columns)}"
                f"{' or more' if more else ''} ({', '.join(columns)}), separated by a tab."
            )
        if not all(text.strip() for text in texts):
            raise UsageError(f"{origin}, line {number + 1}: an empty text beside a tab.")
    return Lines([texts for _, texts in found], np.array([number for number, _ in found]), origin)


def given_lines(examples: Sequence[Any], columns: Sequence[str], more: bool = False) -> Lines:
    """Examples from Python: a text each, or a sequence of texts, of which the last kind may be in one of its own.

    Args:
        examples: such as `"a text"`, `("a question", "its context")`, `("a context", ["an option", "another"])`.
        columns: what the texts of an example are, in order.
        more: an example may have more of the last kind.

    Raises:
        UsageError: one text in place of examples, what is no text, or an example with the wrong number of texts.
    """
    if isinstance(examples, str):
        raise UsageError(f"{examples!r:.80} is one text; give a list of examples.")
    found = [_texts(example) for example in examples]
    for number, texts in enumerate(found):
        if wrong := [text for text in texts if not isinstance(text, str)]:
            raise UsageError(f"example {number}: {wrong[0]!r:.80} is no text.")
        if len(texts) < len(columns) or (len(texts) > len(columns) and not more):
            raise UsageError(
                f"example {number}: {len(texts)} texts, but this task needs {len(columns)}{' or more' if more else ''} "
                f"({', '.join(columns)}): {texts!r:.200}."
            )
    return Lines(found, np.arange(len(found)), "the examples given")


def _texts(example: Any) -> list[Any]:
    if not isinstance(example, list | tuple):
        return [example]
    return [text for part in example for text in (part if isinstance(part, list | tuple) else [part])]


def _standard_input(encoding: str) -> str:
    binary = getattr(sys.stdin, "buffer", None)  # a stand-in of a test or a notebook has none
    return sys.stdin.read() if binary is None else decoded(binary.read(), encoding, "standard input")
