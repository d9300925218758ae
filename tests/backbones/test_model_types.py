"""Which model types of `transformers` are backbones, by the doctor on a tiny model of each; which are not, and why."""

import re
from pathlib import Path

import pytest
import torch
from model_types import SETTINGS, config_of

from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.data import microworld
from lm_lab.doctor.examine import examine
from lm_lab.doctor.examples import EXAMPLES
from lm_lab.errors import UsageError

STRATEGIES = ("FullFineTuning", "LinearProbe", "LoRA", "BitFit")
DOCS = Path(__file__).parents[2] / "docs"
# no strategy can do with these
NO_BACKBONE = {
    "fnet": "takes no attention mask",
    "funnel": "fewer positions",
    "canine": "fewer positions",
    "convbert": "convolutions reach it",
    "nystromformer": "landmarks",
    "mra": "CUDA kernel",
    "yoso": "CUDA kernel",
    "ibert": "running ranges",
    "xmod": "for each language",
    "fsmt": "scores of tokens",
    "recurrent_gemma": "keeps the states of one text",
}
APART = "no block has linear layers for queries, keys and values beside each other"
NO_QUERY = {
    "squeezebert": "encoder.layers.0.attention.query is a Conv1d, no linear layer",
    **dict.fromkeys(("mamba", "mamba2", "falcon_mamba", "rwkv", "deepseek_v2"), APART),
}
NO_BIAS = {
    *("arcee", "apertus", "bitnet", "cohere", "cohere2", "deepseek_v2", "ernie4_5", "eurobert", "exaone4", "gemma"),
    *("gemma2", "gemma3_text", "granite", "granitemoe", "helium", "hunyuan_v1_dense", "lfm2", "longt5", "mistral"),
    *("mixtral", "modernbert-decoder", "mpt", "mt5", "olmo", "olmo2", "olmoe", "phi3", "qwen3", "qwen3_moe", "smollm3"),
    *("switch_transformers", "t5gemma", "umt5"),
}


@pytest.fixture(scope="module")
def tokenizer():
    return microworld.tokenizer()


@pytest.fixture
def of_type(tokenizer, tmp_path):
    """A backbone of random weights, of a model type."""

    def make(kind: str, family=None, **settings: object) -> Backbone:
        tokenizer.save_pretrained(tmp_path)
        config_of(kind, len(tokenizer) + 8, **settings).save_pretrained(tmp_path)
        return TransformersBackbone(str(tmp_path), family=family)

    return make


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_model_type_keeps_the_promises_or_is_refused_by_name(of_type, kind):
    if kind in NO_BACKBONE:
        with pytest.raises(UsageError, match=f"^{kind} cannot be a backbone: .*{NO_BACKBONE[kind]}"):
            of_type(kind)
        return
    backbone = of_type(kind)
    for name in STRATEGIES:
        results = examine(backbone, name, EXAMPLES[name])
        reason = _refusal(name, kind)
        if reason:
            assert results[0].refused, name
            assert re.search(reason, results[0].detail)
        else:
            assert [f"{name}, {r.check}: {r.detail}" for r in results if not r.ok or r.refused] == []


def test_there_are_many():
    assert len(SETTINGS) >= 90
    assert len(NO_BACKBONE | NO_QUERY) < 20


def _refusal(name: str, kind: str) -> str:
    if name == "LoRA" and kind in NO_QUERY:
        return rf"LoRA cannot adapt this {kind}: .*\({kind}\) has no site for the role 'query': {NO_QUERY[kind]}.*A row"
    return f"BitFit has nothing to train in this {kind}" if name == "BitFit" and kind in NO_BIAS else ""


def test_the_documentation_says_which_can():
    page = (DOCS / "doctor.md").read_text().split("<!-- model types -->")[1].split("<!-- end -->")[0]
    for kind in SETTINGS:
        cells = ["–" if kind in NO_BACKBONE or _refusal(name, kind) else "yes" for name in STRATEGIES]
        (row,) = [line for line in page.split("\n") if re.search(rf"`{re.escape(kind)}`.*\| (yes|–) \|", line)]
        assert row.strip("| ").split(" | ")[1:] == cells, kind


# what is no sublayer with a residual role mixes tokens too
MIXES = {"lfm2", "jamba", "xlstm", "mobilebert"}


@pytest.mark.parametrize("kind", [kind for kind in SETTINGS if kind not in NO_BACKBONE.keys() | MIXES])
def test_without_what_the_residual_sites_add_tokens_cannot_mix(of_type, kind):
    backbone = of_type(kind).eval()
    if not backbone.has("attn_residual"):
        pytest.skip("no site at the attention's residual")
    for role in ("attn_residual", "mlp_residual"):
        for match in backbone.sites(role) if backbone.has(role) else []:
            match.module.register_forward_hook(lambda module, args, output: torch.zeros_like(output))
    ids = torch.randint(5, 50, (2, 6))
    states = backbone.last(input_ids=ids, attention_mask=torch.ones_like(ids))
    ids[:, 3] = 7
    changed = backbone.last(input_ids=ids, attention_mask=torch.ones_like(ids))
    own = 4 if backbone.config.is_encoder_decoder else 3  # its decoder reads the text one to the right
    others = [position for position in range(6) if position != own]
    assert torch.allclose(states[:, others], changed[:, others], atol=1e-6)
    assert not torch.allclose(states[:, own], changed[:, own], atol=1e-6)
