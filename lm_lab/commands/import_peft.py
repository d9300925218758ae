"""`lm-lab import`: a PEFT adapter as a delta."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lm_lab.commands.arguments import Arguments

if TYPE_CHECKING:
    from lm_lab.data.modules.base import TaskData


def main(args: list[str]) -> int:
    """Write the delta."""
    options = parser().parse_args(args)

    from lm_lab.atomic import writable
    from lm_lab.backbones import TransformersBackbone
    from lm_lab.config.imports import restrict
    from lm_lab.config.lightning_cli import quiet
    from lm_lab.interchange.peft_read import read
    from lm_lab.models import delta
    from lm_lab.models.binding import bind
    from lm_lab.tasks import glue_task

    restrict(options.allow_import)
    with quiet():
        data = _data(options.config) if options.config else None
        task = data.task if data else glue_task(options.task)
        backbone = TransformersBackbone(options.backbone)
        found = read(options.peft, backbone, task, options.pooling, options.pairs, options.fresh_head)
        if data:
            bind(found.model, data)
        with writable(options.out):
            folder = delta.save(found.model, options.out)
    if not found.has_head:
        print(
            "the adapter brings no head for this task: the delta's head is fresh, and predicts nothing", file=sys.stderr
        )
    print(f"delta: {folder}")
    return 0


def parser() -> argparse.ArgumentParser:
    """What reads its arguments."""
    parser = Arguments("lm-lab import", description="Write a PEFT adapter as a delta.")
    parser.add_argument("--peft", type=Path, required=True, help="folder of the adapter")
    parser.add_argument("--backbone", required=True, help="hub id or folder of the model it was trained on")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--task", help="GLUE task of the delta")
    task.add_argument("--config", type=Path, help="YAML with the `data` of any other task, as `lm-lab adapt` takes it")
    parser.add_argument(
        "--pooling", choices=("cls", "mean", "max", "last"), help="how the head reads, unless it says so"
    )
    parser.add_argument(
        "--pairs", choices=("cross_encoder", "bi_encoder"), help="how pairs are read, unless it says so"
    )
    parser.add_argument("--fresh-head", action="store_true", help="leave out the head that the adapter brings")
    parser.add_argument("--out", type=Path, required=True, help="folder of the delta")
    parser.add_argument(
        "--allow-import", action="append", default=[], metavar="PACKAGE", help="package the data module may come from"
    )
    return parser


def _data(path: Path) -> "TaskData":
    """The data module that a configuration names. Raises `UsageError` if it names none, or settings it has not."""
    from jsonargparse import ArgumentError, ArgumentParser

    import lm_lab.commands.adapt  # noqa: F401  the parser finds short class names among what is imported
    from lm_lab.data.modules.base import TaskData
    from lm_lab.errors import UsageError
    from lm_lab.yaml_files import read_yaml

    config = read_yaml(path, "configuration")
    if not isinstance(config, dict) or "data" not in config:
        raise UsageError(f"'{path}' has no `data`; expected a task's configuration, such as configs/tasks/rte.yaml.")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=TaskData)
    try:
        data: TaskData = parser.instantiate(parser.parse_object({"data": config["data"]})).data
    except ArgumentError as error:
        raise UsageError(f"'{path}': {error}") from error
    return data
