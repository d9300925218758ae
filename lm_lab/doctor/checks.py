"""What every adaptation must keep, whatever the strategy and the family.

A check returns a detail, or raises `CheckError`.
"""

import copy
import pickle
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lm_lab.doctor.case import SEED, Case, CheckError, unlike
from lm_lab.errors import UsageError
from lm_lab.models import AdaptedModel, delta
from lm_lab.models.ledger import ledger
from lm_lab.packs.errors import ApartError
from lm_lab.packs.model import Pack
from lm_lab.packs.streams import Stream
from lm_lab.strategies import FullFineTuning
from lm_lab.tasks import glue_task

ROUNDING = 1e-4  # of sums in another order, on states of order 1
TOGETHER = 1e-6  # where the tokens of an expert, or of computed embeddings, are multiplied together


def identity_at_start(case: Case) -> str:
    """The adapted model starts as the pretrained one, where the method promises it."""
    if case.strategy.start is None:
        return "not promised"
    text = case.batch()["texts"][0]
    adapted, plain = case.adapted().backbone, case.backbone()
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    for name, parameter in plain.named_parameters():  # torch may take another kernel for weights that train
        parameter.requires_grad_(name in trained)
    with torch.no_grad():
        difference = _distance(adapted.last(**text), plain.last(**text))
    return _within(difference, case.strategy.start)


def frozen_weights_stay(case: Case) -> str:
    """Steps leave every frozen weight as it was, to the last bit."""
    # parameters by their first name: a tied one has others
    before, after = ({**dict(m.named_parameters()), **dict(m.named_buffers())} for m in (case.adapted(), case.trained))
    frozen = [name for name in before if name not in case.trained.trained and not name.startswith("head.")]
    changed = [name for name in frozen if not torch.equal(before[name], after[name])]
    if changed:
        raise CheckError(f"{len(changed)} frozen tensors changed, such as {changed[0]}")
    return f"{len(frozen)} tensors"


def every_trained_tensor_learns(case: Case) -> str:
    """A gradient reaches every tensor that trains, but for those that the family itself leaves out of its sums."""
    idle = case.idle
    if idle:
        idle -= Case(case.original, FullFineTuning()).idle
    if idle:
        raise CheckError(f"{len(idle)} trained tensors got no gradient, such as {sorted(idle)[0]}")
    return f"{len(case.trained.trained)} tensors"


def count_is_the_formula(case: Case) -> str:
    """As many parameters train as the method's closed form says."""
    expected = case.strategy.parameters(case.original)
    counts = ledger(case.adapted())
    found = counts["backbone_trained"] + counts["added"]
    if found != expected:
        raise CheckError(f"{found:,} train, the formula says {expected:,}")
    return f"{found:,}"


def saved_delta_loads_back(case: Case) -> str:
    """A finished delta, loaded into a fresh model, predicts the same to the last bit."""
    model = copy.deepcopy(case.trained)
    model.finish()
    with tempfile.TemporaryDirectory() as folder:
        delta.save(model, folder)
        fresh = AdaptedModel(case.backbone(), model.strategy, model.task, pooling="mean").eval()
        delta.load(fresh, folder)
    return _same(_outputs(fresh, case.batch()), _outputs(model, case.batch()))


def finishing_changes_nothing(case: Case) -> str:
    """Dropping what only training needs leaves the scores."""
    model = copy.deepcopy(case.trained)
    model.finish()
    return _within(_distance(_outputs(model, case.batch()), _outputs(case.trained, case.batch())), ROUNDING)


def copies_work(case: Case) -> str:
    """Deep copies and pickles of the backbone give the same scores, and share nothing with it."""
    expected = _outputs(case.trained, case.batch())
    # transformers leaves hooks behind that do not pickle, once hidden states were asked for
    unused = case.adapted()
    unused.load_state_dict(case.trained.state_dict())
    for twin in (copy.deepcopy(case.trained.backbone), pickle.loads(pickle.dumps(unused.backbone))):
        model = copy.copy(case.trained)
        model._modules = {**case.trained._modules, "backbone": twin}
        _same(_outputs(model, case.batch()), expected)
        for parameter in twin.parameters():
            parameter.data.zero_()
    return _same(_outputs(case.trained, case.batch()), expected)


def merged_equals_unmerged(case: Case) -> str:
    """Where a delta folds into the weights, scores stay and nothing of it is left; elsewhere it says that it cannot."""
    model = copy.deepcopy(case.trained)
    if not case.strategy.merges:
        try:
            model.strategy.merge(model.backbone)
        except UsageError:
            return "cannot be merged, and says so"
        raise CheckError("merged without a word, though it declares that it cannot")
    model.strategy.merge(model.backbone)
    names = [name for name, _ in case.original.named_parameters()]
    if [name for name, _ in model.backbone.named_parameters()] != names:
        raise CheckError("parameters of the delta are left behind")
    return _within(_distance(_outputs(model, case.batch()), _outputs(case.trained, case.batch())), ROUNDING)


def padding_changes_nothing(case: Case) -> str:
    """More padding behind a text leaves its scores."""
    short = case.batch()
    found = _outputs(case.trained, {"texts": [case.padded(short["texts"][0], 3)]})
    return _within(_distance(_outputs(case.trained, short), found), ROUNDING)


def no_token_sees_a_later_one(case: Case) -> str:
    """In a decoder, a changed token changes no state before it."""
    if not case.original.causal:
        return "not a decoder"
    before, after = _states_with_another_token(case, position=3)
    return _within(_distance(before[-1][:, :3], after[-1][:, :3]), TOGETHER)


def tokens_keep_their_places(case: Case) -> str:
    """One state a token, in every layer; at the embeddings, a changed token changes its own state and no other (or
    those of its neighbours, in a family whose embeddings are made of several)."""
    before, after = _states_with_another_token(case, position=3)
    reach = case.original.reach
    shape = (*case.tokens().shape, case.original.hidden_size)
    if len(before) != case.original.num_layers + 1:
        raise CheckError(f"{len(before)} states for {case.original.num_layers} layers, expected one more than these")
    for state in before:
        if state.shape != shape:
            raise CheckError(f"states are {tuple(state.shape)}, expected {shape}")
    # computed embeddings (a character CNN's) are multiplied together, and differ in the last bit
    changed = ((before[0] - after[0]).abs() > TOGETHER).any(-1).any(0).nonzero().flatten().tolist()
    if changed != list(range(3 - reach, 4 + reach)):
        raise CheckError(f"changing token 3 changed the embeddings of {changed}")
    return f"{len(before)} layers"


def a_pack_is_its_runs_alone(case: Case) -> str:
    """Two runs in one pass, each on a batch of its own, have the losses and gradients of each alone."""
    runs = [copy.deepcopy(case.trained), _another(case)]
    for run in runs:
        run.zero_grad()
    # as many rows and tokens as cannot be taken for one another
    batches = [
        {"texts": [case.reads(case.tokens(seed)[:3, :length])], "labels": torch.tensor([0.0, 1.0, seed])}
        for seed, length in ((0, 5), (1, 4))
    ]
    try:
        pack = Pack(copy.deepcopy(runs), [Stream() for _ in runs]).eval()
        found = [run.task.loss(s, batch) for run, s, batch in zip(runs, pack(batches), batches, strict=True)]
        torch.stack(found).sum().backward()
        pack.require_own()
    except ApartError as error:
        return f"each run is alone: {error}"
    distance = 0.0
    for alone, packed, batch, loss in zip(runs, pack.models, batches, found, strict=True):
        expected = alone.loss(batch)
        expected.backward()
        distance = max(distance, abs(loss.item() - expected.item()), *_gradients_apart(alone, packed))
    return _within(distance, TOGETHER * 10)


CHECKS: dict[str, Callable[[Case], str]] = {
    check.__name__: check
    for check in (
        identity_at_start,
        frozen_weights_stay,
        every_trained_tensor_learns,
        count_is_the_formula,
        saved_delta_loads_back,
        finishing_changes_nothing,
        copies_work,
        merged_equals_unmerged,
        padding_changes_nothing,
        no_token_sees_a_later_one,
        tokens_keep_their_places,
        a_pack_is_its_runs_alone,
    )
}


@torch.no_grad()
def _outputs(model: AdaptedModel, batch: dict[str, Any]) -> Tensor:
    """Pooled vectors, which are of order 1, and scores, flat."""
    pooled = model.features(batch)
    return torch.cat([pooled.flatten(), model.head(pooled).flatten()])


@torch.no_grad()
def _states_with_another_token(case: Case, position: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    ids, others = case.tokens(), case.tokens(seed=1)
    changed = ids.clone()
    changed[:, position] = torch.where(ids[:, position] == others[:, position], ids[:, 0], others[:, position])
    run = case.trained.backbone
    return run(**case.reads(ids)), run(**case.reads(changed))


def _another(case: Case) -> AdaptedModel:
    """A run with another seed, whose weights are others in every entry that trains: steps would find no more."""
    torch.manual_seed(SEED + 1)
    model = AdaptedModel(case.backbone(), case.strategy, glue_task("sst2"), pooling="mean").eval()
    unlike(model)
    return model


def _gradients_apart(alone: nn.Module, packed: nn.Module) -> list[float]:
    """How far the gradients of each parameter are apart, over the largest of them where that is above 1."""
    others = dict(packed.named_parameters())
    pairs = [(p.grad, others[name].grad) for name, p in alone.named_parameters() if p.grad is not None]
    if any(other is None for _, other in pairs):
        raise CheckError("a parameter gets a gradient alone and none in a pack")
    return [_distance(a, b) / max(1.0, a.abs().max().item()) for a, b in pairs]  # type: ignore[arg-type]


def _distance(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().max().item()


def _within(distance: float, tolerance: float) -> str:
    if not distance <= tolerance:
        raise CheckError(f"differs by {distance:.2g}, at most {tolerance:g} is allowed")
    return f"{distance:.1g}"


def _same(a: Tensor, b: Tensor) -> str:
    if not torch.equal(a, b):
        raise CheckError(f"not the same to the last bit: differs by {_distance(a, b):.2g}")
    return "the same"
