"""Whatever row arrives about an order, what is posted is soon what the ledger demands, and balances."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from serving.cases.investigating import conclude
from serving.cases.settling_orders import catch_up, give_periods, settle_due
from serving.domain.merchant_answer import AnswerKind
from serving.domain.policy_reader import parse_policy
from serving.domain.review_case import Verdict
from serving.domain.settlement import Account
from serving.domain.stop_request import StopRequestState
from serving.in_force.policy_activation import activate, active_policy
from serving.requests.case_scope import CaseScope
from serving.store.case_queue import history_of
from serving.store.investigations import settlement_rows
from serving.store.ledger_rows import decode_row
from serving.store.store import Store
from tests.builders import DAY, Row, a_pause, a_payment, an_adjustment, an_invoice, an_order, ms
from tests.serving.case_desk import CaseDesk
from tests.serving.cases.settling import SettlingDesk, a_settling_desk
from tests.serving.policy_versions import a_policy_file, a_policy_text_without

ANSWERED = StopRequestState.ANSWERED


@pytest.fixture
def desk(store: Store) -> SettlingDesk:
    return a_settling_desk(store)


def invoiced(desk: CaseDesk, amount_cents: int = 10_000, invoice_id: str = "i1", **more: object) -> None:
    desk.row("invoices", an_invoice(invoice_id, at=desk.now, amount_cents=amount_cents, **more))


def credited(desk: CaseDesk, amount_cents: int, reason: str = "return", **more: object) -> None:
    desk.row(
        "invoice_adjustments", an_adjustment(at=desk.now, amount_cents=amount_cents, reason=reason, **more)
    )


def test_an_invoice_is_paid_out_with_its_fee_once_and_every_line_balances(desk: SettlingDesk) -> None:
    assert desk.settle_all() == 0
    invoiced(desk)
    assert desk.settle_all() == 1
    assert desk.to_merchant() == [("payout", 10_000), ("fee", -400)]
    assert [(one.account, one.amount_cents) for one in desk.posted()] == [
        (Account.CUSTOMER_RECEIVABLE, 10_000),
        (Account.MERCHANT_PAYABLE, -10_000),
        (Account.MERCHANT_PAYABLE, 400),
        (Account.FEE_INCOME, -400),
    ]
    assert {(one.invoice_id, one.merchant_id, one.case_id, one.period) for one in desk.posted()} == {
        ("i1", "m1", None, "2026-06")
    }
    desk.event("shipped", tracking_number="SE123")
    assert desk.settle_all() == 1
    assert desk.to_merchant() == [("payout", 10_000), ("fee", -400)]


def test_an_order_without_a_case_is_settled_too(desk: SettlingDesk) -> None:
    desk.row("orders", an_order("o9", "c1", at=desk.now))
    invoiced(desk, 4_000, "i9", order_id="o9")
    desk.settle_all()
    assert desk.to_merchant("o9") == [("payout", 4_000), ("fee", -160)]
    assert desk.to_merchant() == []


def test_a_second_invoice_leaves_the_lines_of_the_first_alone(desk: SettlingDesk) -> None:
    invoiced(desk, 6_000)
    desk.settle_all()
    invoiced(desk, 4_000, "i2")
    desk.settle_all()
    assert desk.to_merchant() == [("payout", 6_000), ("fee", -240), ("payout", 4_000), ("fee", -160)]
    assert not any(posting.is_reversal for posting in desk.posted())


def test_what_the_merchant_credits_is_taken_back_and_its_fee_stays(desk: SettlingDesk) -> None:
    invoiced(desk)
    credited(desk, 3_000)
    desk.settle_all()
    credited(desk, 500, "goodwill")
    desk.settle_all()
    assert desk.to_merchant() == [
        ("payout", 10_000),
        ("fee", -400),
        ("return", -3_000),
        ("return", 3_000),
        ("return", -3_500),
    ]
    assert [posting.is_reversal for posting in desk.posted() if posting.text.value == "return"] == [
        *[False] * 2,
        *[True] * 2,
        *[False] * 2,
    ]


def test_a_policy_can_give_the_fee_of_a_return_back_but_not_that_of_a_chargeback(store: Store) -> None:
    desk = a_settling_desk(store, fee_given_back_on_return="true")
    invoiced(desk)
    credited(desk, 2_500)
    credited(desk, 2_500, "chargeback")
    desk.settle_all()
    assert desk.to_merchant() == [
        ("payout", 10_000),
        ("fee", -300),
        ("return", -2_500),
        ("chargeback", -2_500),
    ]
    credited(desk, 5_000)
    desk.settle_all()
    assert desk.to_merchant()[-1] == ("return", -7_500)
    assert ("fee", -100) in desk.to_merchant()


@pytest.mark.parametrize("reason", ["chargeback", "dispute", "fraud"])
def test_what_is_credited_by_a_decision_is_a_chargeback(desk: SettlingDesk, reason: str) -> None:
    invoiced(desk)
    credited(desk, 4_000, reason)
    desk.settle_all()
    assert desk.to_merchant()[2:] == [("chargeback", -4_000)]


def test_a_refund_beside_its_credit_note_counts_once(desk: SettlingDesk) -> None:
    invoiced(desk)
    desk.row("invoice_payments", a_payment(at=desk.now))
    credited(desk, 10_000, kind="refund", event_id="money-back")
    desk.settle_all()
    assert desk.to_merchant() == [("payout", 10_000), ("fee", -400), ("return", -10_000)]
    credited(desk, 10_000, event_id="note")
    desk.settle_all()
    assert desk.to_merchant()[2:] == [("return", -10_000)]


def test_money_that_only_moves_at_the_customer_is_none_of_the_merchants(desk: SettlingDesk) -> None:
    invoiced(desk)
    desk.row("invoice_payments", a_payment(at=desk.now, amount_cents=12_000))
    credited(desk, 2_000, "overpayment", kind="refund")
    desk.settle_all()
    assert desk.to_merchant() == [("payout", 10_000), ("fee", -400)]


def test_a_corrected_invoice_is_reversed_and_posted_anew_in_the_period_of_the_correction(
    desk: SettlingDesk,
) -> None:
    invoiced(desk)
    desk.settle_all()
    before = desk.posted()
    desk.now = ms("2026-07-01T00:00:00")
    desk.row(
        "invoices",
        an_invoice(at=before[0].posted_at_ms, amount_cents=9_000, corrects="invoice-i1", event_id="better"),
    )
    desk.settle_all()
    assert desk.posted()[: len(before)] == before
    assert desk.to_merchant()[2:] == [("payout", -10_000), ("fee", 400), ("payout", 9_000), ("fee", -360)]
    assert {posting.period for posting in desk.posted()[4:]} == {"2026-07"}


def test_what_a_correction_moves_to_another_order_leaves_the_one_that_it_was_about(
    desk: SettlingDesk,
) -> None:
    desk.row("orders", an_order("o9", "c1", at=desk.now))
    invoiced(desk, 1_000, "i9", order_id="o9")
    invoiced(desk, 2_000)
    credited(desk, 500, event_id="note")
    desk.settle_all()
    credited(desk, 500, event_id="moved", corrects="note", invoice_id="i9")
    desk.settle_all()
    assert desk.to_merchant()[-1] == ("return", 500)
    assert desk.to_merchant("o9")[-1] == ("return", -500)
    invoiced(desk, 2_000, order_id="o9", corrects="invoice-i1", event_id="moved-too")
    desk.settle_all()
    assert Counter(desk.to_merchant())["payout", -2_000] == 1
    assert Counter(desk.to_merchant("o9"))["payout", 2_000] == 1


def test_a_period_begins_at_the_providers_midnight(desk: SettlingDesk) -> None:
    desk.now = ms("2026-06-30T21:58:59")
    invoiced(desk, 1_000)
    desk.settle_all()
    desk.now = ms("2026-06-30T22:00:00")
    desk.row("invoice_adjustments", an_adjustment(at=desk.now, amount_cents=1_000))
    desk.settle_all()
    assert {(one.text.value, one.period) for one in desk.posted()} == {
        ("payout", "2026-06"),
        ("fee", "2026-06"),
        ("return", "2026-07"),
    }


def test_what_happened_before_settlement_began_is_settled_elsewhere(store: Store) -> None:
    desk = a_settling_desk(store, settles_from="2026-06-15")
    invoiced(desk)
    credited(desk, 1_000, "chargeback")
    desk.now = ms("2026-06-20T10:00:00")
    credited(desk, 2_000, "chargeback")
    credited(desk, 3_000)
    desk.settle_all()
    assert desk.to_merchant() == [("return", -3_000), ("chargeback", -2_000)]


def test_a_policy_without_settlement_pays_nobody_out(store: Store) -> None:
    desk = a_settling_desk(store)
    desk.policy = parse_policy(a_policy_text_without("settlement", "before"))
    assert desk.policy.settlement is None
    invoiced(desk)
    credited(desk, 4_000)
    desk.settle_all()
    assert desk.posted() == []


def test_history_is_settled_once_it_is_asked_for(desk: SettlingDesk) -> None:
    invoiced(desk)
    with desk.store.writing("someone") as tx:
        # As after a load, which asks for nothing.
        tx.execute("DELETE FROM orders_to_settle")
    assert (desk.settle_all(), desk.to_merchant()) == (0, [])
    assert catch_up(desk.scope) == 1
    assert (desk.settle_all(), desk.to_merchant()) == (1, [("payout", 10_000), ("fee", -400)])
    assert catch_up(desk.scope) == 1
    desk.settle_all()
    assert desk.to_merchant() == [("payout", 10_000), ("fee", -400)]


def test_news_go_before_history_that_is_caught_up(desk: SettlingDesk) -> None:
    for number in ("8", "9"):
        desk.row("orders", an_order(f"o{number}", "c1", at=desk.now))
    catch_up(desk.scope)
    desk.now += DAY
    invoiced(desk, 1_000, "i9", order_id="o9")
    assert settle_due(desk.scope, limit=1) == 1
    assert desk.to_merchant("o9") == [("payout", 1_000), ("fee", -40)]
    assert desk.settle_all() == 2


def test_workers_beside_each_other_settle_each_order_once(desk: SettlingDesk) -> None:
    for number in range(100, 112):
        desk.row("orders", an_order(f"o{number}", "c1", at=desk.now))
        invoiced(desk, 1_000, f"i{number}", order_id=f"o{number}")
    with ThreadPoolExecutor(4) as workers:
        for done in [workers.submit(desk.settle_all) for _ in range(4)]:
            done.result()
    for number in range(100, 112):
        assert desk.to_merchant(f"o{number}") == [("payout", 1_000), ("fee", -40)]


def test_an_order_that_another_merchant_sold_is_taken_from_the_one_and_paid_to_the_other(
    desk: SettlingDesk,
) -> None:
    invoiced(desk)
    desk.settle_all()
    desk.row("merchants", {**dict(merchant_row(desk)), "event_id": "merchant-2", "merchant_id": "m2"})
    desk.row("orders", an_order(at=desk.now, event_id="sold", merchant_id="m2", corrects="order-o1"))
    desk.settle_all()
    sums: Counter[str] = Counter()
    for posting in desk.posted():
        if posting.account is Account.MERCHANT_PAYABLE:
            sums[posting.merchant_id] -= posting.amount_cents
    assert sums == {"m1": 0, "m2": 9_600}


def merchant_row(desk: CaseDesk) -> dict[str, object]:
    with desk.store.reading() as tx:
        ((body,),) = tx.execute("SELECT body FROM ledger_events WHERE contract = 'merchants'")
    return decode_row(body)


def test_what_a_release_of_before_posts_beside_this_one_is_given_its_period(desk: SettlingDesk) -> None:
    invoiced(desk)
    desk.settle_all()
    with desk.store.writing("someone") as tx:
        tx.execute("UPDATE settlement_postings SET period = NULL")
    assert give_periods(desk.scope) == 1
    assert give_periods(desk.scope) == 0
    assert {posting.period for posting in desk.posted()} == {"2026-06"}


def settle_until_nothing_waits(scope: CaseScope) -> None:
    while settle_due(scope):
        pass


class Killed(BaseException):
    """What ends a worker in the middle of its work."""


@pytest.mark.parametrize("dies_at", range(1, 6))
def test_a_worker_that_is_killed_at_any_look_at_the_clock_leaves_all_to_be_done_once(
    desk: SettlingDesk, dies_at: int
) -> None:
    invoiced(desk, 5_000)
    desk.stop_request(ANSWERED, AnswerKind.STOPPED_BEFORE_SHIPPING)
    desk.now += DAY
    invoiced(desk, 5_000, "i2")
    looks = 0

    def mortal_clock() -> int:
        nonlocal looks
        looks += 1
        if looks == dies_at:
            raise Killed
        return desk.now

    scope = replace(desk.scope, now_ms=mortal_clock)
    with pytest.raises(Killed):
        settle_until_nothing_waits(scope)
    desk.settle_all()
    assert desk.to_merchant() == [("payout", 5_000), ("fee", -200)]
    assert [pause["invoice_id"] for pause in pauses_of(desk)] == ["i2"]
    assert actions(desk).count("invoice_withheld") == 1


def pauses_of(desk: CaseDesk) -> list[Row]:
    with desk.store.reading() as tx:
        return settlement_rows(tx, "c1")["invoice_pauses"]


def actions(desk: CaseDesk) -> list[str]:
    with desk.store.reading() as tx:
        return [entry.action for entry in history_of(tx, "case1")]


@pytest.mark.parametrize(
    ("kind", "answer"),
    [("goods", AnswerKind.STOPPED_BEFORE_SHIPPING), ("service", AnswerKind.SERVICE_CUT)],
)
def test_an_invoice_that_comes_after_the_stop_is_paused_raised_and_not_paid_out(
    store: Store, kind: str, answer: AnswerKind
) -> None:
    desk = a_settling_desk(store, order={"kind": kind})
    invoiced(desk, 2_000)
    desk.settle_all()
    desk.stop_request(ANSWERED, answer)
    desk.now += DAY
    invoiced(desk, 3_000, "i2")
    desk.settle_all()
    assert desk.to_merchant() == [("payout", 2_000), ("fee", -80)]
    [pause] = pauses_of(desk)
    assert (pause["invoice_id"], pause["reason"], pause.get("ended_at")) == ("i2", "order_stopped", None)
    investigation = desk.investigation()
    assert investigation is not None
    assert (investigation["state"], investigation["trigger"]) == ("open", "invoiced_after_stop")
    liability = desk.liability()
    assert liability["bearer"] == "merchant"
    assert liability["reasons"][0].startswith("An invoice came after that answer")
    # It is no dispute, and the customer is not late.
    desk.check()
    assert [one["trigger"] for one in investigation["noted_triggers"]] == ["invoiced_after_stop"]
    desk.settle_all()
    assert len(pauses_of(desk)) == 1


def test_each_late_invoice_is_raised_and_one_whose_pause_was_ended_is_left_alone(desk: SettlingDesk) -> None:
    desk.decided(Verdict.STOP)
    desk.stop_request(ANSWERED, AnswerKind.STOPPED_BEFORE_SHIPPING)
    desk.now += DAY
    invoiced(desk, 3_000)
    desk.settle_all()
    conclude(desk.scope, "case1", "fraud_confirmed", by="ann")
    invoiced(desk, 1_000, "i2")
    desk.settle_all()
    investigation = desk.investigation()
    assert investigation is not None
    assert investigation["state"] == "open"
    [first, _] = pauses_of(desk)
    desk.row(
        "invoice_pauses",
        a_pause(
            started_at=first["started_at"],
            ended_at=desk.now,
            pause_id=first["pause_id"],
            event_id="ended",
            reason="order_stopped",
        ),
    )
    credited(desk, 3_000)
    desk.settle_all()
    assert len(pauses_of(desk)) == 3
    assert actions(desk).count("invoice_withheld") == 2
    assert desk.to_merchant() == []


def test_a_withdrawn_request_withholds_nothing(desk: SettlingDesk) -> None:
    desk.stop_request(StopRequestState.WITHDRAWN)
    desk.now += DAY
    invoiced(desk)
    desk.settle_all()
    assert desk.to_merchant() == [("payout", 10_000), ("fee", -400)]
    assert pauses_of(desk) == []


def test_a_confirmed_fraud_is_settled_from_what_was_paid_out(desk: SettlingDesk) -> None:
    desk.event("shipped", tracking_number="SE123")
    desk.outcome("identity_misuse_upheld")
    desk.settle_all()
    # What was never invoiced was never paid out.
    assert desk.to_merchant() == []
    invoiced(desk)
    credited(desk, 2_000)
    desk.settle_all()
    assert sorted(desk.to_merchant()) == [
        ("fee", -400),
        ("fraud policy", 6_722),
        ("payout", 10_000),
        ("return", -2_000),
        ("return, fraud", -8_000),
    ]
    # The provider credits the victim: the merchant neither gains nor loses by that.
    before = sum(cents for _, cents in desk.to_merchant())
    credited(desk, 8_000, "fraud", event_id="for-the-victim")
    desk.settle_all()
    assert sum(cents for _, cents in desk.to_merchant()) == before
    assert ("chargeback", -8_000) in desk.to_merchant()


def test_a_fraud_in_loaded_history_is_settled_elsewhere_unless_it_has_a_case(store: Store) -> None:
    desk = a_settling_desk(store, settles_from="2026-12-01")
    desk.row("orders", an_order("o9", "c1", at=desk.now))
    for order_id in ("o1", "o9"):
        invoiced(desk, 4_000, f"i-{order_id}", order_id=order_id)
        desk.event("shipped", order_id=order_id, customer_id="c1")
        desk.outcome("fraud_chargeback", order_id=order_id, customer_id="c1")
    desk.settle_all()
    assert (desk.to_merchant("o1"), desk.to_merchant("o9")) == ([("return, fraud", -4_000)], [])


def in_force(desk: SettlingDesk, version: str, at_ms: int, **changes: int | str) -> None:
    """Put a policy in force, as `bonitas policy activate` does."""
    file = a_policy_file(version, **{"settles_from": "2026-05-01", **changes})
    if active_policy(desk.store, lambda: file, now_ms=at_ms).policy.version != version:
        activate(desk.store, file, by="Ann", reason="agreed", clock=lambda: at_ms)
    desk.policy = file.policy


def test_an_invoice_keeps_the_fee_under_which_it_was_issued(desk: SettlingDesk) -> None:
    in_force(desk, "old", desk.now)
    invoiced(desk, 5_000)
    desk.settle_all()
    in_force(desk, "new", desk.now, fee_per_mille=100)
    invoiced(desk, 5_000, "i2")
    credited(desk, 1_000)
    desk.settle_all()
    assert [line for line in desk.to_merchant() if line[0] == "fee"] == [("fee", -200), ("fee", -500)]


@pytest.mark.parametrize(
    ("asked_under", "then", "bearer"), [("true", "false", "merchant"), ("false", "true", "provider")]
)
def test_a_merchants_silence_is_judged_by_the_policy_under_which_it_was_asked(
    desk: SettlingDesk, asked_under: str, then: str, bearer: str
) -> None:
    in_force(desk, "old", desk.now, no_answer_moves_liability=asked_under)
    desk.event("shipped", tracking_number="SE123")
    desk.now += DAY
    desk.stop_request(StopRequestState.EXPIRED)
    in_force(desk, "new", desk.now, no_answer_moves_liability=then)
    desk.outcome("fraud_chargeback")
    assert desk.liability()["bearer"] == bearer
    assert desk.settle_all() == 1


def disputed(desk: SettlingDesk, amount_cents: int) -> None:
    """A dispute that was decided for the customer, and what was charged back for it."""
    desk.row("invoice_pauses", a_pause(started_at=desk.now))
    desk.outcome("dispute_decided_for_customer")
    credited(desk, amount_cents, "chargeback")


@pytest.mark.parametrize(
    ("state", "answers", "bearer", "lines"),
    [
        (
            ANSWERED,
            [AnswerKind.SHIPPED_WITH_TRACKING],
            "provider",
            [("chargeback", -4_000), ("fraud policy", 3_361)],
        ),
        (ANSWERED, [AnswerKind.SHIPPED_WITHOUT_TRACKING], "merchant", [("chargeback", -4_000)]),
        (StopRequestState.EXPIRED, [], "merchant", [("chargeback", -4_000)]),
        (StopRequestState.REQUESTED, [], "nobody_yet", [("chargeback", -4_000)]),
        (StopRequestState.WITHDRAWN, [], "nobody_yet", [("chargeback", -4_000)]),
    ],
)
def test_a_dispute_on_a_stopped_order_is_settled_by_what_the_merchant_answered(
    desk: SettlingDesk,
    state: StopRequestState,
    answers: list[AnswerKind],
    bearer: str,
    lines: list[tuple[str, int]],
) -> None:
    invoiced(desk)
    if state is not ANSWERED:
        desk.event("shipped", tracking_number="SE123")
    desk.stop_request(state, *answers)
    desk.now += DAY
    disputed(desk, 4_000)
    desk.settle_all()
    assert desk.liability()["bearer"] == bearer
    assert desk.to_merchant()[2:] == lines


def test_a_dispute_on_an_order_that_nobody_asked_to_stop_is_the_merchants(desk: SettlingDesk) -> None:
    invoiced(desk)
    desk.event("shipped", tracking_number="SE123")
    disputed(desk, 10_000)
    desk.settle_all()
    assert desk.to_merchant()[2:] == [("chargeback", -10_000)]
