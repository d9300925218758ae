"""The file that a comparison with a peer leaves: its rows, and how they were measured."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lm_lab import provenance


def write(path: Path, rows: list[dict[str, Any]], versions: dict[str, str], **settings: Any) -> None:
    """Write rows with the command, the commit, the hardware, the versions and the settings."""
    record = {
        "command": provenance.command(), **settings, "git": provenance.git_state(),
        "hardware": provenance.hardware(), "versions": provenance.versions() | versions,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"), "rows": rows,
    }  # fmt: skip
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
