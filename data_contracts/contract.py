"""How a kind of ledger row is declared: columns, units, keys, two clocks, personal data."""

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from data_contracts.currencies import CURRENCIES
from data_contracts.instants import HOUR_MS


class ColumnType(enum.Enum):
    """The closed list of value types a ledger column can have."""

    STRING = "string"
    INT64 = "int64"
    BOOL = "bool"
    TIMESTAMP = "timestamp"
    """An instant in UTC with millisecond precision; RFC 3339 with an offset at the HTTP edge."""
    DATE = "date"
    """A calendar date without a time zone."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A column that names a row of another contract."""

    contract: str
    column: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a contract.

    nullable: null is allowed and `missing_means` says what it stands for.
    allowed: the closed list of values of a STRING column, or None.
    minimum, maximum: inclusive bounds of an INT64 column, in `unit`.
    pattern: a regular expression that must match the whole STRING (`re.fullmatch`). pattern_in_words: what it
        asks for, where nobody would read the expression.
    max_length: longest STRING, in characters; an empty string is never valid.
    free_blanks: a text as people type or paste it, such as a name: a tab or a line break in it is a blank
        like any other, whatever looks at its one form. Elsewhere it is a control character, and refused.
    reference: the row of another contract that must exist.
    personal: personal data under the GDPR: never logged, erased on request.
    past: an instant that has passed when the row is recorded; a sender's clock may be ahead by the
        tolerance between clocks; the row then counts from when it was recorded, and as a state it ranks by
        what was sent.
    """

    name: str
    type: ColumnType
    description: str
    unit: str | None = None
    nullable: bool = False
    missing_means: str | None = None
    allowed: tuple[str, ...] | None = None
    minimum: int | None = None
    maximum: int | None = None
    pattern: str | None = None
    pattern_in_words: str | None = None
    max_length: int = 200
    reference: Reference | None = None
    past: bool = False
    personal: bool = False
    free_blanks: bool = False

    def __post_init__(self) -> None:
        if self.nullable and self.missing_means is None:
            raise ValueError(f"column {self.name}: a nullable column says what missing means")
        if self.past and self.type is not ColumnType.TIMESTAMP:
            raise ValueError(f"column {self.name}: only an instant can have passed")


@dataclass(frozen=True, kw_only=True)
class Passed:
    """Row rule: the instant in `column` lies before `recorded_at`, or after it by the tolerance at most.

    A date without a time may have begun elsewhere: a midnight counts as passed 14 hours before.
    """

    column: str


@dataclass(frozen=True, kw_only=True)
class PassedDate:
    """Row rule: the date in `column` is not after that of `by` in the zone farthest ahead.

    A row recorded at 2026-10-02T10:00Z may carry 2026-10-03, which has begun at UTC+14, and no later date.

    by: an instant. Where it is not `recorded_at`, it is the one that is wrong.
    """

    column: str
    by: str = "recorded_at"


@dataclass(frozen=True, kw_only=True)
class NotBefore:
    """Row rule: `later` >= `earlier` where both are present (timestamps), as far as can be told.

    What was written without its end, as a date or a whole minute, may stand for a moment that is later, and
    two clocks may be apart by the tolerance. Such a `later` counts as `earlier`.

    moves: false where it does not: features read the two apart, or only one of them.
    """

    later: str
    earlier: str
    moves: bool = True


@dataclass(frozen=True, kw_only=True)
class NotBeforeDate:
    """Row rule: `later` >= `earlier` where both are present (dates)."""

    later: str
    earlier: str


@dataclass(frozen=True, kw_only=True)
class After:
    """Row rule: `later` > `earlier` where both are present (timestamps)."""

    later: str
    earlier: str


@dataclass(frozen=True, kw_only=True)
class NotAbove:
    """Row rule: `smaller` <= `larger` where both are present (integers)."""

    smaller: str
    larger: str


@dataclass(frozen=True, kw_only=True)
class RequiredWhen:
    """Row rule: `column` must be present when `when_column` equals `equals`."""

    column: str
    when_column: str
    equals: str


@dataclass(frozen=True, kw_only=True)
class WithinCountry:
    """Row rule: the part of a country in `column` (ISO 3166-2) is one of the country in `country`, where both
    are present.

    DE-BY lies within DE, and not within AT.
    """

    column: str
    country: str


RowRule = Passed | PassedDate | NotBefore | NotBeforeDate | After | NotAbove | RequiredWhen | WithinCountry

DEFAULT_CLOCK_TOLERANCE_MS = 300_000
MAXIMUM_CLOCK_TOLERANCE_MS = HOUR_MS
"""How far two machines' clocks may be apart, by default and at most; the policy in force says how far."""

FARTHEST_ZONE_AHEAD_MS = 14 * HOUR_MS
"""Of the zones on earth, UTC+14 is the first to begin a day."""

IDENTIFIER_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:-]*"
COUNTRY_PATTERN = r"[A-Z]{2}"
COUNTRY_PART_PATTERN = COUNTRY_PATTERN + r"-[A-Z0-9]{1,3}"
"""A part of a country as ISO 3166-2 writes it: the country, a hyphen and up to three signs."""
EMAIL_PATTERN = r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+"
"""What stands before the sign has at most 64 characters (RFC 5321): no mailbox has more."""
_PART_OF_DOMAIN = r'[^@\s<>()\[\]\\,;:".]+'
MAILBOX_PATTERN = rf'[^@\s<>()\[\]\\,;:"]{{1,64}}@{_PART_OF_DOMAIN}(\.{_PART_OF_DOMAIN})+'
"""Of an address that we write to: without the signs that part addresses, or say another thing in a header."""
AMOUNT_CENTS_MAXIMUM = 100_000_000_000
"""One thousand million major units: beyond it, an amount is a mistake of scale."""

ENVELOPE_COLUMNS = (
    "event_id",
    "corrects",
    "occurred_at",
    "recorded_at",
)


def identifier(name: str, description: str, *, reference: Reference | None = None) -> Column:
    """A required id of at most 64 characters."""
    return Column(
        name=name,
        type=ColumnType.STRING,
        description=description,
        pattern=IDENTIFIER_PATTERN,
        max_length=64,
        reference=reference,
    )


def customer_reference() -> Column:
    """The customer that a row belongs to: the entity by which the ledger is sorted."""
    return identifier(
        "customer_id",
        "the customer the row belongs to",
        reference=Reference(contract="customers", column="customer_id"),
    )


def amount_cents(
    name: str, description: str, *, minimum: int = 0, maximum: int = AMOUNT_CENTS_MAXIMUM
) -> Column:
    """A required amount of money in whole minor units of the row's `currency`."""
    return Column(
        name=name,
        type=ColumnType.INT64,
        description=description,
        unit="minor units of `currency`",
        minimum=minimum,
        maximum=maximum,
    )


def currency() -> Column:
    """The ISO 4217 code of every amount in the row."""
    return Column(
        name="currency",
        type=ColumnType.STRING,
        description="ISO 4217 code of every amount in the row",
        allowed=CURRENCIES,
    )


def bank_reference(description: str, *, missing_means: str) -> Column:
    """The reference that a bank gave a movement of money, as it stands on the statement: its case and its
    blanks differ from bank to bank, and tell no two apart.
    """
    return Column(
        name="bank_reference",
        type=ColumnType.STRING,
        description=description,
        nullable=True,
        missing_means=missing_means,
        pattern="[ -~\u00a0]*[!-~][ -~\u00a0]*",
        pattern_in_words="printable ASCII characters and blanks",
        max_length=140,
    )


def country(name: str, description: str) -> Column:
    """A required ISO 3166-1 alpha-2 country code."""
    return Column(
        name=name, type=ColumnType.STRING, description=description, pattern=COUNTRY_PATTERN, max_length=2
    )


def _envelope(occurred_at_description: str) -> tuple[Column, ...]:
    return (
        identifier("event_id", "key of the row: re-sending the same content under it is harmless"),
        Column(
            name="corrects",
            type=ColumnType.STRING,
            description="event_id of the row of the same contract that this row replaces",
            nullable=True,
            missing_means="the row is no correction",
            pattern=IDENTIFIER_PATTERN,
            max_length=64,
        ),
        Column(
            name="occurred_at",
            type=ColumnType.TIMESTAMP,
            description=occurred_at_description,
            unit="UTC, milliseconds",
            past=True,
        ),
        Column(
            name="recorded_at",
            type=ColumnType.TIMESTAMP,
            description="when we knew it: stamped by the server on arrival",
            unit="UTC, milliseconds",
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Rows that answer questions about a thing: of the answers to one question, the last one stands.

    about: the column that names the thing. column: holds the answer. question_of: the question of each
        answer; an answer without one stands for itself.
    """

    about: str
    column: str
    question_of: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Contract:
    """One kind of ledger row.

    key: the columns that identify the thing the row is about.
    rows_are_states: of the rows with one `key`, the one that happened last stands (a customer's
        data, a pause that ends), whenever it arrived; otherwise a second row with the same key is
        an error unless it corrects the first.
    answers: rows with a key of their own that are states all the same: of two findings about one
        question of one order, the one that was made last stands.
    entity: the column by which the rows are kept sorted, then by `recorded_at`.
    unique: a nullable column beside the key whose value no two standing rows share; None for none.
    unique_in_one_form: values of `unique` that differ in their case or their blanks alone are one.
    unique_within: the column of whose each value `unique` is unique among the rows; None for all of them.
    never_before: the pairs of its `NotBefore` rules that move an instant, (later, earlier).
    state_of: the columns that name the thing of which one row stands at a time, the one that happened last:
        the key where rows are states; () where every row stands beside the others.
    state_columns: what such a state consists of, where a row may also say other things: a row with none of
        these is no state, and what else it says tells no two apart. () for all of the row.
    """

    name: str
    description: str
    occurred_at_description: str
    own_columns: tuple[Column, ...]
    key: tuple[str, ...]
    entity: str = "customer_id"
    rows_are_states: bool = False
    answers: Answers | None = None
    unique: str | None = None
    unique_in_one_form: bool = False
    unique_within: str | None = None
    state_of: tuple[str, ...] = ()
    state_columns: tuple[str, ...] = ()
    own_row_rules: tuple[RowRule, ...] = ()
    columns: tuple[Column, ...] = field(init=False)
    column_names: tuple[str, ...] = field(init=False)
    row_rules: tuple[RowRule, ...] = field(init=False)
    past_columns: tuple[str, ...] = field(init=False)
    never_before: tuple[tuple[str, str], ...] = field(init=False)

    def __post_init__(self) -> None:
        columns = _envelope(self.occurred_at_description) + self.own_columns
        names = [column.name for column in columns]
        if len(set(names)) != len(names):
            raise ValueError(f"contract {self.name} declares a column twice")
        if self.rows_are_states:
            object.__setattr__(self, "state_of", self.key)
        named = (*self.key, self.entity, *self.state_of, *self.state_columns)
        for name in (*named, *(name for name in (self.unique, self.unique_within) if name)):
            if name not in names:
                raise ValueError(f"contract {self.name} has no column {name}")
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "column_names", tuple(names))
        past_columns = tuple(column.name for column in columns if column.past)
        object.__setattr__(self, "past_columns", past_columns)
        rules = (*(Passed(column=name) for name in past_columns), *self.own_row_rules)
        object.__setattr__(self, "row_rules", rules)
        moving = [rule for rule in rules if isinstance(rule, NotBefore) and rule.moves]
        object.__setattr__(self, "never_before", tuple((rule.later, rule.earlier) for rule in moving))

    def column(self, name: str) -> Column:
        """The column called `name`; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def has_states(self) -> bool:
        """Whether there are things of which one row stands at a time."""
        return bool(self.state_of) or self.answers is not None

    def thing_of(self, row: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """The thing that a row is a state of; None for a row that stands beside all others."""
        if self.answers is not None:
            question = self.answers.question_of.get(row[self.answers.column])
            return None if question is None else (row[self.answers.about], question)
        if self.state_columns and all(row.get(name) is None for name in self.state_columns):
            return None
        return tuple([row[name] for name in self.state_of]) if self.state_of else None

    def unique_value(self, row: Mapping[str, Any]) -> str | None:
        """What no other standing row of the contract may have; None for a row that may stand beside all.

        Where it is unique within another column, it begins with that one's value and a space.
        """
        value = None if self.unique is None else row.get(self.unique)
        if value is not None and self.unique_in_one_form:
            return one_reference(value)
        if value is None or self.unique_within is None:
            return value
        return f"{row[self.unique_within]} {value}"

    def says(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What a state says, without what tells rows apart: rows that say the same are one state."""
        names = self.state_columns or [name for name in row if name not in {"event_id", "corrects"}]
        return {name: row[name] for name in names if row.get(name) is not None}

    def references(self) -> Iterator[tuple[Column, Reference]]:
        """The columns that name rows of other contracts."""
        for column in self.columns:
            if column.reference is not None:
                yield column, column.reference


def one_reference(text: str) -> str:
    """A reference without blanks and in small letters, by which two are compared.

    >>> one_reference(" RF18 5390\u00a0A/1 ")
    'rf185390a/1'
    """
    return "".join(text.split()).lower()


_SPACE_CLASS = "\x00- \x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"


def portable_pattern(pattern: str) -> str:
    r"""A contract's pattern in a form that Python, RE2 and ECMAScript read alike.

    `\s`, which must stand inside a character class, becomes the literal white space and control
    characters of Unicode, because the engines disagree about it; a group captures nothing.

    >>> portable_pattern("(a|b)[A-Z]{2}")
    '(?:a|b)[A-Z]{2}'
    """
    return re.sub(r"(?<!\\)\((?!\?)", "(?:", pattern).replace(r"\s", _SPACE_CLASS)
