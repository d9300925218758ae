"""Text files of any encoding, decoded; what cannot be is told in one line."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from lm_lab.errors import UsageError

UTF_8 = "utf-8"


def codec(encoding: str) -> str:
    """The codec of a name, for UTF-8 the one that drops a byte order mark. Raises `UsageError` for an unknown name."""
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)  # some codecs are of bytes, such as base64
    except (LookupError, ValueError, TypeError) as error:
        raise UsageError(
            f"encoding='{encoding}' is unknown; expected a name such as utf-8, utf-16, latin-1, cp1252, gb18030."
        ) from error
    return "utf-8-sig" if name == UTF_8 else name


def read_text(path: Path, encoding: str = UTF_8) -> str:
    """The text of a file. Raises `UsageError` if it cannot be read, or has another encoding."""
    try:
        return decoded(path.read_bytes(), encoding, str(path))
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror or error}.") from error


def decoded(content: bytes, encoding: str, origin: str) -> str:
    """Bytes as text. Raises `UsageError` if they have another encoding."""
    try:
        return content.decode(codec(encoding))
    except UnicodeError as error:
        raise _not_in(encoding, origin, error) from error


def read_lines(path: Path, encoding: str = UTF_8) -> Iterator[str]:
    """The lines of a file, read a little at a time and without their ends. Raises `UsageError` as `read_text`."""
    try:
        with path.open(encoding=codec(encoding), newline="\n") as stream:
            for line in stream:
                yield line.rstrip("\r\n")
    except UnicodeError as error:
        raise _not_in(encoding, str(path), error) from error
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror or error}.") from error


def _not_in(encoding: str, origin: str, error: UnicodeError) -> UsageError:
    wanted = "UTF-8" if codec(encoding) == "utf-8-sig" else encoding
    where = f" (byte {error.start}: {error.reason})" if isinstance(error, UnicodeDecodeError) else f" ({error})"
    return UsageError(
        f"'{origin}' cannot be read: it is not {wanted}{where}; save it as UTF-8, or name its encoding: "
        "--data.encoding latin-1."
    )
