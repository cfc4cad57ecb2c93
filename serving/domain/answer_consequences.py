"""What follows from a merchant's answer to a stop request, or from none in time.

The sentences are about the order: none names a person or says why the order was judged a risk.
"""

import enum
from dataclasses import dataclass
from typing import assert_never

from serving.domain.merchant_answer import AnswerKind, MerchantAnswer, comparable_carrier
from serving.domain.stop_request import StopRequest, StopRequestPolicy, StopRequestState


class ConsequenceCode(enum.Enum):
    """The closed list of what can follow from an answer, or from none."""

    INVOICE_CANCELLED = "invoice_cancelled"
    PROVIDER_RECALLS_PARCEL = "provider_recalls_parcel"
    MERCHANT_RECALLS_PARCEL = "merchant_recalls_parcel"
    LIABILITY_MOVES_TO_MERCHANT = "liability_moves_to_merchant"
    SERVICE_CUT = "service_cut"
    WAIT_FOR_DISPUTE = "wait_for_dispute"
    ORDER_RETURNED = "order_returned"


@dataclass(frozen=True, kw_only=True)
class Consequence:
    """One thing that follows, with a sentence for the merchant and the fraud team."""

    code: ConsequenceCode
    sentence: str


def consequences(request: StopRequest, policy: StopRequestPolicy) -> tuple[Consequence, ...]:
    """What follows from the answer that counts, or from none in time; empty while nothing does.

    Where the goods were held or came back, or access was cut, a late answer costs the merchant nothing.
    """
    if request.state is StopRequestState.WITHDRAWN:
        return ()
    answer = request.current_answer
    if answer is None:
        return _after_missed_deadline(request, policy)
    match answer.kind:
        case AnswerKind.STOPPED_BEFORE_SHIPPING:
            return (
                Consequence(
                    code=ConsequenceCode.INVOICE_CANCELLED,
                    sentence=(
                        "The merchant removes the invoice, or registers the whole order as returned,"
                        " and confirms it."
                    ),
                ),
            )
        case AnswerKind.SHIPPED_WITH_TRACKING:
            return (_recall(answer, policy), *_after_missed_deadline(request, policy))
        case AnswerKind.SHIPPED_WITHOUT_TRACKING:
            return (
                Consequence(
                    code=ConsequenceCode.LIABILITY_MOVES_TO_MERCHANT,
                    sentence=(
                        "Shipping without a tracking number is a breach of the agreement,"
                        " so the merchant becomes liable for the order."
                    ),
                ),
            )
        case AnswerKind.SERVICE_CUT:
            return (
                Consequence(
                    code=ConsequenceCode.SERVICE_CUT,
                    sentence="Access to the service is cut and confirmed as stopped.",
                ),
                Consequence(
                    code=ConsequenceCode.INVOICE_CANCELLED,
                    sentence="The merchant removes the invoice, and no further invoices follow.",
                ),
            )
        case AnswerKind.SERVICE_CANNOT_BE_CUT:
            waiting = Consequence(
                code=ConsequenceCode.WAIT_FOR_DISPUTE,
                sentence="The service runs on, and nothing happens unless the claim is disputed.",
            )
            return (waiting, *_after_missed_deadline(request, policy))
        case AnswerKind.PARCEL_RETURNED:
            return (
                Consequence(
                    code=ConsequenceCode.ORDER_RETURNED,
                    sentence="The parcel came back, and the merchant registers the order as returned.",
                ),
            )
    assert_never(answer.kind)


def _after_missed_deadline(request: StopRequest, policy: StopRequestPolicy) -> tuple[Consequence, ...]:
    if not (request.has_missed_deadline and policy.no_answer_moves_liability):
        return ()
    sentence = "The merchant did not answer in time, so the merchant becomes liable for the order."
    return (Consequence(code=ConsequenceCode.LIABILITY_MOVES_TO_MERCHANT, sentence=sentence),)


def _recall(answer: MerchantAnswer, policy: StopRequestPolicy) -> Consequence:
    recallable = {comparable_carrier(carrier) for carrier in policy.recallable_carriers}
    if answer.carrier is not None and comparable_carrier(answer.carrier) in recallable:
        return Consequence(
            code=ConsequenceCode.PROVIDER_RECALLS_PARCEL,
            sentence="The provider can recall the parcel from this carrier for the merchant.",
        )
    return Consequence(
        code=ConsequenceCode.MERCHANT_RECALLS_PARCEL,
        sentence="The provider cannot recall parcels from this carrier, so the merchant recalls it itself.",
    )
