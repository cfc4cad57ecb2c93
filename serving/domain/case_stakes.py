"""What the fraud team can still save with an order, and by when."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CaseStakes:
    """What is at stake with the order of a case, as last screened: its place in the order of work.

    probability: that the order is a fraud, calibrated, from 0 to 1. amount_cents: at least 0.
    ordered_at_ms: when the order was placed; its case is opened later, when a screening has flagged it.
    handover_at_ms: when the order is planned to leave, taken once. left: recorded to have left. recallable:
    whether it can be called back, or cut, after that.
    """

    probability: float
    amount_cents: int
    currency: str
    ordered_at_ms: int
    handover_at_ms: int
    left: bool
    recallable: bool
    is_service: bool
