"""A merged adaptation is a model for its task that plain `transformers` loads to equal scores, or it is refused."""

import shutil

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)

from lm_lab import AdaptedModel
from lm_lab import strategies as s
from lm_lab.backbones import TransformersBackbone
from lm_lab.cli import main
from lm_lab.errors import UsageError
from lm_lab.interchange.task_folder import save_task_model
from lm_lab.models import delta
from lm_lab.tasks import TextTask, glue_task
from lm_lab.tasks.choices import ChoiceTask
from lm_lab.tasks.multi_label import MultiLabelTask
from lm_lab.tasks.sequences import SequenceTask
from lm_lab.tasks.spans import SpanTask
from lm_lab.tasks.tags import TagTask

TEXTS = ["the cat sees the dog .", "a bird", "the dog that the cat sees sleeps near the house ."]
PAIRS = list(zip(TEXTS, reversed(TEXTS), strict=True))
NER = TagTask("ner", labels=("O", "B-X", "I-X"))
SST2, RTE, STSB = (glue_task(name) for name in ("sst2", "rte", "stsb"))


@torch.no_grad()
def trained(backbone, strategy, task, **reading):
    model = AdaptedModel(backbone, strategy, task, **reading).eval()
    for name in sorted(model.trained):
        parameter = model.get_parameter(name)
        parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))))
    return model


def loaded(kind, folder):
    return kind.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "distilbert", "albert", "gpt2", "deberta-v2",
                                    "t5", "bart", "longformer", "reformer", "modernbert"])  # fmt: skip
@pytest.mark.parametrize("task", [SST2, RTE, STSB], ids=lambda task: task.name)
def test_a_classifier_s_scores_are_ours(make, tmp_path, family, task):
    ours = trained(make(family), s.LoRA(rank=2), task)
    texts = PAIRS if task.paired else TEXTS
    expected = ours(ours.batch(texts))
    theirs, tokenizer = loaded(AutoModelForSequenceClassification, save_task_model(ours, tmp_path / "m"))
    columns = zip(*texts, strict=True) if task.paired else [texts]
    found = theirs(**tokenizer(*map(list, columns), padding=True, return_tensors="pt")).logits
    if task is STSB:
        found = found / 5 - 0.5
        assert (theirs.config.problem_type, theirs.config.num_labels) == ("regression", 1)
    else:
        assert theirs.config.id2label == dict(enumerate(task.labels))
        assert theirs.config.label2id == {name: i for i, name in enumerate(task.labels)}
    assert torch.allclose(found, expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    ("family", "head", "strategy"),
    [
        ("bert", "mlp", s.FullFineTuning()), ("roberta", "mlp", s.BitFit()), ("albert", "mlp", s.FullFineTuning()),
        ("bart", "mlp", s.DoRA(rank=2)), ("llama", "no_bias", s.LoRA(rank=2)), ("gpt2", "no_bias", s.IA3()),
        ("bert", None, s.VeRA(rank=4)), ("bert", None, s.LinearProbe()), ("xlnet", "mlp", s.FullFineTuning()),
        ("xlnet", None, s.FullFineTuning()), ("bert", None, s.PartialFineTuning(1)),
    ],
)  # fmt: skip
def test_heads_and_methods(make, tmp_path, family, head, strategy):
    ours = trained(make(family), strategy, SST2, head=head)
    expected = ours(ours.batch(TEXTS))
    theirs, tokenizer = loaded(AutoModelForSequenceClassification, save_task_model(ours, tmp_path / "m"))
    assert torch.allclose(theirs(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits, expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("family", "head"), [("gpt2", None), ("llama", "no_bias")])
def test_where_padding_is_the_end_token_it_gets_one_of_its_own(make, folders, tmp_path, family, head):
    shutil.copytree(folders[family], tmp_path / "b")
    words = AutoTokenizer.from_pretrained(tmp_path / "b")
    words.eos_token = words.pad_token = "[SEP]"
    words.save_pretrained(tmp_path / "b")
    ours = trained(TransformersBackbone(str(tmp_path / "b")), s.LoRA(rank=2), SST2, head=head)
    expected = ours(ours.batch(TEXTS))
    theirs, tokenizer = loaded(AutoModelForSequenceClassification, save_task_model(ours, tmp_path / "m"))
    assert tokenizer.pad_token_id == theirs.config.pad_token_id == len(words)
    assert torch.allclose(theirs(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "task", "reading", "why"),
    [
        ("bert", SST2, {"pooling": "mean"}, "reads the first token, .* mean; train with --model.pooling cls"),
        ("gpt2", SST2, {"pooling": "attention"}, "pools by attention: train with --model.pooling last"),
        ("distilbert", SST2, {"head": "mlp"}, "no tanh between two layers; train with --model.head linear"),
        ("llama", SST2, {}, "`score` has no bias, .* train with --model.head no_bias"),
        ("bert", RTE, {"pairs": "bi_encoder"}, "train with --model.pairs cross_encoder"),
        ("gpt2", ChoiceTask("c"), {}, "no class for 'c' .AutoModelForMultipleChoice of gpt2"),
        ("bert", SequenceTask("w"), {}, "bert writes with a prefix mask here"),
        ("longformer", SpanTask("q"), {}, "other tokens than the first, which the fit had, see the whole text"),
        ("longformer", NER, {}, "other tokens than the first, which the fit had, see the whole text"),
        ("t5", NER, {}, "T5ForTokenClassification reads an encoder alone, and this head a decoder's states"),
        ("modernbert", SST2, {"head": "mlp"}, "no tanh between two layers; train with --model.head linear"),
        ("modernbert", SST2, {"pooling": "max"}, "pools by max; train with --model.pooling cls"),
    ],
)
def test_what_no_class_computes_is_refused_and_nothing_written(make, tmp_path, family, task, reading, why):
    with pytest.raises(UsageError, match=why):
        save_task_model(trained(make(family), s.LoRA(rank=2), task, **reading), tmp_path / "m")
    assert not (tmp_path / "m").exists()
    assert not list(tmp_path.glob(".writing*"))


def test_layers_and_added_modules_are_refused(make, tmp_path):
    with pytest.raises(UsageError, match=r"reads the last layer, and this one reads \[1\]"):
        save_task_model(trained(make(), s.LinearProbe(at_layer=1), SST2), tmp_path / "m")
    with pytest.raises(UsageError, match="HoulsbyAdapter cannot be merged into the weights"):
        save_task_model(trained(make(), s.HoulsbyAdapter(size=4), SST2), tmp_path / "m")


@torch.no_grad()
@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama", "modernbert"])
def test_tags(make, tmp_path, family):
    ours = trained(make(family), s.LoRA(rank=2), NER)
    tokens = ours.encoding.tokenizer(TEXTS, padding=True, padding_side="right", return_tensors="pt")
    expected = ours({"texts": [dict(tokens)]})[tokens["attention_mask"].bool()]
    theirs, tokenizer = loaded(AutoModelForTokenClassification, save_task_model(ours, tmp_path / "m"))
    read = tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert torch.allclose(theirs(**read).logits[read["attention_mask"].bool()], expected, atol=1e-5)
    assert theirs.config.id2label == {0: "O", 1: "B-X", 2: "I-X"}


@torch.no_grad()
@pytest.mark.parametrize("family", ["bert", "distilbert", "bart", "t5", "modernbert"])
def test_answers_to_questions(make, tmp_path, family):
    ours = trained(make(family), s.LoRA(rank=2), SpanTask("q"))
    tokens = ours.encoding.tokenizer(*map(list, zip(*PAIRS, strict=True)), padding=True, return_tensors="pt")
    expected = ours({"texts": [dict(tokens)]})[tokens["attention_mask"].bool()]
    theirs, tokenizer = loaded(AutoModelForQuestionAnswering, save_task_model(ours, tmp_path / "m"))
    read = tokenizer(*map(list, zip(*PAIRS, strict=True)), padding=True, return_tensors="pt")
    found = theirs(**read)
    scores = torch.stack([found.start_logits, found.end_logits], -1)[read["attention_mask"].bool()]
    assert torch.allclose(scores, expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "modernbert"])
def test_options_of_a_question(make, tmp_path, family):
    ours = trained(make(family), s.LoRA(rank=2), ChoiceTask("c"))
    tokens = ours.encoding.tokenizer([TEXTS[0]] * 3, TEXTS, padding=True, return_tensors="pt")
    expected = ours({"texts": [dict(tokens)]}).flatten()
    theirs, tokenizer = loaded(AutoModelForMultipleChoice, save_task_model(ours, tmp_path / "m"))
    read = tokenizer([TEXTS[0]] * 3, TEXTS, padding=True, return_tensors="pt")
    assert torch.allclose(theirs(**{name: v[None] for name, v in read.items()}).logits[0], expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("factor", [1.0, 30.0])
def test_modernbert_reads_the_mean_as_well_and_large_scores_go_through_its_norm(make, tmp_path, factor):
    ours = trained(make("modernbert"), s.LoRA(rank=2), SST2, pooling="mean")
    ours.head.scorer.out.weight.mul_(factor)
    expected = ours(ours.batch(TEXTS))
    theirs, tokenizer = loaded(AutoModelForSequenceClassification, save_task_model(ours, tmp_path / "m"))
    assert theirs.config.classifier_pooling == "mean"
    found = theirs(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
    assert torch.allclose(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_several_classes_at_once(make, tmp_path):
    ours = trained(make(), s.LoRA(rank=2), MultiLabelTask("m", labels=("a", "b", "c")))
    tokens = ours.encoding.tokenizer(TEXTS, padding=True, return_tensors="pt")
    expected = ours({"texts": [dict(tokens)]})
    theirs, tokenizer = loaded(AutoModelForSequenceClassification, save_task_model(ours, tmp_path / "m"))
    assert torch.allclose(theirs(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits, expected, atol=1e-5)
    assert theirs.config.problem_type == "multi_label_classification"


@torch.no_grad()
@pytest.mark.parametrize(("family", "kind"), [("t5", AutoModelForSeq2SeqLM), ("bart", AutoModelForSeq2SeqLM),
                                              ("gpt2", AutoModelForCausalLM)])  # fmt: skip
def test_texts_that_are_written_are_ours(make, tmp_path, family, kind):
    ours = trained(make(family), s.LoRA(rank=2), SequenceTask("w", max_target=6))
    sources = ours.encoding.tokenizer(TEXTS, padding=True, padding_side="right", return_tensors="pt")
    batch = {"source": {name: sources[name] for name in ("input_ids", "attention_mask")}}
    expected = ours.outputs(batch)
    theirs, tokenizer = loaded(kind, save_task_model(ours, tmp_path / "m"))
    read = tokenizer(TEXTS, padding=True, return_tensors="pt")
    ids = theirs.generate(read["input_ids"], attention_mask=read["attention_mask"])
    start = 0 if theirs.config.is_encoder_decoder else read["input_ids"].shape[1]
    assert tokenizer.batch_decode(ids[:, start:], skip_special_tokens=True) == expected


def test_the_command_and_a_pipeline(make, tmp_path, capsys):
    task = TextTask("own", labels=("bad", "fair", "good"))
    model = trained(make(), s.LoRA(rank=2), task)
    folder = delta.save(model, tmp_path / "delta")
    assert main(["merge", "--delta", str(folder), "--out", str(tmp_path / "model")]) == 0
    assert "model: " in capsys.readouterr().out
    reader = pipeline("text-classification", model=str(tmp_path / "model"))
    expected = [row["prediction"] for row in model.predict(TEXTS)]
    assert [row["label"] for row in reader(TEXTS)] == expected
    assert main(["merge", "--delta", str(folder), "--out", str(tmp_path / "model")]) == 2
    assert "exists; give a new folder" in capsys.readouterr().err
