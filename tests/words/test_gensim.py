"""gensim reads what is written here and the reverse; on one text, vectors are as like as two of its own."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from lm_lab.data import microworld
from lm_lab.metrics import spearman
from lm_lab.words import WordVectors, corpus, folder, formats
from lm_lab.words.fitting import fit
from lm_lab.words.fitting.learners import learner
from lm_lab.words.models import CBOW, FastText, SkipGram
from lm_lab.words.ngrams import NGrams, buckets, fnv

gensim = pytest.importorskip("gensim", reason="gensim is not installed (the extra `dev` has it)")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:gensim", "ignore::DeprecationWarning:smart_open")
WORDS = ["the", ",", "König", "日本", "naïve"]


@pytest.fixture
def vectors() -> WordVectors:
    return WordVectors(WORDS, np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype(np.float32))


@pytest.mark.parametrize("name", ["v.txt", "v.vec", "v.bin"])
def test_gensim_reads_what_is_written(vectors: WordVectors, tmp_path: Path, name: str) -> None:
    from gensim.models import KeyedVectors

    formats.write(vectors, tmp_path / name)
    found = KeyedVectors.load_word2vec_format(str(tmp_path / name), binary=name == "v.bin")
    assert found.index_to_key == WORDS
    assert np.array_equal(found.vectors, vectors.matrix)


@pytest.mark.parametrize("binary", [False, True])
def test_what_gensim_writes_is_read(vectors: WordVectors, tmp_path: Path, binary: bool) -> None:
    from gensim.models import KeyedVectors

    theirs = KeyedVectors(6)
    theirs.add_vectors(WORDS, vectors.matrix)
    path = tmp_path / ("v.bin" if binary else "v.txt")
    theirs.save_word2vec_format(str(path), binary=binary)
    found = formats.read(path)
    assert found.words == WORDS
    assert np.allclose(found.matrix, vectors.matrix, atol=1e-6)


@pytest.mark.parametrize("word", ["where", "König", "日本語", "a", "naïve"])
def test_n_grams_are_gensims(word: str) -> None:
    from gensim.models.fasttext import ft_ngram_hashes
    from gensim.models.fasttext_inner import ft_hash_bytes

    assert fnv(word) == ft_hash_bytes(word.encode())
    assert buckets(word, 3, 6, 1000).tolist() == ft_ngram_hashes(word, 3, 6, 1000)


def test_gensim_gives_an_unseen_word_the_same_vector(tmp_path: Path) -> None:
    from gensim.models.fasttext import FastTextKeyedVectors

    rows = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    theirs = FastTextKeyedVectors(8, 3, 6, 500)
    theirs.vectors_ngrams = rows
    assert np.allclose(theirs.get_vector("überall"), NGrams(rows, 3, 6).vector("überall"), atol=1e-6)


@pytest.mark.parametrize("model", [SkipGram, CBOW])
def test_where_nothing_is_drawn_vectors_are_gensims(
    model: type[SkipGram], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Down the tree, windows of one word and no word dropped; both begin with numpy's numbers of the same seed."""
    from gensim.models import Word2Vec
    from gensim.models.keyedvectors import prep_vectors

    monkeypatch.setenv("LM_LAB_CACHE", str(tmp_path / "cache"))
    words = [f"w{chr(97 + row)}" for row in range(12)]
    order = np.random.default_rng(0).permutation(
        [word for row, word in enumerate(words) for _ in range(300 - 20 * row)]
    )
    lines = [list(map(str, order[start : start + 20])) for start in range(0, len(order), 20)]
    Path("text.txt").write_text("".join(f"{' '.join(line)}\n" for line in lines))
    text, own = corpus.read(["text.txt"]), model(size=16, window=1, negatives=0, subsample=0, epochs=3, seed=5)
    begun = prep_vectors((12, 16), seed=5)
    assert np.array_equal(learner(own, text).arrays["inputs"], begun)
    fit(own, text, Path("mine"))
    peer = Word2Vec(
        lines, vector_size=16, window=1, negative=0, hs=1, sample=0, epochs=3, seed=5, workers=1,
        sg=int(model is SkipGram), alpha=own.rate,
    )  # fmt: skip
    mine = folder.load("mine")
    assert mine.words == peer.wv.index_to_key == words
    assert np.corrcoef(begun.ravel(), peer.wv.vectors.ravel())[0, 1] < 0.9  # they have moved
    # not 1: gensim's sigmoid is a coarse table, that of x - 0.03 on average
    assert np.corrcoef(mine.matrix.ravel(), peer.wv.vectors.ravel())[0, 1] > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("model", [SkipGram, CBOW, FastText])
def test_vectors_are_as_like_gensims_as_two_of_gensims_own(
    model: type[SkipGram], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rank correlations of the cosines of all pairs of words; benchmarks/peers/words.py has those of WikiText-2."""
    from gensim.models import FastText as TheirFastText
    from gensim.models import Word2Vec

    monkeypatch.setenv("LM_LAB_CACHE", str(tmp_path / "cache"))
    Path("text.txt").write_text("".join(f"{text}\n" for text in microworld.corpus(40_000, seed=0)))
    text = corpus.read(["text.txt"])
    starts = [0, *text.ends.tolist()]
    lines = [[text.words[word] for word in text.ids[a:b]] for a, b in itertools.pairwise(starts)]
    words = text.words[: text.vocabulary(5)]

    def ours(seed: int) -> WordVectors:
        more = {"buckets": 20_000} if model is FastText else {}
        fit(model(size=50, seed=seed, **more), text, Path(f"v{seed}"))
        return folder.load(f"v{seed}")

    def theirs(seed: int) -> WordVectors:
        own = model(seed=seed)
        shared = {"vector_size": 50, "alpha": own.rate, "sample": own.subsample, "ns_exponent": own.noise, "workers": 1}
        shared |= {"seed": seed, "epochs": own.epochs, "sg": int(model is not CBOW)}
        peer = TheirFastText(lines, bucket=20_000, **shared) if model is FastText else Word2Vec(lines, **shared)
        return WordVectors(words, np.stack([peer.wv[word] for word in words]))

    upper = np.triu_indices(len(words), 1)
    mine, peers = (
        [(run(seed).unit @ run(seed).unit.T)[upper] for seed in seeds]
        for run, seeds in ((ours, (101, 102, 103)), (theirs, (1, 2, 3)))  # of one seed, both would begin alike
    )
    across = np.mean([spearman(a, b) for a, b in itertools.product(mine, peers)])
    within = [spearman(a, b) for a, b in itertools.combinations(peers, 2)]
    assert across >= np.mean(within) - 0.02
