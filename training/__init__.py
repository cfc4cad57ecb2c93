"""From a ledger folder to a registered, calibrated, documented model."""

import os

# LightGBM's threads wait for each other by spinning; on a machine that others use too, a fit took ten times
# as long. OpenMP reads this once, when it is loaded, so it is set before anything here loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
