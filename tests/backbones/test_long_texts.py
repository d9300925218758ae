"""Longformer and Reformer: texts longer than what their attention reaches at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers import AutoModel, PreTrainedModel, ReformerConfig

from lm_lab.backbones import Backbone, reformer

Make = Callable[..., Backbone]
_SHAPE: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2, "attention_head_size": 8, "feed_forward_size": 32,
    "axial_pos_embds": False, "max_position_embeddings": 64, "local_attn_chunk_length": 4, "lsh_attn_chunk_length": 8,
    "hidden_dropout_prob": 0.0, "local_attention_probs_dropout_prob": 0.0,
}  # fmt: skip


def models(**changes: Any) -> tuple[reformer.ReformerModel, PreTrainedModel]:
    """Ours and the published one with the same weights."""
    config = ReformerConfig(**(_SHAPE | {"attn_layers": ["local", "lsh"]} | changes))
    torch.manual_seed(0)
    ours = reformer.ReformerModel(config)
    theirs = transformers.ReformerModel(config)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def text(length: int, rows: int = 2) -> Tensor:
    return torch.randint(5, 50, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("length", [3, 8, 13, 32])
@pytest.mark.parametrize("padding", [0, 2])
def test_states_are_those_of_transformers(length: int, padding: int) -> None:
    ours, theirs = (model.eval() for model in models())
    ids, mask = text(length), torch.ones(2, length)
    mask[1, length - padding :] = 0
    found = ours(ids, mask).last_hidden_state
    torch.manual_seed(0)  # of the hashes, in the order of layers
    expected = theirs(ids, mask).last_hidden_state
    assert torch.allclose(found[mask.bool()], expected[mask.bool()], atol=1e-6)


def test_gradients_are_those_of_the_reversible_layers() -> None:
    ours, theirs = (model.train() for model in models(attn_layers=["local", "local", "local"]))
    for model in (ours, theirs):
        model(text(32)).last_hidden_state.square().sum().backward()
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-4, rtol=1e-4), name  # type: ignore[arg-type]


def test_evaluation_repeats_and_leaves_the_run_s_numbers_alone() -> None:
    model = models()[0].eval()
    before = torch.get_rng_state()
    first, second = (model(text(32)).last_hidden_state for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


def test_training_repeats_from_a_seed_and_draws_other_hashes_each_time() -> None:
    model = models(hash_seed=7)[0].train()
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(model(text(32)).last_hidden_state)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_buckets_do_not_follow_the_first_text() -> None:
    model = models()[0]
    assert model.config.num_buckets == 16  # two a chunk of 8 in 64 tokens
    assert reformer.buckets(ReformerConfig(max_position_embeddings=2**16)) == [2**5, 2**6]


def test_axial_positions_train_on_texts_shorter_than_the_greatest_length() -> None:
    changes = {"axial_pos_embds": True, "axial_pos_shape": (8, 8), "axial_pos_embds_dim": (4, 12)}
    assert models(**changes)[0].train()(text(13)).last_hidden_state.shape == (2, 13, 32)


def test_transformers_reads_what_is_saved(make: Make, tmp_path: Path) -> None:
    backbone = make("reformer").eval()
    backbone.model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert type(loaded) is transformers.ReformerModel
    ids = text(20)
    expected = loaded(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    assert torch.allclose(backbone.last(input_ids=ids, attention_mask=torch.ones_like(ids)), expected, atol=1e-6)


def test_the_first_token_of_a_longformer_sees_all(make: Make) -> None:
    """With two layers that reach two tokens each, the last of 30 tokens would be out of sight."""
    backbone = make("longformer").eval()
    ids = text(30)
    mask = torch.ones_like(ids)
    other = ids.clone()
    other[:, -1] = 7

    def moved(first: Tensor, second: Tensor) -> list[bool]:
        return (first != second).any(dim=-1).any(dim=0).tolist()

    near = moved(*(backbone.model(ids, attention_mask=mask).last_hidden_state for ids in (ids, other)))
    assert near.index(True) == 30 - 1 - 4
    assert all(moved(*(backbone.last(input_ids=ids, attention_mask=mask) for ids in (ids, other))))


def test_padding_in_front_moves_the_token_that_sees_all(make: Make) -> None:
    backbone = make("longformer")
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])
    inputs = backbone._inputs({"input_ids": text(4), "attention_mask": mask})
    assert inputs["global_attention_mask"].tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
