"""A folder of fitted vectors: what `lm-lab words fit` leaves and everything that takes vectors reads."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from lm_lab.atomic import replace_file, replacing
from lm_lab.errors import UsageError
from lm_lab.words import formats
from lm_lab.words.ngrams import NGrams
from lm_lab.words.vectors import WordVectors

VECTORS, N_GRAMS, SETTINGS = "vectors.bin", "ngrams.npy", "settings.json"


def save(folder: Path, vectors: WordVectors, settings: dict[str, Any]) -> None:
    """Write vectors, rows of n-grams where there are any, and what is to be kept with them, which comes last."""
    formats.write(vectors, folder / VECTORS)
    if vectors.n_grams is not None:
        with replacing(folder / N_GRAMS) as beside, open(beside, "wb") as stream:
            np.save(stream, vectors.n_grams.matrix)
        lengths = {"shortest": vectors.n_grams.shortest, "longest": vectors.n_grams.longest}
        settings = lengths | settings
    replace_file(folder / SETTINGS, (json.dumps(settings, indent=1) + "\n").encode())


def load(source: str | Path, limit: int | None = None) -> WordVectors:
    """The vectors of a folder, or of a file in any form of `formats`, the first `limit` of them.

    Raises:
        UsageError: what `formats.read` says; a folder without vectors, or whose n-grams are damaged.
    """
    source = Path(source)
    if not source.is_dir():
        return formats.read(source, limit)
    if not (source / VECTORS).is_file():
        raise UsageError(f"the folder '{source}' has no {VECTORS}; expected what `lm-lab words fit` has written.")
    vectors = formats.read(source / VECTORS, limit)
    return WordVectors(vectors.words, vectors.matrix, _n_grams(source)) if (source / N_GRAMS).is_file() else vectors


def _n_grams(folder: Path) -> NGrams:
    try:
        settings = json.loads((folder / SETTINGS).read_text())
        rows = np.load(folder / N_GRAMS, mmap_mode="r")
        return NGrams(rows, int(settings["shortest"]), int(settings["longest"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise UsageError(f"the n-grams of '{folder}' cannot be read from {N_GRAMS} and {SETTINGS}: {error}.") from error
