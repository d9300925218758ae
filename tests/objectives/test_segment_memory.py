import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import XLNetConfig, XLNetLMHeadModel

from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.data import microworld
from lm_lab.errors import UsageError
from lm_lab.objectives import Objective, PermutationLM, TransformerXL
from lm_lab.objectives.autoregressive.permutation import target_mapping, visible
from lm_lab.objectives.autoregressive.transformer_xl import later

Make = Callable[..., Backbone]
Batch = dict[str, Tensor]
LENGTH, ROWS = 5, 3
both = pytest.mark.parametrize("kind", [PermutationLM, TransformerXL])


@pytest.fixture
def backbone(make: Make) -> Backbone:
    found = make("xlnet", dropout=0.0).eval()
    torch.nn.init.normal_(found.embeddings.weight, std=0.5)  # so that what is seen shows
    return found


def segments(count: int) -> list[Batch]:
    """Consecutive batches; rows of all but the first continue those of the batch before."""
    ids = torch.randint(10, 200, (ROWS, count * LENGTH), generator=torch.Generator().manual_seed(1))
    return [batch(part, [number > 0] * ROWS) for number, part in enumerate(ids.split(LENGTH, dim=1))]


def batch(ids: Tensor, continues: list[bool]) -> Batch:
    kinds = {"attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    return {"input_ids": ids, **kinds, "continues": torch.tensor(continues)}


def build(kind: type[Objective], backbone: Backbone, memory: int = LENGTH) -> Objective:
    torch.manual_seed(0)
    return kind(backbone, memory=memory).eval()


@torch.no_grad()
def losses(objective: Objective, backbone: Backbone, batches: list[Batch]) -> list[float]:
    return [objective(backbone, batch).total.item() for batch in batches]


def test_segments_with_a_whole_memory_have_the_states_of_the_whole_text(backbone: Backbone) -> None:
    memory = build(TransformerXL, backbone, memory=100).memory
    parts = segments(4)
    ids = torch.cat([part["input_ids"] for part in parts], dim=1)
    with torch.no_grad():
        whole = backbone.last(input_ids=ids, perm_mask=later(ids), token_type_ids=torch.zeros_like(ids))
        found = [memory(backbone, part, memory.recall(part), perm_mask=later(part["input_ids"])) for part in parts]
    assert torch.allclose(torch.cat(found, dim=1), whole, atol=1e-5)


def test_two_streams_with_memory_equal_those_of_transformers(backbone: Backbone) -> None:
    objective = build(PermutationLM, backbone, memory=7)
    model = XLNetLMHeadModel(backbone.config).eval()
    model.transformer.load_state_dict(backbone.model.state_dict())
    model.tie_weights()
    model.transformer.mem_len = 7
    mems = None
    for part in segments(4):
        places = objective.places(part)
        mapping = target_mapping(places > 0)
        labels = (mapping * part["input_ids"][:, None]).sum(-1)
        hidden = (~visible(places, part["attention_mask"].bool())).float()
        inputs = {name: value for name, value in part.items() if name != "continues"}
        masks = {"perm_mask": hidden, "target_mapping": mapping.float()}
        with torch.no_grad():
            theirs = model(**inputs, **masks, labels=labels, mems=mems, use_mems=True)
        mems = theirs.mems
        assert losses(objective, backbone, [part])[0] == pytest.approx(theirs.loss.item(), abs=1e-5)


@both
def test_to_a_row_that_continues_nothing_the_memory_is_absent(backbone: Backbone, kind: type[Objective]) -> None:
    parts = segments(3)
    starts = [0, 1, 2]  # the segment with which each row's text begins
    for number, part in enumerate(parts):
        part["continues"] = torch.tensor([start < number for start in starts])
    found = states(build(kind, backbone, memory=8), backbone, parts)
    for row, start in enumerate(starts):
        rows = [{name: value[row : row + 1] for name, value in part.items()} for part in parts[start:]]
        alone = states(build(kind, backbone, memory=8), backbone, rows)
        assert torch.allclose(found[row : row + 1], alone, atol=1e-5)
        without = states(build(kind, backbone, memory=0), backbone, rows)
        assert torch.allclose(found[row : row + 1], without, atol=1e-5) == (start == 2)


@torch.no_grad()
def states(objective: Objective, backbone: Backbone, batches: list[Batch]) -> Tensor:
    """Final states of the last batch; the first token is predicted from all others, or the mask is causal."""
    for part in batches:
        ids = part["input_ids"]
        places = torch.zeros_like(ids).index_fill(1, torch.tensor(0), 1)
        masks = {"perm_mask": later(ids)}
        if isinstance(objective, PermutationLM):
            hidden = (~visible(places, part["attention_mask"].bool())).float()
            masks = {"perm_mask": hidden, "target_mapping": target_mapping(places > 0).float()}
        found = objective.memory(backbone, part, objective.memory.recall(part), **masks)
    return found


@both
@pytest.mark.parametrize("reason", ["no key", "another size", "none continues", "no memory"])
def test_without_a_memory_the_loss_is_that_of_the_segment_alone(
    backbone: Backbone, kind: type[Objective], reason: str
) -> None:
    first, second = segments(2)
    if reason == "no key":
        del second["continues"]
    if reason == "another size":
        first = {name: value[:2] for name, value in first.items()}
    if reason == "none continues":
        second["continues"] = torch.zeros(ROWS, dtype=torch.bool)
    objective = build(kind, backbone, memory=0 if reason == "no memory" else LENGTH)
    (alone,) = losses(build(kind, backbone), backbone, [second])
    assert losses(objective, backbone, [first, second])[1] == pytest.approx(alone, abs=1e-6)
    metrics = objective(backbone, second).metrics
    if reason == "no memory":
        assert set(metrics) == {"accuracy"}
    else:
        assert metrics["remembering"] == (reason == "another size")


def test_padding_before_a_segment_is_not_seen(backbone: Backbone) -> None:
    first, second = segments(2)
    first["attention_mask"][1, 3:] = 0
    changed = first | {"input_ids": first["input_ids"].clone()}
    changed["input_ids"][1, 3:] = 9
    found = [states(build(TransformerXL, backbone), backbone, [part, second]) for part in (first, changed)]
    assert torch.equal(*found)
    first["attention_mask"][1, 3:] = 1
    assert not torch.allclose(states(build(TransformerXL, backbone), backbone, [first, second]), found[0], atol=1e-5)


def test_a_memory_is_as_long_as_asked_and_without_gradient(backbone: Backbone) -> None:
    backbone.train()
    objective = TransformerXL(backbone, memory=8).train()
    for part, length in zip(segments(3), (5, 8, 8), strict=True):
        objective(backbone, part).total.backward()
        kept = objective.memory.get_extra_state()
        assert [state.shape for state in kept["states"]] == [(length, ROWS, 32)] * 2
        assert kept["seen"].shape == (ROWS, length)
        assert not any(state.requires_grad for state in kept["states"])


@both
def test_validation_and_training_have_memories_of_their_own(backbone: Backbone, kind: type[Objective]) -> None:
    first, second = segments(2)
    held_out = [batch(part["input_ids"].flip(0, 1), [True] * ROWS) for part in (first, second)]
    kept = []
    for between in (held_out, []):
        objective = build(kind, backbone).train()
        losses(objective, backbone, [first])
        validated = losses(objective.eval(), backbone, between)
        # it continues nothing, though its first rows say so and training has a memory
        assert validated == losses(build(kind, backbone), backbone, between)
        kept.append(states(objective.train(), backbone, [second]))
    assert torch.equal(*kept)


@both
def test_a_run_resumed_in_the_middle_of_an_epoch_goes_on_exactly(backbone: Backbone, kind: type[Objective]) -> None:
    *before, last = segments(3)
    objective = build(kind, backbone, memory=8).train()
    losses(objective, backbone, before)
    stored = io.BytesIO()
    torch.save({"state_dict": objective.state_dict(), "rng": torch.get_rng_state()}, stored)
    size = stored.tell()
    uninterrupted = losses(objective, backbone, [last])
    stored.seek(0)
    checkpoint = torch.load(stored, weights_only=True)
    resumed = build(kind, backbone, memory=8).train()
    resumed.load_state_dict(checkpoint["state_dict"])
    torch.set_rng_state(checkpoint["rng"])
    assert losses(resumed, backbone, [last]) == uninterrupted
    fresh = build(kind, backbone, memory=8).train()
    torch.set_rng_state(checkpoint["rng"])
    assert losses(fresh, backbone, [last]) != uninterrupted
    numbers = sum(value.numel() for value in objective.memory.get_extra_state()["states"]) + len(objective.output.bias)
    assert size < 4 * numbers + 8000  # no larger tensor behind the ones that are kept


def test_of_several_processes_only_the_first_takes_the_memory(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = build(TransformerXL, backbone).train()
    losses(objective, backbone, segments(1))
    state = objective.state_dict()
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    for rank in (0, 1):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        other = build(TransformerXL, backbone).train()
        other.load_state_dict(state)
        assert bool(other.memory.get_extra_state()) == (rank == 0)


PERIOD, SYMBOLS = LENGTH + 1, 8  # every token is that of one more than a segment before


def periodic(rows: int) -> Iterator[Batch]:
    stream = torch.randint(10, 10 + SYMBOLS, (rows, PERIOD)).repeat(1, 3)
    for number, ids in enumerate(stream[:, : 3 * LENGTH].split(LENGTH, dim=1)):
        yield batch(ids, [number > 0] * rows)


@pytest.mark.parametrize("memory", [0, PERIOD])
def test_a_memory_lengthens_the_context_that_is_of_use(tmp_path: Path, memory: int) -> None:
    widths = {"d_model": 32, "n_layer": 1, "n_head": 2, "d_inner": 64, "initializer_range": 0.2, "dropout": 0.0}
    tokenizer = microworld.tokenizer()
    XLNetConfig(vocab_size=len(tokenizer), mem_len=None, **widths).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    backbone = TransformersBackbone(str(tmp_path)).train()
    objective = TransformerXL(backbone, memory).train()
    optimizer = torch.optim.Adam([*backbone.parameters(), *objective.parameters()], lr=1e-2)
    for _ in range(60):
        for part in periodic(64):
            optimizer.zero_grad()
            objective(backbone, part).total.backward()
            optimizer.step()
    *_, last = losses(objective.eval(), backbone.eval(), list(periodic(512)))
    if memory:
        assert last < 0.7
    else:
        assert last == pytest.approx(math.log(SYMBOLS), abs=0.1)


@pytest.mark.parametrize(
    ("family", "memory", "message"),
    [("bert", 0, "TransformerXL needs an XLNet.*this backbone is bert"), ("xlnet", -3, "memory=-3: expected")],
)
def test_what_it_cannot_use_is_refused(make: Make, family: str, memory: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TransformerXL(make(family), memory)


@both
def test_a_memory_of_one_place_is_one(backbone: Backbone, kind: type[Objective]) -> None:
    objective = build(kind, backbone, memory=1)
    first, second, *_ = segments(3)
    alone, after = losses(objective, backbone, [second])[0], losses(objective, backbone, [first, second])[1]
    assert after != alone
