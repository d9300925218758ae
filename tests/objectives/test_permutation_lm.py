from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from learning import first_and_last, texts
from torch import Tensor
from transformers import XLNetLMHeadModel

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.objectives import NGramMasking, PermutationLM
from lm_lab.objectives.autoregressive.permutation import draw_places, target_mapping, visible

Make = Callable[..., Backbone]


def spread(module: torch.nn.Module) -> None:
    """Weights large enough for what is seen to show."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)


def ordinary(batch: dict[str, Tensor], backbone: Backbone) -> Tensor:
    special = torch.isin(batch["input_ids"], torch.tensor(backbone.tokenizer.all_special_ids))
    return batch["attention_mask"].bool() & ~special


def test_every_order_of_the_targets_is_equally_likely() -> None:
    count = 12_000
    targets = torch.tensor([False, True, True, False, True]).expand(count, -1)
    places = draw_places(targets, torch.Generator().manual_seed(0))
    assert (places[~targets] == 0).all()
    found = places[targets].view(count, 3)
    for order in permutations((1, 2, 3)):
        share = (found == torch.tensor(order)).all(dim=1).float().mean().item()
        assert share == pytest.approx(1 / 6, abs=5 * (5 / 36 / count) ** 0.5)


def test_who_sees_whom_in_one_example() -> None:
    places = torch.tensor([[0, 2, 0, 1, 0]])
    seen = visible(places, torch.tensor([[True, True, True, True, False]]))[0]
    assert seen.tolist() == [
        [True, False, True, False, False],  # what is given sees all that is given
        [True, False, True, True, False],  # the second target: that and the first
        [True, False, True, False, False],
        [True, False, True, False, False],  # the first target
        [True, False, True, False, False],  # padding
    ]


def test_a_mapping_is_padded_to_the_row_with_most_targets() -> None:
    targets = torch.tensor([[True, False, True], [False, True, False], [False, False, False]])
    expected = [[[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]
    assert target_mapping(targets).int().tolist() == expected


@pytest.mark.parametrize("k", [1, 2, 6])
def test_one_token_in_k_is_a_target_and_no_special_token_is(make: Make, k: int) -> None:
    backbone = make("xlnet")
    batch = texts(backbone, 64)
    places, eligible = PermutationLM(backbone, k).places(batch), ordinary(batch, backbone)
    assert not places[~eligible].any()
    for row, own in zip(places, eligible.sum(dim=1).tolist(), strict=True):
        count = max(1, round(own / k))
        assert sorted(row[row > 0].tolist()) == list(range(1, count + 1))


@pytest.mark.parametrize("masking", [None, NGramMasking()])
def test_the_loss_equals_that_of_transformers(make: Make, masking: NGramMasking | None) -> None:
    backbone = make("xlnet").eval()
    objective = PermutationLM(backbone, k=3, masking=masking).eval()
    spread(objective)
    model = XLNetLMHeadModel(backbone.config).eval()
    model.transformer.load_state_dict(backbone.model.state_dict())
    model.lm_loss.bias.data.copy_(objective.output.bias)
    model.tie_weights()
    batch = texts(backbone)
    places = objective.places(batch)
    mapping = target_mapping(places > 0)
    assert not mapping.any(dim=-1).all()  # rows have different numbers of targets
    labels = (mapping * batch["input_ids"][:, None]).sum(-1).masked_fill(~mapping.any(dim=-1), -100)
    mask = (~visible(places, batch["attention_mask"].bool())).float()
    with torch.no_grad():
        expected = model(**batch, perm_mask=mask, target_mapping=mapping.float(), labels=labels).loss
        loss = objective(backbone, batch)
    assert loss.total.item() == pytest.approx(expected.item(), abs=1e-5)
    assert loss.parts == {"permutation_lm": loss.total}
    assert set(loss.metrics) == {"accuracy"}


def test_a_prediction_changes_with_what_is_before_it_in_the_order_and_with_nothing_else(make: Make) -> None:
    backbone = make("xlnet").eval()
    objective = PermutationLM(backbone).eval()
    spread(backbone)
    order = [0, 6, 2, 3, 5, 1, 4]  # position 0 is a special token, 7 is padding
    given, targets = order[:3], order[3:]
    ids = torch.tensor([[backbone.tokenizer.cls_token_id, *range(20, 26), 0]])
    places = torch.zeros_like(ids)
    places[0, targets] = torch.arange(1, 5)
    batch = {"input_ids": ids, "attention_mask": (torch.arange(8) < 7).long()[None]}
    with torch.no_grad():
        before, asked = objective.predict(backbone, batch, places)
        assert asked.tolist() == [ids[0, i] for i in sorted(targets)]
        for key in range(8):
            changed = batch | {"input_ids": ids.scatter(1, torch.tensor([[key]]), 90)}
            table = backbone.embeddings.weight[:20]  # not those of the tokens that change
            after = objective.predict(backbone, changed, places)[0]
            differs = ((after - before)[:, : len(table)].abs().amax(dim=-1) > 1e-4).tolist()
            expected = [key in given or (key in order and order.index(key) < order.index(i)) for i in sorted(targets)]
            assert differs == expected, f"token {key}"


def test_a_target_that_sees_nothing_is_left_out(make: Make) -> None:
    backbone = make("xlnet").eval()
    objective = PermutationLM(backbone, k=1).eval()
    ids = torch.tensor([[20, 21, 22], [23, 0, 0]])
    batch = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    with torch.no_grad():
        logits, targets = objective.predict(backbone, batch, objective.places(batch))
        places = objective.places(batch)
        assert targets.tolist() == ids[places > 1].tolist()
        assert len(logits) == 2
        batch = {"input_ids": ids[1:, :1], "attention_mask": torch.ones(1, 1, dtype=torch.long)}
        assert objective(backbone, batch).count == 0


def test_eval_mode_is_the_same_every_time_and_train_mode_never_and_the_batch_stays(make: Make) -> None:
    backbone = make("xlnet").eval()
    objective, batch = PermutationLM(backbone), texts(backbone)
    before = {name: value.clone() for name, value in batch.items()}
    with torch.no_grad():
        objective.eval()
        assert objective(backbone, batch).total == objective(backbone, batch).total
        objective.train()
        assert not torch.equal(objective.places(batch), objective.places(batch))
        assert objective(backbone, batch).total != objective(backbone, batch).total
    assert all(torch.equal(batch[name], before[name]) for name in batch)


def test_padding_changes_nothing(make: Make) -> None:
    backbone = make("xlnet").eval()
    objective, batch = PermutationLM(backbone).eval(), texts(backbone)
    places = objective.places(batch)
    padded = {name: torch.nn.functional.pad(value, (0, 5)) for name, value in batch.items()}
    with torch.no_grad():
        logits, targets = objective.predict(backbone, batch, places)
        again, same = objective.predict(backbone, padded, torch.nn.functional.pad(places, (0, 5)))
    assert torch.equal(targets, same)
    assert torch.allclose(logits, again, atol=1e-5)


def test_every_parameter_gets_a_gradient(make: Make) -> None:
    backbone = make("xlnet", dropout=0.0).train()
    objective = PermutationLM(backbone).train()
    batch = texts(backbone)
    assert batch["token_type_ids"].any()
    objective(backbone, batch).total.backward()
    named = [*backbone.named_parameters(), *objective.named_parameters()]
    assert "model.mask_emb" in dict(named)
    assert [name for name, parameter in named if parameter.grad is None or not parameter.grad.any()] == []


def test_it_learns(make: Make) -> None:
    backbone = make("xlnet", pretrained=False)
    first, last = first_and_last(PermutationLM(backbone), backbone, steps=60)
    assert last < first - 1.0


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        ("bert", {}, "PermutationLM needs an XLNet.*this backbone is bert"),
        ("gpt2", {}, "PermutationLM needs an XLNet.*this backbone is gpt2"),
        ("xlnet", {"k": 0}, "k=0: one token in k"),
        ("xlnet", {"memory": -1}, "memory=-1: expected"),
        ("xlnet", {"memory": 600}, r"memory=600: the configuration keeps less \(mem_len: 512"),
    ],
)
def test_what_it_cannot_use_is_refused(make: Make, family: str, settings: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PermutationLM(make(family), **settings)


def test_other_configurations_of_xlnet_are_refused(make: Make) -> None:
    backbone = make("xlnet")
    backbone.config.attn_type = "uni"
    with pytest.raises(UsageError, match=r"attn_type: bi in its config.json; this backbone is attn_type: uni"):
        PermutationLM(backbone)
    backbone.config.attn_type, backbone.config.reuse_len = "bi", 4
    with pytest.raises(UsageError, match="reuse_len: 4"):
        PermutationLM(backbone, memory=8)
    assert PermutationLM(backbone).memory.length == 0
    other = make("xlnet")
    other.model.resize_token_embeddings(100)
    with pytest.raises(UsageError, match=r"has 2\d\d ids, the embeddings 100 rows"):
        PermutationLM(other)
