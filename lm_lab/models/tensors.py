"""Files of tensors that others wrote: whole, and of numbers, or refused."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lm_lab.errors import UsageError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises `UsageError` if it is missing, damaged, or holds a nan or infinity."""
    try:
        found = load_file(path)
    # of a header that names types, sizes or places that cannot be
    except (OSError, SafetensorError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise UsageError(f"'{path}' cannot be read: {error}; expected a whole file of safetensors.") from error
    require_finite(found, f"'{path}'")
    return found


def require_finite(tensors: Mapping[str, Tensor], what: str) -> None:
    """Raise `UsageError` for a nan or an infinity: nothing that is computed with it means anything."""
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise UsageError(
                f"{what}: {name} holds numbers that are not finite; the training diverged. Train with a lower "
                "learning rate."
            )
