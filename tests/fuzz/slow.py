"""Fewer examples of what trains, so that all fuzzers together take a minute."""

import os

from hypothesis import Phase, settings

# a failure is told as it was found: to shrink it takes minutes
EXAMPLES = settings(max_examples=int(os.environ.get("LM_LAB_FUZZ_EXAMPLES", 3)), phases=[Phase.generate])
