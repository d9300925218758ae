"""`lm-lab track sync|workspace`: uploads what was logged to Weights & Biases offline, and builds a dashboard of it."""

import argparse
from pathlib import Path

from lm_lab.commands.arguments import Arguments
from lm_lab.tracking.session import PROJECT

EXIT_FAILED = 1  # some runs could not be uploaded


def main(args: list[str]) -> int:
    """Run a subcommand."""
    options = parser().parse_args(args)
    code: int = options.run(options)
    return code


def parser() -> argparse.ArgumentParser:
    """What reads its arguments."""
    parser = Arguments("lm-lab track", description="Runs in Weights & Biases.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    sync = commands.add_parser("sync", help="upload every offline run below a folder that is not uploaded yet")
    sync.add_argument(
        "runs", type=Path, metavar="RUN", help="results of a suite, or the folder of a logger or of a run"
    )
    sync.add_argument("--dry-run", action="store_true", help="say what would be uploaded")
    sync.set_defaults(run=_sync)
    workspace = commands.add_parser("workspace", help="build panels over the cells of a suite")
    workspace.add_argument("results", type=Path, metavar="RUN", help="results of a suite")
    workspace.add_argument("--project", default=PROJECT, help="W&B project of the cells")
    workspace.add_argument("--entity", help="user or team that owns it (default: yours)")
    workspace.add_argument("--to", type=Path, help="write it as JSON to this file, and send nothing")
    workspace.set_defaults(run=_workspace)
    return parser


def _sync(options: argparse.Namespace) -> int:
    from lm_lab.tracking.sync import offline_runs, upload

    done, waiting = offline_runs(options.runs)
    if options.dry_run:
        print("\n".join([*map(str, waiting), f"{len(waiting)} to upload, {len(done)} uploaded already"]))
        return 0
    left = upload(waiting)
    print(f"uploaded: {len(waiting) - len(left)} runs; {len(done)} were there already; {len(left)} failed", flush=True)
    for run in left:
        print(f"not uploaded: {run}")
    return EXIT_FAILED if left else 0


def _workspace(options: argparse.Namespace) -> int:
    from lm_lab.tracking.session import check_online, online
    from lm_lab.tracking.workspace import as_json, build

    if options.to is not None:
        options.to.write_text(as_json(build(options.results, options.project, options.entity or "")), encoding="utf-8")
        print(f"workspace: {options.to}")
        return 0
    with online():
        import wandb

        check_online()
        workspace = build(options.results, options.project, options.entity or wandb.Api().default_entity or "")
        print(f"workspace: {workspace.save().url}")
    return 0
