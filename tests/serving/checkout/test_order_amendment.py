"""An order that stands is amended: what is smaller frees at once, what is larger or moved is judged."""

from dataclasses import dataclass
from typing import Any

import pytest

from serving.checkout.amendment_body import amendment_body
from serving.checkout.checkout_answers import AmendedOrderState, MerchantAmendedOrderState
from serving.checkout.order_amendment import amend
from serving.checkout.order_steps import newest_decision, take_step
from serving.checkout.replay import replay
from serving.domain.decision import Outcome
from serving.domain.errors import (
    FieldsInvalid,
    IdempotencyConflict,
    OrderAlreadyClosed,
    OrderBelowInvoiced,
    OrderNotApproved,
    UnknownOrder,
)
from serving.domain.order_numbers import OrderAddress
from serving.domain.order_step import OrderStep
from serving.store.api_keys import Caller, Role
from serving.store.decision_log import decisions_about
from serving.store.reservations import reserved_cents
from serving.store.store import Store
from tests.builders import Row, a_row, an_adjustment, an_invoice
from tests.serving.shadow_desk import CALLER, ShadowDesk, a_shadow_desk, declining

ADDRESS = OrderAddress(name="o1", merchant_id=None)
ELSEWHERE = {"name": "Erika Muster", "street": "Am Ring", "house_number": "9", "postal_code": "50667"}
ELSEWHERE |= {"city": "Köln", "country": "DE"}
MERCHANT = Caller(name="m-one", role=Role.MERCHANT, merchant_id="m1")


@dataclass
class Amending:
    """A confirmed order o1 of customer c1 over 200.00."""

    desk: ShadowDesk

    def ask(
        self, *, caller: Caller = CALLER, key: str | None = None, **body: Any
    ) -> AmendedOrderState | MerchantAmendedOrderState:
        self.desk.now += 1_000
        return amend(
            self.desk.scope(),
            ADDRESS,
            amendment_body(body, now_ms=self.desk.now),
            caller=caller,
            idempotency_key=key,
            accepted_language="en",
        )

    def to(self, cents: int) -> AmendedOrderState:
        answer = self.ask(new_amount_cents=cents)
        assert isinstance(answer, AmendedOrderState)
        return answer

    def invoice(self, cents: int, number: int) -> None:
        self.desk.now += 1_000
        invoice = an_invoice(f"i{number}", at=self.desk.now, amount_cents=cents, order_id="o1")
        self.desk.row("invoices", invoice)

    def held_cents(self) -> int:
        with self.desk.store.reading() as tx:
            return reserved_cents(tx, "c1", self.desk.now, excluding_order_id="none")

    def events(self) -> list[str]:
        with self.desk.store.reading() as tx:
            rows = tx.execute("SELECT event_id FROM ledger_events WHERE contract = 'order_events'")
        return [event_id for (event_id,) in rows]

    def all_replay_the_same(self) -> int:
        """How many decisions were made about the order; each comes out again bit for bit."""
        with self.desk.store.reading() as tx:
            decisions = decisions_about(tx, "o1")
        for decision in decisions:
            replayed = replay(self.desk.store, self.desk.registry, decision.decision_id)
            assert replayed.is_identical, (replayed.differences, replayed.ledger_differences)
            assert replayed.ledger_not_compared is None
        return len(decisions)


@pytest.fixture
def amending(store: Store, database_url: str) -> Amending:
    desk = a_shadow_desk(store, database_url, declining("2"))
    desk.customer("c1")
    desk.decide("o1", "c1", amount_cents=20_000, vat_cents=3_193)
    take_step(desk.scope(), ADDRESS, OrderStep.CONFIRMED, caller=CALLER, idempotency_key=None)
    return Amending(desk)


def limit_of(answer: AmendedOrderState) -> int:
    assert answer.judgement is not None
    limit_cents = getattr(answer.judgement, "limit_cents", None)
    assert isinstance(limit_cents, int)
    return limit_cents


def test_a_smaller_basket_frees_at_once_and_needs_no_judgement(amending: Amending) -> None:
    answer = amending.to(15_000)
    assert (answer.state, answer.ordered_cents, answer.reserved_cents) == ("confirmed", 15_000, 15_000)
    assert answer.judgement is None
    assert amending.held_cents() == 15_000
    assert amending.to(15_000) == answer
    assert len(amending.events()) == 2
    assert amending.all_replay_the_same() == 1


def test_a_larger_basket_is_judged_to_the_cent_without_what_it_holds_itself(amending: Amending) -> None:
    before = amending.to(19_999)
    limit_cents = limit_of(amending.to(20_000))
    for cents, outcome in ((limit_cents + 1, Outcome.DECLINED), (limit_cents, Outcome.APPROVED)):
        answer = amending.to(cents)
        assert answer.judgement is not None
        assert answer.judgement.outcome is outcome
        assert answer.outcome is Outcome.APPROVED
        assert answer.reserved_until == answer.judgement.reserved_until == before.reserved_until
        stands = cents if outcome is Outcome.APPROVED else 20_000
        assert (answer.ordered_cents, answer.reserved_cents, amending.held_cents()) == (stands,) * 3
    assert amending.all_replay_the_same() == 4


def test_a_declined_amendment_says_why_and_leaves_the_order_to_be_cancelled_as_ever(
    amending: Amending,
) -> None:
    answer = amending.to(10_000_000)
    assert answer.judgement is not None
    judgement: Any = answer.judgement
    assert [reason.field for reason in judgement.reasons] == ["/amount_cents"]
    assert judgement.alternatives
    assert answer.alternatives == ()
    with amending.desk.store.reading() as tx:
        assert newest_decision(tx, ADDRESS, CALLER).decision_id == answer.decision_id
        assert answer.decision_id != judgement.decision_id
        inquiries = tx.execute("SELECT count(*) FROM ledger_events WHERE contract = 'credit_inquiries'")
    assert inquiries == [(0,)]
    state = take_step(
        amending.desk.scope(), ADDRESS, OrderStep.CANCELLED, caller=CALLER, idempotency_key=None
    )
    assert getattr(state, "state", None) == "cancelled"
    with pytest.raises(OrderAlreadyClosed):
        amending.to(1_000)


def test_of_an_order_in_parts_invoices_count_once_and_nothing_goes_below_them(amending: Amending) -> None:
    amending.invoice(12_000, 1)
    with pytest.raises(OrderBelowInvoiced, match="12000 are invoiced"):
        amending.to(11_999)
    answer = amending.to(12_500)
    assert (answer.state, answer.reserved_cents) == ("partly_invoiced", 500)
    limit_cents = limit_of(amending.to(13_000))
    over = amending.to(limit_cents + 1)
    assert over.judgement is not None
    assert over.judgement.outcome is Outcome.DECLINED
    assert over.reserved_cents == 1_000
    assert amending.to(limit_cents).reserved_cents == limit_cents - 12_000
    amending.desk.row("invoice_adjustments", an_adjustment("i1", at=amending.desk.now, amount_cents=2_000))
    assert amending.to(10_000).state == "invoiced"
    assert amending.held_cents() == 0
    assert amending.all_replay_the_same() == 4


def test_another_address_is_judged_and_kept_with_what_the_order_comes_to(amending: Amending) -> None:
    answer = amending.ask(delivery=ELSEWHERE)
    assert answer.judgement is not None
    assert (answer.judgement.outcome, answer.ordered_cents) == (Outcome.APPROVED, 20_000)
    assert amending.ask(delivery=ELSEWHERE).judgement is None
    assert amending.ask(delivery=ELSEWHERE, new_amount_cents=18_000).judgement is None
    abroad = amending.ask(delivery={**ELSEWHERE, "country": "US"})
    assert abroad.judgement is not None
    assert abroad.judgement.outcome is Outcome.DECLINED
    assert abroad.ordered_cents == 18_000
    with amending.desk.store.reading() as tx:
        decision, *_ = decisions_about(tx, "o1")
    assert decision.record["order"]["delivery_country"] == "US"
    assert decision.record["order"]["vat_cents"] == 3_193 * 18_000 // 20_000
    assert amending.all_replay_the_same() == 3


def test_an_event_that_names_a_part_of_an_address_leaves_the_rest_as_it_was(amending: Amending) -> None:
    def judged_delivery() -> Row:
        now_cents = amending.to(1).ordered_cents
        amending.to(now_cents + 1)
        with amending.desk.store.reading() as tx:
            decision, *_ = decisions_about(tx, "o1")
        columns = {name: text for name, text in decision.record["order"].items() if "delivery_" in name}
        return {name.removeprefix("delivery_"): text for name, text in columns.items()}

    def told(number: int, **parts: str) -> None:
        amending.desk.now += 1_000
        about: Row = {f"new_delivery_{name}": text for name, text in parts.items()}
        about |= {"order_id": "o1", "customer_id": "c1", "kind": "address_changed"}
        amending.desk.row(
            "order_events", a_row("order_events", f"e{number}", amending.desk.now, None, **about)
        )

    first = judged_delivery()
    told(1, name="Max Muster")
    assert judged_delivery() == {**first, "name": "Max Muster"}
    told(2, street="Am Ring", postal_code="50667")
    moved = {**first, "name": "Max Muster", "street": "Am Ring", "postal_code": "50667"}
    del moved["house_number"]
    assert judged_delivery() == moved
    told(3, house_number="9")
    assert judged_delivery() == {**moved, "house_number": "9"}
    assert amending.ask(delivery={**moved, "house_number": "9"}).judgement is None
    assert amending.all_replay_the_same() == 5


def test_without_a_model_nothing_changes_and_nothing_is_kept(amending: Amending) -> None:
    amending.desk.registry.aliases.clear()
    amending.desk.watch.look()
    answer = amending.to(21_000)
    assert answer.judgement is not None
    assert answer.judgement.outcome is Outcome.UNAVAILABLE
    assert answer.judgement.decision_id is None
    assert (answer.ordered_cents, amending.held_cents()) == (20_000, 20_000)
    assert amending.to(19_000).reserved_cents == 19_000


def test_an_amendment_that_comes_after_one_whose_moment_ran_ahead_is_what_stands(amending: Amending) -> None:
    amending.to(21_000)
    amending.desk.now -= 60_000
    assert amending.to(9_000).reserved_cents == 9_000
    assert amending.to(8_000).reserved_cents == 8_000


def test_a_clock_that_is_ahead_does_not_take_the_customers_decisions_along(amending: Amending) -> None:
    desk = amending.desk
    about = {"order_id": "o1", "customer_id": "c1", "kind": "amended", "new_amount_cents": 19_000}
    desk.row("order_events", a_row("order_events", "ahead", desk.now + 240_000, None, **about))
    assert amending.to(18_000).reserved_cents == 18_000
    assert amending.to(18_500).reserved_cents == 18_500
    with desk.store.reading() as tx:
        decision, *_ = decisions_about(tx, "o1")
        ((recorded_at,),) = tx.execute("SELECT max(recorded_at_ms) FROM ledger_events")
    assert decision.as_of_ms == desk.now
    assert recorded_at <= desk.now + 1
    assert amending.all_replay_the_same() == 2


def test_an_amended_order_that_is_scored_again_is_what_it_was_scored_as(amending: Amending) -> None:
    amending.desk.decide("o2", "c1", amount_cents=3_000)
    second = OrderAddress(name="o2", merchant_id=None)

    def amended_to(cents: int) -> int:
        amending.desk.now += 1_000
        answer = amend(
            amending.desk.scope(),
            second,
            amendment_body({"new_amount_cents": cents}, now_ms=amending.desk.now),
            caller=CALLER,
            idempotency_key=None,
            accepted_language=None,
        )
        assert isinstance(answer, AmendedOrderState)
        return answer.reserved_cents

    assert amended_to(2_000) == 2_000
    amending.desk.decide("o2", "c1", amount_cents=2_500)
    assert amending.held_cents() == 22_500
    assert amended_to(2_500) == 2_500
    assert amended_to(2_400) == 2_400


def test_what_was_told_of_an_order_before_it_was_decided_anew_counts_no_more(amending: Amending) -> None:
    desk, second = amending.desk, OrderAddress(name="o2", merchant_id=None)

    def told(number: int, **event: Any) -> None:
        about = {"order_id": "o2", "customer_id": "c1"}
        # Its clock is ahead.
        desk.row(
            "order_events", a_row("order_events", f"e{number}", desk.now + 60_000, None, **about, **event)
        )

    def moved() -> AmendedOrderState | MerchantAmendedOrderState:
        desk.now += 1_000
        body = amendment_body({"delivery": ELSEWHERE}, now_ms=desk.now)
        return amend(desk.scope(), second, body, caller=CALLER, idempotency_key=None, accepted_language=None)

    desk.decide("o2", "c1", amount_cents=3_000)
    assert moved().judgement is not None
    told(1, kind="amended", new_amount_cents=2_000)
    assert amending.held_cents() == 22_000
    desk.decide("o2", "c1", amount_cents=10_000_000)
    told(2, kind="released")
    assert amending.held_cents() == 20_000
    desk.decide("o2", "c1", amount_cents=3_000)
    assert amending.held_cents() == 23_000
    answer = moved()
    assert (answer.ordered_cents, answer.judgement is not None) == (3_000, True)
    assert moved().judgement is None
    assert amending.held_cents() == 23_000


def test_the_same_key_gets_the_same_answer_and_another_amount_under_it_is_refused(amending: Amending) -> None:
    first = amending.ask(new_amount_cents=21_000, key="k1")
    assert amending.ask(new_amount_cents=21_000, key="k1") == first
    assert amending.all_replay_the_same() == 2
    with pytest.raises(IdempotencyConflict):
        amending.ask(new_amount_cents=22_000, key="k1")


def test_a_merchants_key_sees_outcome_and_alternatives_of_its_own_orders_only(
    amending: Amending,
) -> None:
    number = OrderAddress(name="o1", merchant_id="m1")
    answer = amend(
        amending.desk.scope(),
        number,
        amendment_body({"new_amount_cents": 10_000_000}, now_ms=amending.desk.now),
        caller=MERCHANT,
        idempotency_key=None,
        accepted_language=None,
    )
    assert isinstance(answer, MerchantAmendedOrderState)
    assert answer.judgement is not None
    assert not {"score", "limit_cents", "reasons"} & set(answer.judgement.__struct_fields__)
    assert amending.all_replay_the_same() == 2
    with pytest.raises(UnknownOrder):
        amending.ask(new_amount_cents=1, caller=Caller(name="m-two", role=Role.MERCHANT, merchant_id="m2"))


def test_an_order_whose_time_is_over_or_that_was_declined_is_not_amended(amending: Amending) -> None:
    amending.desk.now += 400 * 86_400_000
    with pytest.raises(OrderNotApproved, match="expired"):
        amending.to(19_000)


WHOLE: Row = {**ELSEWHERE}


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/new_amount_cents"}),
        ({"new_amount_cents": None, "delivery": None}, {"/new_amount_cents"}),
        ({"new_amount_cents": 0}, {"/new_amount_cents"}),
        ({"new_amount_cents": "12"}, {"/new_amount_cents"}),
        ({"new_amount_cents": 1, "amount": 2}, {"/amount"}),
        ({"new_amount_cents": True}, {"/new_amount_cents"}),
        ({"delivery": []}, {"/delivery"}),
        ({"delivery": {}}, {f"/delivery/{name}" for name in WHOLE if name != "house_number"}),
        ({"delivery": {**WHOLE, "street": " "}}, {"/delivery/street"}),
        ({"delivery": {**WHOLE, "country": "Germany", "floor": 1}}, {"/delivery/country", "/delivery/floor"}),
        ({"new_amount_cents": 1, "language": 5}, {"/language"}),
        ([], {""}),
    ],
)
def test_a_bad_field_is_named(body: Any, pointers: set[str]) -> None:
    with pytest.raises(FieldsInvalid) as refused:
        amendment_body(body, now_ms=1_700_000_000_000)
    assert {error.pointer for error in refused.value.errors} == pointers


def test_a_blank_house_number_counts_as_none() -> None:
    body = amendment_body({"delivery": {**WHOLE, "house_number": " "}}, now_ms=1_700_000_000_000)
    assert body.delivery == {name: text for name, text in WHOLE.items() if name != "house_number"}
