"""How long the fuzzers search: the same few examples at every run, or LM_LAB_FUZZ_EXAMPLES new ones a test."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from lm_lab.config.imports import restrict

EXAMPLES = os.environ.get("LM_LAB_FUZZ_EXAMPLES")

settings.register_profile(
    "fuzz",
    max_examples=int(EXAMPLES or 15),
    derandomize=EXAMPLES is None,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),  # tests start in a folder of their own, which all examples share
)
settings.load_profile("fuzz")


@pytest.fixture
def quietly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands as from a shell, without the words of this one; what they may import is as before in the end."""
    monkeypatch.setattr("sys.argv", ["lm-lab"])
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    yield
    restrict()
