"""An exported adapter on the task's model, as PEFT's users load it, gives our scores; and comes back."""

import warnings
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from test_task_folder import NER, PAIRS, RTE, SST2, TEXTS, trained
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from lm_lab import strategies as s
from lm_lab.cli import main
from lm_lab.interchange.peft_read import read
from lm_lab.interchange.peft_task import export_for_task
from lm_lab.models import delta
from lm_lab.tasks.sequences import SequenceTask


def on_base(kind, make, family, folder, **options):
    source = make(family).settings["source"]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = PeftModel.from_pretrained(kind.from_pretrained(source, **options), folder).eval()
    assert not [str(each.message) for each in said if "missing" in str(each.message)]
    return found


@torch.no_grad()
@pytest.mark.parametrize(
    ("family", "strategy", "task", "head"),
    [
        ("bert", s.LoRA(rank=2), SST2, None), ("bert", s.DoRA(rank=2), RTE, "mlp"), ("bert", s.IA3(), SST2, None),
        ("roberta", s.LoRA(rank=2), RTE, "mlp"), ("distilbert", s.LoRA(rank=2), SST2, None),
        ("electra", s.LoRA(rank=2), SST2, None), ("gpt2", s.LoRA(rank=2), SST2, None),
        ("llama", s.LoRA(rank=2), SST2, "no_bias"), ("bart", s.LoRA(rank=2), SST2, None),
        ("t5", s.LoRA(rank=2), SST2, None), ("deberta-v2", s.LoRA(rank=2), RTE, None),
        ("modernbert", s.LoRA(rank=2), SST2, None),
    ],
)  # fmt: skip
def test_scores_of_a_classifier(make, tmp_path, family, strategy, task, head):
    ours = trained(make(family), strategy, task, head=head)
    texts = PAIRS if task.paired else TEXTS
    expected = ours(ours.batch(texts))
    loaded = export_for_task(ours, tmp_path / "a")
    assert loaded.startswith("AutoModelForSequenceClassification.from_pretrained(")
    assert loaded.endswith(", num_labels=2)")
    assert torch.equal(ours(ours.batch(texts)), expected)  # ours is as it was
    theirs = on_base(AutoModelForSequenceClassification, make, family, tmp_path / "a", num_labels=2)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "a")
    theirs.config.pad_token_id = tokenizer.pad_token_id
    theirs.config.decoder_start_token_id = getattr(ours.backbone, "start_id", None)
    columns = zip(*texts, strict=True) if task.paired else [texts]
    found = theirs(**tokenizer(*map(list, columns), padding=True, return_tensors="pt")).logits
    assert torch.allclose(found, expected, atol=1e-5)
    back = read(tmp_path / "a", make(family), task).model
    assert torch.allclose(back(back.batch(texts)), expected, atol=1e-5)


@torch.no_grad()
def test_a_pooling_that_the_base_has_not_is_said(make, tmp_path):
    ours = trained(make("modernbert"), s.LoRA(rank=2), SST2, pooling="mean")
    loaded = export_for_task(ours, tmp_path / "a")
    assert loaded.endswith(", num_labels=2, classifier_pooling='mean')")
    named = {"num_labels": 2, "classifier_pooling": "mean"}
    theirs = on_base(AutoModelForSequenceClassification, make, "modernbert", tmp_path / "a", **named)
    read_ = AutoTokenizer.from_pretrained(tmp_path / "a")(TEXTS, padding=True, return_tensors="pt")
    assert torch.allclose(theirs(**read_).logits, ours(ours.batch(TEXTS)), atol=1e-5)


@torch.no_grad()
def test_scores_of_tags(make, tmp_path):
    ours = trained(make("bert"), s.LoRA(rank=2), NER)
    tokens = ours.encoding.tokenizer(TEXTS, padding=True, return_tensors="pt")
    export_for_task(ours, tmp_path / "a")
    theirs = on_base(AutoModelForTokenClassification, make, "bert", tmp_path / "a", num_labels=3)
    assert torch.allclose(theirs(**tokens).logits, ours({"texts": [dict(tokens)]}), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("family", "kind"), [("gpt2", AutoModelForCausalLM), ("bart", AutoModelForSeq2SeqLM)])
def test_models_that_write(make, tmp_path, family, kind):
    ours = trained(make(family), s.LoRA(rank=2), SequenceTask("w", max_target=5))
    tokens = ours.encoding.tokenizer(TEXTS[0], return_tensors="pt")
    expected = ours.outputs({"source": {name: tokens[name] for name in ("input_ids", "attention_mask")}})
    assert export_for_task(ours, tmp_path / "a").startswith(kind.__name__)
    theirs = on_base(kind, make, family, tmp_path / "a")
    ids = theirs.generate(input_ids=tokens["input_ids"], max_new_tokens=5, eos_token_id=ours.head.end, do_sample=False)
    start = 1 if theirs.config.is_encoder_decoder else tokens["input_ids"].shape[1]
    written = ours.backbone.tokenizer.decode(ids[0, start:], skip_special_tokens=True)
    assert [written.strip()] == expected


def test_the_command_says_what_loads_it(make, tmp_path: Path, capsys):
    folder = delta.save(trained(make(), s.LoRA(rank=2), SST2), tmp_path / "delta")
    assert main(["export", "--delta", str(folder), "--out", str(tmp_path / "a")]) == 0
    assert "loaded by: PeftModel.from_pretrained(AutoModelForSequenceClassification" in capsys.readouterr().out
    mean = delta.save(trained(make(), s.LoRA(rank=2), SST2, pooling="mean"), tmp_path / "mean")
    assert main(["export", "--delta", str(mean), "--out", str(tmp_path / "b")]) == 0
    said = capsys.readouterr()
    assert "loaded by: PeftModel.from_pretrained(AutoModel.from_pretrained" in said.out
    assert "for the bare model, with the head beside it: BertForSequenceClassification would score" in said.err
    assert main(["export", "--bare", "--delta", str(folder), "--out", str(tmp_path / "c")]) == 0
    assert "(AutoModel.from_pretrained" in capsys.readouterr().out
