"""Pictures of characters against a plain computation, in the place of a backbone's table, kept with its folder."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lm_lab import strategies as s
from lm_lab.backbones import LSTM, Backbone, GlyphCNN, TransformersBackbone
from lm_lab.backbones.embeddings import pictures
from lm_lab.backbones.embeddings.glyph_cnn import GlyphConvolutions
from lm_lab.data import tokenizers
from lm_lab.doctor.examine import examine
from lm_lab.errors import UsageError
from lm_lab.models import AdaptedModel
from lm_lab.models.loading import load_adaptation
from lm_lab.objectives import CausalLM
from lm_lab.tasks import glue_task
from lm_lab.training import pretrained

TEXTS = ["一二三四五六", "六五四三二一a", "二四六一三五!"]
ONE = "0000000000000000000000000000FFFE00000000000000000000000000000000"  # Unifont's


@pytest.fixture
def font(tmp_path: Path) -> str:
    rows = np.random.default_rng(0).integers(0, 16, (9, 64))
    digits = ["".join(f"{digit:X}" for digit in row) for row in rows]
    found = {"一": ONE, **dict(zip("二三四五六", digits, strict=False)), "a": "00" * 8 + "7E" * 8, "!": "18" * 16}
    pictures.write(tmp_path / "font.hex", found)
    return str(tmp_path / "font.hex")


@pytest.fixture
def words(tmp_path: Path) -> str:
    tokenizers.train(TEXTS, min_frequency=1).save_pretrained(tmp_path / "words")
    return str(tmp_path / "words")


def small(words: str, font: str, **settings) -> LSTM:
    return LSTM(words, width=8, embeddings=GlyphCNN(font, filters=64, **settings))


def looped(module: GlyphConvolutions, row: int) -> Tensor:
    """The vector of one picture, an output at a time."""
    picture, strokes = module.drawn[row].float(), module.strokes
    windows = [picture[y : y + 5, x : x + 5] for y in range(12) for x in range(12)]
    filters = zip(strokes.weight, strokes.bias, strict=True)
    found = torch.stack(
        [torch.stack([(weight[0] * window).sum() + bias for window in windows]) for weight, bias in filters]
    )
    convolved = found.reshape(64, 12, 12).clamp(min=0)
    fields = torch.stack(
        [convolved[:, y : y + 6, x : x + 6].amax((1, 2)) for y in (0, 6) for x in (0, 6)], -1
    )  # (c, 4)
    narrow = torch.stack([  # each of 16 from the 8 channels of its group
        (module.fields.weight[out, :, 0, 0] @ fields[out // 2 * 8 : out // 2 * 8 + 8]) + module.fields.bias[out]
        for out in range(16)
    ])  # fmt: skip
    return torch.stack([  # 4 outputs a group, of one channel each
        (module.whole.weight[out, 0].flatten() * narrow[out // 4]).sum() + module.whole.bias[out] for out in range(64)
    ])  # fmt: skip


def test_a_picture_has_the_fonts_pixels(font: str) -> None:
    found = pictures.lines(font, "一a")
    assert found["一"] == ONE
    assert pictures.drawn(ONE).sum(1).tolist() == [0] * 7 + [15] + [0] * 8
    assert pictures.drawn(ONE)[7].tolist() == [1] * 15 + [0]
    narrow = pictures.drawn(found["a"])  # 8 pixels wide, in the middle
    assert narrow[15].tolist() == [0] * 5 + [1] * 6 + [0] * 5
    Path(f"{font}.gz").write_bytes(gzip.compress(Path(font).read_bytes()))
    assert pictures.lines(f"{font}.gz", "一") == {"一": ONE}


def test_vectors_are_those_of_a_plain_loop_over_fields_and_groups(words: str, font: str) -> None:
    backbone = small(words, font)
    module, ids = backbone.embeddings, backbone.tokenizer.convert_tokens_to_ids(["二", "五", "[CLS]"])
    with torch.no_grad():
        vectors = torch.stack([looped(module, row) for row in ids])
        assert torch.allclose(module.glyphs(module.drawn[ids]), vectors, atol=1e-5)
        both = torch.cat([vectors, module.table.weight[ids]], -1)
        assert torch.allclose(module(torch.tensor(ids)), module.projection(both), atol=1e-5)
        alone = small(words, font, ids=False).embeddings
        assert alone.table is None
        assert torch.equal(alone(torch.tensor(ids)), alone.projection(alone.glyphs(alone.drawn[ids])))


def test_pictures_are_standardised_over_those_that_are_there() -> None:
    drawn = np.stack([pictures.drawn(ONE), pictures.drawn("18" * 16), np.zeros((16, 16), np.uint8)])
    found = pictures.standardised(drawn)
    assert np.allclose(found[:2].mean(0), 0)
    assert np.isclose(found[:2].std(), 1)
    assert np.allclose(found[0] - found[1], (drawn[0].astype(float) - drawn[1]) * (found[0] - found[1]).max())
    assert not found[2].any()
    for alike in (drawn[:1], drawn[2:]):  # nothing tells them apart
        assert not pictures.standardised(alike).any()


@pytest.mark.parametrize("filters", [64, 128])
def test_what_distinguishes_characters_is_not_drowned_at_the_start(words: str, font: str, filters: int) -> None:
    module = LSTM(words, width=256, embeddings=GlyphCNN(font, filters=filters, ids=False)).embeddings
    with torch.no_grad():
        glyphs, rows = module.glyphs(module.drawn[5:]), module.rows(torch.arange(5, 13))  # all 8 that have a picture
    assert torch.allclose(glyphs.mean(0), torch.zeros(filters), atol=1e-5)
    varied = glyphs.std(0, correction=0)  # 8 pictures may be alike to a filter
    assert torch.allclose(varied[varied > 1e-4], torch.tensor(0.1), atol=1e-4)
    assert (varied > 1e-4).float().mean() > 0.9
    common, own = rows.mean(0).norm(), (rows - rows.mean(0)).norm(dim=1).mean()
    assert common < 0.01 * own
    table = LSTM(words, width=256).embeddings.weight[5:]
    assert 0.8 < own / table.norm(dim=1).mean() < 1.25


@pytest.mark.parametrize("ids", [True, False])
def test_embeddings_begin_as_wide_as_the_table_that_they_replace(make, words: str, font: str, ids: bool) -> None:
    settings = {"pretrained": False, "tokenizer": words}
    glyphs = make("bert", **settings, embeddings=GlyphCNN(font, filters=64, ids=ids)).embeddings
    table = make("bert", **settings).embeddings.weight[5:]
    with torch.no_grad():
        rows = glyphs(torch.arange(5, 13))
    assert 0.6 < float(rows.std() / table.detach().std()) < 1.6  # 0.02, a third of an LSTM's


def test_gradients_are_those_of_a_convolution_and_a_maximum(words: str, font: str) -> None:
    module = small(words, font).embeddings
    drawn = module.drawn[[5, 6, 7, 12]]
    whole = torch.nn.functional.max_pool2d(module.strokes(drawn.unsqueeze(1)), 6)
    found = module.maxima(drawn)
    assert torch.allclose(found, whole, atol=1e-5)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(0))
    expected = torch.autograd.grad((whole * weights).sum(), list(module.strokes.parameters()))
    for ours, theirs in zip(
        torch.autograd.grad((found * weights).sum(), list(module.strokes.parameters())), expected, strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-4)
    assert module(torch.empty(2, 0, dtype=torch.long)).shape == (2, 0, 8)


def test_special_tokens_have_no_picture_and_others_without_are_counted(words: str, font: str, tmp_path: Path) -> None:
    module = small(words, font).embeddings
    assert module.drawn[:5].sum() == 0
    assert module.drawn[5:].flatten(1).any(1).all()
    pictures.write(tmp_path / "poor.hex", {"一": ONE})
    with pytest.warns(UserWarning, match="7 of 13 tokens have no picture in"):
        small(words, str(tmp_path / "poor.hex"))


@pytest.mark.parametrize("ours", [True, False])
def test_a_folder_keeps_the_pictures_of_its_vocabulary(make, words: str, font: str, ours: bool, tmp_path: Path) -> None:
    glyphs = GlyphCNN(font, filters=64)
    backbone: Backbone = (
        small(words, font) if ours else make("bert", pretrained=False, tokenizer=words, embeddings=glyphs)
    )
    heads = CausalLM(backbone).state_dict() if ours else None
    out = pretrained.save(backbone.eval(), tmp_path / "out", {"steps": 1}, heads=heads)
    Path(font).unlink()
    moved = shutil.move(out, tmp_path / "moved")
    again = LSTM(str(moved)) if ours else TransformersBackbone(str(moved))
    ids = torch.arange(5, 13).unsqueeze(0)
    assert torch.equal(again.eval().last(input_ids=ids), backbone.last(input_ids=ids))
    assert torch.equal(again.randomised().embeddings.drawn, backbone.embeddings.drawn)
    fingerprint = again.fingerprint
    shutil.move(moved, tmp_path / "elsewhere")
    assert type(again)(str(tmp_path / "elsewhere")).fingerprint == fingerprint  # no names of files in it


def test_it_is_adapted_and_its_delta_comes_back(make, words: str, font: str, tmp_path: Path) -> None:
    settings = {"pretrained": False, "tokenizer": words, "embeddings": GlyphCNN(font, filters=64)}
    results = examine(make("bert", **settings), "FullFineTuning", s.FullFineTuning())
    assert [f"{row.check}: {row.detail}" for row in results if not row.ok or row.refused] == []
    model = AdaptedModel(make("bert", **settings), s.FullFineTuning(), glue_task("sst2")).eval()
    model.save(tmp_path / "delta")
    again = load_adaptation(tmp_path / "delta")
    ids = torch.arange(5, 13).unsqueeze(0)
    text = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    assert torch.equal(again({"texts": [text]}), model({"texts": [text]}))


def test_what_is_no_font_is_refused_by_name(words: str, font: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="filters=100: expected a multiple of 64"):
        GlyphCNN(font, filters=100)
    with pytest.raises(UsageError, match="is not there; install Debian's package unifont"):
        small(words, str(tmp_path / "nothing.hex"))
    for text, message in (
        ("STARTFONT 2.1", "has none of the characters"),
        ("4E00:FF", "line 1: expected 32 or 64 digits"),
        (f"4E00:{'G' * 64}", "line 1: expected 32 or 64 digits"),
        ("一", "is no font of GNU Unifont's format"),
    ):
        Path(font).write_text(text)
        with pytest.raises(UsageError, match=message):
            small(words, font)
    Path(f"{font}.gz").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="is no font of GNU Unifont's format"):
        small(words, f"{font}.gz")
