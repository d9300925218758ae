"""Each check finds the fault it is there for: strategies that break one promise each."""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from lm_lab.doctor.case import Case, CheckError
from lm_lab.doctor.checks import CHECKS
from lm_lab.doctor.examine import examine
from lm_lab.strategies import BitFit, LoRA
from lm_lab.strategies.base import AdaptationStrategy, Delta, attach
from lm_lab.strategies.prompt import PromptTuning


class Broken(Delta):
    """Adds its own vector, or whatever `how` breaks."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.vector = nn.Parameter(torch.full((32,), 0.0 if how != "moves the start" else 0.5))
        self.spare = nn.Parameter(torch.zeros(3)) if how == "has a spare parameter" else None
        self.unsaved = torch.zeros(32)

    def after(self, module, x, y):
        if self.how == "changes a frozen weight" and module.training is not None and torch.is_grad_enabled():
            module.get_parameter("weight").data += 1e-3
        if self.how == "keeps what is not saved" and torch.is_grad_enabled():
            self.unsaved = y.detach().mean((0, 1))
        if self.how == "mixes tokens":
            y = y + 10 * y.mean(1, keepdim=True)
        return y + self.vector + self.unsaved


@dataclass(frozen=True)
class BrokenStrategy(LoRA):
    """Behind each attention."""

    how: str = ""
    merges = False

    def inject(self, backbone):
        for match in backbone.sites("attn_out"):
            attach(match.module, "broken", Broken(self.how))

    def parameters(self, backbone):
        return 64

    def merge(self, backbone):
        if self.how != "merges silently":
            AdaptationStrategy.merge(self, backbone)


@pytest.mark.parametrize(
    ("how", "check"),
    [
        ("moves the start", "identity_at_start"),
        ("changes a frozen weight", "frozen_weights_stay"),
        ("has a spare parameter", "every_trained_tensor_learns"),
        ("has a spare parameter", "count_is_the_formula"),
        ("keeps what is not saved", "saved_delta_loads_back"),
        ("merges silently", "merged_equals_unmerged"),
        ("mixes tokens", "padding_changes_nothing"),
        ("mixes tokens", "no_token_sees_a_later_one"),
    ],
)
def test_a_broken_promise_is_found(make, how, check):
    family = "llama" if check == "no_token_sees_a_later_one" else "bert"
    case = Case(make(family), BrokenStrategy(how=how))
    with pytest.raises(CheckError):
        CHECKS[check](case)


@pytest.mark.parametrize("check", CHECKS)
def test_an_unbroken_one_passes(make, check):
    assert isinstance(CHECKS[check](Case(make("llama"), BrokenStrategy(how=""))), str)


def test_a_merge_that_leaves_something_or_differs_is_found(make):
    class Keeps(LoRA):
        def merge(self, backbone):
            pass

    class Forgets(LoRA):
        def merge(self, backbone):
            from lm_lab.strategies.base import detach

            for name, match in self.named_sites(backbone):
                detach(match.module, name)

    for wrong, message in ((Keeps, "left behind"), (Forgets, "differs by")):
        with pytest.raises(CheckError, match=message):
            CHECKS["merged_equals_unmerged"](Case(make("bert"), wrong(rank=2, alpha=64.0)))


def test_a_finish_that_changes_scores_is_found(make):
    class Zeroes(LoRA):
        def finish(self, backbone):
            for name, parameter in backbone.named_parameters():
                if "lora" in name:
                    parameter.data.zero_()
            return self

    with pytest.raises(CheckError, match="differs by"):
        CHECKS["finishing_changes_nothing"](Case(make("bert"), Zeroes(rank=2, alpha=64.0)))


def test_a_prompt_that_is_not_cut_off_is_found(make, monkeypatch):
    monkeypatch.setattr("lm_lab.strategies.prompt._cut", lambda model, args, inputs, output: output)
    case = Case(make("bert"), PromptTuning(length=3))
    case.__dict__["_steps"] = case.adapted(), {}  # it could not be trained
    with pytest.raises(CheckError, match=r"states are \(4, 9, 32\), expected \(4, 6, 32\)"):
        CHECKS["tokens_keep_their_places"](case)


def test_copies_that_share_weights_are_found(make):
    """A delta that holds on to a weight of the original, as a closure would."""
    case = Case(make("bert"), LoRA(rank=2))
    delta = case.trained.backbone.sites("query")[0].module.lora_query
    kept = delta.up

    class Shares(type(delta)):
        def __deepcopy__(self, memo):
            twin = copy.copy(self)
            twin._parameters = {**self._parameters, "up": kept}
            return twin

    delta.__class__ = Shares
    with pytest.raises(CheckError, match="not the same to the last bit"):
        CHECKS["copies_work"](case)


def test_a_refusal_is_one_row_and_no_failure(make):
    (row,) = examine(make("llama"), "BitFit", BitFit())
    assert row.ok
    assert row.refused
    assert "BitFit has nothing to train" in row.detail


def test_an_unforeseen_error_is_a_failure_with_its_place(make):
    class Crashes(LoRA):
        def inject(self, backbone):
            raise ZeroDivisionError("oh")

    (row,) = examine(make("bert"), "Crashes", Crashes())
    assert not row.ok
    assert row.detail.startswith("ZeroDivisionError at test_checks.py:")
