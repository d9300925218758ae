import json
import pickle
import time

import pytest
import torch
from tiny_models import FAMILIES

from lm_lab import hub
from lm_lab.backbones import Backbone
from lm_lab.backbones.pooling import POOLINGS, combine, pool
from lm_lab.errors import UsageError


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_of_every_layer(make, family):
    backbone = make(family).eval()
    ids = torch.randint(5, 50, (3, 7))
    states = backbone(input_ids=ids, attention_mask=torch.ones_like(ids))
    assert len(states) == backbone.num_layers + 1 == (5 if family in ("t5", "bart") else 3)
    assert all(state.shape == (3, 7, backbone.hidden_size) for state in states)
    assert torch.equal(states[-1], backbone.last(input_ids=ids, attention_mask=torch.ones_like(ids)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_changes_no_pooled_vector(make, family, pooling):
    backbone = make(family).eval()
    ids = torch.randint(5, 50, (2, 6))
    mask = torch.ones_like(ids)
    padded = torch.nn.functional.pad(ids, (0, 4), value=0)
    padded_mask = torch.nn.functional.pad(mask, (0, 4), value=0)
    short = pool(backbone.last(input_ids=ids, attention_mask=mask), mask, pooling)
    long = pool(backbone.last(input_ids=padded, attention_mask=padded_mask), padded_mask, pooling)
    assert torch.allclose(short, long, atol=1e-5)


def test_pooling_by_hand():
    hidden = torch.tensor([[[1.0], [5.0], [3.0], [9.0]]])
    mask = torch.tensor([[0, 1, 1, 0]])
    assert [pool(hidden, mask, how).item() for how in ("cls", "mean", "max", "last")] == [5.0, 4.0, 5.0, 3.0]


def test_pair_vector_by_hand():
    u, v = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 1.0]])
    assert combine(u, v).tolist() == [[1.0, -2.0, 3.0, 1.0, 2.0, 3.0, 3.0, -2.0]]


@pytest.mark.parametrize("family", FAMILIES)
def test_eager_and_fused_attention_agree_under_padding(make, family):
    ids = torch.randint(5, 50, (2, 9))
    mask = torch.ones_like(ids)
    mask[0, 5:] = 0
    if family in ("deberta-v2", "xlnet"):
        pytest.skip("eager attention alone")
    eager, fused = (make(family, attention=name).eval() for name in ("eager", "sdpa"))
    real = mask.bool()
    found, expected = (model.last(input_ids=ids, attention_mask=mask)[real] for model in (eager, fused))
    assert torch.allclose(found, expected, atol=1e-5)


def test_no_pooler_and_full_precision(make):
    backbone = make("bert")
    assert not any("pooler" in name for name, _ in backbone.named_parameters())
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}


def test_half_precision_weights_load_as_fp32(make, folders, tmp_path):
    make("bert").model.half().save_pretrained(tmp_path / "half")
    make("bert").tokenizer.save_pretrained(tmp_path / "half")
    assert next(Backbone(str(tmp_path / "half")).parameters()).dtype == torch.float32


def test_a_config_gives_random_weights_that_follow_the_seed(folders, make):
    config = str(folders["bert"] / "config.json")
    first, second = (_seeded(config, seed) for seed in (1, 2))
    again = _seeded(config, 1)
    assert not first.pretrained
    assert torch.equal(_weight(first), _weight(again))
    assert not torch.equal(_weight(first), _weight(second))
    assert first.fingerprint == second.fingerprint != make("bert").fingerprint
    assert not make("bert", pretrained=False).pretrained


def test_dropout_override_reaches_every_module(make):
    rates = {m.p for m in make("bert", dropout=0.25).modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.25}


def test_fingerprint_follows_the_weights(make, tmp_path):
    backbone = make("bert")
    with torch.no_grad():
        _weight(backbone).add_(1e-3)
    backbone.model.save_pretrained(tmp_path / "changed")
    backbone.tokenizer.save_pretrained(tmp_path / "changed")
    assert Backbone(str(tmp_path / "changed")).fingerprint != make("bert").fingerprint


def test_pickled_code_never_runs(make, folders, tmp_path):
    folder, witness = tmp_path / "evil", tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (open, (str(witness), "w"))

    make("bert").tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text((folders["bert"] / "config.json").read_text())
    torch.save({"embeddings.word_embeddings.weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises((UsageError, pickle.UnpicklingError)):
        Backbone(str(folder))
    assert not witness.exists()


def test_weights_that_lack_tensors_are_refused(folders, tmp_path, make):
    folder = tmp_path / "short"
    make("bert").model.save_pretrained(folder)
    make("bert").tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(UsageError, match=r"lack \d+ tensors that BertModel needs, such as encoder\.layer\.2"):
        Backbone(str(folder))


def test_an_unknown_family_is_named(tmp_path, folders):
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "funnel"}))
    with pytest.raises(UsageError, match=r"'funnel' has no row .* families with one: albert, bart"):
        Backbone(str(folder))


def test_a_missing_path_says_what_to_give():
    with pytest.raises(UsageError, match=r"'\./nowhere' does not exist .*config\.json and model\.safetensors"):
        Backbone("./nowhere")


def test_offline_says_what_to_set():
    with pytest.raises(UsageError, match=r"'someone/model' is no local folder, and HF_HUB_OFFLINE .* LM_LAB_WEIGHTS"):
        Backbone("someone/model")


def test_a_hub_that_does_not_answer_fails_in_seconds(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(UsageError, match=r"hub did not answer .*LM_LAB_DATA.*HF_HUB_OFFLINE=1"):
        Backbone("someone/model")
    assert time.monotonic() - started < hub.REACH_SECONDS + 10  # a hang, not a speed, is what this guards against


def test_a_mirror_serves_hub_ids(folders, monkeypatch):
    monkeypatch.setenv("LM_LAB_WEIGHTS", str(folders["bert"].parent))
    assert Backbone("someone/bert").config.model_type == "bert"


def _seeded(config: str, seed: int) -> Backbone:
    torch.manual_seed(seed)
    return Backbone(config)


def _weight(backbone: Backbone) -> torch.Tensor:
    return backbone.model.encoder.layer[0].output.dense.weight
