import sys
from pathlib import Path

# the generated results folder is shared with the benchmark's tests
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmark"))
