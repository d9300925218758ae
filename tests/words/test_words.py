"""Word vectors: their file forms, what lies near, how they agree with people, and as a backbone."""

import json
from pathlib import Path

import lightning as L
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy import stats

from lm_lab.backbones import StaticVectors
from lm_lab.cli import main
from lm_lab.data import GLUE, microworld
from lm_lab.errors import UsageError
from lm_lab.models.binding import bind
from lm_lab.models.loading import load_adaptation
from lm_lab.strategies import FullFineTuning, LinearProbe, LoRA
from lm_lab.training.adaptation import adaptation_of
from lm_lab.words import WordVectors, formats
from lm_lab.words.agreement import analogies, similarities

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
WORDS = ["the", ",", "König", "paris", "france", "rome", "italy", "cat"]


@pytest.fixture
def vectors() -> WordVectors:
    matrix = np.random.default_rng(0).normal(size=(len(WORDS), 4)).astype(np.float32)
    matrix[6] = matrix[4] - matrix[3] + matrix[5] + 0.01  # italy = france - paris + rome, nearly
    return WordVectors(WORDS, matrix)


@pytest.mark.parametrize("name", ["v.txt", "v.vec", "v.bin"])
def test_vectors_come_back_to_the_bit(vectors: WordVectors, tmp_path: Path, name: str) -> None:
    again = formats.read(formats.write(vectors, tmp_path / name))
    assert again.words == vectors.words
    assert np.array_equal(again.matrix, vectors.matrix)
    assert formats.read(tmp_path / name, limit=3).words == WORDS[:3]


def test_gloves_form_has_no_first_line_and_words_with_blanks(tmp_path: Path) -> None:
    (tmp_path / "glove.txt").write_text("the 1.0 2.0\n. . 3.0 4.0\nthe 9.0 9.0\n")
    found = formats.read(tmp_path / "glove.txt")
    assert found.words == ["the", "."] or found.words == ["the", ". ."]
    assert found.matrix.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_word2vecs_binary_form_may_lack_line_feeds(tmp_path: Path) -> None:
    numbers = np.array([[1, 2], [3, 4]], "<f4")
    raw = b"2 2\n" + b"".join(word + b" " + row.tobytes() for word, row in zip((b"a", b"b"), numbers, strict=True))
    (tmp_path / "v.bin").write_bytes(raw)
    found = formats.read(tmp_path / "v.bin")
    assert (found.words, found.matrix.tolist()) == (["a", "b"], numbers.tolist())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.txt", b"", "holds no vectors"),
        ("v.txt", b"the 1.0 2.0\ncat 1.0 x\n", "line 2: expected a word and 2 numbers"),
        ("v.txt", b"2 3\nthe 1 2\n", "line 2: expected a word and 3 numbers"),
        ("v.txt", b"the 1.0 nan\n", "the vector of 'the' is not finite"),
        ("v.bin", b"the 1.0", "does not begin with the numbers of words and dimensions"),
        ("v.bin", b"2 2\na 1234", "ends in word 1 of 2; it was not copied whole"),
        ("v.bin", b"2 1\na 1234b", "ends, or has no blank, behind word 1"),
    ],
)
def test_a_damaged_file_is_told_in_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        formats.read(tmp_path / name)
    assert main(["words", "nearest", str(tmp_path / name), "the"]) == 2


def test_a_word_with_a_blank_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds a blank"):
        formats.write(WordVectors(["new york"], np.ones((1, 2), np.float32)), tmp_path / "v.txt")
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="the word 'a' comes twice"):
        WordVectors(["a", "a"], np.ones((2, 2), np.float32))


def test_neighbours_and_analogies_are_those_of_the_definition(vectors: WordVectors) -> None:
    unit = vectors.matrix / np.linalg.norm(vectors.matrix, axis=1, keepdims=True)
    cosines = unit @ unit[3]
    expected = [WORDS[row] for row in np.argsort(-cosines) if row != 3]
    assert [word for word, _ in vectors.nearest("Paris", 3)] == expected[:3]
    assert len(vectors.nearest("paris", 100)) == len(WORDS) - 1
    assert vectors.cosine("paris", "cat") == pytest.approx(float(cosines[7]))
    scores = unit @ (unit[4] - unit[3] + unit[5])
    scores[[3, 4, 5]] = -np.inf
    assert vectors.analogy("paris", "france", "rome")[0][0] == WORDS[int(scores.argmax())] == "italy"
    with pytest.raises(UsageError, match="the word 'dog' has no vector among the 8"):
        vectors.nearest("dog")


def test_agreement_counts_what_has_vectors(vectors: WordVectors, tmp_path: Path) -> None:
    pairs = [("paris", "rome", 9.0), ("paris", "cat", 1.0), ("france", "italy", 8.0), ("the", "dog", 3.0)]
    rows = [{"set": "mine", "word1": a, "word2": b, "score": score} for a, b, score in pairs]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    (found,) = similarities(vectors, str(tmp_path / "pairs.parquet"))
    expected = stats.spearmanr([vectors.cosine(a, b) for a, b, _ in pairs[:3]], [score for *_, score in pairs[:3]])
    assert found.score == pytest.approx(expected.statistic)
    assert (found.name, found.used, found.of) == ("mine", 3, 4)
    asked = [("paris", "france", "rome", "italy"), ("paris", "france", "rome", "cat"), ("paris", "france", "x", "y")]
    rows = [dict(zip(("section", *"abcd"), ("s", *question), strict=True)) for question in asked]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "analogies.parquet")
    section, whole = analogies(vectors, str(tmp_path / "analogies.parquet"))
    assert (section.score, section.used, section.of) == (whole.score, whole.used, whole.of) == (0.5, 2, 3)
    with pytest.raises(UsageError, match="expected parquet with the columns set, word1"):
        similarities(vectors, str(tmp_path / "analogies.parquet"))
    with pytest.raises(UsageError, match="give --source FILE or set LM_LAB_DATA"):
        similarities(vectors)


def test_the_command_asks_and_converts(
    vectors: WordVectors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(formats.write(vectors, tmp_path / "v.txt"))
    assert main(["words", "convert", path, "--out", "v.bin"]) == 0
    assert formats.read("v.bin").words == WORDS
    capsys.readouterr()
    assert main(["words", "analogy", "v.bin", "paris", "france", "rome", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["word"] == "italy"
    assert main(["words", "analogy", "v.bin", "paris"]) == 2
    assert "expected three words" in capsys.readouterr().err
    assert main(["words", "nearest", path, "cat", "--count", "2", "--out", "near.csv"]) == 0
    assert len(Path("near.csv").read_text().splitlines()) == 3


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Vectors of the microworld's words."""
    words = [word for word in microworld.vocabulary() if not word.startswith("[")]
    matrix = np.random.default_rng(1).normal(size=(len(words), 16)).astype(np.float32)
    return str(formats.write(WordVectors(words, matrix), tmp_path / "vectors.bin"))


@pytest.mark.parametrize("strategy", [FullFineTuning(), LinearProbe()])
def test_as_a_backbone_they_train_save_and_load(source: str, strategy: FullFineTuning | LinearProbe) -> None:
    data = GLUE("sst2", source="microworld", train_limit=64, validation_limit=32, batch_size=16)
    module = adaptation_of(StaticVectors(source), strategy, data.task, learning_rate=1e-2)
    before = module.model.backbone.token_embeddings.clone()
    L.Trainer(max_epochs=1, accelerator="cpu", **QUIET).fit(module, bind(module.model, data))
    module.model.save("delta")
    again = load_adaptation("delta")
    assert again.predict(["it was fine ."]) == module.model.eval().predict(["it was fine ."])
    moved = not torch.equal(before, again.backbone.token_embeddings)
    assert moved is isinstance(strategy, FullFineTuning)


def test_texts_are_words_and_unknown_ones_their_mean(source: str, tmp_path: Path) -> None:
    backbone = StaticVectors(source)
    known = formats.read(source)
    batch = backbone.tokenizer(["It was, zyzzy"], return_tensors="pt")
    tokens = backbone.tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
    assert tokens[:2] == ["it", "was"]
    assert tokens[-1] == "[UNK]"
    (states,) = backbone(**batch)
    assert torch.allclose(states[0, -1], torch.from_numpy(known.matrix).mean(0), atol=1e-5)
    assert torch.equal(states[0, 1], torch.from_numpy(known.matrix[known.index["was"]]))
    backbone.write(tmp_path)
    assert np.array_equal(formats.read(tmp_path / "vectors.bin").matrix, known.matrix)
    assert StaticVectors(str(tmp_path / "vectors.bin")).fingerprint == backbone.fingerprint
    with pytest.raises(UsageError, match="StaticVectors"):
        adaptation_of(StaticVectors(source), LoRA(), GLUE("sst2").task)
