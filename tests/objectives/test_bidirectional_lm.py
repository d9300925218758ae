"""ELMo's objective against torch's own cross entropy, both softmaxes, and what scores minimal pairs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lm_lab.backbones import LSTM, Backbone, CharacterCNN, ELMo
from lm_lab.data import tokenizers
from lm_lab.errors import UsageError
from lm_lab.objectives import BidirectionalLM
from lm_lab.objectives.autoregressive import softmax
from lm_lab.scoring.cloze import last_words
from lm_lab.scoring.output import likelihood
from lm_lab.training import pretrained

SMALL = CharacterCNN(filters=(4, 4), size=5, longest=9)
TEXTS = ["the dog sees a cat", "a cat sees the old dog", "the old cat sleeps"]


@pytest.fixture
def elmo(tmp_path: Path) -> ELMo:
    tokenizers.train(TEXTS, kind="word", min_frequency=1).save_pretrained(tmp_path / "words")
    return ELMo(str(tmp_path / "words"), width=8, cell=8, embeddings=SMALL, dropout=0.0).eval()


def batch(backbone: Backbone) -> dict[str, torch.Tensor]:
    found = backbone.tokenizer(TEXTS, padding=True, return_tensors="pt")
    return {name: found[name] for name in ("input_ids", "attention_mask")}


@pytest.mark.parametrize("outputs", [None, 8])
def test_loss_is_the_mean_of_both_directions_of_each_text_alone(elmo: ELMo, outputs: int | None) -> None:
    objective, given = BidirectionalLM(elmo, outputs), batch(elmo)
    loss = objective(elmo, given)
    unknown = elmo.tokenizer.unk_token_id
    ahead, back = [], []
    for ids, mask in zip(given["input_ids"], given["attention_mask"], strict=True):
        own = ids[mask.bool()]
        targets = own if outputs is None else torch.where(own < outputs, own, unknown)
        first, second = elmo.last(input_ids=own.unsqueeze(0))[0].chunk(2, -1)
        scores = objective.softmax.output
        ahead.append(F.cross_entropy(scores(first[:-1]), targets[1:], reduction="none"))
        back.append(F.cross_entropy(scores(second[1:]), targets[:-1], reduction="none"))
    assert loss.parts["forward"].item() == pytest.approx(torch.cat(ahead).mean().item(), abs=1e-5)
    assert loss.parts["backward"].item() == pytest.approx(torch.cat(back).mean().item(), abs=1e-5)
    assert loss.total.item() == pytest.approx(sum(part.item() for part in loss.parts.values()) / 2)
    assert loss.count == 2 * sum(len(row) for row in ahead)
    loss.total.backward()
    assert all(p.grad is not None for p in [*elmo.parameters(), *objective.parameters()])


def test_chunks_change_neither_losses_nor_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, states, targets = softmax.FullSoftmax(6, 11), torch.randn(9, 6), torch.randint(0, 11, (9,))
    expected = whole(states, targets)
    gradient = torch.autograd.grad(expected.sum(), whole.output.weight)[0]
    monkeypatch.setattr(softmax, "_SCORES", 2 * 11)  # two rows at a time
    found = whole(states, targets)
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(torch.autograd.grad(found.sum(), whole.output.weight)[0], gradient, atol=1e-5)


@pytest.mark.parametrize("cutoffs", [(), (3,), (2, 6)])
def test_probabilities_sum_to_one_and_come_back_from_weights(cutoffs: tuple[int, ...]) -> None:
    one, states, targets = softmax.build(8, 11, cutoffs), torch.randn(5, 8), torch.tensor([0, 3, 10, 6, 2])
    logs = one.log_prob(states)
    assert torch.allclose(logs.exp().sum(-1), torch.ones(5), atol=1e-5)
    assert torch.allclose(one(states, targets), logs.gather(1, targets.unsqueeze(1)).squeeze(1), atol=1e-5)
    again = softmax.of_weights(one.state_dict())
    assert torch.equal(again.log_prob(states), logs)


@pytest.mark.parametrize("cutoffs", [(), (4,)])
def test_a_sentence_is_scored_by_both_directions(elmo: ELMo, cutoffs: tuple[int, ...], tmp_path: Path) -> None:
    objective = BidirectionalLM(elmo, 9, cutoffs)
    out = pretrained.save(elmo, tmp_path / "out", {"steps": 1}, heads=objective.state_dict())
    model = likelihood(ELMo(str(out)))
    found = model.texts(TEXTS)
    for text, value in zip(TEXTS, found, strict=True):
        ids = elmo.tokenizer(text, return_tensors="pt")["input_ids"]
        ahead, back = elmo.last(input_ids=ids)[0].chunk(2, -1)
        words = objective.targets(ids[0, 1:-1])
        logs = objective.softmax.log_prob(ahead[:-2]) + objective.softmax.log_prob(back[2:])
        assert value == pytest.approx(logs.gather(1, words.unsqueeze(1)).sum().item(), abs=1e-4)
    with pytest.raises(UsageError, match="cannot say which word comes"):
        last_words(model, TEXTS)
    with pytest.raises(UsageError, match="this ELMo has no softmax"):
        likelihood(elmo)


def test_what_cannot_be_is_refused_by_name(elmo: ELMo, make: Callable[..., Backbone], tmp_path: Path) -> None:
    for other in (make("bert"), LSTM(str(tmp_path / "words"), width=4)):
        with pytest.raises(UsageError, match=f"those of {other.kind} are not; give lm_lab.backbones.ELMo"):
            BidirectionalLM(other)
    assert BidirectionalLM(elmo, 99, [4, 50]).size == elmo.vocabulary_size  # as far as there are words
    with pytest.raises(UsageError, match="leaves out a special token"):
        BidirectionalLM(elmo, 3)
    with pytest.raises(UsageError, match=r"cutoffs=\[5, 4\]: expected rising ids"):
        BidirectionalLM(elmo, cutoffs=[5, 4])
