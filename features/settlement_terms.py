"""When an invoice counts as paid, and from when on it is late: the same in arrears, features and labels."""

from dataclasses import dataclass

from features.instants import DAY_MS


@dataclass(frozen=True, kw_only=True)
class SettlementTerms:
    """What is too little to be owed, and too early to be late; policy, and part of what a model learned.

    materiality_cents: what is left of an invoice at or below it is paid, from the moment it was: of an
        invoice of 89.90 with 86.40 paid, 3.50 are left, and the invoice is paid. In minor units.
    grace_days: a payment up to so many days after the due date is on time, because a transfer takes a bank
        day and weekends do not book. Beyond them lateness begins with nothing and grows with the days: paid
        9 days after the due date is 6 days late.
    """

    materiality_cents: int = 500
    grace_days: int = 3

    @property
    def grace_ms(self) -> int:
        """The grace in milliseconds."""
        return self.grace_days * DAY_MS


USUAL_TERMS = SettlementTerms()
