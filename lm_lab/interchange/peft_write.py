"""Write a delta as a PEFT adapter of the bare model: LoRA and its kin, IA3, prompts.

`PeftModel.from_pretrained(AutoModel.from_pretrained(source), folder)` gives the states of our backbone; a prompt's
states stay in front there. Several updates of one fused projection become one of higher rank. The head has no place
in PEFT's format, so it stands beside, in head.safetensors, where `lm-lab import` finds it.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from lm_lab.atomic import share
from lm_lab.backbones.transformers_backbone import require_transformers
from lm_lab.errors import UsageError
from lm_lab.interchange.peft_config import CONFIG
from lm_lab.models import AdaptedModel
from lm_lab.strategies import IA3, DoRA, LoRA, PromptTuning
from lm_lab.strategies.dora import Decomposed
from lm_lab.strategies.ia3 import InputScale, OutputScale
from lm_lab.strategies.lora import LowRank

TENSORS, HEAD = "adapter_model.safetensors", "head.safetensors"
_PEFT = "PEFT's format"
Adapter = tuple[dict[str, Any], dict[str, Tensor]]


def export(model: AdaptedModel, folder: str | Path) -> Path:
    """Write the adapter to `folder`.

    Raises:
        UsageError: PEFT has no such method, or its version of it computes something else.
    """
    backbone = require_transformers(model.backbone, _PEFT)
    if backbone.computed:
        raise UsageError(
            f"{_PEFT} names a model that transformers loads, and this {backbone.kind} computes its embeddings."
        )
    source = backbone.settings["source"]
    config, tensors = _adapter(model)
    config |= {"base_model_name_or_path": source, "inference_mode": True, "task_type": "FEATURE_EXTRACTION"}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.detach().contiguous() for name, value in tensors.items()}, folder / TENSORS)
    head = {name: value.detach().contiguous() for name, value in model.head.state_dict().items()}
    save_file(head, folder / HEAD, metadata=reading(model))
    share(folder)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder


def reading(model: AdaptedModel) -> dict[str, str]:
    """What the head was trained to read, without which its weights mean something else."""
    said = {"pooling": model.pooling, "pairs": model.pairs, "delimiter": model.delimiter}
    return {name: value for name, value in said.items() if value is not None}


def _bare(model: AdaptedModel) -> PreTrainedModel:
    return require_transformers(model.backbone, _PEFT).model


def _adapter(model: AdaptedModel) -> Adapter:
    strategy = model.strategy
    if isinstance(strategy, LoRA):
        return _lora(model, strategy)
    if isinstance(strategy, IA3):
        return _ia3(model)
    if isinstance(strategy, PromptTuning) and not model.backbone.encoder_decoder:
        return _prompt(model)
    raise UsageError(
        f"{type(strategy).__name__} on {model.backbone.kind} cannot be exported: PEFT has no such method, "
        "cuts its matrices from those of the largest site (VeRA), moves the text's positions (prefixes) or changes the "
        "decoder alone. LoRA, DoRA, IA3 and the prompts of encoders and decoders can."
    )


def _by_module(model: AdaptedModel, *kinds: type[nn.Module]) -> dict[str, list[Any]]:
    """Module of the model -> its deltas."""
    found: dict[str, list[Any]] = {}
    for name, module in _bare(model).named_modules():
        if isinstance(module, kinds):
            found.setdefault(name.rpartition(".")[0], []).append(module)
    return found


def _lora(model: AdaptedModel, strategy: LoRA) -> Adapter:
    found: dict[str, list[LowRank]] = _by_module(model, LowRank)
    tensors, ranks = {}, {}
    for name, deltas in found.items():
        if isinstance(strategy, DoRA) and (len(deltas) > 1 or deltas[0].part.size != deltas[0].outputs):
            raise UsageError(
                f"DoRA on a part of the fused projection {name} cannot be exported: PEFT's takes it whole."
            )
        ranks[name] = strategy.rank * len(deltas)
        key = f"base_model.model.{name}"
        tensors[f"{key}.lora_A.weight"] = torch.cat([delta.down for delta in deltas])
        tensors[f"{key}.lora_B.weight"] = torch.cat([delta.widen(delta.up.T).T for delta in deltas], dim=1)
        if isinstance(deltas[0], Decomposed):
            tensors[f"{key}.lora_magnitude_vector"] = deltas[0].magnitude
    config = {
        "peft_type": "LORA",
        "r": strategy.rank,
        "lora_alpha": strategy.scale * strategy.rank,
        "lora_dropout": strategy.dropout,
        # scaled by alpha / r, whatever the rank
        "rank_pattern": ranks,
        "alpha_pattern": {name: strategy.scale * rank for name, rank in ranks.items()},
        "use_dora": isinstance(strategy, DoRA),
    }
    return config | _targets(model, list(found)), tensors


def _ia3(model: AdaptedModel) -> Adapter:
    found = _by_module(model, InputScale, OutputScale)
    inner = [name for name, deltas in found.items() if isinstance(deltas[0], InputScale)]
    tensors = {}
    for name, deltas in found.items():
        if name in inner:
            scale = deltas[0].scale[None, :]
        else:
            scale = torch.stack([delta.factors().detach() for delta in deltas]).prod(0)[:, None]
        tensors[f"base_model.model.{name}.ia3_l"] = scale
    return {"peft_type": "IA3", "feedforward_modules": inner} | _targets(model, list(found)), tensors


def _prompt(model: AdaptedModel) -> Adapter:
    vectors: Tensor = _bare(model).get_submodule("prompt").get_parameter("vectors")
    config = {
        "peft_type": "PROMPT_TUNING",
        "num_virtual_tokens": len(vectors),
        "token_dim": vectors.shape[1],
        "num_transformer_submodules": 1,
        "num_attention_heads": _bare(model).config.num_attention_heads,
        "num_layers": model.backbone.num_layers,
    }
    return config, {"prompt_embeddings": vectors}


def _targets(model: AdaptedModel, names: list[str]) -> dict[str, Any]:
    transposed = any(type(_bare(model).get_submodule(name)).__name__ == "Conv1D" for name in names)
    return {"target_modules": names, "fan_in_fan_out": transposed}
