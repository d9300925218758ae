"""Converged probes against scikit-learn, code lengths against information, the sweep on a microworld task."""

import csv
import json
import math
from itertools import pairwise

import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from lm_lab import bind
from lm_lab.cli import main
from lm_lab.data.modules.glue import GLUE
from lm_lab.probing import description_length as mdl
from lm_lab.probing import linear
from lm_lab.probing.lbfgs import minimise
from lm_lab.probing.sweep import features, reader, sweep


def classes(n: int = 300, d: int = 6, k: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(n, d) * 3 + 1
    return x, (x[:, :k] + 2 * torch.randn(n, k)).argmax(1).float()


@pytest.mark.parametrize("penalty", [1e-3, 1e-1])
def test_logistic_regression_is_scikit_learns(penalty):
    x, y = classes()
    ours = linear.fit(x, y, 3, penalty).scores(x).softmax(-1)
    z = ((x - x.mean(0)) / x.std(0, correction=0)).double().numpy()
    theirs = LogisticRegression(C=1 / (len(x) * penalty), tol=1e-10, max_iter=2000).fit(z, y.numpy()).predict_proba(z)
    assert torch.allclose(ours, torch.from_numpy(theirs).float(), atol=1e-4)


def test_ridge_regression_is_scikit_learns():
    x = torch.randn(200, 5) * 2 + 1
    y = x @ torch.tensor([1.0, -2.0, 0.0, 0.5, 3.0]) + torch.randn(200) + 4
    ours = linear.fit(x, y, 0, 0.1).scores(x).squeeze(-1)
    z = ((x - x.mean(0)) / x.std(0, correction=0)).double().numpy()
    theirs = Ridge(alpha=len(x) * 0.05).fit(z, y.double().numpy()).predict(z)  # mean((y - f)^2) + penalty / 2 |w|^2
    assert torch.allclose(ours, torch.from_numpy(theirs).float(), atol=1e-3)


def test_a_strong_penalty_is_chosen_on_noise_and_a_weak_one_on_a_clear_signal():
    x = torch.randn(400, 20)
    assert linear.select(x, torch.randint(0, 2, (400,)).float(), 2) >= 1.0
    assert linear.select(x, (x[:, 0] > 0).float(), 2) <= 1e-2
    assert linear.select(x[:10], (x[:10, 0] > 0).float(), 2) == linear.PENALTIES[-1]


def test_code_length_is_near_uniform_on_noise_and_short_on_a_clear_signal():
    x = torch.randn(2000, 8)
    noise = torch.randint(0, 2, (2000,)).float()
    uniform = mdl.uniform_code(2000, 2)
    assert uniform == 2000
    assert mdl.online_code(x, noise, 2) == pytest.approx(uniform, rel=0.05)
    clear = mdl.online_code(x, (x[:, 0] > 0).float(), 2)
    noisy = mdl.online_code(x, (x[:, 0] + torch.randn(2000) > 0).float(), 2)
    assert clear < 0.2 * uniform < noisy < uniform


def test_the_first_portion_pays_the_uniform_price_and_the_others_their_probes():
    x, y = torch.randn(1000, 4), torch.randint(0, 4, (1000,)).float()
    ends = mdl.portions(1000, 4)
    assert ends == [16, 32, 62, 125, 250, 500, 1000]
    bits = ends[0] * math.log2(4)
    for start, end in pairwise(ends):
        probe = linear.fit(x[:start], y[:start], 4, linear.select(x[:start], y[:start], 4))
        log_p = probe.scores(x[start:end]).log_softmax(-1)[torch.arange(end - start), y[start:end].long()]
        bits -= log_p.sum().item() / math.log(2)
    assert mdl.online_code(x, y, 4) == pytest.approx(bits, rel=1e-4)


def test_shuffling_keeps_the_labels_and_is_the_seeds():
    y = torch.arange(50) % 3
    assert sorted(mdl.shuffled(y, 0).tolist()) == sorted(y.tolist())
    assert torch.equal(mdl.shuffled(y, 1), mdl.shuffled(y, 1))
    assert not torch.equal(mdl.shuffled(y, 0), mdl.shuffled(y, 1))


@torch.no_grad()
@pytest.mark.parametrize("pairs", ["cross_encoder", "bi_encoder"])
def test_features_are_each_layers_pooled_states(make, pairs):
    data = GLUE("mrpc", source="microworld", train_limit=30, validation_limit=10)
    model = reader(make("bert"), data, pooling="mean", pairs=pairs)
    found = features(model, bind(model, data), "validation", seed=0)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    batch = data.encoded["validation"].collate(list(range(10)))
    states = [model.backbone(**text) for text in batch["texts"]]
    for layer in range(3):
        vectors = []
        for text, hidden in zip(batch["texts"], states, strict=True):
            mask = text["attention_mask"][..., None].float()
            vectors.append((hidden[layer] * mask).sum(1) / mask.sum(1))
        u, v = vectors[0], vectors[-1]
        expected = u if pairs == "cross_encoder" else torch.cat([u, v, (u - v).abs(), u * v], dim=-1)
        assert torch.allclose(found.vectors[:, layer], expected[order], atol=1e-5)
    assert torch.equal(found.labels, batch["labels"][order])


def test_a_layer_that_holds_the_answer_is_told_from_its_controls(make, monkeypatch):
    data = GLUE("sst2", source="microworld", train_limit=400, validation_limit=200)
    model, random = (reader(make("bert"), data, pooling="mean") for _ in range(2))
    plain = model.features

    def with_answer(batch):
        pooled = plain(batch).clone()
        pooled[:, :, 2, 0] = batch["labels"][:, None] * 2 - 1  # the last layer alone knows
        return pooled

    monkeypatch.setattr(model, "features", with_answer)
    layers = sweep(model, data, random)
    last = layers[-1]
    assert [layer.layer for layer in layers] == [0, 1, 2]
    assert last.score > 0.99
    assert last.control < 0.65
    assert last.selectivity == pytest.approx(last.score - last.control)
    assert last.random < 0.9
    assert last.compression > 2 * max(layer.compression for layer in layers[:-1])
    assert sweep(model, data, None)[0].random is None


def test_the_command(folders, tmp_path, capsys):
    args = ["probe", "--backbone", str(folders["bert"]), "--source", "microworld", "--limit", "60"]
    assert main([*args, "--task", "sst2", "--json", "--out", str(tmp_path / "layers.csv")]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["layer"] for row in rows] == [0, 1, 2]
    with open(tmp_path / "layers.csv") as stream:
        assert [float(row["score"]) for row in csv.DictReader(stream)] == [row["score"] for row in rows]
    assert main([*args, "--task", "stsb", "--no-random"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 4
    assert table[1].split()[-1] == "–"
    assert main([*args[:-1], "5", "--task", "sst2"]) == 2
    assert "--limit 5" in capsys.readouterr().err


def test_what_has_converged_is_evaluated_no_more():
    """Quadratics of which one takes a step and another many: each takes as many alone."""
    scales = torch.tensor([[1.0, 1.0, 1.0], [1.0, 30.0, 1000.0]], dtype=torch.double)

    def run(which: list[int]) -> tuple[torch.Tensor, list[int]]:
        seen: list[int] = []

        def objective(x, problems):
            seen.extend(which[number] for number in problems.tolist())
            own = scales[which][problems]
            return (own * (x - 1).square()).sum(1) / 2, own * (x - 1)

        start = torch.zeros(len(which), 3, dtype=torch.double)
        return minimise(objective, start, 200, 1e-10), seen

    both, seen = run([0, 1])
    assert torch.allclose(both, torch.ones_like(both))
    for problem in (0, 1):
        alone, own = run([problem])
        assert torch.equal(alone[0], both[problem])
        assert seen.count(problem) == len(own)


@pytest.mark.parametrize("classes", [0, 3])
def test_a_path_of_layers_and_penalties_is_that_of_each_alone(classes):
    torch.manual_seed(0)
    x = torch.randn(2, 60, 5) * torch.tensor([1.0, 3.0])[:, None, None]
    y = torch.randint(classes, (60,)) if classes else x[0, :, 0] + 0.1 * torch.randn(60)
    penalties = (1e-3, 1e-1, 10.0)
    found = linear.fit_path(x, y, classes, penalties)
    for layer, path in enumerate(found):
        for penalty, probe in zip(penalties, path, strict=True):
            alone = linear.fit(x[layer], y, classes, penalty)
            assert torch.allclose(probe.weight, alone.weight, atol=1e-5)
            assert torch.allclose(probe.scores(x[layer]), alone.scores(x[layer]), atol=1e-5)
