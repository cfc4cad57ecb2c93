"""The batch check of ledger rows: a Great Expectations suite built from the contract.

Great Expectations takes seconds to import, so it is imported by the functions that need it.
"""

import datetime as dt
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, assert_never

from data_contracts.contract import (
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
    WithinCountry,
    portable_pattern,
)
from data_contracts.instants import (
    EARLIEST_DATE,
    EARLIEST_TIMESTAMP_MS,
    LATEST_DATE,
    LATEST_TIMESTAMP_MS,
)
from data_contracts.row_check import control_character_class
from data_contracts.rules import Rule, row_rule_parts

# Great Expectations imports Altair, Altair jsonschema, and jsonschema this one where JupyterLab brought it:
# it compiles forty grammars in two seconds, for kinds of addresses that no schema here names.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # None: cannot be imported

WRONG_KIND = "wrong kind"
MALFORMED = "malformed"

LATEST_INSTANT = "recorded_at + tolerance between clocks"
"""A column that a frame gets for the rules about what has passed: expectations compare columns, not sums."""


def latest_day_column(column: str) -> str:
    """The column that a frame gets for the last day that has begun anywhere at an instant."""
    return f"day of {column} in the zone farthest ahead"


def earliest_moment_column(column: str) -> str:
    """The column that a frame gets for the earliest moment that an instant may stand for."""
    return f"earliest moment of {column}"


def latest_moment_column(column: str) -> str:
    """The column that a frame gets for the latest moment that an instant may stand for."""
    return f"latest moment of {column} + tolerance between clocks"


def country_of_part_column(column: str) -> str:
    """The column that a frame gets for the country that a part of one names."""
    return f"country of {column}"


def value_suite(contract: Contract, unknown_columns: Sequence[str] = ()) -> Any:
    """The suite of every rule about values and rows; each expectation carries its rule in `meta`.

    unknown_columns: the columns of the batch that the contract does not declare: they must be empty.
    Types are not in it: see `kind_suite`.
    """
    import great_expectations as gx  # noqa: PLC0415 takes seconds

    expectations = [expectation for column in contract.columns for expectation in column_expectations(column)]
    expectations += unknown_column_expectations(unknown_columns)
    expectations += [rule.expectation for rule in row_rule_expectations(contract)]
    return gx.ExpectationSuite(name=f"{contract.name}.values", expectations=expectations)


def kind_suite(contract: Contract, object_columns: Iterable[str]) -> Any:
    """The suite over a frame of kinds: every value of the named columns has the declared kind."""
    import great_expectations as gx  # noqa: PLC0415 takes seconds

    expectations = [
        expectation for name in object_columns for expectation in kind_expectations(contract.column(name))
    ]
    return gx.ExpectationSuite(name=f"{contract.name}.kinds", expectations=expectations)


def _meta(column: str, rule: Rule) -> dict[str, str]:
    return {"column": column, "rule": rule.value}


def kind_expectations(column: Column) -> list[Any]:
    """That every value of a column has the declared kind."""
    import great_expectations.expectations as gxe  # noqa: PLC0415 takes seconds

    kinds = {Rule.TYPE: [column.type.value, MALFORMED]}
    if column.type is ColumnType.DATE:
        kinds[Rule.FORMAT] = [column.type.value, WRONG_KIND]
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column=column.name, value_set=value_set, meta=_meta(column.name, rule)
        )
        for rule, value_set in kinds.items()
    ]


def column_expectations(column: Column) -> list[Any]:
    """The rules of one column about its values."""
    import great_expectations.expectations as gxe  # noqa: PLC0415 takes seconds

    name = column.name
    expectations: list[Any] = []
    if not column.nullable:
        expectations.append(gxe.ExpectColumnValuesToNotBeNull(column=name, meta=_meta(name, Rule.MISSING)))
    match column.type:
        case ColumnType.STRING if column.allowed is not None:
            expectations.append(
                gxe.ExpectColumnValuesToBeInSet(
                    column=name, value_set=list(column.allowed), meta=_meta(name, Rule.ALLOWED)
                )
            )
        case ColumnType.STRING:
            expectations += [
                gxe.ExpectColumnValueLengthsToBeBetween(
                    column=name, min_value=1, meta=_meta(name, Rule.EMPTY)
                ),
                gxe.ExpectColumnValueLengthsToBeBetween(
                    column=name, max_value=column.max_length, meta=_meta(name, Rule.TOO_LONG)
                ),
                gxe.ExpectColumnValuesToNotMatchRegex(
                    column=name,
                    regex=control_character_class(column),
                    meta=_meta(name, Rule.CONTROL_CHARACTERS),
                )
                if column.pattern is None
                else gxe.ExpectColumnValuesToMatchRegex(
                    column=name,
                    regex=rf"^(?:{portable_pattern(column.pattern)})\Z",
                    meta=_meta(name, Rule.PATTERN),
                ),
            ]
        case ColumnType.INT64:
            if column.minimum is not None or column.maximum is not None:
                expectations.append(
                    gxe.ExpectColumnValuesToBeBetween(
                        column=name,
                        min_value=column.minimum,
                        max_value=column.maximum,
                        meta=_meta(name, Rule.RANGE),
                    )
                )
        case ColumnType.TIMESTAMP:
            expectations.append(
                gxe.ExpectColumnValuesToBeBetween(
                    column=name,
                    min_value=EARLIEST_TIMESTAMP_MS,
                    max_value=LATEST_TIMESTAMP_MS,
                    meta=_meta(name, Rule.RANGE),
                )
            )
        case ColumnType.DATE:
            expectations.append(
                gxe.ExpectColumnValuesToBeBetween(
                    column=name,
                    min_value=days_since_1970(EARLIEST_DATE),
                    max_value=days_since_1970(LATEST_DATE),
                    meta=_meta(name, Rule.RANGE),
                )
            )
        case ColumnType.BOOL:
            pass
        case _:
            assert_never(column.type)
    return expectations


def unknown_column_expectations(unknown_columns: Iterable[str]) -> list[Any]:
    """That columns which the contract does not declare are empty."""
    import great_expectations.expectations as gxe  # noqa: PLC0415 takes seconds

    return [
        gxe.ExpectColumnValuesToBeNull(column=name, meta=_meta(name, Rule.UNKNOWN_COLUMN))
        for name in unknown_columns
    ]


class RowExpectation(NamedTuple):
    """The expectation of a row rule.

    blamed: the column at whose door a violation is laid.
    reads: the columns that the frame needs for it.
    """

    blamed: str
    reads: tuple[str, ...]
    expectation: Any


def row_rule_expectations(contract: Contract) -> list[RowExpectation]:
    """The contract's rules about the values of one row together."""
    import great_expectations.expectations as gxe  # noqa: PLC0415 takes seconds
    from great_expectations.expectations.row_conditions import Column as ConditionColumn  # noqa: PLC0415

    def greater(larger: str, smaller: str, meta: dict[str, str], *, or_equal: bool = True) -> Any:
        return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=larger,
            column_B=smaller,
            or_equal=or_equal,
            ignore_row_if="either_value_is_missing",
            meta=meta,
        )

    expectations: list[RowExpectation] = []
    for row_rule in contract.row_rules:
        parts = row_rule_parts(row_rule)
        meta = _meta(parts.column, parts.rule)
        reads = (parts.column, parts.other_column)
        expectation: Any
        match row_rule:
            case Passed(column=column):
                reads = (earliest_moment_column(column), LATEST_INSTANT)
                expectation = greater(LATEST_INSTANT, earliest_moment_column(column), meta)
            case PassedDate(column=column, by=by):
                reads = (column, latest_day_column(by))
                expectation = greater(latest_day_column(by), column, meta)
            case NotBeforeDate(later=later, earlier=earlier):
                expectation = greater(later, earlier, meta)
            case NotBefore(later=later, earlier=earlier):
                reads = (latest_moment_column(later), earlier)
                expectation = greater(latest_moment_column(later), earlier, meta)
            case NotAbove(smaller=smaller, larger=larger):
                expectation = greater(larger, smaller, meta)
            case After(later=later, earlier=earlier):
                expectation = greater(later, earlier, meta, or_equal=False)
            case RequiredWhen(column=column, when_column=when_column, equals=equals):
                expectation = gxe.ExpectColumnValuesToNotBeNull(
                    column=column, row_condition=ConditionColumn(when_column) == equals, meta=meta
                )
            case WithinCountry(column=column, country=country):
                reads = (country_of_part_column(column), country)
                expectation = gxe.ExpectColumnPairValuesToBeEqual(
                    column_A=country_of_part_column(column),
                    column_B=country,
                    ignore_row_if="either_value_is_missing",
                    meta=meta,
                )
            case _:
                assert_never(row_rule)
        expectations.append(RowExpectation(parts.column, reads, expectation))
    return expectations


def days_since_1970(date: dt.date) -> int:
    """How a date stands in a frame: Great Expectations compares integers at once, dates one by one.

    >>> days_since_1970(dt.date(1970, 1, 2))
    1
    """
    return date.toordinal() - dt.date(1970, 1, 1).toordinal()
