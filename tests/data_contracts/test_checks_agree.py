"""Batch check, row check and JSON Schema judge the same rows alike: good ones, and bad ones in every way."""

import random

import jsonschema
import pytest

from data_contracts.between_rows.rules_between_rows import RULES
from data_contracts.contract import (
    ColumnType,
    NotAbove,
    NotBefore,
    NotBeforeDate,
    Passed,
    PassedDate,
    RequiredWhen,
    WithinCountry,
)
from data_contracts.instants import rfc3339
from data_contracts.json_schema import inexpressible_rules, json_schema
from data_contracts.ledger_contracts import ALL_CONTRACTS, CONTRACTS
from data_contracts.row_check import check_ledger_row, check_row
from data_contracts.rules import Rule
from data_contracts.validation.great_expectations_suite import kind_suite, value_suite
from data_contracts.validation.judged_frame import frame_of_rows, judge_frame, unexpected_rows

ODD_CHARACTERS = [
    "\x00", "\n", "\t", "\x0b", "\x1c", "\x1f", " ", "\x7f", "\x85", "\xa0", "\u1680", "\u2003", "\u200b",
    "\u2028", "\u2029", "\u202f", "\u3000", "\ufeff", "\ud800", "\udfff", "é", "😀", "@", "$", "\\",
]  # fmt: skip

WRONG_TYPES = [
    True, False, 0, 1, -1, 2**63, -(2**63) - 1, 2**63 - 1, 1.0, 1.5, float("nan"), float("inf"), "", " ", "x",
    "EUR", "1", "2020-01-01", "2020-02-30", "0000-00-00", "2020-1-1", b"bytes", [], ["a"], {}, {"a": 1}, None,
    "2020-01-01T00:00:00Z", "\uff11\uff12\uff13\uff14-01-01", "1899-12-31", "9999-12-31",
]  # fmt: skip


HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
TOLERANCE_MS = 7_000


def odd_values(column, good, rng):
    """Values around every rule of a column, good and bad."""
    values = list(WRONG_TYPES)
    match column.type:
        case ColumnType.STRING:
            text = good if isinstance(good, str) else "abc"
            values += [text + odd for odd in ODD_CHARACTERS] + [odd + text for odd in ODD_CHARACTERS]
            values += [text[:1] + odd + text[1:] for odd in ODD_CHARACTERS]
            values += ["x" * column.max_length, "x" * (column.max_length + 1), "ß" * (column.max_length + 1)]
            values += [*(column.allowed or ()), text.upper(), text.lower(), text[:-1], text * 2]
            values += ["".join(rng.choices("aZ09.:-_@+/ \n", k=rng.randrange(1, 12))) for _ in range(20)]
        case ColumnType.INT64:
            for bound in (column.minimum or 0, column.maximum or 0):
                values += [bound - 1, bound, bound + 1]
        case ColumnType.TIMESTAMP:
            values += [-2_208_988_800_001, -2_208_988_800_000, 253_402_300_799_999, 253_402_300_800_000]
            values += [rng.randrange(1_740_000_000_000, 1_760_000_000_000) for _ in range(5)]
    return values


def generated_rows(contract, a_row, seed):
    """Rows with one column changed in every way, then rows with several changed at once."""
    rng = random.Random(seed)
    good = a_row(contract.name)
    choices = {column.name: odd_values(column, good.get(column.name), rng) for column in contract.columns}
    rows = [good, {}]
    for name, values in choices.items():
        rows += [{**good, name: value} for value in values]
        rows.append({key: value for key, value in good.items() if key != name})
    for row_rule in contract.row_rules:
        if isinstance(row_rule, RequiredWhen):
            continue
        if isinstance(row_rule, Passed):
            last = good["recorded_at"] + TOLERANCE_MS
            rows += [{**good, row_rule.column: last + step} for step in (-1, 0, 1, DAY_MS)]
            # A midnight may have passed 14 hours before, somewhere.
            midnight = good["recorded_at"] // DAY_MS * DAY_MS + DAY_MS
            begun = midnight - 14 * HOUR_MS - TOLERANCE_MS
            rows += [
                {**good, row_rule.column: midnight + later, "recorded_at": begun - step}
                for step in (-1, 0, 1)
                for later in (0, 1_000)
            ]
            continue
        if isinstance(row_rule, PassedDate):
            # Recorded on 15 June at 15:06 UTC, when 16 June had begun at UTC+14.
            rows += [{**good, row_rule.column: date} for date in ("2025-06-16", "2025-06-17", "9999-12-31")]
            by = row_rule.by
            rows.append({**good, row_rule.column: "2025-06-16", by: good[by] - DAY_MS})
            begins_at = good[by] // DAY_MS * DAY_MS - 14 * HOUR_MS
            same_day = rfc3339(good[by])[:10]
            rows += [{**good, row_rule.column: same_day, by: begins_at + step} for step in (-1, 0, 1)]
            rows.append({**good, row_rule.column: "9999-12-31", by: 253_402_300_799_999})
            continue
        if isinstance(row_rule, NotBeforeDate):
            dates = ("1999-12-31", "2000-01-01", "2000-01-02")
            rows += [{**good, row_rule.earlier: dates[1], row_rule.later: date} for date in dates]
            continue
        if isinstance(row_rule, WithinCountry):
            parts = ("DE-BY", "DE-B", "DE-BYX", "DE-BYXX", "DE-", "DE", "DEBY", "AT-9", "AT-DE", "D-BY")
            rows += [
                {**good, row_rule.column: part, row_rule.country: country}
                for part in parts
                for country in ("DE", "AT", "D", None)
            ]
            continue
        high, low = (
            (row_rule.larger, row_rule.smaller)
            if isinstance(row_rule, NotAbove)
            else (row_rule.later, row_rule.earlier)
        )
        middle = good.get(low) or good.get(high) or 0
        rows += [{**good, low: middle, high: middle + step} for step in (-1000, -1, 0, 1)]
        if isinstance(row_rule, NotBefore):
            midnight = middle // DAY_MS * DAY_MS
            stands_for = ((0, 38 * HOUR_MS), (60_000, 59_999), (61_000, 999), (61_001, 0))
            rows += [
                {**good, high: midnight + later, low: midnight + later + most + TOLERANCE_MS + step}
                for later, most in stands_for
                for step in (-1, 0, 1)
            ]
    rows += [{**good, "surprise": value} for value in ("x", 1, [], float("nan"), "")]
    for _ in range(100):
        row = dict(good)
        for name in rng.sample(sorted(choices), k=rng.randrange(2, 5)):
            row[name] = rng.choice(choices[name])
        rows.append(row)
    return rows


def without_nulls(row):
    return {name: value for name, value in row.items() if value is not None}


@pytest.mark.parametrize("contract", ALL_CONTRACTS, ids=lambda contract: contract.name)
def test_batch_and_row_check_judge_alike(contract, a_row):
    rows = generated_rows(contract, a_row, seed=7)
    by_row = {
        (position, violation.column, violation.rule)
        for position, row in enumerate(rows)
        for violation in check_ledger_row(contract, row, clock_tolerance_ms=TOLERANCE_MS).violations
    }
    frame = frame_of_rows(contract, rows)
    by_batch = set(judge_frame(contract, frame, clock_tolerance_ms=TOLERANCE_MS))
    assert by_batch == by_row
    found = {rule for _, _, rule in by_row}
    assert {Rule.MISSING, Rule.TYPE, Rule.UNKNOWN_COLUMN, Rule.PATTERN, Rule.RANGE, Rule.IN_FUTURE} <= found
    assert len({position for position, _, _ in by_row}) < len(rows) - 5


def test_the_generated_rows_break_every_rule_of_a_single_row(a_row):
    found = {
        violation.rule
        for contract in ALL_CONTRACTS
        for row in generated_rows(contract, a_row, seed=7)
        for violation in check_ledger_row(contract, row).violations
    }
    between_rows = {line.rule for line in RULES}
    assert found == set(Rule) - between_rows - {Rule.NOT_AN_OBJECT}


def test_an_expectation_finds_the_rows_that_a_validator_of_great_expectations_finds(monkeypatch):
    import great_expectations as gx
    import great_expectations.expectations as gxe
    import pandas as pd
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.row_conditions import Column
    from great_expectations.validator.validator import Validator

    frame = pd.DataFrame(
        {
            "text": pd.Series([None, "", "a", "\x01", "bbbb", "é"], dtype="str"),
            "low": pd.Series([None, 1, 2, 3, 4, -5], dtype="Int64"),
            "high": pd.Series([1, None, 2, 5, 0, 2**53 + 1], dtype="Int64"),
        }
    )
    meta = {"rule": Rule.RANGE.value}
    pair = {"column_A": "high", "column_B": "low", "ignore_row_if": "either_value_is_missing", "meta": meta}
    expectations = [
        gxe.ExpectColumnValuesToNotBeNull(column="text", meta=meta),
        gxe.ExpectColumnValuesToNotBeNull(
            column="high", row_condition=Column("text") == "", meta={**meta, "condition": "empty"}
        ),
        gxe.ExpectColumnValuesToBeNull(column="text", meta=meta),
        gxe.ExpectColumnValuesToBeInSet(column="text", value_set=["a", "é"], meta=meta),
        gxe.ExpectColumnValueLengthsToBeBetween(column="text", min_value=1, meta=meta),
        gxe.ExpectColumnValueLengthsToBeBetween(column="text", max_value=3, meta=meta),
        gxe.ExpectColumnValuesToMatchRegex(column="text", regex=r"^(?:[a-z]*)\Z", meta=meta),
        gxe.ExpectColumnValuesToNotMatchRegex(column="text", regex="[\x00-\x1f]", meta=meta),
        gxe.ExpectColumnValuesToBeBetween(column="low", min_value=0, max_value=3, meta=meta),
        gxe.ExpectColumnValuesToBeBetween(column="high", max_value=2**53, meta=meta),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(or_equal=True, **pair),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(or_equal=False, **pair),
        gxe.ExpectColumnPairValuesToBeEqual(**pair),
    ]
    for contract in ALL_CONTRACTS:
        suites = (value_suite(contract, ["x"]), kind_suite(contract, [one.name for one in contract.columns]))
        for suite in suites:
            assert {type(one) for one in suite.expectations} <= {type(one) for one in expectations}
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "false")
    context = gx.get_context(mode="ephemeral")
    for expectation in expectations:
        validator = Validator(
            execution_engine=PandasExecutionEngine(batch_data_dict={"rows": frame}), data_context=context
        )
        (result,) = validator.graph_validate(
            configurations=[expectation.configuration],
            runtime_configuration={"result_format": {"result_format": "COMPLETE"}, "catch_exceptions": False},
        )
        rows = result.result["unexpected_index_list"] or []
        assert rows
        assert unexpected_rows(frame, [expectation]) == [(Rule.RANGE, rows)]


def test_the_suite_names_the_rule_of_every_expectation():
    for contract in ALL_CONTRACTS:
        expectations = value_suite(contract, ["surprise"]).expectations
        expectations += kind_suite(contract, [column.name for column in contract.columns]).expectations
        named = {(expectation.meta["column"], Rule(expectation.meta["rule"])) for expectation in expectations}
        for column in contract.columns:
            assert (column.name, Rule.TYPE) in named
            assert column.nullable or (column.name, Rule.MISSING) in named
            assert column.allowed is None or (column.name, Rule.ALLOWED) in named
            assert column.pattern is None or (column.name, Rule.PATTERN) in named
        assert ("surprise", Rule.UNKNOWN_COLUMN) in named


def as_json(contract, row):
    """The row as the API would receive it: instants in RFC 3339 where they can be written so."""
    instants = {column.name for column in contract.columns if column.type is ColumnType.TIMESTAMP}
    return {
        name: rfc3339(value)
        if name in instants and type(value) is int and abs(value) < 2_208_988_800_001
        else value
        for name, value in row.items()
        if name != "recorded_at"
    }


EXPRESSED = {
    Rule.UNKNOWN_COLUMN, Rule.MISSING, Rule.TYPE, Rule.ALLOWED, Rule.EMPTY, Rule.TOO_LONG,
    Rule.CONTROL_CHARACTERS, Rule.PATTERN, Rule.REQUIRED_WHEN,
}  # fmt: skip


@pytest.mark.parametrize("contract", ALL_CONTRACTS, ids=lambda contract: contract.name)
def test_the_json_schema_agrees_with_the_row_check(contract, a_row):
    schema = json_schema(contract)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    instants = {column.name for column in contract.columns if column.type is ColumnType.TIMESTAMP}
    integers = {column.name for column in contract.columns if column.type is ColumnType.INT64}
    for row in generated_rows(contract, a_row, seed=11):
        sent = as_json(contract, row)
        checked = check_row(contract, sent, recorded_at_ms=253_402_300_799_999)
        refused_by_schema = not validator.is_valid(sent)
        expressed = {
            violation
            for violation in checked.violations
            if (
                violation.rule in EXPRESSED or (violation.rule is Rule.RANGE and violation.column in integers)
            )
            and not _is_a_fraction_of_zero(sent, violation.column, integers)
            and not _is_broken_text(sent.get(violation.column))
        }
        if expressed:
            assert refused_by_schema, (sent, checked.violations)
        if not checked.violations:
            assert not refused_by_schema, sent
        if refused_by_schema:
            assert checked.violations, sent
    assert instants


def _is_a_fraction_of_zero(row, column, integers):
    return column in integers and isinstance(row.get(column), float) and row[column].is_integer()


def _is_broken_text(value):
    return isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value)


def test_the_schema_says_what_it_cannot_express():
    rules = inexpressible_rules(CONTRACTS["orders"])
    assert "`vat_cents` must not exceed `amount_cents`." in rules
    assert any(rule.startswith("`occurred_at` must not lie in the future") for rule in rules)
    assert "`birth_date` must not lie in the future, wherever on earth." in inexpressible_rules(
        CONTRACTS["customers"]
    )
    assert "`due_at` must lie after `occurred_at`." in inexpressible_rules(CONTRACTS["invoices"])


def test_the_loaders_schema_has_recorded_at():
    schema = json_schema(CONTRACTS["orders"], server_stamps_recorded_at=False)
    assert "recorded_at" in schema["required"]
