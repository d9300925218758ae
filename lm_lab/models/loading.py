"""A saved delta as the adaptation it came from."""

from collections.abc import Collection
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings

from lm_lab.backbones import UNNAMED, Backbone
from lm_lab.errors import UsageError
from lm_lab.models import delta
from lm_lab.models.adapted import AdaptedModel
from lm_lab.models.binding import restore
from lm_lab.models.tensors import read_tensors
from lm_lab.models.trust import trusted_config, trusted_task
from lm_lab.strategies import AdaptationStrategy
from lm_lab.tasks import described

_MISSHAPEN = (TypeError, ValueError, LookupError, AttributeError, RuntimeError, ArgumentError)


def load_adaptation(folder: str | Path, trusted: Collection[str] = (), trust_remote_code: bool = False) -> AdaptedModel:
    """Build the adaptation that `folder` describes, and load its delta; in eval mode.

    Args:
        folder: written by `lm-lab adapt fit`.
        trusted: packages besides this one that its strategy and task may come from; they are imported.
        trust_remote_code: run the model code that comes with the backbone, where the delta asks for it.

    Raises:
        UsageError: no delta there, a class from elsewhere, or a backbone that cannot be found or has changed.
    """
    description = delta.read_description(folder)
    config = trusted_config(description, trusted, trust_remote_code)
    model = config["model"]
    task = trusted_task(description, trusted)
    reading = {name: model.get(name) for name in ("pooling", "pairs", "head", "delimiter")}
    if trusted:  # whatever else this process lets configurations import
        set_parsing_settings(import_path_allowlist=list(trusted))
    try:
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--strategy", type=AdaptationStrategy)
        strategy = parser.instantiate(parser.parse_object({"strategy": model["strategy"]})).strategy
        parser.add_argument("--backbone", type=Backbone, default=UNNAMED)
        backbone = parser.instantiate(parser.parse_object({"backbone": model["backbone"]})).backbone
        _require_size(folder, strategy, backbone)
        adaptation = AdaptedModel(backbone, strategy, described.build(task), **reading)
    except _MISSHAPEN as error:  # plain data of other types than the classes take
        raise UsageError(f"the delta in '{folder}' cannot be built: {type(error).__name__}: {error}.") from error
    delta.load(adaptation, folder)
    if description.get("bound", True):  # else its data is no more than a guess
        restore(adaptation, config["data"])
    return adaptation.eval()


def _require_size(folder: str | Path, strategy: AdaptationStrategy, backbone: Backbone) -> None:
    """Before anything is made: a description may ask for any size."""
    tensors = read_tensors(Path(folder) / delta.TENSORS)
    found = sum(value.numel() for name, value in tensors.items() if name.startswith("backbone."))
    expected = strategy.parameters(backbone)
    if found != expected:
        raise UsageError(
            f"the delta in '{folder}' does not fit its description: it holds {found:,} numbers, and "
            f"{type(strategy).__name__} on this backbone trains {expected:,}."
        )
