from collections.abc import Callable

import pytest
import torch
from learning import texts

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import MASS
from lm_lab.objectives.denoising.mass import one_span

Make = Callable[..., Backbone]
MANY = 30_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_span_is_half_a_text_in_one_piece_and_starts_everywhere_equally_often() -> None:
    lengths = torch.tensor([1, 2, 3, 10, 0]).repeat(MANY)
    span = one_span(torch.arange(12) < lengths[:, None], 0.5, generator=generator())
    assert span.sum(1)[:5].tolist() == [1, 1, 2, 5, 0]
    assert not (span & (torch.arange(12) >= lengths[:, None])).any()
    of_ten = span[lengths == 10]
    starts = of_ten & ~torch.nn.functional.pad(of_ten, (1, 0))[:, :-1]
    assert starts.sum(1).eq(1).all()
    error = 5 * (1 / 6 * 5 / 6 / MANY) ** 0.5
    assert torch.allclose(starts.float().mean(0), torch.tensor([1 / 6] * 6 + [0.0] * 6), atol=error)


def test_the_span_is_hidden_as_bert_hides_and_nothing_else_is(make: Make) -> None:
    backbone = make("bart")
    objective = MASS(backbone)
    ids = torch.randint(10, 100, (MANY, 10))
    (hidden, _), (target, span) = objective.noise(ids, torch.ones_like(ids).bool(), generator())
    assert torch.equal(hidden[~span], ids[~span])
    assert torch.equal(target, ids)
    error = 5 * (0.8 * 0.2 / (5 * MANY)) ** 0.5
    assert (hidden[span] == objective.mask_id).float().mean().item() == pytest.approx(0.8, abs=error)
    kept = 0.1 + 0.1 / len(objective.replacements)
    assert (hidden[span] == ids[span]).float().mean().item() == pytest.approx(kept, abs=error)
    assert not torch.isin(hidden[hidden != objective.mask_id], objective.special).any()


@pytest.mark.parametrize("family", ["bart", "t5"])
def test_the_decoder_sees_nothing_outside_the_span(make: Make, family: str) -> None:
    backbone = make(family).eval()
    objective = MASS(backbone).eval()
    source, target = objective.corrupt(texts(backbone), generator())
    span = target["attention_mask"].bool()
    assert (span.sum(1) == (source["attention_mask"].sum(1) - 2).div(2).round()).all()
    other = target | {"input_ids": torch.where(span, target["input_ids"], 9)}
    with torch.no_grad():
        first, second = (objective.states(backbone, source, text) for text in (target, other))
    assert torch.allclose(first[span], second[span], atol=1e-6)


def test_the_decoder_keeps_the_positions_of_the_text(make: Make) -> None:
    backbone = make("bart").eval()
    objective = MASS(backbone).eval()
    ids = torch.randint(10, 100, (1, 12))
    source = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    span = (torch.arange(12) >= 4) & (torch.arange(12) < 9)
    target = {"input_ids": ids, "attention_mask": span.long()[None]}
    positions = backbone.model.decoder.embed_positions
    before = objective.states(backbone, source, target)[0, span]
    for place in range(12):
        with torch.no_grad():
            row = positions.weight[place + positions.offset].clone()
            positions.weight[place + positions.offset] += torch.randn_like(row)
            after = objective.states(backbone, source, target)[0, span]
            positions.weight[place + positions.offset] = row
        assert torch.allclose(before, after, atol=1e-6) != bool(span[place])


def test_the_first_token_of_a_span_is_predicted_from_the_start_token(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = make("bart")
    read = {}
    monkeypatch.setattr("lm_lab.objectives.denoising.mass.teacher_forced", lambda *parts: read.update(parts[2]))
    ids = torch.arange(10, 16)[None]
    span = torch.tensor([[0, 0, 1, 1, 1, 0]])
    MASS(backbone).states(backbone, {}, {"input_ids": ids, "attention_mask": span})
    assert read["input_ids"][0, 2:5].tolist() == [backbone.config.decoder_start_token_id, 12, 13]


@pytest.mark.parametrize("family", ["bart", "t5"])
def test_the_fused_kernel_gives_the_same_loss_and_finite_gradients(make: Make, family: str) -> None:
    losses = []
    for attention in ("eager", "sdpa"):
        backbone = make(family, attention=attention).eval()  # places before the span see nothing at all
        loss = MASS(backbone).eval()(backbone, texts(backbone)).total
        loss.backward()
        assert all(p.grad.isfinite().all() for p in backbone.parameters() if p.grad is not None)
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_what_it_cannot_use_is_refused(make: Make) -> None:
    backbone = make("bart")
    with pytest.raises(UsageError, match="probability=0"):
        MASS(backbone, probability=0)
    backbone.tokenizer.mask_token = None
    with pytest.raises(UsageError, match="no mask token"):
        MASS(backbone)


def test_a_text_without_words_has_its_end_to_predict(make: Make) -> None:
    backbone = make("bart")
    batch = dict(backbone.tokenizer(["the beast was good .", ""], padding=True, return_tensors="pt"))
    _, target = MASS(backbone).corrupt(batch)
    assert target["attention_mask"][1].nonzero().flatten().tolist() == [0]
    assert target["input_ids"][1, 0] == MASS(backbone).end
