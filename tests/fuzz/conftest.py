"""How long the fuzzers search: the same few examples at every run, or LM_LAB_FUZZ_EXAMPLES new ones a test."""

import os

from hypothesis import HealthCheck, settings

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
