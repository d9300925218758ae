"""The LSTM over all tokens: padding changes nothing, both directions are read, it serves texts and tokens."""

import lightning as L
import pytest
import torch

from lm_lab import GLUE, adaptation_of, bind
from lm_lab.benchmark.features import has_fixed_features
from lm_lab.data.modules.tags import TokenClassification
from lm_lab.heads.readout import LSTMReader
from lm_lab.models import delta
from lm_lab.strategies import LinearProbe

QUIET = {
    "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False,
}  # fmt: skip


@pytest.fixture
def reader():
    torch.manual_seed(0)
    return LSTMReader(8)


def test_padding_changes_nothing(reader):
    states, mask = torch.randn(3, 5, 8), torch.tensor([[1] * 5, [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    for row, length in enumerate((5, 3, 1)):
        alone = states[row : row + 1, :length], mask[row : row + 1, :length]
        torch.testing.assert_close(reader(states, mask)[row], reader(*alone)[0])
        torch.testing.assert_close(reader.states(states, mask)[row, :length], reader.states(*alone)[0])
        assert not reader.states(states, mask)[row, length:].any()


def test_the_text_vector_is_the_last_state_of_each_direction(reader):
    states, mask = torch.randn(1, 4, 8), torch.ones(1, 4, dtype=torch.int64)
    read = reader.states(states, mask)[0]
    torch.testing.assert_close(reader(states, mask)[0], torch.cat([read[-1, :4], read[0, 4:]]))


@pytest.mark.parametrize("kind", ["texts", "tags"])
def test_a_frozen_backbone_with_an_lstm_trains_and_loads_back(make, kind, tmp_path):
    limits = {"source": "microworld", "train_limit": 32, "validation_limit": 16}
    data = GLUE("sst2", **limits) if kind == "texts" else TokenClassification("tags", **limits)
    model = adaptation_of(make(), LinearProbe(), data.task, pooling="lstm", learning_rate=1e-2)
    assert not has_fixed_features(model.model)
    before = {name: value.clone() for name, value in model.model.head.state_dict().items() if "lstm" in name}
    # a probe starts at zero: the first step moves it alone
    L.Trainer(max_epochs=3, **QUIET).fit(model, bind(model.model, data))
    assert all(not torch.equal(value, model.model.head.state_dict()[name]) for name, value in before.items())
    delta.save(model.model, tmp_path)
    fresh = adaptation_of(make(), LinearProbe(), data.task, pooling="lstm").eval()
    delta.load(fresh.model, tmp_path)
    batch = data.encoded["validation"].collate([0, 1, 2])
    with torch.no_grad():
        assert torch.equal(fresh(batch), model.eval()(batch))
