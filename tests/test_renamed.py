"""A name of an earlier version is refused with the one it has now; the new one is there."""

import pytest
import yaml
from suites import write_suite

from lm_lab.cli import main
from lm_lab.described import class_path, named
from lm_lab.errors import UsageError
from lm_lab.models import AdaptedModel
from lm_lab.models.loading import load_adaptation
from lm_lab.renamed import RENAMED, hint
from lm_lab.strategies import LoRA
from lm_lab.tasks import glue_task


@pytest.mark.parametrize("new", [name for name in RENAMED.values() if "." in name])
def test_what_a_name_became_is_the_shortest_path_to_something(new):
    assert class_path(named(new)) in (new, new.replace(".batch_size_warmup", ""))


def test_only_whole_names_count():
    assert hint("lm_lab.data.glue.GLUE") == "; 'lm_lab.data.glue.GLUE' is called 'lm_lab.data.GLUE' now"
    assert not hint("lm_lab.data.glue.GLUEs and my.lm_lab.data.glue.GLUE, a joint of towers")
    assert hint("model.pairs: Got value: joint") == "; 'joint' is called 'cross_encoder' now"


def test_an_old_suite_is_told_what_to_write(tmp_path, folders, capsys):
    tasks = {"mine": {"data": {"class_path": "lm_lab.data.own.OwnTexts", "source": "x"}}}
    old = [{"tasks": tasks}, {"defaults": {"model": {"pairs": "towers"}}}]
    for number, (changes, new) in enumerate(zip(old, ("lm_lab.data.OwnTexts", "bi_encoder"), strict=True)):
        path = write_suite(tmp_path / f"{number}.yaml", folders["bert"], **changes)
        assert main(["bench", "run", str(path), "--out", "out", "--workers", "0"]) == 2
        assert f"is called '{new}' now" in capsys.readouterr().err


def test_an_old_delta_is_told_what_it_is(make, tmp_path):
    AdaptedModel(make("bert"), LoRA(rank=2), glue_task("mrpc")).save(tmp_path / "delta")
    path = tmp_path / "delta" / "adaptation.json"
    path.write_text(path.read_text().replace('"format": 3', '"format": 2'))
    with pytest.raises(UsageError, match="has format 2; this version reads 3: train it again"):
        load_adaptation(tmp_path / "delta")


def test_an_old_fragment_is_told_what_to_write(tmp_path, capsys):
    path = tmp_path / "old.yaml"
    path.write_text(yaml.safe_dump({"trainer": {"callbacks": [{"class_path": "lm_lab.training.ramp.BatchRamp"}]}}))
    assert main(["adapt", "fit", "--model.backbone.source=x", "--data=GLUE", "--config", str(path)]) == 2
    assert "BatchSizeWarmup' now" in capsys.readouterr().err
