"""Masking of phrases and entities (Sun et al. 2019, ERNIE, https://arxiv.org/abs/1904.09223).

    units: the entities of a row first, in random order, then single words, until 15% of its tokens are chosen

Entities come with the text, as `units` of a batch (a column of the corpus, or `lm_lab.data.corpora.chunkers`), or
from a list of phrases that is looked up in each row. ERNIE trains on words, then on phrases, then on entities, found by
taggers; here one pass has words and either or both.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from lm_lab.errors import UsageError
from lm_lab.objectives.masked.masking import WordMasking
from lm_lab.objectives.masked.units import choose_units


class EntityMasking(WordMasking):
    """Entities masked whole and before other words; what is left of the budget goes to words.

    An entity longer than the budget is left out, as `units.py` says. Phrases that overlap in a text are one entity.

    Args:
        phrases: entities to look up where the batch brings none; tokenised as at the start of a text and after a space.

    Raises:
        UsageError: on `prepare`, if a phrase has no tokens or one the tokenizer does not know.
    """

    def __init__(self, phrases: Sequence[str] = ()) -> None:
        super().__init__(torch.ones(1))
        self.phrases = list(phrases)

    def prepare(self, tokenizer: Any) -> None:
        """Derive which tokens continue a word, and tokenise the phrases."""
        super().prepare(tokenizer)
        rows = {row for phrase in self.phrases for row in _tokenise(phrase, tokenizer)}
        for size in {len(row) for row in rows}:
            phrases = torch.tensor(sorted(row for row in rows if len(row) == size))
            self.register_buffer(f"phrases_{size}", phrases, persistent=False)
        self.sizes = sorted({len(row) for row in rows})

    def forward(
        self,
        input_ids: Tensor,
        eligible: Tensor,
        probability: float,
        generator: torch.Generator | None = None,
        given: Tensor | None = None,
    ) -> Tensor:
        """Return the units of entities and words, (b, t)."""
        continues = self.continues[input_ids]
        if given is None:
            found = (self.get_buffer(f"phrases_{size}") for size in self.sizes)
            covered, inside = find_phrases(input_ids, continues, found)
        else:
            covered, inside = given > 0, (given > 0) & (given == given.roll(1, dims=1))
        whole = torch.where(covered, inside, continues)
        return choose_units(eligible, whole, self.lengths, probability, generator, first=covered)


def find_phrases(input_ids: Tensor, continues: Tensor, phrases: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Find phrases in rows, from the beginning of a word to the end of one.

    Args:
        input_ids: (b, t).
        continues: (b, t) bool, True where a token continues a word.
        phrases: tensors (p, k) of p phrases of k tokens.

    Returns:
        Two (b, t) bool: tokens of phrases, and those of them that go on with the phrase of the token before.
    """
    covered, inside = torch.zeros_like(continues), torch.zeros_like(continues)
    goes_on = torch.nn.functional.pad(continues, (0, 1), value=False)
    for rows in phrases:
        size = rows.shape[1]
        if size > input_ids.shape[1]:
            continue
        windows = input_ids.unfold(1, size, 1)  # (b, t - k + 1, k)
        match = (windows[:, :, None] == rows).all(dim=3).any(dim=2)
        match &= ~continues[:, : match.shape[1]] & ~goes_on[:, size:]
        for offset in range(size):
            covered[:, offset : offset + match.shape[1]] |= match
            if offset:
                inside[:, offset : offset + match.shape[1]] |= match
    return covered, inside


def _tokenise(phrase: str, tokenizer: Any) -> list[tuple[int, ...]]:
    """The ids of a phrase at the start of a text and after a space, which differ in byte-level BPE."""
    found = [tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (phrase, f" {phrase}")]
    if not phrase.strip() or any(not ids or tokenizer.unk_token_id in ids for ids in found):
        raise UsageError(
            f"the phrase {phrase!r} is empty or unknown to the tokenizer of '{tokenizer.name_or_path}'; "
            "give phrases in the tokenizer's own vocabulary."
        )
    return found
