"""Pretrain one backbone an objective, all on one corpus with one budget of tokens, for the suites of objectives.

    python benchmarks/objectives.py microworld
    lm-lab bench run benchmarks/objectives.yaml --out runs/objectives/results

    lm-lab tokenizer --kind wordpiece --source wikitext-2-raw --vocab_size 8000 --lowercase --out runs/wordpieces
    LM_LAB_DATA=../shared/data python benchmarks/objectives.py novels
    LM_LAB_DATA=../shared/data lm-lab bench run benchmarks/objectives_novels.yaml --out runs/novels_results
    LM_LAB_DATA=../shared/data python benchmarks/objectives.py wikitext

Each is the configuration of its name in configs/pretraining, but for the corpus, the size of the model and the number
of steps: all read as many tokens as masked words read in some epochs. What is there already is not trained again. What
is known of each, losses and their baselines too, is gathered in `pretraining.json` beside the models.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lm_lab.backbones.output import FACTS
from lm_lab.cli import exit_code
from lm_lab.commands import pretrain
from lm_lab.config.lightning_cli import quiet
from lm_lab.errors import UsageError
from lm_lab.training.pretrained import Facts

REFERENCE = "mlm"
PAIRED = ("bert_nsp", "albert", "structbert")
FAMILIES = {
    "bert": ("mlm", "ngram", "entity", "span", "spanbert", "bert_nsp", "structbert", "electra", "unilm"),
    "albert": ("albert",),
    "gpt2": ("causal_lm",),
    "xlnet": ("xlnet", "transformer_xl"),
    "t5": (
        "span_corruption", "prefix_lm", "bert_style", "deshuffling", "mass_style", "replace_spans", "drop_tokens",
    ),
    "bart": ("bart", "mass"),
}  # fmt: skip
FAMILY = {name: family for family, names in FAMILIES.items() for name in names}


class Epoch(NamedTuple):
    """What one pass over the corpus is to an objective, whose rows may be documents, pairs or pieces."""

    batches: int
    tokens: int


@dataclass(frozen=True)
class Corpus:
    """A text, the models that read it, and for how long: `epochs` of the reference."""

    out: Path
    epochs: float
    options: tuple[str, ...]
    size: str | None = None  # of `new:FAMILY-SIZE`; None keeps the configuration's own model

    def words(self, name: str) -> list[str]:
        """Options of `lm-lab pretrain fit` for one objective."""
        shared = ["--trainer.check_val_every_n_epoch=null", "--trainer.enable_progress_bar=false", *self.options]
        if self.size:
            shared.append(f"--model.backbone.source=new:{FAMILY[name]}-{self.size}")
            if name not in (*PAIRED, "transformer_xl"):  # which have rows of their own
                shared.append("--data.rows=lm_lab.data.Packed")
            if name == "entity":  # whose own list is of the microworld
                shared.append("--data.spans=lm_lab.data.PhraseChunker")
        config = f"--config=configs/pretraining/microworld_{name}.yaml"
        return [config, *shared, f"--save.output={self.out / name}"]


def text(source: str, **data: int | str) -> tuple[str, ...]:
    """Options for real text in packed rows of 64 word pieces; all of it, unless `data` says otherwise.

    Rows are short because the tasks are of sentences. Nothing is dropped out: one epoch cannot be learned by heart.
    """
    settings = {"documents": "null", "starts": "null", "held_out": 0, "batch_size": 32, "max_length": 64} | data
    given = (f"--data.{name}={value}" for name, value in settings.items())
    model = ("--model.backbone.tokenizer=runs/wordpieces", "--model.backbone.dropout=0.0")
    return (f"--data.source={source}", *model, *given)


CORPORA = {
    "microworld": Corpus(Path("runs/objectives"), 5, ("--data.documents=37000",)),
    "novels": Corpus(Path("runs/objectives_novels"), 1, text("novels", documents=11, held_out=2), "tiny"),
    "wikitext": Corpus(Path("runs/objectives_wikitext"), 1, text("wikitext-2-raw", starts=" = [^=]"), "tiny"),
}


def epoch(corpus: Corpus, name: str) -> Epoch:
    """Batches and tokens of an epoch, padding left out."""
    with quiet():
        run = pretrain.build(corpus.words(name), run=False)
    run.datamodule.prepare_data()
    run.datamodule.setup("fit")
    sizes = [int(batch["attention_mask"].sum()) for batch in run.datamodule.train_dataloader()]
    return Epoch(len(sizes), sum(sizes))


def fit(corpus: Corpus, name: str, steps: int, threads: int, accelerator: str) -> None:
    """Pretrain in a process of its own; what it prints goes to a file beside the models."""
    limits = [f"--trainer.max_steps={steps}", "--trainer.max_epochs=-1", f"--trainer.val_check_interval={steps}"]
    options = [*corpus.words(name), *limits, f"--trainer.accelerator={accelerator}"]
    command = [sys.executable, "-m", "lm_lab", "pretrain", "fit", *options]
    log = corpus.out / f"{name}.log"
    with open(log, "w", encoding="utf-8") as stream:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        code = subprocess.run(command, env=environment, stdout=stream, stderr=stream, check=False).returncode
    if code:
        raise SystemExit(f"{name} failed, exit {code}: {log}")


def main() -> None:
    """Pretrain what is missing, `--workers` at a time."""
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", choices=CORPORA)
    parser.add_argument("--only", nargs="+", choices=tuple(FAMILY), help="some of the objectives")
    parser.add_argument("--epochs", type=float, help="of the reference, which give the budget")
    parser.add_argument("--accelerator", default="cpu", help="of Lightning's Trainer: cpu, gpu, mps, ...")
    parser.add_argument("--workers", type=int, help="processes (default: one a core, one with a GPU)")
    chosen = parser.parse_args()
    workers = _processes(chosen.workers, cores, chosen.accelerator)
    corpus = CORPORA[chosen.corpus]
    budget = (chosen.epochs or corpus.epochs) * epoch(corpus, REFERENCE).tokens
    missing = [name for name in chosen.only or FAMILY if not (corpus.out / name / "config.json").exists()]
    corpus.out.mkdir(parents=True, exist_ok=True)
    plan = {name: _steps(epoch(corpus, name), budget) for name in missing}

    def run(name: str) -> None:
        steps, tokens = plan[name]
        fit(corpus, name, steps, max(1, cores // workers), chosen.accelerator)
        print(json.dumps({"objective": name, "steps": steps, "tokens": tokens}), flush=True)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, missing))
    (corpus.out / FACTS).write_text(json.dumps(gathered(corpus.out), indent=1) + "\n")


def gathered(folder: Path) -> dict[str, Facts]:
    """What is known of the models in a folder, by objective."""
    files = {name: folder / name / FACTS for name in FAMILY}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in files.items() if path.exists()}


def _processes(workers: int | None, cores: int, accelerator: str) -> int:
    if workers is None:
        return cores if accelerator == "cpu" else 1
    if workers < 1:
        raise UsageError(f"--workers {workers}: expected 1 or more.")
    return workers


def _steps(of: Epoch, budget: float) -> tuple[int, int]:
    """Steps that come nearest to a budget of tokens, and their tokens."""
    steps = max(1, round(budget / of.tokens * of.batches))
    return steps, round(steps / of.batches * of.tokens)


if __name__ == "__main__":
    sys.exit(exit_code(main))
