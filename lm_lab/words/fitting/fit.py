"""Fit vectors: chunks of work on threads, a state that is kept, a folder at the end.

    OUT/vectors.bin      word2vec's binary form, the commonest word first
    OUT/ngrams.npy       fastText's rows of n-grams, (buckets, d)
    OUT/settings.json    the settings, the text's fingerprint, words read, loss, versions; written last
    OUT/state.npz        while it is not done: everything that is learned, and how far

Chunks go out in rounds, and a state is kept between rounds: of one thread it is that of an undisturbed run. With
several, threads write to shared rows without locks (Niu et al. 2011, https://arxiv.org/abs/1106.5730), and no two
runs are the same.
"""

import json
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from lm_lab import provenance
from lm_lab.atomic import replacing, require_writable
from lm_lab.errors import UsageError
from lm_lab.words import WordVectors
from lm_lab.words.corpus import WordCorpus
from lm_lab.words.fitting.learners import Learner, learner
from lm_lab.words.folder import SETTINGS, save
from lm_lab.words.models import Model

_STATE = "state.npz"
_ROUND = 32  # chunks between which nobody waits, a thread
_BETWEEN = 300.0  # seconds between states


def fit(model: Model, corpus: WordCorpus, out: Path, threads: int = 1, between: float = _BETWEEN) -> dict[str, Any]:
    """Fit, or go on where a run of the same settings was stopped; the settings that are kept with the vectors.

    Args:
        model: what is fitted.
        corpus: text.
        out: folder.
        threads: of the processor.
        between: seconds after which the state is kept, beside the end of each epoch.

    Raises:
        UsageError: `out` has vectors or a state of other settings, or cannot be written; numbers that are not finite.
    """
    if threads < 1:
        raise UsageError(f"threads={threads}: expected 1 or more.")
    require_writable(out)
    asked = {"model": model.name, **asdict(model), "corpus": corpus.fingerprint}
    if (done := _finished(out, asked)) is not None:
        return done
    work = learner(model, corpus)
    if len(work.bounds) < 2:
        raise UsageError("no two words of the text meet in a line; there is nothing to fit.")
    place, kept = _restored(out, asked, work), time.monotonic()
    for _ in _run(work, model.epochs, place, threads):
        if place.epoch < model.epochs and (not place.chunk or time.monotonic() - kept >= between):
            _keep(out, asked, work, place)
            kept = time.monotonic()
    matrix = work.vectors()
    ended = {
        "words": len(corpus.ids),
        "vocabulary": len(matrix),
        "loss": place.mean,
        "seconds": round(place.seconds, 1),
    }
    record = asked | ended | {"threads": threads, "git": provenance.git_state(), "versions": provenance.versions()}
    save(out, WordVectors(corpus.words[: len(matrix)], matrix, work.n_grams()), record)
    (out / _STATE).unlink(missing_ok=True)
    return record


@dataclass
class _Place:
    """How far a fit has come: the next chunk of which epoch, this epoch's loss and over how many, seconds."""

    epoch: int = 0
    chunk: int = 0
    loss: float = 0.0
    over: float = 0.0
    seconds: float = 0.0

    @property
    def mean(self) -> float:
        return self.loss / max(1.0, self.over)


def _run(work: Learner, epochs: int, place: _Place, threads: int) -> Iterator[None]:
    """Go through all epochs from a place, which is moved; stop after each round."""
    chunks, length = len(work.bounds) - 1, int(work.bounds[-1])
    begun, before = time.perf_counter(), place.seconds
    with _bar() as progress, ThreadPoolExecutor(threads) as pool:
        bar = progress.add_task("", total=epochs * length, note="")
        first = place.epoch * length + int(work.bounds[place.chunk])
        while place.epoch < epochs:
            part = range(place.chunk, min(chunks, place.chunk + _ROUND * threads))
            done = place.epoch * length + work.bounds[part.start : part.stop]
            if not place.chunk:
                place.loss = place.over = 0.0
            for loss, count in pool.map(work.learn, part, [place.epoch] * len(part), done / (epochs * length)):
                place.loss, place.over = place.loss + loss, place.over + count
            place.epoch, place.chunk = (place.epoch + 1, 0) if part.stop == chunks else (place.epoch, part.stop)
            now, spent = place.epoch * length + int(work.bounds[place.chunk]), time.perf_counter() - begun
            note = f"{(now - first) / spent:,.0f} {work.unit}/s, loss {place.mean:.3f}"
            progress.update(bar, completed=now, note=note)
            place.seconds = before + spent
            yield


def _bar() -> Progress:
    columns = (
        TextColumn("fitting: {task.percentage:.0f}%"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _keep(out: Path, asked: dict[str, Any], work: Learner, place: _Place) -> None:
    with replacing(out / _STATE) as beside, open(beside, "wb") as stream:
        kept: dict[str, Any] = {"asked": np.array(json.dumps(asked)), "place": np.array(astuple(place)), **work.arrays}
        np.savez(stream, **kept)


def _restored(out: Path, asked: dict[str, Any], work: Learner) -> _Place:
    path = out / _STATE
    if not path.exists():
        return _Place()
    try:
        with np.load(path) as found:
            _require_same(path, json.loads(str(found["asked"])), asked)
            epoch, chunk, *numbers = found["place"].tolist()
            for name, array in work.arrays.items():
                array[:] = found[name]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is damaged; remove it to begin anew.") from error
    return _Place(int(epoch), int(chunk), *numbers)


def _finished(out: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    path = out / SETTINGS
    if not path.exists():
        return None
    try:
        held: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise UsageError(f"{path} is damaged; give another folder, or remove this one.") from error
    _require_same(path, held, asked)
    return held


def _require_same(path: Path, held: dict[str, Any], asked: dict[str, Any]) -> None:
    for name, value in asked.items():
        if held.get(name) != value:
            raise UsageError(
                f"{path} is of vectors with {name}={held.get(name)}, not {value}; give another folder, or remove this "
                "one."
            )
