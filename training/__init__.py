"""From a ledger folder to a registered, calibrated, documented model."""
