"""Texts in, texts out: encoding, a user's own columns, ROUGE against Google's, learning, files."""

import json
import unicodedata
from pathlib import Path
from random import Random

import lightning as L
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from rouge_score import rouge_scorer

from lm_lab import adaptation_of, bind
from lm_lab.commands import adapt
from lm_lab.data import microworld
from lm_lab.data.modules.sequences import Sequences, TextToTextGLUE
from lm_lab.errors import UsageError
from lm_lab.strategies import FullFineTuning, LoRA, PTuningV2
from lm_lab.tasks import described, glue_task
from lm_lab.tasks.rouge import rouge, words
from lm_lab.tasks.sequences import SequenceTask, TextToText, cast, written

QUIET = {
    "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [
        ("the cat sat on the mat", "the cat was on the mat"),
        ("a b c d", "d c b a"),
        ("", "something"),
        ("The U.S. won 25-10!", "the u.s won 25 10"),
        ("one one one", "one two"),
        ("hello", "hello"),
    ],
)
def test_rouge_is_googles(prediction, reference):
    theirs = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"]).score(reference, prediction)
    expected = [theirs[name].fmeasure for name in ("rouge1", "rouge2", "rougeL")]
    assert rouge(prediction, reference) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(50))
def test_rouge_of_random_english_is_googles(seed):
    rng = Random(seed)
    pieces = ["the", "Cat", "a_b", "U.S.", "25-10", "don't", "e-mail", "x2", "(see", "it)", "...", "$3", "#tag", "\n"]
    test_rouge_is_googles(*(" ".join(rng.choices(pieces, k=rng.randrange(12))) for _ in range(2)))


@pytest.mark.parametrize(
    "text",
    [
        "今天天气很好",
        "прекрасная погода сегодня",
        "مرحبا بالعالم",
        "नमस्ते दुनिया",
        "今日はいい天気",
        "été à l'école",
        "Καλημέρα κόσμε",
    ],
)
def test_rouge_of_any_script(text):
    assert rouge(text, text) == pytest.approx([1.0, 1.0, 1.0])
    assert rouge(unicodedata.normalize("NFD", text), text) == pytest.approx([1.0, 1.0, 1.0])
    assert rouge("xyz", text) == [0.0, 0.0, 0.0]


def test_words_of_any_script():
    assert words("Il a été à l'École") == ["il", "a", "été", "à", "l", "école"]
    assert words("今天 GPT-4 很好。東京タワー") == [*"今天", "gpt", "4", *"很好東京タワー"]
    assert words("नमस्ते दुनिया") == ["नमस्ते", "दुनिया"]  # vowel signs belong to their word
    assert rouge("天气很好", "天气不好")[0] == pytest.approx(0.75)


def test_a_text_that_is_no_number_is_the_lowest_score():
    form = TextToText.of(glue_task("stsb"), scored=False)
    assert [form.value(text) for text in ("nan", "inf", "-inf", "words", "", "9", "-3", "2.6")] == [
        0,
        0,
        0,
        0,
        0,
        5,
        0,
        2.6,
    ]
    values = torch.tensor([form.value(text) for text in ("0.2", "nan", "3.0", "5.0")])
    assert form.scores(values, torch.tensor([0.0, 1.0, 3.0, 5.0]))["pearson"] > 0.9


@pytest.mark.parametrize("task", ["mrpc", "qqp", "cola"])
def test_a_text_that_is_no_class_word_is_wrong(task):
    scores = TextToText.of(glue_task(task), scored=False).scores
    found = scores(torch.tensor([1.0, -1, 0, 1]), torch.tensor([1.0, 1, 0, 1]))
    assert found == pytest.approx({"matthews": 0.645497} if task == "cola" else {"accuracy": 0.75, "f1": 0.8}, abs=1e-5)


def test_t5s_form_of_a_task():
    rte, stsb = glue_task("rte"), glue_task("stsb")
    assert cast(rte, ("A man.", "A person.")) == "rte sentence1: A man. sentence2: A person."
    assert written(rte, 1.0) == "not_entailment"
    assert [written(stsb, label) for label in (0.0, 2.57, 3.85, 5.0)] == ["0.0", "2.6", "3.8", "5.0"]
    form = TextToText.of(stsb, scored=True)
    assert len(form.candidates) == 26
    assert form.candidates[13] == "2.6"
    assert [form.value(text) for text in ("2.6", "9", "no number")] == [2.6, 5.0, 0.0]
    assert TextToText.of(rte, scored=False).value("entailment") == 0
    assert TextToText.of(rte, scored=False).value("nonsense") == -1
    assert described.build(described.describe(form)) == form


def own(folder: Path, rows: list[dict]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "validation"):
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}.parquet")
    return str(folder)


def test_a_batch_has_ended_targets_and_counts_what_is_cut(make, tmp_path):
    rows = [{"text": "snebin prened the vribo .", "short": "snebin"}, {"text": "snebin " * 40, "short": "the " * 20}]
    data = Sequences(
        "mine",
        source=own(tmp_path / "mine", rows),
        columns={"source": "text", "target": "short"},
        max_length=16,
        max_target=6,
    )
    model = adaptation_of(make("bert"), FullFineTuning(), data.task)
    with pytest.warns(UserWarning, match="longer than") as caught:
        bind(model.model, data).encode(["train"])
    messages = [str(warning.message) for warning in caught]
    assert any("1 of 2 sources are longer than 16 tokens" in message for message in messages)
    assert any("1 of 2 targets are longer than 6 tokens" in message for message in messages)
    batch = data.encoded["train"].collate([0, 1])
    tokenizer = model.model.backbone.tokenizer
    ends = batch["target"]["attention_mask"].sum(1) - 1
    assert [int(ids[end]) for ids, end in zip(batch["target"]["input_ids"], ends, strict=True)] == [
        tokenizer.sep_token_id
    ] * 2
    assert tokenizer.decode(batch["source"]["input_ids"][0][:7]) == "[CLS] snebin prened the vribo . [SEP]"
    assert batch["references"][0] == "snebin"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"source": "a", "summary": "b"}], "no column 'target'.*--data.columns"),
        ([{"source": "a", "target": None}, {"source": "a", "target": "b"}], "row 0, column 'target': expected text"),
        ([{"source": "a", "target": " "}], "no row with a source and a target"),
    ],
)
def test_bad_rows(tmp_path, rows, message):
    with pytest.raises(UsageError, match=message):
        Sequences("mine", source=own(tmp_path / "mine", rows)).rows("train")


def test_rows_with_nothing_to_read_or_to_write_are_counted_and_left_out(tmp_path):
    rows = [{"source": "a", "target": "b"}, {"source": "", "target": "c"}, {"source": "d", "target": "e"}]
    data = Sequences("mine", source=own(tmp_path / "mine", rows))
    with pytest.warns(UserWarning, match="1 of 3 rows have an empty source or target"):
        found = data.rows("train")
    assert (list(found.sources), list(found.targets), found.ids.tolist()) == (["a", "d"], ["b", "e"], [0, 2])


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5", "bart"])
def test_a_tiny_model_learns_to_write(make, family):
    rows = microworld.table("summary", "train", rows=12).to_pylist()
    data = Sequences("mine", source=own(Path("mine"), rows), max_length=48, max_target=10, batch_size=6)
    model = adaptation_of(make(family, pretrained=False), FullFineTuning(), data.task, learning_rate=5e-3)
    trainer = L.Trainer(max_epochs=120, check_val_every_n_epoch=120, **QUIET)
    trainer.fit(model, bind(model.model, data))
    lead = [" ".join(row["source"].split(" . ")[0].split(" : ")[1:]) + " ." for row in rows]
    baseline = sum(rouge(text, row["target"])[0] for text, row in zip(lead, rows, strict=True)) / len(rows)
    assert trainer.callback_metrics["validation/rouge1"] > baseline + 0.1  # learned by heart; the first event gives 0.5


@pytest.mark.parametrize("scored", [True, False])
@pytest.mark.parametrize(("family", "task"), [("t5", "sst2"), ("bert", "stsb"), ("bart", "rte")])
def test_glue_as_text(make, family, task, scored):
    data = TextToTextGLUE(task, scored=scored, source="microworld", train_limit=32, validation_limit=16, max_length=48)
    model = adaptation_of(make(family), LoRA(), data.task)
    trainer = L.Trainer(max_epochs=1, **QUIET)
    trainer.fit(model, bind(model.model, data))
    names = [metric.__name__ for metric in glue_task(task).metrics]
    assert all(f"validation/{name}" in trainer.callback_metrics for name in names)


def test_fit_and_predict_from_the_command_line(folders, tmp_path, capsys):
    source = own(tmp_path / "data", microworld.table("summary", "train", rows=12).to_pylist())
    common = ["--trainer.accelerator=cpu", "--trainer.logger=false", f"--trainer.default_root_dir={tmp_path}/run"]
    adapt.main(
        [
            "fit", f"--model.backbone.source={folders['t5']}", "--model.strategy=PTuningV2", "--data=Sequences",
            "--data.task=mine", f"--data.source={source}", "--data.max_length=48", "--data.max_target=10",
            "--data.beams=2", "--trainer.max_epochs=1", *common,
        ]
    )  # fmt: skip
    assert "delta:" in capsys.readouterr().out
    adapt.main(["predict", f"--delta={tmp_path}/run/delta", f"--data.source={source}", *common])
    lines = (tmp_path / "run/submission/mine-validation.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(range(12))
    assert all(isinstance(json.loads(line)["prediction"], str) for line in lines)


def test_strategies_train_where_they_should(make):
    task = SequenceTask("copy")
    frozen = adaptation_of(make("t5"), PTuningV2(length=3), task)
    assert all("prefix" in name for name in frozen.model.trained)
    encoder = adaptation_of(make("bert"), PTuningV2(length=3), task)
    assert {name for name in encoder.model.trained if name.startswith("head.")} == {
        "head.output.transform.0.weight", "head.output.transform.0.bias", "head.output.transform.2.weight",
        "head.output.transform.2.bias", "head.output.bias",
    }  # fmt: skip
