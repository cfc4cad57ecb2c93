"""By what a customer may be contacted."""

import pytest

from serving.domain.verified_contacts import CustomerContact, NoVerifiedContact, verified_contacts
from tests.serving.cases.an_open_case import ORDERED_AT_MS, STAKES


def test_a_customer_is_contacted_only_by_what_was_verified_before_the_order() -> None:
    before = CustomerContact(channel="email", verified_at_ms=ORDERED_AT_MS - 1)
    with_the_order = CustomerContact(channel="phone", verified_at_ms=ORDERED_AT_MS)
    never = CustomerContact(channel="phone", verified_at_ms=None)
    assert verified_contacts([never, before, with_the_order], STAKES) == (before,)
    with pytest.raises(NoVerifiedContact):
        verified_contacts([never, with_the_order], STAKES)
