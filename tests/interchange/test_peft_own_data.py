"""A PEFT adapter for a task of one's own data: the head comes along, labels are the data's, files are used and gone."""

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import yaml
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from lm_lab import AdaptedModel, bind
from lm_lab.cli import main
from lm_lab.data import MultiLabelTexts, OwnTexts, TokenClassification
from lm_lab.data.modules.base import TaskData
from lm_lab.models import delta
from lm_lab.models.loading import load_adaptation
from lm_lab.strategies import LoRA

# PEFT 0.21 asks transformers 5.23 for a name that has changed
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
LABELS = ["bad", "fair", "good"]
TEXTS = ["it was fine .", "the beast saw the tool", "a fine is bad ."]
ROWS = [f"{text},{label}" for text, label in zip(TEXTS * 8, LABELS * 8, strict=True)]


@pytest.fixture
def reviews() -> None:
    """A csv in the working folder."""
    Path("reviews.csv").write_text("\n".join(["review,verdict", *ROWS]) + "\n")


def config(kind: str = "OwnTexts", **settings: Any) -> str:
    """A file with the `data` of a task of one's own."""
    own = {"name": "reviews", "columns": {"sentence": "review", "label": "verdict"}}
    given = {"class_path": kind, "init_args": (own if kind != "TokenClassification" else {}) | settings}
    Path("own.yaml").write_text(yaml.safe_dump({"data": given}))
    return "own.yaml"


def perturbed(model: torch.nn.Module) -> None:
    """Values that are not those of a start, so that a tensor that is lost changes scores."""
    with torch.no_grad():
        for place, parameter in enumerate(each for each in model.parameters() if each.requires_grad):
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(place)))


def imported(backbone: Path, *words: str) -> AdaptedModel:
    args = ["--peft", "adapter", "--backbone", str(backbone), "--out", "imported", *words]
    assert main(["import", *args]) == 0
    return load_adaptation("imported").eval()


@pytest.mark.usefixtures("reviews")
@pytest.mark.parametrize("settings", [{"source": "reviews.csv"}, {"labels": LABELS}], ids=["found", "given"])
@pytest.mark.parametrize(("family", "named"), [("roberta", ["query", "value"]), ("llama", ["q_proj", "v_proj"])])
def test_a_classifier_of_peft_scores_ones_own_classes(
    folders: dict[str, Path], family: str, named: list[str], settings: dict[str, Any]
) -> None:
    """PEFT's own scores of three classes are those of the delta, by name, though the csv is not there any more."""
    torch.manual_seed(0)
    theirs = AutoModelForSequenceClassification.from_pretrained(folders[family], num_labels=3)
    tokenizer = AutoTokenizer.from_pretrained(folders[family])
    theirs.config.pad_token_id = tokenizer.pad_token_id
    wrapped = peft.get_peft_model(theirs, peft.LoraConfig(r=2, target_modules=named, task_type="SEQ_CLS"))
    perturbed(wrapped)
    wrapped.eval().save_pretrained("adapter")
    model = imported(folders[family], "--config", config(**settings))
    Path("reviews.csv").unlink()
    assert model.task.labels == tuple(LABELS)
    batch = model.encoding.tokenizer(
        TEXTS, return_tensors="pt", padding=True
    )  # a decoder's text ends with an end token
    with torch.no_grad():
        expected = wrapped(**{name: batch[name] for name in ("input_ids", "attention_mask")}).logits.softmax(-1)
    found = load_adaptation("imported").predict(TEXTS)
    shares = torch.tensor([[answer["probabilities"][label] for label in LABELS] for answer in found])
    assert torch.allclose(shares, expected, atol=1e-5)
    assert [answer["prediction"] for answer in found] == [LABELS[best] for best in expected.argmax(-1)]


def _tags() -> TaskData:
    rows = [{"tokens": text.split(), "tags": ["O"] * (len(text.split()) - 1) + ["B-END"]} for text in TEXTS * 8]
    Path("ends.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return TokenClassification("ends", source="ends.jsonl")


def _topics() -> TaskData:
    rows = [{"sentence": text, "label": LABELS[: number % 3]} for number, text in enumerate(TEXTS * 8)]
    Path("topics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return MultiLabelTexts("topics", source="topics.jsonl")


def _texts() -> TaskData:
    return OwnTexts("reviews", source="reviews.csv", columns={"sentence": "review", "label": "verdict"})


FORMS = {
    "OwnTexts": (_texts, {"name": "reviews", "labels": LABELS}, "it was fine ."),
    "MultiLabelTexts": (_topics, {"name": "topics", "source": "topics.jsonl", "columns": None}, "it was fine ."),
    "TokenClassification": (_tags, {"task": "ends", "source": "ends.jsonl"}, "it was fine ."),
}


@pytest.mark.usefixtures("reviews")
@pytest.mark.parametrize("family", ["bert", "gpt2"])
@pytest.mark.parametrize("kind", FORMS)
def test_what_we_export_of_own_data_comes_back_with_its_words(
    make: Any, folders: dict[str, Path], family: str, kind: str
) -> None:
    form, settings, text = FORMS[kind]
    data = form()
    model = AdaptedModel(make(family), LoRA(rank=2), data.task, head="no_bias" if family == "gpt2" else "linear").eval()
    bind(model, data)
    perturbed(model)
    delta.save(model, Path("delta"))
    assert main(["export", "--delta", "delta", "--out", "adapter"]) == 0
    back = imported(folders[family], "--config", config(kind, **settings))
    assert back.task.labels == model.task.labels
    (found,), (expected,) = back.predict([text]), model.predict([text])
    assert found.keys() == expected.keys()
    assert found["prediction"] == expected["prediction"]
    assert found.get("probabilities", {}) == pytest.approx(expected.get("probabilities", {}), abs=1e-5)


@pytest.mark.usefixtures("reviews")
def test_an_adapter_of_other_classes_is_refused_in_one_line(
    make: Any, folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model = AdaptedModel(make("bert"), LoRA(rank=2), _texts().task).eval()
    bind(model, _texts())
    delta.save(model, Path("delta"))
    assert main(["export", "--delta", "delta", "--out", "adapter"]) == 0
    args = ["--peft", "adapter", "--backbone", str(folders["bert"]), "--out", "x"]
    assert main(["import", *args, "--config", config(labels=["no", "yes"])]) == 2
    assert "the adapter's head does not fit the task 'reviews': scorer.out.bias is [3], expected [2]" in (
        capsys.readouterr().err
    )
    assert main(["import", *args, "--config", config(source="gone.csv")]) == 2
    assert "the data source 'gone.csv' is no folder and no file" in capsys.readouterr().err
