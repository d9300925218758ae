"""Tiny models with real code paths: every family, two layers, 32 wide, the microworld's tokenizer."""

import os

# before anything imports the hub's client or wandb: no test may ask the network
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: threads cost more than they give
os.environ["WANDB_MODE"] = "offline"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from fake_results import write_results
from tiny_models import CONFIGS
from transformers import AutoModel

from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.data import microworld
from lm_lab.report.table import all_points
from lm_lab.results.records import read_records, read_suite


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with weights, configuration and tokenizer for every family."""
    root = tmp_path_factory.mktemp("models")
    tokenizer = microworld.tokenizer()
    for number, (family, (kind, settings)) in enumerate(CONFIGS.items()):
        torch.manual_seed(number)
        config = getattr(transformers, kind)(vocab_size=len(tokenizer), **settings)
        AutoModel.from_config(config).save_pretrained(root / family)
        tokenizer.save_pretrained(root / family)
    return {family: root / family for family in CONFIGS}


@pytest.fixture
def make(folders: dict[str, Path]) -> Callable[..., Backbone]:
    """A tiny backbone of a family."""
    return lambda family="bert", **options: TransformersBackbone(str(folders[family]), **options)


@pytest.fixture
def sentinels(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A T5 whose embeddings have ids for sentinels behind the tokenizer's."""
    config = transformers.AutoConfig.from_pretrained(folders["t5"])
    config.vocab_size += 10
    config.decoder_start_token_id = config.pad_token_id
    AutoModel.from_config(config).save_pretrained(tmp_path / "t5")
    TransformersBackbone(str(folders["t5"])).tokenizer.save_pretrained(tmp_path / "t5")
    return tmp_path / "t5"


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test starts in a folder of its own, with caches of its own and a fixed seed."""
    monkeypatch.setenv("LM_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


@pytest.fixture
def real_data(request: pytest.FixtureRequest) -> str:
    """The folder of real data, or a skip that says how to have it."""
    if not DATA:
        pytest.skip("needs real data: set LM_LAB_DATA to a folder with glue/sst2, glue/mrpc, ...")
    return DATA


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A whole suite's results; tests read it and do not write into it."""
    return write_results(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def points(finished):
    return all_points(read_records(finished), read_suite(finished))


@pytest.fixture
def results(finished, tmp_path) -> Path:
    """A copy of the results that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "results"))


# an absolute path, since tests change folders; tests that do not ask for it must not see it
DATA = os.path.abspath(os.environ["LM_LAB_DATA"]) if os.environ.get("LM_LAB_DATA") else ""
os.environ.pop("LM_LAB_DATA", None)
