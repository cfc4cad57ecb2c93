"""A customer sends goods back: paused at once, once, and for no longer than until they are booked."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.instants import NEVER
from features.invoice_state import InvoiceState
from features.online import invoice_states
from serving.domain.errors import (
    CreditAboveInvoiced,
    FieldsInvalid,
    OrderNotInvoiced,
    ReturnAboveInvoiced,
    UnknownOrder,
    UnknownReturn,
)
from serving.domain.goods_return import GoodsReturn, ReturnClosed, ReturnState
from serving.domain.order_numbers import OrderAddress
from serving.requests.case_scope import CaseScope
from serving.requests.typed_fields import typed_fields_of
from serving.returns.looking_at_returns import look_at_returns
from serving.returns.return_answers import (
    AnnouncedReturn,
    BookingBody,
    MerchantReturn,
    ReturnAnswer,
    ReturnBody,
)
from serving.returns.returning import announce, book, confirm, in_state, of_customer, view
from serving.store.api_keys import Caller, Role
from serving.store.credit_rows import credit_rows
from serving.store.open_store import open_store
from serving.store.store import Store, Transaction
from tests.builders import DAY, a_row, an_adjustment
from tests.serving.checkout.a_fulfilled_order import ADDRESS, MERCHANT, FulfilledOrder, a_fulfilled_order
from tests.serving.shadow_desk import CALLER, sqlite_url

PORTAL = Caller(name="app", role=Role.PORTAL, merchant_id=None)
LEDGER = Caller(name="back-office", role=Role.LEDGER, merchant_id=None)
OTHER_MERCHANT = Caller(name="m-two", role=Role.MERCHANT, merchant_id="m2")


@dataclass
class ReturnDesk(FulfilledOrder):
    """The order and what comes back of it. disputes: those that the worker opened."""

    disputes: list[GoodsReturn] = field(default_factory=list)

    def announce(
        self, *, customer_id: str = "c1", to: OrderAddress = ADDRESS, key: str | None = None, **body: Any
    ) -> AnnouncedReturn:
        self.desk.now += 1_000
        given = typed_fields_of({"customer_id": customer_id, **body}, ReturnBody)
        return announce(self.desk.scope(), to, given, caller=PORTAL, idempotency_key=key)

    def confirm(self, goods: ReturnAnswer, *, caller: Caller = CALLER) -> ReturnAnswer:
        self.desk.now += 1_000
        return confirm(self.desk.scope(), goods.return_id, caller=caller, idempotency_key=None)

    def book(
        self, goods: ReturnAnswer, *, caller: Caller = CALLER, key: str | None = None, **body: Any
    ) -> ReturnAnswer:
        self.desk.now += 1_000
        given = typed_fields_of(body, BookingBody)
        return book(self.desk.scope(), goods.return_id, given, caller=caller, idempotency_key=key)

    def work(self, *, later: int = 0) -> int:
        self.desk.now += later
        return look_at_returns(self.scope(), self._dispute)

    def _dispute(self, _tx: Transaction, _scope: CaseScope, goods: GoodsReturn) -> bool:
        self.disputes.append(goods)
        return False

    def scope(self) -> CaseScope:
        return CaseScope(
            store=self.desk.store, policy=self.desk.policy, now_ms=lambda: self.desk.now, public_url="-"
        )

    def state(self, invoice_id: str = "i1", *, as_of: int = NEVER) -> InvoiceState:
        with self.desk.store.reading() as tx:
            rows = credit_rows(tx, "c1")
        return invoice_states(rows, as_of, self.desk.policy.settlement_terms)[invoice_id]

    def shown(self, goods: ReturnAnswer) -> AnnouncedReturn:
        seen = view(self.desk.scope(), goods.return_id, caller=CALLER, customer_id=None)
        assert isinstance(seen, AnnouncedReturn)
        return seen


def a_return_desk(store: Store, database_url: str) -> ReturnDesk:
    return ReturnDesk(a_fulfilled_order(store, database_url).desk)


@pytest.fixture
def order(store: Store, database_url: str) -> ReturnDesk:
    return a_return_desk(store, database_url)


def test_an_announcement_pauses_at_once_until_the_goods_are_booked_and_the_due_date_moves(
    order: ReturnDesk,
) -> None:
    order.invoice(20_000)
    due_at = order.state().due_at
    goods = order.announce(carrier="PostNord", tracking_number="R1")
    assert (goods.state, goods.amount_cents, goods.paused_invoices) == ("announced", 20_000, ("i1",))
    assert (order.state().paused, order.state().due_at) == (True, NEVER)
    (row,) = order.rows("invoice_pauses")
    assert (row["reason"], row["carrier"], row["tracking_number"]) == ("return", "PostNord", "R1")
    order.desk.now += 3 * DAY
    done = order.book(goods, amount_cents=5_000, return_fee_cents=500)
    assert (done.state, done.booked_cents, done.return_fee_cents) == ("booked", 5_000, 500)
    after = order.state()
    paused_ms = order.desk.now - row["started_at"]
    assert (after.paused, after.outstanding_cents, after.due_at) == (False, 15_500, due_at + paused_ms)
    assert order.shown(done).paused_invoices == ()


def test_a_second_announcement_of_the_same_goods_pauses_nothing_again(order: ReturnDesk) -> None:
    order.invoice(20_000)
    goods = order.announce(key="k")
    assert order.announce(key="k") == goods
    assert order.announce() == goods
    assert order.announce(amount_cents=20_000) == goods
    assert len(order.rows("invoice_pauses")) == 1
    proved = order.announce(carrier="DHL", tracking_number="T1")
    assert (proved.return_id, proved.tracking_number) == (goods.return_id, "T1")
    assert proved.due_at - goods.due_at == 14 * DAY
    assert order.announce(amount_cents=7, tracking_number="T1").return_id == goods.return_id
    assert {row["pause_id"] for row in order.rows("invoice_pauses")} == {f"return-{goods.return_id}-1"}
    for body in ({"tracking_number": "T2"}, {"amount_cents": 1}):
        with pytest.raises(ReturnAboveInvoiced, match="0 are invoiced and neither credited nor announced"):
            order.announce(**body)


def test_announcements_cover_no_more_than_is_invoiced_and_not_yet_returned(order: ReturnDesk) -> None:
    with pytest.raises(OrderNotInvoiced):
        order.announce()
    order.invoice(20_000)
    first = order.announce(amount_cents=12_000)
    with pytest.raises(ReturnAboveInvoiced, match="8001 would come back; 8000 are invoiced"):
        order.announce(amount_cents=8_001)
    positions = [{"name": "Jacket", "amount_cents": 3_000}, {"name": "Shoes", "amount_cents": 4_000}]
    second = order.announce(positions=positions)
    assert (second.amount_cents, [one.name for one in second.positions]) == (7_000, ["Jacket", "Shoes"])
    assert order.announce().amount_cents == 1_000
    order.book(first, amount_cents=2_000)
    assert order.announce().amount_cents == 10_000
    assert order.state().paused


def test_a_pause_that_would_begin_after_the_due_date_waits_for_the_merchant_and_counts_from_the_announcement(
    order: ReturnDesk,
) -> None:
    order.invoice(20_000)
    order.desk.now += 20 * DAY
    goods = order.announce(tracking_number="T1")
    announced_at = order.desk.now
    assert (goods.paused_invoices, goods.awaits_confirmation) == ((), ("i1",))
    order.desk.now += 2 * DAY
    before = order.state()
    assert (before.paused, before.is_overdue(order.desk.now)) == (False, True)
    late_ms = announced_at - before.due_at
    said = order.confirm(goods)
    assert isinstance(said, AnnouncedReturn)
    assert (said.paused_invoices, said.awaits_confirmation) == (("i1",), ())
    after = order.state()
    # Late until the announcement and no longer; what was known before stays known.
    assert (after.paused, after.lateness_at(order.desk.now + 5 * DAY)) == (True, late_ms)
    assert order.state(as_of=order.desk.now).paused is False
    assert order.confirm(goods) == said
    assert len(order.rows("invoice_pauses")) == 1


def test_goods_that_are_booked_were_on_their_way_since_they_were_announced(order: ReturnDesk) -> None:
    order.invoice(20_000)
    order.desk.now += 20 * DAY
    goods = order.announce(amount_cents=5_000)
    announced_at = order.desk.now
    due_at = order.state().due_at
    order.desk.now += 4 * DAY
    order.book(goods)
    (row,) = order.rows("invoice_pauses")
    assert (row["started_at"], row["ended_at"]) == (announced_at, order.desk.now)
    assert (order.state().paused, order.state().due_at) == (False, due_at + order.desk.now - announced_at)
    assert order.state().lateness_at(order.desk.now) == announced_at - due_at


def test_without_proof_the_invoice_runs_again_when_the_time_is_over(order: ReturnDesk) -> None:
    order.invoice(20_000)
    goods = order.announce()
    assert order.work(later=14 * DAY - 1) == 0
    assert order.work(later=1) == 1
    assert order.shown(goods).state == "lapsed"
    assert (order.state().paused, order.disputes, order.work(later=DAY)) == (False, [], 0)
    with pytest.raises(ReturnAboveInvoiced):
        order.announce(amount_cents=1)
    # The number is kept for whoever decides; it pauses nothing.
    late = order.announce(tracking_number="T1")
    assert (late.state, late.tracking_number, order.state().paused) == ("lapsed", "T1", False)
    assert order.book(goods).state == "booked"
    assert order.owed_cents() == [0]


def test_an_invoice_of_which_a_return_lapsed_is_not_paused_by_the_next_cent_that_is_announced(
    order: ReturnDesk,
) -> None:
    order.invoice(20_000, due_at=order.desk.now + 60 * DAY)
    order.announce(amount_cents=1)
    beside = order.announce(amount_cents=1, tracking_number="T1")
    order.work(later=14 * DAY)
    assert order.state().paused
    order.book(beside)
    assert order.state().paused is False
    again = order.announce(amount_cents=1)
    assert (again.paused_invoices, again.awaits_confirmation) == ((), ("i1",))
    assert order.state().paused is False
    order.confirm(again)
    assert order.state().paused


def test_a_return_that_cannot_be_looked_at_holds_up_no_other(order: ReturnDesk) -> None:
    order.invoice(20_000)
    first = order.announce(amount_cents=1, tracking_number="T1")
    second = order.announce(amount_cents=1, tracking_number="T2")
    order.desk.now += 28 * DAY

    def refused(_tx: object, _scope: object, goods: GoodsReturn) -> None:
        if goods.return_id == first.return_id:
            raise ValueError("the first cannot be disputed")

    assert look_at_returns(order.scope(), refused) == 2
    assert [order.shown(one).state for one in (first, second)] == ["announced", "not_booked"]
    assert order.work() == 0
    assert order.work(later=60_000) == 1
    assert order.shown(first).state == "not_booked"


def test_of_twenty_announcements_and_bookings_at_once_none_goes_above_the_invoice(
    order: ReturnDesk, database_url: str
) -> None:
    order.invoice(20_000)

    def at_once(_number: int) -> int:
        store = open_store(database_url)
        scope = order.desk.scope(store)
        try:
            given = ReturnBody(customer_id="c1", amount_cents=3_000)
            goods = announce(scope, ADDRESS, given, caller=PORTAL, idempotency_key=None)
            book(scope, goods.return_id, BookingBody(), caller=CALLER, idempotency_key=None)
        except ReturnAboveInvoiced:
            return 0
        else:
            return 3_000
        finally:
            store.close()

    with ThreadPoolExecutor(5) as threads:
        done_cents = sum(threads.map(at_once, range(20)))
    # With more under way at one moment than is left, an announcement may mean goods that another announced.
    assert done_cents >= 18_000
    assert order.owed_cents() == [2_000]
    assert order.state().paused is False
    assert len({row["pause_id"] for row in order.rows("invoice_pauses")}) == 6


@pytest.mark.parametrize("how", ["tracking", "word"])
def test_with_proof_it_becomes_a_dispute_and_stays_paused(order: ReturnDesk, how: str) -> None:
    order.invoice(20_000)
    goods = order.announce(**({"tracking_number": "T1"} if how == "tracking" else {}))
    if how == "word":
        order.confirm(goods, caller=LEDGER)
    order.work(later=28 * DAY - 60_000)
    assert (order.shown(goods).state, order.disputes) == ("announced", [])
    assert order.work(later=60_000) == 1
    assert [(one.return_id, one.state) for one in order.disputes] == [(goods.return_id, "not_booked")]
    assert (order.state().paused, order.work(later=DAY), len(order.disputes)) == (True, 0, 1)
    listed = in_state(order.desk.scope(), ReturnState.NOT_BOOKED, caller=CALLER)
    assert [one.return_id for one in listed.returns] == [goods.return_id]
    own = Caller(name="m-one", role=Role.MERCHANT, merchant_id="m1")
    assert len(in_state(order.desk.scope(), ReturnState.NOT_BOOKED, caller=own).returns) == 1
    assert not in_state(order.desk.scope(), ReturnState.NOT_BOOKED, caller=OTHER_MERCHANT).returns
    order.book(goods)
    assert order.state().paused is False
    assert not in_state(order.desk.scope(), ReturnState.NOT_BOOKED, caller=CALLER).returns


def test_rows_of_the_ledger_confirm_and_book_as_the_calls_do(order: ReturnDesk) -> None:
    order.invoice(20_000)
    order.desk.now += 20 * DAY
    goods = order.announce(amount_cents=5_000)
    back = {"order_id": "o1", "customer_id": "c1", "kind": "returned"}
    order.desk.row("order_events", a_row("order_events", "back", order.desk.now, None, **back))
    assert order.work() == 1
    assert order.shown(goods).paused_invoices == ("i1",)
    note = an_adjustment(at=order.desk.now, amount_cents=4_000)
    order.desk.row("invoice_adjustments", note)
    assert (order.work(), order.shown(goods).state) == (1, "announced")
    order.credit(amount_cents=1_000)
    assert (order.work(), order.shown(goods).state, order.state().paused) == (1, "booked", False)
    assert order.book(goods) == order.shown(goods)
    assert order.owed_cents() == [15_000]


def test_news_of_the_ledger_is_not_lost_behind_a_call_that_comes_first(order: ReturnDesk) -> None:
    order.invoice(20_000)
    order.desk.now += 20 * DAY
    goods = order.announce()
    back = {"order_id": "o1", "customer_id": "c1", "kind": "returned"}
    order.desk.row("order_events", a_row("order_events", "back", order.desk.now, None, **back))
    order.announce(tracking_number="T1")
    assert order.work() == 1
    assert order.shown(goods).paused_invoices == ("i1",)
    assert order.work() == 0


def test_a_part_that_the_ledger_credits_books_the_return_once_its_time_is_over(order: ReturnDesk) -> None:
    order.invoice(20_000)
    goods = order.announce(tracking_number="T1")
    order.credit(amount_cents=19_500)
    order.work()
    assert order.shown(goods).state == "announced"
    order.work(later=28 * DAY)
    assert (order.shown(goods).state, order.shown(goods).booked_cents) == ("booked", 19_500)
    assert order.disputes == []


def test_goods_booked_by_the_call_book_no_other_return(order: ReturnDesk) -> None:
    order.invoice(20_000)
    first, second = order.announce(amount_cents=5_000), order.announce(amount_cents=5_000)
    order.book(first)
    order.work()
    assert order.shown(second).state == "announced"
    assert order.state().paused


def test_the_whole_order_back_is_told_to_the_ledger_and_a_part_is_not(order: ReturnDesk) -> None:
    order.invoice(20_000)
    first, second = order.announce(amount_cents=5_000), order.announce(amount_cents=15_000)
    order.book(first, return_fee_cents=300)
    assert [row["kind"] for row in order.rows("order_events")] == ["confirmed"]
    order.book(second, return_fee_cents=200)
    assert [row["kind"] for row in order.rows("order_events")] == ["confirmed", "returned"]
    assert order.owed_cents() == [500]


def test_only_what_is_unpaid_is_paused_and_of_several_invoices_those_that_would_be_credited(
    order: ReturnDesk,
) -> None:
    order.invoice(6_000, 1)
    order.invoice(8_000, 2)
    order.invoice(6_000, 3)
    order.pay(6_000, 1)
    first, second = order.announce(amount_cents=8_000), order.announce(amount_cents=1_000)
    assert (first.paused_invoices, second.paused_invoices) == (("i2",), ("i3",))
    rest = order.announce()
    assert (rest.amount_cents, rest.paused_invoices) == (11_000, ("i3",))
    for goods in (second, first, rest):
        order.book(goods)
    assert order.owed_cents() == [0, 0, 0]
    assert (
        sum(row["amount_cents"] for row in order.rows("invoice_adjustments") if row["kind"] == "refund")
        == 6_000
    )


def test_what_is_booked_is_not_booked_otherwise_nor_above_what_is_invoiced(order: ReturnDesk) -> None:
    order.invoice(20_000)
    goods = order.announce()
    with pytest.raises(CreditAboveInvoiced):
        order.book(goods, amount_cents=20_001)
    with pytest.raises(FieldsInvalid, match="return_fee_cents: must not be above the amount, 5"):
        order.book(goods, amount_cents=5, return_fee_cents=6)
    done = order.book(goods, amount_cents=5, key="k")
    assert order.book(goods, amount_cents=5, key="k") == done
    assert order.book(goods, amount_cents=5) == done
    with pytest.raises(ReturnClosed):
        order.book(goods)
    assert order.owed_cents() == [19_995]


def test_each_sees_and_moves_only_its_own(order: ReturnDesk) -> None:
    order.invoice(20_000)
    order.desk.customer("c2")
    with pytest.raises(UnknownOrder):
        order.announce(customer_id="c2")
    with pytest.raises(UnknownOrder):
        order.announce(to=OrderAddress(name="o9", merchant_id=None))
    goods = order.announce()
    scope = order.desk.scope()
    seen = view(scope, goods.return_id, caller=MERCHANT, customer_id=None)
    assert type(seen) is MerchantReturn
    assert view(scope, goods.return_id, caller=PORTAL, customer_id="c1") == goods
    assert of_customer(scope, "c1").returns == (goods,)
    assert of_customer(scope, "c2").returns == ()
    for caller, customer_id in ((PORTAL, None), (PORTAL, "c2"), (OTHER_MERCHANT, "c1"), (LEDGER, "c1")):
        with pytest.raises(UnknownReturn):
            view(scope, goods.return_id, caller=caller, customer_id=customer_id)
    for step in (order.confirm, order.book):
        with pytest.raises(UnknownReturn):
            step(goods, caller=OTHER_MERCHANT)
    assert type(order.confirm(goods, caller=MERCHANT)) is MerchantReturn
    assert type(order.book(goods, caller=MERCHANT)) is MerchantReturn


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"amount_cents": 0}, ["/amount_cents"]),
        ({"amount_cents": "1", "colour": 1}, ["/colour", "/amount_cents"]),
        ({"positions": []}, ["/positions"]),
        ({"positions": [{"name": "a", "amount_cents": 1}], "amount_cents": 1}, ["/positions"]),
        ({"positions": [{"name": "a", "amount_cents": 1}, {"name": "b", "amount_cents": 0}]},
         ["/positions/1/amount_cents"]),
        ({"carrier": "DHL"}, ["/tracking_number"]),
        ({"tracking_number": "x" * 61}, ["/tracking_number"]),
        ({"tracking_number": "a\nb"}, ["/tracking_number"]),
        ({"customer_id": ""}, ["/customer_id"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_field(
    order: ReturnDesk, body: dict[str, Any], where: list[str]
) -> None:
    order.invoice(20_000)
    with pytest.raises(FieldsInvalid) as refused:
        order.announce(**body)
    assert [error.pointer for error in refused.value.errors] == where
    assert order.rows("invoice_pauses") == []


STEP = st.one_of(
    st.tuples(st.just("announce"), st.integers(1, 120)),
    st.tuples(st.just("book"), st.integers(0, 120)),
    st.tuples(st.just("credit"), st.integers(1, 120)),
    st.tuples(st.just("pay"), st.integers(1, 120)),
    st.tuples(st.just("confirm"), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.integers(1, 20)),
)


@settings(max_examples=25)
@given(steps=st.lists(STEP, max_size=10))
def test_returns_and_credits_in_any_order_never_come_to_more_than_was_invoiced(
    tmp_path_factory: pytest.TempPathFactory, empty_sqlite: bytes, steps: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("lives")
    (folder / "bonitas.db").write_bytes(empty_sqlite)
    store = open_store(sqlite_url(folder))
    try:
        _live(a_return_desk(store, sqlite_url(folder)), steps)
    finally:
        store.close()


def _live(order: ReturnDesk, steps: list[tuple[str, int]]) -> None:
    order.invoice(60, 1)
    order.invoice(40, 2)
    known: list[AnnouncedReturn] = []
    paid_cents = credited_cents = 0
    for what, number in steps:
        open_return = next((one for one in known if order.shown(one).state != "booked"), None)
        try:
            if what == "announce":
                known.append(order.announce(amount_cents=number))
            elif what == "book" and open_return is not None:
                fee_cents = number // 10
                order.book(open_return, amount_cents=number, return_fee_cents=fee_cents)
                credited_cents += number - fee_cents
            elif what == "credit":
                credited_cents += order.credit(amount_cents=number).credited_cents
            elif what == "pay":
                order.pay(number, 1 + number % 2)
                paid_cents += number
            elif what == "confirm" and open_return is not None:
                order.confirm(open_return)
            elif what == "wait":
                order.work(later=number * DAY)
        except (CreditAboveInvoiced, ReturnAboveInvoiced):
            pass
        invoices = order.invoices()
        net_cents = sum(invoice.state.net_amount_cents for invoice in invoices)
        assert (net_cents, credited_cents <= 100) == (100 - credited_cents, True)
        notes = [row for row in order.rows("invoice_adjustments") if row["kind"] == "credit_note"]
        refunds = [row for row in order.rows("invoice_adjustments") if row["kind"] == "refund"]
        assert sum(row["amount_cents"] for row in notes) == credited_cents
        refunded_cents = sum(row["amount_cents"] for row in refunds)
        assert refunded_cents <= paid_cents
        left_cents = 100 - credited_cents - (paid_cents - refunded_cents)
        over_cents = sum(order.owed_cents()) - left_cents
        assert over_cents >= 0
        open_returns = [one for one in map(order.shown, known) if one.state != "booked"]
        for invoice in invoices:
            pauses = [one for one in open_returns if invoice.invoice_id in one.paused_invoices]
            assert invoice.state.paused == bool(pauses)
