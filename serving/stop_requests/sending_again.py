"""A notice to a merchant once more, by hand or by e-mail in place of a webhook, unless it is overtaken."""

from serving.domain.errors import RiskError
from serving.domain.stop_request import StopAction, StopRequestState
from serving.requests.case_scope import CaseScope
from serving.stop_requests.locked_stop_request import note_in_history, standing_request
from serving.stop_requests.merchant_notices import CREATED, EXPIRED, WITHDRAWN, fallback_email, words_for
from serving.stop_requests.stop_request_answers import DeliveryAnswer
from serving.stop_requests.stop_requesting import delivery_answer
from serving.store.case_queue import known_case
from serving.store.deliveries import DROPPED, Delivery, delivery_of, resend
from serving.store.stop_requests import StoredStopRequest, stop_request_of
from serving.store.store import Transaction
from serving.webhooks.mailbox import EmailMessageText


class UnknownDelivery(RiskError):
    """There is no such notice to a merchant."""


class NoticeOvertaken(RiskError):
    """The notice would tell the merchant what is not so any more."""


def send_again(scope: CaseScope, delivery_id: str, by: str) -> DeliveryAnswer:
    """By hand: send a notice again that is no longer tried; one that still waits goes at its time.

    Raises UnknownDelivery, and NoticeOvertaken for one that is not true any more.
    """
    with scope.store.reading() as tx:
        known = delivery_of(tx, delivery_id)
        stored = None if known is None else _request_behind(tx, known)
    if known is None or stored is None:
        raise UnknownDelivery(f"there is no delivery {delivery_id}")
    with scope.store.writing(f"case-{stored.case_id}") as tx:
        now_ms = scope.now_ms()
        if is_overtaken(tx, delivery_of(tx, delivery_id) or known):
            raise NoticeOvertaken(f"{delivery_id} says what is not so any more, and is not sent again")
        if resend(tx, delivery_id, now_ms):
            note_in_history(tx, stored, now_ms, by, StopAction.SENT_AGAIN, {"delivery_id": delivery_id})
        delivery = delivery_of(tx, delivery_id) or known
        return delivery_answer(tx, delivery)


def is_overtaken(tx: Transaction, delivery: Delivery) -> bool:
    """Whether a notice would tell the merchant what is not so any more."""
    stored = _request_behind(tx, delivery)
    if stored is None or delivery.state == DROPPED:
        return True
    state = stored.request.state
    match delivery.event_type:
        case event if event == CREATED:
            return state not in {StopRequestState.REQUESTED, StopRequestState.EXPIRED}
        case event if event == EXPIRED:
            return state is not StopRequestState.EXPIRED
        case event if event == WITHDRAWN:
            return standing_request(tx, stored.case_id) is not None
        case _:
            return False


def fallback_text(tx: Transaction, scope: CaseScope, webhook: Delivery) -> EmailMessageText | None:
    """What to write in place of a webhook that was not taken; None once it says nothing that counts."""
    stored = _request_behind(tx, webhook)
    if stored is None or is_overtaken(tx, webhook):
        return None
    return fallback_email(
        scope.policy,
        stored.request,
        webhook.body,
        stakes=known_case(tx, stored.case_id).stakes,
        words=words_for(tx, scope.policy, stored.request.merchant_id),
        now_ms=scope.now_ms(),
    )


def _request_behind(tx: Transaction, delivery: Delivery) -> StoredStopRequest | None:
    return None if delivery.stop_request_id is None else stop_request_of(tx, delivery.stop_request_id)
