"""What a merchant has open with the provider, with the deadlines: one list, and one signed page of it.

Stop requests that wait for an answer, disputes that wait for the merchant, and returns that were announced
and are not booked. Whoever has the link of the page sees the list and may answer what is on it, until it
expires.
"""

import enum

import msgspec

from data_contracts.instants import DAY_MS
from data_contracts.orders import ORDERS
from serving.disputes.dispute_link import DISPUTE_LINK_KEY, dispute_link
from serving.domain.dispute import WAITS_FOR, DisputeState, Party
from serving.domain.goods_return import ReturnState
from serving.domain.stop_request import StopRequestState
from serving.requests.answer_fields import Cents, Instant, OwnNumber, instant_or_none
from serving.requests.case_scope import CaseScope
from serving.stop_requests.form_link import LINK_KEY, link, read_signed_token, signed_token
from serving.store.disputes import disputes_of_merchant
from serving.store.goods_returns import returns_in_state
from serving.store.standing_rows import standing_row
from serving.store.stop_requests import signing_key, stop_requests_in_state
from serving.store.store import Transaction

OPEN_ITEMS_LINK_KEY = "open_items_link"
"""A key of its own: a link to one form opens no list, and the other way round."""
OF_EACH_KIND_MAXIMUM = 200
_WAITING_FOR_MERCHANT = frozenset(state for state in DisputeState if WAITS_FOR[state] is Party.MERCHANT)


class OpenItemKind(enum.StrEnum):
    """What is open."""

    STOP_REQUEST = "stop_request"
    DISPUTE = "dispute"
    GOODS_RETURN = "return"


class OpenItem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that waits for the merchant.

    id: of the stop request, dispute or return. amount_cents: of the order, of what is disputed, or of what is
    on its way back; null where the whole order is disputed, or the ledger does not know the order; currency:
    null then, too, for a stop request. due_at: null while no time is set. answer_url: of the form; null for a
    return, which is booked.
    """

    kind: OpenItemKind
    id: str
    order_id: str
    merchant_order_number: OwnNumber
    amount_cents: Cents | None
    currency: str | None
    due_at: Instant | None
    answer_url: str | None


class OpenItems(msgspec.Struct, frozen=True, kw_only=True):
    """What a merchant has open, the most urgent first; what has no time yet comes last.

    has_more: whether there is more than the first 200 of a kind. page_url: a page of the same, to be given to
    whoever answers; it works without a key for as long as a link to a form.
    """

    items: tuple[OpenItem, ...]
    has_more: bool
    page_url: str


def open_items(scope: CaseScope, merchant_id: str) -> OpenItems:
    """A merchant's open items, with a fresh link to their page."""
    with scope.store.writing(f"open-items-{merchant_id}") as tx:
        # The page only reads, and signs the links on it with keys that are there.
        for key_name in (LINK_KEY, DISPUTE_LINK_KEY):
            signing_key(tx, key_name, scope.now_ms())
        expires_at_ms = scope.now_ms() + scope.policy.stop_requests.link_days * DAY_MS
        token = signed_token(tx, scope, OPEN_ITEMS_LINK_KEY, merchant_id, expires_at_ms)
        items, has_more = _items(tx, scope, merchant_id)
    return OpenItems(items=items, has_more=has_more, page_url=f"{scope.public_url}/open-items/{token}")


def read_open_items_token(scope: CaseScope, token: str) -> str:
    """The merchant whose list a link shows. Raises LinkInvalid, LinkExpired."""
    return read_signed_token(scope, OPEN_ITEMS_LINK_KEY, token)


def listed_items(tx: Transaction, scope: CaseScope, merchant_id: str) -> tuple[tuple[OpenItem, ...], bool]:
    """The items and whether there are more, for the page. tx: may only read."""
    return _items(tx, scope, merchant_id)


def _items(tx: Transaction, scope: CaseScope, merchant_id: str) -> tuple[tuple[OpenItem, ...], bool]:
    limit = OF_EACH_KIND_MAXIMUM + 1
    by_kind = (
        _stop_requests(tx, scope, merchant_id, limit),
        _disputes(tx, scope, merchant_id, limit),
        _returns(tx, merchant_id, limit),
    )
    shown = [item for found in by_kind for item in found[:OF_EACH_KIND_MAXIMUM]]
    shown.sort(key=lambda item: (item.due_at is None, item.due_at or 0, item.kind, item.id))
    return tuple(shown), any(len(found) == limit for found in by_kind)


def _stop_requests(tx: Transaction, scope: CaseScope, merchant_id: str, limit: int) -> list[OpenItem]:
    items = []
    for stored in stop_requests_in_state(
        tx, StopRequestState.REQUESTED, merchant_id=merchant_id, limit=limit, after=None
    ):
        request = stored.request
        order = standing_row(tx, ORDERS, request.order_id) or {}
        items.append(
            OpenItem(
                kind=OpenItemKind.STOP_REQUEST,
                id=request.stop_request_id,
                order_id=request.order_id,
                merchant_order_number=request.merchant_order_number,
                amount_cents=order.get("amount_cents"),
                currency=order.get("currency"),
                due_at=instant_or_none(request.answer_due_at_ms),
                answer_url=link(tx, scope, request.stop_request_id),
            )
        )
    return items


def _disputes(tx: Transaction, scope: CaseScope, merchant_id: str, limit: int) -> list[OpenItem]:
    return [
        OpenItem(
            kind=OpenItemKind.DISPUTE,
            id=dispute.dispute_id,
            order_id=dispute.order_id,
            merchant_order_number=dispute.merchant_order_number,
            amount_cents=dispute.disputed_cents,
            currency=dispute.currency,
            due_at=instant_or_none(dispute.due_at_ms),
            answer_url=dispute_link(tx, scope, dispute.dispute_id),
        )
        for dispute in disputes_of_merchant(tx, merchant_id, _WAITING_FOR_MERCHANT, limit)
    ]


def _returns(tx: Transaction, merchant_id: str, limit: int) -> list[OpenItem]:
    return [
        OpenItem(
            kind=OpenItemKind.GOODS_RETURN,
            id=goods.return_id,
            order_id=goods.order_id,
            merchant_order_number=goods.merchant_order_number,
            amount_cents=goods.amount_cents,
            currency=goods.currency,
            due_at=Instant(goods.due_at_ms),
            answer_url=None,
        )
        for goods in returns_in_state(tx, ReturnState.ANNOUNCED, merchant_id=merchant_id, limit=limit)
    ]
