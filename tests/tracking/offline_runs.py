"""Reads an offline run of W&B back, by W&B's own inspector."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

Lines = list[dict[str, Any]]


def logged(folder: Path) -> Lines:
    """The records of the one offline run under `folder`."""
    (path,) = folder.rglob("*.wandb")
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def of_kind(lines: Lines, kind: str) -> Lines:
    """The records of one kind."""
    return [line[kind] for line in lines if line["type"] == kind]


def summary(lines: Lines) -> dict[str, Any]:
    """What the summary is in the end."""
    values: dict[str, Any] = {}
    for update in of_kind(lines, "summary"):
        values |= update.get("update", {})
    return values


def config(lines: Lines) -> dict[str, Any]:
    """What was logged of the configuration."""
    values: dict[str, Any] = {}
    begun = [run["config"] for run in of_kind(lines, "run") if "config" in run]  # a sweep's parameters
    for update in [*begun, *of_kind(lines, "config")]:
        values |= update["update"]
    return values


def curves(lines: Lines) -> dict[str, list[float]]:
    """Name -> its values over the steps."""
    found: dict[str, list[float]] = {}
    for row in of_kind(lines, "history"):
        for name, value in row["item"].items():
            found.setdefault(name, []).append(value)
    return found
