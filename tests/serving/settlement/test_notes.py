"""The notes of a merchant: every posting stands in one of them, and a month that is over stays as it was."""

import csv
import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.ledger_contracts import CONTRACTS
from serving.domain.settlement import Account
from serving.domain.settlement_period import Period, PeriodInvalid
from serving.settlement.note_answers import SettlementNote
from serving.settlement.note_csv import COLUMNS, csv_text, file_name, plain_cell
from serving.settlement.notes import PlaceInvalid, UnknownMerchant, settlement_note, whole_note
from serving.store.investigations import settlement_rows
from serving.store.ledger import append
from serving.store.store import Store
from tests.builders import Row, a_payment, an_adjustment, an_invoice, ms
from tests.serving.case_desk import HOUR
from tests.serving.cases.settling import SettlingDesk, a_settling_desk

JUNE, JULY = Period.parse("2026-06"), Period.parse("2026-07")


@pytest.fixture
def desk(store: Store) -> SettlingDesk:
    return a_settling_desk(store)


def note_of(desk: SettlingDesk, period: Period = JUNE, **more: Any) -> SettlementNote:
    return settlement_note(desk.scope, "m1", period, **{"limit": 100, **more})


def two_months(desk: SettlingDesk) -> None:
    """100.00 invoiced in June, of which 30.00 are credited in July."""
    desk.row("invoices", an_invoice(at=desk.now))
    desk.settle_all()
    desk.now = ms("2026-07-10T10:00:00")
    desk.row("invoice_adjustments", an_adjustment(at=desk.now, amount_cents=3_000))
    desk.settle_all()


def test_a_note_holds_what_was_posted_in_its_month_and_the_next_begins_where_it_ends(
    desk: SettlingDesk,
) -> None:
    two_months(desk)
    june, july = note_of(desk), note_of(desk, JULY)
    assert [(one.text.value, one.amount_cents) for one in june.lines] == [("payout", 10_000), ("fee", -400)]
    assert [(one.text.value, one.line_count, one.amount_cents) for one in june.sums] == [
        ("payout", 1, 10_000),
        ("fee", 1, -400),
    ]
    assert [(one.text.value, one.amount_cents) for one in july.lines] == [("return", -3_000)]
    [first], [second] = june.balances, july.balances
    assert (first.opening_cents, first.posted_cents, first.closing_cents) == (0, 9_600, 9_600)
    assert (second.opening_cents, second.posted_cents, second.closing_cents) == (9_600, -3_000, 6_600)
    assert (june.starts_at, june.ends_at) == (ms("2026-05-31T22:00:00"), ms("2026-06-30T22:00:00"))
    assert july.starts_at == june.ends_at


def test_a_month_is_closed_an_hour_after_it_ends(desk: SettlingDesk) -> None:
    desk.now = ms("2026-06-30T22:59:59") + 999
    assert note_of(desk).is_closed is False
    desk.now += 1
    assert note_of(desk).is_closed is True


def test_a_month_without_postings_tells_the_balance_that_it_took_over(desk: SettlingDesk) -> None:
    two_months(desk)
    note = note_of(desk, Period.parse("2026-09"))
    assert (note.lines, note.sums) == ((), ())
    assert [(one.opening_cents, one.posted_cents, one.closing_cents) for one in note.balances] == [
        (6_600, 0, 6_600)
    ]


def test_the_lines_come_in_pages_that_leave_none_out_and_name_none_twice(desk: SettlingDesk) -> None:
    for number in range(5):
        desk.row("invoices", an_invoice(f"i{number}", at=desk.now, amount_cents=1_000))
    desk.settle_all()
    whole = note_of(desk).lines
    assert len(whole) == 10
    read, after = [], None
    while True:
        page = note_of(desk, limit=3, after=after)
        assert page.sums == note_of(desk).sums
        read += page.lines
        after = page.next
        if after is None:
            break
    assert tuple(read) == whole
    with whole_note(desk.scope, "m1", JUNE) as (_, lines):
        assert tuple(lines) == whole
    for wrong in ("", "1", "x.1.set", "1.1.", "1.1.\x00"):
        with pytest.raises(PlaceInvalid):
            note_of(desk, after=wrong)


def test_nobody_has_notes_who_is_no_merchant(desk: SettlingDesk) -> None:
    with pytest.raises(UnknownMerchant):
        settlement_note(desk.scope, "m2", JUNE, limit=1)


@pytest.mark.parametrize(
    "text",
    ["", "2026", "2026-00", "2026-13", "2026-1", "1999-12", "2026-11-01", "\uff12\uff10\uff12\uff16-11"],
)
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(PeriodInvalid, match="must be a month"):
        Period.parse(text)


@given(st.integers(2000, 2998), st.integers(1, 12))
def test_a_month_ends_where_the_next_begins(year: int, month: int) -> None:
    from zoneinfo import ZoneInfo

    period, zone = Period(year=year, month=month), ZoneInfo("Europe/Berlin")
    ends_at_ms = period.next.starts_at_ms(zone)
    assert Period.at(ends_at_ms - 1, zone) == period
    assert Period.at(ends_at_ms, zone) == period.next
    assert Period.parse(period.text) == period < period.next
    assert period.text < period.next.text


def read_csv(desk: SettlingDesk, period: Period = JUNE) -> tuple[str, list[Row]]:
    with whole_note(desk.scope, "m1", period) as (note, lines):
        text = "".join(csv_text(note, lines))
    return text, list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_file_adds_up_from_the_opening_to_the_closing_balance(desk: SettlingDesk) -> None:
    two_months(desk)
    text, rows = read_csv(desk, JULY)
    assert text.splitlines(keepends=True)[0] == ",".join(COLUMNS) + "\r\n"
    assert all(line.endswith("\r\n") for line in text.splitlines(keepends=True))
    assert [(row["text"], row["amount"], row["amount_cents"], row["currency"]) for row in rows] == [
        ("opening balance", "96.00", "9600", "EUR"),
        ("return", "-30.00", "-3000", "EUR"),
        ("closing balance", "66.00", "6600", "EUR"),
    ]
    assert (rows[1]["order_id"], rows[1]["invoice_id"], rows[1]["is_reversal"]) == ("o1", "i1", "no")


ATTACKS = (
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\u00a0=1",
    "\ufeff=1",
    "\uff1d1",
    "|calc",
    "%0A=1",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_cell_of_the_file_is_a_formula(attack: str) -> None:
    cell = plain_cell(attack)
    assert cell == f"'{attack}"
    assert plain_cell("order-1") == "order-1"
    # Quotes, commas and line ends stay within the cell.
    written = f'{attack},"'
    note = a_note(merchant_id=written)
    [header, row] = list(csv.reader(io.StringIO("".join(csv_text(note, [])), newline="")))[:2]
    assert dict(zip(header, row, strict=True))["merchant_id"] == f"'{written}"


def a_note(**changes: Any) -> SettlementNote:
    from serving.requests.answer_fields import Instant
    from serving.settlement.note_answers import NoteBalance

    balance = NoteBalance(currency="JPY", opening_cents=-5, posted_cents=0, closing_cents=-5)
    return SettlementNote(
        **{
            "merchant_id": "m1",
            "period": "2026-06",
            "time_zone": "UTC",
            "starts_at": Instant(0),
            "ends_at": Instant(1),
            "is_closed": True,
            "balances": (balance,),
            "sums": (),
            "lines": (),
            "next": None,
            **changes,
        }
    )


def test_an_amount_has_the_decimals_of_its_currency_and_stays_a_number() -> None:
    assert ",JPY,-5,-5\r\n" in "".join(csv_text(a_note(), []))


def test_the_name_of_the_file_holds_only_harmless_signs() -> None:
    name = file_name(a_note(merchant_id='../..\r\n"; x='))
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert not name.startswith(".")


NUMBERS = count(100)
REASONS = st.sampled_from(("return", "goodwill", "chargeback", "dispute", "fraud"))


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A row of an order's life. after_ms: after the order. columns: but those that every row of it has."""

    contract: str
    build: Callable[..., Row]
    after_ms: int
    columns: Row


@st.composite
def lives(draw: st.DrawFn) -> list[Planned]:
    """Invoices, corrections, credit notes and payments of one order, in the order of arrival."""
    rows: list[Planned] = []

    def add(contract: str, build: Callable[..., Row], after_ms: int, **columns: Any) -> None:
        rows.append(Planned(contract=contract, build=build, after_ms=after_ms, columns=columns))

    for place in range(draw(st.integers(1, 3))):
        invoice, at = f"i{place}", (place + 1) * HOUR
        cents = draw(st.integers(1, 3_000))
        add("invoices", an_invoice, at, invoice_id=invoice, amount_cents=cents, event_id=f"{invoice}-first")
        if draw(st.booleans()):
            cents = draw(st.integers(1, 3_000))
            named = {"corrects": f"{invoice}-first", "event_id": f"{invoice}-better"}
            add("invoices", an_invoice, at, invoice_id=invoice, amount_cents=cents, **named)
        if draw(st.booleans()):
            paid = {"amount_cents": cents, "event_id": f"{invoice}-paid"}
            add("invoice_payments", a_payment, at + 1, invoice_id=invoice, **paid)
        left = cents
        for note in range(draw(st.integers(0, 2))):
            credited = draw(st.integers(0, left))
            left -= credited
            if credited:
                named = {"reason": draw(REASONS), "event_id": f"{invoice}-note-{note}"}
                add(
                    "invoice_adjustments",
                    an_adjustment,
                    at + 2,
                    invoice_id=invoice,
                    amount_cents=credited,
                    **named,
                )
    return draw(st.permutations(rows))


def row_of(planned: Planned, number: str, ordered_at: int) -> Row:
    """The row with the ids of its order's number."""
    columns = dict(planned.columns)
    for name in ("invoice_id", "event_id", "corrects"):
        if name in columns:
            columns[name] = f"{columns[name]}-{number}"
    if planned.contract == "invoices":
        columns["order_id"] = f"o{number}"
    return planned.build(customer_id=f"c{number}", at=ordered_at + planned.after_ms, **columns)


def demanded_cents(rows: dict[str, list[Row]]) -> Counter[str]:
    """What the merchant is to receive by each text, told slowly and in other words than the product's."""
    corrected = {row.get("corrects") for kept in rows.values() for row in kept}
    sums: Counter[str] = Counter()
    for invoice in rows["invoices"]:
        if invoice["event_id"] in corrected:
            continue
        cents = invoice["amount_cents"]
        sums["payout"] += cents
        sums["fee"] -= min(cents, max(35, (cents * 40 + 500) // 1000))
        own = decided = 0
        for note in rows["invoice_adjustments"]:
            if note["invoice_id"] == invoice["invoice_id"]:
                if note["reason"] in {"return", "goodwill"}:
                    own += note["amount_cents"]
                else:
                    decided += note["amount_cents"]
        own = min(own, cents)
        sums["return"] -= own
        sums["chargeback"] -= min(decided, cents - own)
    return sums


def sent(desk: SettlingDesk, contract: str, row: Row) -> AppendStatus:
    """A row as an intake takes it in, which may let it wait or refuse it."""
    kept = {name: value for name, value in row.items() if name != "recorded_at" and value is not None}
    with desk.store.writing(kept["customer_id"]) as tx:
        return append(tx, CONTRACTS[contract], kept, desk.now).status


@settings(
    max_examples=25,
    deadline=None,
    # Every example has an order and a customer of its own, so the store may be shared.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(life=lives(), hours=st.lists(st.integers(12, 400), min_size=16, max_size=16))
def test_in_whatever_order_rows_arrive_what_stands_is_what_is_demanded_and_no_cent_is_lost(
    desk: SettlingDesk, life: list[Planned], hours: list[int]
) -> None:
    number = str(next(NUMBERS))
    ordered_at = desk.now
    desk.order(number, amount_cents=10_000_000, vat_cents=0)
    statuses = Counter[AppendStatus]()
    for planned, waited in zip(life, hours, strict=False):
        desk.now += waited * HOUR
        statuses[sent(desk, planned.contract, row_of(planned, number, ordered_at))] += 1
        desk.settle_all()
        posted = desk.posted(f"o{number}")
        assert unbalanced(posted) == {}
        with desk.store.reading() as tx:
            expected = demanded_cents(settlement_rows(tx, f"c{number}"))
        standing = Counter[str]()
        for posting in posted:
            if posting.account is Account.MERCHANT_PAYABLE:
                standing[posting.text.value] -= posting.amount_cents
        assert without_nothing(standing) == without_nothing(expected)
    # Rows that were sent early have waited for what they are about; a few contradict what came before.
    assert statuses[AppendStatus.ACCEPTED]
    assert posted
    assert_notes_are_whole(desk)


def without_nothing(sums: Counter[str]) -> dict[str, int]:
    return {text: cents for text, cents in sums.items() if cents}


def unbalanced(posted: list[Any]) -> dict[tuple[str, int], int]:
    """Settlements, line by line, whose sides do not sum to zero."""
    sums: Counter[tuple[str, int]] = Counter()
    for posting in posted:
        sums[posting.settlement_id, posting.line] += posting.amount_cents
    return {key: cents for key, cents in sums.items() if cents}


def assert_notes_are_whole(desk: SettlingDesk) -> None:
    """All notes together are all postings to the merchant, and each opens as the one before closed."""
    with desk.store.reading() as tx:
        ((owed,),) = tx.execute(
            "SELECT COALESCE(-sum(amount_cents), 0) FROM settlement_postings WHERE account = ?",
            (Account.MERCHANT_PAYABLE.value,),
        )
        ((lines,),) = tx.execute(
            "SELECT count(*) FROM settlement_postings WHERE account = ?", (Account.MERCHANT_PAYABLE.value,)
        )
        ((last,),) = tx.execute("SELECT COALESCE(max(period), '2026-06') FROM settlement_postings")
    period, closing, posted, counted = JUNE, 0, 0, 0
    while period.text <= last:
        note = settlement_note(desk.scope, "m1", period, limit=1)
        for balance in note.balances:
            assert balance.opening_cents == closing
            closing = balance.closing_cents
            posted += balance.posted_cents
        counted += sum(one.line_count for one in note.sums)
        period = period.next
    assert (posted, counted) == (int(owed), int(lines))
