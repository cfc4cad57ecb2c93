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
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_contracts.declaration_reader import DeclarationReader, is_number, toml_document
from features.declarations import PROTECTED_SOURCES, Direction, FeatureGroup, Purpose

PROTECTED_GROUP = "protected"
"""The group of columns that no credit model reads; they are there to say what leaving them out costs."""
GROUP_NAMES = (*(group.value for group in FeatureGroup), PROTECTED_GROUP)
PROTECTED_NAMES = PROTECTED_SOURCES | {"age", "gender", "ethnicity", "race", "marital_status"}
SMALLEST_TEST_SHARE, LARGEST_TEST_SHARE = 0.05, 0.5


class TableSchemaInvalid(Exception):
    """A declaration of a table breaks rules. `mistakes` names each as "field: rule"."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


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


def parse_table_schema(text: str) -> TableSchema:
    """Read a declaration from TOML.

    Raises TableSchemaInvalid with every mistake: unknown and missing fields, wrong types and words, names
    twice or unknown, a protected attribute that is not in the protected group, a derived column whose
    direction contradicts those of its sources.
    """
    try:
        document = toml_document(text)
    except tomllib.TOMLDecodeError as problem:
        raise TableSchemaInvalid([f"schema: is no TOML: {problem}"]) from problem
    reader = _SchemaReader()
    schema = reader.schema(document)
    if reader.mistakes:
        raise TableSchemaInvalid(reader.mistakes)
    return schema


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


class _SchemaReader(DeclarationReader):
    def __init__(self) -> None:
        super().__init__(missing="is needed", unknown="is no field")

    def schema(self, document: dict[str, Any]) -> TableSchema:
        schema = TableSchema(
            title=self.text(document, "title", ""),
            label=self.text(document, "label", ""),
            purpose=self.word(document, "purpose", "", Purpose, Purpose.CREDIT),
            columns=tuple(
                self._column(entry, f"columns[{place}].")
                for place, entry in enumerate(self.tables(document, "columns", may_be_empty=False))
            ),
            derived=tuple(
                self._derived(entry, f"derived[{place}].")
                for place, entry in enumerate(
                    self.tables(document, "derived", may_be_empty=False, needed=False)
                )
            ),
            split=self._split(document),
            published=tuple(
                self._published(entry, f"published[{place}].")
                for place, entry in enumerate(
                    self.tables(document, "published", may_be_empty=False, needed=False)
                )
            ),
        )
        self.refuse_rest(document, "")
        self._check_across(schema)
        return schema

    def _column(self, entry: dict[str, Any], prefix: str) -> TableColumn:
        column = TableColumn(
            name=self.text(entry, "name", prefix),
            group=self._group(entry, prefix),
            direction=self.word(entry, "direction", prefix, Direction, Direction.NONE),
            purpose=self.word(entry, "purpose", prefix, Purpose, Purpose.CREDIT),
            special_codes=self._codes(entry, prefix),
        )
        self.refuse_rest(entry, prefix)
        return column

    def _derived(self, entry: dict[str, Any], prefix: str) -> DerivedColumn:
        column = DerivedColumn(
            name=self.text(entry, "name", prefix),
            operation=self.word(entry, "operation", prefix, Operation, Operation.SUM),
            of=self.texts(entry, "of", prefix, what="column names", may_be_empty=False),
            group=self._group(entry, prefix),
            direction=self.word(entry, "direction", prefix, Direction, Direction.NONE),
        )
        self.refuse_rest(entry, prefix)
        return column

    def _split(self, document: dict[str, Any]) -> Split:
        entry = document.pop("split", None)
        if not isinstance(entry, dict):
            self.mistakes.append("split: is needed, as a table with the field kind")
            return Split(kind=SplitKind.STRATIFIED_K_FOLD, folds=5)
        kind = self.word(entry, "kind", "split.", SplitKind, SplitKind.STRATIFIED_K_FOLD)
        match kind:
            case SplitKind.STRATIFIED_K_FOLD:
                split = Split(kind=kind, folds=self._folds(entry))
            case SplitKind.GROUPED_K_FOLD:
                split = Split(
                    kind=kind,
                    folds=self._folds(entry),
                    group_column=self.text(entry, "group_column", "split."),
                )
            case SplitKind.BY_TIME:
                split = Split(
                    kind=kind,
                    time_column=self.text(entry, "time_column", "split."),
                    test_share=self.number(
                        entry, "test_share", "split.", SMALLEST_TEST_SHARE, LARGEST_TEST_SHARE
                    ),
                )
        self.refuse_rest(entry, "split.")
        return split

    def _published(self, entry: dict[str, Any], prefix: str) -> PublishedFigure:
        figure = PublishedFigure(
            who=self.text(entry, "who", prefix),
            auc=self.number(entry, "auc", prefix, 0.5, 1),
            protocol=self.text(entry, "protocol", prefix),
        )
        self.refuse_rest(entry, prefix)
        return figure

    def _check_across(self, schema: TableSchema) -> None:
        special = {schema.label: "label"}
        if schema.split.column is not None:
            field = "group_column" if schema.split.group_column else "time_column"
            if schema.split.column == schema.label:
                self.mistakes.append(f"split.{field}: must not be the label")
            special[schema.split.column] = f"split.{field}"
        directions: dict[str, Direction] = {}
        for place, column in enumerate(schema.columns):
            field = f"columns[{place}]"
            if column.name in special and column.name:
                self.mistakes.append(
                    f"{field}.name: {column.name} is the {special[column.name]}, which no model may read"
                )
            if column.name in directions:
                self.mistakes.append(f"{field}.name: {column.name} is declared twice")
            if (
                schema.purpose is Purpose.CREDIT
                and not column.is_protected
                and _is_protected_name(column.name)
            ):
                self.mistakes.append(
                    f'{field}.group: {column.name} is a protected attribute; its group must be "protected"'
                )
            directions[column.name] = column.direction
        protected = {column.name for column in schema.columns if column.is_protected}
        of_purpose = {column.name for column in schema.columns if column.purpose is schema.purpose}
        if schema.columns and not of_purpose - protected:
            self.mistakes.append(
                f"columns: none is for the purpose {schema.purpose.value} and free of protected attributes"
            )
        for place, derived in enumerate(schema.derived):
            self._check_derived(f"derived[{place}]", derived, directions)
            if derived.name in directions or derived.name in special:
                self.mistakes.append(f"derived[{place}].name: {derived.name} is declared twice")
            is_protected = not protected.isdisjoint(derived.of)
            if is_protected != (derived.group == PROTECTED_GROUP):
                self.mistakes.append(
                    f'derived[{place}].group: must be "protected" exactly if one of its columns is'
                )
            if is_protected:
                protected.add(derived.name)
            directions[derived.name] = derived.direction

    def _check_derived(self, field: str, derived: DerivedColumn, directions: dict[str, Direction]) -> None:
        unknown = [name for name in derived.of if name not in directions]
        if unknown:
            self.mistakes.append(f"{field}.of: {', '.join(unknown)} is neither a column nor derived above")
            return
        if not derived.of:
            return
        if derived.operation.takes_two and len(derived.of) != 2:
            self.mistakes.append(f"{field}.of: {derived.operation.value} takes exactly two columns")
            return
        implied = implied_direction(derived.operation, [directions[name] for name in derived.of])
        if implied is None:
            self.mistakes.append(
                f"{field}.of: directed columns pull apart or stand where a sign turns them "
                f"(a factor or a denominator), so no direction could be kept"
            )
        elif implied not in {Direction.NONE, derived.direction}:
            self.mistakes.append(
                f"{field}.direction: must be {implied.value}, which follows from its columns"
            )

    def _folds(self, entry: dict[str, Any]) -> int:
        value = self.number(entry, "folds", "split.", 2, 20)
        if value != int(value):
            self.mistakes.append("split.folds: must be a whole number")
        return int(value)

    def _group(self, entry: dict[str, Any], prefix: str) -> str:
        value = self.text(entry, "group", prefix)
        if value and value not in GROUP_NAMES:
            self.mistakes.append(f"{prefix}group: must be one of {', '.join(GROUP_NAMES)}")
        return value

    def _codes(self, entry: dict[str, Any], prefix: str) -> tuple[float, ...]:
        value = entry.pop("special_codes", [])
        if not isinstance(value, list) or not all(is_number(code) for code in value):
            self.mistakes.append(f"{prefix}special_codes: must be a list of numbers")
            return ()
        return tuple(float(code) for code in value)


def _is_protected_name(name: str) -> bool:
    """Whether it names a protected attribute, whole or as one word of several: `age`, `applicant_age`.

    >>> _is_protected_name("AgeYears"), _is_protected_name("average_balance")
    (True, False)
    """
    words = re.findall("[a-z0-9]+", re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
    whole = f"_{'_'.join(words)}_"
    return any(f"_{protected}_" in whole for protected in PROTECTED_NAMES)
