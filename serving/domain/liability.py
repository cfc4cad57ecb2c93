"""Who bears the loss of a high-risk order, and why.

The judgement rests on recorded facts alone; what is settled for it, `settlement.py` says. The sentences are
for the merchant: they speak of the order and of what the merchant did, never of a person.
"""

import enum
from dataclasses import dataclass

from serving.domain.errors import RiskError
from serving.domain.merchant_answer import AnswerKind, MerchantAnswer
from serving.domain.stop_request import StopRequest, StopRequestPolicy, StopRequestState

_SHIPPED_ANSWERS = frozenset(
    {
        AnswerKind.SHIPPED_WITH_TRACKING,
        AnswerKind.SHIPPED_WITHOUT_TRACKING,
        AnswerKind.PARCEL_RETURNED,
    }
)
_SERVICE_ANSWERS = frozenset({AnswerKind.SERVICE_CUT, AnswerKind.SERVICE_CANNOT_BE_CUT})


class Shipment(enum.Enum):
    """What is recorded about the goods leaving the merchant, apart from its answers."""

    NOT_SHIPPED = "not_shipped"
    WITHOUT_TRACKING = "without_tracking"
    WITH_TRACKING = "with_tracking"


class TakenBack(enum.Enum):
    """How the record says that the whole order came to nothing."""

    RETURNED = "returned"
    CANCELLED = "cancelled"


class Bearer(enum.Enum):
    """Who bears the loss: `nobody_yet` while that is open, `nobody` where nothing is lost."""

    PROVIDER = "provider"
    MERCHANT = "merchant"
    NOBODY_YET = "nobody_yet"
    NOBODY = "nobody"


class FactsInvalid(RiskError):
    """The facts cannot be true together; `mistakes` names each as "field: rule"."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True, kw_only=True)
class RiskFacts:
    """What is recorded about one high-risk order.

    amount_cents: the full amount; vat_cents: the value-added tax in it. invoiced_cents: what is invoiced less
    what was credited for returns or out of goodwill, whether or not the customer has paid it; None without
    any invoice. taken_back: None while the order stands. stop_request: None where none was made.
    is_disputed: the customer disputes the claim. is_decided_for_customer: such a dispute was decided so.
    charged_back_cents: of what is invoiced, what was credited for a dispute, a chargeback or a fraud.
    withheld_cents: of the claim, what was never paid out to the merchant.

    Raises FactsInvalid.
    """

    amount_cents: int
    vat_cents: int
    invoiced_cents: int | None
    currency: str
    is_service: bool
    shipment: Shipment
    taken_back: TakenBack | None
    stop_request: StopRequest | None
    is_confirmed_fraud: bool
    is_disputed: bool
    is_invoice_unpaid: bool
    is_decided_for_customer: bool = False
    charged_back_cents: int = 0
    withheld_cents: int = 0

    def __post_init__(self) -> None:
        mistakes = []
        if self.amount_cents < 1:
            mistakes.append("amount_cents: must be at least 1")
        if not 0 <= self.vat_cents < max(self.amount_cents, 1):
            mistakes.append("vat_cents: must be at least 0 and below amount_cents")
        if self.invoiced_cents is not None and self.invoiced_cents < 0:
            mistakes.append("invoiced_cents: must be at least 0")
        if mistakes:
            raise FactsInvalid(mistakes)

    @property
    def claim_cents(self) -> int:
        """What is claimed: what is invoiced less returns, or the amount without any invoice."""
        return self.amount_cents if self.invoiced_cents is None else self.invoiced_cents

    def vat_in(self, cents: int) -> int:
        """The value-added tax in a part of the order: the order's share of tax, half a cent rounded up."""
        return (2 * cents * self.vat_cents + self.amount_cents) // (2 * self.amount_cents)

    @property
    def is_lost_by_dispute(self) -> bool:
        """Whether a dispute was decided for the customer on an order that the merchant was asked to stop."""
        return self.is_decided_for_customer and self.standing_stop_request is not None

    @property
    def is_lost(self) -> bool:
        """Whether it stands that somebody bears a loss."""
        return self.is_confirmed_fraud or self.is_lost_by_dispute

    @property
    def is_invoice_standing(self) -> bool:
        """Whether an invoice claims anything that the merchant did not take back."""
        return self.invoiced_cents is not None and self.invoiced_cents > 0

    @property
    def standing_stop_request(self) -> StopRequest | None:
        """The stop request unless it was withdrawn: then the merchant was free to fulfil the order."""
        request = self.stop_request
        return None if request is None or request.state is StopRequestState.WITHDRAWN else request

    @property
    def answers(self) -> tuple[MerchantAnswer, ...]:
        """The merchant's answers to the standing stop request."""
        request = self.standing_stop_request
        return () if request is None else request.answers

    @property
    def current_kind(self) -> AnswerKind | None:
        """The kind of the answer that counts, None where there is none."""
        return self.answers[-1].kind if self.answers else None

    @property
    def was_shipped(self) -> bool:
        """Whether goods left the merchant, by the record or by its own answer."""
        return self.shipment is not Shipment.NOT_SHIPPED or self.current_kind in _SHIPPED_ANSWERS

    @property
    def has_tracking(self) -> bool:
        """Whether a tracking number is known, from the record or from any answer."""
        return self.shipment is Shipment.WITH_TRACKING or any(
            answer.kind is AnswerKind.SHIPPED_WITH_TRACKING for answer in self.answers
        )

    @property
    def is_shipped_untracked(self) -> bool:
        """Whether goods left the merchant and no tracking number is known; a service needs none."""
        return self.was_shipped and not self.is_service and not self.has_tracking


@dataclass(frozen=True, kw_only=True)
class Liability:
    """Who bears the loss, and the sentences that say why, the most decisive first."""

    bearer: Bearer
    reasons: tuple[str, ...]


def liability_of(facts: RiskFacts, policy: StopRequestPolicy) -> Liability:
    """Who bears the loss by the recorded facts, and why.

    Liability that has moved to the merchant is named before the fraud is confirmed; nothing is settled
    before. A dispute that was decided for the customer, on an order that the merchant was asked to stop, is
    a loss too: without an answer in time or a tracking number it is the merchant's. Of two conflicting
    accounts neither is believed: nobody bears the loss until it is cleared up.

    policy: the one that was in force when the merchant was asked.
    """
    for rule in (
        _taken_back,
        _nothing_claimed,
        _conflict,
        _stopped_or_returned,
        _awaiting_answer,
        _breach,
        _never_shipped,
        _not_confirmed,
    ):
        liability = rule(facts, policy)
        if liability is not None:
            return liability
    return _provider_bears(facts)


def _taken_back(facts: RiskFacts, _policy: StopRequestPolicy) -> Liability | None:
    """What came back or was cancelled by the record needs no answer of the merchant to be no loss."""
    if facts.taken_back is None:
        return None
    reason = f"The order is recorded as {facts.taken_back.value}, so nothing is lost."
    return Liability(bearer=Bearer.NOBODY, reasons=(reason,))


def _nothing_claimed(facts: RiskFacts, _policy: StopRequestPolicy) -> Liability | None:
    if facts.claim_cents > 0:
        return None
    reason = "All that was invoiced is credited, so nothing is lost."
    return Liability(bearer=Bearer.NOBODY, reasons=(reason,))


def _conflict(facts: RiskFacts, _policy: StopRequestPolicy) -> Liability | None:
    kind = facts.current_kind
    if kind is AnswerKind.STOPPED_BEFORE_SHIPPING and facts.shipment is not Shipment.NOT_SHIPPED:
        conflict = "The merchant answered that the order was stopped, but a shipment is recorded."
    elif kind in _SERVICE_ANSWERS and not facts.is_service:
        conflict = "The merchant answered about a service, but the order is recorded as goods."
    elif kind in _SHIPPED_ANSWERS and facts.is_service:
        conflict = "The merchant answered about a shipment, but the order is recorded as a service."
    else:
        return None
    open_until = "Nobody bears the loss until this is cleared up with the merchant."
    return Liability(bearer=Bearer.NOBODY_YET, reasons=(conflict, open_until))


def _stopped_or_returned(facts: RiskFacts, _policy: StopRequestPolicy) -> Liability | None:
    """Removing the invoice, or registering the return, is part of these answers; before, they are words."""
    kind = facts.current_kind
    if kind is AnswerKind.STOPPED_BEFORE_SHIPPING:
        said = "The merchant stopped the order before shipping"
        owed = "it still has to remove the invoice or register the order as returned"
    elif kind is AnswerKind.SERVICE_CUT:
        said = "The merchant cut access to the service"
        owed = "it still has to remove the invoice"
    elif kind is AnswerKind.PARCEL_RETURNED:
        said = "The parcel came back to the merchant"
        owed = "the merchant still has to register the order as returned"
    else:
        return None
    if not facts.is_invoice_standing:
        return Liability(bearer=Bearer.NOBODY, reasons=(f"{said}, so nothing is lost.",))
    reason = f"{said}, but {owed}."
    if facts.withheld_cents > 0:
        came_after = "An invoice came after that answer: it is not paid out, and is the merchant's."
        return Liability(bearer=Bearer.MERCHANT, reasons=(came_after, reason))
    if not facts.is_confirmed_fraud:
        return Liability(bearer=Bearer.NOBODY_YET, reasons=(reason,))
    back = "The order is confirmed as fraud and the invoice stands, so the claim goes back to the merchant."
    return Liability(bearer=Bearer.MERCHANT, reasons=(reason, back))


def _awaiting_answer(facts: RiskFacts, _policy: StopRequestPolicy) -> Liability | None:
    request = facts.standing_stop_request
    if request is None or request.state is not StopRequestState.REQUESTED:
        return None
    if facts.is_confirmed_fraud and facts.is_shipped_untracked:
        # A breach whatever the merchant answers; a tracking number that it names later undoes it.
        return None
    if request.first_delivered_at_ms is None:
        reason = "The stop request has not reached the merchant yet."
    else:
        reason = "The merchant was asked to stop the order and still has time to answer."
    return Liability(bearer=Bearer.NOBODY_YET, reasons=(reason,))


def _breach(facts: RiskFacts, policy: StopRequestPolicy) -> Liability | None:
    request = facts.standing_stop_request
    reasons = []
    if request is not None and request.has_missed_deadline and policy.no_answer_moves_liability:
        reasons.append("The merchant did not answer the stop request in time.")
    is_at_stake = request is not None or facts.is_confirmed_fraud
    if is_at_stake and facts.is_shipped_untracked:
        reasons.append("The order was shipped without a tracking number, which is a breach of the agreement.")
    if not reasons:
        return None
    if facts.is_confirmed_fraud:
        reasons.append("The order is confirmed as fraud, so the claim goes back to the merchant.")
    elif facts.is_lost_by_dispute:
        reasons.append("The dispute was decided for the customer, so what is charged back is the merchant's.")
    else:
        reasons.append(
            "The merchant is liable for the order; nothing is settled unless it is confirmed as fraud."
        )
    return Liability(bearer=Bearer.MERCHANT, reasons=tuple(reasons))


def _never_shipped(facts: RiskFacts, _policy: StopRequestPolicy) -> Liability | None:
    if facts.is_service or facts.was_shipped:
        return None
    return Liability(bearer=Bearer.NOBODY, reasons=("No shipment is recorded, so nothing is lost.",))


def _not_confirmed(facts: RiskFacts, _policy: StopRequestPolicy) -> Liability | None:
    if facts.is_lost:
        return None
    reasons = []
    if facts.is_disputed:
        reasons.append("The claim is disputed and is being investigated.")
    if facts.is_invoice_unpaid:
        reasons.append("The invoice is not paid and the order is being investigated.")
    if not reasons and facts.standing_stop_request is not None:
        reasons.append("The order was fulfilled; whether the claim will be disputed remains to be seen.")
    if not reasons:
        nothing_known = "The claim is not disputed and the invoice is not overdue, so nothing is lost."
        return Liability(bearer=Bearer.NOBODY, reasons=(nothing_known,))
    return Liability(bearer=Bearer.NOBODY_YET, reasons=tuple(reasons))


def _provider_bears(facts: RiskFacts) -> Liability:
    found = (
        "The order is confirmed as fraud"
        if facts.is_confirmed_fraud
        else "The dispute was decided for the customer"
    )
    reasons = [f"{found}, but the merchant met the requirements: the provider bears the loss."]
    if facts.is_service:
        reasons.append("The order is a service, so there is no parcel to track.")
    else:
        reasons.append("The order was shipped with a tracking number.")
    request = facts.standing_stop_request
    if request is None:
        reasons.append("No stop request stands that the merchant had to follow.")
    elif request.has_missed_deadline:
        reasons.append(
            "The stop request was not answered in time, which the policy does not hold against it."
        )
    else:
        reasons.append("The merchant answered the stop request in time.")
    return Liability(bearer=Bearer.PROVIDER, reasons=tuple(reasons))
