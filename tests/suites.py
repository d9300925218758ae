"""A small suite on the microworld, for the runner's tests."""

from pathlib import Path
from typing import Any

import yaml

from lm_lab.benchmark import execute
from lm_lab.benchmark.jobs import Job
from lm_lab.benchmark.plan import PlannedCell
from lm_lab.results.records import CellRecord, write_record

TASKS = {"sentiment": {"data": {"task": "sst2", "source": "microworld"}}}
STRATEGIES: dict[str, Any] = {
    "probe": {
        "class_path": "LinearProbe",
        "knob": "at_layer",
        "sizes": [0, 2],
        "tune": {"learning_rate": [1e-3, 1e-2]},
    },
    "lora": {
        "class_path": "LoRA",
        "knob": "rank",
        "sizes": [2, 4],
        "select_at": 4,
        "tune": {"learning_rate": [1e-3, 1e-2]},
    },
    "full": {"class_path": "FullFineTuning"},
}


def write_suite(path: Path, backbone: Path, **changes: Any) -> Path:
    """Write a suite of 13 cells (the default), or with some of its entries changed."""
    suite = {
        "name": "small",
        "seeds": [0, 1],
        "defaults": {
            "model": {"pooling": "mean"},
            "data": {"train_limit": 64, "validation_limit": 50, "holdout": 32, "batch_size": 16},
            "trainer": {"max_epochs": 1, "accelerator": "cpu"},
        },
        "backbones": {"tiny": {"backbone": {"source": str(backbone)}}},
        "tasks": TASKS,
        "strategies": STRATEGIES,
    }
    path.write_text(yaml.safe_dump(suite | changes))
    return path


def run_alone(planned: PlannedCell, root: Path, stored: bool = True) -> CellRecord:
    """Run one cell and keep what it brought in `root`; with `stored`, a probe's features too."""
    job = Job((planned,), "small", "test", features=root / "features" if stored else None)
    ((record, predictions),) = execute.run(job)
    write_record(root, record, predictions)
    return record
