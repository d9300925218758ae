"""Find a model or data set by name: a folder, a local mirror, the hub's cache, and only then the hub itself."""

import os
import sys
import threading
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path

from lm_lab.errors import UsageError

REACH_SECONDS = 4.0


def offline() -> bool:
    """True where the user declared the hub out of bounds (`HF_HUB_OFFLINE`)."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}


def reachable(timeout: float = REACH_SECONDS) -> bool:
    """True if the hub answers within `timeout` seconds; the hub's own clients take 20 to 80 s to give up."""
    from huggingface_hub.constants import ENDPOINT

    answered = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(ENDPOINT, method="HEAD"), timeout=timeout)
            answered.set()
        except urllib.error.HTTPError:
            answered.set()  # it said no to a HEAD, but it is there
        except OSError:
            pass

    # a thread, because looking a name up can hang for longer than any socket timeout
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return answered.is_set()


@cache
def stay_offline_if_silent() -> None:
    """Keep to the caches, in this process and those it starts, where the hub does not answer: found out once.

    The hub's own clients find it out anew for every file, and retry for minutes although everything is in the cache.
    """
    import huggingface_hub.constants

    if offline() or reachable():
        return
    os.environ["HF_HUB_OFFLINE"] = "1"
    huggingface_hub.constants.HF_HUB_OFFLINE = True
    print(f"the hub did not answer within {REACH_SECONDS:.0f} s: using what is in its cache", file=sys.stderr)


def require(name: str, remedy: str) -> None:
    """Raise `UsageError` unless the hub may be asked for `name` and answers; `remedy` says what to set instead."""
    if offline():
        raise UsageError(
            f"'{name}' is no local folder, and HF_HUB_OFFLINE forbids asking the hub. {remedy}, "
            "or unset HF_HUB_OFFLINE."
        )
    if not reachable():
        raise UsageError(
            f"'{name}' is no local folder, and the hub did not answer within {REACH_SECONDS:.0f} s. {remedy}; "
            "set HF_HUB_OFFLINE=1 to use only what is already in the hub's cache."
        )


def local_weights(name: str) -> Path | None:
    """Folder of the model `name`: a path, or a folder of its last part below `LM_LAB_WEIGHTS`.

    `LM_LAB_WEIGHTS` defaults to the folder `weights` inside or beside `LM_LAB_DATA`.
    """
    if Path(name).exists():
        return Path(name)
    data = os.environ.get("LM_LAB_DATA")
    roots = [os.environ.get("LM_LAB_WEIGHTS"), *([f"{data}/weights", f"{data}/../weights"] if data else [])]
    for root in filter(None, roots):
        for folder in (Path(root, name), Path(root, name.rsplit("/", 1)[-1])):
            if (folder / "config.json").is_file():
                return folder.resolve()
    return None


def cached_model(name: str) -> bool:
    """True if the hub's cache holds the configuration of `name`. Raises `UsageError` for what cannot be a name."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError as error:
        raise UsageError(f"'{name}' is neither a folder on this disk nor a name of the hub.") from error
