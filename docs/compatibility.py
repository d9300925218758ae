"""Write the table of docs/doctor.md: which strategy works on which family. `python docs/compatibility.py`."""

import sys
import tempfile
from pathlib import Path

import torch
import transformers

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from tiny_models import CONFIGS

from lm_lab.backbones import Backbone
from lm_lab.data import microworld
from lm_lab.doctor.examine import examine
from lm_lab.doctor.examples import EXAMPLES
from lm_lab.doctor.matrix import compatibility

PAGE = Path(__file__).parent / "doctor.md"
START, END = "<!-- compatibility -->\n", "<!-- end -->"


def table() -> str:
    """The doctor's verdict on every strategy and family."""
    results, tokenizer = [], microworld.tokenizer()
    with tempfile.TemporaryDirectory() as root:
        for number, (family, (kind, settings)) in enumerate(CONFIGS.items()):
            torch.manual_seed(number)
            config = getattr(transformers, kind)(vocab_size=len(tokenizer), **settings)
            transformers.AutoModel.from_config(config).save_pretrained(f"{root}/{family}")
            tokenizer.save_pretrained(f"{root}/{family}")
            backbone = Backbone(f"{root}/{family}")
            for name, strategy in EXAMPLES.items():
                results += examine(backbone, name, strategy)
    return compatibility(results)


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(START)
    PAGE.write_text(before + START + table() + "\n" + END + rest.split(END)[1], encoding="utf-8")
