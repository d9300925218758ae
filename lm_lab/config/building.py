"""How the command line builds the classes that a configuration names."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import lightning as L

from lm_lab.backbones import Backbone
from lm_lab.config.mistakes import raised_in
from lm_lab.errors import UsageError

T = TypeVar("T")
_OURS = "lm_lab."
_WHOLE = (L.LightningModule, L.LightningDataModule, Backbone)  # they do more than to take their settings


def build(kind: Callable[..., T], /, *args: Any, **settings: Any) -> T:
    """Build an object.

    Raises:
        UsageError: the class is abstract, or one of a library refuses a setting by whatever it raises. What is
            raised in this project's own code is another thing, and stays as it is.
    """
    if inspect.isabstract(kind):
        raise UsageError(
            f"{kind.__module__}.{kind.__qualname__} is abstract; name one of the classes that derive from it."
        )
    whole = inspect.isclass(kind) and issubclass(kind, _WHOLE)
    with nullcontext() if whole else refusals_told(getattr(kind, "__name__", str(kind))):
        return kind(*args, **settings)


@contextmanager
def refusals_told(name: str) -> Iterator[None]:
    """Raise `UsageError` in place of what a library raises while the thing of this name is built."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        if raised_in(error).startswith(_OURS):
            raise
        raise UsageError(f"{name} cannot be built: {type(error).__name__}: {error}") from error
