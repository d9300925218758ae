"""What skip-thoughts' decoders read of a sentence's vector: their loss with its own and with another one's.

    LM_LAB_DATA=../shared/data python benchmarks/skip_thoughts_read.py

Of runs/sentences/skip_thoughts (benchmarks/sentences.sh), on the held-out novels. A decoder is a language model as
well: only what another sentence's vector costs has been learned of the sentence beside.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from lm_lab.backbones import LSTM
from lm_lab.backbones.output import HEADS
from lm_lab.data import Corpus
from lm_lab.data.corpora.rows import ConsecutiveSentences
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.objectives import Loss, SkipThoughts
from lm_lab.objectives.sentences.neighbours import vectors

FOLDER, WIDTH, BATCHES = Path("runs/sentences/skip_thoughts"), 256, 60


@torch.no_grad()
def losses(backbone: LSTM, objective: SkipThoughts, batch: dict[str, Tensor], draw: torch.Generator) -> dict[str, Loss]:
    """Of a batch: with each sentence's vector, with one drawn from the batch, and with the mean of all."""
    own = vectors(backbone, batch, "mean")
    given = {"own": own, "another": own[torch.randperm(len(own), generator=draw)], "mean": own.mean(0).expand_as(own)}
    return {name: objective.written(backbone, batch, vector) for name, vector in given.items()}


def main() -> None:
    """Print the mean over tokens of both neighbours, in nats."""
    backbone = LSTM(str(FOLDER)).eval()
    objective = SkipThoughts(backbone, WIDTH, "mean").eval()
    objective.load_state_dict(load_file(FOLDER / HEADS))
    corpus = Corpus("novels", batch_size=64, max_length=64, documents=11, held_out=2, rows=ConsecutiveSentences)
    corpus.bind(Encoding(backbone.tokenizer, "cross_encoder", 64, causal=True))
    corpus.setup("fit")
    draw = torch.Generator().manual_seed(0)
    found = [
        losses(backbone, objective, batch, draw)
        for _, batch in zip(range(BATCHES), corpus.val_dataloader(), strict=False)
    ]
    for name in found[0]:
        every = [(loss[name].parts[part], loss[name].counts[part]) for loss in found for part in loss[name].parts]
        total, count = sum(float(value) * tokens for value, tokens in every), sum(tokens for _, tokens in every)
        print(json.dumps({"vector": name, "nats a token": round(total / count, 4)}))


if __name__ == "__main__":
    main()
