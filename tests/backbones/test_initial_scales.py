"""The spread of fresh weights, by family: what the papers say is what `transformers` draws."""

import math
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lm_lab.backbones import TransformersBackbone

CONFIGS = Path(__file__).parents[2] / "configs" / "backbones"
# of configs/backbones/microworld_*: width 128, 2 heads of 64, 2 blocks, 512 in between
D, D_KV, HEADS, LAYERS, D_FF = 128, 64, 2, 2, 512
NORMAL = 0.02
SCALES = {
    # BERT: 0.02, there cut at two standard deviations, here not
    "microworld_bert": {r".*": NORMAL},
    # GPT-2: what a block adds to the residual is smaller by the root of the number of such sums
    "microworld_gpt2": {r".*\.c_proj\.weight": NORMAL / math.sqrt(2 * LAYERS), r".*": NORMAL},
    "microworld_bart": {r".*": NORMAL},
    # T5: attention is not divided by the root of d_kv, so the queries are
    "microworld_t5": {
        r"shared\.weight": 1.0,
        r".*\.q\.weight": (D * D_KV) ** -0.5,
        r".*\.[kv]\.weight": D**-0.5,
        r".*\.o\.weight": (HEADS * D_KV) ** -0.5,
        r".*\.wi\.weight": D**-0.5,
        r".*\.wo\.weight": D_FF**-0.5,
        r".*\.relative_attention_bias\.weight": D**-0.5,
    },
}


def matrices(name: str) -> dict[str, Tensor]:
    torch.manual_seed(0)
    parameters = TransformersBackbone(str(CONFIGS / name)).model.named_parameters()
    return {name: value.detach() for name, value in parameters if value.dim() == 2}


@pytest.mark.parametrize("name", SCALES)
def test_matrices_spread_as_the_paper_says(name: str) -> None:
    found = matrices(name)
    for parameter, value in found.items():
        expected = next(scale for pattern, scale in SCALES[name].items() if re.fullmatch(pattern, parameter))
        # five standard errors of a standard deviation
        assert float(value.std()) == pytest.approx(expected, rel=5 / math.sqrt(2 * value.numel())), parameter
        assert abs(float(value.mean())) < 5 * expected / math.sqrt(value.numel()), parameter


@pytest.mark.parametrize("name", SCALES)
def test_biases_start_at_0_and_norms_at_1(name: str) -> None:
    for parameter, value in TransformersBackbone(str(CONFIGS / name)).model.named_parameters():
        if value.dim() == 1:
            assert torch.equal(value, torch.full_like(value, 0.0 if parameter.endswith("bias") else 1.0)), parameter


def test_gpt2_scales_as_its_12_layers_would() -> None:
    """0.02 / sqrt(24), the figure of the paper, from the same rule."""
    assert pytest.approx(0.00408, abs=1e-5) == NORMAL / math.sqrt(2 * 12)
