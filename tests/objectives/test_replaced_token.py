import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import ReplacedToken
from lm_lab.objectives.masked.masked_lm import embeddings
from lm_lab.objectives.masked.noise import IGNORED
from lm_lab.objectives.replaced_token import sample

Make = Callable[..., Backbone]
TEXTS = ["the beast was good and the plant was poor .", "the plant was good .", "it was poor and awful ."]
both = pytest.mark.parametrize("family", ["electra", "bert"])


def encode(backbone: Backbone, texts: list[str] = TEXTS) -> dict[str, Tensor]:
    return dict(
        backbone.tokenizer(texts, ["yes .", "it was", "no"] * (len(texts) // 3), padding=True, return_tensors="pt")
    )


def spread(module: torch.nn.Module) -> None:
    """Weights large enough for a wrong term to show in a loss."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)


def electra(backbone: Backbone) -> ElectraConfig:
    settings = {"model_type": "electra", "embedding_size": backbone.embedding_size}
    return ElectraConfig.from_dict(backbone.config.to_dict() | settings)


@both
def test_the_discriminators_loss_equals_that_of_transformers(make: Make, family: str) -> None:
    backbone = make(family).eval()
    objective = ReplacedToken(backbone).eval()
    spread(objective)
    model = ElectraForPreTraining(electra(backbone)).eval()
    model.electra.load_state_dict(backbone.model.state_dict())
    model.discriminator_predictions.dense.load_state_dict(objective.dense.state_dict())
    model.discriminator_predictions.dense_prediction.load_state_dict(objective.output.state_dict())
    batch = encode(backbone)
    with torch.no_grad():
        loss = objective(backbone, batch)
        ids = objective.replace(backbone, batch).input_ids
        labels = (ids != batch["input_ids"]).long()
        expected = model(**{**batch, "input_ids": ids}, labels=labels)
    assert 0 < labels.sum() < labels.numel()
    assert loss.parts["discriminator"].item() == pytest.approx(expected.loss.item(), abs=1e-5)
    assert loss.total.item() == pytest.approx(loss.parts["generator"].item() + 50 * expected.loss.item(), abs=1e-3)
    right = ((expected.logits > 0) == labels.bool())[batch["attention_mask"].bool()].float().mean()
    assert loss.metrics["discriminator_accuracy"].item() == pytest.approx(right.item())


@both
def test_the_generators_loss_equals_that_of_transformers(make: Make, family: str) -> None:
    backbone = make(family).eval()
    objective = ReplacedToken(backbone).eval()
    spread(objective)
    model = ElectraForMaskedLM(objective.generator.config).eval()
    encoder = {f"embeddings.{name}": value for name, value in backbone.model.embeddings.state_dict().items()}
    model.electra.load_state_dict(encoder | objective.generator.model.state_dict())
    model.generator_predictions.dense.load_state_dict(objective.generator.head.dense.state_dict())
    model.generator_predictions.LayerNorm.load_state_dict(objective.generator.head.norm.state_dict())
    model.generator_lm_head.weight.data.copy_(embeddings(backbone))
    model.generator_lm_head.bias.data.copy_(objective.generator.head.bias)
    batch = encode(backbone)
    corrupted, targets, _ = objective.corrupt(batch)
    with torch.no_grad():
        loss = objective(backbone, batch).parts["generator"]
        expected = model(**{**batch, "input_ids": corrupted}, labels=targets).loss
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


@both
def test_the_generator_is_a_quarter_as_wide_and_has_no_embeddings_of_its_own(make: Make, family: str) -> None:
    backbone = make(family)
    objective = ReplacedToken(backbone)
    config = objective.generator.config
    assert (config.hidden_size, config.intermediate_size, config.num_attention_heads) == (8, 16, 1)
    assert config.num_hidden_layers == backbone.num_layers
    shared = {id(parameter) for parameter in backbone.parameters()}
    assert not [name for name, parameter in objective.named_parameters() if id(parameter) in shared]
    assert not [name for name, _ in objective.named_parameters() if "embeddings." in name]


def test_of_the_targets_85_percent_are_masked_and_the_rest_left(make: Make) -> None:
    backbone = make("electra")
    objective = ReplacedToken(backbone, probability=1.0)
    batch = encode(backbone, TEXTS * 400)
    before = {name: value.clone() for name, value in batch.items()}
    corrupted, targets, _ = objective.corrupt(batch)
    chosen = targets != IGNORED
    special = torch.isin(batch["input_ids"], torch.tensor(backbone.tokenizer.all_special_ids))
    assert torch.equal(chosen, ~special)
    masked = (corrupted == backbone.tokenizer.mask_token_id)[chosen]
    assert torch.equal(corrupted[chosen][~masked], targets[chosen][~masked])
    error = math.sqrt(0.85 * 0.15 / len(masked))
    assert masked.float().mean().item() == pytest.approx(0.85, abs=5 * error)
    assert all(torch.equal(batch[name], before[name]) for name in batch)


def test_samples_follow_the_softmax() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]]).expand(20_000, -1).clone().requires_grad_()
    drawn = sample(logits, torch.Generator().manual_seed(0))
    assert not drawn.requires_grad
    shares = drawn.bincount() / len(drawn)
    assert torch.allclose(shares, logits[0].softmax(dim=0), atol=5 * math.sqrt(0.25 / 20_000))


def test_a_sample_equal_to_the_original_is_no_replacement(make: Make) -> None:
    backbone = make("electra").eval()
    objective = ReplacedToken(backbone, probability=1.0).eval()
    the = backbone.tokenizer.convert_tokens_to_ids("the")
    torch.nn.init.constant_(objective.generator.head.bias, -1e4)
    objective.generator.head.bias.data[the] = 0.0  # the generator says "the" everywhere
    batch = encode(backbone)
    ids, real = batch["input_ids"], batch["attention_mask"].bool()
    special = torch.isin(ids, torch.tensor(backbone.tokenizer.all_special_ids))
    assert torch.equal(objective.replace(backbone, batch).input_ids, torch.where(special, ids, the))
    expected = (~special & (ids != the)).sum() / real.sum()
    assert objective(backbone, batch).metrics["replaced"].item() == pytest.approx(expected.item())


@both
def test_no_gradient_passes_through_the_samples(make: Make, family: str) -> None:
    backbone = make(family).train()
    objective = ReplacedToken(backbone).train()
    loss = objective(backbone, encode(backbone))
    loss.parts["discriminator"].backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in objective.generator.parameters())
    loss.parts["generator"].backward()
    assert all(parameter.grad is not None for parameter in objective.parameters())
    assert embeddings(backbone).grad.abs().sum(dim=1).count_nonzero() == len(
        embeddings(backbone)
    )  # through the softmax


def test_eval_mode_is_the_same_every_time_and_train_mode_never(make: Make) -> None:
    backbone = make("electra").eval()
    objective = ReplacedToken(backbone).eval()
    batch = encode(backbone)
    assert objective(backbone, batch).total.item() == objective(backbone, batch).total.item()
    objective.train()
    first, second = (objective.replace(backbone, batch).input_ids for _ in range(2))
    assert not torch.equal(first, second)


@both
def test_a_tiny_model_learns_both_parts(make: Make, family: str) -> None:
    backbone = make(family, dropout=0.0)
    objective = ReplacedToken(backbone)
    optimizer = torch.optim.Adam([*backbone.parameters(), *objective.parameters()], lr=3e-3)
    batch = encode(backbone, TEXTS * 8)
    history = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = objective(backbone, batch)
        loss.total.backward()
        optimizer.step()
        history.append([part.item() for part in loss.parts.values()])
    start, end = torch.tensor(history[0]), torch.tensor(history[-5:]).mean(dim=0)
    assert (end < 0.7 * start).all()


@pytest.mark.parametrize(
    ("family", "size", "message"),
    [("roberta", 0.25, "roberta.*bert or electra"), ("bert", 0.0, "size=0.0.*above 0"), ("bert", 1.5, "size=1.5")],
)
def test_bad_settings_are_refused(make: Make, family: str, size: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ReplacedToken(make(family), size=size)
