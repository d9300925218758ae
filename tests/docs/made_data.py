"""What a reader of the docs has: data in the layouts that they name, and weights, made small of the microworld."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import transformers
from tiny_models import CONFIGS

from lm_lab.data import microworld, tokenizers

Row = dict[str, Any]
ROWS = {"train": 40, "validation": 16, "test": 16}
_TAGS = {"person": "PER", "place": "LOC", "thing": "ORG"}
_WNUT = {"person": "person", "place": "location", "thing": "product"}
_CHARACTERS = {word: chr(0x4E00 + number) for number, word in enumerate(microworld.vocabulary())}
# folder -> the task of the microworld that it is made of, and how a row is changed
_SETS: Mapping[str, tuple[str, Callable[[Row], Row]]] = {
    **{f"glue/{task}": (task, dict) for task in ("cola", "sst2", "mrpc", "stsb", "rte", "mnli")},
    "glue/qqp": ("mrpc", lambda row: _renamed(row, sentence1="question1", sentence2="question2")),
    "snli": ("rte", lambda row: _renamed(row, sentence1="premise", sentence2="hypothesis")),
    "hellaswag": ("choice", lambda row: {"ctx": row["context"], "endings": row["options"], "label": row["answer"]}),
    "xsum": ("summary", lambda row: _renamed(row, source="document", target="summary")),
    "squad": ("squad", dict),
    "wnut17": ("tags", lambda row: _tagged(row, _WNUT)),
    "wikiann_en": ("tags", lambda row: _tagged(row, _TAGS)),
    "peopledaily_ner": ("tags", lambda row: _tagged(row, _TAGS) | {"tokens": [*map(chinese, row["tokens"])]}),
    "chnsenticorp": ("sst2", lambda row: {"text": chinese(row["sentence"]), "label": row["label"]}),
}


def make_data(root: Path) -> Path:
    """Write the data sets that the docs name below `root`."""
    for folder, (task, change) in _SETS.items():
        for split in microworld.splits(task):
            rows = microworld.table(task, split, ROWS[split.partition("_")[0]]).to_pylist()
            _write(root / folder / f"{split}.parquet", [change(row) for row in rows])
    _write(root / "glue/ax/test.parquet", microworld.table("mnli", "test_matched", ROWS["test"]).to_pylist())
    cola = microworld.table("cola", "train", ROWS["train"]).to_pylist()
    good, bad = ([row["sentence"] for row in cola if row["label"] == label] for label in (1, 0))
    pairs = [
        {"sentence_good": a, "sentence_bad": b, "UID": "agreement", "field": "syntax"}
        for a, b in zip(good, bad, strict=False)
    ]
    _write(root / "blimp/test.parquet", pairs)
    _write(root / "lambada/test.parquet", [{"text": text.removesuffix(" .")} for text in good])
    _write(root / "semcor/train.parquet", [_sensed(text.split(), row % 2) for row, text in enumerate(good[:20])])
    for split in ("train", "validation"):
        _write(root / f"wic/{split}.parquet", [_in_context(text, row % 2) for row, text in enumerate(good[:20])])
        trees = [{"tree": _tree(text.split(), row % 2 * 4)} for row, text in enumerate(good[:20])]
        _write(root / f"sst_trees/{split}.parquet", trees)
    for split in ("train", "validation"):
        _write(root / f"ud_ewt/{split}.parquet", [_parsed(text.split()) for text in good])
    words = [word for word in microworld.vocabulary() if word.isalpha()]
    scored = [{"set": "mine", "word1": a, "word2": b, "score": 1.0 * row} for row, (a, b) in enumerate(pairwise(words))]
    _write(root / "word_similarity/test.parquet", scored)
    _write(root / "analogies/test.parquet", [dict(zip(("section", *"abcd"), ("s", *words[:4]), strict=True))])
    for domain in ("nyt", "new_wiki"):
        _write(root / f"squadshifts/{domain}.parquet", microworld.table("squad", "test", ROWS["test"]).to_pylist())
    for split in ROWS:
        texts = [text.replace("\t", " ") for text in microworld.corpus(600, seed=len(split))]
        _write(root / f"novels/{split}.parquet", [{"text": text} for text in texts])
        titled = [line for number, text in enumerate(texts) for line in (f" = Title {number} = ", text)]
        _write(root / f"wikitext-2-raw/{split}.parquet", [{"text": line} for line in titled])
    return root


def _tree(words: list[str], label: int) -> str:
    """A tree that leans to the right, in brackets."""
    first, *rest = words
    return f"({label} {first})" if not rest else f"({label} (2 {first}) {_tree(rest, label)})"


def make_weights(root: Path) -> Path:
    """Write folders of models with the names that the docs give: as many blocks and places, 32 wide."""
    words = microworld.tokenizer()
    words.model_max_length = 512
    characters = tokenizers.train(map(chinese, microworld.corpus(200, seed=0)), kind="character")
    _model(root / "paraphrase-MiniLM-L3-v2", "bert", words, num_hidden_layers=3, hidden_size=64)
    _model(root / "bert-novels-L3-H512", "bert", words, num_hidden_layers=3, hidden_size=64)
    _model(root / "bert-base-uncased", "bert", words)
    _model(root / "bert-base-chinese", "bert", characters)
    _model(root / "stories15M", "llama", words, pad_token_id=None, tie_word_embeddings=True)
    return root


def chinese(text: str) -> str:
    """The same words in a script of one character a word."""
    return "".join(_CHARACTERS.get(word, word) for word in text.split())


def _write(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def _renamed(row: Row, **names: str) -> Row:
    return {names.get(key, key): value for key, value in row.items()}


def _sensed(words: list[str], sense: int) -> Row:
    """A sentence whose stop is a verb of two senses."""
    senses = [str(sense + 1) if word == "." else "" for word in words]
    return {"words": words, "pos": ["VB"] * len(words), "lemmas": words, "senses": senses}


def _parsed(words: list[str]) -> Row:
    """A sentence whose every word depends on the one before it."""
    tags = ["DET" if word == "the" else "NOUN" for word in words]
    return {"tokens": words, "upos": tags, "heads": [*range(len(words))], "deprels": [tag.lower() for tag in tags]}


def _in_context(text: str, label: int) -> Row:
    return {"sentence1": text, "sentence2": text, "index1": 0, "index2": label, "label": label}


def _tagged(row: Row, kinds: Mapping[str, str]) -> Row:
    tags = [tag if tag == "O" else f"{tag[:2]}{kinds[tag[2:]]}" for tag in row["tags"]]
    return {"tokens": row["tokens"], "tags": tags}


def _model(folder: Path, family: str, tokenizer: Any, **changes: Any) -> None:
    """A model with 512 places and random weights."""
    kind, settings = CONFIGS[family]
    torch.manual_seed(0)
    config = getattr(transformers, kind)(vocab_size=len(tokenizer), max_position_embeddings=512, **settings | changes)
    whole = transformers.AutoModelForCausalLM if family == "llama" else transformers.AutoModel
    whole.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
