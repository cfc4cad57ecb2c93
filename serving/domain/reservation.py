"""How an approved order holds a part of its customer's credit limit until it is invoiced or given up."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class ReservationState(enum.Enum):
    """The life of a reservation."""

    RESERVED = "reserved"
    CONFIRMED = "confirmed"
    PARTLY_INVOICED = "partly_invoiced"
    """Invoices count with their amounts; the order holds what is not invoiced yet."""
    INVOICED = "invoiced"
    """All of it is invoiced, or the rest was released."""
    CANCELLED = "cancelled"
    RELEASED = "released"
    """A re-scored order was not approved again."""


HOLDING = frozenset({ReservationState.RESERVED, ReservationState.CONFIRMED, ReservationState.PARTLY_INVOICED})
"""In these states an order holds a part of the limit, until its reservation expires."""

FOLLOWED_BY_INVOICES = HOLDING | {ReservationState.INVOICED}
"""In these states what an order holds follows from its invoices; given up, it holds nothing any more."""


class RestStepKind(enum.Enum):
    """What changes how much of an order is still to be invoiced."""

    INVOICED = "invoiced"
    CREDITED = "credited"
    RELEASED = "released"
    AMENDED = "amended"


@dataclass(frozen=True, kw_only=True)
class RestStep:
    """One of them. at_ms: when it happened, then when it was recorded. cents: 0 for a release, and what the
    whole order comes to for an amendment.
    """

    kind: RestStepKind
    at_ms: tuple[int, int]
    cents: int = 0


def uninvoiced_cents(ordered_cents: int, steps: Iterable[RestStep]) -> int:
    """What of an order is still to be invoiced, in minor units, whatever order its steps arrived in.

    An invoice takes its amount from the rest. A credit note gives nothing back to it: goods that came back
    are not sent again. But an invoice that is issued anew after its credit note takes nothing twice: with
    invoices, credit notes taken off, at 60 of 100, 40 are the rest at most, and no less than 40 by them.
    An amendment adds to the rest what it adds to the order; a smaller order leaves no more than invoices may
    still come to, so that what may be invoiced is held. What was released stays so.

    >>> step = lambda kind, at, cents=0: RestStep(kind=kind, at_ms=(at, at), cents=cents)
    >>> invoiced, credited = RestStepKind.INVOICED, RestStepKind.CREDITED
    >>> uninvoiced_cents(100, [step(invoiced, 1, 60)])
    40
    >>> uninvoiced_cents(100, [step(invoiced, 1, 60), step(credited, 2, 60), step(invoiced, 3, 60)])
    40
    >>> uninvoiced_cents(100, [step(invoiced, 1, 60), step(invoiced, 2, 40), step(credited, 3, 100)])
    0
    >>> uninvoiced_cents(100, [step(invoiced, 1, 60), step(RestStepKind.RELEASED, 2)])
    0
    >>> uninvoiced_cents(100, [step(invoiced, 1, 60), step(RestStepKind.AMENDED, 2, 80)])
    20
    >>> returned = [step(invoiced, 1, 60), step(credited, 2, 60)]
    >>> uninvoiced_cents(100, [*returned, step(RestStepKind.AMENDED, 3, 40)])
    40
    """
    rest_cents, invoiced_cents, is_released = ordered_cents, 0, False
    for step in sorted(steps, key=lambda one: one.at_ms):
        match step.kind:
            case RestStepKind.INVOICED:
                invoiced_cents += step.cents
                rest_cents = min(rest_cents, max(ordered_cents - invoiced_cents, 0))
            case RestStepKind.CREDITED:
                invoiced_cents -= step.cents
            case RestStepKind.RELEASED:
                rest_cents, is_released = 0, True
            case RestStepKind.AMENDED:
                added_cents = max(step.cents - ordered_cents, 0)
                ordered_cents = step.cents
                rest_cents = min(rest_cents + added_cents, max(ordered_cents - invoiced_cents, 0))
                rest_cents = 0 if is_released else rest_cents
    return rest_cents
