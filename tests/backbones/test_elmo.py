"""ELMo against a loop over tokens, and what each half of a state has seen; it is trained, kept, scored and adapted."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lm_lab import strategies as s
from lm_lab.backbones import CharacterCNN, ELMo
from lm_lab.backbones.elmo import turned
from lm_lab.cli import main
from lm_lab.data import microworld
from lm_lab.doctor.examine import examine
from lm_lab.errors import UsageError
from lm_lab.scoring.output import likelihood

SMALL = CharacterCNN(filters=(4, 4, 6), size=5, longest=9)
D = 6


@pytest.fixture
def words(tmp_path: Path) -> str:
    microworld.tokenizer().save_pretrained(tmp_path / "words")
    return str(tmp_path / "words")


def small(words: str, **settings: int) -> ELMo:
    return ELMo(words, **{"width": D, "cell": 9, "embeddings": SMALL, "dropout": 0.0, **settings}).eval()


def padded() -> tuple[Tensor, Tensor]:
    ids, lengths = torch.randint(5, 20, (3, 7)), torch.tensor([7, 4, 2])
    mask = (torch.arange(7) < lengths.unsqueeze(1)).long()
    return ids * mask, mask


def stepped(layer: nn.LSTM, x: Tensor) -> Tensor:
    """One direction over one text (t, d), a token at a time by the equations of a projected LSTM."""
    state, cell, found = x.new_zeros(x.shape[1]), x.new_zeros(layer.hidden_size), []
    project = layer.weight_hr_l0 if layer.proj_size else torch.eye(layer.hidden_size)
    for token in x:
        both = layer.weight_ih_l0 @ token + layer.bias_ih_l0 + layer.weight_hh_l0 @ state + layer.bias_hh_l0
        entered, kept, new, out = both.chunk(4)
        cell = kept.sigmoid() * cell + entered.sigmoid() * new.tanh()
        state = project @ (out.sigmoid() * cell.tanh())
        found.append(state)
    return torch.stack(found)


@pytest.mark.parametrize("cell", [9, D])
def test_states_are_those_of_a_loop_over_each_text_alone(words: str, cell: int) -> None:
    backbone = small(words, cell=cell, layers=3)
    ids, mask = padded()
    with torch.no_grad():
        states = backbone(input_ids=ids, attention_mask=mask)
        assert [state.shape for state in states] == [(3, 7, 2 * D)] * 4
        for row, length in enumerate(mask.sum(1)):
            ahead = back = backbone.embeddings(ids[row, :length])
            assert torch.allclose(states[0][row, :length], torch.cat([ahead, ahead], -1), atol=1e-6)
            for number, layer in enumerate(backbone.layers):
                skip = number > 0
                ahead = stepped(layer.ahead, ahead) + skip * ahead
                back = stepped(layer.back, back.flip(0)).flip(0) + skip * back
                assert torch.allclose(states[number + 1][row, :length], torch.cat([ahead, back], -1), atol=1e-5)


def test_a_text_is_turned_round_within_its_length() -> None:
    assert turned(torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])).tolist() == [[2, 1, 0, 3, 4], [4, 3, 2, 1, 0]]


def test_no_direction_sees_what_the_other_has_seen_in_any_layer_under_padding(words: str) -> None:
    backbone, (ids, mask) = small(words, layers=3).double(), padded()
    before = backbone(input_ids=ids, attention_mask=mask)
    for row, at in ((0, 3), (0, 6), (1, 0), (1, 3), (2, 1)):
        changed = ids.clone()
        changed[row, at] = 21
        after = backbone(input_ids=changed, attention_mask=mask)
        for one, other in zip(before[1:], after[1:], strict=True):
            moved = ((one[row] - other[row]).abs() > 1e-9).reshape(7, 2, D).any(-1)
            length = int(mask[row].sum())
            assert moved[:length, 0].tolist() == [place >= at for place in range(length)]  # left to right
            assert moved[:length, 1].tolist() == [place <= at for place in range(length)]  # right to left
            others = [other for other in range(3) if other != row]
            assert torch.allclose(one[others], other[others], atol=1e-9, rtol=0)


def test_what_was_written_comes_back_and_has_random_twins(words: str, tmp_path: Path) -> None:
    backbone = small(words, layers=1)
    assert not backbone.pretrained
    (tmp_path / "made").mkdir()
    backbone.write(tmp_path / "made")
    again = ELMo(str(tmp_path / "made"))
    assert again.pretrained
    assert (again.hidden_size, again.num_layers, again.computed) == (2 * D, 1, SMALL)
    ids, mask = padded()
    assert torch.equal(
        again.eval().last(input_ids=ids, attention_mask=mask), backbone.last(input_ids=ids, attention_mask=mask)
    )
    twin = again.randomised()
    assert not twin.pretrained
    assert (twin.hidden_size, twin.num_layers) == (2 * D, 1)
    (tmp_path / "made/elmo.json").write_text("{}")
    with pytest.raises(UsageError, match=r"elmo.json is damaged: expected width and cell and layers"):
        ELMo(str(tmp_path / "made"))
    with pytest.raises(UsageError, match="cell at least width"):
        ELMo(words, width=8, cell=4)


def test_forget_gates_begin_open(words: str) -> None:
    for layer in small(words).layers:
        for direction in (layer.ahead, layer.back):
            assert torch.equal(direction.bias_hh_l0[9:18], torch.ones(9))


def test_the_doctor_passes_what_it_can_and_it_refuses_the_rest(words: str) -> None:
    for strategy in (
        s.FullFineTuning(),
        s.GradualUnfreezing(),
        s.PartialFineTuning(blocks=1),
        s.WeightedFeatures(norm=True),
        s.FeatureBased(size=4, hidden=4),
        s.LinearProbe(),
    ):
        results = examine(small(words), type(strategy).__name__, strategy)
        assert [f"{row.check}: {row.detail}" for row in results if not row.ok or row.refused] == []
    with pytest.raises(UsageError, match="LoRA cannot adapt this ELMo"):
        s.LoRA().apply(small(words))


def test_it_is_pretrained_scored_and_adapted_by_the_commands(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    kind = ["--model.backbone", "lm_lab.backbones.ELMo", "--model.backbone.source"]
    sizes = [
        "--model.backbone.width",
        "8",
        "--model.backbone.cell",
        "12",
        "--model.backbone.embeddings",
        "CharacterCNN",
    ]
    small = ["--model.backbone.embeddings.filters", "[2,2,2]"]
    corpus = ["--data.source", "microworld", "--data.documents", "60", "--data.held_out", "8"]
    run = ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--save.output", "runs/elmo"]
    given = [*kind, words, *sizes, *small, "--model.objective", "BidirectionalLM", *corpus, *run]
    for _ in range(2):  # a model of the first run is replaced by the second
        assert main(["pretrain", "fit", *given, "--fresh"]) == 0
    trained = ELMo("runs/elmo")
    assert trained.pretrained
    assert len(likelihood(trained).texts(["it was fine ."])) == 1
    task = ["--data", "GLUE", "--data.task", "sst2", "--data.source", "microworld", "--data.train_limit", "32"]
    fit = ["--model.strategy", "FeatureBased", "--trainer.max_steps", "2", "--trainer.accelerator", "cpu"]
    assert main(["adapt", "fit", *kind, "runs/elmo", *task, *fit]) == 0
    assert "delta: " in capsys.readouterr().out
