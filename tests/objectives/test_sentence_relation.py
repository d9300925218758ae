from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import BertForNextSentencePrediction, BertForPreTraining

from lm_lab.backbones import Backbone
from lm_lab.data.corpora.rows import NextSentencePairs, RowLayout, SentenceOrderPairs, SentencePairs, ThreeWayPairs
from lm_lab.data.corpora.store import TokenStore
from lm_lab.data.corpora.tokenised import tokenise
from lm_lab.data.microworld import corpus
from lm_lab.errors import UsageError
from lm_lab.objectives import MaskedLM, NextSentence, SentenceOrder, SentenceStructure, SumOfObjectives, WordStructure
from lm_lab.objectives.sentence_relation import SentenceRelation

Make = Callable[..., Backbone]
KINDS = [(NextSentence, NextSentencePairs), (SentenceOrder, SentenceOrderPairs), (SentenceStructure, ThreeWayPairs)]
kinds = pytest.mark.parametrize(("kind", "rows"), KINDS)


def pairs(backbone: Backbone, rows: type[SentencePairs], count: int = 32, epoch: int = 0) -> dict[str, Tensor]:
    texts = [text for text in corpus(300) if "\t" not in text]
    layout = RowLayout.of(backbone.tokenizer, False, 60, 0, backbone.config.type_vocab_size)
    found = rows(TokenStore.of(tokenise(texts, backbone.tokenizer)), layout)
    return found.collate([found[epoch, i] for i in range(count)])


def test_next_sentence_equals_that_of_transformers(make: Make) -> None:
    backbone = make().eval()
    objective = NextSentence(backbone).eval()
    torch.nn.init.normal_(objective.output.weight, std=1.0)
    theirs = BertForNextSentencePrediction(backbone.config).eval()
    theirs.bert.load_state_dict(backbone.model.state_dict(), strict=False)
    theirs.bert.pooler.dense.load_state_dict(objective.pooler.state_dict())
    theirs.cls.seq_relationship.load_state_dict(objective.output.state_dict())
    batch = pairs(backbone, NextSentencePairs)
    inputs = {name: values for name, values in batch.items() if name != "next_sentence"}
    with torch.no_grad():
        loss = objective(backbone, batch)
        expected = theirs(**inputs, labels=batch["next_sentence"])
    assert loss.total.item() == pytest.approx(expected.loss.item(), abs=1e-6)
    right = (expected.logits.argmax(dim=-1) == batch["next_sentence"]).float().mean()
    assert loss.metrics["accuracy"].item() == pytest.approx(right.item())


def test_bert_is_one_pass_and_equals_berts_own_pretraining_loss(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = make().eval()
    objective = SumOfObjectives(backbone, {"sentences": NextSentence, "words": MaskedLM}).eval()
    theirs = BertForPreTraining(backbone.config).eval()
    theirs.bert.load_state_dict(backbone.model.state_dict(), strict=False)
    words, sentences = objective.terms["words"], objective.terms["sentences"]
    theirs.bert.pooler.dense.load_state_dict(sentences.pooler.state_dict())
    theirs.cls.seq_relationship.load_state_dict(sentences.output.state_dict())
    head = theirs.cls.predictions
    head.transform.dense.load_state_dict(words.head.dense.state_dict())
    head.transform.LayerNorm.load_state_dict(words.head.norm.state_dict())
    head.bias.data.copy_(words.head.bias)
    batch = pairs(backbone, NextSentencePairs)
    masked = words.corrupt(batch)
    inputs = {name: values for name, values in batch.items() if name != "next_sentence"}
    passes, last = [], backbone.last
    monkeypatch.setattr(backbone, "last", lambda **given: passes.append(given) or last(**given))
    with torch.no_grad():
        loss = objective(backbone, batch)
        expected = theirs(
            **inputs | {"input_ids": masked.input_ids},
            labels=masked.targets,
            next_sentence_label=batch["next_sentence"],
        )
    assert len(passes) == 1
    assert loss.total.item() == pytest.approx(expected.loss.item(), abs=1e-5)
    assert list(loss.parts) == ["sentences/next_sentence", "words/masked_lm"]


@kinds
def test_every_weight_trains_and_only_the_first_token_is_read(
    make: Make, kind: type[SentenceRelation], rows: type[SentencePairs]
) -> None:
    backbone = make()
    objective = kind(backbone)
    batch = pairs(backbone, rows)
    loss = objective(backbone, batch)
    loss.total.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in objective.parameters())
    states = backbone.last(**{name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}).detach()
    changed = states.clone()
    changed[:, 1:] = 7.0
    assert torch.equal(objective.read(states, batch).total, objective.read(changed, batch).total)


@kinds
@pytest.mark.parametrize("family", ["bert", "albert", "roberta", "electra"])
def test_it_learns(make: Make, kind: type[SentenceRelation], rows: type[SentencePairs], family: str) -> None:
    backbone = make(family, pretrained=False, dropout=0.0)
    objective = kind(backbone)
    batch = pairs(backbone, rows, 12)
    optimizer = torch.optim.Adam([*backbone.parameters(), *objective.parameters()], lr=1e-3)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = objective(backbone, batch).total
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


@kinds
def test_a_corpus_without_its_labels_is_refused(
    make: Make, kind: type[SentenceRelation], rows: type[SentencePairs]
) -> None:
    backbone = make()
    other = next(each for _, each in KINDS if each is not rows)
    with pytest.raises(UsageError, match=rf"no labels '{kind.label}'.*lm_lab\.data\.{rows.__name__}"):
        kind(backbone)(backbone, pairs(backbone, other))


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_models_without_a_token_for_the_whole_text_are_refused(make: Make, family: str) -> None:
    with pytest.raises(UsageError, match=f"{family}: NextSentence reads the first token"):
        NextSentence(make(family))


def test_structbert_is_one_pass(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = make()
    objective = SumOfObjectives(backbone, {"words": WordStructure, "sentences": SentenceStructure})
    passes, last = [], backbone.last
    monkeypatch.setattr(backbone, "last", lambda **given: passes.append(given) or last(**given))
    loss = objective(backbone, pairs(backbone, ThreeWayPairs))
    assert len(passes) == 1
    assert set(loss.metrics) == {"words/accuracy", "words/shuffled", "sentences/accuracy"}
