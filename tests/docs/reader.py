"""What the docs take for granted of a reader: files, names, what was done on another page; nothing is out of use."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import made_superglue
import numpy as np
import torch
from pages import ROOT, blocks

from lm_lab.data import microworld
from lm_lab.words import WordVectors, formats

# regular expression of a command -> why it is not run here
NOT_RUN = {
    r"^make ": "installs, tests or trains for minutes; the commands of quickstart stand on its page",
    r"^pip install ": "asks a registry",
    r"^wandb (sweep|agent) ": "asks a server; tests/tracking/test_sweep.py runs what the agent does",
    r"track workspace": "needs wandb-workspaces, or a server; tests/tracking/test_workspace.py reads what is sent",
    r"track sync runs/wandb$": "uploads; tests/tracking/test_sync.py does, to a server of its own",
    r"benchmarks/family": "six models are pretrained first, by a script of its own",
    r"python benchmarks/objectives.py": "22 processes; tests/benchmark/test_objectives_script.py runs it small",
}
# regular expression of a command -> why it waits for `make test-all`
SLOW = {
    "--trainer.devices 2": "two processes of their own",
    "bench run benchmarks/strategies.yaml": "88 cells",
    "bench run benchmarks/trees.yaml": "30 cells",
    "bench run benchmarks/objectives": "48 cells in two suites",
    "bench run benchmarks/budgets.yaml": "36 cells",
}
# regular expression of a command -> the words that it gets besides, for less to do
ADDED = {
    # in this process: a worker takes longer to start than its cells to run; tests/commands/test_bench.py logs to W&B
    "lm-lab bench run": "--workers 0 --wandb disabled",
    "lm-lab adapt fit .*source.microworld": "--data.train_limit 16 --data.validation_limit 8",  # 2,000 and 1,000 rows
    "lm-lab adapt fit .*--data.holdout": "--data.holdout 8",  # of 40 rows
    "lm-lab probe": "--limit 40",
    "model.strategy Prompting(?!.*words)": "--model.strategy.words '[bad, good]'",  # of the microworld
    "lm-lab pretrain fit .*novels_": "--data.documents 48 --data.held_out 16",  # a novel is a sentence here
}


def newest(_: re.Match[str]) -> str:
    """The delta that was written last."""
    return str(max(Path("runs").rglob("delta"), key=lambda path: path.stat().st_mtime_ns))


# regular expression of words that stand for the reader's own -> what they are here
NAMES: dict[str, str | Callable[[re.Match[str]], str]] = {
    "^LM_LAB_DATA=../shared/data ": "",  # it is set already
    "^python -c": f"{sys.executable} -c",
    r"\bMNLI_DELTA\b": "runs/mnli/lightning_logs/version_0/delta",
    r"\bFOLDER\b": "configs/backbones/microworld_bert",
    r"\bruns/DELTA\b": newest,
}
_PRETRAINED = "lm-lab pretrain fit --config configs/pretraining/microworld_quickstart.yaml"
_ADAPTED = "lm-lab adapt fit --config configs/backbones/minilm_l3.yaml --config configs/strategies/lora.yaml"
_VOCABULARY = "lm-lab tokenizer --kind wordpiece --source wikitext-2-raw --lowercase --out runs/wordpieces"
_DELTA = "runs/lightning_logs/version_0/delta"
# page -> commands that a reader has given before; the page says so, or links to where they stand
BEFORE = {
    "docs/benchmark.md": [_PRETRAINED],
    "docs/objectives/comparison.md": [
        f"{_PRETRAINED} --save.output runs/objectives/mlm",
        "mkdir runs/objectives_novels && cp -r runs/objectives/mlm runs/objectives_novels",
        "mkdir runs/budgets && for n in 200 2000 20000; do cp -r runs/objectives/mlm runs/budgets/${n}k; done",
    ],
    "docs/objectives/masking.md": [_VOCABULARY],
    "docs/report.md": [
        "mkdir -p runs results docs/images && cp -r benchmarks/results/choices results/my_suite",
        "cp -r results/my_suite runs",
    ],
    "docs/sharing.md": [
        f"{_ADAPTED} --config configs/tasks/rte.yaml",
        f"mkdir -p runs/anna runs/ben && cp -r {_DELTA} runs/anna && cp -r {_DELTA} runs/ben",
    ],
    "docs/strategies/probe.md": [_PRETRAINED],
    "docs/tracking.md": ["mkdir -p results && cp -r benchmarks/results/choices results/my_suite"],
    "docs/training.md": [f"{_ADAPTED} --config configs/tasks/mnli.yaml --trainer.default_root_dir runs/mnli"],
}
# page -> what its examples in Python take for given
VALUES = {
    "docs/report.md": "from pathlib import Path\nroot = Path('results/my_suite')",
    "docs/tracking.md": "from pathlib import Path\nroot = Path('results/my_suite')",
    "docs/statistics.md": (
        "import numpy as np\n"
        "labels = np.arange(40) % 2\n"
        "lora, full = np.random.default_rng(0).integers(0, 2, (2, 3, 40))"
    ),
}


def give(folder: Path) -> None:
    """Write the files that commands name as the reader's."""
    corpus = [text.replace("\t", " ") for text in microworld.corpus(700, seed=0)]
    single, pairs, sentences = (microworld.table(task, "train", 60).to_pylist() for task in ("sst2", "rte", "tags"))
    words = [(row["sentence"], ("bad", "good")[row["label"]]) for row in single]
    files = {
        "my_text.txt": corpus,
        "text.txt": corpus,
        "reviews.txt": corpus[:3],
        "NEW.txt": corpus[:3],
        "pairs.txt": [f"{row['sentence1']}\t{row['sentence2']}" for row in pairs[:3]],
        "reviews.csv": ["review,verdict", *(f"{text},{label}" for text, label in words)],
        "posts.jsonl": [json.dumps({"sentence": text, "label": [label, "short"]}) for text, label in words],
        "pairs.csv": ["article,headline", *(f"{row['sentence1']},{row['sentence2']}" for row in pairs)],
        "my_quiz.csv": ["context,option_0,option_1,answer", *(f"{text},good,bad,{label}" for text, label in words)],
    }
    tagged = [[*map(" ".join, zip(row["tokens"], row["tags"], strict=True)), ""] for row in sentences]
    for split in ("train", "validation"):
        files[f"my_reviews/{split}.csv"] = ["sentence,label", *(f"{row['sentence']},{row['label']}" for row in single)]
        files[f"my_products/{split}.txt"] = [line for lines in tagged for line in lines]
    classes = re.compile(r"def inject|\(Backbone\)")
    files["my_package.py"] = [block for block in blocks(ROOT / "docs/extending.md", "python") if classes.search(block)]
    rows = np.random.default_rng(0).integers(0, 256, (len(microworld.vocabulary()), 32), np.uint8)
    files["unifont.hex"] = [f"{0x4E00 + number:04X}:{row.tobytes().hex()}" for number, row in enumerate(rows)]
    for name, lines in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    for task in made_superglue.TASKS:
        made_superglue.write_own(folder / "superglue", task)
    words = [word for word in microworld.vocabulary() if not word.startswith("[")]
    vectors = WordVectors(words, np.random.default_rng(0).normal(size=(len(words), 8)))
    formats.write(vectors, folder / "vectors.txt")
    tokenizer = microworld.tokenizer()
    tokenizer.save_pretrained(folder / "vectors")
    torch.save(torch.randn(len(tokenizer), 16), folder / "vectors" / "vectors.pt")
