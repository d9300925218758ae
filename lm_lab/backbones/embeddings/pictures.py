"""Pictures of characters from a bitmap font in GNU Unifont's own format: a line a character, as digits of base 16.

    4E00:0000000000000000000000000000FFFE00000000000000000000000000000000

The code point, then 16 rows of 8 or 16 pixels, the first bit on the left. Debian's package `unifont` brings it
(`/usr/share/unifont/unifont.hex`); it has every Chinese character of Unicode's basic plane, under the SIL Open Font
License 1.1 or the GPL with the font exception.
"""

import gzip
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from lm_lab.errors import UsageError

SIDE = 16  # pixels
_WIDTHS = {2 * SIDE: 8, 4 * SIDE: 16}  # number of digits -> pixels a row
Lines = dict[str, str]  # character -> its digits


def lines(font: str, characters: Iterable[str]) -> Lines:
    """The digits of those characters that a font has. Raises `UsageError` for a file that is not there or no font."""
    wanted, found = {f"{ord(each):04X}": each for each in characters}, Lines()
    for number, line in enumerate(content(font).splitlines(), 1):
        code, _, digits = line.partition(":")
        if code.upper() in wanted:
            if len(digits) not in _WIDTHS or not set(digits) <= set("0123456789abcdefABCDEF"):
                raise UsageError(f"{font}, line {number}: expected 32 or 64 digits of base 16, found {digits!r:.80}.")
            found[wanted[code.upper()]] = digits
    if wanted and not found:
        raise UsageError(
            f"{font} has none of the characters asked for; expected lines of GNU Unifont, such as 4E00:00.."
        )
    return found


def content(font: str) -> str:
    """The text of a font, plain or compressed (.gz). Raises `UsageError` for a file that is not there or no text."""
    path = Path(font)
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("ascii")
    except FileNotFoundError as error:
        raise UsageError(
            f"the font '{path}' is not there; install Debian's package unifont, or give another in its format (font)."
        ) from error
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no font of GNU Unifont's format ({type(error).__name__}).") from error


def drawn(digits: str) -> np.ndarray:
    """(16, 16) zeros and ones; a narrow character stands in the middle."""
    width = _WIDTHS[len(digits)]
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8)).reshape(SIDE, width)
    edge = (SIDE - width) // 2
    return np.pad(bits, ((0, 0), (edge, edge)))


def write(path: Path, found: Mapping[str, str]) -> None:
    """A font of these characters alone."""
    rows = sorted((ord(character), digits) for character, digits in found.items())
    path.write_text("".join(f"{code:04X}:{digits}\n" for code, digits in rows), encoding="ascii")


def standardised(pictures: np.ndarray) -> np.ndarray:
    """(V, 16, 16) less the mean picture, over the standard deviation of all pixels about it; empty ones are 0."""
    there = pictures.any((1, 2))
    found = np.zeros(pictures.shape, np.float32)
    found[there] = pictures[there] - pictures[there].mean(0, dtype=np.float32) if there.any() else 0
    return found / (found[there].std() or 1) if there.any() else found
