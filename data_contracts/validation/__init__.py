"""A ledger folder judged as a whole: batch check, report, quarantine, what was accepted."""
