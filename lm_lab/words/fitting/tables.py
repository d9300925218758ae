"""What words are worth: how often one is kept, which are drawn as noise, and their paths in a Huffman tree."""

from collections import deque

import numpy as np

from lm_lab.words.fitting.windows import Tables

_BITS = 2**32 - 1


def tables(counts: np.ndarray, subsample: float, power: float, hierarchical: bool) -> Tables:
    """Tables of V words.

    Args:
        counts: (V,) how often each stands in the text.
        subsample: t of `keep_probabilities`.
        power: of the counts, in the noise.
        hierarchical: with paths; else these are empty.
    """
    keep = (keep_probabilities(counts, subsample) * _BITS).astype(np.uint32)
    chance, other = alias(noise_probabilities(counts, power))
    paths = huffman(counts) if hierarchical else [([], [])] * len(counts)
    starts = np.cumsum([0, *(len(nodes) for nodes, _ in paths)]).astype(np.int64)
    nodes = np.array([node for path, _ in paths for node in path], np.int32)
    turns = np.array([turn for _, path in paths for turn in path], np.float32)
    return Tables(keep, (chance * _BITS).astype(np.uint32), other, nodes, turns, starts)


def keep_probabilities(counts: np.ndarray, subsample: float) -> np.ndarray:
    """sqrt(t / f) + t / f, at most 1, of words with the shares f of the text (word2vec.c); 1 for t = 0."""
    if not subsample:
        return np.ones(len(counts))
    ratio = subsample / (counts / counts.sum())
    return np.minimum(1.0, np.sqrt(ratio) + ratio)


def noise_probabilities(counts: np.ndarray, power: float) -> np.ndarray:
    """Counts to a power, summing to 1."""
    raised = counts.astype(np.float64) ** power
    shares: np.ndarray = raised / raised.sum()
    return shares


def alias(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Walker's table of a distribution (n,): a row drawn uniformly stays with its chance, or becomes the other."""
    chance, other = shares * len(shares), np.arange(len(shares), dtype=np.int32)
    poor, rich = (deque(np.flatnonzero(rows).tolist()) for rows in (chance < 1, chance >= 1))
    while poor and rich:
        low, high = poor.popleft(), rich[0]
        other[low] = high
        chance[high] -= 1 - chance[low]
        if chance[high] < 1:
            poor.append(rich.popleft())
    return np.minimum(chance, 1.0), other


def huffman(counts: np.ndarray) -> list[tuple[list[int], list[int]]]:
    """For each word the inner nodes from the root to it, and 1 where its path turns to the rarer side, else 0.

    Args:
        counts: (V,) falling. Node n of 0 to V - 2; the root is V - 2.
    """
    size = len(counts)
    weights = [*counts.tolist()[::-1]]  # rising: leaves, then inner nodes as they are made
    parents, turns = [0] * (2 * size - 1), [1] * (2 * size - 1)
    leaf, inner = 0, size
    for made in range(size, 2 * size - 1):
        pair = []
        for _ in range(2):
            if leaf < size and (inner >= made or weights[leaf] <= weights[inner]):
                pair.append(leaf)
                leaf += 1
            else:
                pair.append(inner)
                inner += 1
        weights.append(weights[pair[0]] + weights[pair[1]])
        for side, node in enumerate(pair):
            parents[node], turns[node] = made, 1 - side
    found = []
    for node in reversed(range(size)):
        nodes, path = [], []
        while node != 2 * size - 2:
            path.append(turns[node])
            node = parents[node]
            nodes.append(node - size)
        found.append((nodes[::-1], path[::-1]))
    return found
