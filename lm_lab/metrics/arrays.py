"""What a metric is."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Metric = Callable[[Any, Any], float]  # of predictions (n,) or (n, k), and labels (n,)
