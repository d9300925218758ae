"""`lm-lab ledger`: figures known from the literature or by hand, without weights."""

import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, LlamaConfig

from lm_lab.cli import main
from lm_lab.models.flops import inference_flops
from lm_lab.models.ledger import full_ledger
from lm_lab.strategies import FullFineTuning, LoRA, PrefixTuning, PTuningV2, RandomMask
from lm_lab.tasks import glue_task

KEYS = {
    "backbone_trained", "added", "head", "trained", "total", "delta_bytes", "serve_bytes", "inference_flops_ratio",
    "merged_flops_ratio",
}  # fmt: skip
BERT = 109_482_240 - 590_592  # without the pooler


@pytest.fixture
def bert_base(tmp_path) -> str:
    BertConfig().to_json_file(tmp_path / "bert.json")
    return str(tmp_path / "bert.json")


def test_lora_on_bert_base(bert_base, capsys):
    assert main(["ledger", "--backbone", bert_base, "--strategy", "LoRA", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert set(counts) == KEYS
    assert counts["backbone_trained"] == 0
    assert counts["added"] == 294_912
    assert counts["head"] == 1_538
    assert counts["trained"] == 296_450
    assert counts["total"] == BERT + 296_450
    assert counts["delta_bytes"] == 4 * 296_450
    assert counts["serve_bytes"] == 4 * (BERT + 10 * 296_450)
    # two products of r (d + d) a site and token, against 12 d^2 a layer, and attention's own 2 t d twice
    d, t, r = 768, 128, 8
    assert counts["inference_flops_ratio"] == pytest.approx(1 + 2 * 2 * r * d / (12 * d * d + 2 * t * d))
    assert counts["merged_flops_ratio"] == 1.0


def test_serving_full_fine_tuning_takes_whole_models(bert_base):
    counts = full_ledger(bert_base, FullFineTuning(), glue_task("mnli"), serve=3, length=8)
    assert counts["backbone_trained"] == BERT
    assert counts["serve_bytes"] == 3 * 4 * (BERT + 3 * 768 + 3)


def test_the_mlp_of_prefix_tuning_is_trained_and_not_stored(bert_base):
    through_mlp, plain = (
        full_ledger(bert_base, strategy, glue_task("sst2"), 10, 128)
        for strategy in (PrefixTuning(length=30), PTuningV2(length=30))
    )
    assert through_mlp["added"] == 9_872_384
    assert plain["added"] == 552_960
    assert through_mlp["delta_bytes"] == plain["delta_bytes"] == 4 * (552_960 + 1_538)


def test_a_model_that_fits_no_memory_is_counted(tmp_path):
    LlamaConfig(hidden_size=8192, num_hidden_layers=80, intermediate_size=28672, num_attention_heads=64).to_json_file(
        tmp_path / "llama.json"
    )
    counts = full_ledger(str(tmp_path / "llama.json"), RandomMask(like=LoRA(rank=4)), glue_task("rte"), 10, 16)
    assert counts["total"] > 70e9
    assert counts["added"] == 80 * 2 * 4 * (8192 + 8192)


def test_operations_counted_without_weights_are_those_of_a_real_pass(make, folders):
    from torch.utils.flop_counter import FlopCounterMode

    from lm_lab.backbones import TransformersBackbone

    ids = torch.zeros(1, 7, dtype=torch.long)
    for family in folders:
        real = make(family).eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            real.last(input_ids=ids, attention_mask=torch.ones_like(ids))
        with torch.device("meta" if real.family.static else "cpu"):
            shapes = TransformersBackbone(str(folders[family]), pretrained=False)
        assert inference_flops(shapes, 7) == counter.get_total_flops() > 0, family


@pytest.mark.parametrize("family", ["longformer", "reformer"])
def test_families_whose_operations_follow_values_are_counted_too(folders, family):
    counts = full_ledger(str(folders[family]), LoRA(rank=2), glue_task("rte"), 1, 100)
    assert counts["inference_flops_ratio"] > counts["merged_flops_ratio"] == 1


def test_words_for_people_and_mistakes(bert_base, capsys):
    assert main(["ledger", "--backbone", bert_base, "--strategy", "BitFit", "--serve", "5"]) == 0
    assert "bytes to serve 5 tasks" in capsys.readouterr().out
    assert main(["ledger", "--backbone", bert_base, "--strategy", "BitFit", "--serve", "0"]) == 2
    assert "--serve 0" in capsys.readouterr().err
    assert main(["ledger", "--backbone", "./nowhere.json", "--strategy", "BitFit"]) == 2
    assert "does not exist on this disk" in capsys.readouterr().err
    assert main(["ledger", "--backbone", bert_base, "--strategy", "BitFit", "--task", "glu"]) == 2
    assert "glu" in capsys.readouterr().err


def test_the_examples_of_the_page_count_what_the_model_has_room_for(capsys):
    backbone = str(Path(__file__).parents[2] / "configs/backbones/microworld_bert")
    assert main(["ledger", "--backbone", backbone, "--strategy", "LoRA", "--strategy.rank", "16"]) == 0
    prefix = ["--strategy", "PrefixTuning", "--task", "mnli", "--serve", "100", "--json"]
    assert main(["ledger", "--backbone", backbone, *prefix]) == 0
    assert main(["ledger", "--backbone", backbone, "--strategy", "LoRA", "--length", "65"]) == 2
    assert "--length 65: this model has room for 64 tokens" in capsys.readouterr().err
