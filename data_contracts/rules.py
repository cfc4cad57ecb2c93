"""The rules that a row can break, by itself or beside other rows, and what each says when it is broken."""

import enum
from typing import NamedTuple, assert_never

from data_contracts.contract import (
    After,
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
)

LISTED_VALUES_MAXIMUM = 30
"""A message lists so many allowed values; `bonitas data contracts` has them all."""


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
    WITHIN_COUNTRY = "within_country"
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


class RowRuleParts(NamedTuple):
    """A row rule taken apart: a violation of `rule` is laid at the door of `column`."""

    rule: Rule
    column: str
    other_column: str


def row_rule_parts(row_rule: RowRule) -> RowRuleParts:
    """Which `Rule` a row rule stands for, the column it blames and the other one it reads."""
    match row_rule:
        case PassedDate(column=column, by=by) if by != "recorded_at":
            return RowRuleParts(Rule.NOT_BEFORE, by, column)
        case Passed(column=column) | PassedDate(column=column):
            return RowRuleParts(Rule.IN_FUTURE, column, "recorded_at")
        case NotBefore(later=later, earlier=earlier) | NotBeforeDate(later=later, earlier=earlier):
            return RowRuleParts(Rule.NOT_BEFORE, later, earlier)
        case After(later=later, earlier=earlier):
            return RowRuleParts(Rule.AFTER, later, earlier)
        case NotAbove(smaller=smaller, larger=larger):
            return RowRuleParts(Rule.NOT_ABOVE, smaller, larger)
        case RequiredWhen(column=column, when_column=when_column):
            return RowRuleParts(Rule.REQUIRED_WHEN, column, when_column)
        case WithinCountry(column=column, country=country):
            return RowRuleParts(Rule.WITHIN_COUNTRY, column, country)
        case _:
            assert_never(row_rule)


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
    # A column has one violation of a rule, whichever of several others it contradicts.
    other = " or ".join(
        parts.other_column
        for parts in map(row_rule_parts, contract.row_rules)
        if parts.rule is rule and parts.column == column
    )
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
        case Rule.WITHIN_COUNTRY:
            return f"{column} must be a part of {other}"
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
            return "the order's invoices, credit notes taken off, come to more than its new amount"
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
