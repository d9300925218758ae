"""lm_lab beside the `transformers` Trainer and PEFT, on one machine in turn: a step, a run, a whole grid.

    LM_LAB_DATA=../shared/data python benchmarks/peers/compare.py --out benchmarks/results/peers.json

- step: rounds of an epoch's steps of either side in turn, milliseconds a step with what fetches its batch.
- run: one epoch and its score on the validation set, a seed after the other; seconds of training, and of all.
- grid: 3 methods x 4 rates x 4 seeds, `lm-lab bench run` with one worker beside a loop of Trainer runs in one process;
  and ours once more with a race, which gives up rates that are clearly behind.

Seconds are the processor's on a CPU (one thread) and the wall's on a GPU.

The same weights, rows, batches of 32, steps, rates, linear warm-up and decay, clipping, fp32 and threads; the mean of
the last states and a linear layer on either side. Each side's own defaults otherwise: the Trainer draws batches at
random, pads them to their longest and leaves dropout on in frozen layers; lm_lab batches texts of similar length and
switches it off there. Differences of scores have 95% intervals: Welch's over seeds. `--tiny` runs all of it in seconds.
"""

import argparse
import math
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, median
from typing import Any

import datasets
import ours
import peft
import record
import theirs
import torch
import transformers
from settings import GRID, Settings

from lm_lab.cli import exit_code
from lm_lab.config.imports import restrict
from lm_lab.metrics.uncertainty import t_interval, welch_p

PARTS = ("step", "run", "grid")
_WARM = 2  # steps at the beginning of a round that are not counted


def step(kind: str, settings: Settings) -> dict[str, Any]:
    """Milliseconds a step of each round of either side, and the ratio of each round."""
    found: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(settings.rounds):
        for name, side in (("ours", ours.run), ("theirs", theirs.run)):
            times = side(kind, number, settings, steps=settings.round_steps)["times"]
            found[name].append(1000 * (times[-1] - times[_WARM - 1]) / (len(times) - _WARM))
    ratios = [b / a for a, b in zip(found["ours"], found["theirs"], strict=True)]
    shown = {name: {"least": min(ms), "median": median(ms)} for name, ms in found.items()}
    return {"part": "step", "kind": kind, **shown, "rounds": found, "ratio": spread(ratios)}


def whole(kind: str, settings: Settings) -> dict[str, Any]:
    """Scores and seconds of whole runs, a seed after the other."""
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "theirs": []}
    for seed in range(settings.seeds):
        found["ours"].append(ours.run(kind, seed, settings))
        found["theirs"].append(theirs.run(kind, seed, settings))
    ratios = {
        name: spread([b[name] / a[name] for a, b in zip(found["ours"], found["theirs"], strict=True)])
        for name in ("seconds", "total_seconds")
    }
    scores = {side: [run["score"] for run in runs] for side, runs in found.items()}
    means = {side: {name: fmean(run[name] for run in runs) for name in runs[0]} for side, runs in found.items()}
    return {
        "part": "run", "kind": kind, **means, "runs": found, "ratio": ratios["seconds"],
        "ratio_total": ratios["total_seconds"], "scores": beside(scores["ours"], scores["theirs"]),
    }  # fmt: skip


def grid(settings: Settings) -> dict[str, Any]:
    """The whole grid of either side, ours with a race too, and the scores of each method's best rate."""
    with tempfile.TemporaryDirectory() as folder:
        mine, raced = ours.grid(settings, Path(folder) / "whole"), ours.grid(settings, Path(folder) / "race", race=True)
    other = theirs.grid(settings)
    scores = {kind: beside(best(mine["scores"][kind]), best(other["scores"][kind])) for kind in GRID}
    raced["winners_kept"] = sum(raced["winners"][kind] == mine["winners"][kind] for kind in GRID)
    ratio, with_race = (other["seconds"] / each["seconds"] for each in (mine, raced))
    return {
        "part": "grid", "kind": ", ".join(GRID), "ours": mine, "raced": raced, "theirs": other, "ratio": [ratio],
        "ratio_raced": with_race, "scores": scores,
    }  # fmt: skip


def best(by_rate: dict[str, list[float]]) -> list[float]:
    """The seeds' scores at the rate with the best mean."""
    return max(by_rate.values(), key=fmean)


def beside(mine: list[float], other: list[float]) -> dict[str, Any]:
    """Means, half widths of their 95% intervals, Welch's p; None where a single seed has none."""
    a, b = t_interval(mine), t_interval(other)
    numbers = {"ours": a.mean, "theirs": b.mean, "half_ours": a.half, "half_theirs": b.half, "p": welch_p(a, b)}
    return {name: None if math.isnan(value) else value for name, value in numbers.items()}


def spread(ratios: list[float]) -> list[float]:
    """Median, least and greatest."""
    return [median(ratios), min(ratios), max(ratios)]


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    unit = {"step": ("median", "ms"), "run": ("seconds", "s"), "grid": ("seconds", "s")}[row["part"]]
    times = "  ".join(f"{row[side][unit[0]]:9.1f} {unit[1]}" for side in ("ours", "theirs"))
    ratio = f"{row['ratio'][0]:.2f}" + (
        f" ({row['ratio'][1]:.2f} to {row['ratio'][2]:.2f})" if row["ratio"][1:] else ""
    )
    scores = {"": row["scores"]} if row["part"] == "run" else row.get("scores", {})
    if "raced" in row:
        raced = row["raced"]
        ratio += f", with a race {row['ratio_raced']:.2f} ({raced['winners_kept']} of {len(GRID)} winners)"
    told = [f"{name} {s['ours']:.3f} and {s['theirs']:.3f}".strip() for name, s in scores.items()]
    return f"{row['part']:5} {row['kind']:24} {times}  {ratio:24} {'; '.join(told)}"


def main() -> None:
    """Run the parts, write after each row, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the record (JSON)")
    parser.add_argument("--accelerator", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--source", default=Settings.source, help="name or folder of a BERT")
    parser.add_argument(
        "--data", default=Settings.data, help="`microworld` for made sentences; by default LM_LAB_DATA has them"
    )
    parser.add_argument("--threads", type=int, default=Settings.threads)
    parser.add_argument("--tiny", action="store_true", help="few of everything: a test")
    options = parser.parse_args()
    restrict()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    torch.set_num_threads(options.threads)
    settings = Settings(
        source=options.source, data=options.data, accelerator=options.accelerator, threads=options.threads
    )
    if options.accelerator == "gpu":  # where a step is short
        settings = settings.longer()
    settings = settings.tiny() if options.tiny else settings
    rows: list[dict[str, Any]] = []

    def add(row: dict[str, Any]) -> None:
        rows.append(row)
        print(line(row), flush=True)
        if options.out:
            versions = {"peft": peft.__version__, "transformers": transformers.__version__}
            record.write(options.out, rows, versions, settings=asdict(settings))

    for part in options.parts:  # in the order in which they are named
        if part == "grid":
            add(grid(settings))
        else:
            for kind in settings.kinds:
                add({"step": step, "run": whole}[part](kind, settings))
    print("\n" + "\n".join(map(line, rows)))


if __name__ == "__main__":
    sys.exit(exit_code(main))
