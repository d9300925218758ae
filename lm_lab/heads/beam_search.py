"""Beam search over any model that scores a next token (greedy search with one beam).

A hypothesis' score is its log-probability divided by length ** penalty; the search of a text ends when it has as many
finished hypotheses as beams.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor], Tensor]


class _Finished(NamedTuple):
    score: float
    tokens: list[int]


def search(first: Tensor, step: Step, beams: int, longest: int, end: int, penalty: float = 1.0) -> list[list[int]]:
    """The best hypothesis of each text, without its end token.

    Args:
        first: (b, V) logits of the first token.
        step: from the token that each of n = b * beams rows was given last (n,), and the row (n,) of the call before
            that it goes on from (of `first`, at the first call), to the logits (n, V) of the next.
        beams: hypotheses a text.
        longest: tokens of the longest hypothesis, its end included.
        end: id of the end token.
        penalty: exponent of the length.
    """
    texts, vocabulary = first.shape
    finished: list[list[_Finished]] = [[] for _ in range(texts)]
    scores = first.float().log_softmax(-1).unsqueeze(1)  # (b, 1, V): all hypotheses are the same as yet
    tokens = torch.empty(texts, 1, 0, dtype=torch.int64, device=first.device)
    for length in range(1, longest + 1):
        # twice as many as beams: as many as beams may end here
        top, place = scores.flatten(1).topk(min(2 * beams, scores[0].numel()))
        parent, token = place // vocabulary, place % vocabulary
        kept_score, kept = _divide(top, parent, token, tokens, finished, beams, length, end, penalty)
        done = all(len(own) >= beams for own in finished)
        rows = torch.arange(texts, device=first.device).unsqueeze(1)
        parent, token = parent[rows, kept], token[rows, kept]
        before = tokens.shape[1]
        tokens = torch.cat([tokens[rows, parent], token.unsqueeze(-1)], -1)
        if done or length == longest:
            break
        logits = step(token.flatten(), (rows * before + parent).flatten())
        scores = kept_score.unsqueeze(-1) + logits.float().log_softmax(-1).view(texts, -1, vocabulary)
    for text, own in enumerate(finished):  # what has not ended counts where too little has
        if len(own) < beams:
            scored = zip(kept_score[text].tolist(), tokens[text].tolist(), strict=True)
            own += [_Finished(score / tokens.shape[-1] ** penalty, ids) for score, ids in scored]
    return [max(own, key=lambda hypothesis: hypothesis.score).tokens for own in finished]


def _divide(
    top: Tensor,
    parent: Tensor,
    token: Tensor,
    tokens: Tensor,
    finished: list[list[_Finished]],
    beams: int,
    length: int,
    end: int,
    penalty: float,
) -> tuple[Tensor, Tensor]:
    """Put aside candidates that end, if they are among the best; returns scores and places (b, beams) of the others."""
    for text, rank in (token == end).nonzero().tolist():
        if rank < beams and len(finished[text]) < beams:
            own = tokens[text, parent[text, rank]].tolist()
            finished[text].append(_Finished(top[text, rank].item() / length**penalty, own))
    goes_on = top.masked_fill(token == end, -torch.inf)
    return goes_on.topk(min(beams, goes_on.shape[1]))
