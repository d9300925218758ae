"""Windows: the same as the tokenizer's own, answers at their characters, and what is lost is counted."""

import json
from pathlib import Path

import lightning as L
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from lm_lab import adaptation_of, bind
from lm_lab.commands import adapt
from lm_lab.data import microworld
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.spans import encode_spans
from lm_lab.data.modules.squad import SQuAD
from lm_lab.data.reading.questions import check_questions
from lm_lab.errors import UsageError
from lm_lab.strategies import FullFineTuning, LinearProbe

CONTEXT = (
    "The tower, built in 1889 by Gustave Eiffel's company, is 330 m tall. It's in Paris - on the Champ de Mars. " * 3
)
QUESTION = "Who built the tower in the middle of the Champ de Mars?"


def rows(context=CONTEXT, question=QUESTION, text="Gustave Eiffel", start=None, count=1):
    start = context.index(text) if start is None else start
    answers = {"text": [text] * count, "answer_start": [start] * count}
    table = pa.Table.from_pylist(
        [{"id": "q", "title": "t", "context": context, "question": question, "answers": answers}]
    )
    return check_questions(table, "made up", all_answered=False)


def byte_level(prefix_space=False, template="<s> $A </s> </s> $B </s>"):
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        [CONTEXT, QUESTION], trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>", "<pad>"])
    )
    if template:
        ids = [("<s>", 0), ("</s>", 1)]
        core.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair=template, special_tokens=ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>", cls_token="<s>"
    )


def sentencepiece():
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    kinds = ["<pad>", "</s>", "<unk>"]
    core.train_from_iterator(
        [CONTEXT, QUESTION], trainers.UnigramTrainer(vocab_size=120, special_tokens=kinds, unk_token="<unk>")
    )
    ids = [("</s>", 1)]
    core.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=ids)
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


TOKENIZERS = {
    "microworld": microworld.tokenizer,
    "byte level": byte_level,
    "byte level, no template": lambda: byte_level(True, ""),
    "class token last": lambda: byte_level(template="$A </s> $B </s> <s>"),
    "sentencepiece": sentencepiece,
}


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]()


@pytest.mark.parametrize(("max_length", "overlap"), [(80, 16), (60, 4), (2000, 128)])
def test_windows_are_the_tokenizers_own(tokenizer, max_length, overlap):
    if max_length < 100:
        max_length += len(tokenizer(QUESTION)["input_ids"]) - 20
    ours = encode_spans(rows(), Encoding(tokenizer, "cross_encoder", max_length), 1000, overlap, train=False)
    theirs = tokenizer(
        [QUESTION], [CONTEXT], truncation="only_second", max_length=max_length, stride=overlap,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    batch = ours.collate([0])
    text = batch["texts"][0]
    assert len(text["input_ids"]) == len(theirs["input_ids"]) == len(ours.windows.question)
    for row, ids in enumerate(theirs["input_ids"]):
        real = text["attention_mask"][row].bool()
        assert text["input_ids"][row][real].tolist() == ids
        if "token_type_ids" in theirs:
            assert text["token_type_ids"][row][real].tolist() == theirs["token_type_ids"][row]
        of_context = [own == 1 for own in theirs.sequence_ids(row)]
        spans = [span for span, mine in zip(theirs["offset_mapping"][row], of_context, strict=True) if mine]
        shown = torch.tensor(of_context)
        assert batch["offsets"][row][: len(shown)][shown].tolist() == [list(span) for span in spans]


@pytest.mark.parametrize(
    "answer", ["Gustave Eiffel", "1889", "tower", "Paris", "Eiffel's company", "It's in Paris - on"]
)
def test_answers_decode_to_their_own_characters(tokenizer, answer):
    room = len(tokenizer(QUESTION)["input_ids"]) + 40
    encoded = encode_spans(rows(text=answer), Encoding(tokenizer, "cross_encoder", room), 1000, 30, train=True)
    batch = encode_spans(rows(text=answer), Encoding(tokenizer, "cross_encoder", room), 1000, 30, train=False).collate(
        [0]
    )
    found = 0
    for (start, end), offsets, null in zip(encoded.labels, batch["offsets"], batch["null"], strict=True):
        if start == null == end:
            continue
        found += 1
        text = CONTEXT[offsets[start, 0] : offsets[end, 1]]
        assert answer in text  # a token may reach beyond the answer, never fall short of it
        assert len(text) <= len(answer) + 8
    assert found >= 1


def test_no_answer_points_at_the_class_token():
    last = byte_level(template="$A </s> $B </s> <s>")
    unanswered = rows(count=0)
    for tokenizer, place in ((last, -1), (microworld.tokenizer(), 0)):
        batch = encode_spans(unanswered, Encoding(tokenizer, "cross_encoder", 4000), 1000, 30, train=True).collate([0])
        ids = batch["texts"][0]["input_ids"][0]
        assert batch["labels"].tolist() == [[place % len(ids)] * 2]
        assert ids[place] == tokenizer.cls_token_id


def test_what_is_lost_is_counted(tokenizer):
    asked = len(tokenizer(QUESTION)["input_ids"])
    long = CONTEXT[: len(CONTEXT) // 3].strip()
    with pytest.warns(UserWarning, match="1 of 1 answers are in no window whole"):
        encoded = encode_spans(rows(text=long), Encoding(tokenizer, "cross_encoder", asked + 12), 1000, 6, train=True)
    assert len(encoded) == 0  # never taught as a question without an answer
    with pytest.warns(UserWarning, match="1 of 1 answers are not where answer_start says"):
        assert len(encode_spans(rows(start=5), Encoding(tokenizer, "cross_encoder", 4000), 1000, 6, train=True)) == 0
    with pytest.warns(UserWarning, match="1 of 1 questions are longer than max_question"):
        encoded = encode_spans(rows(), Encoding(tokenizer, "cross_encoder", 4000), 3, 6, train=True)
    assert encoded.lengths[0] == len(tokenizer(QUESTION, CONTEXT)["input_ids"]) - (
        len(tokenizer(QUESTION, add_special_tokens=False)["input_ids"]) - 3
    )


def test_windows_with_no_room():
    with pytest.raises(UsageError, match=r"max_length=64 leaves \d+ tokens.*overlap=60 repeat"):
        encode_spans(rows(), Encoding(microworld.tokenizer(), "cross_encoder", 64), 1000, 60, train=True)


BAD = {
    "no column 'answers'": lambda t: t.drop(["answers"]),
    "row 0, column 'question': no text": lambda t: t.set_column(3, "question", pa.array([" ", "b"])),
    "column 'id': 'x' appears twice": lambda t: t.set_column(0, "id", pa.array(["x", "x"])),
    "row 1, column 'answers': no answer; version 2": lambda t: t.set_column(
        4, "answers", pa.array([{"text": ["a"], "answer_start": [0]}, {"text": [], "answer_start": []}])
    ),
    "row 0, column 'answers': expected the lists": lambda t: t.set_column(
        4, "answers", pa.array([{"text": ["a"], "answer_start": [0, 1]}] * 2)
    ),
    "is empty": lambda t: t.slice(0, 0),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_rows(message):
    answers = [{"text": ["a"], "answer_start": [0]}] * 2
    row = [{"id": str(i), "title": "t", "context": "a b", "question": "q", "answers": answers[i]} for i in range(2)]
    with pytest.raises(UsageError, match=message):
        check_questions(BAD[message](pa.Table.from_pylist(row)), "made up", all_answered=True)


def write(folder, **splits):
    folder.mkdir(parents=True, exist_ok=True)
    for split, table in splits.items():
        pq.write_table(table, folder / f"{split}.parquet")


def test_squads_own_layout_is_the_same_as_a_table(tmp_path):
    table = microworld.table("squad", "validation", rows=6)
    articles = [
        {
            "title": row["title"],
            "paragraphs": [
                {
                    "context": row["context"],
                    "qas": [
                        {
                            "id": row["id"],
                            "question": row["question"],
                            "answers": [
                                {"text": text, "answer_start": start}
                                for text, start in zip(*row["answers"].values(), strict=True)
                            ],
                        }
                    ],
                }
            ],
        }
        for row in table.to_pylist()
    ]
    (tmp_path / "dev-v1.1.json").write_text(json.dumps({"version": "1.1", "data": articles}))
    assert SQuAD(source=str(tmp_path)).rows("validation").table.to_pylist() == table.to_pylist()
    (tmp_path / "dev-v1.1.json").write_text("{}")
    with pytest.raises(UsageError, match="not in SQuAD's layout"):
        SQuAD(source=str(tmp_path)).rows("validation")


def test_train_and_validation_of_one_split_share_no_article(tmp_path):
    table = microworld.table("squad", "validation", rows=40)
    titles = pa.array([f"article {i % 5}" for i in range(40)])
    write(tmp_path / "squad_v2", validation=table.set_column(1, "title", titles))
    data = SQuAD(version=2, source=str(tmp_path), validation_articles=0.4)
    train, validation = (set(data.rows(split).table["title"].to_pylist()) for split in ("train", "validation"))
    assert len(train) == 3
    assert len(validation) == 2
    assert not train & validation
    assert len(data.rows("train")) + len(data.rows("validation")) == 40
    with pytest.raises(UsageError, match="leaves one part"):
        SQuAD(version=2, source=str(tmp_path), validation_articles=0.01).rows("train")


QUIET = {
    "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False,
}  # fmt: skip


def test_other_domains_are_evaluated_and_not_trained_on(make, tmp_path):
    write(tmp_path / "squad", **{s: microworld.table("squad", s, rows=40) for s in ("train", "validation")})
    write(tmp_path / "shifted", news=microworld.table("squad", "test", rows=20))
    data = SQuAD(source=str(tmp_path), domains=["shifted/news"], max_length=64, overlap=8, holdout=10)
    model = adaptation_of(make(), LinearProbe(), data.task)
    trainer = L.Trainer(max_epochs=1, **QUIET)
    trainer.fit(model, bind(model.model, data))
    for split in ("validation", "shifted/news", "selection"):
        assert 0 <= trainer.callback_metrics[f"{split}/answer_f1"] <= 1
        assert 0 <= trainer.callback_metrics[f"{split}/exact_match"] <= 1
    assert data.validation_splits == ("validation",)


def test_a_tiny_model_learns_to_point(make):
    rows = {split: microworld.table("squad", "train", rows=24) for split in ("train", "validation")}
    write(Path("known/squad"), **rows)  # learned by heart: pointing at characters is what is tested
    data = SQuAD(source="known", max_length=64, overlap=8, batch_size=8)
    model = adaptation_of(make(), FullFineTuning(), data.task, learning_rate=3e-3)
    trainer = L.Trainer(max_epochs=60, check_val_every_n_epoch=60, **QUIET)
    trainer.fit(model, bind(model.model, data))
    assert trainer.callback_metrics["validation/exact_match"] > 0.7  # a random span: about 0.01


def test_fit_and_predict_from_the_command_line(folders, tmp_path, capsys):
    write(tmp_path / "squad", **{s: microworld.table("squad", s, rows=40) for s in ("train", "validation")})
    common = ["--trainer.accelerator=cpu", "--trainer.logger=false", f"--trainer.default_root_dir={tmp_path}/run"]
    adapt.main(
        [
            "fit", f"--model.backbone.source={folders['bert']}", "--model.strategy=LoRA", "--data=SQuAD",
            f"--data.source={tmp_path}", "--data.max_length=64", "--data.overlap=8", "--trainer.max_epochs=1", *common,
        ]
    )  # fmt: skip
    assert "delta:" in capsys.readouterr().out
    adapt.main(["predict", f"--delta={tmp_path}/run/delta", f"--data.source={tmp_path}", *common])
    predictions = json.loads((tmp_path / "run/submission/predictions.json").read_text())
    ranked = json.loads((tmp_path / "run/submission/nbest_predictions.json").read_text())
    rows = microworld.table("squad", "validation", rows=40).to_pylist()
    assert set(predictions) == set(ranked) == {row["id"] for row in rows}
    for row in rows:
        assert predictions[row["id"]] in row["context"]
        assert ranked[row["id"]][0]["text"] == predictions[row["id"]]
        assert sum(each["probability"] for each in ranked[row["id"]]) == pytest.approx(1, abs=1e-5)
    description = json.loads((tmp_path / "run/delta/adaptation.json").read_text())
    assert description["config"]["data"]["init_args"]["overlap"] == 8
    assert np.isclose(description["task"]["init_args"]["threshold"], 0)
