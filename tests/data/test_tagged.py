"""Tagged words: aligned with tokens by hand, from every kind of file, and what is said of those that are wrong."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
from sklearn.metrics import accuracy_score
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lm_lab import Backbone, adaptation_of, bind
from lm_lab.cli import main
from lm_lab.config.imports import restrict
from lm_lab.data import microworld
from lm_lab.data.encoding import tags as module
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.tags import EncodedTags, encode_tags, first_tokens, needs_space
from lm_lab.data.modules.tags import TokenClassification
from lm_lab.data.reading.tagged import TaggedRows, check
from lm_lab.errors import UsageError
from lm_lab.strategies import FullFineTuning
from lm_lab.tasks.tags import TagTask

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
ROWS = {"tokens": [["Ada", "lives", "here"], ["Rome"]], "tags": [["B-PER", "O", "O"], ["B-LOC"]]}
QUIET = {
    "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False,
}  # fmt: skip


def rows(*sentences: str) -> TaggedRows:
    """Sentences of words, each tagged with its position modulo the number of tags."""
    words = [sentence.split(" ") for sentence in sentences]
    tags = [[i % len(LABELS) for i in range(len(sentence))] for sentence in words]
    return TaggedRows(words, tags, np.arange(len(words)), "F")


def trained(**parts: Any) -> PreTrainedTokenizerFast:
    """A small byte-level BPE, as GPT-2's."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(**parts)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(["a cat sat on a mat and a cat ran"] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>")


def encoded(given: TaggedRows, tokenizer: Any, max_length: int = 64) -> EncodedTags:
    return encode_tags(given, 0, Encoding(tokenizer, "cross_encoder", max_length))


def test_first_tokens_by_hand() -> None:
    assert first_tokens([None, 0, 0, 2, None], 4) == [1, -1, 3, -1]
    assert first_tokens([], 2) == [-1, -1]


def test_a_tokenizer_of_words_has_a_token_a_word() -> None:
    batch = encoded(rows("the plant was good .", "it was"), microworld.tokenizer()).collate([0, 1])
    assert batch["first"].tolist() == [[1, 2, 3, 4, 5], [1, 2, -1, -1, -1]]
    assert batch["labels"].tolist() == [[0, 1, 2, 3, 4], [0, 1, -100, -100, -100]]
    assert batch["texts"][0]["input_ids"].shape == (2, 7)
    assert batch["ids"].tolist() == [0, 1]


@pytest.mark.parametrize("prefix", [False, True])
def test_byte_level_words_are_read_as_in_running_text(prefix: bool) -> None:
    tokenizer = trained(add_prefix_space=prefix)
    assert needs_space(tokenizer) is not prefix
    sentence = "a cat sat unseen"
    batch = encoded(rows(sentence), tokenizer).collate([0])
    assert batch["texts"][0]["input_ids"][0].tolist() == tokenizer(f" {sentence}")["input_ids"]
    tokens = tokenizer.convert_ids_to_tokens(batch["texts"][0]["input_ids"][0].tolist())
    assert [i for i, token in enumerate(tokens) if token.startswith("Ġ")] == batch["first"][0].tolist()
    assert len(tokens) > 4  # the last word is several tokens


def test_tokenizers_that_mark_words_themselves_need_no_space() -> None:
    core = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁", -2.0), ("▁a", -1.0), ("a", -1.5)], unk_id=0))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    assert not needs_space(PreTrainedTokenizerFast(tokenizer_object=core))
    assert not needs_space(microworld.tokenizer())


def blanking() -> PreTrainedTokenizerFast:
    """The microworld's, which drops control characters as BERT's does."""
    tokenizer = microworld.tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.BertNormalizer()
    return tokenizer


def test_a_word_without_any_token_is_counted_and_predicted_o() -> None:
    with pytest.warns(UserWarning, match="F: 2 of 4 words are no token to this tokenizer, and count as O"):
        found = encoded(rows("it \x07 was", "\x07"), blanking())
    batch = found.collate([0, 1])
    assert batch["first"].tolist() == [[1, -1, 2], [-1, -1, -1]]
    assert batch["labels"].tolist() == [[0, 1, 2], [0, -100, -100]]


def test_a_sentence_without_any_token_has_one_to_be_read() -> None:
    tokenizer = blanking()
    tokenizer.backend_tokenizer.post_processor = None
    with pytest.warns(UserWarning, match="1 of 3 words are no token"):
        found = encoded(rows("\x07", "it was"), tokenizer)
    assert found.lengths.tolist() == [1, 2]
    assert found.collate([0])["texts"][0]["attention_mask"].tolist() == [[1]]


def test_truncation_counts_sentences_and_words_and_keeps_the_true_tags() -> None:
    given = rows("the plant was good .", "it was")
    for _ in range(2):  # said again when the tokens come from the cache
        message = "F: 1 of 2 sentences are longer than 5 tokens and were truncated: 2 of 7 words are lost"
        with pytest.warns(UserWarning, match=message):
            batch = encoded(given, microworld.tokenizer(), max_length=5).collate([0, 1])
        assert batch["first"].tolist() == [[1, 2, 3, -1, -1], [1, 2, -1, -1, -1]]
        assert batch["labels"].tolist() == [[0, 1, 2, 3, 4], [0, 1, -100, -100, -100]]


def test_tokens_come_from_the_cache_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = encoded(rows("it was"), microworld.tokenizer())
    monkeypatch.setattr(module, "_encode", lambda *_: pytest.fail("tokenised again"))
    again = encoded(rows("it was"), microworld.tokenizer())
    assert first.collate([0])["first"].equal(again.collate([0])["first"])


def test_a_split_without_tags_is_read_as_o() -> None:
    given = TaggedRows([["it", "was"]], None, np.arange(1), "F")
    assert encode_tags(given, 3, Encoding(microworld.tokenizer(), "cross_encoder", 9)).collate([0])[
        "labels"
    ].tolist() == [[3, 3]]


def test_minilm_by_hand(real_data: str) -> None:
    folder = Path(real_data, "..", "weights", "paraphrase-MiniLM-L3-v2")
    if not folder.is_dir():
        pytest.skip("needs the weights of paraphrase-MiniLM-L3-v2 beside LM_LAB_DATA")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with pytest.warns(UserWarning, match="1 of 4 words are no token"):
        batch = encoded(rows("Zurich unbelievably \x07 ends"), tokenizer).collate([0])
    tokens = tokenizer.convert_ids_to_tokens(batch["texts"][0]["input_ids"][0].tolist())
    assert tokens == ["[CLS]", "zurich", "un", "##bel", "##ie", "##va", "##bly", "ends", "[SEP]"]
    assert batch["first"].tolist() == [[1, 2, -1, 7]]


@pytest.mark.parametrize("task", ["wnut17", "wikiann_en", "peopledaily_ner"])
def test_real_data(real_data: str, task: str) -> None:
    data = TokenClassification(task, real_data)
    for split in ("train", "validation"):
        found = data.rows(split)
        assert {tag for tags in found.tags for tag in tags} == set(range(len(data.task.labels)))
        assert all(len(a) == len(b) for a, b in zip(found.words, found.tags, strict=True))


def write(folder: Path, name: str, table: pa.Table) -> None:
    if name.endswith(".parquet"):
        pa.parquet.write_table(table, folder / name)
    else:
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))


CONLL = "-DOCSTART- -X- O O\n\nAda NNP B-PER\nlives VBZ O\nhere RB O\n\n\nRome\tNNP\tB-LOC\r\n"


@pytest.mark.parametrize("name", ["train.parquet", "train.jsonl", "train.txt", "mine/train.conll"])
def test_data_of_ones_own_brings_its_tags(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").mkdir()
    if name.endswith((".txt", ".conll")):
        (tmp_path / name).write_text(CONLL)
    else:
        write(tmp_path, name, pa.table(ROWS))
    data = TokenClassification("mine", str(tmp_path))
    assert data.task == TagTask("mine", ("O", "B-LOC", "B-PER"), test=(("test", "mine"),))
    assert (data.rows("train").words, data.rows("train").tags) == (ROWS["tokens"], [[2, 0, 0], [1]])
    assert data.settings() == {"task": "mine", "labels": ["O", "B-LOC", "B-PER"], "max_length": 128}


@pytest.mark.parametrize("file", ["validation.txt", "valid.txt", "dev.txt", "testa.txt"])
def test_conll_names_of_the_validation_split(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text(CONLL)
    assert len(TokenClassification("mine", str(tmp_path), labels=list(LABELS)).rows("validation")) == 2


def test_the_hubs_numbers_have_names(tmp_path: Path) -> None:
    import datasets

    names = datasets.Features(
        {
            "tokens": datasets.List(datasets.Value("string")),
            "ner_tags": datasets.List(datasets.ClassLabel(names=[*LABELS])),
        }
    )
    given = {"tokens": ROWS["tokens"], "ner_tags": [[1, 0, 0], [3]]}
    pa.parquet.write_table(datasets.Dataset.from_dict(given, names).with_format("arrow")[:], tmp_path / "train.parquet")
    data = TokenClassification("mine", str(tmp_path))
    assert data.task.labels == ("O", "B-LOC", "B-PER")
    assert data.rows("train").tags == [[2, 0, 0], [1]]


def test_numbers_without_names_are_those_of_the_known_task() -> None:
    found = check(LABELS, pa.table({"tokens": ROWS["tokens"], "ner_tags": [[1, 0, 0], [3]]}), "F")
    assert found.tags == [[1, 0, 0], [3]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": None}, r"F has no column 'tokens'; expected tokens, tags, found tags"),
        ({"tokens": ["Ada lives here", "Rome"]}, r"F, column 'tokens': expected a list of strings .*not by \.csv"),
        ({"tokens": [["Ada", None, "here"], ["Rome"]]}, r"F, row 0, column 'tokens': a null"),
        ({"tags": [["O", "O", "O"], None]}, r"F, row 1, column 'tags': a null"),
        ({"tags": [["O", "O", "O"], ["O", "O"]]}, r"F, row 1: 1 words in 'tokens', but 2 tags"),
        (
            {"tags": [["O", "O", "O"], ["B-ORG"]]},
            r"F, row 1, column 'tags': 'B-ORG' is an unknown tag; the tags are O, B-",
        ),
        ({"tags": [["O", "O", "O"], ["S-PER"]]}, r"F, row 1, column 'tags': 'S-PER' is not of the form O, B-x or I-x"),
        ({"tags": [[0, 0, 0], [9]]}, r"F, row 1, column 'tags': no tag 9; there are 5 tags: O, B-PER"),
        ({"tokens": [[1, 2, 3], [4]]}, r"F, column 'tokens': expected words, found numbers"),
        ({"idx": [7, 7]}, r"F, row 1, column 'idx': 7 appears twice"),
    ],
)
def test_a_wrong_row_names_file_row_and_column(change: dict[str, Any], message: str) -> None:
    columns = {name: values for name, values in (ROWS | change).items() if values is not None}
    with pytest.raises(UsageError, match=message):
        check(LABELS, pa.table(columns), "F")


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(UsageError, match="F is empty; expected rows with the columns tokens, tags"):
        check(LABELS, pa.table({"tokens": [], "tags": []}), "F")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "train.csv",
            "tokens,tags\nAda lives,B-PER O\n",
            r"train\.csv, column 'tags': .*found string; lists are held by",
        ),
        ("train.txt", "Ada B-PER\nlives\n", r"train\.txt, line 2: one column; expected a word"),
        ("train.txt", "Ada PERSON\n", r"train\.txt, row 0, column 'tags': 'PERSON' is not of the form O, B-x or I-x"),
        ("train.txt", "\n", r"train\.txt is empty"),
        ("train.jsonl", '{"tokens": ["Ada"]}\n', r"train\.jsonl has no column 'tags'; it has tokens"),
        (
            "train.jsonl",
            '{"tokens": ["A"], "tags": [1]}\n',
            r"train\.jsonl, row 0, .*no names for numbers \(--data\.labels",
        ),
    ],
)
def test_files_of_ones_own_that_are_wrong(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=message):
        TokenClassification("mine", str(tmp_path)).rows("train")


def test_an_untagged_split_can_only_be_predicted(tmp_path: Path) -> None:
    write(tmp_path, "test.jsonl", pa.table({"tokens": ROWS["tokens"]}))
    data = TokenClassification("mine", str(tmp_path), labels=list(LABELS))
    assert data.read("test", labelled=False).tags is None
    with pytest.raises(UsageError, match=r"test\.jsonl has no column 'tags', so 'mine' cannot be trained or scored on"):
        data.read("test", labelled=True)


def test_a_small_model_learns_the_microworlds_tags(make: Any) -> None:
    """From random weights: the words of validation are new to it, so what it has learned is the sentences' form."""
    L.seed_everything(0, verbose=False)
    data = TokenClassification("tags", "microworld", train_limit=600, validation_limit=200)
    model = adaptation_of(make("bert"), FullFineTuning(), data.task, learning_rate=3e-3)
    trainer = L.Trainer(max_epochs=4, **QUIET)
    trainer.fit(model, bind(model.model, data))
    scores = {name: value.item() for name, value in trainer.callback_metrics.items()}
    assert {f"validation/{name}" for name in ("entity_precision", "entity_recall", "token_accuracy")} <= set(scores)
    assert scores["validation/score"] == scores["validation/entity_f1"] > everything_a_thing(data) + 0.1


def everything_a_thing(data: TokenClassification) -> float:
    """F1 of tagging every word as the commonest type, better than all O, which has 0."""
    gold = [[data.task.labels[i] for i in tags] for tags in data.rows("validation").tags]
    starts = sum(tag == "B-thing" for tags in gold for tag in tags)
    entities = sum(tag.startswith("B-") for tags in gold for tag in tags)
    return 2 * starts / (sum(map(len, gold)) + entities)


@pytest.fixture
def unrestricted() -> Iterator[None]:
    yield
    restrict()


@pytest.mark.usefixtures("unrestricted")
def test_the_command_line_fits_validates_and_predicts(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    for split in ("train", "validation", "test"):
        table = microworld.table("tags", split, 30)
        write(tmp_path / "mine", f"{split}.jsonl", table.drop(["tags"]) if split == "test" else table)
    quiet = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    source = f"--data.source={tmp_path}"
    words = [
        f"--model.backbone.source={folders['bert']}", "--model.strategy=LoRA", "--data=TokenClassification",
        "--data.task=mine", source, "--trainer.max_epochs=1", *quiet,
    ]  # fmt: skip
    assert main(["adapt", "fit", *words]) == 0
    delta = next(tmp_path.glob("runs/**/delta"))
    capsys.readouterr()
    assert main(["adapt", "validate", "--delta", str(delta), source, *quiet]) == 0
    assert "validation/entity_f1" in capsys.readouterr().out
    assert main(["adapt", "predict", "--delta", str(delta), source, *quiet]) == 0
    lines = next(tmp_path.glob("runs/**/submission/mine-test.jsonl")).read_text().splitlines()
    predicted = [json.loads(line)["prediction"] for line in lines]
    given = microworld.table("tags", "test", 30)["tokens"].to_pylist()
    assert list(map(len, predicted)) == list(map(len, given))


def test_a_warning_is_not_given_without_a_reason() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoded(rows("it was"), microworld.tokenizer())


def test_a_decoder_reads_tokens_too(make: Any) -> None:
    backbone: Backbone = make("gpt2")
    data = TokenClassification("tags", "microworld", train_limit=40, validation_limit=20)
    trainer = L.Trainer(max_epochs=1, **QUIET)
    model = adaptation_of(backbone, FullFineTuning(), data.task)
    trainer.fit(model, bind(model.model, data))
    assert "validation/entity_f1" in trainer.callback_metrics


POS = {"tokens": [["Ada", "lives", "\u0001"], ["Rome"]], "tags": [["NOUN", "VERB", "PUNCT"], ["NOUN"]]}


def test_plain_tags_are_classes_of_words(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        write(tmp_path, f"{split}.jsonl", pa.table(POS))
    data = TokenClassification("pos", str(tmp_path), scheme="plain")
    assert data.task.labels == ("NOUN", "PUNCT", "VERB")
    assert [metric.__name__ for metric in data.task.metrics] == ["token_accuracy"]
    assert TokenClassification(source=str(tmp_path), **data.settings()).task == data.task
    batch = {"first": torch.tensor([[1, 2, -1], [1, -1, -1]]), "labels": torch.tensor([[0, 2, 1], [0, -100, -100]])}
    scores = torch.zeros(2, 4, 3)
    scores[..., 0] = 9.0
    assert data.task.answers(scores, batch) == [{"prediction": ["NOUN", "NOUN", "_"]}, {"prediction": ["NOUN"]}]
    gold, predicted = ["NOUN", "VERB", "PUNCT", "NOUN"], ["NOUN", "NOUN", "_", "NOUN"]
    assert data.task.scores(*data.task.judge(scores, batch)) == {"token_accuracy": accuracy_score(gold, predicted)}
    with pytest.raises(UsageError, match=r"'NOUN' is not of the form .* or --data\.scheme plain for tags that"):
        TokenClassification("pos", str(tmp_path))


def test_bioes_of_ones_own(tmp_path: Path) -> None:
    write(tmp_path, "train.jsonl", pa.table({"tokens": [["a", "b"], ["c"]], "tags": [["B-x", "E-x"], ["S-x"]]}))
    assert TokenClassification("mine", str(tmp_path)).task.labels == ("O", "B-x", "E-x", "S-x")


def test_numbers_are_no_places_among_tags_that_were_found_as_words(tmp_path: Path) -> None:
    write(tmp_path, "train.jsonl", pa.table(ROWS))
    write(tmp_path, "validation.jsonl", pa.table({"tokens": ROWS["tokens"], "tags": [[0, 1, 0], [2]]}))
    with pytest.raises(UsageError, match=r"row 0, column 'tags': no tag 0; there are no names for numbers"):
        TokenClassification("mine", str(tmp_path)).rows("validation")
    given = TokenClassification("mine", str(tmp_path), labels=["O", "B-PER", "B-LOC"])
    assert given.rows("validation").tags == [[0, 1, 0], [2]]
