"""Every field of the PEFT configurations that are read: equal to PEFT's outputs, or refused by name."""

import dataclasses
import json

import peft
import pytest
import torch
from peft.tuners.lora.config import LoraRuntimeConfig
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification

from lm_lab.cli import main
from lm_lab.errors import UsageError
from lm_lab.interchange.peft_config import FREE, read_config
from lm_lab.interchange.peft_read import read
from lm_lab.models.loading import load_adaptation
from lm_lab.strategies import LoRA
from lm_lab.tasks import TextTask, glue_task

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Some weights of"),
    pytest.mark.filterwarnings("ignore:Adapter 'default'. 2 LoRA tensor"),  # PEFT doubts its own biases
]
IDS = torch.randint(5, 100, (3, 7), generator=torch.Generator().manual_seed(0))
TEXT = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
QUERIES = [f"encoder.layer.{n}.attention.self.query" for n in range(2)]


@torch.no_grad()
def saved(folders, folder, family, config, **options):
    """A PEFT model whose every trained weight is random, after it was saved to `folder`."""
    kind = AutoModelForSequenceClassification if config.task_type == "SEQ_CLS" else AutoModel
    model = peft.get_peft_model(kind.from_pretrained(folders[family], **options), config).eval()
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    return model


def edited(folder, **fields):
    """The folder, with fields of its configuration changed."""
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder


@pytest.mark.parametrize("pattern", [r"(.{1,99}){1,99}(?<!y)", "(" * 3000])
@pytest.mark.parametrize("field", ["target_modules", "exclude_modules", "rank_pattern"])
def test_a_hostile_pattern_is_refused_and_not_tried_for_years(make, folders, tmp_path, field, pattern):
    saved(folders, tmp_path / "a", "bert", peft.LoraConfig(r=2, target_modules=["query"]))
    edited(tmp_path / "a", **{field: {pattern: 3} if field == "rank_pattern" else pattern})
    with pytest.raises(UsageError, match=r"takes too long to match|is no regular expression"):
        read(tmp_path / "a", make("bert"), glue_task("sst2"))


@torch.no_grad()
@pytest.mark.parametrize(
    "config",
    [
        peft.LoraConfig(r=4, lora_alpha=8, target_modules=["query", "value"], alpha_pattern={"value": 32}),
        peft.LoraConfig(r=4, target_modules=["query"], alpha_pattern={r"encoder.layer.1.*": 3}, use_rslora=True),
        peft.LoraConfig(r=4, target_modules=["query", "value"], alpha_pattern={"layer.1.*query": 2}, use_dora=True),
        peft.LoraConfig(r=4, lora_alpha=8, target_modules=["query"], rank_pattern={"query": 2}),
        peft.LoraConfig(r=4, target_modules=r".*attention\.self\.(query|key)"),
        peft.LoraConfig(r=4, target_modules=["query", "value"], exclude_modules=["value"]),
        peft.LoraConfig(r=4, target_modules=["query"], init_lora_weights="gaussian"),
        peft.LoraConfig(r=4, target_modules=["query", "key"], layers_to_transform=[1]),
        peft.LoraConfig(r=4, target_modules=["query"], layers_to_transform=1, layers_pattern="layer", use_dora=True),
        peft.IA3Config(target_modules=r".*(key|value|\d\.output\.dense)", feedforward_modules=r".*\d\.output\.dense"),
    ],
    ids=[
        "alphas",
        "alphas by expression",
        "alphas of DoRA",
        "ranks",
        "expression",
        "excluded",
        "gaussian",
        "layers",
        "a layer",
        "IA3",
    ],
)
def test_outputs_are_peft_s(make, folders, tmp_path, config):
    theirs = saved(folders, tmp_path / "a", "bert", config)
    found = read(tmp_path / "a", make("bert"), glue_task("sst2"))
    assert torch.allclose(found.model.backbone.last(**TEXT), theirs(**TEXT).last_hidden_state, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("family", "target"), [("roberta", "query"), ("llama", "q_proj"), ("gpt2", "c_attn")])
def test_heads_that_are_ours_too_come_along(make, folders, tmp_path, family, target):
    config = peft.LoraConfig(r=2, target_modules=[target], task_type="SEQ_CLS", fan_in_fan_out=family == "gpt2")
    theirs = saved(folders, tmp_path / "a", family, config, num_labels=3)
    task = TextTask("own", labels=("a", "b", "c"))
    found = read(tmp_path / "a", make(family), task)
    assert found.has_head
    assert torch.allclose(found.model({"texts": [TEXT]}), theirs(**TEXT).logits, atol=1e-5)
    with pytest.raises(UsageError, match=r"does not fit the task 'sst2'.*\[3.*expected \[2"):
        read(tmp_path / "a", make(family), glue_task("sst2"))
    with pytest.raises(UsageError, match="has no counterpart for the task 'stsb'"):
        read(tmp_path / "a", make(family), glue_task("stsb"))
    with pytest.raises(UsageError, match="has no counterpart"):
        read(tmp_path / "a", make(family), task, pooling="mean")
    assert not read(tmp_path / "a", make(family), glue_task("sst2"), fresh_head=True).has_head


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (peft.LoraConfig(target_modules=["query"], task_type="SEQ_CLS"), "brings a head, classifier.bias .modules_to"),
        (peft.LoraConfig(target_modules=["query"], modules_to_save=["value"]), "replaces .*value.*modules_to_save"),
        (peft.LoraConfig(target_modules=["query"], modules_to_save=["LayerNorm"]), "replaces .*LayerNorm"),
        (peft.LoraConfig(target_modules=["query"], lora_bias=True), "lora_bias=True"),
        (peft.LoraConfig(target_modules=["query"], bias="lora_only"), "bias='lora_only'"),
        (peft.LoraConfig(target_modules=["query", "word_embeddings"]), "replaces .*lora_embedding"),
        (peft.LoraConfig(target_modules=["query"], trainable_token_indices=[3]), "trainable_token_indices"),
        (peft.LoraConfig(target_modules=["query"], layers_to_transform=[0]), "covers not encoder.layer.1.*lowest"),
    ],
)
def test_what_has_no_counterpart_is_refused(make, folders, tmp_path, config, message):
    saved(folders, tmp_path / "a", "bert", config)
    with pytest.raises(UsageError, match=message):
        read(tmp_path / "a", make("bert"), glue_task("sst2"))


OTHER = {  # of fields whose default is None, or whose type allows few values
    "bias": "all", "init_lora_weights": "pissa", "runtime_config": LoraRuntimeConfig(True), "rank_pattern": {"x": "y"},
    "alpha_pattern": [1], "target_modules": {"a": 1}, "exclude_modules": 3, "modules_to_save": "x",
    "layers_pattern": 3,
    "num_virtual_tokens": 0, "lora_alpha": 0, "num_transformer_submodules": 2,
}  # fmt: skip
KINDS = {"LORA": peft.LoraConfig, "IA3": peft.IA3Config, "PROMPT_TUNING": peft.PromptTuningConfig}


def other(name, default):
    """A value of a field that is not its default."""
    if name in OTHER:
        return OTHER[name]
    return not default if isinstance(default, bool) else "x" if not isinstance(default, int | float) else -3


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field.name) for kind, cls in KINDS.items() for field in dataclasses.fields(cls)]
)
def test_every_field_is_free_or_read_or_refused_by_name(tmp_path, kind, field):
    default = getattr(KINDS[kind](), field) if kind != "PROMPT_TUNING" else getattr(peft.PromptTuningConfig(), field)
    if field in FREE:
        return  # what the tests above load with
    config = {"peft_type": kind, field: other(field, default)}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    if field in ("use_rslora", "use_dora"):
        assert read_config(tmp_path)[field] is True  # loaded above
        return
    with pytest.raises(UsageError, match=f"^{field}="):
        read_config(tmp_path)


def test_a_field_of_a_later_peft_is_refused_unless_it_is_off(tmp_path):
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({"peft_type": "LORA", "use_magic": False}))
    assert read_config(tmp_path)["r"] == 8
    path.write_text(json.dumps({"peft_type": "LORA", "use_magic": True}))
    with pytest.raises(UsageError, match="use_magic=True cannot be imported"):
        read_config(tmp_path)


def test_tensors_that_peft_would_not_use_are_refused(make, folders, tmp_path):
    saved(folders, tmp_path, "bert", peft.LoraConfig(target_modules=["query"]))
    for fields, message in (
        ({"target_modules": ["value"]}, "which target_modules does not name"),
        ({"target_modules": "(query"}, "is no regular expression"),
        ({"target_modules": ["query"], "exclude_modules": ["query"]}, "which target_modules does not name"),
        (
            {"r": 4, "target_modules": ["query"], "exclude_modules": None},
            r"\[8, 32\]; expected \[4, 32",
        ),
    ):
        with pytest.raises(UsageError, match=message):
            read(edited(tmp_path, **fields), make("bert"), glue_task("sst2"))


def test_tensors_of_layers_that_peft_would_not_use_are_refused(make, folders, tmp_path):
    config = peft.LoraConfig(r=4, target_modules=["query"], layers_to_transform=[1])
    saved(folders, tmp_path / "a", "bert", config)
    edited(tmp_path / "a", layers_to_transform=[0])
    with pytest.raises(UsageError, match=r"encoder\.layer\.1\..*in none of layers_to_transform=.0.; PEFT drops them"):
        read(tmp_path / "a", make("bert"), glue_task("sst2"))
    edited(tmp_path / "a", layers_to_transform=[1], layers_pattern="blocks")
    with pytest.raises(UsageError, match="in none of layers_to_transform"):
        read(tmp_path / "a", make("bert"), glue_task("sst2"))
    edited(tmp_path / "a", layers_to_transform=["1"], layers_pattern=None)
    with pytest.raises(UsageError, match=r"layers_to_transform=\['1'\] cannot be imported; expected numbers of layers"):
        read(tmp_path / "a", make("bert"), glue_task("sst2"))


def test_prompts_of_other_lengths_are_refused(make, folders, tmp_path):
    config = peft.PromptTuningConfig(num_virtual_tokens=3, task_type="FEATURE_EXTRACTION")
    saved(folders, tmp_path, "bert", config)
    with pytest.raises(UsageError, match=r"prompt_embeddings is \[3, 32\]; expected \[5, 32\]"):
        read(edited(tmp_path, num_virtual_tokens=5), make("bert"), glue_task("sst2"))
    with pytest.raises(UsageError, match="encoder-decoder"):
        read(tmp_path, make("t5"), glue_task("sst2"))


def test_numbers_that_are_not_finite_are_refused(make, folders, tmp_path):
    saved(folders, tmp_path, "bert", peft.LoraConfig(target_modules=["query"]))
    path = tmp_path / "adapter_model.safetensors"
    tensors = load_file(path)
    next(iter(tensors.values()))[0, 0] = torch.nan
    save_file(tensors, path)
    with pytest.raises(UsageError, match="not finite"):
        read(tmp_path, make("bert"), glue_task("sst2"))


def test_a_task_of_one_s_own(folders, tmp_path, capsys):
    saved(folders, tmp_path / "a", "bert", peft.LoraConfig(target_modules=["query"]))
    settings = {"name": "reviews", "labels": ["bad", "fair", "good"], "columns": {"sentence": "review"}}
    config = tmp_path / "own.yaml"
    config.write_text(json.dumps({"data": {"class_path": "OwnTexts", "init_args": settings}}))
    args = ["import", "--peft", str(tmp_path / "a"), "--backbone", str(folders["bert"]), "--out", str(tmp_path / "d")]
    assert main([*args, "--config", str(config)]) == 0
    model = load_adaptation(tmp_path / "d")
    assert model.task.labels == ("bad", "fair", "good")
    assert isinstance(model.strategy, LoRA)
    (tmp_path / "new.txt").write_text("a text\n")
    capsys.readouterr()
    assert main(["adapt", "predict", "--delta", str(tmp_path / "d"), "--text", str(tmp_path / "new.txt")]) == 0
    assert "fair=" in capsys.readouterr().out
    config.write_text(json.dumps({"data": {"class_path": "OwnTexts", "init_args": {"nam": "reviews"}}}))
    assert main([*args, "--config", str(config)]) == 2
    config.write_text("trainer: {}")
    assert main([*args, "--config", str(config)]) == 2
    assert "has no `data`" in capsys.readouterr().err
