"""The character CNN against a plain loop over tokens, widths and places, and in the place of a backbone's table."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lm_lab import backbones
from lm_lab import strategies as s
from lm_lab.backbones import LSTM, CharacterCNN, TransformersBackbone
from lm_lab.backbones.embeddings.character_cnn import CharacterConvolutions, codes
from lm_lab.backbones.sites import MissingSiteError
from lm_lab.data import microworld, tokenizers
from lm_lab.doctor.examine import examine
from lm_lab.errors import UsageError
from lm_lab.interchange.peft_write import export
from lm_lab.models import AdaptedModel
from lm_lab.models.loading import load_adaptation
from lm_lab.objectives import CausalLM, MaskedLM
from lm_lab.scoring.output import likelihood
from lm_lab.tasks import glue_task
from lm_lab.training import pretrained

SMALL = CharacterCNN(filters=(4, 4, 6), size=5, longest=9)


@pytest.fixture
def words(tmp_path: Path) -> str:
    microworld.tokenizer().save_pretrained(tmp_path / "words")
    return str(tmp_path / "words")


def looped(module: CharacterConvolutions, token: Tensor) -> Tensor:
    """The embedding of one token (k,), a filter and a place at a time."""
    embedded = module.table.weight[token]  # (k, size)
    found = []
    for width, layer in enumerate(module.convolutions, 1):
        for weight, bias in zip(layer.weight, layer.bias, strict=True):
            windows = [embedded[at : at + width] for at in range(len(embedded) - width + 1)]
            found.append(max(float((weight.T * window).sum() + bias) for window in windows))
    x = torch.tensor(found).clamp(min=0)
    for highway in module.highways:
        gate = torch.sigmoid(highway.gate.weight @ x + highway.gate.bias)
        x = gate * x + (1 - gate) * (highway.transform.weight @ x + highway.transform.bias).clamp(min=0)
    return module.projection.weight @ x + module.projection.bias


def test_embeddings_are_those_of_a_plain_loop_over_all_places() -> None:
    module = SMALL.build(microworld.tokenizer(), 7)
    ids = torch.tensor([[6, 9, 6], [0, 30, 9]])
    with torch.no_grad():
        expected = torch.stack([looped(module, module.characters[each]) for each in ids.flatten()])
        assert torch.allclose(module(ids).reshape(-1, 7), expected, atol=1e-5)


def test_characters_are_bytes_between_a_begin_and_an_end() -> None:
    tokenizer = tokenizers.train(["naïve naïve incomprehensible incomprehensible"], kind="word")
    table = codes(tokenizer, 9)
    rows = dict(zip(tokenizer.convert_ids_to_tokens(range(len(tokenizer))), table.tolist(), strict=True))
    assert rows["naïve"] == [257, *(byte + 1 for byte in "naïve".encode()), 258, 0]
    assert rows["incomprehensible"] == [257, *(byte + 1 for byte in b"incompr"), 258]
    special = [rows[token] for token in tokenizer.all_special_tokens]
    assert len({row[1] for row in special}) == len(special)
    assert all(row[1] > 258 and row[2:] == [258, *[0] * 6] for row in special)


def test_published_sizes_and_a_highway_that_begins_by_carrying() -> None:
    module = CharacterCNN().build(microworld.tokenizer(), 512)
    assert [layer.out_channels for layer in module.convolutions] == [32, 32, 64, 128, 256, 512, 1024]
    assert module.table.embedding_dim == 16
    assert module.characters.shape[1] == 50
    x = torch.randn(3, 2048)
    highway = module.highways[0]
    torch.nn.init.zeros_(highway.gate.weight)
    expected = 0.8808 * x + 0.1192 * F.relu(highway.transform(x))
    assert torch.allclose(highway(x), expected, atol=1e-3)


def test_what_is_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError, match="expected 1 or more"):
        CharacterCNN(filters=(4, 0))
    with pytest.raises(UsageError, match="wider than longest=3"):
        CharacterCNN(filters=(1, 1, 1, 1), longest=3)


def test_an_lstm_over_characters_is_kept_scored_and_trained(words: str, tmp_path: Path) -> None:
    backbone = LSTM(words, width=8, embeddings=SMALL)
    objective = CausalLM(backbone)
    assert objective.output.weight.requires_grad  # no table to be tied to
    ids = torch.randint(5, 20, (2, 6))
    objective(backbone, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}).total.backward()
    assert all(p.grad is not None for p in [*backbone.parameters(), *objective.parameters()])
    out = pretrained.save(backbone, tmp_path / "out", {"steps": 1}, heads=objective.state_dict())
    again = LSTM(str(out))
    assert again.computed == SMALL
    assert torch.equal(again.last(input_ids=ids), backbone.last(input_ids=ids))
    assert torch.equal(likelihood(again).output.weight, objective.output.weight)
    assert not torch.equal(again.randomised().last(input_ids=ids), backbone.last(input_ids=ids))
    with pytest.raises(MissingSiteError, match="no table of token embeddings"):
        MaskedLM(backbone)


@pytest.mark.parametrize("family", ["bert", "gpt2", "albert"])
def test_a_model_of_transformers_takes_it_and_is_kept_with_it(make, family: str, tmp_path: Path) -> None:
    backbone = make(family, embeddings=SMALL).eval()
    plain = make(family)
    assert backbone.fingerprint != plain.fingerprint
    assert backbone.vocabulary_size == len(backbone.tokenizer)
    with pytest.raises(MissingSiteError, match="computes its embeddings"):
        _ = backbone.token_embeddings
    out = pretrained.save(backbone, tmp_path / "out", {"steps": 1})
    again = TransformersBackbone(str(out)).eval()
    ids = torch.randint(5, 20, (2, 6))
    assert torch.equal(again.last(input_ids=ids), backbone.last(input_ids=ids))
    twin = again.randomised()
    assert twin.computed == SMALL
    assert twin.fingerprint.startswith("random-")
    assert TransformersBackbone.identify(**again.settings) == again.fingerprint
    assert TransformersBackbone.outline({"source": str(out)})[1] is False


def test_a_delta_names_it_and_comes_back(make, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = AdaptedModel(make("bert", embeddings=SMALL), s.FullFineTuning(), glue_task("sst2")).eval()
    model.save(tmp_path / "delta")
    again = load_adaptation(tmp_path / "delta")
    ids = torch.randint(5, 20, (2, 6))
    text = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    assert torch.equal(again({"texts": [text]}), model({"texts": [text]}))
    path = tmp_path / "delta/adaptation.json"
    path.write_text(path.read_text().replace("lm_lab.backbones.CharacterCNN", "os.system"))
    with pytest.raises(UsageError, match=r"names os.system as computed embeddings, outside of lm_lab.backbones"):
        load_adaptation(tmp_path / "delta")


@pytest.mark.parametrize("kind", ["LSTM", "ELMo"])
def test_a_delta_of_another_class_names_it_too(words: str, tmp_path: Path, kind: str) -> None:
    sizes = {"width": 8} | ({"cell": 8} if kind == "ELMo" else {})
    backbone = getattr(backbones, kind)(words, embeddings=SMALL, **sizes)
    model = AdaptedModel(backbone, s.FullFineTuning(), glue_task("sst2")).eval()
    model.save(tmp_path / "delta")
    again = load_adaptation(tmp_path / "delta")
    ids = torch.randint(5, 20, (2, 6))
    text = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    assert torch.equal(again({"texts": [text]}), model({"texts": [text]}))


def test_the_doctor_passes_what_trains_and_what_is_added(make, words: str) -> None:
    for backbone in (make("bert", embeddings=SMALL), LSTM(words, width=16, embeddings=SMALL)):
        for strategy in (s.FullFineTuning(), s.WeightedFeatures(), s.FeatureBased(size=4, hidden=4)):
            results = examine(backbone, type(strategy).__name__, strategy)
            assert [f"{row.check}: {row.detail}" for row in results if not row.ok or row.refused] == []
    results = examine(make("bert", embeddings=SMALL), "LoRA", s.LoRA(rank=2, roles="all"))
    assert [f"{row.check}: {row.detail}" for row in results if not row.ok or row.refused] == []


def test_what_cannot_be_is_refused_by_name(make, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bart cannot have computed embeddings"):
        make("bart", embeddings=SMALL)
    adapted = AdaptedModel(make("bert", embeddings=SMALL), s.LoRA(rank=2), glue_task("sst2"))
    with pytest.raises(UsageError, match="this bert computes its embeddings"):
        export(adapted, tmp_path / "peft")
    out = pretrained.save(LSTM(words, width=8, embeddings=SMALL), tmp_path / "out", {"steps": 1})
    with pytest.raises(UsageError, match="does not fit this LSTM"):
        LSTM(str(out), embeddings=CharacterCNN(filters=(4, 4), size=5))
    (out / "embeddings.json").write_text(json.dumps({"class_path": "os.system", "init_args": {}}))
    with pytest.raises(UsageError, match=r"names 'os.system', of another package"):
        LSTM(str(out))
    (out / "embeddings.json").write_text(json.dumps({"class_path": "lm_lab.backbones.LSTM", "init_args": {}}))
    with pytest.raises(UsageError, match="is damaged"):
        LSTM(str(out))
