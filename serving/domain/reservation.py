"""How an approved order holds a part of its customer's credit limit until it is invoiced or given up."""

import enum


class ReservationState(enum.Enum):
    """The life of a reservation."""

    RESERVED = "reserved"
    CONFIRMED = "confirmed"
    INVOICED = "invoiced"
    CANCELLED = "cancelled"
    RELEASED = "released"
    """A re-scored order was not approved again."""
