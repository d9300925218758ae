"""What `compile: true` gains, and how near pretraining comes to a product of matrices; prints rows, writes one record.

    python benchmarks/compiling.py --out runs/compiling.json --device cuda --precision bf16
    python benchmarks/compiling.py --parts adapt --source ../shared/weights/paraphrase-MiniLM-L3-v2 --out ...

- adapt: a step of each strategy (forward and backward pass, clipping, AdamW) on batches of 32 rows of random tokens,
  whose lengths change from step to step, as it is and compiled (with CUDA graphs too on a GPU), in turn: rounds of as
  many steps as there are lengths, the first two apart. Weights are random, of BERT-base's shape, without `--source`.
- pretrain: the same of masked language modelling, rows of 128 tokens, for BERT-base and BERT-small: tokens and
  operations a second, as `pretrain fit` counts them, and their share of the rate of a large product of matrices.

Milliseconds of the wall on a GPU, which is waited for after each round, and of the processor on a CPU. `--tiny` runs
all of it in seconds, through graphs that nothing is built of.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import torch
from tokenizers import Tokenizer, models
from torch import Tensor, nn
from transformers import BertConfig, PreTrainedTokenizerFast

from lm_lab import AdaptedModel, TransformersBackbone, provenance
from lm_lab.models.flops import counter
from lm_lab.objectives import MaskedLM
from lm_lab.strategies import FullFineTuning, HoulsbyAdapter, LoRA, PTuningV2
from lm_lab.tasks import glue_task
from lm_lab.training import compiling
from lm_lab.training.callbacks.throughput import product_rate
from lm_lab.training.optimizers import AdamW

STRATEGIES = {"full": FullFineTuning(), "lora": LoRA(), "adapter": HoulsbyAdapter(), "prefix": PTuningV2()}
SHAPES = {"base": (12, 768, 256), "small": (4, 512, 512), "tiny": (1, 64, 4)}  # layers, width, rows of a batch
LENGTHS, LENGTH, ROWS = (12, 24, 16, 40, 32), 128, 32
VOCABULARY = 30522
WAYS: dict[str, dict[str, Any] | None] = {"eager": None, "compiled": {"backend": "inductor"}}
GRAPHS: dict[str, dict[str, Any]] = {"CUDA graphs": {"backend": "inductor", "mode": "reduce-overhead"}}
TINY: dict[str, dict[str, Any] | None] = {"eager": None, "compiled": {"backend": "aot_eager"}}


def source(shape: str) -> str:
    """A folder with a configuration of BERT and a tokenizer of as many words as BERT's."""
    layers, width, _ = SHAPES[shape]
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    words = {word: i for i, word in enumerate([*special, *(f"w{i}" for i in range(VOCABULARY - len(special)))])}
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    folder = tempfile.mkdtemp()
    own = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=own, model_max_length=512, **names).save_pretrained(folder)
    sizes = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": width // 64}
    BertConfig(vocab_size=VOCABULARY, intermediate_size=4 * width, **sizes).save_pretrained(folder)
    return folder


class Way:
    """A module that trains on batches of some lengths, as it is or compiled."""

    def __init__(self, module: nn.Module, loss: Callable[[Any], Tensor], half: bool) -> None:
        self.module, self.loss, self.half = module.train(), loss, half
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        self.optimizer = AdamW(self.parameters, 1e-5)

    def step(self, batch: Any) -> None:
        if self.device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            loss = self.loss(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def round(self, batches: list[Any]) -> float:
        """Milliseconds a step, of a step on each batch."""
        on_gpu = self.device.type == "cuda"
        clock = time.perf_counter if on_gpu else time.process_time
        started = clock()
        for batch in batches:
            self.step(batch)
        if on_gpu:
            torch.cuda.synchronize()
        return 1000 * (clock() - started) / len(batches)


def compared(make: Callable[[], Way], batches: list[Any], options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each way: seconds of the first round, milliseconds a step, ratios to the way it is; or what failed."""
    ways, rows, failed = {}, [], []
    for name, how in options.ways.items():
        torch.manual_seed(0)
        way = make()
        if how is not None:
            compiling.OPTIONS = how
            compiling.compile_networks(way.module, required=True)
        started = time.perf_counter()
        try:
            way.round(batches)
            rows.append({"way": name, "first round, s": round(time.perf_counter() - started, 1)})
            way.round(batches)
            ways[name] = way
        except Exception as error:  # what one machine's compiler cannot do must not cost the rest
            rows = [row for row in rows if row["way"] != name]
            failed.append({"way": name, "failed": f"{type(error).__name__}: {str(error)[:200]}"})
    times = [{name: way.round(batches) for name, way in ways.items()} for _ in range(options.rounds)]
    for row in rows:
        ratios = sorted(each["eager"] / each[row["way"]] for each in times)
        row["ms"] = round(median(each[row["way"]] for each in times), 2)
        row["times as fast (median, least, most)"] = [round(r, 2) for r in (median(ratios), ratios[0], ratios[-1])]
    return rows + failed


def tokens(rows: int, length: int, device: str) -> dict[str, Tensor]:
    ids = torch.randint(5, 1000, (rows, length), device=device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def adapt(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Rows of each strategy."""
    where = options.source or source(options.shapes[0])
    labels = torch.arange(ROWS, device=options.device) % 2
    batches = [{"texts": [tokens(ROWS, length, options.device)], "labels": labels} for length in LENGTHS]
    for name in options.strategies:

        def make(strategy: Any = STRATEGIES[name]) -> Way:
            model = AdaptedModel(TransformersBackbone(where), strategy, glue_task("sst2")).to(options.device)
            return Way(model, model.loss, options.precision == "bf16")

        yield from ({"part": "adapt", "of": name} | row for row in compared(make, batches, options))


def pretrain(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Rows of each shape, with their speeds."""
    half = options.precision == "bf16"
    peak = product_rate(torch.device(options.device), torch.bfloat16 if half else torch.float32)
    yield {"part": "pretrain", "of": "a product of matrices", "TFLOP/s": round(peak / 1e12, 2)}
    for shape in options.shapes:
        where, batch = source(shape), tokens(SHAPES[shape][2], LENGTH, options.device)

        def make(where: str = where) -> Way:
            backbone = TransformersBackbone(where)
            module = nn.ModuleDict({"backbone": backbone, "objective": MaskedLM(backbone)}).to(options.device)
            return Way(module, lambda read: module["objective"](backbone, read).total, half)

        with counter() as counted:
            make().step(batch)
        flops, count = counted.get_total_flops(), batch["input_ids"].numel()
        for row in compared(make, [batch] * 5, options):
            speeds: dict[str, Any] = {}
            if "ms" in row:
                rate = 1000 * flops / row["ms"]
                speeds = {"tokens a second": round(1000 * count / row["ms"]), "TFLOP/s": round(rate / 1e12, 2)}
                speeds["of a product"] = round(rate / peak, 3)
            yield {"part": "pretrain", "of": shape} | row | speeds


def main() -> None:
    """Measure the parts and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", default=["pretrain", "adapt"])
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--shapes", nargs="+", default=["base", "small"])
    parser.add_argument("--source")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="fp32")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    options.ways = WAYS | (GRAPHS if options.device == "cuda" else {})
    if options.tiny:
        options.ways, options.shapes, options.rounds = TINY, ["tiny"], 1
    if options.device == "cpu":
        torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")
    record: dict[str, Any] = {
        "command": provenance.command(), "git": provenance.git_state(), "hardware": provenance.hardware(),
        "versions": provenance.versions(), "measured": datetime.now(UTC).isoformat(timespec="seconds"), "rows": [],
    }  # fmt: skip
    for part in options.parts:
        for row in {"adapt": adapt, "pretrain": pretrain}[part](options):
            print(*row.values(), sep="  ", flush=True)
            record["rows"].append(row)
            options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
