"""A backbone is what its files hold: from the hub, by any revision, or from a folder, whatever lies beside them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lm_lab import hub
from lm_lab.backbones import Backbone, TransformersBackbone, identity
from lm_lab.errors import UsageError

Make = Callable[..., Backbone]
ROOT = Path(__file__).parents[2]
PRINT = """
import json
from lm_lab.backbones import TransformersBackbone, loading
from lm_lab.benchmark.fingerprints import cache_fingerprints
print(json.dumps([
    [TransformersBackbone("org/tiny", revision=r).fingerprint, loading.origin("org/tiny", revision=r).fingerprint]
    for r in (None, "other", "aaa", "bbb")
]))
"""


def cached_hub(root: Path, **snapshots: Path) -> None:
    """The hub's cache of `org/tiny`, with a snapshot a commit; main is the first, `other` the second."""
    folder = root / "models--org--tiny"
    (folder / "refs").mkdir(parents=True)
    for branch, (commit, source) in zip(("main", "other"), snapshots.items(), strict=True):
        shutil.copytree(source, folder / "snapshots" / commit)
        (folder / "refs" / branch).write_text(commit)


def test_revisions_of_the_hub_are_told_apart_and_equal_their_folders(make: Make, folders: dict[str, Path]) -> None:
    here = Path.cwd()
    changed = changed_weights(folders["bert"], here / "changed")
    cached_hub(here / "hub", aaa=folders["bert"], bbb=changed)
    environment = os.environ | {"HF_HUB_CACHE": str(here / "hub"), "PYTHONPATH": str(ROOT)}
    out = subprocess.run([sys.executable, "-c", PRINT], env=environment, capture_output=True, text=True, check=True)
    found = json.loads(out.stdout.splitlines()[-1])
    one, other = make("bert").fingerprint, TransformersBackbone(str(changed)).fingerprint
    assert one != other
    assert found == [[one, one], [other, other], [one, one], [other, other]]


def changed_weights(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    tensors = load_file(target / "model.safetensors")
    tensors["embeddings.word_embeddings.weight"] += 1e-3
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    return target


def test_a_foreign_file_beside_the_weights_changes_nothing(folders: dict[str, Path]) -> None:
    folder = Path(shutil.copytree(folders["bert"], "copy"))
    before = TransformersBackbone(str(folder)).fingerprint
    save_file({"x": torch.ones(2)}, folder / "adapter_model.safetensors")
    save_file({"x": torch.ones(2)}, folder / "a_backup.safetensors")
    torch.save({}, folder / "pytorch_model.bin")
    assert TransformersBackbone(str(folder)).fingerprint == before
    (folder / "model.safetensors").unlink()
    assert identity.weight_files(str(folder)) == [folder / "pytorch_model.bin"]


def test_the_shards_that_an_index_names_are_the_weights(folders: dict[str, Path]) -> None:
    folder = Path(shutil.copytree(folders["bert"], "copy"))
    TransformersBackbone(str(folder)).model.save_pretrained("shards", max_shard_size="10KB")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, Path("shards", name))
    files = identity.weight_files("shards")
    assert len(files) > 2
    before = TransformersBackbone("shards").fingerprint
    save_file({"x": torch.ones(2)}, "shards/model-00009-of-00010.safetensors.bak")
    save_file({"x": torch.ones(2)}, "shards/model-extra.safetensors")
    assert TransformersBackbone("shards").fingerprint == before
    files[0].unlink()
    with pytest.raises(UsageError, match=rf"index.json names {files[0].name}, which is not at 'shards'"):
        TransformersBackbone("shards")
    Path("shards/model.safetensors.index.json").write_text("{")
    with pytest.raises(UsageError, match="is no index of weights"):
        TransformersBackbone("shards")


def test_what_the_configuration_says_of_states_counts_and_names_do_not(folders: dict[str, Path]) -> None:
    folder = Path(shutil.copytree(folders["bert"], "copy"))
    before = TransformersBackbone(str(folder)).fingerprint
    config = json.loads((folder / "config.json").read_text())
    for settings, same in (
        ({"architectures": ["X"], "transformers_version": "1"}, True),
        ({"hidden_act": "relu"}, False),
    ):
        (folder / "config.json").write_text(json.dumps(config | settings))
        assert (TransformersBackbone(str(folder)).fingerprint == before) == same
    assert TransformersBackbone(str(folders["bert"]), dropout=0.3).fingerprint == before


@pytest.mark.parametrize("change", [8, -1])
def test_weights_of_other_sizes_are_named(folders: dict[str, Path], change: int) -> None:
    folder = Path(shutil.copytree(folders["bert"], "copy"))
    config = json.loads((folder / "config.json").read_text())
    size = config["vocab_size"]
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": size + change}))
    message = rf"embeddings.word_embeddings.weight is {size} x 32 in the file and {size + change} x 32"
    with pytest.raises(UsageError, match=message):
        TransformersBackbone(str(folder))


def test_damaged_weights_are_named(folders: dict[str, Path]) -> None:
    for number, content in enumerate([b"", b"\x00" * 100, (folders["bert"] / "model.safetensors").read_bytes()[:2000]]):
        folder = Path(shutil.copytree(folders["bert"], f"copy{number}"))
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(UsageError, match="cannot load the backbone"):
            TransformersBackbone(str(folder))


def test_a_tokenizer_that_has_far_fewer_ids_than_the_embeddings_is_said(folders: dict[str, Path]) -> None:
    config = json.loads((folders["bert"] / "config.json").read_text())
    Path("large.json").write_text(json.dumps(config | {"vocab_size": 2000}))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folders["bert"] / name, name)
    with pytest.warns(UserWarning, match=r"ids, the embeddings 2,000 rows: is it the one"):
        assert TransformersBackbone("large.json").tokenizer


def test_a_silent_hub_is_found_out_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import huggingface_hub.constants

    asked: list[float] = []
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "reachable", lambda: asked.append(1) or False)
    hub.stay_offline_if_silent.cache_clear()
    for _ in range(3):
        hub.stay_offline_if_silent()
    hub.stay_offline_if_silent.cache_clear()
    assert len(asked) == 1
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert huggingface_hub.constants.is_offline_mode()
    assert "using what is in its cache" in capsys.readouterr().err
