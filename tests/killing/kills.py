"""Kill runs at random moments and in the middle of writes, run the same command to its end, compare with a quiet run.

    PYTHONPATH=tests python tests/killing/kills.py --kills 100 --out benchmarks/results/kills.json

Runs are of tiny models on the microworld. Each is a fork of this process, which has paid for the imports. A kill is
SIGKILL or SIGTERM, at a random time of the run or at one of the calls that put a written file in its place.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from suites import STRATEGIES, write_suite
from tiny_models import CONFIGS

import lm_lab.benchmark.execute
import lm_lab.benchmark.runner
import lm_lab.commands.bench
import lm_lab.commands.pretrain
import lm_lab.report.page
import lm_lab.tracking.wandb  # noqa: F401  what a run would import, once for all
from lm_lab import provenance
from lm_lab.cli import main as lab
from lm_lab.data import microworld
from lm_lab.results.predictions import read_predictions
from lm_lab.results.records import read_records

ROOT = Path(__file__).parents[2]
Words = list[str]


@dataclass(frozen=True)
class Kind:
    """A command that writes into a folder, and what of it must not depend on kills."""

    words: Callable[[Path], Words]
    outcome: Callable[[Path], Any]


def bench(root: Path) -> Kind:
    """A suite of a probe on stored features, whose rate is selected, and full fine-tuning."""
    probe = {"class_path": "LinearProbe", "tune": {"learning_rate": [1e-3, 1e-2]}}
    suite = write_suite(root / "suite.yaml", root / "bert", strategies={"probe": probe, "full": STRATEGIES["full"]})
    words = ["bench", "run", str(suite), "--workers", "0", "--wandb", "disabled"]

    def outcome(folder: Path) -> Any:
        records = read_records(folder)
        return {r["id"]: (r["score"], read_predictions(folder, r["id"]).prediction.tolist()) for r in records}

    return Kind(lambda folder: [*words, "--out", str(folder)], outcome)


def fit(root: Path, *words: str, output: str, every: int | None = None) -> Kind:
    """A fit whose saved weights are compared to the bit; with a checkpoint of its own `every` so many steps."""

    def command(folder: Path) -> Words:
        quiet = ["--trainer.enable_progress_bar=false", "--trainer.precision=32-true", "--trainer.accelerator=cpu"]
        own = [word.replace("FOLDER", str(folder)) for word in words]
        return [*own, *quiet, f"--trainer.default_root_dir={folder}", *(_checkpoints(folder, every) if every else [])]

    def outcome(folder: Path) -> Any:
        files = sorted(folder.glob(output))
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files[-1:]]

    return Kind(command, outcome)


def _checkpoints(folder: Path, every: int) -> Words:
    fragment = yaml.safe_load((ROOT / "configs/trainer/resumable.yaml").read_text())
    fragment["trainer"]["callbacks"][0]["init_args"] |= {"dirpath": str(folder), "every_n_train_steps": every}
    path = folder.parent / f"{folder.name}.yaml"
    path.write_text(yaml.safe_dump(fragment))
    return [f"--config={path}", "--ckpt_path=last"]


def kinds(root: Path) -> dict[str, Kind]:
    """Every kind of run, on the tiny BERT in `root`."""
    bert, of_the_data = str(root / "bert"), ["--data.source=microworld", "--data.task=sst2", "--data.train_limit=96"]
    adapting = ["adapt", "fit", f"--model.backbone.source={bert}", "--model.strategy=LoRA", "--data=GLUE", *of_the_data]
    pretraining = ["pretrain", "fit", f"--config={ROOT / 'configs/pretraining/microworld_mlm.yaml'}"]
    pretraining += [f"--model.backbone.source={bert}", "--data.documents=160", "--data.held_out=32"]
    pretraining += ["--data.batch_size=16", "--trainer.max_epochs=3", "--save.output=FOLDER/backbone"]
    return {
        "bench": bench(root),
        "adapt": fit(root, *adapting, "--data.batch_size=8", "--trainer.max_epochs=2", output="**/delta/*.safetensors"),
        "pretrain": fit(root, *pretraining, output="backbone/model.safetensors"),
        "pretrain, checkpoints": fit(root, *pretraining, output="backbone/model.safetensors", every=2),
    }


def start(words: Words, folder: Path, die: Callable[[], None] = lambda: None) -> int:
    """Run a command in a fork, which calls `die` first; returns the fork's process id."""
    child = os.fork()
    if child:
        return child
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)
    os.chdir(folder.parent)
    sys.argv = ["lm-lab", *words]
    code = 1
    with suppress(BaseException):
        die()
        code = lab(words)
    os._exit(code)


def at_a_write(number: int, how: signal.Signals, after: bool) -> None:
    """Have this process killed at its `number`-th call that puts a file in its place, before it or after."""
    calls, replace = count(1), os.replace

    def dying(*arguments: Any, **options: Any) -> None:
        last = next(calls) == number
        if last and not after:
            os.kill(os.getpid(), how)
        replace(*arguments, **options)
        if last and after:
            os.kill(os.getpid(), how)

    os.replace = dying  # type: ignore[assignment]


def ended(child: int) -> int:
    """The exit code of a fork; minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def trial(kind: Kind, folder: Path, seconds: float, draw: random.Random) -> tuple[str, bool]:
    """Kill one run, then run it to its end: how it was killed, and whether its code is 0."""
    how = draw.choice((signal.SIGKILL, signal.SIGTERM))
    writing = draw.random() < 0.5
    if writing:
        number, after = draw.randint(1, 6), draw.random() < 0.5
        child = start(kind.words(folder), folder, lambda: at_a_write(number, how, after))
    else:
        child = start(kind.words(folder), folder)
        time.sleep(draw.uniform(0.02, 1.0) * seconds)
        with suppress(ProcessLookupError):
            os.kill(child, how)
    code = ended(child)
    again = ended(start(kind.words(folder), folder))
    missed = ", too late" if code == 0 else ""
    return f"{how.name} {'in a write' if writing else 'at a moment'}{missed}", again == 0


def prepare(root: Path) -> None:
    """A tiny BERT with the microworld's vocabulary."""
    tokenizer, (name, settings) = microworld.tokenizer(), CONFIGS["bert"]
    torch.manual_seed(0)
    config = getattr(transformers, name)(vocab_size=len(tokenizer), **settings)
    transformers.AutoModel.from_config(config).save_pretrained(root / "bert")
    tokenizer.save_pretrained(root / "bert")


def measure(kind: Kind, name: str, root: Path, kills: int, until: float, draw: random.Random) -> dict[str, Any]:
    """Kill `kills` runs of a kind, each in a folder of its own."""
    name = name.replace(", ", "_")
    whole = root / f"{name}_whole"
    whole.mkdir()
    began = time.monotonic()
    if ended(start(kind.words(whole), whole)) != 0:
        raise SystemExit(f"{name}: the quiet run failed: {kind.words(whole)}")
    seconds, expected = time.monotonic() - began, kind.outcome(whole)
    how, wrong = Counter[str](), list[str]()
    for number in range(kills):
        if time.monotonic() > until:
            break
        folder = root / f"{name}_{number}"
        folder.mkdir()
        killed, well = trial(kind, folder, seconds, draw)
        how[killed] += 1
        if not well or kind.outcome(folder) != expected:
            wrong.append(f"{folder.name}: {killed}{'' if well else ', the second run failed'}")
    return {"kills": dict(sorted(how.items())), "as the quiet run": sum(how.values()) - len(wrong), "otherwise": wrong}


def main() -> None:
    """Kill runs of every kind, and write what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--only", nargs="+", default=["bench", "adapt", "pretrain", "pretrain, checkpoints"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60, help="after that many no trial begins")
    parser.add_argument("--out", type=Path, help="a record, to which this run is added")
    chosen = parser.parse_args()
    began = time.monotonic()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["LM_LAB_CACHE"] = str(root / "cache")
        prepare(root)
        torch.set_num_threads(1)
        for share, kind in enumerate(chosen.only):
            draw = random.Random(f"{chosen.seed} {kind}")
            kills = chosen.kills * (share + 1) // len(chosen.only) - chosen.kills * share // len(chosen.only)
            until = began + 60 * chosen.minutes * (share + 1) / len(chosen.only)
            found[kind] = measure(kinds(root)[kind], kind, root, kills, until, draw)
            print(json.dumps({kind: found[kind]}), flush=True)
    if chosen.out:
        before = json.loads(chosen.out.read_text()) if chosen.out.exists() else []
        runs = [*before, found | {"seed": chosen.seed} | provenance.in_words()]
        chosen.out.write_text(json.dumps(runs, indent=1) + "\n")
    if any(of_kind["otherwise"] for of_kind in found.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
