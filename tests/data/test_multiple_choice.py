"""Questions with options: what is read, what is refused, and what of a long one is kept."""

import json
from pathlib import Path
from typing import Any

import lightning as L
import pyarrow as pa
import pytest
import torch

from lm_lab import adaptation_of, bind
from lm_lab.cli import main
from lm_lab.config.imports import restrict
from lm_lab.data import microworld
from lm_lab.data.encoding.choices import encode_choices
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.modules.choices import MultipleChoice
from lm_lab.data.reading.choice_rows import ChoiceRows, check_choices
from lm_lab.errors import UsageError
from lm_lab.strategies import FullFineTuning

ROW = {"context": "it was fine .", "question": "who ?", "options": ["a b", "a", "in"], "answer": 1}


def rows(*given: dict[str, Any]) -> ChoiceRows:
    return check_choices(pa.Table.from_pylist([ROW | row for row in given]), "here")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return microworld.tokenizer()


@pytest.mark.parametrize("answer", [1, 1.0, "1", "a"])
def test_an_answer_is_a_position_or_the_option(answer: Any) -> None:
    assert rows({"answer": answer}).labels.tolist() == [1]


def test_a_number_may_be_an_option_or_a_position_but_not_two_of_them() -> None:
    assert rows({"options": ["3", "7", "5"], "answer": 7}).labels.tolist() == [1]
    assert rows({"options": ["0", "1"], "answer": 1}).labels.tolist() == [1]
    with pytest.raises(UsageError, match="row 0, column 'answer': '2' means more than one of the options"):
        rows({"options": ["3", "2", "1"], "answer": "2"})


def test_the_question_follows_the_context_where_there_is_one() -> None:
    assert rows({}, {"question": None}, {"question": ""}).contexts == ["it was fine . who ?", *["it was fine ."] * 2]


def test_columns_of_a_csv(tmp_path: Path) -> None:
    Path("quiz").mkdir()
    Path("quiz/train.csv").write_text("stem,option_0,option_1,option_2,key\nit was,3,4,,1\nin,5,6,7,7\n")
    data = MultipleChoice("quiz", source=str(tmp_path), columns={"context": "stem", "answer": "key"})
    found = data.rows("train")
    assert found.options == [["3", "4"], ["5", "6", "7"]]
    assert found.labels.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"options": ["alone"]}, r"here, row 1, column 'options': 1 options; a choice needs 2 or more"),
        ({"options": []}, r"row 1, column 'options': 0 options"),
        ({"options": None}, r"row 1, column 'options': None is no list of texts"),
        ({"options": ["a", None]}, r"row 1, column 'options': \['a', None\] is no list of texts"),
        ({"answer": 3}, r"row 1, column 'answer': 3 is none of the options; expected a position from 0 to 2"),
        ({"answer": -2}, r"row 1, column 'answer': -2 is none"),
        ({"context": None}, r"row 1, column 'context': no text"),
    ],
)
def test_a_bad_row_is_named(row: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rows({}, row)


def test_an_answer_that_is_no_option() -> None:
    with pytest.raises(UsageError, match=r"row 0, column 'answer': 'z' is none"):
        rows({"answer": "z"})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"context": ["a"], "answer": [0]}, "here has no options; expected the columns context, options"),
        ({"options": [["a", "b"]]}, "here has no column 'context'"),
        ({"context": ["a"], "option_0": ["x"], "option_1": [""]}, "here, row 0: 1 options; fill option_0 and option_1"),
        ({"context": ["a"], "option_0": [""], "option_1": ["x"]}, "row 0, column 'option_0': empty, but a later"),
        ({"context": [], "options": []}, "here is empty"),
    ],
)
def test_bad_columns_are_named(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_choices(pa.table(columns), "here")


def test_a_split_without_answers_can_be_predicted_and_not_scored(tmp_path: Path) -> None:
    for split in ("test", "validation"):
        Path(f"{split}.jsonl").write_text(json.dumps({"context": "a", "options": ["b", "c"]}) + "\n")
    data = MultipleChoice("quiz", source=str(tmp_path), columns={"answer": "key"})
    assert data.rows("test").labels.tolist() == [-1]
    plain = MultipleChoice("quiz", source=str(tmp_path))
    with pytest.raises(UsageError, match=r"no row of the split 'validation' is labelled \(column 'answer'"):
        plain.rows("validation")


@pytest.mark.parametrize("pairs", ["cross_encoder", "bi_encoder", "both_orders"])
def test_a_batch_has_a_sequence_for_each_option(tokenizer: Any, pairs: Any) -> None:
    encoded = encode_choices(rows({}, {"options": ["a", "in"], "answer": 0}), Encoding(tokenizer, pairs, 64))
    batch = encoded.collate([1, 0])
    contexts, options = ["it was fine . who ?"] * 5, ["a", "in", "a b", "a", "in"]
    expected = {
        "cross_encoder": [(contexts, options)],
        "bi_encoder": [(contexts,), (options,)],
        "both_orders": [(contexts, options), (options, contexts)],
    }[pairs]
    assert len(batch["texts"]) == len(expected)
    for ours, texts in zip(batch["texts"], expected, strict=True):
        theirs = tokenizer(*texts, padding=True, return_tensors="pt")
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert batch["counts"].tolist() == [2, 3]
    assert batch["labels"].tolist() == [0, 1]
    assert batch["options"] == [["a", "in"], ["a b", "a", "in"]]


def test_what_is_too_long_loses_the_beginning_of_its_context(tokenizer: Any) -> None:
    long = {"context": "was was was was fine .", "options": ["a", "a a a a a", "a a a a a a a a a a"]}
    with pytest.warns(UserWarning, match="here: 1 of 2 questions are longer than 9 tokens .* the beginning of"):
        encoded = encode_choices(
            rows({"question": None}, long | {"question": None}), Encoding(tokenizer, "cross_encoder", 9)
        )
    ids = encoded.collate([1])["texts"][0]["input_ids"]
    texts = [" ".join(token for token in tokenizer.convert_ids_to_tokens(row) if token != "[PAD]") for row in ids]
    assert texts[0] == "[CLS] was was was fine . [SEP] a [SEP]"
    assert texts[1] == "[CLS] . [SEP] a a a a a [SEP]"
    assert texts[2].endswith("a a a [SEP]")  # nothing of the context would have been left
    assert encoded.lengths.tolist() == [9, 9]
    assert tokenizer.truncation_side == "right"


def test_the_order_of_truncation_follows_the_context_when_the_pair_is_turned_round(tokenizer: Any) -> None:
    long = rows({"context": "was was was was fine .", "question": None, "options": ["a", "in"]})
    with pytest.warns(UserWarning, match="1 of 1 questions"):
        turned = encode_choices(long, Encoding(tokenizer, "both_orders", 8)).collate([0])["texts"][1]["input_ids"]
    assert tokenizer.decode(turned[0]) == "[CLS] a [SEP] was was fine . [SEP]"


def test_tokens_come_from_the_cache_the_second_time(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_lab.data.encoding import choices as module

    encoding = Encoding(tokenizer, "cross_encoder", 64)
    first = encode_choices(rows({}), encoding)
    monkeypatch.setattr(module, "_encode", lambda *_: pytest.fail("tokenised again"))
    assert encode_choices(rows({}), encoding).fingerprint == first.fingerprint


@pytest.fixture
def pretrained() -> str:
    return str(Path(__file__).parents[2] / "configs" / "backbones" / "microworld_bert")


def test_it_learns_which_option_is_right(make: Any) -> None:
    """Of two options one repeats a word of the context; a random backbone can learn that in seconds."""
    L.seed_everything(0, verbose=False)
    Path("train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in copies(320)))
    Path("validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in copies(100, start=1)))
    data = MultipleChoice("copies", source=".", batch_size=16)
    model = adaptation_of(make(), FullFineTuning(), data.task, learning_rate=3e-3, pooling="mean")
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(max_epochs=8, accelerator="cpu", enable_model_summary=False, **quiet)  # type: ignore[arg-type]
    trainer.fit(model, bind(model.model, data))
    assert trainer.callback_metrics["validation/accuracy"] > 0.8


def copies(number: int, start: int = 0) -> list[dict[str, Any]]:
    words = ["beast", "plant", "tool", "garment"]
    found = []
    for i in range(start, start + number):
        right, *wrong = words[i % 4 :] + words[: i % 4]
        options = wrong[: 1 + i % 3]
        options.insert(i % (len(options) + 1), right)
        found.append({"context": f"it was a {right} .", "options": options, "answer": right})
    return found


@pytest.fixture
def unrestricted() -> Any:
    yield
    restrict()


@pytest.mark.usefixtures("unrestricted")
def test_from_the_command_line_to_predictions(folders: dict[str, Path], tmp_path: Path) -> None:
    words = [
        f"--model.backbone.source={folders['gpt2']}", "--model.strategy=LoRA", "--data=MultipleChoice",
        "--data.task=choice", "--data.source=microworld", "--data.train_limit=48", "--data.validation_limit=40",
        "--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
    ]  # fmt: skip
    assert main(["adapt", "fit", *words]) == 0
    trained = next(tmp_path.glob("runs/**/delta"))
    assert main(["adapt", "predict", "--delta", str(trained), "--data.source=microworld", *words[-2:]]) == 0
    lines = next(tmp_path.glob("runs/**/submission/choice-test.jsonl")).read_text().splitlines()
    assert len(lines) == 1000
    answer, row = json.loads(lines[7]), microworld.table("choice", "test").slice(7, 1).to_pylist()[0]
    assert answer["prediction"] == row["options"][answer["option"]]
    assert sum(answer["probabilities"]) == pytest.approx(1)


def test_hellaswag(real_data: str) -> None:
    found = MultipleChoice("hellaswag", source=real_data, train_limit=10).rows("train")
    assert {len(options) for options in found.options} == {4}
    assert set(found.labels) <= {0, 1, 2, 3}
