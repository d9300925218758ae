"""One step of each model beside plain numpy; what is drawn, by its statistics; hashes, by known values."""

import numpy as np
import pytest

from lm_lab.words.fitting import cooccurrence, steps, tables, windows
from lm_lab.words.ngrams import NGrams, buckets, fnv, n_grams

RATE = np.float32(0.05)
NONE = np.zeros(0, np.int32)


def rows(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.4, shape).astype(np.float32)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def pairs(
    inputs: np.ndarray, outputs: np.ndarray, sources: list[int], targets: list[int], labels: list[float]
) -> tuple[np.ndarray, np.ndarray]:
    """What the gradient of the summed log likelihood adds, a pair at a time, in float64."""
    more, other = np.zeros(inputs.shape), np.zeros(outputs.shape)
    for source in sources:
        for target, label in zip(targets, labels, strict=True):
            error = RATE * (label - sigmoid(inputs[source].astype(float) @ outputs[target]))
            more[source] += error * outputs[target]
            other[target] += error * inputs[source]
    return inputs + more, outputs + other


def without_noise(counts: list[int], paths: bool = False) -> windows.Tables:
    return tables.tables(np.array(counts), 0, 0.75, paths)


def test_the_sigmoid_is_one() -> None:
    x = np.linspace(-30, 30, 2001).astype(np.float32)
    assert np.abs(np.array([steps.sigmoid(value) for value in x]) - sigmoid(x.astype(float))).max() < 1e-6


def test_an_input_and_its_outputs_move_along_the_gradient_of_their_log_likelihood() -> None:
    inputs, outputs = rows(0, 6, 17), rows(1, 5, 17)
    mine, its = pairs(inputs, outputs, [4], [3, 1, 0], [1, 0, 0])
    targets, labels, gradient = np.array([3, 1, 0]), np.array([1, 0, 0], np.float32), np.zeros(17, np.float32)
    g, x = np.empty(3, np.float32), inputs[4].astype(float)
    loss = sum(-np.log(sigmoid((2 * y - 1) * (x @ outputs[t]))) for t, y in zip(targets, labels, strict=True))
    steps.update(inputs[4], gradient, outputs, targets, labels, 3, RATE, g)
    assert np.allclose(inputs[4] + gradient, mine[4], atol=1e-6)
    assert np.allclose(outputs, its, atol=1e-6)
    assert steps.loss(g, 3, RATE) == pytest.approx(loss, rel=1e-4)


def one_pass(
    kernel, ids: list[int], known: windows.Tables, inputs: np.ndarray, outputs: np.ndarray, negatives: int
) -> None:  # type: ignore[no-untyped-def]
    kernel(np.array(ids, np.int32), np.array([len(ids)]), known, inputs, outputs, 1, negatives, RATE, np.uint64(3))


def test_skip_gram_lets_each_word_of_a_window_predict_its_middle_down_the_tree() -> None:
    known = without_noise([9, 5, 3, 2], paths=True)
    inputs, outputs = rows(0, 4, 8), rows(1, 3, 8)
    expected = inputs, outputs
    for middle, word in ((2, 0), (0, 2), (0, 3), (3, 0)):
        path = slice(known.starts[middle], known.starts[middle + 1])
        expected = pairs(*expected, [word], known.nodes[path].tolist(), known.turns[path].astype(int).tolist())
    one_pass(windows.skip_gram, [2, 0, 3], known, inputs, outputs, 0)
    assert np.allclose(inputs, expected[0], atol=1e-6)
    assert np.allclose(outputs, expected[1], atol=1e-6)


def test_negatives_are_drawn_anew_for_each_pair() -> None:
    """As in word2vec.c and gensim; one draw for all of a window cost likeness to gensim's vectors and score."""
    known, ids, state = without_noise([9, 5, 3, 2]), [2, 0, 3, 1, 0, 2], np.uint64(3)
    inputs, outputs = rows(0, 4, 8), rows(1, 4, 8)
    expected, targets, labels = (inputs, outputs), np.zeros(3, np.int64), np.zeros(3, np.float32)
    for _ in ids:
        state = np.uint64(steps.drawn(state))  # whether it is kept
    for place, middle in enumerate(ids):
        state = np.uint64(steps.drawn(state))  # the window's width
        for word in ids[max(0, place - 1) : place] + ids[place + 1 : place + 2]:
            n, state = map(np.uint64, windows.wanted(middle, known, 1, targets, labels, state))
            expected = pairs(*expected, [word], targets[:n].tolist(), labels[:n].tolist())
    one_pass(windows.skip_gram, ids, known, inputs, outputs, 1)
    assert np.allclose(inputs, expected[0], atol=1e-6)
    assert np.allclose(outputs, expected[1], atol=1e-6)


def test_a_negative_that_is_the_target_is_skipped() -> None:
    known = windows.Tables(
        np.full(2, 2**32 - 1, np.uint32),
        np.zeros(2, np.uint32),
        np.ones(2, np.int32),
        NONE,
        NONE.astype(np.float32),
        np.zeros(3, np.int64),
    )
    inputs, outputs = rows(0, 2, 8), rows(1, 2, 8)  # noise is always word 1
    first = pairs(inputs, outputs, [1], [0, 1], [1, 0])
    expected = pairs(*first, [0], [1], [1])
    one_pass(windows.skip_gram, [0, 1], known, inputs, outputs, 1)
    assert np.allclose(inputs, expected[0], atol=1e-6)
    assert np.allclose(outputs, expected[1], atol=1e-6)


def test_cbow_averages_forward_and_gives_each_word_the_undivided_gradient() -> None:
    known = without_noise([9, 5, 3, 2], paths=True)
    inputs, outputs = rows(0, 4, 8), rows(1, 3, 8)
    mine, its = inputs.astype(float), outputs.astype(float)
    for middle, window in ((2, [0]), (0, [2, 3]), (3, [0])):
        hidden, gradient = mine[window].mean(0), np.zeros(8)
        for place in range(known.starts[middle], known.starts[middle + 1]):
            node = known.nodes[place]
            error = RATE * (known.turns[place] - sigmoid(hidden @ its[node]))
            gradient += error * its[node]
            its[node] += error * hidden
        mine[window] += gradient
    one_pass(windows.cbow, [2, 0, 3], known, inputs, outputs, 0)
    assert np.allclose(inputs, mine, atol=1e-6)
    assert np.allclose(outputs, its, atol=1e-6)


def test_fasttext_predicts_from_the_mean_of_a_word_and_its_n_grams_and_redraws_noise() -> None:
    # noise is word 1 in one half and word 0 in the other: of two words, the negative is always the other one
    known = windows.Tables(
        np.full(2, 2**32 - 1, np.uint32),
        np.full(2, 2**31, np.uint32),
        np.array([1, 0], np.int32),
        NONE,
        NONE.astype(np.float32),
        np.zeros(3, np.int64),
    )
    inputs, outputs = rows(0, 5, 8), rows(1, 2, 8)
    grams, bounds = np.array([0, 2, 3, 1, 3, 4]), np.array([0, 3, 6])
    mine, its = inputs.astype(float), outputs.astype(float)
    for middle, target in ((0, 1), (1, 0)):
        made, gradient = grams[bounds[middle] : bounds[middle + 1]], np.zeros(8)
        hidden = mine[made].mean(0)
        errors = {row: RATE * ((row == target) - sigmoid(hidden @ its[row])) for row in (0, 1)}
        for row, error in errors.items():
            gradient += error * its[row]
            its[row] += error * hidden
        mine[made] += gradient
    kernel = windows.n_gram
    kernel(np.array([0, 1], np.int32), np.array([2]), known, grams, bounds, inputs, outputs, 1, 1, RATE, np.uint64(3))
    assert np.allclose(inputs, mine, atol=1e-6)
    assert np.allclose(outputs, its, atol=1e-6)


def test_windows_end_at_the_ends_of_lines() -> None:
    known = without_noise([9, 5, 3, 2], paths=True)
    inputs, outputs = rows(0, 4, 8), rows(1, 3, 8)
    before = inputs.copy()
    windows.skip_gram(
        np.array([2, 0, 3], np.int32), np.array([1, 2, 3]), known, inputs, outputs, 5, 0, RATE, np.uint64(3)
    )
    assert np.array_equal(inputs, before)


def test_windows_are_drawn_uniformly_up_to_the_widest() -> None:
    """So a word at distance k is in the window with probability (5 - k + 1) / 5."""
    state, reached = np.uint64(1), np.zeros(6)
    for _ in range(20_000):
        state = np.uint64(steps.drawn(state))  # numba gives a Python int
        reached[: steps.below(state, 5) + 2] += 1
    assert np.allclose(reached[1:] / 20_000, [1, 0.8, 0.6, 0.4, 0.2], atol=0.02)


def test_frequent_words_are_dropped_and_noise_is_drawn_as_often_as_it_should() -> None:
    counts = np.array([80_000, 15_000, 4_000, 1_000])
    shares = counts / counts.sum()
    expected = np.minimum(1, np.sqrt(0.01 / shares) + 0.01 / shares)
    assert np.allclose(tables.keep_probabilities(counts, 0.01), expected)
    known = tables.tables(counts, 0.01, 0.75, False)
    ids, line = np.repeat(np.arange(4, dtype=np.int32), 2500), np.empty(10_000, np.int32)
    n, _ = windows.kept(ids, 0, len(ids), known.keep, line, np.uint64(5))
    assert np.allclose(np.bincount(line[:n]) / 2500, expected, atol=0.03)
    drawn, state = np.zeros(4), np.uint64(7)
    for _ in range(40_000):
        word, state = windows.noise(known.chance, known.other, np.uint64(state))
        drawn[word] += 1
    assert np.allclose(drawn / 40_000, counts**0.75 / (counts**0.75).sum(), atol=0.01)


def test_the_tree_is_a_shortest_prefix_code() -> None:
    counts = np.array([40, 30, 15, 10, 3, 2])
    paths = tables.huffman(counts)
    codes = ["".join(map(str, turns)) for _, turns in paths]
    assert [len(code) for code in codes] == [1, 2, 3, 4, 5, 5]
    assert not any(a != b and b.startswith(a) for a in codes for b in codes)
    assert sum(2.0 ** -len(code) for code in codes) == 1
    nodes = {tuple(turns[:depth]): node for path, turns in paths for depth, node in enumerate(path)}
    assert len(set(nodes.values())) == len(nodes) == 5  # a beginning of a code is an inner node


def test_meetings_weigh_one_over_their_distance_within_a_line() -> None:
    ids, ends = np.array([0, 1, 9, 0, 2, 0, 1], np.int32), np.array([5, 7])  # 9 is left out and leaves no gap
    keys, values = cooccurrence.meetings(ids, ends, 3, 2)
    found = {divmod(int(key), 3): float(value) for key, value in zip(keys, values, strict=True)}
    expected = np.zeros((3, 3))
    for line in ([0, 1, 0, 2], [0, 1]):
        for a in range(len(line)):
            for b in range(max(0, a - 2), a):
                expected[line[a], line[b]] += 1 / (a - b)
                expected[line[b], line[a]] += 1 / (a - b)
    assert found == {pair: pytest.approx(expected[pair]) for pair in zip(*np.nonzero(np.triu(expected)), strict=True)}


def test_meetings_are_the_same_when_their_table_has_to_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, ends = np.random.default_rng(0).integers(0, 300, 5000).astype(np.int32), np.array([2000, 5000])
    roomy = cooccurrence.meetings(ids, ends, 300, 5)
    monkeypatch.setattr(cooccurrence, "_FIRST", 64)
    assert all(np.allclose(a, b) for a, b in zip(roomy, cooccurrence.meetings(ids, ends, 300, 5), strict=True))


def test_a_step_of_glove_is_adagrads_on_the_weighted_square() -> None:
    vectors, contexts = rows(0, 3, 6), rows(1, 3, 6)  # the last column is the bias
    sums, context_sums = np.full((3, 6), 1.5, np.float32), np.full((3, 6), 2.5, np.float32)
    w, c, log, weight = vectors[2].astype(float), contexts[1].astype(float), np.float32(1.2), np.float32(0.3)
    error = w[:5] @ c[:5] + w[5] + c[5] - log
    for_w, for_c = (RATE * weight * error * np.append(other[:5], 1) for other in (c, w))
    cost = cooccurrence.glove_step(vectors, contexts, sums, context_sums, 2, 1, log, weight, RATE)
    assert cost == pytest.approx(0.5 * weight * error**2)
    assert np.allclose(vectors[2], w - for_w / np.sqrt(1.5), atol=1e-6)
    assert np.allclose(contexts[1], c - for_c / np.sqrt(2.5), atol=1e-6)
    assert np.allclose(sums[2], 1.5 + for_w**2)
    assert np.allclose(context_sums[1], 2.5 + for_c**2)


def test_n_grams_are_of_characters_and_hashed_as_fasttext_does() -> None:
    assert list(n_grams("where", 3, 3)) == ["<wh", "whe", "her", "ere", "re>"]
    assert list(n_grams("über", 5, 6)) == ["<über", "<über>", "über>"]
    assert list(n_grams("ab", 1, 2)) == ["<a", "a", "ab", "b", "b>"]  # no mark alone
    assert list(n_grams("a", 4, 6)) == []
    # FNV-1a's published values, and fastText's for bytes above 127, which it extends with their sign
    assert (fnv(""), fnv("a"), fnv("foobar")) == (0x811C9DC5, 0xE40C292C, 0xBF9CF968)
    assert fnv("ü") != fnv_unsigned("ü")
    grams = NGrams(rows(0, 50, 4), 3, 6)
    assert np.allclose(grams.vector("where"), grams.matrix[buckets("where", 3, 6, 50)].mean(0))
    assert NGrams(rows(0, 50, 4), 4, 6).vector("a") is None


def fnv_unsigned(text: str) -> int:
    found = 2166136261
    for byte in text.encode():
        found = (found ^ byte) * 16777619 & 0xFFFFFFFF
    return found
