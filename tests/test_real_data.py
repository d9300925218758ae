"""On real weights and data, where `LM_LAB_DATA` says they are."""

import lightning as L
import pytest
import torch

from lm_lab import GLUE, TransformersBackbone, adaptation_of, bind
from lm_lab.backbones.pooling import pool
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.data.encoding.texts import encode_texts
from lm_lab.data.reading.sources import read_split
from lm_lab.metrics import spearman
from lm_lab.strategies import LoRA
from lm_lab.tasks import glue_task

MINILM = "sentence-transformers/paraphrase-MiniLM-L3-v2"


@pytest.fixture
def minilm(real_data, monkeypatch):
    from lm_lab import hub

    monkeypatch.setenv("LM_LAB_DATA", real_data)
    if hub.local_weights(MINILM) is None:
        pytest.skip(f"needs the weights of {MINILM} in a folder beside LM_LAB_DATA, or LM_LAB_WEIGHTS")
    return TransformersBackbone(MINILM)


@torch.no_grad()
def test_zero_shot_similarity_is_the_published_one(minilm, real_data):
    """Cosine of mean-pooled vectors on STS-B's test set: Spearman 0.824."""
    rows = read_split(glue_task("stsb"), "test", real_data)
    encoded = encode_texts(rows, Encoding(minilm.tokenizer, "bi_encoder", 128))
    order = encoded.lengths.argsort()
    cosines = torch.empty(len(rows))
    for start in range(0, len(order), 128):
        index = order[start : start + 128].tolist()
        texts = encoded.collate(index)["texts"]
        u, v = (pool(minilm.eval().last(**text), text["attention_mask"], "mean") for text in texts)
        cosines[index] = torch.cosine_similarity(u, v)
    assert spearman(cosines.double().numpy(), rows.labels) == pytest.approx(0.824, abs=0.001)


@pytest.mark.filterwarnings("ignore:.*were truncated")
def test_lora_learns_paraphrase(minilm, real_data):
    """Better than the majority class by far, after 40 steps on real sentences."""
    L.seed_everything(0, verbose=False)
    data = GLUE("qqp", real_data, train_limit=1280, validation_limit=500)
    model = adaptation_of(minilm, LoRA(), data.task, learning_rate=3e-3, pooling="mean", pairs="bi_encoder")
    trainer = L.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, bind(model.model, data))
    labels = torch.from_numpy(data.rows("validation").labels)
    majority = max((labels == k).double().mean().item() for k in (0, 1))
    assert trainer.callback_metrics["validation/accuracy"].item() > majority + 0.05
