"""`lm-lab words fit`: one text in, a folder out; stopped and taken up again, refused in one line, read by others."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers

from lm_lab.backbones import StaticVectors
from lm_lab.cli import main
from lm_lab.data import microworld
from lm_lab.errors import UsageError
from lm_lab.words import WordVectors, corpus, folder, formats, picture
from lm_lab.words.corpus import WordCorpus
from lm_lab.words.fitting import fit
from lm_lab.words.fitting.learners import learner
from lm_lab.words.models import CBOW, FastText, GloVe, Model, SkipGram

SMALL = {"size": 12, "epochs": 2, "min_count": 2}
MODELS = [
    SkipGram(**SMALL), SkipGram(negatives=0, **SMALL), CBOW(**SMALL), CBOW(negatives=0, **SMALL), GloVe(**SMALL),
    FastText(buckets=500, **SMALL),
]  # fmt: skip
NAMES = [f"{model.name}{'' if getattr(model, 'negatives', 1) else '_hs'}" for model in MODELS]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LM_LAB_CACHE", str(tmp_path / "cache"))
    texts = [text.replace("\t", " ") for text in microworld.corpus(3000, seed=0)]
    (tmp_path / "text.txt").write_text("".join(f"{text}\n" for text in texts))
    return str(tmp_path / "text.txt")


@pytest.fixture
def text(source: str) -> WordCorpus:
    return corpus.read([source])


def test_a_text_is_numbered_from_the_commonest_word_and_read_once(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = corpus.read([source])
    lines = [corpus.split(line, True) for line in Path(source).read_text().splitlines()]
    starts = [0, *first.ends.tolist()]
    again = [[first.words[word] for word in first.ids[a:b]] for a, b in pairwise(starts)]
    assert again == lines
    assert (np.diff(first.counts) <= 0).all()
    assert first.counts.tolist() == np.bincount(first.ids).tolist()
    assert isinstance(first.ids, np.memmap)
    monkeypatch.setattr(corpus, "_write", None)
    assert corpus.read([source]).words == first.words
    assert corpus.read([source]).fingerprint == first.fingerprint


def test_a_damaged_corpus_is_read_anew(source: str, tmp_path: Path) -> None:
    words = corpus.read([source]).words
    (path,) = (tmp_path / "cache").rglob("ids.npy")
    path.write_bytes(path.read_bytes()[:-8] + bytes(8))
    assert corpus.read([source]).words == words
    assert not path.read_bytes().endswith(bytes(8))


def test_lines_that_are_too_long_are_cut(tmp_path: Path) -> None:
    found = corpus.build(tmp_path / "words", [["a", "b"] * 12_000, [], ["b"]], "")
    assert found.ends.tolist() == [10_000, 20_000, 24_000, 24_001]


@pytest.mark.parametrize("line", ["Don't pay £5.50 (or $6)—now!", "naïve “quotes” a_b ~ ^x", "日本 ，好", " "])
def test_words_are_those_that_the_backbone_reads(line: str) -> None:
    read = [word for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(line.lower())]
    assert corpus.split(line, True) == read


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_every_model_learns_and_one_seed_gives_the_same_bits(model: Model, text: WordCorpus, tmp_path: Path) -> None:
    first, longer = fit(model, text, tmp_path / "a"), fit(replace(model, epochs=6), text, tmp_path / "longer")
    assert longer["loss"] < first["loss"]
    fit(model, text, tmp_path / "b")
    fit(replace(model, seed=1), text, tmp_path / "c")
    one, two, other = (folder.load(tmp_path / name) for name in "abc")
    assert np.array_equal(one.matrix, two.matrix)
    assert not np.array_equal(one.matrix, other.matrix)
    assert one.words == text.words[: len(one.words)]
    assert (text.counts[: len(one.words)] >= 2).all()
    kept = json.loads((tmp_path / "a/settings.json").read_text())
    assert (kept["model"], kept["corpus"], kept["size"]) == (model.name, text.fingerprint, 12)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(
        ["settings.json", "vectors.bin", *(["ngrams.npy"] if isinstance(model, FastText) else [])]
    )


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_stopped_and_taken_up_again_is_as_if_undisturbed(
    model: Model, text: WordCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle of the second epoch, with a state after every round of one chunk."""
    module = sys.modules["lm_lab.words.fitting.fit"]
    learners = sys.modules["lm_lab.words.fitting.learners"]
    for name, value in (("_WORDS", 2000), ("_PAIRS", 200)):
        monkeypatch.setattr(learners, name, value)
    monkeypatch.setattr(module, "_ROUND", 1)
    whole = fit(model, text, tmp_path / "whole")
    kind = learners.GloVeLearner if isinstance(model, GloVe) else learners.WindowLearner
    learn = kind.learn

    def stopping(self, chunk, epoch, done):  # type: ignore[no-untyped-def]
        if epoch == 1 and chunk == 2:
            raise KeyboardInterrupt
        return learn(self, chunk, epoch, done)

    monkeypatch.setattr(kind, "learn", stopping)
    with pytest.raises(KeyboardInterrupt):
        fit(model, text, tmp_path / "again", between=0)
    monkeypatch.setattr(kind, "learn", learn)
    assert (tmp_path / "again/state.npz").exists()
    assert fit(model, text, tmp_path / "again")["loss"] == whole["loss"]
    one, two = (folder.load(tmp_path / name) for name in ("whole", "again"))
    assert np.array_equal(one.matrix, two.matrix)
    assert not (tmp_path / "again/state.npz").exists()


@pytest.mark.slow
def test_a_process_that_is_killed_ends_as_one_that_is_not(source: str, tmp_path: Path) -> None:
    words = ["words", "fit", source, "--epochs", "40", "--size", "50"]
    process = subprocess.Popen([sys.executable, "-m", "lm_lab", *words, "--out", "killed"], env=os.environ)
    deadline = time.monotonic() + 120
    while not Path("killed/state.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Path("killed/state.npz").exists()
    for out in ("killed", "whole"):
        assert main([*words, "--out", out]) == 0
    assert np.array_equal(folder.load("killed").matrix, folder.load("whole").matrix)


def test_every_word_of_any_text_can_be_written_and_read(tmp_path: Path) -> None:
    (tmp_path / "odd.txt").write_text(f"a\x1fb {'x' * 3000} ü\u00a0c\u2028d \x00 e\n" * 3)
    found = corpus.read([str(tmp_path / "odd.txt")])
    fit(SkipGram(size=4, epochs=1, min_count=1), found, tmp_path / "v")
    assert folder.load(tmp_path / "v").words == found.words
    assert {"a", "b", "x" * 250, "ü", "c", "d"} <= set(found.words)


def test_two_threads_learn_too(text: WordCorpus, tmp_path: Path) -> None:
    one, two = (fit(SkipGram(**SMALL), text, tmp_path / str(threads), threads) for threads in (1, 2))
    assert two["loss"] == pytest.approx(one["loss"], rel=0.05)


def test_a_pass_leaves_other_threads_their_turn(text: WordCorpus) -> None:
    """Else two threads would be no faster than one: beside a holder of the lock this one would have a turn or two."""
    work, turns = learner(SkipGram(size=100, min_count=1), text), 0
    work.lines, work.bounds = np.array([0, len(text.ends)]), np.array([0, len(text.ids)])  # one long chunk
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work.learn, 0, 0, 0.0).result()  # compiled
        running = pool.submit(work.learn, 0, 0, 0.0)
        while not running.done():
            time.sleep(1e-4)
            turns += 1
    assert turns > 5


def test_a_finished_folder_is_not_fitted_again_nor_written_over(
    source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["words", "fit", source, "--out", "v", "--epochs", "1", "--size", "8"]
    assert main(command) == 0
    before = Path("v/vectors.bin").stat().st_mtime_ns
    assert main(command) == 0
    assert Path("v/vectors.bin").stat().st_mtime_ns == before
    assert main([*command, "--window", "3"]) == 2
    assert "is of vectors with window=5, not 3; give another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "0"], "size=0: expected 1 or more"),
        (["--rate", "0"], "rate=0.0: expected more than 0"),
        (["--rate", "nan"], "rate=nan: expected more than 0"),
        (["--window", "5000"], "window=5000: expected 1 or more, at most 1000"),
        (["--min-count", "100000"], "min_count=100000 leaves 0 of the"),
        (["--threads", "0"], "threads=0: expected 1 or more"),
        (["--model", "glove", "--negatives", "3"], "--negatives is no setting of glove; it has"),
        (["--model", "fasttext", "--shortest", "5", "--longest", "4"], "longest=4: expected 5 or more"),
        (["--model", "fasttext", "--negatives", "0"], "negatives=0: fasttext has no hierarchical softmax"),
        (["--model", "word3vec"], "invalid choice: 'word3vec'"),
        (["--size", "many"], "invalid int value: 'many'"),
    ],
)
def test_bad_settings_are_told_in_one_line(
    source: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["words", "fit", source, "--out", "v", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1


def test_bad_texts_and_folders_are_told_in_one_line(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("blank.txt").write_text("\n \n")
    Path("single.txt").write_text("a\nb\nb\na\n")
    assert main(["words", "fit", "blank.txt", "--out", "v"]) == 2
    assert "holds no text" in capsys.readouterr().err
    assert main(["words", "fit", "single.txt", "--out", "v", "--min-count", "1", "--model", "glove"]) == 2
    assert "no two words of the text meet" in capsys.readouterr().err
    assert main(["words", "fit", "nowhere.txt", "--out", "v"]) == 2
    assert "no text at 'nowhere.txt'" in capsys.readouterr().err
    Path("half").mkdir()
    Path("half/state.npz").write_bytes(b"PK")
    assert main(["words", "fit", source, "--out", "half"]) == 2
    assert "state.npz is damaged; remove it" in capsys.readouterr().err
    assert main(["words", "nearest", "half", "a"]) == 2
    assert "has no vectors.bin" in capsys.readouterr().err


@pytest.fixture
def subwords(text: WordCorpus, tmp_path: Path) -> Path:
    fit(FastText(buckets=500, **SMALL), text, tmp_path / "ft")
    return tmp_path / "ft"


def test_an_unseen_word_has_the_vector_of_its_n_grams(subwords: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vectors = folder.load(subwords)
    assert not vectors.listed("goodest")
    assert vectors.n_grams is not None
    made = vectors.n_grams.vector("goodest")
    assert made is not None
    assert vectors.cosine("Goodest", "good") == pytest.approx(
        float(
            made
            @ vectors.matrix[vectors.row("good")]
            / np.linalg.norm(made)
            / np.linalg.norm(vectors.matrix[vectors.row("good")])
        ),
        rel=1e-4,
    )
    assert main(["words", "nearest", str(subwords), "goodest", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["word"] == vectors.nearest("goodest")[0][0]


def test_the_backbone_reads_a_folder_and_gives_unseen_words_their_n_grams(subwords: Path, tmp_path: Path) -> None:
    backbone, vectors = StaticVectors(str(subwords)), folder.load(subwords)
    assert vectors.n_grams is not None
    (asked,) = backbone.asks
    words = ["it", "goodest", "q"]
    batch = backbone.tokenizer([" ".join(words)], return_tensors="pt")
    values = asked.values(words)
    (states,) = backbone(**batch, **{asked.name: torch.from_numpy(values)[None]})
    assert torch.allclose(states[0, 0], torch.from_numpy(vectors.matrix[vectors.row("it")]))
    assert torch.allclose(states[0, 1], torch.from_numpy(vectors.n_grams.vector("goodest")), atol=1e-6)
    assert torch.allclose(states[0, 2], backbone.token_embeddings[1]) is (vectors.n_grams.vector("q") is None)
    backbone.write(tmp_path / "again")
    again = StaticVectors(str(tmp_path / "again"))
    assert again.fingerprint == backbone.fingerprint
    assert not torch.equal(backbone.randomised().n_grams, backbone.n_grams)


def test_a_picture_has_every_word_once_and_no_label_on_another(text: WordCorpus, tmp_path: Path) -> None:
    fit(SkipGram(**SMALL), text, tmp_path / "v")
    vectors = folder.load(tmp_path / "v")
    found, share = picture.places(vectors, vectors.words[:3], 5)
    names = [place.word for place in found]
    assert len(names) == len(set(names)) >= 6
    assert 0 < share <= 1
    assert {place.word for place in found if place.asked} == set(vectors.words[:3])
    drawn = picture.svg(found, share)
    assert all(drawn.count(f">{name.replace('&', '&amp;')}</text>") == 1 for name in names)
    assert main(["words", "plot", str(tmp_path / "v"), *vectors.words[:2], "--out", "p.svg"]) == 0
    assert Path("p.svg").read_text().startswith("<svg")
    with pytest.raises(UsageError, match="no vector among"):
        picture.places(vectors, ["zyzzy"], 3)


def test_the_line_to_a_label_ends_at_its_nearest_edge() -> None:
    """At its left end it crossed labels that stand to the left of their points."""
    found = [picture.Place(f"word{row}", 0, 1.0, 1.0, False) for row in range(9)] + [picture.Place("a", 1, 0, 0, True)]
    drawn, width = picture.svg(found, 1), 5 * 6.6
    lines = re.findall(r'<line x1="(.+?)" y1="(.+?)" x2="(.+?)" y2="(.+?)".+?<text x="(.+?)" y="(.+?)"', drawn)
    assert len(lines) >= 4
    for x, y, to_x, to_y, left, base in (map(float, each) for each in lines):
        assert to_x == pytest.approx(min(max(x, left), left + width), abs=0.2)
        assert (to_y >= base - 11 + 14) == (to_y < y)  # below the label only where the point is


def test_a_line_of_pictures_is_exact_for_words_in_a_plane() -> None:
    angles = np.linspace(0, 2, 6)
    vectors = WordVectors(list("abcdef"), np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32))
    found, share = picture.places(vectors, ["a"], 5)
    assert share == pytest.approx(1)
    places = np.array([[place.x, place.y] for place in found])
    given = vectors.unit[[vectors.row(place.word) for place in found]]
    assert np.allclose(
        np.linalg.norm(places[:, None] - places, axis=-1), np.linalg.norm(given[:, None] - given, axis=-1), atol=1e-5
    )


def test_formats_of_the_folder_are_word2vecs(text: WordCorpus, tmp_path: Path) -> None:
    fit(CBOW(**SMALL), text, tmp_path / "v")
    assert formats.read(tmp_path / "v/vectors.bin").words == folder.load(tmp_path / "v").words
    assert len(folder.load(tmp_path / "v", limit=4).words) == 4
