"""A desk whose provider pays its merchants: a policy that settles invoices, and a worker at hand."""

from typing import Any

from serving.cases.settling_orders import settle_due
from serving.domain.policy import Policy
from serving.domain.policy_reader import parse_policy
from serving.domain.settlement import Account
from serving.store.settlement_postings import StoredPosting, postings_of_order
from serving.store.store import Store
from tests.builders import DAY, a_merchant
from tests.serving.case_desk import START, CaseDesk
from tests.serving.policy_versions import a_policy_text

SETTLES_FROM = "2026-05-01"


def settling_policy(**changes: int | str) -> Policy:
    """The policy that comes with the code, settling from May 2026 on. changes: fields with another value."""
    return parse_policy(a_policy_text("settling", **{"settles_from": SETTLES_FROM, **changes}))


class SettlingDesk(CaseDesk):
    """The desk with the worker that settles."""

    def settle_all(self) -> int:
        """Settle every order that waits."""
        done = 0
        while worked := settle_due(self.scope):
            done += worked
        return done

    def posted(self, order_id: str = "o1") -> list[StoredPosting]:
        with self.store.reading() as tx:
            return postings_of_order(tx, order_id)

    def to_merchant(self, order_id: str = "o1") -> list[tuple[str, int]]:
        """What was posted to the merchant, line by line."""
        return [
            (posting.text.value, -posting.amount_cents)
            for posting in self.posted(order_id)
            if posting.account is Account.MERCHANT_PAYABLE
        ]


def a_settling_desk(
    store: Store, *, order: dict[str, Any] | None = None, **changes: int | str
) -> SettlingDesk:
    """A desk with one case, and merchant m1. order: columns of its order. changes: of the policy."""
    desk = SettlingDesk(store, settling_policy(**changes))
    desk.row("merchants", a_merchant(at=START - 500 * DAY))
    desk.order("1", **(order or {}))
    return desk
