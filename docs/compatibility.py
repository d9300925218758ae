"""Write the tables of docs/doctor.md: which strategy works on which family. `python docs/compatibility.py`."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
import transformers

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from model_types import SETTINGS, config_of
from tiny_models import CONFIGS

from lm_lab.backbones import Backbone, TransformersBackbone
from lm_lab.data import microworld
from lm_lab.doctor.examine import APPLIES, Result, examine
from lm_lab.doctor.examples import EXAMPLES
from lm_lab.doctor.matrix import compatibility, model_types
from lm_lab.errors import UsageError

PAGE = Path(__file__).parent / "doctor.md"
FOUR = ("FullFineTuning", "LinearProbe", "LoRA", "BitFit")
SPARE = 8  # rows of embeddings more than ids: a tokenizer's class may add some


def families(root: str) -> Iterator[Result]:
    """The doctor's results on every strategy and each of the families with a table of their own."""
    for number, (family, (kind, settings)) in enumerate(CONFIGS.items()):
        config = getattr(transformers, kind)(vocab_size=len(microworld.tokenizer()), **settings)
        backbone = _backbone(config, f"{root}/{family}", number)
        for name, strategy in EXAMPLES.items():
            yield from examine(backbone, name, strategy)


def others(root: str) -> Iterator[Result]:
    """Its results on four strategies and every other model type, refused ones included."""
    for number, kind in enumerate(SETTINGS):
        try:
            config = config_of(kind, len(microworld.tokenizer()) + SPARE)
            backbone = _backbone(config, f"{root}/{kind}", number)
        except UsageError as error:
            yield from (Result(name, kind, APPLIES, True, f"refused: {error}") for name in FOUR)
            continue
        for name in FOUR:
            yield from examine(backbone, name, EXAMPLES[name])


def _backbone(config: transformers.PreTrainedConfig, folder: str, seed: int) -> Backbone:
    torch.manual_seed(seed)
    microworld.tokenizer().save_pretrained(folder)
    config.save_pretrained(folder)
    return TransformersBackbone(folder)


def _put(page: str, name: str, table: str) -> str:
    start, end = f"<!-- {name} -->\n", "<!-- end -->"
    before, rest = page.split(start)
    return before + start + table + "\n" + end + rest.split(end, 1)[1]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        written = _put(PAGE.read_text(encoding="utf-8"), "model types", model_types(others(folder)))
        PAGE.write_text(_put(written, "compatibility", compatibility(families(folder))), encoding="utf-8")
