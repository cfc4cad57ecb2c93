"""The fast check of one ledger row, as the API and the loader need it: no tables, no libraries.

A column has at most one violation: the first of its rules that fails, in the order in which `Rule`
lists them. A row rule looks only at columns that have none. The batch check of
`data_contracts.great_expectations_suite` judges by the same rules.
"""

import datetime as dt
import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, assert_never

from data_contracts.contract import (
    DEFAULT_CLOCK_TOLERANCE_MS,
    FARTHEST_ZONE_AHEAD_MS,
    After,
    Column,
    ColumnType,
    Contract,
    NotAbove,
    NotBefore,
    Passed,
    PassedDate,
    RequiredWhen,
    RowRule,
)
from data_contracts.instants import DAY_MS, EPOCH, timestamp_ms
from data_contracts.sent_instants import may_lie_ahead_by_ms, may_stand_for_up_to_ms


class Rule(enum.Enum):
    """The closed list of rules that a row can break."""

    NOT_AN_OBJECT = "not_an_object"
    UNKNOWN_COLUMN = "unknown_column"
    MISSING = "missing"
    TYPE = "type"
    FORMAT = "format"
    """A date or timestamp that is malformed, impossible or without an offset."""
    ALLOWED = "allowed"
    EMPTY = "empty"
    TOO_LONG = "too_long"
    CONTROL_CHARACTERS = "control_characters"
    PATTERN = "pattern"
    RANGE = "range"
    IN_FUTURE = "in_future"
    """An instant or a date that has not passed when the row is recorded."""
    NOT_BEFORE = "not_before"
    AFTER = "after"
    NOT_ABOVE = "not_above"
    REQUIRED_WHEN = "required_when"
    EVENT_ID_REUSED = "event_id_reused"
    KEY_REUSED = "key_reused"
    UNKNOWN_REFERENCE = "unknown_reference"
    REFERENCE_QUARANTINED = "reference_quarantined"
    CUSTOMER_DIFFERS = "customer_differs"
    INVOICE_DIFFERS = "invoice_differs"
    CURRENCY_DIFFERS = "currency_differs"
    BEFORE_REFERENCE = "before_reference"
    CORRECTS_ITSELF = "corrects_itself"
    CORRECTS_OTHER_KEY = "corrects_other_key"
    CORRECTED_TWICE = "corrected_twice"
    BANK_REFERENCE_REUSED = "bank_reference_reused"
    MERCHANT_ORDER_NUMBER_REUSED = "merchant_order_number_reused"
    ABOVE_ORDER = "above_order"
    SUM_ABOVE_ORDER = "sum_above_order"
    ORDER_BELOW_INVOICED = "order_below_invoiced"
    CREDITED_ABOVE_INVOICE = "credited_above_invoice"
    INVOICE_BELOW_CREDITED = "invoice_below_credited"
    REFUNDED_ABOVE_PAID = "refunded_above_paid"
    NOT_INVOICED = "not_invoiced"
    NOT_DISPUTED = "not_disputed"
    UNDECIDABLE = "undecidable"
    RECORDED_IN_FUTURE = "recorded_in_future"


class TimestampForm(enum.Enum):
    """How the timestamps of a row are written."""

    RFC3339 = "rfc3339"
    """Strings with an offset, as at the HTTP edge; finer than a millisecond is truncated."""
    MILLISECONDS = "milliseconds"
    """Whole milliseconds since 1970 UTC: ledger row form."""


class Violation(NamedTuple):
    """One rule that one row breaks.

    column: "" when the row as a whole is wrong.
    value_repr: the value as JSON-like text, cut to 200 characters; may be personal data.
    message: says what is wrong without quoting the value, so it may be logged.
    """

    contract: str
    column: str
    rule: Rule
    value_repr: str
    message: str


class CheckedRow(NamedTuple):
    """The accepted row in ledger row form, or None and its violations.

    violations: all, but for unknown columns beyond the first UNKNOWN_COLUMNS_LISTED.
    unlisted_count: how many unknown columns are not among them.
    """

    row: dict[str, object] | None
    violations: tuple[Violation, ...]
    unlisted_count: int = 0


UNKNOWN_COLUMNS_LISTED = 20
"""A sender can invent columns by the hundred thousand, and the last of them says no more than the first."""


LISTED_VALUES_MAXIMUM = 30
"""A message lists so many allowed values; `bonitas data contracts` has them all."""

EARLIEST_DATE = dt.date(1900, 1, 1)
LATEST_DATE = dt.date(9999, 12, 31)
EARLIEST_TIMESTAMP_MS = (EARLIEST_DATE - EPOCH.date()).days * DAY_MS
LATEST_TIMESTAMP_MS = ((LATEST_DATE - EPOCH.date()).days + 1) * DAY_MS - 1
"""Dates and timestamps lie in the years 1900 to 9999; beyond them, a date is a mistake."""

INT64_MINIMUM = -(2**63)
INT64_MAXIMUM = 2**63 - 1

CONTROL_CHARACTER_CLASS = "[\x00-\x1f\x7f-\x9f\u2028\u2029]"
"""C0 and C1 controls and the two Unicode line separators, as literal characters: every engine reads it."""

DATE_PATTERN = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"

_SPACE_CLASS = "\x00- \x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_has_control_character = re.compile(CONTROL_CHARACTER_CLASS).search
_matches_date = re.compile(DATE_PATTERN).fullmatch


def portable_pattern(pattern: str) -> str:
    r"""A contract's pattern in a form that Python, RE2 and ECMAScript read alike.

    `\s`, which must stand inside a character class, becomes the literal white space and control
    characters of Unicode, because the engines disagree about it; a group captures nothing.

    >>> portable_pattern("(a|b)[A-Z]{2}")
    '(?:a|b)[A-Z]{2}'
    """
    return re.sub(r"(?<!\\)\((?!\?)", "(?:", pattern).replace(r"\s", _SPACE_CLASS)


def is_text(value: object) -> bool:
    r"""Whether the value is a string of Unicode characters; a lone surrogate is none.

    >>> is_text("Zoë"), is_text("\ud800"), is_text(3)
    (True, False, False)
    """
    if type(value) is not str:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_int64(value: object) -> bool:
    """Whether the value is an integer of 64 bits; a bool is none.

    >>> is_int64(3), is_int64(True), is_int64(3.0), is_int64(2**63)
    (True, False, False, False)
    """
    return type(value) is int and INT64_MINIMUM <= value <= INT64_MAXIMUM


_ColumnCheck = Callable[[object], object]
"""Gives the value in ledger row form, or the Rule that it breaks."""


def _string_check(column: Column) -> _ColumnCheck:
    max_length = column.max_length

    if column.allowed is not None:
        # The values stand for themselves: an interned copy in the row costs no memory.
        allowed = {value: value for value in column.allowed}

        def check_allowed(value: object) -> object:
            if type(value) is not str:
                return Rule.TYPE
            found = allowed.get(value)
            if found is None:
                return Rule.ALLOWED if is_text(value) else Rule.TYPE
            return found

        return check_allowed

    if column.pattern is not None:
        matches = re.compile(portable_pattern(column.pattern)).fullmatch

        def check_pattern(value: object) -> object:
            if type(value) is not str or not (value.isascii() or is_text(value)):
                return Rule.TYPE
            if not value:
                return Rule.EMPTY
            if len(value) > max_length:
                return Rule.TOO_LONG
            if matches(value) is None:
                return Rule.PATTERN
            return value

        return check_pattern

    def check_text(value: object) -> object:
        if type(value) is not str or not (value.isascii() or is_text(value)):
            return Rule.TYPE
        if not value:
            return Rule.EMPTY
        if len(value) > max_length:
            return Rule.TOO_LONG
        if not value.isprintable() and _has_control_character(value) is not None:
            return Rule.CONTROL_CHARACTERS
        return value

    return check_text


def _int64_check(column: Column) -> _ColumnCheck:
    minimum = INT64_MINIMUM if column.minimum is None else column.minimum
    maximum = INT64_MAXIMUM if column.maximum is None else column.maximum

    def check(value: object) -> object:
        if type(value) is not int:
            return Rule.TYPE
        if minimum <= value <= maximum:
            return value
        return Rule.RANGE if is_int64(value) else Rule.TYPE

    return check


def _check_bool(value: object) -> object:
    return value if value is True or value is False else Rule.TYPE


def _check_timestamp_ms(value: object) -> object:
    if type(value) is not int:
        return Rule.TYPE
    if EARLIEST_TIMESTAMP_MS <= value <= LATEST_TIMESTAMP_MS:
        return value
    return Rule.RANGE if is_int64(value) else Rule.TYPE


def _check_timestamp_rfc3339(value: object) -> object:
    if type(value) is not str:
        return Rule.TYPE
    milliseconds = timestamp_ms(value)
    if milliseconds is None:
        return Rule.FORMAT if is_text(value) else Rule.TYPE
    if EARLIEST_TIMESTAMP_MS <= milliseconds <= LATEST_TIMESTAMP_MS:
        return milliseconds
    return Rule.RANGE


def _check_date(value: object) -> object:
    if type(value) is not str:
        return Rule.TYPE
    if _matches_date(value) is None:
        return Rule.FORMAT if is_text(value) else Rule.TYPE
    try:
        date = dt.date.fromisoformat(value)
    except ValueError:
        return Rule.FORMAT
    return value if date >= EARLIEST_DATE else Rule.RANGE


def _column_check(column: Column, timestamps: TimestampForm) -> _ColumnCheck:
    match column.type:
        case ColumnType.STRING:
            return _string_check(column)
        case ColumnType.INT64:
            return _int64_check(column)
        case ColumnType.BOOL:
            return _check_bool
        case ColumnType.TIMESTAMP:
            return _check_timestamp_rfc3339 if timestamps is TimestampForm.RFC3339 else _check_timestamp_ms
        case ColumnType.DATE:
            return _check_date
        case _:
            assert_never(column.type)


class RowRuleParts(NamedTuple):
    """A row rule taken apart: a violation of `rule` is laid at the door of `column`."""

    rule: Rule
    column: str
    other_column: str


def row_rule_parts(row_rule: RowRule) -> RowRuleParts:
    """Which `Rule` a row rule stands for, the column it blames and the other one it reads."""
    match row_rule:
        case Passed(column=column) | PassedDate(column=column):
            return RowRuleParts(Rule.IN_FUTURE, column, "recorded_at")
        case NotBefore(later=later, earlier=earlier):
            return RowRuleParts(Rule.NOT_BEFORE, later, earlier)
        case After(later=later, earlier=earlier):
            return RowRuleParts(Rule.AFTER, later, earlier)
        case NotAbove(smaller=smaller, larger=larger):
            return RowRuleParts(Rule.NOT_ABOVE, smaller, larger)
        case RequiredWhen(column=column, when_column=when_column):
            return RowRuleParts(Rule.REQUIRED_WHEN, column, when_column)
        case _:
            assert_never(row_rule)


def latest_date(recorded_at_ms: int) -> str:
    """The last date that has begun anywhere when a row is recorded, as YYYY-MM-DD.

    >>> latest_date(1767225600000 - 1), latest_date(1767225600000 - 14 * 3_600_000 - 1)
    ('2026-01-01', '2025-12-31')
    """
    days = (recorded_at_ms + FARTHEST_ZONE_AHEAD_MS) // DAY_MS
    return dt.date.fromordinal(min(EPOCH.toordinal() + days, LATEST_DATE.toordinal())).isoformat()


_BrokenRowRule = Callable[[Mapping[str, object], int], bool]
"""Takes the row and the tolerance between clocks in milliseconds."""


def _is_broken(row_rule: RowRule) -> _BrokenRowRule:
    match row_rule:
        case Passed(column=column):

            def has_not_passed(row: Mapping[str, object], clock_tolerance_ms: int) -> bool:
                instant, recorded_at = row.get(column), row.get("recorded_at")
                return (
                    type(instant) is int
                    and type(recorded_at) is int
                    and instant - clock_tolerance_ms > recorded_at
                    and instant - clock_tolerance_ms - may_lie_ahead_by_ms(instant) > recorded_at
                )

            return has_not_passed
        case PassedDate(column=column):

            def has_not_begun(row: Mapping[str, object], _clock_tolerance_ms: int) -> bool:
                date, recorded_at = row.get(column), row.get("recorded_at")
                return type(date) is str and type(recorded_at) is int and date > latest_date(recorded_at)

            return has_not_begun
        case NotBefore(later=later, earlier=earlier):

            def must_lie_before(row: Mapping[str, object], clock_tolerance_ms: int) -> bool:
                high, low = row.get(later), row.get(earlier)
                return (
                    type(high) is int
                    and type(low) is int
                    and high < low
                    and high + may_stand_for_up_to_ms(high) + clock_tolerance_ms < low
                )

            return must_lie_before
        case NotAbove(smaller=less, larger=greater):

            def falls_below(row: Mapping[str, object], _clock_tolerance_ms: int) -> bool:
                high, low = row.get(greater), row.get(less)
                return type(high) is int and type(low) is int and high < low

            return falls_below
        case After(later=later, earlier=earlier):

            def does_not_follow(row: Mapping[str, object], _clock_tolerance_ms: int) -> bool:
                high, low = row.get(later), row.get(earlier)
                return type(high) is int and type(low) is int and high <= low

            return does_not_follow
        case RequiredWhen(column=column, when_column=when_column, equals=equals):

            def is_absent(row: Mapping[str, object], _clock_tolerance_ms: int) -> bool:
                return row.get(when_column) == equals and column not in row

            return is_absent
        case _:
            assert_never(row_rule)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    contract: Contract
    names: frozenset[str]
    columns: tuple[tuple[str, bool, _ColumnCheck], ...]
    row_rules: tuple[tuple[_BrokenRowRule, RowRuleParts], ...]


def _compiled(contract: Contract, timestamps: TimestampForm, *, stamped: bool) -> _Plan:
    columns = [column for column in contract.columns if not (stamped and column.name == "recorded_at")]
    return _Plan(
        contract=contract,
        names=frozenset(column.name for column in columns),
        columns=tuple(
            (column.name, column.nullable, _column_check(column, timestamps)) for column in columns
        ),
        row_rules=tuple((_is_broken(row_rule), row_rule_parts(row_rule)) for row_rule in contract.row_rules),
    )


# Keyed by identity, because hashing a contract walks all of its columns; each plan holds its
# contract, so an id is never reused.
_plans: dict[tuple[int, TimestampForm, bool], _Plan] = {}


def check_row(
    contract: Contract,
    row: object,
    *,
    timestamps: TimestampForm = TimestampForm.RFC3339,
    recorded_at_ms: int | None = None,
    clock_tolerance_ms: int = DEFAULT_CLOCK_TOLERANCE_MS,
) -> CheckedRow:
    """Judge one untrusted row and give it back in ledger row form, or everything that is wrong with it.

    row: a decoded JSON object; null and absent mean the same, but an unknown name is refused either way.
    recorded_at_ms: the server's stamp; the row must then not carry `recorded_at` itself. None: the row
        brings its own.
    clock_tolerance_ms: how far the sender's clock may be ahead of `recorded_at`.
    The accepted row leaves nulls out; its columns stand in the contract's order, a stamp last.
    Of unknown columns the first few are listed, so that the work is bounded by the contract.
    """
    stamped = recorded_at_ms is not None
    plan = _plans.get((id(contract), timestamps, stamped))
    if plan is None:
        plan = _compiled(contract, timestamps, stamped=stamped)
        _plans[(id(contract), timestamps, stamped)] = plan
    if type(row) is not dict:
        return CheckedRow(None, (violation(contract, "", Rule.NOT_AN_OBJECT, row),))
    accepted: dict[str, object] = {}
    broken: list[tuple[str, Rule]] | None = None
    get = row.get
    for name, nullable, check in plan.columns:
        value = get(name)
        if value is None:
            if not nullable:
                broken = [] if broken is None else broken
                broken.append((name, Rule.MISSING))
            continue
        result = check(value)
        if result.__class__ is Rule:
            broken = [] if broken is None else broken
            broken.append((name, result))
        else:
            accepted[name] = result
    if stamped:
        accepted["recorded_at"] = recorded_at_ms
    unlisted_count = 0
    if not row.keys() <= plan.names:
        broken = [] if broken is None else broken
        unknown = [name for name in row if name not in plan.names]
        unlisted_count = max(len(unknown) - UNKNOWN_COLUMNS_LISTED, 0)
        broken.extend((name, Rule.UNKNOWN_COLUMN) for name in unknown[:UNKNOWN_COLUMNS_LISTED])
    for is_broken, parts in plan.row_rules:
        # A value that breaks a rule of its own is missing in `accepted`, but it is not absent.
        if is_broken(accepted, clock_tolerance_ms) and (
            broken is None or all(name != parts.column for name, _ in broken)
        ):
            broken = [] if broken is None else broken
            broken.append((parts.column, parts.rule))
    if broken is None:
        return CheckedRow(accepted, ())
    return CheckedRow(
        None,
        tuple(
            violation(
                contract, name, rule, accepted.get(name) if name == "recorded_at" and stamped else get(name)
            )
            for name, rule in broken
        ),
        unlisted_count,
    )


def check_ledger_row(
    contract: Contract, row: object, *, clock_tolerance_ms: int = DEFAULT_CLOCK_TOLERANCE_MS
) -> CheckedRow:
    """Judge one row that is in ledger row form already, as the loader reads it."""
    return check_row(
        contract, row, timestamps=TimestampForm.MILLISECONDS, clock_tolerance_ms=clock_tolerance_ms
    )


def violation(contract: Contract, column: str, rule: Rule, value: object) -> Violation:
    """The violation of `rule` by the value of `column`, with its message."""
    return Violation(contract.name, column, rule, value_repr(value), message(contract, column, rule))


def value_repr(value: object) -> str:
    """A value as text for a quarantine file, cut to 200 characters."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= 200 else text[:199] + "…"


def message(contract: Contract, column: str, rule: Rule) -> str:  # noqa: PLR0912, PLR0915 one arm per rule
    """What is wrong, in one sentence without the value."""
    declared = next((known for known in contract.columns if known.name == column), None)
    parts = next(
        (p for p in map(row_rule_parts, contract.row_rules) if p.rule is rule and p.column == column), None
    )
    other = parts.other_column if parts is not None else ""
    match rule:
        case Rule.NOT_AN_OBJECT:
            return "a row is a JSON object"
        case Rule.UNKNOWN_COLUMN:
            return f"{contract.name} has no such column, or it is not the sender's to set"
        case Rule.MISSING:
            return f"{column} is required"
        case Rule.TYPE:
            kind = "" if declared is None else declared.type.value
            return f"{column} must be a value of type {kind}"
        case Rule.FORMAT:
            if declared is not None and declared.type is ColumnType.DATE:
                return f"{column} must be a date that exists, as YYYY-MM-DD"
            return f"{column} must be a moment that exists, in RFC 3339 with its offset from UTC"
        case Rule.ALLOWED:
            allowed = () if declared is None or declared.allowed is None else tuple(declared.allowed)
            if len(allowed) > LISTED_VALUES_MAXIMUM:
                return f"{column} must be one of {len(allowed)} codes, {allowed[0]} to {allowed[-1]}"
            return f"{column} must be one of {', '.join(allowed)}"
        case Rule.EMPTY:
            return f"{column} must not be empty; leave it out where there is no value"
        case Rule.TOO_LONG:
            length = 0 if declared is None else declared.max_length
            return f"{column} must have at most {length} characters"
        case Rule.CONTROL_CHARACTERS:
            return f"{column} must not contain control characters or line breaks"
        case Rule.PATTERN:
            if declared is not None and declared.pattern_in_words is not None:
                return f"{column} must be {declared.pattern_in_words}"
            pattern = "" if declared is None else declared.pattern
            return f"{column} must match {pattern}"
        case Rule.RANGE:
            if declared is None or declared.type is not ColumnType.INT64:
                return f"{column} must lie in the years 1900 to 9999"
            return f"{column} must lie between {declared.minimum} and {declared.maximum}"
        case Rule.IN_FUTURE:
            return f"{column} must not lie in the future, after the moment of recording"
        case Rule.NOT_BEFORE:
            return f"{column} must not lie before {other}"
        case Rule.AFTER:
            return f"{column} must lie after {other}"
        case Rule.NOT_ABOVE:
            return f"{column} must not exceed {other}"
        case Rule.REQUIRED_WHEN:
            return f"{column} is required for this {other}"
        case Rule.EVENT_ID_REUSED:
            return "another row with other content has this event_id"
        case Rule.KEY_REUSED:
            return f"an earlier row has this {column}, and this row does not correct it"
        case Rule.UNKNOWN_REFERENCE:
            return f"{column} names a row that the ledger does not hold"
        case Rule.REFERENCE_QUARANTINED:
            return f"{column} names a row that is in quarantine"
        case Rule.CUSTOMER_DIFFERS:
            return "the row that this one refers to belongs to another customer"
        case Rule.INVOICE_DIFFERS:
            return "the earlier states of this pause are about another invoice"
        case Rule.CURRENCY_DIFFERS:
            return "the row that this one refers to has another currency"
        case Rule.BEFORE_REFERENCE:
            return f"{column} lies before the row that this one refers to"
        case Rule.CORRECTS_ITSELF:
            return "a row must not correct itself, nor rows correct each other in a circle"
        case Rule.CORRECTS_OTHER_KEY:
            return "a correction keeps the key and the customer of the row that it corrects"
        case Rule.CORRECTED_TWICE:
            return "the row is corrected already; a further correction must name the newest row"
        case Rule.BANK_REFERENCE_REUSED:
            return "another payment that stands has this bank reference, with other content"
        case Rule.MERCHANT_ORDER_NUMBER_REUSED:
            return "another order of the merchant that stands has this number"
        case Rule.ABOVE_ORDER:
            return "the invoice is above its order's amount"
        case Rule.SUM_ABOVE_ORDER:
            return "the order's invoices, credit notes taken off, would come to more than the order's amount"
        case Rule.ORDER_BELOW_INVOICED:
            return "the order's invoices, credit notes taken off, come to more than the corrected amount"
        case Rule.CREDITED_ABOVE_INVOICE:
            return "the invoice's credit notes would come to more than the invoice"
        case Rule.INVOICE_BELOW_CREDITED:
            return "the invoice's credit notes come to more than the corrected amount"
        case Rule.REFUNDED_ABOVE_PAID:
            return "the invoice's returned debits, or its other refunds, would come to more than its payments"
        case Rule.NOT_INVOICED:
            return "a dispute is decided about an order without an invoice"
        case Rule.NOT_DISPUTED:
            return "a dispute is decided about an order whose invoices nobody disputed"
        case Rule.UNDECIDABLE:
            return "another row of the same thing has both instants of this one and says something else"
        case Rule.RECORDED_IN_FUTURE:
            return "recorded_at lies in the future"
        case _:
            assert_never(rule)
