"""Settlement on SQLite and PostgreSQL: what is posted is always what the ledger demands, and sums to zero."""

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.cases.order_settlement import judged_order
from serving.domain.errors import UnknownCase
from serving.domain.liability import FactsInvalid, Shipment
from serving.domain.merchant_answer import AnswerKind
from serving.domain.review_case import Verdict
from serving.domain.settlement import Account
from serving.domain.stop_request import StopRequestState
from serving.store.case_queue import case_of, history_of
from serving.store.outbox import CHECK_CASE, waiting_messages
from serving.store.settlement_postings import StoredPosting
from serving.store.store import Store
from tests.builders import DAY, Row, a_pause, a_payment, an_adjustment, an_invoice, an_order
from tests.serving.case_desk import CaseDesk, a_desk

ANSWERED = StopRequestState.ANSWERED


@pytest.fixture
def desk(store: Store) -> CaseDesk:
    return a_desk(store)


def a_confirmed_fraud(desk: CaseDesk) -> None:
    """The provider bears the loss: shipped with tracking, and confirmed as fraud."""
    desk.event("shipped", carrier="PostNord", tracking_number="SE123")
    desk.outcome("identity_misuse_upheld")


def lines(document: Row) -> list[tuple[str, int]]:
    return [(line["text"], line["amount_cents"]) for line in document["lines"]]


def totals(postings: list[StoredPosting]) -> dict[tuple[str, Account], int]:
    """What stands on each account for each line, without what was taken back."""
    summed: Counter[tuple[str, Account]] = Counter()
    for posting in postings:
        summed[posting.text.value, posting.account] += posting.amount_cents
    return {key: cents for key, cents in summed.items() if cents}


def sums_by_settlement(postings: list[StoredPosting]) -> dict[str, int]:
    summed: Counter[str] = Counter()
    for posting in postings:
        summed[posting.settlement_id] += posting.amount_cents
    return dict(summed)


def test_a_confirmed_fraud_of_a_merchant_that_met_the_requirements_is_settled_with_two_lines(
    desk: CaseDesk,
) -> None:
    a_confirmed_fraud(desk)
    assert desk.liability()["is_settled"] is False
    assert desk.settle() is True
    document = desk.liability()
    assert (document["bearer"], document["is_settled"], document["mistakes"]) == ("provider", True, [])
    assert lines(document) == [("return, fraud", -10_000), ("fraud policy", 8_403)]
    assert lines(document["settlements"][0]) == lines(document)
    assert totals(desk.postings()) == {
        ("return, fraud", Account.MERCHANT_PAYABLE): 10_000,
        ("return, fraud", Account.CUSTOMER_RECEIVABLE): -10_000,
        ("fraud policy", Account.MERCHANT_PAYABLE): -8_403,
        ("fraud policy", Account.FRAUD_LOSSES): 8_403,
    }
    assert {posting.merchant_id for posting in desk.postings()} == {"m1"}


def test_a_repeated_settlement_posts_nothing(desk: CaseDesk) -> None:
    a_confirmed_fraud(desk)
    assert desk.settle() is True
    before = desk.postings()
    desk.now += DAY
    assert desk.settle() is False
    assert desk.postings() == before


def test_without_a_confirmed_fraud_nothing_is_posted(desk: CaseDesk) -> None:
    desk.event("shipped")
    desk.stop_request(ANSWERED, AnswerKind.SHIPPED_WITHOUT_TRACKING)
    assert desk.liability()["bearer"] == "merchant"
    assert desk.settle() is False
    assert desk.postings() == []


def test_a_merchant_that_shipped_without_tracking_gets_one_line(desk: CaseDesk) -> None:
    desk.event("shipped")
    desk.outcome("fraud_chargeback")
    assert desk.settle() is True
    assert lines(desk.liability()) == [("return, fraud", -10_000)]


def test_a_parcel_that_the_merchant_says_came_back_later_reverses_the_postings(desk: CaseDesk) -> None:
    a_confirmed_fraud(desk)
    desk.stop_request(ANSWERED, AnswerKind.SHIPPED_WITH_TRACKING)
    assert desk.settle() is True
    desk.stop_request(ANSWERED, AnswerKind.SHIPPED_WITH_TRACKING, AnswerKind.PARCEL_RETURNED)
    desk.now += DAY
    assert desk.settle() is True
    assert desk.settle() is False
    assert totals(desk.postings()) == {}
    assert sums_by_settlement(desk.postings()) == {"set-o1-0001": 0, "set-o1-0002": 0}
    assert desk.liability()["bearer"] == "nobody"
    reversal = desk.liability()["settlements"][1]
    assert lines(reversal) == [("return, fraud", 10_000), ("fraud policy", -8_403)]


@pytest.mark.parametrize("kind", ["returned", "cancelled"])
def test_an_order_that_the_ledger_says_came_back_or_was_cancelled_reverses_the_postings(
    desk: CaseDesk, kind: str
) -> None:
    a_confirmed_fraud(desk)
    assert desk.settle() is True
    desk.event(kind)
    assert desk.settle() is True
    assert totals(desk.postings()) == {}
    assert desk.liability()["reasons"] == [f"The order is recorded as {kind}, so nothing is lost."]
    desk.event("shipped", tracking_number="SE124")
    assert desk.settle() is True
    assert len(totals(desk.postings())) == 4


def test_a_finding_that_is_corrected_in_the_ledger_is_taken_back(desk: CaseDesk) -> None:
    desk.event("shipped", tracking_number="SE123")
    found = desk.outcome("identity_misuse_upheld")
    assert desk.settle() is True
    desk.outcome("identity_misuse_rejected", corrects=found)
    assert desk.settle() is True
    assert totals(desk.postings()) == {}
    desk.outcome("fraud_chargeback")
    assert desk.settle() is True
    assert len(desk.liability()["settlements"]) == 3


def test_a_corrected_amount_is_posted_anew_with_what_stood_reversed(desk: CaseDesk) -> None:
    desk.event("shipped")
    desk.outcome("fraud_chargeback")
    desk.settle()
    desk.row(
        "orders",
        an_order(event_id="corrected", at=desk.now, amount_cents=7_000, vat_cents=0, corrects="order-o1"),
    )
    assert desk.settle() is True
    assert lines(desk.liability()["settlements"][1]) == [("return, fraud", 10_000), ("return, fraud", -7_000)]
    assert totals(desk.postings()) == {
        ("return, fraud", Account.MERCHANT_PAYABLE): 7_000,
        ("return, fraud", Account.CUSTOMER_RECEIVABLE): -7_000,
    }


def test_facts_that_cannot_be_true_are_refused_and_what_was_posted_stays(desk: CaseDesk) -> None:
    a_confirmed_fraud(desk)
    desk.settle()
    before = desk.postings()
    desk.row("orders", an_order(event_id="vat", at=desk.now, vat_cents=10_000, corrects="order-o1"))
    with pytest.raises(FactsInvalid, match="vat_cents"):
        desk.settle()
    assert desk.postings() == before
    document = desk.liability()
    assert (document["bearer"], document["is_settled"]) == (None, False)
    assert document["mistakes"] == ["vat_cents: must be at least 0 and below amount_cents"]
    assert len(document["settlements"]) == 1


def test_a_credit_note_is_checked_and_lowers_what_is_demanded_and_a_payment_does_not(desk: CaseDesk) -> None:
    desk.row("invoices", an_invoice(at=desk.now))
    desk.row("invoice_payments", a_payment(at=desk.now, amount_cents=9_000))
    a_confirmed_fraud(desk)
    desk.check()
    assert lines(desk.liability()) == [("return, fraud", -10_000), ("fraud policy", 8_403)]
    desk.row("invoice_adjustments", an_adjustment(at=desk.now, amount_cents=4_000))
    with desk.store.reading() as tx:
        [message] = waiting_messages(tx, (CHECK_CASE,), 10, due_at_ms=desk.now)
    assert message.payload["why"] == "invoice_adjusted"
    desk.check()
    assert lines(desk.liability()) == [("return, fraud", -6_000), ("fraud policy", 5_042)]
    assert desk.liability()["is_settled"] is True
    desk.row("invoice_adjustments", an_adjustment(at=desk.now, amount_cents=6_000))
    desk.check()
    assert (desk.liability()["bearer"], totals(desk.postings())) == ("nobody", {})


def test_an_order_that_the_merchant_only_says_was_stopped_is_its_loss_until_the_invoice_is_removed(
    desk: CaseDesk,
) -> None:
    desk.row("invoices", an_invoice(at=desk.now))
    desk.stop_request(ANSWERED, AnswerKind.STOPPED_BEFORE_SHIPPING)
    assert desk.liability()["bearer"] == "nobody_yet"
    desk.outcome("stop_request_upheld")
    desk.check()
    assert (desk.liability()["bearer"], lines(desk.liability())) == ("merchant", [("return, fraud", -10_000)])
    assert desk.liability()["is_settled"] is True
    desk.row("invoice_adjustments", an_adjustment(at=desk.now))
    desk.check()
    assert (desk.liability()["bearer"], totals(desk.postings())) == ("nobody", {})


def test_a_case_that_is_unknown_is_told_from_one_that_owes_nothing(desk: CaseDesk) -> None:
    with pytest.raises(UnknownCase):
        desk.settle("case_nothing")


def facts_of(desk: CaseDesk) -> Any:
    with desk.store.reading() as tx:
        stored = case_of(tx, "case1")
        assert stored is not None
        return judged_order(tx, desk.scope, "o1", "c1", stored).facts


def test_the_shipment_is_tracked_by_any_event_that_carries_a_number(desk: CaseDesk) -> None:
    desk.event("shipment_booked", tracking_number="SE123")
    assert facts_of(desk).shipment is Shipment.NOT_SHIPPED
    shipped = desk.event("shipped")
    assert facts_of(desk).shipment is Shipment.WITH_TRACKING
    desk.event("confirmed", corrects=shipped)
    assert facts_of(desk).shipment is Shipment.NOT_SHIPPED
    desk.event("delivered")
    assert facts_of(desk).shipment is Shipment.WITH_TRACKING


def test_a_dispute_counts_until_its_pause_ends_and_for_good_once_decided_for_the_customer(
    desk: CaseDesk,
) -> None:
    desk.row("invoices", an_invoice(at=desk.now))
    disputed_at = desk.now
    desk.row("invoice_pauses", a_pause(started_at=disputed_at, reason="dispute"))
    assert facts_of(desk).is_disputed is True
    desk.row("invoice_pauses", a_pause(started_at=disputed_at, ended_at=disputed_at + 1, reason="dispute"))
    assert facts_of(desk).is_disputed is False
    desk.outcome("dispute_decided_for_customer")
    assert facts_of(desk).is_disputed is True


def test_an_invoice_counts_as_unpaid_at_the_policys_day_paused_days_left_out(desk: CaseDesk) -> None:
    due_at = desk.now + 14 * DAY
    paused_at = desk.now
    desk.row("invoices", an_invoice(at=desk.now, due_at=due_at))
    desk.now = due_at + 30 * DAY - 1
    assert facts_of(desk).is_invoice_unpaid is False
    desk.now += 1
    assert facts_of(desk).is_invoice_unpaid is True
    back = {"reason": "return", "tracking_number": "R1"}
    desk.row("invoice_pauses", a_pause(started_at=paused_at, **back))
    assert facts_of(desk).is_invoice_unpaid is False
    desk.row("invoice_pauses", a_pause(started_at=paused_at, ended_at=paused_at + 5 * DAY, **back))
    assert facts_of(desk).is_invoice_unpaid is False
    desk.now += 5 * DAY
    assert facts_of(desk).is_invoice_unpaid is True
    desk.row("invoice_adjustments", an_adjustment(at=desk.now))
    assert facts_of(desk).is_invoice_unpaid is False


def test_another_order_of_the_same_customer_changes_nothing(desk: CaseDesk) -> None:
    desk.row("orders", an_order("o2", "c1", at=desk.now))
    desk.row("invoices", an_invoice("i2", at=desk.now, order_id="o2"))
    desk.row("invoice_pauses", a_pause("i2", started_at=desk.now))
    desk.outcome("fraud_chargeback", customer_id="c1", order_id="o2")
    desk.event("shipped", customer_id="c1", order_id="o2")
    desk.now += 90 * DAY
    facts = facts_of(desk)
    assert (facts.is_confirmed_fraud, facts.is_disputed, facts.is_invoice_unpaid) == (False, False, False)
    assert facts.shipment is Shipment.NOT_SHIPPED


def test_the_history_of_the_case_says_what_was_posted(desk: CaseDesk) -> None:
    a_confirmed_fraud(desk)
    desk.settle()
    with desk.store.reading() as tx:
        entry = history_of(tx, "case1")[-1]
    assert (entry.actor, entry.action) == ("system", "settled")
    assert entry.detail == {
        "settlement_id": "set-o1-0001",
        "bearer": "provider",
        "reversed_lines": 0,
        "new_lines": 2,
    }


NUMBERS = count(100)
EVENTS = st.sampled_from(
    [
        ("event", "shipped", None),
        ("event", "shipped", "SE123"),
        ("event", "shipment_booked", "SE123"),
        ("event", "delivered", None),
        ("event", "returned", None),
        ("event", "cancelled", None),
    ]
)
OUTCOMES = st.sampled_from(
    [
        ("outcome", "identity_misuse_upheld", None),
        ("outcome", "fraud_chargeback", None),
        ("outcome", "dispute_decided_for_customer", None),
        ("correct_outcome", "identity_misuse_rejected", None),
    ]
)
REQUESTS = st.one_of(
    st.tuples(st.just("request"), st.sampled_from(["requested", "expired", "withdrawn"]), st.just(None)),
    st.tuples(st.just("answer"), st.sampled_from([kind.value for kind in AnswerKind]), st.just(None)),
    st.tuples(st.just("answer_late"), st.sampled_from([kind.value for kind in AnswerKind]), st.just(None)),
)
INVOICES = st.tuples(
    st.sampled_from(["invoice", "credit", "payment"]), st.sampled_from(["1", "60", "119"]), st.just(None)
)
AMOUNTS = st.tuples(st.just("amount"), st.sampled_from(["1", "119", "99999"]), st.just(None))


@dataclass
class Known:
    """What the test itself has made known about an order, kept apart from what the ledger makes of it.

    invoices: what each invoice claims, less its credit notes. withheld: the places of those that came after
    the merchant had stopped the order. asked: the state of the stop request, or its one answer; None without.
    """

    is_service: bool
    amount_cents: int = 10_000
    vat_cents: int = 1_597
    order_row: str = ""
    findings: dict[str, str] = field(default_factory=dict)
    last_finding: str | None = None
    moves: list[str] = field(default_factory=list)
    has_number: bool = False
    invoices: list[int] = field(default_factory=list)
    withheld: set[int] = field(default_factory=set)
    asked: str | None = None
    is_late: bool = False


def take(  # noqa: PLR0915 - one branch for each kind of fact
    desk: CaseDesk, number: str, fact: tuple[str, str, str | None], known: Known
) -> None:
    what, kind, more = fact
    invoice = f"i{number}-{len(known.invoices)}", f"c{number}"
    row: Row = {"event_id": f"row-{number}-{desk.now}", "at": desk.now}
    match what:
        case "event":
            desk.event(kind, order_id=f"o{number}", tracking_number=more)
            known.has_number |= more is not None
            if kind != "shipment_booked":
                known.moves.append(kind)
        case "outcome" if kind == "dispute_decided_for_customer" and not known.invoices:
            # Nothing was invoiced, so nothing can have been disputed.
            return
        case "outcome":
            if kind == "dispute_decided_for_customer":
                pause_id = f"pause-{row['event_id']}"
                desk.row("invoice_pauses", a_pause(*invoice, started_at=desk.now, pause_id=pause_id))
            known.last_finding = desk.outcome(kind, order_id=f"o{number}")
            known.findings[known.last_finding] = kind
        case "correct_outcome":
            if known.last_finding is not None:
                desk.outcome(kind, order_id=f"o{number}", corrects=known.last_finding)
                del known.findings[known.last_finding]
                known.last_finding = None
        case "amount" if int(kind) < sum(known.invoices):
            return
        case "amount":
            known.amount_cents, known.vat_cents = int(kind), int(kind) * 19 // 119
            cents: Row = {"amount_cents": known.amount_cents, "vat_cents": known.vat_cents}
            sells = "service" if known.is_service else "goods"
            corrects = known.order_row or f"order-o{number}"
            desk.row(
                "orders", an_order(f"o{number}", f"c{number}", **row, **cents, kind=sells, corrects=corrects)
            )
            known.order_row = str(row["event_id"])
        case "invoice" if sum(known.invoices) + int(kind) > known.amount_cents:
            return
        case "invoice":
            if known.asked in {"stopped_before_shipping", "service_cut"}:
                known.withheld.add(len(known.invoices))
            known.invoices.append(int(kind))
            name = f"i{number}-{len(known.invoices)}", f"c{number}"
            desk.row("invoices", an_invoice(*name, **row, amount_cents=int(kind), order_id=f"o{number}"))
        case "credit":
            if known.invoices and known.invoices[-1]:
                credited = min(known.invoices[-1], int(kind))
                known.invoices[-1] -= credited
                desk.row("invoice_adjustments", an_adjustment(*invoice, **row, amount_cents=credited))
        case "payment":
            if known.invoices:
                desk.row("invoice_payments", a_payment(*invoice, **row, amount_cents=int(kind)))
        case "request":
            desk.stop_request(StopRequestState(kind), case_id=f"case{number}")
            known.asked, known.is_late = kind, kind == "expired"
            known.withheld.clear()
        case _:
            known.asked, known.is_late = kind, what == "answer_late"
            known.withheld.clear()
            desk.stop_request(ANSWERED, AnswerKind(kind), case_id=f"case{number}", late=known.is_late)


def demanded(known: Known) -> dict[str, int]:
    """What the merchant is to receive by each line, told in other words than the product's."""
    is_fraud = not {"identity_misuse_upheld", "fraud_chargeback"}.isdisjoint(known.findings.values())
    claim_cents = sum(known.invoices) if known.invoices else known.amount_cents
    left = "shipped" in known.moves or "delivered" in known.moves
    is_back = bool(known.moves) and known.moves[-1] in {"returned", "cancelled"}
    if not is_fraud or claim_cents == 0 or is_back:
        return {}
    paid_out_cents = claim_cents - sum(known.invoices[place] for place in known.withheld)
    merchant = {"return, fraud": -paid_out_cents} if paid_out_cents else {}
    about_goods = {"shipped_with_tracking", "shipped_without_tracking", "parcel_returned"}
    about_service = {"service_cut", "service_cannot_be_cut"}
    if known.asked in (about_goods if known.is_service else about_service):
        return {}
    if known.asked == "stopped_before_shipping" and left:
        return {}
    if known.asked in {"stopped_before_shipping", "service_cut", "parcel_returned"}:
        return merchant if known.invoices else {}
    is_gone = left or known.asked in about_goods
    is_tracked = (left and known.has_number) or known.asked == "shipped_with_tracking"
    if is_gone and not is_tracked and not known.is_service:
        return merchant
    if known.asked == "requested":
        return {}
    if known.is_late:
        return merchant
    if not is_gone and not known.is_service:
        return {}
    vat_cents = int(Fraction(claim_cents * known.vat_cents, known.amount_cents) + Fraction(1, 2))
    paid = {"fraud policy": claim_cents - vat_cents} if claim_cents > vat_cents else {}
    return merchant | paid


@settings(
    max_examples=40,
    # Every example takes an order, a customer and a case of its own, so the store may be shared.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    facts=st.lists(st.one_of(OUTCOMES, EVENTS, REQUESTS, INVOICES, AMOUNTS), max_size=8),
    is_service=st.booleans(),
)
def test_whatever_becomes_known_every_settlement_sums_to_zero_and_together_they_are_what_is_demanded(
    desk: CaseDesk, facts: list[tuple[str, str, str | None]], is_service: bool
) -> None:
    number = str(next(NUMBERS))
    case_id = f"case{number}"
    desk.order(number, kind="service" if is_service else "goods")
    desk.decided(Verdict.RELEASED, case_id=case_id)
    assert desk.policy.stop_requests.no_answer_moves_liability
    known = Known(is_service=is_service)
    for fact in facts:
        take(desk, number, fact, known)
        desk.settle(case_id)
        assert desk.settle(case_id) is False
        assert set(sums_by_settlement(desk.postings(case_id)).values()) <= {0}
        document = desk.liability(case_id)
        assert document["is_settled"] is True
        expected = demanded(known)
        assert dict(lines(document)) == expected
        payable = {
            text: -cents
            for (text, account), cents in totals(desk.postings(case_id)).items()
            if account is Account.MERCHANT_PAYABLE
        }
        assert payable == expected
