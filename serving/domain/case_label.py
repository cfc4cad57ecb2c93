"""The label of a case: what its verdict adds to the order outcomes of the ledger, and so to the labels."""

import enum
from dataclasses import dataclass

from serving.domain.review_case import CaseOrigin, ContactOutcome, Verdict
from serving.domain.review_policy import ReviewPolicy


class OrderOutcomeKind(enum.Enum):
    """The kinds of the ledger's order outcomes that a review case can lead to."""

    REVIEW_RELEASED = "review_released"
    STOP_REQUEST_UPHELD = "stop_request_upheld"
    STOP_REQUEST_REJECTED = "stop_request_rejected"
    IDENTITY_MISUSE_UPHELD = "identity_misuse_upheld"
    FINDING_WITHDRAWN = "finding_withdrawn"


class EstablishedBy(enum.Enum):
    """On whose word an outcome rests."""

    REVIEWER = "reviewer"
    CUSTOMER = "customer"
    MERCHANT = "merchant"


@dataclass(frozen=True, kw_only=True)
class CaseLabel:
    """What a case adds to the ledger, and what it means for the labels.

    represented_orders: for how many orders like this one it stands when recall is estimated.
    """

    kind: OrderOutcomeKind
    is_high_risk: bool
    established_by: EstablishedBy
    represented_orders: float


def label_of(
    *,
    origin: CaseOrigin,
    verdict: Verdict | None,
    contact: ContactOutcome | None,
    merchant_answer_upheld: bool | None,
    policy: ReviewPolicy,
) -> CaseLabel | None:
    """What a verdict adds to the ledger's order outcomes; None while, or where, it adds nothing.

    A reviewer's stop alone proves nothing, or the model would learn from its own flags: the customer or
    the merchant has to uphold it. Where they contradict each other, a later finding decides (an
    identity-misuse claim, a chargeback), and so it does against any release.

    | verdict  | customer        | merchant's answer | outcome               | high risk | established by |
    |----------|-----------------|-------------------|-----------------------|-----------|----------------|
    | none     | any             | any               | none                  |           |                |
    | released | confirmed       | any               | review_released       | no        | customer       |
    | released | not asked, unr. | any               | review_released       | no        | reviewer       |
    | released | denied          | any               | none                  |           |                |
    | stop     | denied          | upheld or none    | stop_request_upheld   | yes       | customer       |
    | stop     | denied          | rejected          | none                  |           |                |
    | stop     | not asked, unr. | upheld            | stop_request_upheld   | yes       | merchant       |
    | stop     | confirmed       | upheld            | none                  |           |                |
    | stop     | not denied      | rejected          | stop_request_rejected | no        | merchant       |
    | stop     | not denied      | none              | none                  |           |                |

    By origin: a flagged order stands for itself. A sampled one was drawn among the orders that were not
    flagged and stands for 1 / sample_share of them: its `released` says that the model was right to let
    that many pass, its upheld stop that so many frauds were missed. Recall is then the flagged orders
    that were upheld, divided by all that were upheld, each counted by what it stands for. A requested
    review adds nothing: its order was refused, so it could not turn out a fraud.

    contact: the case's `contact_outcome`, None where the customer was not asked; "unr." above is unreachable.
    merchant_answer_upheld: whether the stop request was upheld in the end, None while that is open.
    policy: the one under which the case was opened. For a stop: once it has taken effect.
    """
    if verdict is None or origin is CaseOrigin.REVIEW_REQUESTED:
        return None
    judged = (
        _label_of_release(contact)
        if verdict is Verdict.RELEASED
        else _label_of_stop(contact, merchant_answer_upheld)
    )
    if judged is None:
        return None
    kind, established_by = judged
    return CaseLabel(
        kind=kind,
        is_high_risk=kind is OrderOutcomeKind.STOP_REQUEST_UPHELD,
        established_by=established_by,
        represented_orders=1 / policy.sample_share if origin is CaseOrigin.SAMPLED else 1.0,
    )


def _label_of_release(contact: ContactOutcome | None) -> tuple[OrderOutcomeKind, EstablishedBy] | None:
    if contact is ContactOutcome.DENIED:
        return None
    is_confirmed = contact is ContactOutcome.CONFIRMED
    return (
        OrderOutcomeKind.REVIEW_RELEASED,
        EstablishedBy.CUSTOMER if is_confirmed else EstablishedBy.REVIEWER,
    )


def _label_of_stop(
    contact: ContactOutcome | None, merchant_answer_upheld: bool | None
) -> tuple[OrderOutcomeKind, EstablishedBy] | None:
    if contact is ContactOutcome.DENIED:
        if merchant_answer_upheld is False:
            return None
        return OrderOutcomeKind.STOP_REQUEST_UPHELD, EstablishedBy.CUSTOMER
    if merchant_answer_upheld is False:
        return OrderOutcomeKind.STOP_REQUEST_REJECTED, EstablishedBy.MERCHANT
    if merchant_answer_upheld and contact is not ContactOutcome.CONFIRMED:
        return OrderOutcomeKind.STOP_REQUEST_UPHELD, EstablishedBy.MERCHANT
    return None
