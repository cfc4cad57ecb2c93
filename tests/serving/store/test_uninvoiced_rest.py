"""An order that is invoiced in parts holds what is not invoiced yet, to the cent, whatever arrives first."""

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from data_contracts.amended_orders import ordered_cents
from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.ledger_contracts import CONTRACTS
from serving.domain.reservation import ReservationState, RestStep, RestStepKind, uninvoiced_cents
from serving.store.ledger import append, held_count
from serving.store.reservations import Reservation, confirm, reservation_of, reserve, reserved_cents
from serving.store.store import Store
from tests.builders import DAY, Row, a_customer, a_merchant, a_row, an_adjustment, an_invoice, an_order, ms

T0 = ms("2026-01-01")
NOW = ms("2026-06-01")
ORDERED_CENTS = 10_000
EXPIRES = NOW + 30 * DAY

STEPS = st.lists(
    st.builds(
        RestStep,
        kind=st.sampled_from(RestStepKind),
        at_ms=st.tuples(st.integers(0, 20), st.integers(0, 1_000_000)),
        cents=st.integers(1, 12_000),
    ),
    max_size=8,
    unique_by=lambda step: step.at_ms,
)


@given(steps=STEPS, data=st.data())
def test_the_rest_and_the_invoices_together_never_pass_the_order_whatever_arrives_first(
    steps: list[RestStep], data: st.DataObject
) -> None:
    rest_cents = uninvoiced_cents(ORDERED_CENTS, steps)
    assert uninvoiced_cents(ORDERED_CENTS, data.draw(st.permutations(steps))) == rest_cents
    amended = [step for step in steps if step.kind is RestStepKind.AMENDED]
    ordered_cents = max(amended, key=lambda step: step.at_ms).cents if amended else ORDERED_CENTS
    assert rest_cents >= 0
    signs = {RestStepKind.INVOICED: 1, RestStepKind.CREDITED: -1}
    invoiced_cents = sum(signs.get(step.kind, 0) * step.cents for step in steps)
    assert rest_cents == 0 or rest_cents + invoiced_cents <= ordered_cents
    later = RestStep(kind=RestStepKind.INVOICED, at_ms=(21, 0), cents=1)
    assert uninvoiced_cents(ORDERED_CENTS, [*steps, later]) <= rest_cents


@given(
    steps=STEPS.filter(lambda steps: all(step.kind is not RestStepKind.AMENDED for step in steps)),
    cents=st.lists(st.integers(1, 12_000), min_size=1, max_size=3),
)
def test_an_amendment_leaves_no_more_than_an_order_of_that_amount_and_what_was_released_stays_so(
    steps: list[RestStep], cents: list[int]
) -> None:
    amendments = [
        RestStep(kind=RestStepKind.AMENDED, at_ms=(21 + number, 0), cents=one)
        for number, one in enumerate(cents)
    ]
    rest_cents = uninvoiced_cents(ORDERED_CENTS, [*steps, *amendments])
    if any(step.kind is RestStepKind.RELEASED for step in steps):
        assert rest_cents == 0
    elif not steps:
        assert rest_cents == cents[-1]
    before_cents = uninvoiced_cents(ORDERED_CENTS, [*steps, *amendments[:-1]])
    added_cents = cents[-1] - ([ORDERED_CENTS, *cents][-2])
    assert rest_cents <= before_cents + max(added_cents, 0)


@given(
    amounts=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(1, 500)), max_size=5),
    ordered_anew_at=st.sampled_from([None, 4]),
    known_until=st.integers(0, 20),
    data=st.data(),
)
def test_what_an_order_comes_to_is_the_amendment_that_happened_last_of_those_that_were_known(
    amounts: list[tuple[int, int, int]], ordered_anew_at: int | None, known_until: int, data: st.DataObject
) -> None:
    order: Row = {"occurred_at": ordered_anew_at or 0, "recorded_at": ordered_anew_at or 0, "amount_cents": 7}
    order |= {} if ordered_anew_at is None else {"corrects": "first"}
    events = [
        a_row("order_events", f"e{number}", at, at + delay, kind="amended", new_amount_cents=cents)
        for number, (at, delay, cents) in enumerate(amounts)
    ]
    events.append(a_row("order_events", "shipped", 9, 9, kind="shipped"))
    known = [event for event in data.draw(st.permutations(events)) if event["recorded_at"] <= known_until]
    last: Row | None = None
    for event in events[:-1]:
        is_known = event["recorded_at"] <= known_until and event["occurred_at"] >= (ordered_anew_at or 0)
        rank = (event["occurred_at"], event["recorded_at"], event["event_id"])
        if is_known and (last is None or rank > (last["occurred_at"], last["recorded_at"], last["event_id"])):
            last = event
    assert ordered_cents(order, known) == (7 if last is None else last["new_amount_cents"])


def arrive(store: Store, contract: str, row: Row, now: int = NOW) -> AppendStatus:
    stamped = {name: value for name, value in row.items() if name != "recorded_at" and value is not None}
    with store.writing(row.get("customer_id") or row["merchant_id"]) as tx:
        return append(tx, CONTRACTS[contract], stamped, now).status


def with_a_confirmed_order(store: Store, customer_id: str = "c1", order_id: str = "o1") -> None:
    arrive(store, "merchants", a_merchant(at=T0))
    arrive(store, "customers", a_customer(customer_id, event_id=f"customer-{customer_id}", at=T0))
    arrive(store, "orders", an_order(order_id, customer_id, at=T0, amount_cents=ORDERED_CENTS))
    with store.writing(customer_id) as tx:
        reserve(
            tx,
            Reservation(
                order_id=order_id,
                customer_id=customer_id,
                merchant_id="m1",
                decision_id=f"decision-{order_id}",
                amount_cents=ORDERED_CENTS,
                currency="EUR",
                state=ReservationState.RESERVED,
                expires_at_ms=EXPIRES,
            ),
            NOW,
        )
        confirm(tx, customer_id=customer_id, order_id=order_id, expires_at_ms=EXPIRES, now_ms=NOW)


def held(store: Store, customer_id: str = "c1", order_id: str = "o1", now: int = NOW) -> tuple[str, int]:
    """The order's state, and what the customer's orders hold."""
    with store.reading() as tx:
        reservation = reservation_of(tx, customer_id, order_id)
        cents = reserved_cents(tx, customer_id, now, excluding_order_id="none")
    assert reservation is not None
    return reservation.state.value, cents


def an_invoice_of(
    cents: int, number: int, customer_id: str = "c1", order_id: str = "o1", **more: object
) -> Row:
    invoice_id = f"i{number}-{order_id}"
    at = T0 + number * DAY
    return an_invoice(invoice_id, customer_id, at=at, amount_cents=cents, order_id=order_id, **more)


def an_order_event(kind: str, customer_id: str = "c1", order_id: str = "o1") -> Row:
    about = {"order_id": order_id, "customer_id": customer_id}
    return a_row("order_events", f"{kind}-{order_id}", T0 + 9 * DAY, None, kind=kind, **about)


def test_each_invoice_moves_its_amount_and_the_last_one_ends_the_reservation(store: Store) -> None:
    with_a_confirmed_order(store)
    assert held(store) == ("confirmed", 10_000)
    arrive(store, "invoices", an_invoice_of(6_000, 1))
    assert held(store) == ("partly_invoiced", 4_000)
    arrive(store, "invoices", an_invoice_of(3_999, 2))
    assert held(store) == ("partly_invoiced", 1)
    assert held(store, now=EXPIRES) == ("partly_invoiced", 0)
    arrive(store, "invoices", an_invoice_of(1, 3))
    assert held(store) == ("invoiced", 0)


def an_amendment(
    cents: int, number: int, customer_id: str = "c1", order_id: str = "o1", **more: object
) -> Row:
    about = {"order_id": order_id, "customer_id": customer_id, "new_amount_cents": cents, **more}
    event_id = f"amended-{number}-{order_id}"
    return a_row("order_events", event_id, T0 + number * DAY, None, kind="amended", **about)


def test_an_amended_order_holds_what_it_comes_to_less_its_invoices(store: Store) -> None:
    with_a_confirmed_order(store)
    arrive(store, "order_events", an_amendment(8_000, 1))
    assert held(store) == ("confirmed", 8_000)
    arrive(store, "order_events", an_amendment(12_000, 2))
    assert held(store) == ("confirmed", 12_000)
    arrive(store, "invoices", an_invoice_of(5_000, 3))
    assert held(store) == ("partly_invoiced", 7_000)
    assert arrive(store, "order_events", an_amendment(4_999, 4)) is AppendStatus.REFUSED
    assert held(store) == ("partly_invoiced", 7_000)
    arrive(store, "order_events", an_amendment(5_000, 5))
    assert held(store) == ("invoiced", 0)
    assert arrive(store, "invoices", an_invoice_of(1, 6)) is AppendStatus.HELD


def test_an_invoice_above_its_order_enters_with_the_amendment_that_came_late(store: Store) -> None:
    with_a_confirmed_order(store)
    assert arrive(store, "invoices", an_invoice_of(12_000, 2)) is AppendStatus.REFUSED
    arrive(store, "order_events", an_amendment(15_000, 1))
    assert held(store) == ("partly_invoiced", 3_000)
    # One that was overtaken changes nothing, though it arrives last and names less than is invoiced.
    with_a_confirmed_order(store, "c2", "o2")
    arrive(store, "order_events", an_amendment(9_000, 3, "c2", "o2"))
    arrive(store, "invoices", an_invoice_of(8_000, 4, "c2", "o2"))
    assert arrive(store, "order_events", an_amendment(1_000, 1, "c2", "o2")) is AppendStatus.ACCEPTED
    assert held(store, "c2", "o2") == ("partly_invoiced", 1_000)


def test_an_amendment_that_is_corrected_away_leaves_the_order_as_it_was(store: Store) -> None:
    with_a_confirmed_order(store)
    amendment = an_amendment(4_000, 1)
    arrive(store, "order_events", amendment)
    mended = {**amendment, "event_id": "mended", "corrects": amendment["event_id"], "kind": "shipped"}
    arrive(store, "order_events", {**mended, "new_amount_cents": None})
    assert held(store) == ("confirmed", 10_000)


def test_an_order_that_is_corrected_holds_what_it_comes_to_then(store: Store) -> None:
    with_a_confirmed_order(store)
    number = {"merchant_order_number": "n1"}
    order: Row = {**an_order("o1", "c1", at=T0, amount_cents=8_000), **number}

    def correct(cents: int, event_id: str, corrects: str) -> None:
        mended = {**order, "amount_cents": cents, "event_id": event_id, "corrects": corrects}
        assert arrive(store, "orders", mended) is AppendStatus.ACCEPTED

    correct(8_000, "less", order["event_id"])
    assert held(store) == ("confirmed", 8_000)
    arrive(store, "order_events", an_amendment(7_000, 1))
    correct(9_000, "overtaken", "less")
    assert held(store) == ("confirmed", 7_000)
    arrive(store, "invoices", an_invoice_of(3_000, 2))
    arrive(store, "order_events", an_amendment(9_500, 3))
    with_a_confirmed_order(store, "c2", "o2")
    arrive(store, "invoices", an_invoice_of(3_000, 1, "c2", "o2"))
    order |= an_order("o2", "c2", at=T0) | {"merchant_order_number": None}
    correct(12_001, "more", order["event_id"])
    assert held(store) == ("partly_invoiced", 6_500)
    assert held(store, "c2", "o2") == ("partly_invoiced", 9_001)


def test_the_rest_is_free_once_it_is_released_or_the_order_is_cancelled(store: Store) -> None:
    for number, (kind, state) in enumerate((("released", "invoiced"), ("cancelled", "cancelled"))):
        customer_id, order_id = f"c-{kind}", f"o-{kind}"
        with_a_confirmed_order(store, customer_id, order_id)
        arrive(store, "invoices", an_invoice_of(2_500, 1 + number, customer_id, order_id))
        assert held(store, customer_id, order_id) == ("partly_invoiced", 7_500)
        arrive(store, "order_events", an_order_event(kind, customer_id, order_id))
        assert held(store, customer_id, order_id) == (state, 0)


def test_an_invoice_that_is_corrected_gives_back_what_it_took_too_much(store: Store) -> None:
    with_a_confirmed_order(store)
    first = an_invoice_of(10_000, 1)
    arrive(store, "invoices", first)
    assert held(store) == ("invoiced", 0)
    arrive(
        store,
        "invoices",
        {**first, "event_id": "mended", "corrects": first["event_id"], "amount_cents": 1_000},
    )
    assert held(store) == ("partly_invoiced", 9_000)


def test_an_invoice_that_is_issued_anew_after_its_credit_note_takes_nothing_twice(store: Store) -> None:
    with_a_confirmed_order(store)
    arrive(store, "invoices", an_invoice_of(6_000, 1))
    note = an_adjustment("i1-o1", at=T0 + 2 * DAY, amount_cents=6_000)
    arrive(store, "invoice_adjustments", note)
    assert held(store) == ("partly_invoiced", 4_000)
    arrive(store, "invoices", an_invoice_of(6_000, 3))
    assert held(store) == ("partly_invoiced", 4_000)


def all_arrived(store: Store, rows: Sequence[tuple[str, Row]], place: int) -> tuple[str, int]:
    customer_id, order_id = f"c{place}", f"o{place}"
    with_a_confirmed_order(store, customer_id, order_id)
    for contract, row in rows:
        ids = {"event_id": f"{row['event_id']}-{place}", "customer_id": customer_id}
        ids |= {"order_id": order_id} if "order_id" in row else {}
        ids |= {"invoice_id": f"{row['invoice_id']}-{place}"} if "invoice_id" in row else {}
        arrive(store, contract, {**row, **ids})
    with store.reading() as tx:
        assert held_count(tx) == 0
    return held(store, customer_id, order_id)


def test_every_order_of_arrival_ends_with_the_same_rest(store: Store) -> None:
    rows = [
        ("invoices", an_invoice_of(6_000, 1)),
        ("invoice_adjustments", an_adjustment("i1-o1", at=T0 + 2 * DAY, amount_cents=6_000)),
        ("invoices", an_invoice_of(5_000, 3)),
        ("order_events", an_amendment(8_000, 4)),
    ]
    ends = {all_arrived(store, order, place) for place, order in enumerate(itertools.permutations(rows))}
    # With 5,000 invoiced, credit notes taken off, 3,000 may still be.
    assert ends == {("partly_invoiced", 3_000)}
