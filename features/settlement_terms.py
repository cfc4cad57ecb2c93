"""When an invoice counts as paid, and from when on it is late: the same in arrears, features and labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data_contracts.instants import DAY_MS


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

    def to_json(self) -> dict[str, int]:
        """The terms as JSON values, as a model keeps them."""
        return {"materiality_cents": self.materiality_cents, "grace_days": self.grace_days}

    def in_words(self) -> str:
        """The terms as a person says them.

        >>> SettlementTerms().in_words()
        'paid where at most 5.00 are left, late after 3 days'
        """
        whole, cents = divmod(self.materiality_cents, 100)
        return f"paid where at most {whole}.{cents:02d} are left, late after {self.grace_days} days"

    @property
    def grace_ms(self) -> int:
        """The grace in milliseconds."""
        return self.grace_days * DAY_MS


USUAL_TERMS = SettlementTerms()


def terms_of_model(document: Mapping[str, Any]) -> SettlementTerms:
    """The terms that a model was trained under, by its model.json.

    Raises KeyError, TypeError or ValueError where they are none; a model that says nothing has the usual.
    """
    said = document.get("settlement_terms")
    if said is None:
        return USUAL_TERMS
    return SettlementTerms(
        materiality_cents=int(said["materiality_cents"]), grace_days=int(said["grace_days"])
    )
