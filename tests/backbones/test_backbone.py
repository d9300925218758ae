import json
import pickle
import time
from typing import get_args

import pytest
import torch
from tiny_models import FAMILIES
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from lm_lab import hub
from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.backbones.architectures import ARCHITECTURES, SIZES
from lm_lab.backbones.pooling import FixedPooling, combine, pool
from lm_lab.data.tokenizers import train
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
@pytest.mark.parametrize("pooling", get_args(FixedPooling))
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
    if family in ("deberta-v2", "xlnet", "longformer", "reformer"):
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
    assert next(TransformersBackbone(str(tmp_path / "half")).parameters()).dtype == torch.float32


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
    assert TransformersBackbone(str(tmp_path / "changed")).fingerprint != make("bert").fingerprint


def test_pickled_code_never_runs(make, folders, tmp_path):
    folder, witness = tmp_path / "evil", tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (open, (str(witness), "w"))

    make("bert").tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text((folders["bert"] / "config.json").read_text())
    torch.save({"embeddings.word_embeddings.weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises((UsageError, pickle.UnpicklingError)):
        TransformersBackbone(str(folder))
    assert not witness.exists()


def test_weights_that_lack_tensors_are_refused(folders, tmp_path, make):
    folder = tmp_path / "short"
    make("bert").model.save_pretrained(folder)
    make("bert").tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(UsageError, match=r"lack \d+ tensors that BertModel needs, such as encoder\.layer\.2"):
        TransformersBackbone(str(folder))


@pytest.mark.parametrize(("family", "reason"), [("funnel", "fewer positions than"), ("fnet", "no attention mask")])
def test_a_family_that_cannot_be_is_refused_by_name(tmp_path, family, reason):
    small = {"num_hidden_layers": 1} if family == "fnet" else {"block_sizes": [1]}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family, **small}))
    with pytest.raises(UsageError, match=f"^{family} cannot be a backbone: .*{reason}"):
        TransformersBackbone(str(tmp_path))


def test_a_missing_path_says_what_to_give():
    for source in ("./nowhere", "configs/backbones/nowhere"):
        with pytest.raises(UsageError, match=rf"'{source}' does not exist .*config\.json and model\.safetensors"):
            TransformersBackbone(source)


def test_offline_says_what_to_set():
    with pytest.raises(UsageError, match=r"'someone/model' is no local folder, and HF_HUB_OFFLINE .* LM_LAB_WEIGHTS"):
        TransformersBackbone("someone/model")


def test_a_hub_that_does_not_answer_fails_in_seconds(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(UsageError, match=r"hub did not answer .*LM_LAB_DATA.*HF_HUB_OFFLINE=1"):
        TransformersBackbone("someone/model")
    assert time.monotonic() - started < hub.REACH_SECONDS + 10  # a hang, not a speed, is what this guards against


def test_a_mirror_serves_hub_ids(folders, monkeypatch):
    monkeypatch.setenv("LM_LAB_WEIGHTS", str(folders["bert"].parent))
    assert TransformersBackbone("someone/bert").config.model_type == "bert"


def _seeded(config: str, seed: int) -> Backbone:
    torch.manual_seed(seed)
    return TransformersBackbone(config)


def _weight(backbone: Backbone) -> torch.Tensor:
    return backbone.model.encoder.layer[0].output.dense.weight


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama", "t5", "bart", "xlnet"])
def test_random_weights_take_vocabulary_and_special_tokens_of_a_given_tokenizer(make, family, tmp_path):
    words = train(["a cat sat on a mat ."] * 3, "wordpiece", 300)
    words.save_pretrained(tmp_path / "words")
    old = make(family, pretrained=False)
    new = make(family, pretrained=False, tokenizer=str(tmp_path / "words"))
    sentinels = 100 if family == "t5" else 0
    assert len(new.embeddings.get_parameter("weight")) == len(words) + sentinels == new.config.vocab_size
    assert old.config.vocab_size != new.config.vocab_size
    assert new.config.pad_token_id in (0, None)
    if family == "bart":
        assert new.config.decoder_start_token_id == words.sep_token_id
    ids = words(["a cat", "a cat sat on a mat"], padding=True, return_tensors="pt")
    inputs = {name: ids[name] for name in ("input_ids", "attention_mask")}
    assert new.last(**inputs).shape[:2] == ids["input_ids"].shape


def test_pretrained_weights_keep_their_vocabulary(make, tmp_path):
    train(["a cat sat"] * 3).save_pretrained(tmp_path / "words")
    assert make().config.vocab_size == make(tokenizer=str(tmp_path / "words")).config.vocab_size


@pytest.mark.parametrize("family", ARCHITECTURES)
@pytest.mark.parametrize("size", SIZES)
def test_an_architecture_has_the_layers_and_width_of_its_size(family, size, tmp_path):
    train(["a cat sat on a mat ."] * 3).save_pretrained(tmp_path / "words")
    backbone = TransformersBackbone(f"new:{family}-{size}", tokenizer=str(tmp_path / "words"))
    parts = 2 if backbone.config.is_encoder_decoder else 1
    assert not backbone.pretrained
    width = SIZES[size].width * backbone.family.streams
    assert (backbone.num_layers, backbone.hidden_size) == (SIZES[size].layers * parts, width)
    ids = torch.randint(5, len(backbone.tokenizer), (2, 7))
    assert backbone.last(input_ids=ids, attention_mask=torch.ones_like(ids)).shape == (2, 7, width)
    assert backbone.max_length >= 512


def test_bert_tiny_has_its_published_size(tmp_path):
    """4.4 million parameters with 30,522 tokens (Turc et al. 2019), of which the pooler's 16,512 are left out here."""
    words = {"[PAD]": 0, "[UNK]": 1} | {f"w{i}": i for i in range(2, 30_522)}
    core = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(tmp_path / "w")
    backbone = TransformersBackbone("new:bert-tiny", tokenizer=str(tmp_path / "w"))
    assert sum(p.numel() for p in backbone.parameters()) == 4_385_920 - 16_512


@pytest.mark.parametrize("source", ["new:bert", "new:bert-huge", "new:gpt5-mini"])
def test_an_architecture_that_is_none_is_refused(source):
    with pytest.raises(UsageError, match=f"'{source}': expected new:FAMILY-SIZE with one of bert, roberta"):
        TransformersBackbone(source)


def test_an_architecture_needs_a_tokenizer():
    with pytest.raises(UsageError, match=r"architecture alone; give a tokenizer beside it \(backbone\.tokenizer\)"):
        _ = TransformersBackbone("new:bert-tiny").tokenizer


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tokenizer_may_mark_segments_that_the_model_does_not_embed(make, family):
    backbone = make(family).eval()
    pairs = backbone.tokenizer(
        ["the cat sleeps", "a dog"], ["the dog sleeps", "a cat"], return_tensors="pt", padding=True
    )
    assert "token_type_ids" in pairs
    states = backbone.last(**pairs)
    assert states.shape == (*pairs["input_ids"].shape, backbone.hidden_size)
    marks = not torch.equal(states, backbone.last(**pairs | {"token_type_ids": torch.zeros_like(pairs["input_ids"])}))
    assert marks == (family in ("bert", "electra", "albert", "gpt2", "xlnet"))


@pytest.mark.parametrize(("family", "field"), [("bert", "num_hidden_layers"), ("t5", "num_decoder_layers")])
def test_a_depth_that_cannot_be_is_refused_before_it_is_built(folders, tmp_path, family, field):
    config = json.loads((folders[family] / "config.json").read_text()) | {field: 10**9}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=f"has {field}=1000000000; expected 10,000 at most"):
        TransformersBackbone(str(tmp_path), tokenizer=str(folders[family]))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.json", {"hidden_size": "wide"}),
        ("config.json", {"hidden_act": "none such"}),
        ("config.json", {"num_attention_heads": 0}),
        ("tokenizer.json", {"added_tokens": [{"id": -1}]}),
        ("tokenizer.json", {"model": {"type": "WordLevel", "vocab": {"a": -124}}}),
    ],
)
def test_files_that_transformers_cannot_read_are_one_line(folders, tmp_path, name, change):
    for path in folders["bert"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / name
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UsageError, match=f"cannot load the backbone '{tmp_path}'"):
        TransformersBackbone(str(tmp_path)).tokenizer  # noqa: B018
