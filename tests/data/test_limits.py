"""Numbers out of range, names that would lead elsewhere, and data of which nothing is left: refused, in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lm_lab import bind
from lm_lab.backbones import Backbone
from lm_lab.data.corpora.corpus import Corpus
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.microworld import tokenizer
from lm_lab.data.modules.choices import MultipleChoice
from lm_lab.data.modules.glue import GLUE
from lm_lab.data.modules.own import OwnTexts
from lm_lab.data.modules.sequences import Sequences, TextToTextGLUE
from lm_lab.data.modules.squad import SQuAD
from lm_lab.data.modules.tags import TokenClassification
from lm_lab.errors import UsageError
from lm_lab.objectives import MaskedLM
from lm_lab.tasks import TextTask, described
from lm_lab.tasks.spans import SpanTask
from lm_lab.tasks.submission import write_answers, write_submission
from lm_lab.training.pretraining import Pretraining

Make = Callable[..., Backbone]


def modules() -> list[Callable[..., Any]]:
    Path("own.csv").write_text("sentence,label\n" + "a b,x\nc d,y\n" * 20)
    return [
        lambda **options: GLUE("rte", source="microworld", **options),
        lambda **options: TextToTextGLUE("rte", source="microworld", **options),
        lambda **options: OwnTexts(source="own.csv", **options),
        lambda **options: TokenClassification("tags", "microworld", **options),
        lambda **options: MultipleChoice("choices", source="microworld", **options),
        lambda **options: Sequences("summaries", source="microworld", **options),
        lambda **options: SQuAD(source="microworld", **options),
    ]


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [
        ("batch_size", 0, 1), ("batch_size", -3, 1), ("eval_batch_size", 0, 1), ("train_limit", 0, 1),
        ("train_limit", -5, 1), ("validation_limit", 0, 1), ("validation_limit", -1, 1), ("holdout", -1, 0),
        ("num_workers", -1, 0), ("max_length", 0, 2), ("max_length", 1, 2), ("max_length", -1, 2),
    ],
)  # fmt: skip
def test_numbers_of_every_form(name: str, value: int, least: int) -> None:
    for module in modules():
        with pytest.raises(UsageError, match=f"^{name}={value}: expected {least} or more"):
            module(**{name: value})


@pytest.mark.parametrize(
    ("make_data", "said"),
    [
        (lambda: SQuAD(source="microworld", overlap=-1), "overlap=-1: expected 0 or more"),
        (lambda: SQuAD(source="microworld", max_answer=0), "max_answer=0: expected 1 or more"),
        (lambda: SQuAD(source="microworld", max_question=0), "max_question=0: expected 1 or more"),
        (lambda: SQuAD(source="microworld", validation_articles=1.5), "validation_articles=1.5: expected a share"),
        (lambda: SQuAD(source="microworld", truncation="left"), "truncation=left: SQuAD has its own way"),
        (lambda: MultipleChoice(source="microworld", truncation="left"), "truncation=left: MultipleChoice has"),
        (lambda: Sequences(source="microworld", beams=0), "beams=0: expected 1 or more"),
        (lambda: Sequences(source="microworld", max_target=0), "max_target=0: expected 1 or more"),
        (lambda: Sequences(source="microworld", length_penalty=float("nan")), "length_penalty=nan: expected a finite"),
        (lambda: OwnTexts(source="x", label_range=(3, 3)), r"label_range=\[3, 3\]: expected the lowest score"),
        (lambda: OwnTexts(source="x", label_range=(0, float("inf"))), "highest=inf: expected a finite number"),
        (lambda: Corpus(batch_size=0), "batch_size=0: expected 1 or more"),
        (lambda: Corpus(max_length=-1), "max_length=-1: expected 1 or more"),
        (lambda: Corpus(documents=-2), "documents=-2: expected 1 or more"),
        (lambda: Corpus(held_out=-1), "held_out=-1: expected 0 or more"),
        (lambda: Corpus(seed=-1), "seed=-1: expected 0 or more"),
        (lambda: Corpus(num_workers=-1), "num_workers=-1: expected 0 or more"),
        (lambda: Corpus(encoding="nonsense"), "encoding='nonsense' is unknown"),
    ],
)
def test_numbers_of_single_forms(make_data: Callable[[], Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_data()


def test_a_sequence_has_room_for_a_token_of_each_text() -> None:
    for length, pair, said in ((2, False, "expected 3 or more"), (4, True, "expected 5 or more")):
        data = GLUE("rte" if pair else "sst2", source="microworld", max_length=length)
        data.bind(Encoding(tokenizer(), "cross_encoder", length))
        with pytest.raises(UsageError, match=f"max_length={length}: this tokenizer adds . tokens to .*{said}"):
            data.encode(["train"])


@pytest.mark.parametrize("length", [1, 2])
def test_a_row_of_a_corpus_has_room_for_a_text(make: Make, length: int) -> None:
    data = Corpus(documents=50, held_out=10, max_length=length)
    trainer = L.Trainer(max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False)
    model = Pretraining(make("bert"), MaskedLM)
    with pytest.raises(UsageError, match=f"max_length={length}: expected . or more"):
        trainer.fit(model, bind(model, data))


@pytest.mark.parametrize(
    "name", ["../../ESCAPED", "..", ".", "", "/etc/x", "a/../b", "a\\b", "a\0b", "x" * 101, "-x", "a\nb"]
)
def test_names_that_lead_elsewhere(name: str) -> None:
    Path("own.csv").write_text("sentence,label\n" + "a b,x\nc d,y\n" * 20)
    makers: list[Callable[[], Any]] = [
        lambda: OwnTexts(name, source="own.csv"),
        lambda: TokenClassification(name, "microworld", labels=["O", "B-x"]),
        lambda: MultipleChoice(name, source="microworld"),
        lambda: Sequences(name, source="microworld"),
        lambda: TextTask(name),
        lambda: TextTask("fine", test=(("test", name),)),
        lambda: TextTask("fine", test=((name, "fine"),)),
        lambda: described.build(described.describe(TextTask("fine")) | {"init_args": {"name": name, "metrics": []}}),
        lambda: SQuAD(source="microworld", domains=[name]),
        lambda: write_answers(Path("out"), SpanTask("squad"), name, []),
    ]
    if name:  # none is no name of a split
        makers += [lambda: GLUE("rte", source="microworld", predict=name), lambda: GLUE("rte", validation=name)]
    for make_it in makers:
        with pytest.raises(UsageError, match="expected up to 100 letters"):
            make_it()
    assert not list(Path().glob("**/*ESCAPED*"))


def test_a_name_of_the_hub_gives_files_its_last_part(tmp_path: Path) -> None:
    Path("own.csv").write_text("sentence,label\n" + "a b,x\nc d,y\n" * 20)
    data = OwnTexts("owner/my set", source="own.csv")
    assert data.task.name == "my set"
    assert data.settings()["name"] == "owner/my set"
    assert write_submission(tmp_path, data.task, "test", [(0, 1.0)]).name == "my set.tsv"
    assert write_submission(tmp_path, data.task, "part/one", [(0, 1.0)]).name == "my set-part-one.tsv"


def test_one_class_is_nothing_to_learn() -> None:
    Path("one.csv").write_text("sentence,label\n" + "a b,x\n" * 40)
    with pytest.raises(UsageError, match="every label is 'x'; there is nothing to learn from"):
        OwnTexts(source="one.csv", labels=["x", "y"]).rows("train")
    pq.write_table(pa.table({"sentence": ["a", "b"], "label": [1, 1]}), "train.parquet")
    with pytest.raises(UsageError, match="every label is 'positive'; there is nothing to learn from"):
        GLUE("sst2", source=".").rows("train")
    Path("t").mkdir()
    Path("t/train.jsonl").write_text('{"tokens": ["a", "b"], "tags": ["O", "O"]}\n')
    with pytest.raises(UsageError, match="every tag is 'O'; there is nothing to learn from"):
        TokenClassification("t", ".", labels=["O", "B-x"]).rows("train")


def test_answers_that_are_all_misplaced_are_nothing_to_train_on() -> None:
    answers = {"text": ["b"], "answer_start": [3]}
    rows = [{"id": str(i), "title": "t", "context": "a b", "question": "q", "answers": answers} for i in range(4)]
    pq.write_table(pa.Table.from_pylist(rows), "train.parquet")
    data = SQuAD(source=".", max_length=32, overlap=4)
    data.bind(Encoding(tokenizer(), "cross_encoder", 32))
    with (
        pytest.warns(UserWarning, match="4 of 4 answers are not where answer_start says"),
        pytest.raises(UsageError, match=r"no window shows an answer, so there is nothing to train on"),
    ):
        data.encode(["train"])
