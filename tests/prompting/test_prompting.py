"""Prompting against `transformers`, word by word; what is shown, what is taken off, what is cut."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from suites import write_suite
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from lm_lab import AdaptedModel, bind
from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.cli import main
from lm_lab.data import GLUE, WiC
from lm_lab.errors import UsageError
from lm_lab.prompting import Prompting
from lm_lab.results.records import read_records
from lm_lab.tasks import glue_task
from lm_lab.tasks.wic import WIC

TEXTS = ["the beast was good .", "it was not good , and the beast was fine ."]
WORDS = ("bad", "good")
Make = Callable[..., Backbone]
Folders = dict[str, Path]


def prompted(backbone: Backbone, task: str = "sst2", **settings: Any) -> AdaptedModel:
    given = {"template": "{a} it was {answer}", "words": WORDS} | settings
    return AdaptedModel(backbone, Prompting(**given), glue_task(task)).eval()


@pytest.fixture
def masked(folders: Folders, tmp_path: Path) -> Path:
    torch.manual_seed(3)
    AutoModelForMaskedLM.from_pretrained(folders["bert"]).save_pretrained(tmp_path / "masked")
    TransformersBackbone(str(folders["bert"])).tokenizer.save_pretrained(tmp_path / "masked")
    return tmp_path / "masked"


def words_of(backbone: Backbone, words: tuple[str, ...] = WORDS) -> list[int]:
    return [int(backbone.tokenizer.convert_tokens_to_ids(word)) for word in words]


def test_a_masked_model_reads_the_word_at_its_mask(masked: Path) -> None:
    backbone = TransformersBackbone(str(masked))
    model = prompted(backbone, template="{a} it was {answer} .")
    found = model(model.batch(TEXTS))
    own = AutoModelForMaskedLM.from_pretrained(masked).eval()
    for text, scores in zip(TEXTS, found, strict=True):
        ids = backbone.tokenizer(f"{text} it was [MASK] .", return_tensors="pt")["input_ids"]
        place = int((ids[0] == backbone.tokenizer.mask_token_id).nonzero())
        with torch.no_grad():
            logs = own(input_ids=ids).logits[0, place].log_softmax(-1)
        assert scores.tolist() == pytest.approx(logs[words_of(backbone)].tolist(), rel=1e-4)


def test_a_pair_stands_around_the_answer(masked: Path) -> None:
    backbone = TransformersBackbone(str(masked))
    model = prompted(backbone, "rte", template="{a} . {answer} . {b}")
    tokens = backbone.tokenizer.convert_ids_to_tokens(model.batch([(TEXTS[0], "fine")])["texts"][0]["input_ids"][0])
    assert " ".join(tokens) == f"[CLS] {TEXTS[0]} . [MASK] . fine [SEP]"


@pytest.mark.parametrize("words", [WORDS, ("not good", "good and fine")])
def test_a_decoder_writes_the_words(folders: Folders, words: tuple[str, ...]) -> None:
    own = AutoModelForCausalLM.from_pretrained(folders["gpt2"]).eval()
    backbone = TransformersBackbone(str(folders["gpt2"]))
    model = prompted(backbone, words=words)
    for text, scores in zip(TEXTS, model(model.batch(TEXTS)), strict=True):
        for word, score in zip(words, scores.tolist(), strict=True):
            before, after = (
                backbone.tokenizer(part, add_special_tokens=False)["input_ids"] for part in (f"{text} it was", word)
            )
            ids = torch.tensor([[*model.head.model[0].before, *before, *after]])
            with torch.no_grad():
                logs = own(input_ids=ids).logits[0].log_softmax(-1)
            places = range(ids.shape[1] - len(after), ids.shape[1])
            assert score == pytest.approx(sum(float(logs[p - 1, ids[0, p]]) for p in places), rel=1e-4)


def test_a_t5_fills_the_gap(sentinels: Path) -> None:
    own = AutoModelForSeq2SeqLM.from_pretrained(sentinels).eval()
    backbone = TransformersBackbone(str(sentinels))
    model = prompted(backbone)
    source, gap = model.batch(TEXTS[:1])["texts"][0]["input_ids"], model.head.encoded.gap
    sentinel = model.head.model[0].sentinel
    labels = torch.tensor([[sentinel, words_of(backbone)[0]]])
    with torch.no_grad():
        logits = own(input_ids=source.masked_fill(source == gap, sentinel), labels=labels).logits
    expected = logits[0, 1].log_softmax(-1)[words_of(backbone)]
    assert model(model.batch(TEXTS[:1]))[0].tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_a_bart_writes_the_prompt_with_the_word_at_its_mask(folders: Folders) -> None:
    backbone = TransformersBackbone(str(folders["bart"]))
    model = prompted(backbone, template="{a} it was {answer} .")
    own = AutoModelForSeq2SeqLM.from_pretrained(folders["bart"]).eval()
    mask = backbone.tokenizer.mask_token
    for text, scores in zip(TEXTS, model(model.batch(TEXTS)), strict=True):
        source = backbone.tokenizer(f"{text} it was {mask} .", return_tensors="pt")["input_ids"]
        target = backbone.tokenizer(f"{text} it was bad .", return_tensors="pt")["input_ids"]
        place = int((source[0] == backbone.tokenizer.mask_token_id).nonzero())
        with torch.no_grad():
            logs = own(input_ids=source, labels=target).logits[0, place].log_softmax(-1)
        assert scores.tolist() == pytest.approx(logs[words_of(backbone)].tolist(), rel=1e-4)


def test_calibrated_a_text_without_content_says_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lm_lab.prompting.head._FREE", ("fine",))
    model = prompted(make("gpt2"), calibrated=True)
    free, other = model(model.batch(["fine", TEXTS[0]]))
    assert free.tolist() == pytest.approx([0.0, 0.0], abs=1e-5)
    plain = prompted(make("gpt2"))
    before = plain(plain.batch(["fine", TEXTS[0]]))
    difference = (before[1] - before[0]).tolist()
    assert other[1] - other[0] == pytest.approx(difference[1] - difference[0], abs=1e-5)


def shown(model: AdaptedModel, backbone: Backbone) -> str:
    return str(backbone.tokenizer.decode(model.batch(["the beast"])["texts"][0]["input_ids"][0]))


def test_examples_stand_before_the_text_and_the_seed_draws_them(make: Make) -> None:
    said = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        backbone = make("gpt2")
        model = prompted(backbone, shots=4, template="{a} fine fine {answer}")
        data = bind(model, GLUE("sst2", source="microworld", train_limit=50))
        said.append(shown(model, backbone))
        answers = [int(piece.split()[0] == "good") for piece in said[-1].split(" fine fine ")[1:]]
        assert (len(answers), sum(answers)) == (4, 2)
        texts, labels = data.rows("train").texts[0], data.rows("train").labels
        matches = [row for row, text in enumerate(texts) if f"{text} fine fine {WORDS[int(labels[row])]}" in said[-1]]
        assert len(matches) >= 4
    assert said[0] == said[1] != said[2]


def test_a_text_that_is_too_long_is_cut_and_the_prompt_is_not(make: Make) -> None:
    backbone = make("gpt2")
    model = prompted(backbone)
    with pytest.warns(UserWarning, match="were truncated"):
        ids = model.batch(["the beast was fine . " * 200])["texts"][0]["input_ids"][0]
    assert len(ids) == backbone.max_length
    assert str(backbone.tokenizer.decode(ids)).endswith("it was")


@pytest.mark.parametrize("family", ["gpt2", "bert", "t5"])
def test_a_point_of_a_suite_trains_nothing(
    folders: Folders, masked: Path, sentinels: Path, tmp_path: Path, family: str
) -> None:
    folder = {"gpt2": folders["gpt2"], "bert": masked, "t5": sentinels}[family]
    init = {"template": "{a} it was {answer}", "words": list(WORDS)}
    strategies = {
        "prompt": {"class_path": "lm_lab.prompting.Prompting", "init_args": init, "knob": "shots", "sizes": [0, 2]},
        "probe": {"class_path": "LinearProbe"},
    }
    suite = write_suite(tmp_path / "suite.yaml", folder, strategies=strategies, seeds=[0])
    alone = ["--workers", "0", "--wandb", "disabled"]
    assert main(["bench", "run", str(suite), "--out", str(tmp_path / "out"), *alone]) == 0
    found = {
        (r["cell"]["coordinates"]["strategy"], r["cell"]["coordinates"].get("shots")): r
        for r in read_records(tmp_path / "out")
    }
    for shots in (0, 2):
        record = found["prompt", shots]
        assert (record["status"], record["ledger"]["trained"], record["clocks"]["steps"]) == ("done", 0, 0)
    assert main(["bench", "report", str(tmp_path / "out")]) == 0


def test_the_command_line_scores_and_does_not_fit(
    folders: Folders, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    settings = json.dumps({"class_path": "Prompting", "init_args": {"words": list(WORDS)}})
    common = ["--data", "GLUE", "--data.task", "sst2", "--data.source", "microworld", "--trainer.logger", "false"]
    common += [
        "--trainer.max_epochs",
        "1",
        "--model.backbone.source",
        str(folders["gpt2"]),
        "--model.strategy",
        settings,
    ]
    assert main(["adapt", "validate", *common]) == 0
    assert "validation/accuracy" in capsys.readouterr().out
    assert main(["adapt", "fit", *common, "--trainer.default_root_dir", str(tmp_path)]) == 2
    assert "Prompting trains nothing" in capsys.readouterr().err


@pytest.fixture
def senses(tmp_path: Path) -> str:
    (tmp_path / "wic").mkdir()
    given = {"sentence1": "it was not good .", "sentence2": "good was the beast .", "index1": 3, "index2": 0}
    for split in ("train", "validation"):
        rows = [given | {"label": label} for label in (0, 1)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "wic" / f"{split}.parquet")
    return str(tmp_path)


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_a_task_about_a_word_names_it(
    make: Make, masked: Path, senses: str, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    causal = family == "gpt2"
    backbone = make("gpt2") if causal else TransformersBackbone(str(masked))
    template = "{a} {b} was {word} the beast and {answer}" if causal else "{a} {answer} and {b} was {word} the beast ."
    model = AdaptedModel(backbone, Prompting(template=template, words=WORDS, shots=1), WIC).eval()
    data = bind(model, WiC(source=senses, batch_size=2))
    data.setup("fit")
    asked: list[list[int]] = []
    monkeypatch.setattr(model.head, "_scores", lambda rows: asked.extend(rows) or torch.zeros(len(rows), 2))
    model(next(iter(data.val_dataloader()[0])))
    read = [" ".join(backbone.tokenizer.convert_ids_to_tokens(row)) for row in asked]
    texts = "it was not good .", "good was the beast ."
    said = ("{0} {1} was good the beast and", "{0} [MASK] and {1} was good the beast .")[not causal].format(*texts)
    assert [said in text for text in read] == [True, True], read
    shown = template.format(a=texts[0], b=texts[1], word="good", answer="bad")
    other = template.format(a=texts[0], b=texts[1], word="good", answer="good")
    assert all(shown in text or other in text for text in read)


def test_a_template_names_the_word_of_a_task_that_is_about_one(make: Make) -> None:
    for template in ("{a} {b} {answer}", "{word} {a} {b} {answer}", "{a} {word} {b} {word} {answer}"):
        with pytest.raises(UsageError, match=r"expected \{word\} once, behind the texts"):
            AdaptedModel(make("gpt2"), Prompting(template=template, words=WORDS), WIC)
    with pytest.raises(UsageError, match=r"expected no \{word\}"):
        prompted(make("gpt2"), template="{a} {word} {answer}")


def test_what_cannot_be_prompted_is_refused_by_name(make: Make) -> None:
    for settings, said in (
        ({"template": "{answer} {a}"}, "a decoder writes the answer"),
        ({"template": "{a}"}, "expected {a}, {answer}, each once"),
        ({"words": ("good", "good")}, "another word for each of negative, positive"),
        ({"words": ("good", "zzzz")}, "'zzzz' is not in the vocabulary"),
        ({"shots": -1}, "expected 0 to 1024"),
    ):
        with pytest.raises(UsageError, match=said):
            prompted(make("gpt2"), **settings)
    with pytest.raises(UsageError, match="'stsb' is no task of classes"):
        prompted(make("gpt2"), "stsb")
    with pytest.raises(UsageError, match="no output layer that predicts hidden tokens"):
        prompted(make("bert"))
    model = prompted(make("gpt2"), shots=60)
    with pytest.raises(UsageError, match="shots=60"):
        bind(model, GLUE("sst2", source="microworld", train_limit=50))


def test_every_known_prompt_fits_its_task() -> None:
    from lm_lab.prompting.prompts import _PROMPTS, prompt_of

    for name in _PROMPTS:
        for causal in (False, True):
            assert prompt_of(WIC if name == "wic" else glue_task(name), causal, None, None).words
