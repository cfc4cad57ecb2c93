"""The words of the queue and the case: every closed vocabulary that a reviewer meets, in plain English."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from serving.cases.linked_orders import SharedBy
from serving.cases.timeline import TimelineEntry, TimelineSource
from serving.console.locale_forms import Locale
from serving.domain.case_label import OrderOutcomeKind
from serving.domain.investigation import Finding, Trigger
from serving.domain.liability import Bearer
from serving.domain.merchant_answer import AnswerKind
from serving.domain.merchant_texts import answer_label
from serving.domain.review_case import CaseOrigin, CaseState, ContactOutcome, Verdict
from serving.domain.settlement import Account, SettlementText
from serving.domain.stop_request import RecallResult, StopRequestState

Words = Mapping[str, str]

STATE: Words = MappingProxyType(
    {
        CaseState.OPEN.value: "Open",
        CaseState.CLAIMED.value: "Claimed",
        CaseState.CONTACTING_CUSTOMER.value: "Contacting the customer",
        CaseState.CLOSED.value: "Closed",
    }
)
ORIGIN: Words = MappingProxyType(
    {
        CaseOrigin.FLAGGED.value: "Flagged by the model",
        CaseOrigin.SAMPLED.value: "Drawn at random",
        CaseOrigin.REVIEW_REQUESTED.value: "Review requested by the customer",
    }
)
VERDICT: Words = MappingProxyType({Verdict.RELEASED.value: "Released", Verdict.STOP.value: "Stopped"})
CONTACT_OUTCOME: Words = MappingProxyType(
    {
        ContactOutcome.CONFIRMED.value: "The customer placed the order",
        ContactOutcome.DENIED.value: "The customer did not place the order",
        ContactOutcome.UNREACHABLE.value: "The customer could not be reached",
    }
)
CHANNEL: Words = MappingProxyType({"email": "E-mail", "phone": "Telephone"})
SHARED: Words = MappingProxyType(
    {
        SharedBy.DEVICE.value: "Device",
        SharedBy.DELIVERY_ADDRESS.value: "Delivery address",
        SharedBy.EMAIL.value: "E-mail address",
        SharedBy.PHONE.value: "Telephone number",
    }
)
REQUEST_STATE: Words = MappingProxyType(
    {
        StopRequestState.REQUESTED.value: "Waiting for the merchant's answer",
        StopRequestState.ANSWERED.value: "Answered",
        StopRequestState.EXPIRED.value: "Not answered in time",
        StopRequestState.WITHDRAWN.value: "Withdrawn",
    }
)
ANSWER: Words = MappingProxyType({kind.value: answer_label(kind, "en") for kind in AnswerKind})
RECALL: Words = MappingProxyType(
    {
        RecallResult.RECALLED.value: "The parcel was recalled",
        RecallResult.FAILED.value: "The parcel could not be recalled",
    }
)
NOTICE: Words = MappingProxyType(
    {
        "stop_request.created": "Request to stop the order",
        "stop_request.withdrawn": "Withdrawal of the request",
        "stop_request.expired": "No answer came in time",
        "stop_request.information_requested": "Question",
    }
)
DELIVERY_STATE: Words = MappingProxyType(
    {
        "waiting": "Being sent",
        "delivered": "Delivered",
        "gone": "The endpoint is gone",
        "given_up": "Given up",
        "dropped": "Not sent: overtaken",
    }
)
ATTEMPT: Words = MappingProxyType(
    {"delivered": "Delivered", "gone": "The endpoint is gone", "retry": "Not taken"}
)
TRIGGER: Words = MappingProxyType(
    {
        Trigger.CUSTOMER_DISPUTED.value: "The customer disputes the claim",
        Trigger.INVOICE_UNPAID.value: "The invoice stays unpaid",
        Trigger.BY_HAND.value: "Opened by hand",
        Trigger.INVOICED_AFTER_STOP.value: "An invoice came after the merchant had stopped the order",
    }
)
FINDING: Words = MappingProxyType(
    {Finding.FRAUD_CONFIRMED.value: "Fraud confirmed", Finding.NOT_FRAUD.value: "Not fraud"}
)
BEARER: Words = MappingProxyType(
    {
        Bearer.PROVIDER.value: "We bear the loss",
        Bearer.MERCHANT.value: "The merchant bears the loss",
        Bearer.NOBODY_YET.value: "Nobody yet: that is still open",
        Bearer.NOBODY.value: "Nobody: nothing is lost",
    }
)
ACCOUNT: Words = MappingProxyType(
    {
        Account.CUSTOMER_RECEIVABLE.value: "Customer receivable",
        Account.MERCHANT_PAYABLE.value: "Merchant payable",
        Account.FEE_INCOME.value: "Fee income",
        Account.FRAUD_LOSSES.value: "Fraud losses",
    }
)
SETTLEMENT_LINE: Words = MappingProxyType(
    {
        SettlementText.PAYOUT.value: "Payout",
        SettlementText.FEE.value: "Fee",
        SettlementText.RETURN.value: "Return",
        SettlementText.CHARGEBACK.value: "Chargeback",
        SettlementText.RETURN_FRAUD.value: "Return, fraud",
        SettlementText.FRAUD_POLICY.value: "Fraud policy",
    }
)
REASON: Words = MappingProxyType(
    {
        "order_amount_cents": "Amount of the order",
        "order_hour_utc": "Hour of the order",
        "order_night": "Ordered at night",
        "order_resellable": "Goods that sell again easily",
        "order_service": "A service",
        "order_computers_phones": "Computers or telephones",
        "order_gift_cards": "Gift cards",
        "order_jewellery": "Jewellery",
        "order_media_software": "Media or software",
        "order_address_differs": "Delivered elsewhere than billed",
        "order_recipient_differs": "Delivered to another name than billed",
        "order_device_missing": "Device not identified",
        "order_phone_missing": "No telephone number",
        "order_unlike_own_past": "Unlike the customer's own orders",
        "new_device": "Device new to this customer",
        "new_address": "Address new to this customer",
        "fresh_account": "Age of the account",
        "many_orders_same_device": "Many orders on this device",
        "many_orders_same_delivery_address": "Many orders to this address",
        "many_orders_same_mailbox": "Many orders with this e-mail address",
        "many_orders_same_phone": "Many orders with this telephone number",
        "many_orders_same_ip_prefix": "Many orders from this network",
        "many_orders_same_email_domain": "Many orders with this e-mail domain",
        "many_orders_same_merchant": "Many orders at this merchant",
        "shared_device": "Several customers on this device",
        "shared_mailbox": "Several customers with this e-mail address",
        "shared_phone": "Several customers with this telephone number",
        "shared_delivery_address": "Several customers at this address",
        "fraud_same_customer": "Fraud found at this customer",
        "fraud_same_device": "Fraud found on this device",
        "fraud_same_delivery_address": "Fraud found at this address",
        "fraud_same_mailbox": "Fraud found with this e-mail address",
        "fraud_same_phone": "Fraud found with this telephone number",
        "fraud_same_ip_prefix": "Fraud found in this network",
        "fraud_same_email_domain": "Fraud found with this e-mail domain",
        "fraud_same_merchant": "Fraud found at this merchant",
        "order_address_changed": "Delivery address changed after the order",
        "order_redirected": "Parcel redirected",
        "order_booked": "Shipment booked",
    }
)
"""By reason code of the order-risk feature set; a test keeps it whole."""

_OUTCOME_KIND: Words = MappingProxyType(
    {
        OrderOutcomeKind.REVIEW_RELEASED.value: "Outcome: released after review",
        OrderOutcomeKind.STOP_REQUEST_UPHELD.value: "Outcome: the stop was right",
        OrderOutcomeKind.STOP_REQUEST_REJECTED.value: "Outcome: the stop was not right",
        "dispute_decided_for_customer": "Outcome: dispute decided for the customer",
        "dispute_decided_for_merchant": "Outcome: dispute decided for the merchant",
        "fraud_chargeback": "Outcome: charged back as fraud",
        "finding_withdrawn": "Outcome: an earlier finding is withdrawn",
        "identity_misuse_upheld": "Outcome: identity misuse upheld",
        "identity_misuse_rejected": "Outcome: identity misuse rejected",
    }
)
TITLE: Mapping[TimelineSource, Words] = MappingProxyType(
    {
        TimelineSource.ORDER: MappingProxyType(
            {"ordered": "Ordered", "order_corrected": "Order corrected by the shop"}
        ),
        TimelineSource.ORDER_EVENT: MappingProxyType(
            {
                "address_changed": "Delivery address changed",
                "amended": "Order amended",
                "cancelled": "Order cancelled",
                "confirmed": "Order confirmed",
                "delivered": "Delivered",
                "delivery_redirected": "Parcel redirected",
                "extended": "Reservation extended",
                "released": "Rest of the order released",
                "returned": "Returned",
                "shipment_booked": "Shipment booked",
                "shipped": "Shipped",
            }
        ),
        TimelineSource.SCREENING: MappingProxyType(
            {"flagged": "Screened: flagged", "clear": "Screened: not flagged"}
        ),
        TimelineSource.OUTCOME: _OUTCOME_KIND,
        TimelineSource.CASE: MappingProxyType(
            {
                "opened": "Case opened",
                "claimed": "Case claimed",
                "given_back": "Case given back",
                "claim_expired": "Claim ended: nobody worked on it",
                "note_added": "Note",
                "contact_started": "Customer is being contacted",
                "contact_recorded": "Customer contacted",
                "contact_expired": "The customer did not answer in time",
                "released": "Order released",
                "stop_decided": "Order stopped",
                "stop_undone": "Stop undone",
                "stop_withdrawn": "Stop withdrawn",
                "reopened": "Case re-opened",
                "stop_requested": "Merchant asked to stop the order",
                "stop_answered": "Merchant answered",
                "stop_answer_contradicted": "Merchant gave an answer that contradicts an earlier one",
                "stop_expired": "Merchant did not answer in time",
                "stop_request_withdrawn": "Stop request withdrawn",
                "notice_sent_again": "Notice sent again by hand",
                "recall_finished": "Recall finished",
                "investigation_opened": "Investigation opened",
                "investigation_trigger_noted": "Investigation: something new noted",
                "merchant_asked": "Question sent to the merchant",
                "investigation_concluded": "Investigation concluded",
                "outcome_recorded": "Outcome recorded in the ledger",
                "invoice_withheld": "Invoice of a stopped order paused, and not paid out",
                "settled": "Settlement posted",
            }
        ),
    }
)
"""By source and name of a timeline entry; a test keeps it whole."""

_SCREENED_BECAUSE: Words = MappingProxyType(
    {
        "order_approved": "the order was approved",
        "linked_order": "a linked order came in",
        "linked_fraud_confirmed": "fraud was confirmed about a linked order",
        "address_changed": "the delivery address was changed",
        "amended": "the order was amended",
        "delivery_redirected": "the parcel was redirected",
        "shipment_booked": "a shipment was booked",
        "shipped": "the order was shipped",
        "delivered": "the order was delivered",
    }
)
_DETAIL_WORDS: Mapping[str, Words] = MappingProxyType(
    {
        "origin": ORIGIN,
        "outcome": {**CONTACT_OUTCOME, **_OUTCOME_KIND},
        "finding": FINDING,
        "result": RECALL,
        "bearer": BEARER,
    }
)
_DETAIL_TEXTS = ("note", "reason", "question")


def words_of(known: Words, code: str) -> str:
    """The words of a code; one that an older or newer release wrote is shown as it is, legibly."""
    return known.get(code) or code.replace("_", " ").replace(".", " ").capitalize()


def title_of(entry: TimelineEntry) -> str:
    """What happened, in words."""
    return words_of(TITLE[entry.source], entry.name)


def detail_of(entry: TimelineEntry, locale: Locale) -> list[str]:
    """What there is to say about an entry of the timeline beside its title: one sentence or text each."""
    detail = entry.detail
    lines: list[str] = []
    if "probability" in detail:
        lines.append(f"Probability of fraud {locale.percent(detail['probability'])}")
    if "trigger" in detail:
        trigger = str(detail["trigger"])
        why = TRIGGER.get(trigger) or _SCREENED_BECAUSE.get(trigger) or words_of({}, trigger)
        lines.append(f"Because: {why}")
    if "model" in detail:
        lines.append(f"Model {detail['model']}")
    lines += [
        words_of(known, str(detail[name]))
        for name, known in _DETAIL_WORDS.items()
        if detail.get(name) is not None
    ]
    if "verified_channels" in detail:
        lines.append(
            "By " + " or ".join(words_of(CHANNEL, channel) for channel in detail["verified_channels"])
        )
    if entry.name in {"stop_answered", "stop_answer_contradicted"}:
        lines.append(words_of(ANSWER, str(detail["kind"])))
        if detail.get("late"):
            lines.append("After the deadline")
    lines += _parcel(detail)
    lines += [
        _reason_text(str(detail[name])) if name == "reason" else str(detail[name])
        for name in _DETAIL_TEXTS
        if detail.get(name)
    ]
    if entry.name == "settled":
        lines.append(f"{detail['new_lines']} new lines, {detail['reversed_lines']} reversed")
    return lines


def _parcel(detail: Mapping[str, Any]) -> list[str]:
    named = [str(detail[name]) for name in ("carrier", "tracking_number") if detail.get(name)]
    return [" ".join(named)] if named else []


def _reason_text(reason: str) -> str:
    """A re-opening by the system gives a code, one by a person a sentence."""
    return _SCREENED_BECAUSE.get(reason, reason).capitalize() if reason in _SCREENED_BECAUSE else reason


def reason_words(code: str) -> str:
    """A reason why an order was flagged, in a few words."""
    return words_of(REASON, code)


def reason_sentence(text: str) -> str:
    """What a feature counts, without the names of columns.

    >>> reason_sentence("orders in 1h with the same delivery_address, this one too")
    'orders in 1 hour with the same delivery address, this one too'
    """
    for name, plain in (
        ("delivery_address", "delivery address"),
        ("ip_prefix", "network"),
        ("email_domain", "e-mail domain"),
        ("mailbox", "e-mail address"),
        (" phone", " telephone number"),
        (" 1h ", " 1 hour "),
        (" 1d ", " 1 day "),
        (" 7d ", " 7 days "),
        (" 30d ", " 30 days "),
        (" 1 days", " 1 day"),
    ):
        text = text.replace(name, plain)
    return text


def measured(value: float | None, unit: str, currency: str, locale: Locale) -> str:
    """A feature's value with its unit; "not known" where it is missing.

    >>> from zoneinfo import ZoneInfo
    >>> english = Locale(language="en", zone=ZoneInfo("UTC"), now_ms=0)
    >>> [measured(1.0, unit, "EUR", english) for unit in ("count", "flag", "days", "ratio")]
    ['1', 'yes', '1 day', '100.0%']
    """
    if value is None:
        return "not known"
    match unit:
        case "cents":
            return locale.amount(round(value), currency)
        case "flag":
            return "yes" if value >= 0.5 else "no"
        case "ratio":
            return locale.percent(value)
        case "days":
            return f"{locale.number(value)} {'day' if value == 1 else 'days'}"
        case "hours":
            return f"{locale.number(value)} h"
        case _:
            return locale.number(value)
