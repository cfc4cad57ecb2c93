"""What is posted for orders, and the notes of merchants made of it, in SQL; a posting is never changed."""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.domain.settlement import Account, SettlementText
from serving.store.store import Row, Transaction

_COLUMNS = (
    "settlement_id, line, side, case_id, order_id, merchant_id, text, account, amount_cents, currency, "
    "posted_at_ms, invoice_id, period, is_reversal"
)


@dataclass(frozen=True, kw_only=True)
class StoredPosting:
    """One side of one line of one settlement. amount_cents: a debit is positive, a credit negative.

    case_id: of a line about a fraud, the case of its order; None for any other line, and without a case.
    invoice_id: None for the whole order. period: the month in which it was posted, such as 2026-11; None for
        what a release of before posted, until it is given one.
    """

    settlement_id: str
    line: int
    side: int
    case_id: str | None
    order_id: str
    merchant_id: str
    text: SettlementText
    account: Account
    amount_cents: int
    currency: str
    posted_at_ms: int
    invoice_id: str | None
    period: str | None
    is_reversal: bool


@dataclass(frozen=True, kw_only=True)
class LinePlace:
    """Where a line stands in the notes of its merchant: what comes after it has a greater place."""

    posted_at_ms: int
    settlement_id: str
    line: int


@dataclass(frozen=True, kw_only=True)
class PeriodSum:
    """What the lines of one text came to, in one currency. amount_cents: what the merchant receives.

    line_count: how many lines, reversals included.
    """

    text: SettlementText
    currency: str
    amount_cents: int
    line_count: int


def append_postings(tx: Transaction, postings: Sequence[StoredPosting]) -> None:
    """Write the postings of a settlement."""
    marks = ", ".join("?" * len(_COLUMNS.split(", ")))
    tx.execute_many(
        f"INSERT INTO settlement_postings ({_COLUMNS}) VALUES ({marks})",  # noqa: S608 - constants
        [
            (
                posting.settlement_id,
                posting.line,
                posting.side,
                posting.case_id,
                posting.order_id,
                posting.merchant_id,
                posting.text.value,
                posting.account.value,
                posting.amount_cents,
                posting.currency,
                posting.posted_at_ms,
                posting.invoice_id,
                posting.period,
                int(posting.is_reversal),
            )
            for posting in postings
        ],
    )


def postings_of_order(tx: Transaction, order_id: str) -> list[StoredPosting]:
    """Everything that was posted about an order, the earliest settlement first."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM settlement_postings WHERE order_id = ? "  # noqa: S608 - a constant
        "ORDER BY posted_at_ms, settlement_id, line, side",
        (order_id,),
    )
    return [_posting(row) for row in rows]


def posted_without_period(tx: Transaction, limit: int) -> list[int]:
    """When postings were posted that have no period yet: by a release of before, beside this one."""
    rows = tx.execute(
        "SELECT DISTINCT posted_at_ms FROM settlement_postings WHERE period IS NULL "
        "ORDER BY posted_at_ms LIMIT ?",
        (limit,),
    )
    return [int(row[0]) for row in rows]


def give_period(tx: Transaction, posted_at_ms: int, period: str) -> None:
    """Give what was posted at an instant its period, where it has none."""
    tx.execute(
        "UPDATE settlement_postings SET period = ? WHERE period IS NULL AND posted_at_ms = ?",
        (period, posted_at_ms),
    )


def lines_of_note(
    tx: Transaction, merchant_id: str, period: str, *, after: LinePlace | None, limit: int
) -> list[StoredPosting]:
    """The merchant's side of the lines that were posted to a merchant in a period, in the order of posting.

    after: the line before the first, None for the first page.
    """
    where, parameters = "", []
    if after is not None:
        where = (
            "AND (posted_at_ms > ? OR (posted_at_ms = ? AND "
            "(settlement_id > ? OR (settlement_id = ? AND line > ?)))) "
        )
        place = after.posted_at_ms, after.settlement_id
        parameters = [place[0], place[0], place[1], place[1], after.line]
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM settlement_postings "  # noqa: S608 - constants
        f"WHERE merchant_id = ? AND period = ? AND account = ? {where}"
        "ORDER BY posted_at_ms, settlement_id, line LIMIT ?",
        (merchant_id, period, Account.MERCHANT_PAYABLE.value, *parameters, limit),
    )
    return [_posting(row) for row in rows]


def sums_of_note(tx: Transaction, merchant_id: str, period: str) -> list[PeriodSum]:
    """What was posted to a merchant in a period, by text and currency, in the order of the note."""
    rows = tx.execute(
        "SELECT text, currency, -sum(amount_cents), count(*) FROM settlement_postings "
        "WHERE merchant_id = ? AND period = ? AND account = ? GROUP BY text, currency",
        (merchant_id, period, Account.MERCHANT_PAYABLE.value),
    )
    order = list(SettlementText)
    sums = [
        PeriodSum(
            text=SettlementText(text), currency=currency, amount_cents=int(cents), line_count=int(line_count)
        )
        for text, currency, cents, line_count in rows
    ]
    return sorted(sums, key=lambda one: (one.currency, order.index(one.text)))


def balances_before(tx: Transaction, merchant_id: str, period: str) -> dict[str, int]:
    """What all earlier notes of a merchant add up to, by currency: what it is owed, negative what it owes."""
    rows = tx.execute(
        "SELECT currency, -sum(amount_cents) FROM settlement_postings "
        "WHERE merchant_id = ? AND period < ? AND account = ? GROUP BY currency",
        (merchant_id, period, Account.MERCHANT_PAYABLE.value),
    )
    return {currency: int(cents) for currency, cents in rows}


def _posting(row: Row) -> StoredPosting:
    return StoredPosting(
        settlement_id=row[0],
        line=int(row[1]),
        side=int(row[2]),
        case_id=row[3],
        order_id=row[4],
        merchant_id=row[5],
        text=SettlementText(row[6]),
        account=Account(row[7]),
        amount_cents=int(row[8]),
        currency=row[9],
        posted_at_ms=int(row[10]),
        invoice_id=row[11],
        period=row[12],
        is_reversal=bool(row[13]),
    )
