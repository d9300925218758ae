"""Packs a run that is over into a few files, and takes it apart again: `lm-lab bench pack DIR --out OTHER`."""

import json
import shutil
from pathlib import Path

from lm_lab.atomic import writable
from lm_lab.errors import UsageError
from lm_lab.results import packed
from lm_lab.results.predictions import has_predictions, read_predictions, read_table
from lm_lab.results.records import read_suite, scan, write_record

_PLAIN = ("suite.json", "baselines.json")  # small, and read by people


def pack(root: Path, out: Path) -> None:
    """Write the run in `root` to `out` in its packed form: the same report, to the byte.

    Raises:
        UsageError: `root` holds no results, or damaged ones, or `out` another run, or the disk refuses.
    """
    suite, found = read_suite(root), scan(root)
    if found.broken:
        raise UsageError(f"{found.broken[0]}. Run the suite's command again before packing.")
    if (out / _PLAIN[0]).exists() and read_suite(out)["name"] != suite["name"]:
        raise UsageError(f"'{out}' holds results of the suite '{read_suite(out)['name']}'; give another --out.")
    texts = {record["id"]: json.dumps(record, sort_keys=True) for record in found.records}
    digests = {record["id"]: record.get("predictions") for record in found.records}
    kept = [name for name, digest in digests.items() if has_predictions(root, name, digest)]
    with writable(out):
        packed.write(out, texts, ((name, read_table(root, name)) for name in kept))
        for name in _PLAIN:
            if out != root and (root / name).exists():
                shutil.copyfile(root / name, out / name)


def unpack(root: Path) -> None:
    """Give each packed cell files of its own, which is what a run goes on from; does nothing where none is packed."""
    for record in scan(root).records if (root / packed.RECORDS).exists() else []:
        name = record["id"]
        if not (root / "cells" / f"{name}.json").exists():
            write_record(root, record, read_predictions(root, name) if has_predictions(root, name, None) else None)
    for name in (packed.RECORDS, packed.PREDICTIONS):
        (root / name).unlink(missing_ok=True)
