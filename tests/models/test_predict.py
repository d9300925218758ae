"""`predict` answers examples of every form as the Trainer's path over the same lines does."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from lm_lab import GLUE, Adaptation, AdaptedModel, Backbone, bind
from lm_lab.data.modules.choices import MultipleChoice
from lm_lab.data.modules.multi_label import MultiLabelTexts
from lm_lab.data.modules.own import OwnTexts
from lm_lab.data.modules.sequences import Sequences, TextToTextGLUE
from lm_lab.data.modules.squad import SQuAD
from lm_lab.data.modules.tags import TokenClassification
from lm_lab.errors import UsageError
from lm_lab.models.loading import load_adaptation
from lm_lab.strategies import FullFineTuning, LoRA

Make = Callable[..., Backbone]
QUIET: dict[str, Any] = {
    "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False,
}  # fmt: skip
LONG = " ".join(["the beast was good ."] * 8)
CONTEXT = "the beast was good . the plant was poor and awful . it was not vlafish ."
# form -> data module, examples from Python, the same as lines
FORMS: dict[str, tuple[Callable[..., Any], list[Any], list[str]]] = {
    "texts": (lambda **s: GLUE("sst2", max_length=16, **s), ["it was good .", LONG], ["it was good .", LONG]),
    "texts from the left": (
        lambda **s: GLUE("sst2", max_length=9, truncation="left", **s), ["it was good .", LONG], ["it was good .", LONG]
    ),
    "pairs": (
        lambda **s: GLUE("rte", **s),
        [("it was good .", LONG), (LONG, "it")], [f"it was good .\t{LONG}", f"{LONG}\tit"],
    ),
    "scores": (lambda **s: GLUE("stsb", **s), [("it was good .", "it was poor .")], ["it was good .\tit was poor ."]),
    "own": (lambda **s: OwnTexts(labels=["a", "b", "c"], **s), ["it was good .", "poor"], ["it was good .", "poor"]),
    "several classes": (lambda **s: MultiLabelTexts(labels=["a", "b", "c"], **s), ["it was good ."], ["it was good ."]),
    "tags": (
        lambda **s: TokenClassification("tags", max_length=8, **s),
        [["the", "beast", "was", "good", "."], "it was poor .", LONG], ["the beast was good .", "it was poor .", LONG],
    ),
    "questions": (
        lambda **s: SQuAD(version=2, max_length=20, overlap=3, max_question=4, **s),
        [("what was good", CONTEXT), ("what", "it was poor .")], [f"what was good\t{CONTEXT}", "what\tit was poor ."],
    ),
    "choices": (
        lambda **s: MultipleChoice("choice", max_length=24, **s),
        [("the beast was", ["good .", "poor .", "awful ."]), (LONG, "good .", "poor .")],
        ["the beast was\tgood .\tpoor .\tawful .", f"{LONG}\tgood .\tpoor ."],
    ),
    "sequences": (
        lambda **s: Sequences("summary", prompt="it was ", max_length=12, max_target=6, beams=2, **s),
        ["the beast was good .", LONG], ["the beast was good .", LONG],
    ),
    "labels as text": (lambda **s: TextToTextGLUE("rte", scored=True, **s), [("it", "poor .")], ["it\tpoor ."]),
}  # fmt: skip
PROBABLY = 1e-5


def alike(found: Any, expected: Any) -> bool:
    """Equal words, and numbers that batches of other lengths leave as they are."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(alike(found[name], value) for name, value in expected.items())
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(alike, found, expected))
    return found == pytest.approx(expected, abs=PROBABLY) if isinstance(expected, float) else bool(found == expected)


def trainers_answers(model: AdaptedModel, make_data: Callable[..., Any], lines: Sequence[str]) -> list[dict[str, Any]]:
    Path("lines.txt").write_text("\n".join(lines) + "\n")
    data = make_data(text="lines.txt", source="microworld")
    batches: Any = L.Trainer(**QUIET).predict(Adaptation(model), bind(model, data))
    answers = {
        int(index): answer for batch in batches for index, answer in zip(batch["ids"], batch["answers"], strict=True)
    }
    return [answers[number] for number in range(len(lines))]


@pytest.mark.filterwarnings("ignore:.*(longer than|truncated|no token|does not have many workers|no `test).*")
@pytest.mark.filterwarnings("ignore:.*custom batch sampler.*")
@pytest.mark.parametrize("form", FORMS)
def test_answers_are_those_of_the_trainer(make: Make, tmp_path: Path, form: str) -> None:
    make_data, examples, lines = FORMS[form]
    data = make_data(source="microworld")
    model = AdaptedModel(make("bert"), LoRA(rank=2), data.task)
    torch.nn.init.normal_(next(p for n, p in model.named_parameters() if p.requires_grad and "head" not in n))
    expected = trainers_answers(model, make_data, lines)
    found = model.predict(examples)
    assert alike(found, expected), (found, expected)
    assert all("prediction" in answer for answer in found)
    model.save(tmp_path / "delta")
    assert alike(load_adaptation(tmp_path / "delta").predict(examples), expected)


def test_what_comes_once_is_not_kept(make: Make, tmp_path: Path) -> None:
    for form in ("tags", "questions", "choices", "texts"):
        make_data, examples, _ = FORMS[form]
        model = AdaptedModel(make("bert"), FullFineTuning(), make_data(source="microworld").task)
        bind(model, make_data(source="microworld"))
        model.predict(examples[:1])
    assert not (tmp_path / "cache" / "tokens").exists()


def test_examples_keep_their_order(make: Make) -> None:
    data = TokenClassification("tags", source="microworld")
    model = AdaptedModel(make("bert"), FullFineTuning(), data.task)
    bind(model, data)
    sentences = [["it"] * length for length in (3, 70, 1, 0, 20)] * 30
    assert [len(answer["prediction"]) for answer in model.predict(sentences)] == [3, 70, 1, 0, 20] * 30
    assert model.predict([]) == []


def test_a_word_may_hold_a_space(make: Make) -> None:
    data = TokenClassification("tags", source="microworld")
    model = AdaptedModel(make("bert"), FullFineTuning(), data.task)
    bind(model, data)
    assert len(model.predict([["the beast", "was"]])[0]["prediction"]) == 2


@pytest.mark.parametrize("form", ["tags", "questions", "choices", "sequences", "labels as text"])
def test_a_model_that_is_bound_to_nothing_says_so(make: Make, form: str) -> None:
    make_data, examples, _ = FORMS[form]
    model = AdaptedModel(make("bert"), FullFineTuning(), make_data(source="microworld").task)
    with pytest.raises(UsageError, match=r"bind\(model, data\)"):
        model.predict(examples)


@pytest.mark.parametrize(
    ("form", "examples", "said"),
    [
        ("texts", "it was good .", "is one text; give a list of examples"),
        ("texts", [("it", "was")], r"example 0: 2 texts, but this task needs 1 \(sentence\)"),
        ("pairs", [("it", "was"), "it"], r"example 1: 1 texts, but this task needs 2"),
        ("texts", [3], "example 0: 3 is no text"),
        ("tags", [["it", 4]], "example 0: 4 is no text"),
        ("questions", ["what"], r"example 0: 1 texts, but this task needs 2 \(question, context\)"),
        ("choices", [("it", ["was"])], r"2 texts, but this task needs 3 or more \(context, option, option\)"),
    ],
)
def test_examples_of_another_form_are_named(make: Make, form: str, examples: Any, said: str) -> None:
    data = FORMS[form][0](source="microworld")
    model = AdaptedModel(make("bert"), FullFineTuning(), data.task)
    bind(model, data)
    with pytest.raises(UsageError, match=said):
        model.predict(examples)
    if form in ("texts", "pairs"):
        with pytest.raises(UsageError, match=said):
            AdaptedModel(make("bert"), FullFineTuning(), data.task).predict(examples)
