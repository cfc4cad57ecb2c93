"""What the merchant's form shows about one stop request: the order and the answers, nothing of a person."""

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from serving.domain.answer_consequences import ConsequenceCode, consequences
from serving.domain.merchant_answer import AnswerKind
from serving.domain.stop_request import LATER_ANSWERS, StopRequest, StopRequestState
from serving.merchant_form.form_body import EnteredAnswer
from serving.requests.case_scope import CaseScope
from serving.stop_requests.form_link import read_token
from serving.stop_requests.locked_stop_request import UnknownStopRequest
from serving.stop_requests.merchant_notices import words_for
from serving.store.case_queue import case_of
from serving.store.order_links import order_rows
from serving.store.stop_requests import stop_request_of

ANSWERS_FOR: Mapping[str, tuple[AnswerKind, ...]] = MappingProxyType(
    {
        "goods": (
            AnswerKind.STOPPED_BEFORE_SHIPPING,
            AnswerKind.SHIPPED_WITH_TRACKING,
            AnswerKind.SHIPPED_WITHOUT_TRACKING,
            AnswerKind.PARCEL_RETURNED,
        ),
        "service": (AnswerKind.SERVICE_CUT, AnswerKind.SERVICE_CANNOT_BE_CUT),
    }
)
"""The answers that fit an order, by the `kind` of the orders contract."""


@dataclass(frozen=True, kw_only=True)
class FormView:
    """One stop request as its merchant sees it.

    order_kind: as in the orders contract, None where the ledger does not know the order.
    merchant_name, language, zone: of the merchant, as `words_for` says.
    follows: what follows from the answers, or from none in time.
    sandbox_now_ms: the time in a sandbox; None where the store is none.
    """

    request: StopRequest
    order_kind: str | None
    amount_cents: int
    currency: str
    merchant_name: str
    language: str
    zone: zoneinfo.ZoneInfo
    provider_name: str
    customer_service: str
    answer_hours: int
    follows: tuple[ConsequenceCode, ...]
    sandbox_now_ms: int | None = None

    @property
    def is_withdrawn(self) -> bool:
        """Whether the merchant was told that it may fulfil the order."""
        return self.request.state is StopRequestState.WITHDRAWN

    @property
    def fitting(self) -> tuple[AnswerKind, ...]:
        """The answers that fit the order's kind, all where it is not known."""
        return tuple(AnswerKind) if self.order_kind is None else ANSWERS_FOR[self.order_kind]

    @property
    def offered(self) -> tuple[AnswerKind, ...]:
        """The answers to choose from: all that fit, later the one that counts and what it may become."""
        current = self.request.current_answer
        if current is None:
            return self.fitting
        later = LATER_ANSWERS[current.kind]
        return (current.kind, *(kind for kind in self.fitting if kind in later))

    def completed(self, entered: EnteredAnswer) -> EnteredAnswer:
        """The entered answer, with carrier and tracking number from the one that it adds a note to.

        The form does not ask for them again, since others would contradict it.
        """
        current = self.request.current_answer
        is_same = current is not None and entered.kind == current.kind.value
        if (
            current is None
            or not is_same
            or entered.carrier is not None
            or entered.tracking_number is not None
        ):
            return entered
        return replace(entered, carrier=current.carrier, tracking_number=current.tracking_number)


def form_view(scope: CaseScope, token: str) -> FormView:
    """The stop request that a link is about. Writes nothing.

    Raises LinkInvalid, LinkExpired, UnknownStopRequest, StoreUnavailable.
    """
    stop_request_id = read_token(scope, token)
    policy = scope.policy
    with scope.store.reading() as tx:
        stored = stop_request_of(tx, stop_request_id)
        case = None if stored is None else case_of(tx, stored.case_id)
        if stored is None or case is None:
            raise UnknownStopRequest(f"there is no stop request {stop_request_id}")
        versions = order_rows(tx, stored.request.order_id)
        words = words_for(tx, policy, stored.request.merchant_id)
    order = versions[-1] if versions else None
    return FormView(
        request=stored.request,
        order_kind=None if order is None else order["kind"],
        amount_cents=case.stakes.amount_cents if order is None else order["amount_cents"],
        currency=case.stakes.currency if order is None else order["currency"],
        merchant_name=words.name,
        language=words.language,
        zone=words.zone,
        provider_name=policy.provider.name,
        customer_service=policy.provider.customer_service,
        answer_hours=policy.stop_requests.answer_hours,
        follows=tuple(follows.code for follows in consequences(stored.request, policy.stop_requests)),
        sandbox_now_ms=scope.now_ms() if scope.is_sandbox else None,
    )
