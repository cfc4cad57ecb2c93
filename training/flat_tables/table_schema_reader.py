"""The reader of declared flat tables: from TOML to a TableSchema, every mistake named."""

import re
import tomllib
from collections.abc import Sequence
from typing import Any

from data_contracts.declaration_reader import DeclarationReader, is_number, toml_document
from features.declarations import PROTECTED_SOURCES, Direction, FeatureGroup, Purpose
from training.flat_tables.table_schema import (
    PROTECTED_GROUP,
    DerivedColumn,
    Operation,
    PublishedFigure,
    Split,
    SplitKind,
    TableColumn,
    TableSchema,
    implied_direction,
)

GROUP_NAMES = (*(group.value for group in FeatureGroup), PROTECTED_GROUP)
PROTECTED_NAMES = PROTECTED_SOURCES | {"age", "gender", "ethnicity", "race", "marital_status"}
SMALLEST_TEST_SHARE, LARGEST_TEST_SHARE = 0.05, 0.5


class TableSchemaInvalid(Exception):
    """A declaration of a table breaks rules. `mistakes` names each as "field: rule"."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


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
