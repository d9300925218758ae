"""Data and model meet in one call, and nowhere else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from lm_lab import Adaptation, AdaptedModel, Backbone, bind
from lm_lab.data.corpora.corpus import Corpus
from lm_lab.data.modules.glue import GLUE
from lm_lab.errors import UsageError
from lm_lab.models import delta
from lm_lab.models.loading import load_adaptation
from lm_lab.objectives import CausalLM, MaskedLM
from lm_lab.strategies import LoRA
from lm_lab.training.pretraining import Pretraining

Make = Callable[..., Backbone]
SMALL: dict[str, Any] = {"source": "microworld", "train_limit": 16, "validation_limit": 8}
QUIET: dict[str, Any] = {
    "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False, "num_sanity_val_steps": 0, "max_steps": 1,
}  # fmt: skip


def adapted(make: Make, family: str = "bert", **options: Any) -> AdaptedModel:
    return AdaptedModel(make(family), LoRA(rank=2), GLUE("rte", **SMALL).task, **options)


def test_each_learns_what_it_needs_of_the_other(make: Make) -> None:
    model, data = adapted(make, pairs="bi_encoder"), GLUE("rte", max_length=40, truncation="left", **SMALL)
    assert model.read_by is None
    assert bind(model, data) is data
    reading = data.reading
    assert (reading.tokenizer, reading.pairs) == (model.backbone.tokenizer, "bi_encoder")
    assert (reading.max_length, reading.side) == (40, "left")
    assert model.read_by == data.description()
    data = GLUE("rte", max_length=100_000, **SMALL)
    assert bind(model, data).reading.max_length == model.backbone.max_length  # the shorter of the two


@pytest.mark.parametrize("use", ["fit", "validate"])
def test_who_forgets_is_given_the_line(make: Make, use: str) -> None:
    model, data = adapted(make), GLUE("rte", **SMALL)
    with pytest.raises(UsageError, match=r"GLUE does not know which model reads it.*bind\(model, data\)"):
        getattr(L.Trainer(**QUIET), use)(Adaptation(model), data)
    with pytest.raises(UsageError, match=r"Corpus does not know which model reads it.*bind\(model, data\)"):
        getattr(L.Trainer(**QUIET), use)(Pretraining(make(), MaskedLM), Corpus(documents=40, held_out=8))


def test_who_binds_what_does_not_belong_together_is_told(make: Make) -> None:
    model, data, corpus = adapted(make), GLUE("rte", **SMALL), Corpus(documents=40, held_out=8)
    pairs: list[Any] = [(model, corpus), (Pretraining(make(), MaskedLM), data), (Adaptation(model), data), (model, 3)]
    for left, right in pairs:
        with pytest.raises(UsageError, match="do not belong together"):
            bind(left, right)


def test_another_model_gets_tokens_of_its_own(make: Make) -> None:
    data, first, second = GLUE("rte", **SMALL), adapted(make), adapted(make, pairs="bi_encoder")
    bind(first, data).encode(["train"])
    assert len(data.encoded["train"].collate([0])["texts"]) == 1
    bind(second, data).setup("fit")
    assert len(data.encoded["train"].collate([0])["texts"]) == 2


def test_a_corpus_is_laid_out_for_its_model(make: Make) -> None:
    corpus = Corpus(documents=40, held_out=8, max_length=32)
    for family, objective in (("bert", MaskedLM), ("gpt2", CausalLM)):
        model = Pretraining(make(family), objective)
        bind(model, corpus).setup("fit")
        assert corpus.training is not None
        assert corpus.training.layout.templated is (family == "bert")
    with pytest.raises(UsageError, match="max_length=4000: this backbone takes 1 to 512 tokens"):
        bind(Pretraining(make(), MaskedLM), Corpus(documents=40, held_out=8, max_length=4000)).setup("fit")


def test_a_delta_keeps_how_its_texts_are_read(make: Make, tmp_path: Path) -> None:
    model = adapted(make)
    bind(model, GLUE("rte", max_length=24, **SMALL))
    model.save(tmp_path / "bound")
    found = load_adaptation(tmp_path / "bound")
    assert found.read_by == model.read_by == {
        "class_path": "lm_lab.data.GLUE", "init_args": {"task": "rte", "max_length": 24},
    }  # fmt: skip
    adapted(make).save(tmp_path / "alone")
    assert load_adaptation(tmp_path / "alone").read_by is None
    description = json.loads((tmp_path / "bound" / delta.DESCRIPTION).read_text())
    del description["bound"]  # as it was before
    (tmp_path / "bound" / delta.DESCRIPTION).write_text(json.dumps(description))
    assert load_adaptation(tmp_path / "bound").read_by == model.read_by


def test_no_data_module_looks_into_a_module() -> None:
    import lm_lab

    root = Path(lm_lab.__file__).parent
    for path in [*root.rglob("data/**/*.py"), *root.parent.glob("benchmarks/**/*.py")]:
        assert "lightning_module" not in path.read_text(), path
    setters = {path.stem for path in root.rglob("*.py") if ".read_by = " in path.read_text()}
    assert setters == {"binding"}
