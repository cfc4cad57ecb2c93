"""The fast check of one ledger row, as the API and the loader need it: no tables, no libraries.

A column has at most one violation: the first of its rules that fails, in the order in which `Rule`
lists them. A row rule looks only at columns that have none. The batch check of
`data_contracts.validation.great_expectations_suite` judges by the same rules.
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
    NotBeforeDate,
    Passed,
    PassedDate,
    RequiredWhen,
    RowRule,
    WithinCountry,
    portable_pattern,
)
from data_contracts.instants import (
    DAY_MS,
    EARLIEST_DATE,
    EARLIEST_TIMESTAMP_MS,
    EPOCH,
    LATEST_DATE,
    LATEST_TIMESTAMP_MS,
    timestamp_ms,
)
from data_contracts.rules import RowRuleParts, Rule, Violation, row_rule_parts, violation
from data_contracts.sent_instants import may_lie_ahead_by_ms, may_stand_for_up_to_ms


class TimestampForm(enum.Enum):
    """How the timestamps of a row are written."""

    RFC3339 = "rfc3339"
    """Strings with an offset, as at the HTTP edge; finer than a millisecond is truncated."""
    MILLISECONDS = "milliseconds"
    """Whole milliseconds since 1970 UTC: ledger row form."""


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


INT64_MINIMUM = -(2**63)
INT64_MAXIMUM = 2**63 - 1

CONTROL_CHARACTER_CLASS = "[\x00-\x1f\x7f-\x9f\u2028\u2029]"
"""C0 and C1 controls and the two Unicode line separators, as literal characters: every engine reads it."""
CONTROL_BUT_NO_BLANK_CLASS = "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]"
"""The same without those that are blanks: tabs, line breaks and page breaks."""

DATE_PATTERN = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"

_matches_date = re.compile(DATE_PATTERN).fullmatch


def control_character_class(column: Column) -> str:
    """The characters that a text may not contain."""
    return CONTROL_BUT_NO_BLANK_CLASS if column.free_blanks else CONTROL_CHARACTER_CLASS


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

    has_control_character = re.compile(control_character_class(column)).search

    def check_text(value: object) -> object:
        if type(value) is not str or not (value.isascii() or is_text(value)):
            return Rule.TYPE
        if not value:
            return Rule.EMPTY
        if len(value) > max_length:
            return Rule.TOO_LONG
        if not value.isprintable() and has_control_character(value) is not None:
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
        case PassedDate(column=column, by=by):

            def has_not_begun(row: Mapping[str, object], _clock_tolerance_ms: int) -> bool:
                date, instant = row.get(column), row.get(by)
                return type(date) is str and type(instant) is int and date > latest_date(instant)

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
        case NotBeforeDate(later=later, earlier=earlier):

            def is_an_earlier_date(row: Mapping[str, object], _clock_tolerance_ms: int) -> bool:
                high, low = row.get(later), row.get(earlier)
                # Dates are written so that their order is that of their texts.
                return type(high) is str and type(low) is str and high < low

            return is_an_earlier_date
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
        case WithinCountry(column=column, country=country):

            def lies_elsewhere(row: Mapping[str, object], _clock_tolerance_ms: int) -> bool:
                part, whole = row.get(column), row.get(country)
                return type(part) is str and type(whole) is str and part.partition("-")[0] != whole

            return lies_elsewhere
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
