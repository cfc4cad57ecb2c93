"""What a declaration of a table may say, and that every mistake names its field and its rule."""

import re

import pytest

from features.declarations import Direction, Purpose
from training.flat_tables.table_benchmark import SCHEMA_FILES, SCHEMA_FOLDER
from training.flat_tables.table_schema import Operation, SplitKind, implied_direction
from training.flat_tables.table_schema_reader import TableSchemaInvalid, parse_table_schema

WORSE, BETTER, NONE = Direction.HIGHER_IS_WORSE, Direction.HIGHER_IS_BETTER, Direction.NONE

VALID = """
title = "A table"
label = "bad"
purpose = "credit"

[split]
kind = "stratified_k_fold"
folds = 5

[[published]]
who = "somebody"
auc = 0.8
protocol = "theirs"

[[columns]]
name = "times_late"
group = "payment_history"
direction = "higher_is_worse"
purpose = "credit"
special_codes = [96, 98]

[[columns]]
name = "lines"
group = "balances"
direction = "none"
purpose = "credit"

[[columns]]
name = "age"
group = "protected"
direction = "none"
purpose = "credit"

[[derived]]
name = "late_per_line"
operation = "ratio"
of = ["times_late", "lines"]
group = "payment_history"
direction = "higher_is_worse"

[[derived]]
name = "late_and_age"
operation = "sum"
of = ["late_per_line", "age"]
group = "protected"
direction = "higher_is_worse"
"""


def test_a_valid_declaration_is_read():
    schema = parse_table_schema(VALID)
    assert (schema.label, schema.purpose, schema.split.kind) == (
        "bad",
        Purpose.CREDIT,
        SplitKind.STRATIFIED_K_FOLD,
    )
    assert schema.columns[0].special_codes == (96, 98)
    assert schema.derived[0].operation is Operation.RATIO
    assert schema.published[0].auc == 0.8


def test_a_declaration_with_a_byte_order_mark_is_read():
    assert parse_table_schema("\ufeff" + VALID) == parse_table_schema(VALID)


def test_protected_columns_and_what_is_derived_from_them_are_read_only_if_asked_for():
    schema = parse_table_schema(VALID)
    assert schema.has_protected
    assert [column.name for column in schema.read_columns(with_protected=False)] == ["times_late", "lines"]
    assert [column.name for column in schema.computed_columns(with_protected=False)] == ["late_per_line"]
    assert [column.name for column in schema.read_columns(with_protected=True)][-1] == "age"
    assert [column.name for column in schema.computed_columns(with_protected=True)][-1] == "late_and_age"


def test_a_column_of_another_purpose_is_not_read():
    schema = parse_table_schema(
        VALID.replace(
            'name = "lines"\ngroup = "balances"\ndirection = "none"\npurpose = "credit"',
            'name = "lines"\ngroup = "balances"\ndirection = "none"\npurpose = "fraud"',
        )
    )
    assert [column.name for column in schema.read_columns(with_protected=False)] == ["times_late"]
    assert schema.computed_columns(with_protected=False) == ()


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ('title = "A table"', "", "title: is needed"),
        ('title = "A table"', 'title = ""', "title: must be a text that is not empty"),
        ('label = "bad"', "label = 3", "label: must be a text that is not empty"),
        ('label = "bad"', 'label = "bad"\nlabell = "x"', "labell: is no field"),
        (
            'purpose = "credit"\n\n[split]',
            'purpose = "both"\n\n[split]',
            "purpose: must be one of credit, fraud",
        ),
        ("[split]", "[splitt]", "split: is needed"),
        ('kind = "stratified_k_fold"', 'kind = "random"', "split.kind: must be one of stratified_k_fold"),
        ("folds = 5", "folds = 1", "split.folds: must be a number from 2 to 20"),
        ("folds = 5", "folds = 2.5", "split.folds: must be a whole number"),
        ("folds = 5", "folds = true", "split.folds: must be a number from 2 to 20"),
        ("folds = 5", "folds = 5\ntest_share = 0.2", "split.test_share: is no field"),
        ('kind = "stratified_k_fold"', 'kind = "grouped_k_fold"', "split.group_column: is needed"),
        ('kind = "stratified_k_fold"\nfolds = 5', 'kind = "by_time"', "split.time_column: is needed"),
        (
            'kind = "stratified_k_fold"\nfolds = 5',
            'kind = "by_time"\ntime_column = "month"\ntest_share = 0.9',
            "split.test_share: must be a number from 0.05 to 0.5",
        ),
        (
            'kind = "stratified_k_fold"',
            'kind = "grouped_k_fold"\ngroup_column = "bad"',
            "split.group_column: must not be the label",
        ),
        (
            'kind = "stratified_k_fold"',
            'kind = "grouped_k_fold"\ngroup_column = "lines"',
            "columns[1].name: lines is the split.group_column, which no model may read",
        ),
        ("auc = 0.8", "auc = 80", "published[0].auc: must be a number from 0.5 to 1"),
        ('name = "times_late"', 'name = "bad"', "columns[0].name: bad is the label, which no model may read"),
        ('name = "times_late"', 'name = "lines"', "columns[1].name: lines is declared twice"),
        (
            'group = "payment_history"',
            'group = "history"',
            "columns[0].group: must be one of payment_history",
        ),
        (
            'direction = "higher_is_worse"',
            'direction = "up"',
            "columns[0].direction: must be one of higher_is_worse, higher_is_better, none",
        ),
        ("special_codes = [96, 98]", 'special_codes = ["96"]', "columns[0].special_codes: must be a list of"),
        (
            'name = "age"\ngroup = "protected"',
            'name = "age"\ngroup = "balances"',
            "columns[2].group: age is a prot",
        ),
        (
            'name = "lines"',
            'name = "ApplicantAge"',
            "columns[1].group: ApplicantAge is a protected attribute",
        ),
        ('operation = "ratio"', 'operation = "power"', "derived[0].operation: must be one of difference"),
        ('of = ["times_late", "lines"]', "of = []", "derived[0].of: must be a list of column names"),
        (
            'of = ["times_late", "lines"]',
            'of = ["times_late"]',
            "derived[0].of: ratio takes exactly two columns",
        ),
        ('of = ["times_late", "lines"]', 'of = ["times_late", "line"]', "derived[0].of: line is neither"),
        (
            'of = ["times_late", "lines"]',
            'of = ["lines", "times_late"]',
            "derived[0].of: directed columns pull",
        ),
        (
            'of = ["times_late", "lines"]\ngroup = "payment_history"\ndirection = "higher_is_worse"',
            'of = ["times_late", "lines"]\ngroup = "payment_history"\ndirection = "none"',
            "derived[0].direction: must be higher_is_worse, which follows from its columns",
        ),
        ('name = "late_per_line"', 'name = "lines"', "derived[0].name: lines is declared twice"),
        (
            'of = ["late_per_line", "age"]\ngroup = "protected"',
            'of = ["late_per_line", "age"]\ngroup = "balances"',
            'derived[1].group: must be "protected" exactly if one of its columns is',
        ),
    ],
)
def test_every_mistake_names_its_field_and_its_rule(old, new, mistake):
    assert old in VALID
    with pytest.raises(TableSchemaInvalid) as caught:
        parse_table_schema(VALID.replace(old, new, 1))
    assert any(found.startswith(mistake) for found in caught.value.mistakes), caught.value.mistakes


def test_all_mistakes_are_told_at_once():
    with pytest.raises(TableSchemaInvalid) as caught:
        parse_table_schema('title = ""\ncolour = "red"')
    fields = {re.split(":", mistake)[0] for mistake in caught.value.mistakes}
    assert {"title", "label", "purpose", "columns", "split", "colour"} <= fields


def test_a_declaration_without_a_column_to_read_is_refused():
    fraud_only = VALID.replace('purpose = "credit"\n\n[split]', 'purpose = "fraud"\n\n[split]')
    with pytest.raises(TableSchemaInvalid, match="columns: none is for the purpose fraud"):
        parse_table_schema(fraud_only)


def test_what_is_no_toml_is_refused():
    with pytest.raises(TableSchemaInvalid, match="schema: is no TOML"):
        parse_table_schema("label =")


@pytest.mark.parametrize(
    ("operation", "sources", "implied"),
    [
        (Operation.SUM, (WORSE, WORSE), WORSE),
        (Operation.SUM, (WORSE, BETTER), None),
        (Operation.MAXIMUM, (NONE, NONE), NONE),
        (Operation.COUNT_POSITIVE, (BETTER, NONE), BETTER),
        (Operation.DIFFERENCE, (WORSE, BETTER), WORSE),
        (Operation.DIFFERENCE, (WORSE, WORSE), None),
        (Operation.RATIO, (BETTER, NONE), BETTER),
        (Operation.RATIO, (NONE, BETTER), None),
        (Operation.PRODUCT, (WORSE, NONE), None),
        (Operation.PRODUCT, (NONE, NONE), NONE),
    ],
)
def test_the_direction_of_a_derived_column_follows_from_its_sources(operation, sources, implied):
    assert implied_direction(operation, sources) is implied


@pytest.mark.parametrize("name", sorted(SCHEMA_FILES))
def test_the_public_tables_are_declared_validly_and_without_protected_columns_in_use(name):
    schema = parse_table_schema((SCHEMA_FOLDER / SCHEMA_FILES[name]).read_text(encoding="utf-8"))
    assert schema.has_protected
    assert schema.split.folds == 5
    assert any(column.direction is not NONE for column in schema.columns)
