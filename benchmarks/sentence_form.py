"""What the form of a sentence alone tells of its neighbours: the baseline of quick-thoughts on novels.

    LM_LAB_DATA=../shared/data python benchmarks/sentence_form.py

    p(s' | s) = softmax of x(s) M x(s') over the sentences s' of the batch but s

x counts a sentence's tokens, its quotation marks, what it ends with and seven words; M alone is learned. The batches
are those of configs/pretraining/novels_quick_thoughts.yaml, in training and of the held-out novels.
"""

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer

from lm_lab.data import Corpus
from lm_lab.data.corpora.rows import ConsecutiveSentences
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.objectives.sentences.neighbours import follows
from lm_lab.objectives.sentences.quick_thoughts import compared, neighbours

ENDS, WORDS = (".", "?", "!"), ("i", "you", "he", "she", "said", "and", "the")
SETS = {"length": 3, "length and quotation marks": 6, "these, ends and seven words": 6 + len(ENDS) + len(WORDS)}
BATCHES, RATE = 60, 0.03


def form(batch: Mapping[str, Tensor], tokenizer: Any) -> Tensor:
    """(b, 16) of a batch of sentences, each between two special tokens."""
    ids, sizes = batch["input_ids"], batch["attention_mask"].sum(1)
    quote, *others = tokenizer.convert_tokens_to_ids(['"', *ENDS, *WORDS])
    ends, words = others[: len(ENDS)], others[len(ENDS) :]
    last, before = (ids.gather(1, (sizes - back).clamp(min=0)[:, None])[:, 0] for back in (2, 3))
    length = sizes.log() - 3
    columns = [torch.ones(len(ids)), length, length**2]
    columns += [ids[:, 1] == quote, last == quote, (ids == quote).sum(1)]
    columns += [(last == end) | ((last == quote) & (before == end)) for end in ends]
    columns += [(ids == word).any(1) for word in words]
    return torch.stack([column.float() for column in columns], 1)


def main() -> None:
    """Print loss and accuracy of each set of counts on held-out novels."""
    tokenizer = AutoTokenizer.from_pretrained("runs/wordpieces")
    corpus = Corpus("novels", batch_size=64, max_length=64, documents=11, held_out=2, rows=ConsecutiveSentences)
    corpus.bind(Encoding(tokenizer, "cross_encoder", 64))
    corpus.prepare_data()
    corpus.setup("fit")
    read = [(form(batch, tokenizer), neighbours(follows(batch))) for batch in corpus.train_dataloader()]
    held = zip(range(BATCHES), corpus.val_dataloader(), strict=False)
    asked = [(form(batch, tokenizer), neighbours(follows(batch))) for _, batch in held]
    for name, size in SETS.items():
        matrix = fit([(counts[:, :size], beside) for counts, beside in read], size)
        found = [compared(x[:, :size] @ matrix, x[:, :size], beside) for x, beside in asked]
        loss, accuracy = (float(torch.stack(values).mean()) for values in zip(*found, strict=True))
        print(json.dumps({"counts": name, "loss": round(loss, 4), "accuracy": round(accuracy, 4)}))


def fit(batches: list[tuple[Tensor, Tensor]], size: int) -> Tensor:
    """M (size, size), of one pass."""
    matrix = nn.Parameter(torch.zeros(size, size))
    optimizer = torch.optim.Adam([matrix], RATE)
    for counts, beside in batches:
        optimizer.zero_grad()
        compared(counts @ matrix, counts, beside)[0].backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] -= RATE / len(batches)
    return matrix.detach()


if __name__ == "__main__":
    main()
