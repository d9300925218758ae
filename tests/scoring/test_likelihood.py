"""Log-likelihoods against `transformers`, token by token; minimal pairs and last words against hand counts."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM, XLNetLMHeadModel

from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.cli import main
from lm_lab.errors import UsageError
from lm_lab.objectives import (
    BART,
    MASS,
    BertStyle,
    MaskedLM,
    NextSentence,
    PermutationLM,
    SumOfObjectives,
    TransformerXL,
)
from lm_lab.scoring.cloze import last_words
from lm_lab.scoring.gaps import GapLikelihood
from lm_lab.scoring.likelihood import Asked, CausalLikelihood, Likelihood
from lm_lab.scoring.minimal_pairs import Pair, accuracies, preferences
from lm_lab.scoring.output import likelihood
from lm_lab.scoring.restored import RestoringLikelihood
from lm_lab.training import pretrained

TEXTS = ["the beast was good .", "it was not good , and the beast was fine .", "fine"]
Make = Callable[..., Backbone]
Folders = dict[str, Path]


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_decoders_texts_have_the_likelihood_of_transformers(folders: Folders, tmp_path: Path, family: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(folders[family]).eval()
    model.save_pretrained(tmp_path / family)  # with the output layer that Llama does not tie
    TransformersBackbone(str(folders[family])).tokenizer.save_pretrained(tmp_path / family)
    found = likelihood(TransformersBackbone(str(tmp_path / family)))
    assert isinstance(found, CausalLikelihood)
    for text, value in zip(TEXTS, found.texts(TEXTS), strict=True):
        row = torch.tensor([[*found.before, *found.tokenizer(text, add_special_tokens=False)["input_ids"]]])
        with torch.no_grad():
            loss = model(input_ids=row, labels=row).loss
        assert value == pytest.approx(-float(loss) * (row.shape[1] - 1), rel=1e-5)


@pytest.fixture
def masked(folders: Folders, tmp_path: Path) -> Path:
    """A masked language model of `transformers` with its head."""
    torch.manual_seed(3)
    made = AutoModelForMaskedLM.from_pretrained(folders["bert"])
    torch.nn.init.normal_(made.cls.predictions.bias)
    made.save_pretrained(tmp_path / "masked")
    TransformersBackbone(str(folders["bert"])).tokenizer.save_pretrained(tmp_path / "masked")
    return tmp_path / "masked"


def test_a_masked_models_texts_have_their_pseudo_likelihood(masked: Path) -> None:
    model = AutoModelForMaskedLM.from_pretrained(masked).eval()
    scorer = likelihood(TransformersBackbone(str(masked)))
    for text, value in zip(TEXTS, scorer.texts(TEXTS), strict=True):
        ids = scorer.tokenizer(text, return_tensors="pt")["input_ids"]
        expected = 0.0
        for place in range(1, ids.shape[1] - 1):
            hidden = ids.clone()
            hidden[0, place] = scorer.tokenizer.mask_token_id
            with torch.no_grad():
                expected += float(model(input_ids=hidden).logits[0, place].log_softmax(-1)[ids[0, place]])
        assert value == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("summed", [False, True])
def test_a_folder_of_ours_brings_its_own_head(make: Make, tmp_path: Path, summed: bool) -> None:
    backbone = make("bert")
    torch.manual_seed(1)
    summed_up = SumOfObjectives(backbone, {"words": MaskedLM, "pairs": NextSentence})
    objective = summed_up if summed else MaskedLM(backbone)
    own: Any = next(part for part in objective.modules() if isinstance(part, MaskedLM))
    torch.nn.init.normal_(own.head.bias)
    folder = pretrained.save(backbone, tmp_path / "ours", {"steps": 1}, heads=objective.state_dict())
    scorer = likelihood(TransformersBackbone(str(folder)))
    ids = torch.tensor([scorer.tokenizer(TEXTS[0])["input_ids"]])
    expected = 0.0
    for place in range(1, ids.shape[1] - 1):
        hidden = ids.clone()
        hidden[0, place] = scorer.tokenizer.mask_token_id
        with torch.no_grad():
            logits = own.head(backbone.eval().last(input_ids=hidden)[0, place : place + 1], backbone.token_embeddings)
        expected += float(logits[0].log_softmax(-1)[ids[0, place]])
    assert scorer.texts(TEXTS[:1])[0] == pytest.approx(expected, rel=1e-4)


def test_a_t5_fills_each_gap(sentinels: Path) -> None:
    model = AutoModelForSeq2SeqLM.from_pretrained(sentinels).eval()
    scorer = likelihood(TransformersBackbone(str(sentinels)))
    assert isinstance(scorer, GapLikelihood)
    own = scorer.tokenizer(TEXTS[0], add_special_tokens=False)["input_ids"]
    whole = [*scorer.before, *own, *scorer.after]
    expected = 0.0
    for place in range(len(scorer.before), len(scorer.before) + len(own)):
        source = torch.tensor([[*whole[:place], scorer.sentinel, *whole[place + 1 :]]])
        with torch.no_grad():
            logits = model(input_ids=source, labels=torch.tensor([[scorer.sentinel, whole[place]]])).logits
        expected += float(logits[0, 1].log_softmax(-1)[whole[place]])
    assert scorer.texts(TEXTS[:1])[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("trained_here", [False, True])
def test_an_xlnet_is_asked_for_each_token_from_all_others(make: Make, tmp_path: Path, trained_here: bool) -> None:
    folder = tmp_path / "xlnet"
    if trained_here:
        backbone = make("xlnet")
        objective = PermutationLM(backbone)
        torch.nn.init.normal_(objective.output.bias)
        pretrained.save(backbone, folder, {"objective": "PermutationLM"}, heads=dict(objective.named_parameters()))
    else:
        model = XLNetLMHeadModel(make("xlnet").config).eval()
        torch.nn.init.normal_(model.lm_loss.bias)
        model.save_pretrained(folder)
        make("xlnet").tokenizer.save_pretrained(folder)
    scorer = likelihood(TransformersBackbone(str(folder)))
    batch = scorer.tokenizer(TEXTS[0], return_tensors="pt")
    expected = 0.0
    for place in range(len(scorer.before), batch["input_ids"].shape[1] - len(scorer.after)):
        places = torch.zeros_like(batch["input_ids"])
        places[0, place] = 1
        with torch.no_grad():
            if trained_here:
                logits, _ = objective.eval().predict(backbone.eval(), batch, places)
            else:
                hidden = places.unsqueeze(1).expand(1, places.shape[1], -1).float()
                one = {"perm_mask": hidden, "target_mapping": places.unsqueeze(1).float()}
                logits = model(input_ids=batch["input_ids"], **one).logits[0]
        expected += float(logits[0].log_softmax(-1)[batch["input_ids"][0, place]])
    assert scorer.texts(TEXTS[:1])[0] == pytest.approx(expected, rel=1e-4)
    assert scorer.texts(TEXTS)[0] == pytest.approx(expected, rel=1e-4)  # padding changes nothing


def test_an_xlnet_of_transformer_xl_reads_to_the_left(make: Make, tmp_path: Path) -> None:
    backbone = make("xlnet")
    objective = TransformerXL(backbone)
    torch.nn.init.normal_(objective.output.bias)
    folder = pretrained.save(
        backbone, tmp_path / "xl", {"objective": "TransformerXL"}, heads=dict(objective.named_parameters())
    )
    scorer = likelihood(TransformersBackbone(str(folder)))
    ids = torch.tensor([[*scorer.before, *scorer.tokenizer(TEXTS[0], add_special_tokens=False)["input_ids"]]])
    with torch.no_grad():
        loss = objective.eval()(backbone.eval(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}).total
    assert scorer.texts(TEXTS[:1])[0] == pytest.approx(-float(loss) * (ids.shape[1] - 1), rel=1e-4)


def test_a_published_bart_restores_each_token(folders: Folders) -> None:
    model = AutoModelForSeq2SeqLM.from_pretrained(folders["bart"]).eval()
    scorer = likelihood(TransformersBackbone(str(folders["bart"])))
    ids = scorer.tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]
    expected = 0.0
    for place in range(len(scorer.before), ids.shape[1] - len(scorer.after)):
        source = ids.clone()
        source[0, place] = scorer.tokenizer.mask_token_id
        with torch.no_grad():
            logits = model(input_ids=source, labels=ids).logits
        expected += float(logits[0, place].log_softmax(-1)[ids[0, place]])
    assert scorer.texts(TEXTS[:1])[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", [BART, MASS, BertStyle])
def test_what_restores_texts_here_is_asked_as_it_was_trained(make: Make, tmp_path: Path, kind: Any) -> None:
    backbone = make("bart")
    objective = kind(backbone)
    folder = pretrained.save(backbone, tmp_path / "made", {"objective": kind.__name__}, heads=objective.state_dict())
    scorer = likelihood(TransformersBackbone(str(folder)))
    batch = scorer.tokenizer(TEXTS[0], return_tensors="pt")
    words, real = objective.words(batch)
    target = objective.with_special_tokens((words, real))
    expected = 0.0
    for place in range(int(real.sum())):
        hidden, span = words.clone(), torch.zeros_like(target["input_ids"])
        hidden[0, place], span[0, place] = scorer.tokenizer.mask_token_id, 1
        source = objective.with_special_tokens((hidden, real), objective._lead(batch))
        asked = target | {"attention_mask": span} if kind is MASS else target
        with torch.no_grad():
            logits = objective.output(objective.states(backbone.eval(), source, asked))[0, place]
        expected += float(logits.log_softmax(-1)[words[0, place]])
    assert scorer.texts(TEXTS[:1])[0] == pytest.approx(expected, rel=1e-4)


def test_neighbours_have_one_mask_in_a_bart_and_one_each_elsewhere(make: Make) -> None:
    asked = Asked([2, 7, 8, 9, 3], [2, 3])
    assert RestoringLikelihood(make("bart"), 4)._source(asked) == [2, 7, 4, 3]
    assert RestoringLikelihood(make("bart"), 4, one_mask=False)._source(asked) == [2, 7, 4, 4, 3]


def test_what_cannot_score_is_refused_by_name(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="have no output layer that predicts hidden tokens: they lack cls"):
        likelihood(make("bert"))
    with pytest.raises(UsageError, match="random weights predict nothing"):
        likelihood(make("bert", pretrained=False))
    backbone = make("bart")
    folder = pretrained.save(backbone, tmp_path / "cut", {"objective": "PrefixLM"})
    with pytest.raises(UsageError, match="PrefixLM trained this bart, which was never asked to fill in"):
        likelihood(TransformersBackbone(str(folder)))
    with pytest.raises(UsageError, match="has no output layer that predicts tokens"):
        likelihood(make("xlnet", pretrained=False))
    with pytest.raises(UsageError, match="no output layer that predicts tokens: they lack lm_loss"):
        likelihood(make("xlnet"))
    backbone = make("bert")
    folder = pretrained.save(backbone, tmp_path / "pairs", {"steps": 1}, heads=NextSentence(backbone).state_dict())
    with pytest.raises(UsageError, match="predicts no hidden tokens"):
        likelihood(TransformersBackbone(str(folder)))
    with pytest.raises(UsageError, match="has no token to be scored"):
        likelihood(make("gpt2")).texts([""])
    with pytest.raises(UsageError, match="tokens; gpt2 reads"):
        likelihood(make("gpt2")).texts(["it was fine . " * 100])


class Fixed(Likelihood):
    """Knows the log-likelihood of each text."""

    def __init__(self, known: dict[str, float]) -> None:
        self.known = known

    def distributions(self, asked: object) -> list[torch.Tensor]:
        raise NotImplementedError

    def texts(self, given: object) -> list[float]:
        return [self.known[text] for text in given]  # type: ignore[attr-defined]


def test_pairs_are_counted_ties_as_half() -> None:
    known = {"a": -1.0, "b": -2.0, "c": -2.0, "d": -3.0}
    pairs = [Pair("a", "b", "p", "f"), Pair("d", "a", "p", "f"), Pair("b", "c", "q", "f"), Pair("d", "d", "r", "g")]
    preferred = preferences(Fixed(known), pairs)
    assert preferred == [1.0, 0.0, 0.5, 0.5]
    found = accuracies(pairs, preferred)
    assert [(row.name, row.value, row.pairs) for row in found["paradigms"]] == [
        ("p", 0.5, 2),
        ("q", 0.5, 1),
        ("r", 0.5, 1),
    ]
    assert [(row.name, row.pairs) for row in found["fields"]] == [("f", 3), ("g", 1)]
    many = accuracies([Pair("a", "b", "p", "f")] * 80 + [Pair("b", "a", "p", "f")] * 20, [1.0] * 80 + [0.0] * 20)
    (paradigm,), (whole,) = many["paradigms"], many["all"]
    # Wilson's interval of 80 in 100
    assert (paradigm.low, paradigm.high) == (pytest.approx(0.7112, abs=1e-4), pytest.approx(0.8666, abs=1e-4))
    assert (whole.value, whole.pairs) == (0.8, 100)


def test_the_last_word_is_what_a_greedy_search_writes(make: Make, folders: Folders) -> None:
    scorer = likelihood(make("gpt2"))
    model = AutoModelForCausalLM.from_pretrained(folders["gpt2"]).eval()
    context = "the beast was"
    ids = torch.tensor([[*scorer.before, *scorer.tokenizer(context, add_special_tokens=False)["input_ids"]]])
    with torch.no_grad():
        scores = model(input_ids=ids).logits[0, -1].log_softmax(-1)
    best = scorer.tokenizer.decode([int(scores.argmax())]).strip()
    worst = "good" if best != "good" else "fine"
    found = last_words(scorer, [f"{context} {best}", f"{context} {worst}"])
    assert (found.accuracy, found.passages, found.cut) == (0.5, 2, 0)
    losses = [
        -float(scores[scorer.tokenizer(word, add_special_tokens=False)["input_ids"][0]]) for word in (best, worst)
    ]
    assert found.perplexity == pytest.approx(math.exp(sum(losses) / 2), rel=1e-4)
    long = last_words(scorer, ["it was fine . " * 100 + "fine"])
    assert long.cut == 1
    with pytest.raises(UsageError, match="has no last word after others"):
        last_words(scorer, ["fine"])


def test_the_command_scores_a_folder(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "blimp").mkdir()
    rows = [
        {"sentence_good": good, "sentence_bad": bad, "UID": f"p{number % 2}", "field": "syntax"}
        for number, (good, bad) in enumerate([("it was fine .", "it fine was ."), ("fine", "fine"), ("a", "b")])
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "blimp/test.parquet")
    command = ["score", "--backbone", str(folders["gpt2"]), "--source", str(tmp_path)]
    assert main([*command, "--task", "blimp", "--paradigms", "--json", "--out", "out/blimp.csv"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["pairs"]) for row in said] == [("p0", 2), ("p1", 1), ("syntax", 3), ("all", 3)]
    assert len(Path("out/blimp.csv").read_text().splitlines()) == 5
    assert main([*command, "--task", "blimp", "--limit", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["name", "value", "low", "high", "pairs"]
    assert main([*command, "--task", "lambada"]) == 2
    assert "holds no lambada; expected a file, or a folder with lambada/test.parquet" in capsys.readouterr().err
    assert main([*command, "--task", "blimp", "--limit", "0"]) == 2
    pq.write_table(pa.Table.from_pylist([{"text": "it was fine"}]), tmp_path / "cloze.parquet")
    assert main([*command[:3], "--task", "lambada", "--source", str(tmp_path / "cloze.parquet")]) == 0
    assert "accuracy" in capsys.readouterr().out
    assert main([*command[:3], "--task", "blimp", "--source", str(tmp_path / "cloze.parquet")]) == 2
    assert "has no column 'sentence_good'; it has text" in capsys.readouterr().err
