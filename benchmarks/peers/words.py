"""word2vec with lm_lab beside gensim: same text, settings and threads, on one machine in turn.

    LM_LAB_DATA=../shared/data python benchmarks/peers/words.py --out benchmarks/results/peers_words.json

Skip-gram and CBOW with negative sampling, 100 dimensions, windows of 5, 5 negatives, t = 1e-3, words that stand there
5 times, the default rates of either model for both. gensim gets the lines as lists in memory and, with the first seed,
as a file (`corpus_file`); the ratio is to the faster. Words per second are those of the text over the wall time of
training alone: vocabulary, compilation and saving are apart. Each is run `--seeds` times in turn and the fastest
counts. The seeds of the two sides differ, since both would begin with the same vectors.

`scores`: Spearman's correlations with people's, mean and standard deviation over seeds. `alike`: rank correlations of
the cosines of these pairs, mean and standard deviation over pairs of fits, of which one is ours and one gensim's, or
both gensim's, or both ours.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import gensim
import numpy as np
import pyarrow.parquet as pq
import record
from gensim.models import Word2Vec

from lm_lab.cli import exit_code
from lm_lab.metrics import spearman
from lm_lab.words import WordVectors, corpus
from lm_lab.words.agreement import similarities
from lm_lab.words.corpus import WordCorpus
from lm_lab.words.fitting import CBOW, SkipGram, fit

MODELS: dict[str, type[SkipGram]] = {"skip_gram": SkipGram, "cbow": CBOW}
SETS = ("WS-353-ALL", "MEN-TR-3k", "SIMLEX-999")
_APART = 100  # of seeds
Found = tuple[float, float, WordVectors]  # wall seconds, processor seconds
Spread = dict[str, float]


def ours(model: SkipGram, text: WordCorpus, threads: int) -> Found:
    """Seconds and vectors of lm_lab."""
    from lm_lab.words.folder import load

    with tempfile.TemporaryDirectory() as folder:
        fit(model, WordCorpus(text.words, text.counts, text.ids[:1000], text.ends[:1], "warm"), Path(folder, "warm"))
        started = time.process_time()
        settings = fit(model, text, Path(folder, "vectors"), threads)
        return settings["seconds"], time.process_time() - started, load(Path(folder, "vectors"))


def theirs(model: SkipGram, threads: int, lines: list[list[str]] | Path) -> Found:
    """Seconds and vectors of gensim, of lines in memory or of a file of them."""
    source = {"corpus_file": str(lines)} if isinstance(lines, Path) else {"corpus_iterable": lines}
    peer = Word2Vec(
        vector_size=model.size, window=model.window, min_count=model.min_count, negative=model.negatives,
        sample=model.subsample, alpha=model.rate, min_alpha=1e-4 * model.rate, sg=int(not isinstance(model, CBOW)),
        seed=model.seed, workers=threads, epochs=model.epochs,
    )  # fmt: skip
    peer.build_vocab(**source)
    started, spent = time.perf_counter(), time.process_time()
    peer.train(
        **source, total_examples=peer.corpus_count, total_words=peer.corpus_total_words, epochs=model.epochs,
        start_alpha=model.rate, end_alpha=1e-4 * model.rate,
    )  # fmt: skip
    seconds, spent = time.perf_counter() - started, time.process_time() - spent
    return seconds, spent, WordVectors(peer.wv.index_to_key, peer.wv.vectors)


def compare(
    name: str, text: WordCorpus, lines: list[list[str]], file: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """One model on so many threads, all sides in turn."""
    sides: dict[str, Callable[[SkipGram], Found]] = {
        "ours": lambda model: ours(model, text, options.threads),
        "gensim": lambda model: theirs(model, options.threads, lines),
        "gensim_file": lambda model: theirs(model, options.threads, file),
    }
    found: dict[str, list[Found]] = {side: [] for side in sides}
    for seed, (side, run) in itertools.product(range(1, options.seeds + 1), sides.items()):
        if side != "gensim_file" or seed == 1:
            number = seed + _APART if side == "ours" else seed
            found[side].append(run(MODELS[name](epochs=options.epochs, seed=number)))
    words = len(text.ids) * options.epochs
    speeds = {side: words / min(seconds for seconds, *_ in runs) for side, runs in found.items()}
    spent = {side: min(seconds for _, seconds, _ in runs) for side, runs in found.items()}
    vectors = {side: [each for *_, each in runs] for side, runs in found.items()}
    return {
        "model": name, "threads": options.threads, "words_per_second": speeds, "processor_seconds": spent,
        "ratio": speeds["ours"] / max(speeds["gensim"], speeds["gensim_file"]),
        "processor_ratio": min(spent["gensim"], spent["gensim_file"]) / spent["ours"],
        "scores": {side: scores(vectors[side]) for side in ("ours", "gensim")},
        "alike": alike(vectors["ours"], vectors["gensim"]), "load": os.getloadavg()[0],
    }  # fmt: skip


def scores(vectors: list[WordVectors]) -> dict[str, Spread]:
    """Agreement with people over seeds."""
    found = [{row.name: row.score for row in similarities(each)} for each in vectors]
    return {name: spread([each[name] for each in found]) for name in SETS}


def alike(mine: list[WordVectors], peers: list[WordVectors]) -> dict[str, Spread]:
    """Rank correlations of the cosines of the pairs that people have scored, over pairs of fits."""
    rows = pq.read_table(Path(os.environ["LM_LAB_DATA"], "word_similarity", "test.parquet")).to_pylist()
    pairs = sorted({(row["word1"], row["word2"]) for row in rows if mine[0].listed(row["word1"], row["word2"])})
    ours, theirs = ([np.array([each.cosine(*pair) for pair in pairs]) for each in side] for side in (mine, peers))
    return {
        "ours_theirs": spread([spearman(a, b) for a, b in itertools.product(ours, theirs)]),
        "theirs_theirs": spread([spearman(a, b) for a, b in itertools.combinations(theirs, 2)]),
        "ours_ours": spread([spearman(a, b) for a, b in itertools.combinations(ours, 2)]),
    }


def spread(values: list[float]) -> Spread:
    """Mean, standard deviation and number."""
    return {"mean": fmean(values), "sd": stdev(values) if len(values) > 1 else 0.0, "n": len(values)}


def main() -> None:
    """Run all, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", nargs="+", default=["wikitext-2-raw"])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = corpus.read(options.source)
    ids, starts = text.ids.tolist(), [0, *text.ends.tolist()]
    lines = [[text.words[word] for word in ids[a:b]] for a, b in itertools.pairwise(starts)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "lines.txt")
        file.write_text("".join(f"{' '.join(line)}\n" for line in lines))
        for name, options.threads in itertools.product(MODELS, (1, 2)):
            rows.append(compare(name, text, lines, file, options))
            print(json.dumps(rows[-1]), flush=True)
            if options.out:
                settings = {
                    "source": options.source,
                    "words": len(text.ids),
                    "epochs": options.epochs,
                    "seeds": options.seeds,
                }
                record.write(options.out, rows, {"gensim": gensim.__version__}, **settings)


if __name__ == "__main__":
    sys.exit(exit_code(main))
