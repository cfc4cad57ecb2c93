"""Instants as the engine counts them: whole milliseconds since 1970 UTC, in int64 arrays.

What an instant looks like otherwise, and the lengths of spans, is in `data_contracts.instants`.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

NEVER = 2**45
"""An instant later than every decision (the year 3084), with room to add windows in int64."""

Int64Array: TypeAlias = NDArray[np.int64]
Float64Array: TypeAlias = NDArray[np.float64]
