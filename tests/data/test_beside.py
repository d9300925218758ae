"""What a backbone reads of a token beside its id: computed of its text, or come with the data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from lm_lab import GLUE, Adaptation, AdaptedModel, Backbone, TransformersBackbone, bind
from lm_lab.data.corpora.corpus import Corpus
from lm_lab.data.encoding.encoding import Encoding, Pairs
from lm_lab.data.modules.choices import MultipleChoice
from lm_lab.data.modules.own import OwnTexts
from lm_lab.data.modules.sequences import Sequences
from lm_lab.data.modules.squad import SQuAD
from lm_lab.data.modules.tags import TokenClassification
from lm_lab.doctor.examine import examine
from lm_lab.errors import UsageError
from lm_lab.objectives import MaskedLM
from lm_lab.strategies import FullFineTuning, LinearProbe
from lm_lab.tasks import glue_task
from lm_lab.tokens import WordColumn
from lm_lab.training.pretraining import Pretraining

Make = Callable[..., Backbone]
QUIET: dict[str, Any] = {
    "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False, "num_sanity_val_steps": 0,
}  # fmt: skip
SMALL: dict[str, Any] = {"source": "microworld", "train_limit": 32, "validation_limit": 16}
PARENTS = WordColumn("parents", points=True)


@dataclass(frozen=True)
class Characters:
    """The first `longest` characters of a token as numbers, 0 for none."""

    name: str = "characters"
    padding: int = 0
    longest: int = 8

    def values(self, tokens: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(tokens), self.longest), np.int64)
        for row, token in enumerate(tokens):
            codes = [1 + ord(character) % 127 for character in token[: self.longest]]
            found[row, : len(codes)] = codes
        return found


@dataclass(frozen=True)
class Glyphs:
    """A picture of 2 by 3 pixels a token."""

    name: str = "pixels"
    padding: float = 0.5

    def values(self, tokens: Sequence[str]) -> np.ndarray:
        return np.array([np.full((2, 3), len(token)) for token in tokens], np.float32)


class CharacterBackbone(TransformersBackbone):
    """Token embeddings of a BERT are replaced by the mean of the characters': ids never matter."""

    asks = (Characters(),)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.characters = nn.Embedding(128, self.hidden_size, padding_idx=0)

    def forward(self, **encoding: Tensor) -> tuple[Tensor, ...]:
        return super().forward(**self._embedded(**encoding))

    def last(self, **encoding: Tensor) -> Tensor:
        return super().last(**self._embedded(**encoding))

    def _embedded(self, input_ids: Tensor, characters: Tensor, **rest: Tensor) -> dict[str, Tensor]:
        real = (characters > 0).unsqueeze(-1)  # (b, t, c, 1)
        mean = (self.characters(characters) * real).sum(2) / real.sum(2).clamp(min=1)
        return rest | {"inputs_embeds": mean}


def character_backbone(folders: dict[str, Path]) -> CharacterBackbone:
    return CharacterBackbone(str(folders["bert"]), dropout=0.0)


def asking(make: Make, *asks: Any, pairs: Pairs = "cross_encoder", length: int = 64) -> Encoding:
    return Encoding(make("bert").tokenizer, pairs, length, asks=asks)


def encoded(data: Any, encoding: Encoding, split: str = "validation") -> Any:
    data.bind(encoding)
    data.encode((split,))
    return data.encoded[split]


def words_of(encoding: Encoding, ids: Tensor) -> list[str]:
    return [token.removeprefix("##") for token in encoding.tokenizer.convert_ids_to_tokens(ids.tolist())]


def require_characters(encoding: Encoding, text: dict[str, Tensor]) -> None:
    """The microworld's words are tokens, and their text is what they are called."""
    asked = Characters()
    assert text["characters"].shape == (*text["input_ids"].shape, 8)
    for ids, mask, found in zip(text["input_ids"], text["attention_mask"], text["characters"], strict=True):
        real = mask.bool()
        assert found[real].tolist() == asked.values(words_of(encoding, ids[real])).tolist()
        assert not found[~real].any()


@pytest.mark.parametrize("length", [64, 9])  # 9: pairs are truncated
@pytest.mark.parametrize("pairs", ["cross_encoder", "bi_encoder", "both_orders"])
@pytest.mark.filterwarnings("ignore:.*longer than.*")
def test_characters_are_those_of_each_token_of_pairs(make: Make, pairs: Pairs, length: int) -> None:
    data = GLUE("mrpc", max_length=length, **SMALL)
    encoding = asking(make, Characters(), pairs=pairs, length=length)
    batch = encoded(data, encoding).collate([3, 0, 7])
    assert len(batch["texts"]) == (1 if pairs == "cross_encoder" else 2)
    for text in batch["texts"]:
        require_characters(encoding, text)


@pytest.mark.filterwarnings("ignore:.*(longer than|truncated|no token).*")
@pytest.mark.parametrize("train", [False, True])
def test_characters_are_those_of_each_token_of_every_form(make: Make, train: bool) -> None:
    split = "train" if train else "validation"
    forms: list[tuple[Any, int]] = [
        (TokenClassification("tags", max_length=6, **SMALL), 6),
        (MultipleChoice("choice", max_length=12, **SMALL), 12),
        (SQuAD(max_length=24, overlap=4, **SMALL), 24),
    ]
    for data, length in forms:
        encoding = asking(make, Characters(), length=length)
        batch = encoded(data, encoding, split).collate([2, 0, 5])
        require_characters(encoding, batch["texts"][0])


def test_pictures_are_padded_with_their_own_value(make: Make) -> None:
    encoding = asking(make, Glyphs())
    batch = encoded(GLUE("sst2", **SMALL), encoding).collate(list(range(8)))["texts"][0]
    real = batch["attention_mask"].bool()
    assert batch["pixels"].shape == (*real.shape, 2, 3)
    assert (batch["pixels"][~real] == 0.5).all()
    assert (~real).any()
    lengths = [len(word) for word in words_of(encoding, batch["input_ids"][0][real[0]])]
    assert batch["pixels"][0][real[0]][:, 1, 2].tolist() == lengths


def test_what_the_text_says_counts_and_not_what_the_vocabulary_knows(make: Make) -> None:
    model = AdaptedModel(make("bert"), LinearProbe(), glue_task("sst2"))
    model.backbone.asks = (Characters(),)
    text = model.batch(["it was Quxish"])["texts"][0]
    assert model.backbone.tokenizer.unk_token_id in text["input_ids"][0].tolist()
    assert Characters().values(["Quxish"])[0].tolist() in text["characters"][0].tolist()


def test_a_backbone_of_characters_trains_and_answers(folders: dict[str, Path]) -> None:
    data = GLUE("sst2", source="microworld", train_limit=64, validation_limit=16, batch_size=16)
    model = AdaptedModel(character_backbone(folders), FullFineTuning(), data.task, pooling="mean")
    L.Trainer(max_epochs=40, **QUIET).fit(Adaptation(model, learning_rate=5e-3), bind(model, data))
    rows = data.rows("train")
    texts = rows.texts[0]
    answers = [answer["prediction"] for answer in model.predict(texts)]
    assert np.mean([data.task.labels.index(answer) for answer in answers] == rows.labels) > 0.85
    model.eval()
    with torch.no_grad():
        both, alone = model(model.batch(texts)), model(model.batch(texts[:1]))
    assert torch.allclose(both[:1], alone, atol=1e-5)  # padding changes nothing
    loss = model.train().loss(model.batch(texts[:2], [1, 0]))
    loss.backward()
    assert model.backbone.characters.weight.grad.abs().sum() > 0


def test_who_does_not_ask_sees_nothing(make: Make) -> None:
    write(Path("train.parquet"), [{"sentence": "a b c", "label": "x", "parents": [-1, 0, 0]}])
    data = OwnTexts(source="train.parquet", labels=["x", "y"], word_columns=["parents"])
    text = encoded(data, asking(make), "train and validation").collate([0])["texts"][0]
    assert set(text) == {"input_ids", "attention_mask", "token_type_ids"}


# --- numbers of words


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


TEXT, TREE = "the beast was good .", [1, 2, -1, 2, 2]


def own(word_columns: Sequence[str] = ("parents",), **row: Any) -> OwnTexts:
    rows = [{"sentence": TEXT, "label": "x", "parents": TREE} | row, {"sentence": "it", "label": "y", "parents": [-1]}]
    write(Path("train.parquet"), rows)
    return OwnTexts(source="train.parquet", labels=["x", "y"], word_columns=list(word_columns), max_length=7)


WHOLE = "train and validation"


def test_a_tree_is_aligned_with_its_tokens(make: Make) -> None:
    text = encoded(own(), asking(make, PARENTS, length=7), WHOLE).collate([0, 1])["texts"][0]
    assert text["parents"].tolist() == [[-1, 2, 3, -1, 3, 3, -1], [-1] * 7]  # [CLS] stands in front
    plain = encoded(own(), asking(make, WordColumn("parents", padding=-7), length=7), WHOLE).collate([0, 1])["texts"][0]
    assert plain["parents"].tolist() == [[-7, 1, 2, -1, 2, 2, -7], [-7, -1] + [-7] * 5]


@pytest.mark.filterwarnings("ignore:.*longer than.*")
@pytest.mark.parametrize(
    ("side", "expected"), [("right", [-1, 2, -1, -1]), ("left", [-1, -1, -1, -1])]
)  # of "the beast", whose head is cut off; of "good .", both of whose heads are
def test_a_tree_is_aligned_after_truncation(make: Make, side: Any, expected: list[int]) -> None:
    data = own()
    data.max_length, data.truncation = 4, side
    text = encoded(data, asking(make, PARENTS, length=64), WHOLE).collate([0])["texts"][0]
    assert text["parents"].tolist() == [expected]
    plain = encoded(data, asking(make, WordColumn("parents"), length=64), WHOLE).collate([0])["texts"][0]
    assert plain["parents"].tolist() == [[-1, 1, 2, -1] if side == "right" else [-1, 2, 2, -1]]


def test_pieces_of_a_word_hang_on_its_first() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2, "c": 3, "[PAD]": 4}, unk_token="[UNK]"))
    pieces.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, unk_token="[UNK]", pad_token="[PAD]")
    encoding = Encoding(tokenizer, "cross_encoder", 64, asks=(PARENTS, Characters()))
    data = own(sentence=" abb  c ab", parents=[2, 0, -1])
    text = encoded(data, encoding, WHOLE).collate([0])["texts"][0]
    assert text["input_ids"].tolist() == [[1, 2, 2, 3, 1, 2]]
    assert text["parents"].tolist() == [[4, 0, 0, 0, -1, 4]]
    assert text["characters"].tolist()[0] == Characters().values(["a", "b", "b", "c", "a", "b"]).tolist()


@pytest.mark.parametrize("pairs", ["cross_encoder", "bi_encoder", "both_orders"])
def test_each_text_of_a_pair_has_its_own(make: Make, pairs: Pairs) -> None:
    row = {
        "sentence": "the beast",
        "sentence2": "it was good",
        "label": "x",
        "parents1": [1, -1],
        "parents2": [1, -1, 1],
    }
    write(Path("train.parquet"), [row, row | {"label": "y"}])
    columns = {"sentence": "sentence", "sentence2": "sentence2", "label": "label"}
    data = OwnTexts(source="train.parquet", columns=columns, labels=["x", "y"], word_columns=["parents"])
    texts = encoded(data, asking(make, PARENTS, pairs=pairs), WHOLE).collate([0])["texts"]
    expected = {
        "cross_encoder": [[[-1, 2, -1, -1, 5, -1, 5, -1]]],
        "bi_encoder": [[[-1, 2, -1, -1]], [[-1, 2, -1, 2, -1]]],
        "both_orders": [[[-1, 2, -1, -1, 5, -1, 5, -1]], [[-1, 2, -1, 2, -1, 6, -1, -1]]],
    }
    assert [text["parents"].tolist() for text in texts] == expected[pairs]


@pytest.mark.filterwarnings("ignore:.*truncated.*")
def test_tagged_words_have_theirs(make: Make) -> None:
    row = {"tokens": ["the", "beast", "was", "good"], "tags": ["O", "B-x", "O", "O"], "depth": [5, 6, 7, 8]}
    write(Path("mine/validation.parquet"), [row, row | {"tokens": ["it"], "tags": ["O"], "depth": [9]}])
    data = TokenClassification("mine", ".", labels=["O", "B-x", "I-x"], word_columns=["depth"], max_length=5)
    text = encoded(data, asking(make, WordColumn("depth")), "validation").collate([0, 1])["texts"][0]
    assert text["depth"].tolist() == [[-1, 5, 6, 7, -1], [-1, 9, -1, -1, -1]]
    assert data.rows("validation").take(np.array([1])).beside == {"depth": ([[9]],)}


def test_the_order_of_batches_and_limits_keep_them_together(make: Make) -> None:
    rows = [{"sentence": " ".join(["good"] * n), "label": "xy"[n % 2], "depth": [n] * n} for n in (3, 1, 4, 6, 2, 5)]
    write(Path("mine/train.parquet"), rows)
    write(Path("mine/validation.parquet"), rows)
    data = OwnTexts("mine", source=".", labels=["x", "y"], word_columns=["depth"], train_limit=4, batch_size=2)
    data.bind(asking(make, WordColumn("depth")))
    data.setup("fit")
    for batch in [*data.train_dataloader(), *data.val_dataloader()[0]]:
        text = batch["texts"][0]
        for ids, depth in zip(text["input_ids"].tolist(), text["depth"].tolist(), strict=True):
            words = ids.count(ids[1])
            assert depth[1 : words + 1] == [words] * words


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parents": [0]}, r"row 0, column 'parents': 1 numbers, but 5 words"),
        ({"parents": [5, 0, 0, 0, 0]}, r"row 0, column 'parents': 5 is no place from -1 to 4"),
        ({"parents": [-2, 0, 0, 0, 0]}, r"row 0, column 'parents': -2 is no place from -1 to 4"),
        ({"parents": None}, r"row 0, column 'parents': a null"),
    ],
)
def test_what_is_wrong_is_named(make: Make, change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        encoded(own(**change), asking(make, PARENTS), WHOLE)


def test_what_is_missing_is_named(make: Make) -> None:
    with pytest.raises(UsageError, match="the model reads 'parents' of every word"):
        encoded(GLUE("sst2", **SMALL), asking(make, PARENTS))
    with pytest.raises(UsageError, match="the model reads 'parents' of every word"):
        encoded(SQuAD(overlap=4, **SMALL), asking(make, PARENTS))
    with pytest.raises(UsageError, match="has no column 'heads'"):
        encoded(own(["heads"]), asking(make), WHOLE)
    with pytest.raises(UsageError, match="expected a list of whole numbers"):
        encoded(own(["label"]), asking(make), WHOLE)
    with pytest.raises(UsageError, match=r"word_columns=\['parents'\]: SQuAD reads none"):
        SQuAD(word_columns=["parents"], **SMALL)
    with pytest.raises(UsageError, match="characters of each token; texts are written by models that read ids alone"):
        encoded(Sequences("summary", **SMALL), asking(make, Characters()))
    model = Pretraining(make("bert"), MaskedLM)
    model.backbone.asks = (Characters(),)
    with pytest.raises(UsageError, match="characters of each token, and a corpus keeps ids alone"):
        bind(model, Corpus(documents=40, held_out=8))


def test_the_doctor_gives_a_backbone_all_that_it_asks_for(folders: dict[str, Path]) -> None:
    backbone = character_backbone(folders)
    for strategy in (FullFineTuning(), LinearProbe()):
        results = {row.check: row for row in examine(backbone, type(strategy).__name__, strategy)}
        assert [f"{row.check}: {row.detail}" for row in results.values() if not row.ok] == []
        assert results["padding_changes_nothing"].ok


# --- what is kept


def test_stored_tokens_serve_whatever_is_computed_of_them(make: Make, tmp_path: Path) -> None:
    def run(*asks: Any) -> Any:
        return encoded(GLUE("sst2", **SMALL), asking(make, *asks))

    plain, first, second = run(), run(Characters()), run(Characters(longest=3))
    assert first.collate([0])["texts"][0]["characters"].shape[-1] == 8
    assert second.collate([0])["texts"][0]["characters"].shape[-1] == 3
    assert len(list((tmp_path / "cache" / "tokens").iterdir())) == 2  # ids alone, and ids with pieces
    # stored features are of what the backbone read
    assert len({plain.fingerprint, first.fingerprint, second.fingerprint}) == 3
    assert run(Characters()).fingerprint == first.fingerprint
    assert torch.equal(run(Characters()).collate([1])["texts"][0]["characters"],
                       first.collate([1])["texts"][0]["characters"])  # fmt: skip


def test_other_numbers_are_other_data() -> None:
    rows = [own(parents=tree).rows(WHOLE) for tree in (TREE, [1, 2, -1, 2, 3])]
    assert b"".join(rows[0].content()) != b"".join(rows[1].content())


def test_a_delta_keeps_the_columns() -> None:
    assert own().description()["init_args"]["word_columns"] == ["parents"]
    assert "word_columns" not in GLUE("sst2", **SMALL).description()["init_args"]
