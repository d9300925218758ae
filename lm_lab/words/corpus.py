"""A text as numbers of words, read once and kept on disk, memory-mapped: what word vectors are fitted to.

    FOLDER/ids.npy      (n,) the words, numbered from the commonest down
    FOLDER/ends.npy     (l,) where each line ends; what is longer than 10,000 words is cut
    FOLDER/counts.npy   (V,) how often each word stands there
    FOLDER/words.txt    the words, one a line
    FOLDER/sha256       of all of these

Words are what blanks and punctuation leave, as `StaticVectors` reads a text; a mark of punctuation is a word. The
folder appears when it is whole, and is made anew where it is damaged.
"""

import hashlib
import json
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import regex
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from lm_lab.atomic import replacing
from lm_lab.data import checksums
from lm_lab.data.corpora import raw
from lm_lab.data.encoding.encoding import cache_folder
from lm_lab.errors import UsageError

LONGEST = 10_000  # words of a line; longer ones are cut
_CHUNK = 4_000_000
# What `BertPreTokenizer` takes for punctuation: Unicode's, and the other signs of ASCII. Separators of ASCII are blanks
# to Python, and a word is cut at 250 characters, since files of vectors can hold neither blanks nor longer words.
_WORD = regex.compile(r"[\p{P}$+<=>^`|~]|[^\s\x1c-\x1f\p{P}$+<=>^`|~]{1,250}")


@dataclass(frozen=True)
class WordCorpus:
    """Words by number, the commonest first.

    Attributes:
        words: different, (V,).
        counts: (V,) how often each stands there, falling.
        ids: (n,) the text.
        ends: (l,) where each line ends in `ids`.
        fingerprint: of the text and of how it was read.
    """

    words: list[str]
    counts: np.ndarray
    ids: np.ndarray
    ends: np.ndarray
    fingerprint: str

    def vocabulary(self, least: int) -> int:
        """How many words stand there `least` times or more. Raises `UsageError` for fewer than two."""
        size = int(np.searchsorted(-self.counts, -least, side="right"))
        if size < 2:
            raise UsageError(
                f"min_count={least} leaves {size} of the {len(self.words):,} words of the text, {len(self.ids):,} "
                "long; expected two or more: give more text, or a smaller min_count."
            )
        return size


def split(text: str, lowercase: bool) -> list[str]:
    """The words of a line."""
    text = unicodedata.normalize("NFC", text)
    return _WORD.findall(text.lower() if lowercase else text)


def read(sources: Sequence[str], column: str = "text", lowercase: bool = True) -> WordCorpus:
    """The words of files and folders of text, or of the hub (`lm_lab.data.corpora.raw`), kept in the cache.

    Raises:
        UsageError: what `raw.documents` says of a source.
    """
    states = [source if source.startswith(raw.HUB) else _states(source) for source in sources]
    print_of = hashlib.sha256(json.dumps([states, column, lowercase, LONGEST]).encode()).hexdigest()[:32]
    folder = cache_folder() / "words" / print_of
    return build(folder, (split(line, lowercase) for line in _lines(sources, column)), print_of)


def build(folder: Path, lines: Iterable[list[str]], fingerprint: str) -> WordCorpus:
    """The corpus in `folder`, which is made of `lines` if it is not there whole."""
    if (found := _whole(folder, fingerprint)) is None:
        shutil.rmtree(folder, ignore_errors=True)
        with replacing(folder) as beside:
            _write(beside, lines)
        found = _whole(folder, fingerprint)
    assert found is not None, folder
    return found


def _states(source: str) -> list[list[str]]:
    return [checksums.of_file(path.resolve()) for path in raw.files(source)]


def _lines(sources: Sequence[str], column: str) -> Iterator[str]:
    for document in raw.documents(sources, column):
        yield from document.splitlines()


def _write(folder: Path, lines: Iterable[list[str]]) -> None:
    folder.mkdir()
    known, ends, total = dict[str, int](), list[int](), 0
    columns = TextColumn("reading: {task.completed:,.0f} words"), TimeElapsedColumn()
    with (
        Progress(*columns, console=Console(stderr=True), transient=True) as progress,
        open(folder / "raw", "wb") as raw_ids,
    ):
        bar = progress.add_task("", total=None)
        for line in lines:
            np.array([known.setdefault(word, len(known)) for word in line], np.int32).tofile(raw_ids)
            ends += [total + end for end in (*range(LONGEST, len(line), LONGEST), len(line)) if line]
            total += len(line)
            if len(ends) % 1000 == 0:
                progress.update(bar, completed=total)
    if not total:
        raise UsageError("the text holds no word.")
    _number(folder, list(known), total)
    np.save(folder / "ends.npy", np.array(ends, np.int64))
    (folder / "sha256").write_text(_checksum(folder))


def _number(folder: Path, words: list[str], total: int) -> None:
    """Number the words anew, the commonest first; of equals, the one that came first."""
    first = np.memmap(folder / "raw", np.int32, "r")
    parts = range(0, total, _CHUNK)
    counts = sum(np.bincount(first[start : start + _CHUNK], minlength=len(words)) for start in parts)
    order = np.argsort(-np.asarray(counts), kind="stable")
    rank = np.empty(len(words), np.int32)
    rank[order] = np.arange(len(words))
    ids = np.lib.format.open_memmap(folder / "ids.npy", "w+", np.int32, (total,))
    for start in parts:
        ids[start : start + _CHUNK] = rank[first[start : start + _CHUNK]]
    ids.flush()
    (folder / "raw").unlink()
    np.save(folder / "counts.npy", np.asarray(counts, np.int64)[order])
    (folder / "words.txt").write_text("".join(f"{words[row]}\n" for row in order), encoding="utf-8", newline="\n")


def _whole(folder: Path, fingerprint: str) -> WordCorpus | None:
    try:
        if (folder / "sha256").read_text() != _checksum(folder):
            return None
        words = (folder / "words.txt").read_text(encoding="utf-8").split("\n")[:-1]
        ids, ends, counts = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("ids", "ends", "counts"))
    except (OSError, ValueError, EOFError):
        return None
    return WordCorpus(words, counts, ids, ends, fingerprint)


def _checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in ("counts.npy", "ends.npy", "ids.npy", "words.txt"):
        with open(folder / name, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
