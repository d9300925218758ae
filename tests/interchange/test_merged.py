"""A merged delta is an ordinary model whose states are those of the adapted backbone, or it is refused by name."""

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from lm_lab import AdaptedModel
from lm_lab import strategies as s
from lm_lab.backbones import TransformersBackbone
from lm_lab.cli import main
from lm_lab.doctor.examples import EXAMPLES
from lm_lab.errors import UsageError
from lm_lab.interchange.merged import save_merged
from lm_lab.models import delta
from lm_lab.tasks import glue_task

IDS = torch.randint(5, 100, (3, 7), generator=torch.Generator().manual_seed(0))
TEXT = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
ADDED = {
    *("HoulsbyAdapter", "PfeifferAdapter", "ParallelAdapter", "PromptTuning", "PromptTuning, class words"),
    *("PTuningV2", "PrefixTuning", "Combination of prefix and parallel adapter"),
}


@torch.no_grad()
def trained(make, family, strategy):
    model = AdaptedModel(make(family), strategy, glue_task("sst2"), pooling="mean").eval()
    for name in sorted(model.trained):
        parameter = model.get_parameter(name)
        parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))))
    return model


@torch.no_grad()
@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_states_are_the_adapted_backbone_s(make, tmp_path, family, name):
    if (family, name) == ("t5", "BitFit"):
        return
    ours = trained(make, family, EXAMPLES[name])
    expected = ours.backbone.last(**TEXT)
    if name in ADDED:
        with pytest.raises(UsageError, match=f"{type(ours.strategy).__name__} cannot be merged into the weights"):
            save_merged(ours, tmp_path / "m")
        assert not (tmp_path / "m").exists()
        return
    folder = save_merged(ours, tmp_path / "m")
    theirs = AutoModel.from_pretrained(folder).eval()
    assert torch.allclose(theirs(**ours.backbone._inputs(TEXT)).last_hidden_state, expected, atol=1e-5)
    assert torch.allclose(TransformersBackbone(str(folder)).eval().last(**TEXT), expected, atol=1e-5)
    assert len(AutoTokenizer.from_pretrained(folder)) == len(ours.backbone.tokenizer)


def test_parts_merge_in_their_own_order_or_not_at_all(make, tmp_path):
    lora, ia3 = s.LoRA(rank=2, roles=("key", "mlp_out")), s.IA3()
    first = trained(make, "bert", s.Combination([lora, ia3]))
    expected = first.backbone.last(**TEXT)
    save_merged(first, tmp_path / "a")
    assert torch.allclose(first.backbone.last(**TEXT), expected, atol=1e-5)
    with pytest.raises(UsageError, match="Combination cannot be merged exactly: states would change by"):
        save_merged(trained(make, "bert", s.Combination([ia3, lora])), tmp_path / "b")


def test_the_command(make, tmp_path, capsys):
    model = trained(make, "bert", s.LoRA(rank=2))
    folder = delta.save(model, tmp_path / "delta")
    args = ["merge", "--bare", "--delta", str(folder), "--out", str(tmp_path / "model")]
    assert main(args) == 0
    with torch.no_grad():
        states = AutoModel.from_pretrained(tmp_path / "model").eval()(**TEXT).last_hidden_state
        assert torch.allclose(states, model.backbone.last(**TEXT), atol=1e-5)
    capsys.readouterr()
    assert main(args) == 2
    assert "exists; give a new folder" in capsys.readouterr().err
    (tmp_path / "file").touch()
    for command in (["merge", "--bare"], ["export"]):
        assert main([*command, "--delta", str(folder), "--out", str(tmp_path / "file" / "x")]) == 2
        assert "cannot be written" in capsys.readouterr().err
    prompt = delta.save(trained(make, "bert", s.PromptTuning(length=2)), tmp_path / "prompt")
    assert main(["merge", "--delta", str(prompt), "--out", str(tmp_path / "x")]) == 2
    assert "PromptTuning cannot be merged" in capsys.readouterr().err
