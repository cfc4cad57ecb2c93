"""JSON Schema (2020-12) of a contract's rows as the API takes them, for its documentation."""

from typing import Any, assert_never

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
from data_contracts.instants import RFC3339_PATTERN
from data_contracts.row_check import (
    DATE_PATTERN,
    INT64_MAXIMUM,
    INT64_MINIMUM,
    control_character_class,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(contract: Contract, *, server_stamps_recorded_at: bool = True) -> dict[str, Any]:
    """The schema of one row as a JSON object, timestamps in RFC 3339.

    It accepts every row that the row check accepts; what it cannot express is in `inexpressible_rules`.
    server_stamps_recorded_at: leave `recorded_at` out, as on POST /v1/events.
    """
    columns = [
        column
        for column in contract.columns
        if not (server_stamps_recorded_at and column.name == "recorded_at")
    ]
    schema: dict[str, Any] = {
        "$schema": DIALECT,
        "title": contract.name,
        "description": contract.description,
        "type": "object",
        "properties": {column.name: _property(column) for column in columns},
        "required": [column.name for column in columns if not column.nullable],
        "additionalProperties": False,
    }
    conditions = [
        {
            "if": {
                "properties": {rule.when_column: {"const": rule.equals}},
                "required": [rule.when_column],
            },
            "then": {"properties": {rule.column: {"not": {"type": "null"}}}, "required": [rule.column]},
        }
        for rule in contract.row_rules
        if isinstance(rule, RequiredWhen)
    ]
    if conditions:
        schema["allOf"] = conditions
    return schema


def inexpressible_rules(contract: Contract) -> tuple[str, ...]:
    """What the row check refuses although the schema accepts it, one sentence each."""
    rules = []
    types = {column.type for column in contract.columns}
    if ColumnType.INT64 in types:
        rules.append("An integer is written without a fraction: 5.0 is refused.")
    rules.append("A timestamp must exist, and lie in the years 1900 to 9999.")
    if ColumnType.DATE in types:
        rules.append("A date must exist, and lie in the years 1900 to 9999.")
    rules.append("Text must be valid Unicode: a lone surrogate is refused.")
    for rule in contract.row_rules:
        match rule:
            case Passed(column=column):
                rules.append(
                    f"`{column}` must not lie in the future, but for the tolerance between clocks (5 minutes "
                    "unless the policy says otherwise) and for a date without a time that has begun "
                    "elsewhere on earth: a whole quarter of an hour may lie 14 hours ahead."
                )
            case PassedDate(column=column, by=by):
                said = f"`{column}` must not lie in the future"
                said = said if by == "recorded_at" else f"`{by}` must not lie before `{column}`"
                rules.append(f"{said}, wherever on earth.")
            case NotAbove(smaller=smaller, larger=larger):
                rules.append(f"`{smaller}` must not exceed `{larger}`.")
            case NotBefore(later=later, earlier=earlier):
                rules.append(
                    f"`{later}` must not lie before `{earlier}`, but for the tolerance between clocks and "
                    "what a date without a time or a whole minute may stand for."
                )
            case NotBeforeDate(later=later, earlier=earlier):
                rules.append(f"`{later}` must not lie before `{earlier}`.")
            case After(later=later, earlier=earlier):
                rules.append(f"`{later}` must lie after `{earlier}`.")
            case WithinCountry(column=column, country=country):
                rules.append(f"`{column}` must be a part of `{country}`: it begins with its two letters.")
            case RequiredWhen():
                pass
            case _:
                assert_never(rule)
    return tuple(rules)


def _property(column: Column) -> dict[str, Any]:
    schema: dict[str, Any] = {"description": _description(column)}
    match column.type:
        case ColumnType.STRING if column.allowed is not None:
            schema |= {"type": "string", "enum": list(column.allowed)}
        case ColumnType.STRING:
            schema |= {"type": "string", "minLength": 1, "maxLength": column.max_length}
            if column.pattern is not None:
                schema["pattern"] = f"^(?:{portable_pattern(column.pattern)})$"
            # Some engines let `$` match before a final line break.
            schema["not"] = {"type": "string", "pattern": control_character_class(column)}
        case ColumnType.INT64:
            schema |= {
                "type": "integer",
                "minimum": INT64_MINIMUM if column.minimum is None else column.minimum,
                "maximum": INT64_MAXIMUM if column.maximum is None else column.maximum,
            }
        case ColumnType.BOOL:
            schema["type"] = "boolean"
        case ColumnType.TIMESTAMP:
            schema |= {
                "type": "string",
                "format": "date-time",
                "pattern": f"^{RFC3339_PATTERN}$",
                "maxLength": 35,
            }
        case ColumnType.DATE:
            schema |= {"type": "string", "format": "date", "pattern": f"^{DATE_PATTERN}$", "maxLength": 10}
        case _:
            assert_never(column.type)
    if column.nullable:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"].append(None)
    return schema


def _description(column: Column) -> str:
    parts = [column.description]
    if column.unit is not None and column.type is not ColumnType.TIMESTAMP:
        parts.append(f"unit: {column.unit}")
    if column.nullable:
        parts.append(f"missing: {column.missing_means}")
    if column.reference is not None:
        parts.append(f"refers to {column.reference.contract}.{column.reference.column}")
    if column.personal:
        parts.append("personal data")
    return "; ".join(parts)
