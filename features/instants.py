"""Instants as the engine counts them: whole milliseconds since 1970 UTC, in int64."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

DAY_MS = 86_400_000
"""Milliseconds in a day of 24 hours; windows are counted in such days."""

HOUR_MS = 3_600_000

NEVER = 2**45
"""An instant later than every decision (the year 3084), with room to add windows in int64."""

Int64Array: TypeAlias = NDArray[np.int64]
Float64Array: TypeAlias = NDArray[np.float64]
