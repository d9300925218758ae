"""Families from elsewhere: registered with `transformers`, or with a row of their own."""

import json

import pytest
from model_types import WIDTHS
from transformers import AutoConfig, AutoModel, BertConfig, BertModel

from lm_lab import AdaptedModel
from lm_lab.backbones import TransformersBackbone
from lm_lab.backbones.families import FamilyRow, Site
from lm_lab.backbones.sites import MissingSiteError
from lm_lab.cli import main
from lm_lab.data import microworld
from lm_lab.errors import UsageError
from lm_lab.models import delta
from lm_lab.models.loading import load_adaptation
from lm_lab.strategies import LoRA
from lm_lab.tasks import glue_task


class OwnConfig(BertConfig):
    """Of a package that `transformers` does not know."""

    model_type = "own-model"


class OwnModel(BertModel):
    """A BERT by another name."""

    config_class = OwnConfig


@pytest.fixture
def own(tmp_path):
    AutoConfig.register("own-model", OwnConfig, exist_ok=True)
    AutoModel.register(OwnConfig, OwnModel, exist_ok=True)
    tokenizer = microworld.tokenizer()
    config = OwnConfig(vocab_size=len(tokenizer), **WIDTHS)
    OwnModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "own")
    tokenizer.save_pretrained(tmp_path / "own")
    return str(tmp_path / "own")


ROW = FamilyRow(
    {"query": r".*\.self\.key", "mlp_out": Site(r".*\.output\.dense", (0, 2)), "norm": None}, pooling="mean"
)


def test_a_family_of_another_package_needs_no_row(own):
    assert len(TransformersBackbone(own).sites("query")) == 2


def test_a_row_goes_before_inference_and_stays_with_a_delta(own, tmp_path):
    backbone = TransformersBackbone(own, family=ROW)
    assert backbone.pooling == "mean"
    assert [match.name for match in backbone.sites("query")] == [match.name for match in backbone.sites("key")]
    assert backbone.sites("mlp_out")[0].sizes == (32, 16)
    with pytest.raises(MissingSiteError, match="'norm': its family's row says so"):
        backbone.sites("norm")
    folder = delta.save(AdaptedModel(backbone, LoRA(rank=2), glue_task("sst2")), tmp_path / "delta")
    again = load_adaptation(folder)
    assert again.backbone.description == backbone.description
    assert again.pooling == "mean"


def test_a_row_of_ones_own_overrules_a_refusal(of_type):
    with pytest.raises(UsageError, match=r"To use it all the same, give a row of your own \(backbone\.family"):
        of_type("convbert")
    assert of_type("convbert", family=FamilyRow()).sites("query")


def test_the_doctor_takes_a_folder_and_a_row(of_type, tmp_path, capsys):
    of_type("bloom")
    command = ["doctor", "--backbone", str(tmp_path), "--strategy", "LoRA"]
    row = {"class_path": "FamilyRow", "init_args": {"sites": {"query": None}}}
    assert main(command) == 0
    capsys.readouterr()
    assert main([*command, "--family", json.dumps(row), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert "no site for the role 'query': its family's row says so" in told["detail"]


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ({"class_path": "os.system"}, r"names os\.system as a family, outside of lm_lab\.backbones"),
        ({"class_path": "lm_lab.backbones.families.Site"}, r"families\.Site, which is not a family"),
        ("FamilyRow", "family='FamilyRow'"),
    ],
)
def test_a_delta_of_a_stranger_names_no_other_class_as_its_family(own, tmp_path, family, message):
    folder = delta.save(
        AdaptedModel(TransformersBackbone(own, family=ROW), LoRA(rank=2), glue_task("sst2")), tmp_path / "delta"
    )
    path = folder / delta.DESCRIPTION
    said = json.loads(path.read_text())
    said["config"]["model"]["backbone"]["family"] = family
    path.write_text(json.dumps(said))
    with pytest.raises(UsageError, match=message):
        load_adaptation(folder)
