"""What a case shows of the customer and of the merchant of its order.

Of a customer's personal data it is what the work needs: the name, the residence, and the contact details
that were verified before the order; of any other detail only whether it is the account's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from data_contracts.orders import ORDERS
from data_contracts.text_form import plain_letters
from features.contact_keys import mailbox_key, phone_key
from features.supersession import latest_of
from serving.cases.order_facts import Address, Row, address_of
from serving.domain.review_case import ReviewCase
from serving.domain.verified_contacts import CustomerContact, NoVerifiedContact, verified_contacts
from serving.requests.case_scope import CaseScope
from serving.stop_requests.merchant_notices import words_for
from serving.store.case_queue import StoredCase
from serving.store.case_search import count_orders_of_customer
from serving.store.store import Transaction


@dataclass(frozen=True, kw_only=True)
class ContactChannel:
    """One way to reach the customer.

    value: None unless it may be used: verified before the order. given_with_order: None where none was given.
    """

    channel: str
    verified_at_ms: int | None
    value: str | None
    is_given_with_order: bool | None


@dataclass(frozen=True, kw_only=True)
class CustomerFacts:
    """The customer as the work on the case needs it. order_count: in the ledger, this one too."""

    name: str
    residence: Address
    registered_at_ms: int
    identity_status: str
    language: str
    channels: tuple[ContactChannel, ...]
    order_count: int


@dataclass(frozen=True, kw_only=True)
class MerchantFacts:
    """The merchant. language: in which it is written to."""

    name: str
    country: str
    category: str
    handover_cutoff_local_time: str
    language: str
    email: str
    has_endpoint: bool


def customer_facts(
    tx: Transaction,
    stored: StoredCase,
    row: Row,
    versions: Sequence[Row],
    contacts: Sequence[CustomerContact],
) -> CustomerFacts:
    """The customer of a case by its newest row, and the rows of the order."""
    try:
        usable = verified_contacts(contacts, stored.stakes)
    except NoVerifiedContact:
        usable = ()
    order = latest_of(ORDERS, versions) or {}
    return CustomerFacts(
        name=f"{row['given_name']} {row['family_name']}",
        residence=address_of(row, "residence"),
        registered_at_ms=row["registered_at"],
        identity_status=row["identity_status"],
        language=row["language"],
        channels=tuple(
            ContactChannel(
                channel=contact.channel,
                verified_at_ms=contact.verified_at_ms,
                value=row[contact.channel] if contact in usable else None,
                is_given_with_order=_is_same(contact.channel, order, row),
            )
            for contact in contacts
        ),
        order_count=count_orders_of_customer(tx, stored.case.customer_id),
    )


def _is_same(channel: str, order: Row, customer: Row) -> bool | None:
    """Whether the detail given with the order is the account's, however written; None where none was."""
    given, known = order.get(f"contact_{channel}"), customer[channel]
    if given is None:
        return None
    if channel == "email":
        keys = mailbox_key(given), mailbox_key(known)
    else:
        keys = (
            phone_key(given, order["billing_country"]),
            phone_key(known, customer.get("residence_country")),
        )
    return plain_letters(given) == plain_letters(known) if None in keys else keys[0] == keys[1]


def merchant_facts(tx: Transaction, scope: CaseScope, case: ReviewCase, row: Row) -> MerchantFacts:
    """The merchant of a case by its newest row."""
    return MerchantFacts(
        name=row["name"],
        country=row["country"],
        category=row["category"],
        handover_cutoff_local_time=row["handover_cutoff_local_time"],
        language=words_for(tx, scope.policy, case.merchant_id).language,
        email=row["email"],
        has_endpoint=row.get("endpoint_url") is not None,
    )
