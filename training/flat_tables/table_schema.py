"""What a flat table means: its label, its columns with group, direction, purpose and codes, and its split.

A declaration is TOML. Derived columns are declared too, as one operation on other columns; what a
directed column means for a derived one follows from the operation, and a declaration that says otherwise is
refused. So a model that keeps the direction of every column it reads keeps those of the table:

    label = "bad"
    purpose = "credit"

    [split]
    kind = "stratified_k_fold"
    folds = 5

    [[columns]]
    name = "times_late"
    group = "payment_history"
    direction = "higher_is_worse"
    purpose = "credit"
    special_codes = [96, 98]

    [[derived]]
    name = "times_late_per_line"
    operation = "ratio"
    of = ["times_late", "lines"]
    group = "payment_history"
    direction = "higher_is_worse"
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from features.declarations import Direction, Purpose

PROTECTED_GROUP = "protected"
"""The group of columns that no credit model reads; they are there to say what leaving them out costs."""


class SplitKind(enum.Enum):
    """How rows are kept apart for training and testing."""

    STRATIFIED_K_FOLD = "stratified_k_fold"
    GROUPED_K_FOLD = "grouped_k_fold"
    """Rows that share the group column are all on one side."""
    BY_TIME = "by_time"
    """The latest rows test; rows of one instant are all on one side."""


class Operation(enum.Enum):
    """What a derived column computes; the first three of two columns, the others of any number.

    A ratio is missing where its denominator is not above 0. The first three are missing where one of the two
    is; the others leave missing values out, and are missing where every one is.
    """

    DIFFERENCE = "difference"
    PRODUCT = "product"
    RATIO = "ratio"
    SUM = "sum"
    MAXIMUM = "max"
    MINIMUM = "min"
    COUNT_POSITIVE = "count_positive"

    @property
    def takes_two(self) -> bool:
        """Whether it takes exactly two columns."""
        return self in {Operation.DIFFERENCE, Operation.PRODUCT, Operation.RATIO}


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """A column of the table.

    special_codes: numbers in it that are no quantities; a model reads them apart.
    """

    name: str
    group: str
    direction: Direction
    purpose: Purpose
    special_codes: tuple[float, ...]

    @property
    def is_protected(self) -> bool:
        """Whether a credit model must not read it."""
        return self.group == PROTECTED_GROUP


@dataclass(frozen=True, kw_only=True)
class DerivedColumn:
    """A column computed from others, which may themselves be derived. of: their names, in order."""

    name: str
    operation: Operation
    of: tuple[str, ...]
    group: str
    direction: Direction


@dataclass(frozen=True, kw_only=True)
class Split:
    """The protocol.

    folds: how many, None by time. group_column: of a grouped split. time_column: of a split by time, of
    numbers or dates. test_share: share of the rows, the latest, that test.
    """

    kind: SplitKind
    folds: int | None = None
    group_column: str | None = None
    time_column: str | None = None
    test_share: float | None = None

    @property
    def column(self) -> str | None:
        """The column that the split reads, if any; no model reads it."""
        return self.group_column or self.time_column


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """What others report on the same data. protocol: theirs, which is seldom ours."""

    who: str
    auc: float
    protocol: str


@dataclass(frozen=True, kw_only=True)
class TableSchema:
    """One declared table."""

    title: str
    label: str
    purpose: Purpose
    columns: tuple[TableColumn, ...]
    derived: tuple[DerivedColumn, ...]
    split: Split
    published: tuple[PublishedFigure, ...]

    def read_columns(self, *, with_protected: bool) -> tuple[TableColumn, ...]:
        """The table's columns that a model reads: those of the purpose, protected ones only if asked for."""
        return tuple(
            column
            for column in self.columns
            if column.purpose is self.purpose and (with_protected or not column.is_protected)
        )

    def computed_columns(self, *, with_protected: bool) -> tuple[DerivedColumn, ...]:
        """The derived columns whose every source is read."""
        known = {column.name for column in self.read_columns(with_protected=with_protected)}
        computed = []
        for column in self.derived:
            if known.issuperset(column.of):
                known.add(column.name)
                computed.append(column)
        return tuple(computed)

    @property
    def has_protected(self) -> bool:
        """Whether a column is protected."""
        return any(column.is_protected for column in self.read_columns(with_protected=True))


def implied_direction(operation: Operation, sources: Sequence[Direction]) -> Direction | None:
    """The direction that a derived column has by the directions of its sources, in order.

    NONE where no source has one. None where they pull apart, or where a directed column takes a place that
    turns its meaning with the sign of another: a factor, or a denominator.

    >>> implied_direction(Operation.DIFFERENCE, [Direction.NONE, Direction.HIGHER_IS_BETTER])
    <Direction.HIGHER_IS_WORSE: 'higher_is_worse'>
    """
    signs = [_SIGN_OF[direction] for direction in sources]
    match operation:
        case Operation.PRODUCT:
            turned = [0 if sign == 0 else None for sign in signs]
        case Operation.RATIO:
            turned = [signs[0], 0 if signs[1] == 0 else None]
        case Operation.DIFFERENCE:
            turned = [signs[0], -signs[1]]
        case _:
            turned = [*signs]
    if None in turned or {1, -1} <= set(turned):
        return None
    return _DIRECTION_OF[sum({sign for sign in turned if sign is not None})]


_SIGN_OF = {Direction.HIGHER_IS_WORSE: 1, Direction.HIGHER_IS_BETTER: -1, Direction.NONE: 0}
_DIRECTION_OF = {sign: direction for direction, sign in _SIGN_OF.items()}
