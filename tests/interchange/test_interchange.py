"""What we export, PEFT loads and computes alike; what PEFT saves, we import and compute alike."""

import json

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification

from lm_lab import AdaptedModel
from lm_lab.cli import main
from lm_lab.errors import UsageError
from lm_lab.interchange.peft_read import read
from lm_lab.interchange.peft_write import export
from lm_lab.models import delta
from lm_lab.models.loading import load_adaptation
from lm_lab.strategies import IA3, BitFit, DoRA, LoRA, PromptTuning, PTuningV2
from lm_lab.tasks import glue_task

# PEFT 0.21 asks transformers 5.23 for a name that has changed
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
CASES = [
    ("bert", LoRA(rank=2, alpha=6.0)),
    ("bert", LoRA(rank=2, roles="all", skip=1)),
    ("bert", LoRA(rank=2, roles="all", rank_stabilised=True)),
    ("bert", DoRA(rank=2)),
    ("bert", IA3()),
    ("bert", PromptTuning(length=3)),
    ("gpt2", LoRA(rank=2, alpha=6.0)),
    ("gpt2", LoRA(rank=2, roles=("query", "mlp_in"))),
    ("gpt2", IA3()),
    ("gpt2", DoRA(rank=2, roles=("qkv",))),
    ("llama", LoRA(rank=2, roles="all")),
    ("llama", PromptTuning(length=3)),
    ("t5", LoRA(rank=2)),
    ("t5", LoRA(rank=2, skip=2)),
    ("t5", IA3()),
]
IDS = torch.randint(5, 100, (3, 7), generator=torch.Generator().manual_seed(0))
TEXT = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}


def named(value) -> str:
    return value if isinstance(value, str) else type(value).__name__


@torch.no_grad()
def trained(make, family, strategy) -> AdaptedModel:
    model = AdaptedModel(make(family), strategy, glue_task("sst2"), pooling="mean").eval()
    for name in sorted(model.trained):
        parameter = model.get_parameter(name)
        parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))))
    return model


@torch.no_grad()
@pytest.mark.parametrize(("family", "strategy"), CASES, ids=named)
def test_peft_loads_what_we_export(make, folders, tmp_path, family, strategy):
    ours = trained(make, family, strategy)
    folder = export(ours, tmp_path / "adapter")
    theirs = peft.PeftModel.from_pretrained(AutoModel.from_pretrained(folders[family]).eval(), str(folder)).eval()
    states = theirs(**ours.backbone._inputs(TEXT)).last_hidden_state[:, -IDS.shape[1] :]
    assert torch.allclose(ours.backbone.last(**TEXT), states, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("family", "strategy"), CASES, ids=named)
def test_what_is_exported_comes_back(make, tmp_path, family, strategy):
    ours = trained(make, family, strategy)
    folder = export(ours, tmp_path / "adapter")
    found = read(folder, make(family), glue_task("sst2"))
    assert found.has_head
    assert torch.allclose(found.model({"texts": [TEXT]}), ours({"texts": [TEXT]}), atol=1e-5)


def test_a_head_says_how_it_reads(make, tmp_path):
    model = AdaptedModel(make("llama"), LoRA(rank=2), glue_task("rte"), pooling="mean", pairs="bi_encoder")
    found = read(export(model, tmp_path / "adapter"), make("llama"), glue_task("rte"), pairs="bi_encoder").model
    assert (found.pooling, found.pairs, found.delimiter) == ("mean", "bi_encoder", None)
    model = AdaptedModel(make("llama"), LoRA(rank=2), glue_task("rte"), pairs="both_orders", delimiter=" ; ")
    folder = export(model, tmp_path / "other")
    found = read(folder, make("llama"), glue_task("rte")).model
    assert (found.pooling, found.pairs, found.delimiter) == ("last", "both_orders", " ; ")
    save_file(load_file(folder / "head.safetensors"), folder / "head.safetensors", metadata={"pairs": "threes"})
    with pytest.raises(UsageError, match="pairs='threes'; expected one of cross_encoder, bi_encoder, both_orders"):
        read(folder, make("llama"), glue_task("rte"))


@torch.no_grad()
@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("bert", peft.LoraConfig(r=4, lora_alpha=8, target_modules=["query", "key"], use_rslora=True)),
        ("bert", peft.LoraConfig(r=4, target_modules=["query", "value"], use_dora=True, task_type="SEQ_CLS")),
        ("llama", peft.LoraConfig(r=4, target_modules="all-linear")),
        ("gpt2", peft.LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True)),
        ("t5", peft.IA3Config(target_modules=["k", "v", "wo"], feedforward_modules=["wo"])),
        ("gpt2", peft.PromptTuningConfig(num_virtual_tokens=3, task_type="FEATURE_EXTRACTION")),
    ],
    ids=["rslora", "dora of a classifier", "all linear", "fused", "ia3", "prompt"],
)
@pytest.mark.filterwarnings("ignore:Some weights of")
def test_we_import_what_peft_saves(make, folders, tmp_path, family, config):
    kind = AutoModelForSequenceClassification if config.task_type == "SEQ_CLS" else AutoModel
    theirs = peft.get_peft_model(kind.from_pretrained(folders[family]), config).eval()
    for name, parameter in theirs.named_parameters():
        if parameter.requires_grad and "modules_to_save" not in name:
            nn.init.normal_(parameter, std=0.2)
    theirs.save_pretrained(tmp_path / "adapter")
    classifies = config.task_type == "SEQ_CLS"
    found = read(tmp_path / "adapter", make(family), glue_task("sst2"), fresh_head=classifies)
    assert not found.has_head
    bare = theirs.base_model.model.bert if config.task_type == "SEQ_CLS" else theirs
    states = bare(**found.model.backbone._inputs(TEXT)).last_hidden_state[:, -IDS.shape[1] :]
    assert torch.allclose(found.model.backbone.last(**TEXT), states, atol=1e-5)


@pytest.mark.parametrize("strategy", [PTuningV2(length=3), BitFit()], ids=named)
def test_what_peft_has_not_or_does_otherwise_is_refused(make, tmp_path, strategy):
    with pytest.raises(UsageError, match=f"{type(strategy).__name__} on bert cannot be exported"):
        export(trained(make, "bert", strategy), tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def test_adapters_without_a_counterpart_are_refused(make, folders, tmp_path):
    def save(config) -> str:
        peft.get_peft_model(AutoModel.from_pretrained(folders["bert"]), config).save_pretrained(tmp_path / "a")
        return str(tmp_path / "a")

    def refuses(folder: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            read(folder, make("bert"), glue_task("sst2"))

    refuses(str(tmp_path), "holds no PEFT adapter")
    refuses(save(peft.LoHaConfig(target_modules=["query"])), "peft_type='LOHA' cannot be imported")
    refuses(save(peft.LoraConfig(target_modules=["query"], bias="all")), "bias='all'")
    refuses(save(peft.LoraConfig(target_modules=["layer.0.attention.self.query"])), "not encoder.layer.1.*query")
    refuses(save(peft.LoraConfig(r=2, target_modules=["query", "value"], rank_pattern={"value": 3})), r"ranks \[2, 3\]")
    refuses(save(peft.IA3Config(target_modules=["key", "value"], feedforward_modules=[])), "lacks .*output.dense")
    folder = save(peft.LoraConfig(target_modules=["query"]))
    with pytest.raises(UsageError, match="which LlamaModel does not have"):
        read(folder, make("llama"), glue_task("sst2"))


def test_the_commands(make, folders, tmp_path, capsys):
    torch.manual_seed(0)
    model = trained(make, "bert", LoRA(rank=2))
    first = delta.save(model, tmp_path / "delta")
    assert main(["export", "--delta", str(first), "--out", str(tmp_path / "adapter")]) == 0
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(folders["bert"])
    args = ["--peft", str(tmp_path / "adapter"), "--backbone", str(folders["bert"]), "--task", "sst2"]
    assert main(["import", *args, "--out", str(tmp_path / "back")]) == 0
    assert main(["import", *args, "--pooling", "cls", "--out", str(tmp_path / "other")]) == 2
    assert "--pooling cls: the adapter's head was trained with 'mean'" in capsys.readouterr().err
    capsys.readouterr()
    with torch.no_grad():
        back, expected = (found({"texts": [TEXT]}) for found in (load_adaptation(tmp_path / "back"), model))
    assert torch.allclose(back, expected, atol=1e-6)
    assert main(["export", "--delta", str(tmp_path), "--out", str(tmp_path / "x")]) == 2
    assert "holds no adaptation.json" in capsys.readouterr().err


def test_a_description_names_no_class_from_elsewhere(make, tmp_path):
    folder = delta.save(trained(make, "bert", LoRA(rank=2)), tmp_path / "delta")
    description = json.loads((folder / "adaptation.json").read_text())
    description["config"]["model"]["strategy"]["class_path"] = "os.system"
    (folder / "adaptation.json").write_text(json.dumps(description))
    with pytest.raises(UsageError, match=r"names os\.system as a strategy, outside of lm_lab"):
        load_adaptation(folder)
