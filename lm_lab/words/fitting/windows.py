"""Passes over lines of words, compiled: skip-gram, CBOW, skip-gram of n-grams, each with its way of using a window.

The window of a word is drawn anew, uniformly from 1 to the widest; frequent words are dropped before windows are laid
(Mikolov et al. 2013, https://arxiv.org/abs/1310.4546). A line's end ends windows.

    skip-gram   each word of the window in turn predicts the middle; negatives are drawn for each
    CBOW        the window's mean predicts the middle; each of its words gets the undivided gradient, as in word2vec.c
    n-grams     the mean of the middle word and its n-grams predicts each word of the window (fastText); a draw for each
"""

from typing import Any, NamedTuple

import numpy as np

from lm_lab.words.fitting.steps import below, bits, compiled, drawn, loss, update

LONGEST = 10_000  # words of a line; longer ones are cut
_SAMPLED = 64  # one window in so many tells the loss


class Tables(NamedTuple):
    """What a pass looks up of V words.

    Attributes:
        keep: (V,) a word stays if 32 random bits are not above. chance, other: (V,) Walker's alias table of the
        noise. nodes, turns, starts: the path of word w in the Huffman tree, its inner nodes and labels, at starts[w]
        to starts[w + 1].
    """

    keep: np.ndarray
    chance: np.ndarray
    other: np.ndarray
    nodes: np.ndarray
    turns: np.ndarray
    starts: np.ndarray


@compiled
def kept(ids: Any, start: Any, end: Any, keep: Any, line: Any, state: Any) -> Any:
    """Fill `line` with the words of a line that are in the vocabulary and stay; how many, and the state."""
    n = 0
    for place in range(start, end):
        word = ids[place]
        if word < len(keep):
            state = drawn(state)
            if bits(state) <= keep[word]:
                line[n] = word
                n += 1
    return n, state


@compiled
def noise(chance: Any, other: Any, state: Any) -> Any:
    """A word drawn from the noise, and the state."""
    state = drawn(state)
    word = below(state, len(chance))
    state = drawn(state)
    return (word if bits(state) <= chance[word] else np.int64(other[word])), state


@compiled
def wanted(word: Any, tables: Any, negatives: Any, targets: Any, labels: Any, state: Any) -> Any:
    """Fill in what predicts `word`: it and drawn negatives that differ, or its path; how many, and the state."""
    if negatives == 0:
        first, end = tables.starts[word], tables.starts[word + 1]
        for place in range(first, end):
            targets[place - first] = tables.nodes[place]
            labels[place - first] = tables.turns[place]
        return end - first, state
    targets[0], labels[0], n = word, 1, 1
    for _ in range(negatives):
        targets[n], state = noise(tables.chance, tables.other, state)
        if targets[n] != word:
            labels[n] = 0
            n += 1
    return n, state


@compiled
def skip_gram(
    ids: Any, ends: Any, tables: Any, inputs: Any, outputs: Any, window: Any, negatives: Any, rate: Any, state: Any
) -> Any:
    """One pass over words `ids` in lines that end at `ends`; the summed loss and the number of pairs that it is of."""
    d = inputs.shape[1]
    widest = max(negatives + 2, np.max(tables.starts[1:] - tables.starts[:-1]))
    line, gradient = np.empty(LONGEST, np.int32), np.empty(d, np.float32)
    targets, labels, g = np.empty(widest, np.int64), np.empty(widest, np.float32), np.empty(widest, np.float32)
    total, pairs, seen, start = 0.0, 0, 0, 0
    for end in ends:
        n, state = kept(ids, start, end, tables.keep, line, state)
        start = end
        for middle in range(n):
            state = drawn(state)
            reach = below(state, window) + 1
            for place in range(max(0, middle - reach), min(n, middle + reach + 1)):
                if place == middle:
                    continue
                asked, state = wanted(line[middle], tables, negatives, targets, labels, state)
                row = line[place]
                gradient[:] = 0
                update(inputs[row], gradient, outputs, targets, labels, asked, rate, g)
                for k in range(d):
                    inputs[row, k] += gradient[k]
                seen += 1
                if seen % _SAMPLED == 1:
                    total += loss(g, asked, rate)
                    pairs += 1
    return total, pairs


@compiled
def cbow(
    ids: Any, ends: Any, tables: Any, inputs: Any, outputs: Any, window: Any, negatives: Any, rate: Any, state: Any
) -> Any:
    """As `skip_gram`."""
    d = inputs.shape[1]
    widest = max(negatives + 2, np.max(tables.starts[1:] - tables.starts[:-1]))
    line, hidden, gradient = np.empty(LONGEST, np.int32), np.empty(d, np.float32), np.empty(d, np.float32)
    targets, labels, g = np.empty(widest, np.int64), np.empty(widest, np.float32), np.empty(widest, np.float32)
    total, pairs, seen, start = 0.0, 0, 0, 0
    for end in ends:
        n, state = kept(ids, start, end, tables.keep, line, state)
        start = end
        for middle in range(n):
            state = drawn(state)
            reach = below(state, window) + 1
            first, last = max(0, middle - reach), min(n, middle + reach + 1)
            m = last - first - 1
            if m == 0:
                continue
            hidden[:] = 0
            gradient[:] = 0
            share = np.float32(1) / np.float32(m)
            for place in range(first, last):
                if place != middle:
                    row = line[place]
                    for k in range(d):
                        hidden[k] += inputs[row, k]
            for k in range(d):
                hidden[k] *= share
            asked, state = wanted(line[middle], tables, negatives, targets, labels, state)
            update(hidden, gradient, outputs, targets, labels, asked, rate, g)
            for place in range(first, last):
                if place != middle:
                    row = line[place]
                    for k in range(d):
                        inputs[row, k] += gradient[k]
            seen += 1
            if seen % _SAMPLED == 1:
                total += loss(g, asked, rate)
                pairs += 1
    return total, pairs


@compiled
def n_gram(
    ids: Any, ends: Any, tables: Any, grams: Any, bounds: Any, inputs: Any, outputs: Any, window: Any, negatives: Any,
    rate: Any, state: Any,
) -> Any:  # fmt: skip
    """As `skip_gram`; the rows of inputs that make word w, itself the first, are grams[bounds[w]:bounds[w + 1]]."""
    d = inputs.shape[1]
    line, hidden, gradient = np.empty(LONGEST, np.int32), np.empty(d, np.float32), np.empty(d, np.float32)
    targets, labels = np.empty(negatives + 1, np.int64), np.zeros(negatives + 1, np.float32)
    labels[0] = 1
    g = np.empty(negatives + 1, np.float32)
    total, pairs, seen, start = 0.0, 0, 0, 0
    for end in ends:
        n, state = kept(ids, start, end, tables.keep, line, state)
        start = end
        for middle in range(n):
            state = drawn(state)
            reach = below(state, window) + 1
            hidden[:] = 0
            gradient[:] = 0
            first, last = bounds[line[middle]], bounds[line[middle] + 1]
            for place in range(first, last):
                row = grams[place]
                for k in range(d):
                    hidden[k] += inputs[row, k]
            share = np.float32(1) / np.float32(last - first)
            for k in range(d):
                hidden[k] *= share
            for place in range(max(0, middle - reach), min(n, middle + reach + 1)):
                if place == middle:
                    continue
                targets[0] = line[place]
                for j in range(1, negatives + 1):
                    targets[j] = targets[0]
                    while targets[j] == targets[0]:
                        targets[j], state = noise(tables.chance, tables.other, state)
                update(hidden, gradient, outputs, targets, labels, negatives + 1, rate, g)
                seen += 1
                if seen % _SAMPLED == 1:
                    total += loss(g, negatives + 1, rate)
                    pairs += 1
            for place in range(first, last):
                row = grams[place]
                for k in range(d):
                    inputs[row, k] += gradient[k]
    return total, pairs
