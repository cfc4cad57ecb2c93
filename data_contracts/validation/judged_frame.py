"""A frame of ledger rows, judged by its contract's Great Expectations suite.

A frame is judged in two steps. First its kinds: of every column whose values are Python objects, a
frame of the same shape says of which kind each value is, and the suite expects the declared kind.
Then its values: whatever has another kind is blanked, the column gets its proper dtype, and the suite
of value and row rules runs over it. A typed column that comes from Arrow needs only the second step.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

import numpy as np

from data_contracts.contract import (
    DEFAULT_CLOCK_TOLERANCE_MS,
    FARTHEST_ZONE_AHEAD_MS,
    Column,
    ColumnType,
    Contract,
    NotBefore,
    PassedDate,
    WithinCountry,
)
from data_contracts.instants import DAY_MS, LATEST_DATE
from data_contracts.row_check import is_int64, is_text
from data_contracts.rules import Rule
from data_contracts.sent_instants import may_lie_ahead_by_ms, may_stand_for_up_to_ms
from data_contracts.validation.great_expectations_suite import (
    LATEST_INSTANT,
    MALFORMED,
    WRONG_KIND,
    column_expectations,
    country_of_part_column,
    days_since_1970,
    earliest_moment_column,
    kind_expectations,
    latest_day_column,
    latest_moment_column,
    row_rule_expectations,
    unknown_column_expectations,
)

if TYPE_CHECKING:
    import pandas as pd

_DTYPES = {
    ColumnType.STRING: "str",
    ColumnType.INT64: "Int64",
    ColumnType.BOOL: "boolean",
    ColumnType.TIMESTAMP: "Int64",
    ColumnType.DATE: "Int64",
}


class ExpectationCouldNotRun(Exception):
    """Great Expectations raised while it evaluated an expectation; the message holds its own."""


class BrokenCell(NamedTuple):
    """One rule that one row of a batch breaks; `row` is its position in the frame, from 0."""

    row: int
    column: str
    rule: Rule


def kind_of(column: Column, value: object) -> str:
    """Of which kind a value in ledger row form is, seen from its column.

    Returns the name of the column's type where the value has it, else WRONG_KIND or MALFORMED (a
    string that is no date).
    """
    match column.type:
        case ColumnType.STRING:
            fits = is_text(value)
        case ColumnType.BOOL:
            fits = type(value) is bool
        case ColumnType.INT64 | ColumnType.TIMESTAMP:
            fits = is_int64(value)
        case ColumnType.DATE:
            if not is_text(value):
                return WRONG_KIND
            return column.type.value if _date(value) is not None else MALFORMED
        case _:
            assert_never(column.type)
    return column.type.value if fits else WRONG_KIND


def _date(value: object) -> dt.date | None:
    if type(value) is not str or len(value) != 10 or not value.isascii():
        return None
    try:
        return dt.datetime.strptime(value, "%Y-%m-%d").date()  # noqa: DTZ007 a date has no zone
    except ValueError:
        return None


def frame_of_rows(contract: Contract, rows: Sequence[Mapping[str, object]]) -> "pd.DataFrame":
    """A frame of Python objects from rows in ledger row form; absent and null are both None.

    Names that the contract does not declare come after its own columns, in order of appearance.
    """
    import pandas as pd  # noqa: PLC0415 the serving worker has none

    names = [column.name for column in contract.columns]
    known = set(names)
    names += dict.fromkeys(name for row in rows for name in row if name not in known)
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names}, columns=names
    )


def judge_frame(
    contract: Contract, frame: "pd.DataFrame", *, clock_tolerance_ms: int = DEFAULT_CLOCK_TOLERANCE_MS
) -> list[BrokenCell]:
    """Every rule that a row of the frame breaks, one per row and column at most, in row order.

    frame: any columns; one of dtype object holds values in ledger row form. Any other has the dtype that
        the contract's type has here: str, Int64 or int64, boolean or bool; instants are integers in
        milliseconds and dates integers in days since 1970. A declared column that it lacks counts as
        all null.
    clock_tolerance_ms: how far a sender's clock may be ahead of `recorded_at`.
    Raises ExpectationCouldNotRun if Great Expectations fails.
    """
    import pandas as pd  # noqa: PLC0415 the serving worker has none

    frame = frame.reset_index(drop=True)
    first: dict[tuple[int, str], Rule] = {}

    def note(rows: Iterable[int], column: str, rule: Rule) -> None:
        for row in rows:
            first.setdefault((row, column), rule)

    typed = _typed_frame(contract, frame, note)
    for column in contract.columns:
        # One column at a time: the engine copies the whole frame for every expectation.
        for rule, rows in unexpected_rows(typed[[column.name]], column_expectations(column)):
            note(rows, column.name, rule)
    for name in _unknown_columns(contract, frame):
        # Any value counts, NaN too, which pandas takes for a null.
        present = [None if value is None else "present" for value in frame[name]]
        values = pd.DataFrame({name: pd.Series(present, dtype="str", index=frame.index)})
        for rule, rows in unexpected_rows(values, unknown_column_expectations([name])):
            note(rows, name, rule)
    # Row rules look only at values that keep their own rules; others count as absent.
    row_expectations = row_rule_expectations(contract)
    for name in [column.name for column in contract.columns]:
        wrong = [row for row, column_name in first if column_name == name]
        if wrong:
            typed[name] = typed[name].mask(np.isin(np.arange(len(typed)), wrong))
    _add_columns_of_row_rules(contract, typed, clock_tolerance_ms)
    for blamed, reads, expectation in row_expectations:
        for rule, rows in unexpected_rows(typed[list(reads)], [expectation]):
            note(rows, blamed, rule)
    return sorted(
        (BrokenCell(row, column_name, rule) for (row, column_name), rule in first.items()),
        key=lambda cell: (cell.row, cell.column),
    )


def _add_columns_of_row_rules(contract: Contract, typed: "pd.DataFrame", clock_tolerance_ms: int) -> None:
    """The columns that the expectations for row rules read beside the contract's own."""
    typed[LATEST_INSTANT] = typed["recorded_at"] + clock_tolerance_ms
    for name in contract.past_columns:
        typed[earliest_moment_column(name)] = typed[name] - may_lie_ahead_by_ms(typed[name])
    for row_rule in contract.row_rules:
        if isinstance(row_rule, PassedDate):
            latest_day = (typed[row_rule.by] + FARTHEST_ZONE_AHEAD_MS) // DAY_MS
            typed[latest_day_column(row_rule.by)] = latest_day.clip(upper=days_since_1970(LATEST_DATE))
        elif isinstance(row_rule, NotBefore):
            later = typed[row_rule.later]
            latest_moment = later + may_stand_for_up_to_ms(later) + clock_tolerance_ms
            typed[latest_moment_column(row_rule.later)] = latest_moment
        elif isinstance(row_rule, WithinCountry):
            typed[country_of_part_column(row_rule.column)] = typed[row_rule.column].str.slice(0, 2)


_Note = Callable[[Iterable[int], str, Rule], None]
"""Takes down that rows break a rule of a column; the first rule of a cell stands."""


def _unknown_columns(contract: Contract, frame: "pd.DataFrame") -> list[str]:
    known = {column.name for column in contract.columns}
    return [str(name) for name in frame.columns if name not in known]


def _typed_frame(contract: Contract, frame: "pd.DataFrame", note: _Note) -> "pd.DataFrame":
    """The frame with every column of the contract in its proper dtype."""
    import pandas as pd  # noqa: PLC0415 the serving worker has none

    typed = frame.copy(deep=False)
    for column in contract.columns:
        if column.name not in typed.columns:
            typed[column.name] = pd.Series([None] * len(typed), dtype=_DTYPES[column.type])
        elif typed[column.name].dtype == object:
            typed[column.name] = _typed(column, frame[column.name], note)
    return typed


def _typed(column: Column, values: "pd.Series", note: _Note) -> "pd.Series":
    """The column with its proper dtype; values of another kind are noted and blanked."""
    import pandas as pd  # noqa: PLC0415 the serving worker has none

    kinds = [None if value is None else kind_of(column, value) for value in values]
    kind_frame = pd.DataFrame({column.name: pd.Series(kinds, dtype="str", index=values.index)})
    for rule, rows in unexpected_rows(kind_frame, kind_expectations(column)):
        note(rows, column.name, rule)
    good = [value if kind == column.type.value else None for value, kind in zip(values, kinds, strict=True)]
    if column.type is ColumnType.DATE:
        dates = [_date(value) for value in good]
        good = [None if date is None else days_since_1970(date) for date in dates]
    return pd.Series(pd.array(good, dtype=_DTYPES[column.type]))


def unexpected_rows(frame: "pd.DataFrame", expectations: Sequence[Any]) -> list[tuple[Rule, list[int]]]:
    """The rows that fail, for each expectation with any, in the order of the expectations.

    Rows are told by the frame's index. Raises ExpectationCouldNotRun if Great Expectations fails.
    """
    if not expectations or frame.empty:
        return []
    from great_expectations.execution_engine import PandasExecutionEngine  # noqa: PLC0415 takes seconds
    from great_expectations.validator.metrics_calculator import MetricsCalculator  # noqa: PLC0415 as above

    # The condition of an expectation is asked for directly: a validator puts its verdict together out of some
    # twenty metrics, whose bookkeeping costs ten milliseconds for each expectation, however few the rows.
    calculator = MetricsCalculator(
        execution_engine=PandasExecutionEngine(batch_data_dict={"rows": frame}), show_progress_bars=False
    )
    conditions = [_condition(expectation) for expectation in expectations]
    resolved, aborted = calculator.compute_metrics(conditions)
    if aborted:
        raise ExpectationCouldNotRun(str(aborted))
    found = []
    for expectation, condition in zip(expectations, conditions, strict=True):
        is_unexpected = resolved[condition.id][0]
        rows = is_unexpected.index[is_unexpected.to_numpy(dtype=bool)].tolist()
        if rows:
            found.append((Rule(expectation.meta["rule"]), rows))
    return found


def _condition(expectation: Any) -> Any:
    """The metric that says of each row that an expectation looks at whether it is unexpected."""
    from great_expectations.expectations.registry import get_metric_kwargs  # noqa: PLC0415 takes seconds
    from great_expectations.validator.metric_configuration import MetricConfiguration  # noqa: PLC0415 as above

    name = f"{expectation.map_metric}.condition"
    keys = get_metric_kwargs(name)

    def said(names: Iterable[str]) -> dict[str, Any]:
        values = {key: getattr(expectation, key, None) for key in names}
        return {key: value for key, value in values.items() if value is not None}

    return MetricConfiguration(
        metric_name=name,
        metric_domain_kwargs=said(keys["metric_domain_keys"]),
        metric_value_kwargs=said(keys["metric_value_keys"]),
    )
