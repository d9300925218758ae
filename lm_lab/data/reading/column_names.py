"""A form's columns under their names in the data; `choices.text` is the part `text` of a column `choices`."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lm_lab.errors import UsageError


def require_columns(table: pa.Table, names: Iterable[str], origin: str) -> pa.Table:
    """The table. Raises `UsageError` if one of the columns is missing."""
    for name in names:
        if name not in table.column_names:
            raise UsageError(f"{origin} has no column '{name}'; it has {', '.join(table.column_names)}.")
    return table


def renamed(table: pa.Table, columns: Mapping[str, str], origin: str) -> pa.Table:
    """The table with our names.

    Args:
        table: with the names of the data.
        columns: ours -> theirs. A column of ours that the data have and that is taken from another one is left out.
        origin: the file or source.

    Raises:
        UsageError: the data have no such column.
    """
    table = _lifted(table, columns)
    for ours, theirs in columns.items():
        if theirs not in table.column_names:
            raise UsageError(
                f"{origin} has no column '{theirs}' to take '{ours}' from (--data.columns); "
                f"it has {', '.join(table.column_names)}."
            )
    named = {theirs: ours for ours, theirs in columns.items()}
    kept = [name for name in table.column_names if name in named or name not in columns]
    found = table.select(kept).rename_columns([named.get(name, name) for name in kept])
    return found.replace_schema_metadata(_metadata(table.schema.metadata, named))


def _lifted(table: pa.Table, columns: Mapping[str, str]) -> pa.Table:
    """Parts of columns, named with dots, as columns of their own behind the others."""
    for theirs in columns.values():
        outer, *inner = theirs.split(".")
        if theirs in table.column_names or not inner or outer not in table.column_names:
            continue
        try:
            table = table.append_column(theirs, pc.struct_field(table[outer], inner))
        except (pa.ArrowException, TypeError):  # no such part: told as a column that is not there
            continue
    return table


def _metadata(metadata: Mapping[bytes, bytes] | None, named: Mapping[str, str]) -> Mapping[bytes, bytes] | None:
    """The hub keeps the names of classes there."""
    if not (metadata and b"huggingface" in metadata):
        return metadata
    kept = json.loads(metadata[b"huggingface"])
    if features := kept.get("info", {}).get("features"):
        parts = {ours: _part(features, theirs) for theirs, ours in named.items()}
        others = {name: feature for name, feature in features.items() if name not in named}
        kept["info"]["features"] = others | {ours: feature for ours, feature in parts.items() if feature}
    return dict(metadata) | {b"huggingface": json.dumps(kept).encode()}


def _part(features: Mapping[str, Any], name: str) -> Any:
    """The feature of a column, or of a part of one."""
    if name in features:
        return features[name]
    found: Any = features
    for part in name.split("."):
        found = found.get("feature", found) if isinstance(found, dict) and part not in found else found
        found = found.get(part) if isinstance(found, dict) else None
    return found
