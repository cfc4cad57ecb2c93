import re

import pytest

from data_contracts.contract import Column, ColumnType, Contract, identifier, portable_pattern
from data_contracts.ledger_contracts import ALL_CONTRACTS, CONTRACTS
from data_contracts.row_check import CONTROL_CHARACTER_CLASS, check_ledger_row
from data_contracts.rules import row_rule_parts

COLUMNS = [
    pytest.param(contract, column, id=f"{contract.name}.{column.name}")
    for contract in ALL_CONTRACTS
    for column in contract.columns
]


def test_a_nullable_column_says_what_missing_means():
    with pytest.raises(ValueError, match="missing means"):
        Column(name="note", type=ColumnType.STRING, description="", nullable=True)


def test_a_contract_does_not_declare_a_column_twice():
    with pytest.raises(ValueError, match="twice"):
        Contract(
            name="x", description="", occurred_at_description="", key=("event_id",), entity="event_id",
            own_columns=(identifier("a", ""), identifier("a", "")),
        )  # fmt: skip


def test_a_key_is_one_of_the_columns():
    with pytest.raises(ValueError, match="no column nowhere"):
        Contract(
            name="x", description="", occurred_at_description="", key=("nowhere",), entity="event_id",
            own_columns=(),
        )  # fmt: skip


def test_a_contract_stands_after_every_contract_that_it_refers_to():
    seen = set()
    for contract in ALL_CONTRACTS:
        assert {reference.contract for _, reference in contract.references()} <= seen
        seen.add(contract.name)


@pytest.mark.parametrize(("contract", "column"), COLUMNS)
def test_a_reference_names_the_key_of_its_contract(contract, column):
    if column.reference is not None:
        assert CONTRACTS[column.reference.contract].key == (column.reference.column,)


@pytest.mark.parametrize(("contract", "column"), COLUMNS)
def test_an_integer_has_bounds_and_a_unit(contract, column):
    if column.type is ColumnType.INT64:
        assert column.minimum is not None
        assert column.maximum is not None
        assert column.unit


@pytest.mark.parametrize(("contract", "column"), COLUMNS)
def test_a_pattern_is_read_alike_by_every_engine_and_refuses_control_characters(contract, column):
    if column.pattern is None:
        return
    pattern = portable_pattern(column.pattern)
    # No shorthand classes, anchors or look-around: their meaning differs between the engines.
    assert not re.search(r"\\[a-zA-Z]|\(\?[^:]|(?<!\[)\^|\$", pattern)
    for code in range(0x3001):
        if re.match(CONTROL_CHARACTER_CLASS, chr(code)):
            assert re.fullmatch(f"(?:{pattern})", chr(code)) is None
            for good in ("a@b.de", "https://a.de", "ab", "DE", "12:30", "+49 123456"):
                assert re.fullmatch(f"(?:{pattern})", good + chr(code)) is None


@pytest.mark.parametrize("contract", ALL_CONTRACTS, ids=lambda contract: contract.name)
def test_row_rules_name_columns_of_the_contract(contract):
    names = {column.name for column in contract.columns}
    for row_rule in contract.row_rules:
        parts = row_rule_parts(row_rule)
        assert {parts.column, parts.other_column} <= names


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_builders_build_valid_rows(a_row, name):
    assert check_ledger_row(CONTRACTS[name], a_row(name)).violations == ()


@pytest.mark.parametrize("name", CONTRACTS)
def test_nothing_but_the_known_columns_is_personal(name):
    personal = {column.name for column in CONTRACTS[name].columns if column.personal}
    named_like_a_person = {
        column.name
        for column in CONTRACTS[name].columns
        if re.search(r"given_name|family_name|birth|phone$|contact_|street|postal|ip_address", column.name)
    }
    assert named_like_a_person <= personal
