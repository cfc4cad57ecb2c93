"""By what a customer can be asked about an order without asking whoever took the account over."""

from collections.abc import Iterable
from dataclasses import dataclass

from serving.domain.case_stakes import CaseStakes
from serving.domain.errors import RiskError


class NoVerifiedContact(RiskError):
    """Nothing by which the customer could be contacted was verified before the order."""


@dataclass(frozen=True, kw_only=True)
class CustomerContact:
    """One way to reach a customer.

    channel: such as "email" or "phone". verified_at_ms: when its present value was verified, None where
    it never was; a value that was changed starts unverified.
    """

    channel: str
    verified_at_ms: int | None


def verified_contacts(contacts: Iterable[CustomerContact], stakes: CaseStakes) -> tuple[CustomerContact, ...]:
    """The ways to reach the customer that were verified before the order, and so before any take-over by it.

    stakes: they name the instant of the order. A detail that was verified between the order and the opening
    of its case is none of them: whoever ordered may have verified it.

    Raises NoVerifiedContact where there is none; the case is then decided without the customer.
    """
    usable = tuple(
        contact
        for contact in contacts
        if contact.verified_at_ms is not None and contact.verified_at_ms < stakes.ordered_at_ms
    )
    if not usable:
        raise NoVerifiedContact(
            "No contact detail was verified before this order, so the customer cannot be asked safely."
        )
    return usable
