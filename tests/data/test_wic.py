"""WiC: the word's pieces in each sentence are marked, read, probed and trained, in suites as by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lm_lab.backbones import Backbone, StaticVectors
from lm_lab.benchmark.features import use_features
from lm_lab.cli import main
from lm_lab.data import WiC, microworld
from lm_lab.errors import UsageError
from lm_lab.models import AdaptedModel
from lm_lab.models.binding import bind
from lm_lab.models.loading import load_adaptation
from lm_lab.strategies import FullFineTuning, LinearProbe
from lm_lab.tasks.wic import WIC
from lm_lab.training.adaptation import Adaptation
from lm_lab.words import WordVectors, formats

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def row(number: int) -> dict[str, Any]:
    """Half of the pairs are of one word in one sentence."""
    first, same = "it was fine here .", number % 2
    second = first if same else "here it was fine and fine ."
    places = {"index1": 2, "index2": 2 if same else 3}
    return {"word": "fine", "pos": "N", "sentence1": first, "sentence2": second, **places, "label": same}


def write(folder: Path, rows: list[dict[str, Any]]) -> str:
    for split in ("train", "validation"):
        (folder / "wic").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / "wic" / f"{split}.parquet")
    return str(folder)


@pytest.fixture
def source(tmp_path: Path) -> str:
    return write(tmp_path / "data", [row(number) for number in range(40)])


def bound(model: AdaptedModel, source: str) -> WiC:
    data = bind(model, WiC(source=source, batch_size=8))
    data.setup("fit")
    return data


def test_the_vector_of_a_pair_is_of_the_marked_words(make: Callable[..., Backbone], source: str) -> None:
    backbone = make("bert")
    model = AdaptedModel(backbone, LinearProbe(), WIC, pairs="bi_encoder").eval()
    batch = bound(model, source).encoded["validation"].collate([0, 1])
    assert batch["texts"][1]["marked"].tolist() == [[0, 0, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0, 0]]
    u, v = model.features(batch)[0, :, 0]
    for vector, sentence, place in ((u, "it was fine here .", 3), (v, "here it was fine and fine .", 4)):
        states = backbone(**backbone.tokenizer([sentence], return_tensors="pt"))[-1]
        assert torch.allclose(vector, states[0, place], atol=1e-5)
    assert model.pooling == "mean"


def test_a_pair_in_one_sequence_is_read_at_both_words(make: Callable[..., Backbone], source: str) -> None:
    model = AdaptedModel(make("bert"), LinearProbe(), WIC).eval()
    (text,) = bound(model, source).encoded["validation"].collate([0])["texts"]
    tokens = model.backbone.tokenizer.convert_ids_to_tokens(text["input_ids"][0][text["marked"][0] == 1].tolist())
    assert tokens == ["fine", "fine"]


@pytest.mark.parametrize("strategy", [LinearProbe(), FullFineTuning()])
def test_it_trains_saves_and_predicts(
    make: Callable[..., Backbone], source: str, strategy: LinearProbe | FullFineTuning
) -> None:
    model = AdaptedModel(make("bert"), strategy, WIC, pairs="bi_encoder")
    data = WiC(source=source, batch_size=8)
    module = Adaptation(model, learning_rate=1e-2)
    trainer = L.Trainer(max_epochs=5, accelerator="cpu", **QUIET)
    trainer.fit(module, bind(model, data))
    model.save("delta")
    fine = "it was fine here ."
    examples = [(fine, fine, "2", "2"), (fine, "here it was fine and fine .", "2", "3")]
    again = load_adaptation("delta")
    assert [answer["prediction"] for answer in again.predict(examples)] == ["same", "different"]
    assert again.predict(examples) == model.eval().predict(examples)


def test_stored_features_are_those_of_the_marked_words(
    make: Callable[..., Backbone], source: str, tmp_path: Path
) -> None:
    model = AdaptedModel(make("bert"), LinearProbe(), WIC, pairs="bi_encoder").eval()
    data = bound(model, source)
    batch = data.encoded["validation"].collate([0, 1, 2])
    with torch.no_grad():
        expected = model(batch)
    use_features(model, data, L.Trainer(accelerator="cpu", **QUIET), tmp_path / "features")
    assert torch.allclose(model(data.encoded["validation"].collate([0, 1, 2])), expected, atol=1e-5)


def test_one_word_alone_tells_a_static_vector_nothing(tmp_path: Path, source: str) -> None:
    words = [word for word in microworld.vocabulary() if not word.startswith("[")]
    vectors = WordVectors(words, np.random.default_rng(0).normal(size=(len(words), 8)).astype(np.float32))
    model = AdaptedModel(
        StaticVectors(str(formats.write(vectors, tmp_path / "v.bin"))), LinearProbe(), WIC, pairs="bi_encoder"
    )
    u, v = model.features(bound(model, source).encoded["validation"].collate([0]))[0, :, 0]
    assert torch.equal(u, v)


def test_beginnings_of_characters_are_places_too(tmp_path: Path) -> None:
    given = {"sentence1": "so it was fine", "sentence2": "fine", "start1": 10, "start2": 0, "label": 1}
    rows = WiC(source=write(tmp_path, [given])).read("validation", labelled=False)
    assert rows.beside == {"marked": ([[0, 0, 0, 1]], [[1]])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index1": 9}, "row 0, index1: expected the place of a word, from 0 to 4, found 9"),
        ({"index2": None}, "row 0, index2: expected the place of a word, from 0 to 4, found None"),
        ({"label": 3}, "column 'label'"),
    ],
)
def test_bad_rows_are_told_in_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    source = write(tmp_path, [row(1) | change])
    with pytest.raises(UsageError, match=message):
        WiC(source=source).rows("train")


def test_what_cannot_be_is_told_in_one_line(make: Callable[..., Backbone], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="reads the words that are marked: pooling is mean, max or attention"):
        AdaptedModel(make("bert"), LinearProbe(), WIC, pooling="cls")
    with pytest.raises(UsageError, match="source=microworld: it has no words of several senses"):
        WiC(source="microworld")
    missing = row(1)
    del missing["index1"]
    with pytest.raises(UsageError, match="has no column 'index1'"):
        WiC(source=write(tmp_path, [missing])).rows("train")
    model = AdaptedModel(make("bert"), LinearProbe(), WIC, pairs="bi_encoder")
    bind(model, WiC())
    with pytest.raises(UsageError, match="row 0, index2: expected the place of a word, from 0 to 0, found 'x'"):
        model.predict([("a", "b", "0", "x")])


def test_the_command_fits_and_predicts(
    folders: dict[str, Path], source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = ["--data", "WiC", "--data.source", source, "--data.batch_size", "8", "--model.pairs", "bi_encoder"]
    model = ["--model.backbone.source", str(folders["bert"]), "--model.strategy", "LinearProbe"]
    assert main(["adapt", "fit", *model, *task, "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"]) == 0
    (delta,) = tmp_path.rglob("delta")
    (tmp_path / "pairs.txt").write_text("it was fine .\tit was fine .\t2\t2\n")
    capsys.readouterr()
    assert main(["adapt", "predict", "--delta", str(delta), "--text", "pairs.txt"]) == 0
    assert "same" in capsys.readouterr().out
