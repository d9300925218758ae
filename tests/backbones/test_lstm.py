"""The LSTM backbone against torch's own, no token sees a later one, and it is trained, kept, scored and adapted."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from lm_lab import strategies as s
from lm_lab.backbones import LSTM
from lm_lab.cli import main
from lm_lab.data import microworld
from lm_lab.doctor.examine import examine
from lm_lab.errors import UsageError
from lm_lab.objectives import CausalLM
from lm_lab.scoring.output import likelihood


@pytest.fixture
def words(tmp_path: Path) -> str:
    microworld.tokenizer().save_pretrained(tmp_path / "words")
    return str(tmp_path / "words")


def test_states_are_those_of_torchs_layers_over_packed_texts(words: str) -> None:
    backbone = LSTM(words, width=12, layers=3).eval()
    peer = nn.LSTM(12, 12, num_layers=3, batch_first=True)
    with torch.no_grad():
        for own, other in zip(
            (p for layer in backbone.layers for p in layer.parameters()), peer.parameters(), strict=True
        ):
            other.copy_(own)
    ids, lengths = torch.randint(5, 20, (3, 7)), torch.tensor([7, 4, 2])
    mask = torch.arange(7) < lengths.unsqueeze(1)
    states = backbone(input_ids=ids * mask, attention_mask=mask.long())
    assert len(states) == 4
    packed = nn.utils.rnn.pack_padded_sequence(backbone.embeddings(ids), lengths, batch_first=True)
    expected, _ = nn.utils.rnn.pad_packed_sequence(peer(packed)[0], batch_first=True)
    assert torch.allclose(states[-1][mask], expected[mask], atol=1e-6)


def test_no_token_sees_a_later_one(words: str) -> None:
    backbone = LSTM(words, width=8).eval()
    ids = torch.randint(5, 20, (1, 6))
    changed = ids.clone()
    changed[0, 4] = 21
    before, after = backbone(input_ids=ids), backbone(input_ids=changed)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one[:, :4], other[:, :4])
        assert not torch.equal(one[:, 4], other[:, 4])


def test_what_was_written_comes_back_and_has_random_twins(words: str, tmp_path: Path) -> None:
    backbone = LSTM(words, width=8, layers=1)
    assert not backbone.pretrained
    (tmp_path / "made").mkdir()
    backbone.write(tmp_path / "made")
    again = LSTM(str(tmp_path / "made"))
    assert again.pretrained
    assert (again.hidden_size, again.num_layers) == (8, 1)
    assert all(torch.equal(a, b) for a, b in zip(backbone.parameters(), again.parameters(), strict=True))
    twin = again.randomised()
    assert not twin.pretrained
    assert (twin.hidden_size, twin.num_layers) == (8, 1)
    assert not torch.equal(twin.embeddings.weight, again.embeddings.weight)
    (tmp_path / "made/lstm.json").write_text("{}")
    with pytest.raises(UsageError, match=r"lstm.json is damaged: expected width and layers"):
        LSTM(str(tmp_path / "made"))
    (tmp_path / "made/lstm.json").write_text(json.dumps({"width": 9, "layers": 1}))
    with pytest.raises(UsageError, match="does not fit this LSTM"):
        LSTM(str(tmp_path / "made"))
    with pytest.raises(UsageError, match="layers=0"):
        LSTM(words, layers=0)


def test_the_doctor_passes_what_it_can_and_it_refuses_the_rest(words: str) -> None:
    backbone = LSTM(words, width=16)
    for strategy in (s.FullFineTuning(), s.PartialFineTuning(blocks=1), s.WeightedFeatures(), s.LinearProbe()):
        results = examine(backbone, type(strategy).__name__, strategy)
        assert [f"{row.check}: {row.detail}" for row in results if not row.ok or row.refused] == []
    with pytest.raises(UsageError, match="LoRA cannot adapt this LSTM"):
        s.LoRA().apply(backbone)
    fresh, ids = LSTM(words, width=16), torch.randint(5, 20, (2, 6))
    CausalLM(fresh)(fresh, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}).total.backward()
    assert fresh.embeddings.weight.grad is not None


def test_it_is_pretrained_scored_and_adapted_by_the_commands(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    kind = ["--model.backbone", "lm_lab.backbones.LSTM"]
    given = [*kind, "--model.backbone.source", words, "--model.backbone.width", "16"]
    corpus = ["--data.source", "microworld", "--data.documents", "60", "--data.held_out", "8"]
    run = ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--save.output", "runs/lstm"]
    assert main(["pretrain", "fit", *given, "--model.objective", "CausalLM", *corpus, *run]) == 0
    trained = LSTM("runs/lstm")
    assert trained.pretrained
    assert len(likelihood(trained).texts(["it was fine ."])) == 1
    task = ["--data", "GLUE", "--data.task", "sst2", "--data.source", "microworld", "--data.train_limit", "32"]
    given = [*kind, "--model.backbone.source", "runs/lstm"]
    assert main(["adapt", "fit", *given, *task, "--model.strategy", "FullFineTuning", "--trainer.max_steps", "2",
                 "--trainer.accelerator", "cpu"]) == 0  # fmt: skip
    assert "delta: " in capsys.readouterr().out


def test_bitfit_trains_both_biases_of_every_layer(words: str) -> None:
    backbone = LSTM(words, width=8, layers=2)
    s.BitFit().apply(backbone)
    trained = {name for name, value in backbone.named_parameters() if value.requires_grad}
    assert trained == {f"layers.{layer}.bias_{of}_l0" for layer in (0, 1) for of in ("ih", "hh")}
    assert s.BitFit().parameters(backbone) == 2 * 2 * 4 * 8
