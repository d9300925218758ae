"""What tests of several objectives need: texts of the microworld as a batch, and whether a loss falls."""

import torch
from torch import Tensor

from lm_lab.backbones import Backbone
from lm_lab.data.corpora.rows import Documents, RowLayout
from lm_lab.data.corpora.store import TokenStore
from lm_lab.data.corpora.tokenised import tokenise
from lm_lab.data.microworld import corpus
from lm_lab.objectives import Objective


def texts(backbone: Backbone, documents: int = 32) -> dict[str, Tensor]:
    """A batch of documents of different lengths."""
    store = TokenStore.of(tokenise(corpus(documents, 0), backbone.tokenizer))
    rows = Documents(store, RowLayout.of(backbone.tokenizer, backbone.family.causal, 64, 0))
    return rows.collate([rows[0, i] for i in range(documents)])


def first_and_last(
    objective: Objective,
    backbone: Backbone,
    steps: int = 40,
    rate: float = 1e-2,
    batch: dict[str, Tensor] | None = None,
) -> tuple[float, float]:
    """The loss of a batch in eval mode before and after some steps on it."""
    batch = texts(backbone) if batch is None else batch
    optimizer = torch.optim.Adam([*backbone.parameters(), *objective.parameters()], lr=rate)
    losses = []
    for count in (0, steps):
        backbone.train(), objective.train()
        for _ in range(count):
            optimizer.zero_grad()
            objective(backbone, batch).total.backward()
            optimizer.step()
        backbone.eval(), objective.eval()
        with torch.no_grad():
            losses.append(objective(backbone, batch).total.item())
    return losses[0], losses[1]
