"""Customers are told of what falls due, once, whoever looks and however late rows arrive."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.invoice_charges import DUE_NOTICE, REMINDER
from data_contracts.ledger_contracts import CONTRACTS
from serving.domain.errors import PolicyInvalid
from serving.domain.policy_reader import parse_policy
from serving.domain.reminders import LEFT_TO_THE_LEDGER, ReminderLevel, ReminderPolicy, ReminderWriter
from serving.in_force.policy_activation import POLICY_FILE
from serving.invoices import reminding
from serving.invoices.reminding import look_at, look_at_due_invoices
from serving.requests.case_scope import CaseScope
from serving.store.credit_rows import credit_rows
from serving.store.ledger import append
from serving.store.loading import load_folder
from serving.store.store import Store
from tests.builders import (
    DAY,
    Row,
    a_charge,
    a_customer,
    a_merchant,
    a_pause,
    a_payment,
    a_row,
    an_adjustment,
    an_invoice,
    an_order,
    ms,
    write_ledger,
)
from tests.serving.policy_versions import a_policy_text, a_policy_text_without

T0 = ms("2026-01-01")
HALF = DAY // 2
EVENING = DAY * 3 // 4
"""When the worker looks; what happens on a day happens at noon."""
DUE_DAY = 14
NOTICE_DAYS = 3
AFTER_DUE = (5, 9, 16)
FEES = (100, 250, 500)
SHIPPED = parse_policy(POLICY_FILE.read_text())
BY_WORKER = ReminderPolicy(
    writer=ReminderWriter.WORKER,
    notice_days=NOTICE_DAYS,
    levels=tuple(
        ReminderLevel(days_after_due=days, fees_cents={"EUR": fee})
        for days, fee in zip(AFTER_DUE, FEES, strict=True)
    ),
)
POLICY = replace(SHIPPED, reminders=BY_WORKER)
Told = tuple[int, str, int, int]
"""Day, kind, level and fee of a row that was written."""
Payment = tuple[int, int, int]
"""Day, cents, and after how many days it became known."""
Pause = tuple[int, int, int, int]
"""Day of its start, days that it lasts, and after how many days start and end became known."""

days = st.integers(0, 60)
delays = st.sampled_from([0, 0, 0, 1, 4, 15])
payments_of = st.lists(st.tuples(days, st.sampled_from([3_000, 6_500, 9_500, 10_000]), delays), max_size=3)
pauses_of = st.lists(st.tuples(days, st.integers(1, 30), delays, delays), max_size=3)
days_up = st.one_of(
    st.just(list(range(90))), st.lists(st.integers(0, 89), max_size=40, unique=True).map(sorted)
)


def by_the_engine(payments: list[Payment], pauses: list[Pause], up: list[int]) -> list[Told]:
    told: list[Told] = []
    charges: list[Row] = []
    for day in up:
        known: dict[str, list[Row]] = {
            "invoices": [an_invoice(at=T0, due_at=T0 + DUE_DAY * DAY)],
            "invoice_payments": [
                a_payment(
                    at=T0 + paid * DAY + HALF,
                    amount_cents=cents,
                    recorded_at=T0 + (paid + delay) * DAY + HALF,
                    event_id=f"p{place}",
                )
                for place, (paid, cents, delay) in enumerate(payments)
                if paid + delay <= day
            ],
            "invoice_pauses": [
                a_pause(
                    started_at=T0 + start * DAY + HALF,
                    ended_at=T0 + (start + lasts) * DAY + HALF if ends else None,
                    recorded_at=T0 + known_on * DAY + HALF,
                    pause_id=f"pause{place}",
                )
                for place, (start, lasts, late, end_late) in enumerate(pauses)
                for ends, known_on in ((False, start + late), (True, start + lasts + end_late))
                if known_on <= day
            ],
            "invoice_charges": charges,
        }
        # Twice in an evening: the second look finds nothing more to tell.
        for now in (T0 + day * DAY + EVENING, T0 + day * DAY + EVENING + DAY // 24):
            for row in look_at(known, POLICY, now_ms=now).charges:
                charges.append({**row, "recorded_at": now + len(charges)})
                told.append((day, row["kind"], row["level"], row["amount_cents"]))
    return told


def day_by_day(payments: list[Payment], pauses: list[Pause], up: list[int]) -> list[Told]:
    """The twin: a clerk with a calendar, who asks of each day what was known of each day."""

    def asked_for(day: int, known_on: int) -> int | None:
        """The due day if the invoice is asked for on the evening of a day, by what is known on another."""
        paid = sum(cents for at, cents, late in payments if at + late <= known_on and at <= day)
        if paid >= 9_500:
            return None
        paused = set()
        for start, lasts, late, end_late in pauses:
            if start + lasts + end_late <= known_on and start + lasts <= day:
                paused |= set(range(start, start + lasts))
            elif min(start + late, start + lasts + end_late) <= known_on and start <= day:
                return None
        return DUE_DAY + len(paused)

    told: list[Told] = []
    void: set[int] = set()
    for day in up:
        written: list[Told] = []
        for sent_on, kind, level, fee in told:
            if fee and level not in void:
                due = asked_for(sent_on, day)
                if due is None or sent_on < due:
                    void.add(level)
                    written.append((day, kind, level, 0))
        due = asked_for(day, day)
        first_of = {(kind, level): on for on, kind, level, _ in reversed(told)}
        reminders = [on for (kind, _), on in first_of.items() if kind == REMINDER]
        if due is not None and not first_of and day < due:
            if day >= due - NOTICE_DAYS:
                written.append((day, DUE_NOTICE, 1, 0))
        elif due is not None and len(reminders) < len(AFTER_DUE) and day not in reminders:
            level = len(reminders) + 1
            if day >= due + AFTER_DUE[level - 1]:
                written.append((day, REMINDER, level, FEES[level - 1]))
        told += written
    return told


@given(payments_of, pauses_of, days_up)
@example([], [(10, 8, 15, 15)], list(range(90)))
@example([], [(10, 8, 15, 4)], list(range(90)))
@example([(3, 10_000, 15)], [(2, 4, 0, 15), (5, 3, 0, 0)], [12, 19, 60])
def test_what_is_told_is_what_a_clerk_tells_who_goes_day_by_day(
    payments: list[Payment], pauses: list[Pause], up: list[int]
) -> None:
    assert by_the_engine(payments, pauses, up) == day_by_day(payments, pauses, up)


def test_a_worker_that_was_down_makes_up_for_it_a_level_a_day() -> None:
    assert by_the_engine([], [], list(range(90))) == [
        (11, DUE_NOTICE, 1, 0),
        (19, REMINDER, 1, 100),
        (23, REMINDER, 2, 250),
        (30, REMINDER, 3, 500),
    ]
    assert by_the_engine([], [], [60, 61, 62, 63]) == [
        (60, REMINDER, 1, 100),
        (61, REMINDER, 2, 250),
        (62, REMINDER, 3, 500),
    ]


class Book:
    """A store with one invoice of 100.00, and a clock."""

    def __init__(self, store: Store, *, invoices: int = 1) -> None:
        self.store = store
        self.now = T0
        self.scope = CaseScope(
            store=store, policy=POLICY, now_ms=lambda: self.now, public_url="https://pay.example"
        )
        self.arrive("merchants", a_merchant(at=T0))
        self.arrive("customers", a_customer(at=T0))
        for number in range(1, invoices + 1):
            self.arrive("orders", an_order(f"o{number}", at=T0))
            self.arrive("invoices", an_invoice(f"i{number}", at=T0, order_id=f"o{number}"))

    def arrive(self, contract: str, row: Row) -> None:
        stamped = {name: value for name, value in row.items() if name != "recorded_at" and value is not None}
        with self.store.writing(row.get("customer_id") or row["merchant_id"]) as tx:
            status = append(tx, CONTRACTS[contract], stamped, self.now).status
        assert status is AppendStatus.ACCEPTED

    def on(self, day: int) -> list[Told]:
        """Let a worker look on the evening of a day until nothing is left; what it wrote."""
        before = {row["event_id"] for row in self.charges()}
        self.now = T0 + day * DAY + EVENING
        while look_at_due_invoices(self.scope):
            pass
        return [
            ((row["recorded_at"] - T0) // DAY, row["kind"], row["level"], row["amount_cents"])
            for row in self.charges()
            if row["event_id"] not in before
        ]

    def charges(self) -> list[Row]:
        with self.store.reading() as tx:
            rows = credit_rows(tx, "c1").get("invoice_charges", [])
        return sorted(rows, key=lambda row: row["recorded_at"])


def test_nothing_is_told_twice_however_often_one_looks(store: Store) -> None:
    book = Book(store)
    assert [book.on(day) for day in (5, 11, 11, 12, 19, 19)] == [
        [],
        [(11, DUE_NOTICE, 1, 0)],
        [],
        [],
        [(19, REMINDER, 1, 100)],
        [],
    ]
    # News leads to another look, and to nothing else.
    book.arrive("invoice_payments", a_payment(at=T0 + DAY, amount_cents=100))
    assert book.on(19) == []


def test_a_fee_that_a_late_payment_pause_or_finding_contradicts_is_corrected_to_0(store: Store) -> None:
    book = Book(store)
    for day in (11, 19):
        book.on(day)
    assert book.on(23) == [(23, REMINDER, 2, 250)]
    book.arrive("invoice_pauses", a_pause(started_at=T0 + 22 * DAY, pause_id="late"))
    assert book.on(23) == [(23, REMINDER, 2, 0)]
    sent, void = book.charges()[-2:]
    assert (void["corrects"], void["occurred_at"]) == (sent["event_id"], sent["occurred_at"])
    assert book.on(40) == []
    book.arrive("invoice_pauses", a_pause(started_at=T0 + 22 * DAY, ended_at=T0 + 40 * DAY, pause_id="late"))
    # 18 days later than before, and the second has been told.
    assert [book.on(day) for day in (47, 48)] == [[], [(48, REMINDER, 3, 500)]]
    finding = a_row(
        "order_outcomes", "f1", T0 + 49 * DAY, None, order_id="o1", customer_id="c1", kind="fraud_chargeback"
    )
    book.arrive("order_outcomes", finding)
    assert book.on(49) == [(49, REMINDER, 1, 0), (49, REMINDER, 3, 0)]
    assert book.on(80) == []


def test_money_on_another_invoice_keeps_from_reminders_until_it_is_paid_back(store: Store) -> None:
    book = Book(store, invoices=2)
    book.arrive("invoice_payments", a_payment("i1", at=T0 + DAY, amount_cents=20_000))
    assert [book.on(day) for day in (13, 19, 23)] == [[(13, DUE_NOTICE, 1, 0)], [], []]
    back = an_adjustment("i1", at=T0 + 24 * DAY, kind="refund", reason="overpayment")
    book.arrive("invoice_adjustments", back)
    assert book.on(24) == [(24, REMINDER, 1, 100)]


def test_a_worker_that_dies_before_its_commit_leaves_nothing_and_the_next_one_does_it_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(store, invoices=2)

    def dying(name: str, after: int) -> Callable[..., Any]:
        step = getattr(reminding, name)
        calls = iter(range(10))

        def until_it_dies(*args: Any, **more: Any) -> Any:
            if next(calls) == after:
                raise KeyboardInterrupt
            return step(*args, **more)

        return until_it_dies

    for name, after in (("append", 0), ("append", 1), ("keep_next_look", 0)):
        with monkeypatch.context() as patch:
            patch.setattr(reminding, name, dying(name, after))
            with pytest.raises(KeyboardInterrupt):
                book.on(12)
        assert book.charges() == []
    assert book.on(12) == [(12, DUE_NOTICE, 1, 0)] * 2
    assert book.on(12) == []


def test_what_the_back_office_has_told_is_not_told_again_by_the_worker(store: Store) -> None:
    book = Book(store)
    book.now = T0 + 20 * DAY
    book.arrive("invoice_charges", a_charge(at=T0 + 20 * DAY, level=1))
    assert [book.on(day) for day in (20, 23)] == [[], [(23, REMINDER, 2, 250)]]
    book.arrive("invoice_charges", a_charge(at=T0 + 24 * DAY, level=2, kind="collection_notice"))
    assert book.on(60) == []


def test_under_a_policy_that_leaves_it_to_the_ledger_the_worker_writes_nothing(store: Store) -> None:
    book = Book(store)
    book.scope = replace(book.scope, policy=replace(POLICY, reminders=LEFT_TO_THE_LEDGER))
    assert [book.on(day) for day in (12, 60)] == [[], []]
    # The policy is followed within a day.
    book.scope = replace(book.scope, policy=POLICY)
    assert book.on(61) == [(61, REMINDER, 1, 100)]


def test_invoices_that_came_from_a_folder_are_looked_at_like_others(store: Store, tmp_path: Path) -> None:
    folder = write_ledger(
        tmp_path / "book",
        {
            "merchants": [a_merchant(at=T0)],
            "customers": [a_customer(at=T0)],
            "orders": [an_order(at=T0)],
            "invoices": [an_invoice(at=T0)],
        },
    )
    load_folder(store, folder, now_ms=T0 + 12 * DAY)
    now = T0 + 12 * DAY
    scope = CaseScope(store=store, policy=POLICY, now_ms=lambda: now, public_url="https://pay.example")
    assert look_at_due_invoices(scope) == 1
    with store.reading() as tx:
        assert [row["kind"] for row in credit_rows(tx, "c1")["invoice_charges"]] == [DUE_NOTICE]
        # Once nothing is owed nobody waits for a look.
        ((waiting,),) = tx.execute("SELECT count(*) FROM invoice_looks")
    assert waiting == 1
    with store.writing("c1") as tx:
        paid = {name: value for name, value in a_payment(at=T0 + DAY).items() if name != "recorded_at"}
        append(tx, CONTRACTS["invoice_payments"], paid, now)
    assert look_at_due_invoices(scope) == 1
    with store.reading() as tx:
        assert tx.execute("SELECT count(*) FROM invoice_looks") == [(0,)]


def test_a_policy_from_before_reminders_leaves_them_to_the_ledger() -> None:
    assert parse_policy(a_policy_text_without("reminders", "before")).reminders == LEFT_TO_THE_LEDGER
    assert SHIPPED.reminders.writer is ReminderWriter.LEDGER


@pytest.mark.parametrize(
    ("line", "instead", "mistake"),
    [
        (
            'writer = "ledger"\n# A friendly',
            'writer = "both"\n# A friendly',
            "reminders.writer: must be one of worker, ledger",
        ),
        ('writer = "ledger"\n# A friendly', "# A friendly", "reminders.writer: is missing"),
        ("notice_days = 3", "notice_days = -1", "reminders.notice_days: must be from 0 to 60"),
        ("notice_days = 3", "notice_days = 3\nmore = 1", "reminders.more: is no field of a policy"),
        ("after_due = 7", "after_due = 0", "reminders.levels[0].days_after_due: must be from 1 to 365"),
        (
            "after_due = 7",
            "after_due = 3",
            "reminders.levels: days_after_due must be above grace_days, and each above the one before",
        ),
        (
            "after_due = 17",
            "after_due = 7",
            "reminders.levels: days_after_due must be above grace_days, and each above the one before",
        ),
        ("EUR = 250", "EURO = 250", "reminders.levels[1].fees_cents.EURO: is no field of a policy"),
        (
            "EUR = 250",
            "EUR = 2.5",
            "reminders.levels[1].fees_cents.EUR: must be a whole number",
        ),
    ],
)
def test_a_mistake_in_the_section_is_named_by_its_field(line: str, instead: str, mistake: str) -> None:
    text = a_policy_text("wrong")
    assert text.count(line) == 1
    with pytest.raises(PolicyInvalid) as caught:
        parse_policy(text.replace(line, instead))
    assert mistake in caught.value.mistakes
