"""How long the steps of a review take, who may take back a stop, and how waiting cases are weighed."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ReviewPolicy:
    """What the policy says about review cases.

    claim_minutes: after which a claim that nobody worked on ends.
    contact_hours: how long a customer has to answer.
    undo_seconds: how long a stop is held before it takes effect.
    case_hours: until when a case should have its verdict.
    half_chance_hours: a stop sent this long before the last moment works in half of the cases; above 0.
    handover_delay_hours: how long after the planned hand-over an order may still be there while nobody
        recorded that it left; at least 0. The planned hand-over and this together are the last moment.
    recall_chance, service_stop_chance: that goods which left are called back, or that access to a service
        which began is cut; from 0 to below 1.
    withdraw_roles: who may withdraw a stop once it cannot be undone any more.
    sample_share: of the orders that were not flagged, how many are reviewed; from 0 to 1.
    sample_worth_cents: what an hour's delay of a sampled case counts when it is due.
    """

    claim_minutes: int
    contact_hours: int
    undo_seconds: int
    case_hours: int
    half_chance_hours: float
    handover_delay_hours: float
    recall_chance: float
    service_stop_chance: float
    withdraw_roles: frozenset[str]
    sample_share: float
    sample_worth_cents: int
