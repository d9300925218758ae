"""Quick- and skip-thoughts against sums by hand; which sentences are neighbours; what a text alone teaches."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lm_lab.backbones import LSTM, Backbone, StaticVectors
from lm_lab.backbones.pooling import pool
from lm_lab.cli import main
from lm_lab.data import Corpus
from lm_lab.data.corpora.rows import ConsecutiveSentences
from lm_lab.data.encoding.encoding import Encoding
from lm_lab.errors import UsageError
from lm_lab.objectives import Objective, QuickThoughts, SkipThoughts
from lm_lab.objectives.sentences.neighbours import by_length, vectors
from lm_lab.objectives.sentences.quick_thoughts import neighbours

Make = Callable[..., Backbone]
DOCUMENTS = "the beast was good . it was fine . the beast was bad .\nit was good . the beast was not fine .\n"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    path = tmp_path / "text.txt"
    path.write_text(DOCUMENTS * 8)
    return Corpus(str(path), batch_size=5, held_out=4, max_length=32, rows=ConsecutiveSentences)


def batch_of(corpus: Corpus, backbone: Backbone) -> dict[str, Tensor]:
    corpus.bind(Encoding(backbone.tokenizer, "cross_encoder", 128, causal=backbone.causal, segments=backbone.segments))
    corpus.setup("fit")
    return next(iter(corpus.train_dataloader()))  # type: ignore[no-any-return]


def test_a_batch_is_a_run_of_the_text(corpus: Corpus, make: Make) -> None:
    backbone = make("bert")
    batch = batch_of(corpus, backbone)
    said = backbone.tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True)
    assert said == [
        "the beast was good .",
        "it was fine .",
        "the beast was bad .",
        "it was good .",
        "the beast was not fine .",
    ]
    assert (batch["document"][1:] == batch["document"][:-1]).tolist() == [True, True, False, True]
    assert len(corpus.train_dataloader()) == 6  # of 12 documents with 30 sentences


@pytest.mark.parametrize("family", ["bert", "gpt2", "xlnet"])
def test_reading_in_groups_of_like_length_changes_no_vector(corpus: Corpus, make: Make, family: str) -> None:
    backbone = make(family).eval()
    batch = batch_of(corpus, backbone)
    given = {name: values for name, values in batch.items() if name != "document"}
    whole = pool(backbone.last(**given), batch["attention_mask"], "mean")
    assert torch.allclose(vectors(backbone, batch, "mean"), whole, atol=1e-6)
    groups = by_length(batch["attention_mask"])
    assert sum(len(rows) * longest for rows, longest in groups) < batch["input_ids"].numel()
    assert sorted(torch.cat([rows for rows, _ in groups]).tolist()) == list(range(5))


@pytest.mark.parametrize("objective", [QuickThoughts, SkipThoughts])
def test_sentences_without_neighbours_teach_nothing(make: Make, objective: type[Objective]) -> None:
    backbone = make("bert")
    ids = torch.tensor([[2, 5, 3], [2, 6, 3]])
    lone = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "document": torch.tensor([0, 1])}
    loss = objective(backbone)(backbone, lone)
    assert loss.count == 0
    assert float(loss.total.detach()) == 0


def test_neighbours_stand_side_by_side_in_one_document() -> None:
    found = neighbours(torch.tensor([True, False, True]))
    assert found.nonzero().tolist() == [[0, 1], [1, 0], [2, 3], [3, 2]]


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_quick_thoughts_is_the_sum_by_hand(corpus: Corpus, make: Make, family: str) -> None:
    backbone = make(family).eval()
    objective = QuickThoughts(backbone).eval()
    batch = batch_of(corpus, backbone)
    loss = objective(backbone, batch)
    read = {name: values for name, values in batch.items() if name != "document"}

    def vector(encoder: Backbone, row: int) -> Tensor:
        states = encoder.last(**read)[row][: int(batch["attention_mask"][row].sum())]
        return states[-1] if family == "gpt2" else states.mean(0)

    f, g = ([vector(encoder, row) for row in range(5)] for encoder in (backbone, objective.candidates))
    expected = []
    for row, beside in {0: [1], 1: [0, 2], 2: [1], 3: [4], 4: [3]}.items():
        others = [other for other in range(5) if other != row]  # its own is no candidate
        logs = torch.stack([f[row] @ g[other] for other in others]).log_softmax(0)
        expected.append(-torch.stack([logs[others.index(other)] for other in beside]).mean())
    assert float(loss.total.detach()) == pytest.approx(float(torch.stack(expected).mean().detach()), rel=1e-4)
    assert loss.count == 5


def test_the_second_encoder_is_another_one(make: Make) -> None:
    backbone = make("bert")
    objective = QuickThoughts(backbone)
    own = {id(parameter) for parameter in backbone.parameters()}
    assert not own & {id(parameter) for parameter in objective.candidates.parameters()}
    ids = torch.tensor([[2, 5, 6, 3]])
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    assert not torch.allclose(backbone.eval().last(**given), objective.candidates.eval().last(**given))


def test_skip_thoughts_is_the_sum_by_hand(corpus: Corpus, make: Make) -> None:
    backbone = make("bert").eval()
    objective = SkipThoughts(backbone, width=8).eval()
    torch.nn.init.normal_(objective.bias)
    batch = batch_of(corpus, backbone)
    loss = objective(backbone, batch)
    ids, mask, table = batch["input_ids"], batch["attention_mask"], backbone.token_embeddings
    states = backbone.last(input_ids=ids, attention_mask=mask)
    for name, decoder, pairs in (
        ("next", objective.after, [(0, 1), (1, 2), (3, 4)]),
        ("previous", objective.before, [(1, 0), (2, 1), (4, 3)]),
    ):
        losses = []
        for given, written in pairs:
            v = states[given][: int(mask[given].sum())].mean(0)
            x, hidden = decoder.start, None
            for token in ids[written][: int(mask[written].sum())]:
                out, hidden = decoder.lstm(torch.cat([x, v]).view(1, 1, -1), hidden)
                logits = decoder.output(out[0, 0]) @ table.T + objective.bias
                if token != backbone.tokenizer.cls_token_id:
                    losses.append(F.cross_entropy(logits, token))
                x = table[token]
        assert float(loss.parts[name].detach()) == pytest.approx(float(torch.stack(losses).mean().detach()), rel=1e-4)
        assert loss.counts[name] == len(losses)


def test_sentences_may_be_written_from_other_vectors(corpus: Corpus, make: Make) -> None:
    backbone = make("bert").eval()
    objective = SkipThoughts(backbone, width=8).eval()
    batch = batch_of(corpus, backbone)
    own = vectors(backbone, batch, "mean")
    assert torch.equal(objective(backbone, batch).total, objective.written(backbone, batch, own).total)
    assert not torch.equal(objective(backbone, batch).total, objective.written(backbone, batch, own.flip(0)).total)


def test_the_vector_tells_the_neighbour(corpus: Corpus, make: Make) -> None:
    """A decoder that knows the sentence beside does better than one that is told of another."""
    torch.manual_seed(0)
    backbone = make("bert", dropout=0.0)
    objective = QuickThoughts(backbone)
    batch = batch_of(corpus, backbone)
    optimizer = torch.optim.AdamW([*backbone.parameters(), *objective.candidates.parameters()], 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = objective(backbone, batch)
        loss.total.backward()
        optimizer.step()
    assert float(loss.metrics["accuracy"]) == 1.0
    assert float(loss.total.detach()) < 0.5


@pytest.mark.parametrize("objective", ["QuickThoughts", "SkipThoughts"])
def test_it_is_pretrained_and_its_folder_loads(folders: dict[str, Path], tmp_path: Path, objective: str) -> None:
    (tmp_path / "text.txt").write_text(DOCUMENTS * 8)
    words = [
        "pretrain",
        "fit",
        "--model.backbone",
        "lm_lab.backbones.LSTM",
        "--model.backbone.source",
        str(folders["gpt2"]),
    ]
    words += ["--model.backbone.width", "16", "--model.objective", objective, "--data.source", "text.txt"]
    words += ["--data.rows", "lm_lab.data.ConsecutiveSentences", "--data.held_out", "4", "--data.batch_size", "8"]
    words += ["--save.output", "kept", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"]
    assert main([*words, "--trainer.logger", "false"]) == 0
    assert LSTM("kept").pretrained


def test_what_cannot_learn_so_is_refused_by_name(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="t5: QuickThoughts reads a vector a sentence"):
        QuickThoughts(make("t5"))
    with pytest.raises(UsageError, match="pooling='median'"):
        SkipThoughts(make("bert"), pooling="median")
    (tmp_path / "vectors.txt").write_text("good 1 2\nbad 3 4\n")
    with pytest.raises(UsageError, match="StaticVectors has no layer"):
        QuickThoughts(StaticVectors(str(tmp_path / "vectors.txt")))
    backbone = make("bert")
    with pytest.raises(UsageError, match="which sentences are neighbours"):
        QuickThoughts(backbone)(backbone, {"input_ids": torch.ones(2, 3), "attention_mask": torch.ones(2, 3)})
    (tmp_path / "short.txt").write_text("it was good .\n" * 9)
    corpus = Corpus(str(tmp_path / "short.txt"), held_out=2, rows=ConsecutiveSentences)
    with pytest.raises(UsageError, match="no document has two sentences"):
        batch_of(corpus, backbone)
