"""A settlement note as CSV (RFC 4180), which a spreadsheet can open without running anything in it."""

import csv
import io
import re
from collections.abc import Iterable, Iterator

from starlette.responses import Response

from data_contracts.currencies import amount_figure
from data_contracts.instants import rfc3339
from serving.settlement.note_answers import NoteLine, SettlementNote

CSV_TYPE = "text/csv"
COLUMNS = (
    "merchant_id",
    "period",
    "posted_at",
    "settlement_id",
    "line",
    "text",
    "is_reversal",
    "order_id",
    "merchant_order_number",
    "invoice_id",
    "currency",
    "amount",
    "amount_cents",
)
OPENING, CLOSING = "opening balance", "closing balance"
# A spreadsheet takes what begins with one of these for a formula, some also behind blanks or as a wide sign.
_BEGINS_A_FORMULA = re.compile(r"[\s\u00a0\u200b\ufeff]*[=+\-@|%\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
_CELLS_OF_NUMBERS = frozenset({"line", "amount", "amount_cents"})
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def plain_cell(text: str) -> str:
    r"""A text that no spreadsheet takes for a formula: such a one gets an apostrophe before it.

    >>> [plain_cell(text) for text in ("order-1", "=1+1", " @SUM(A1)", "-2+3", "\t=1")]
    ['order-1', "'=1+1", "' @SUM(A1)", "'-2+3", "'\t=1"]
    """
    return f"'{text}" if _BEGINS_A_FORMULA.match(text) else text


def file_name(note: SettlementNote) -> str:
    """The name of the file, of signs that every system takes."""
    merchant = _NOT_IN_A_NAME.sub("_", note.merchant_id).strip("._-") or "merchant"
    return f"settlement-{merchant[:100]}-{note.period}.csv"


def csv_file(note: SettlementNote, lines: Iterable[NoteLine]) -> Response:
    """The whole file as an answer that a browser saves."""
    return Response(
        "".join(csv_text(note, lines)),
        media_type=f"{CSV_TYPE}; charset=utf-8; header=present",
        headers={
            "content-disposition": f'attachment; filename="{file_name(note)}"',
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
        },
    )


def csv_text(note: SettlementNote, lines: Iterable[NoteLine]) -> Iterator[str]:
    """The lines of the file, the names of the columns first; balances stand before and after the postings.

    The amounts of a currency add up from its opening balance to its closing balance.
    """
    yield _csv_line(COLUMNS)
    for balance in note.balances:
        yield _balance_line(note, OPENING, balance.currency, balance.opening_cents)
    for line in lines:
        yield _row(
            {
                "merchant_id": note.merchant_id,
                "period": note.period,
                "posted_at": rfc3339(line.posted_at),
                "settlement_id": line.settlement_id,
                "line": str(line.line),
                "text": line.text.value,
                "is_reversal": "yes" if line.is_reversal else "no",
                "order_id": line.order_id,
                "merchant_order_number": line.merchant_order_number or "",
                "invoice_id": line.invoice_id or "",
                **_amount(line.amount_cents, line.currency),
            }
        )
    for balance in note.balances:
        yield _balance_line(note, CLOSING, balance.currency, balance.closing_cents)


def _balance_line(note: SettlementNote, text: str, currency: str, cents: int) -> str:
    named = {"merchant_id": note.merchant_id, "period": note.period, "text": text}
    return _row({**named, **_amount(cents, currency)})


def _amount(cents: int, currency: str) -> dict[str, str]:
    return {
        "currency": currency,
        "amount": amount_figure(cents, currency).replace(",", ""),
        "amount_cents": str(cents),
    }


def _row(cells: dict[str, str]) -> str:
    return _csv_line(
        [
            # A number of ours may begin with a minus, and is to be a number.
            cells.get(column, "") if column in _CELLS_OF_NUMBERS else plain_cell(cells.get(column, ""))
            for column in COLUMNS
        ]
    )


def _csv_line(cells: Iterable[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow(cells)
    return written.getvalue()
