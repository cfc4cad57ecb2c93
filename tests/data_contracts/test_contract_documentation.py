from pathlib import Path

import pytest

from data_contracts.documentation import contract_markdown, contracts_markdown, rules_between_rows_page
from data_contracts.ledger_contracts import ALL_CONTRACTS, CONTRACTS


@pytest.mark.parametrize("contract", ALL_CONTRACTS, ids=lambda contract: contract.name)
def test_every_column_has_a_line_with_as_many_cells(contract):
    lines = [line for line in contract_markdown(contract).splitlines() if line.startswith("| `")]
    assert len(lines) == len(contract.columns)
    for line, column in zip(lines, contract.columns, strict=True):
        assert line.replace("\\|", "").count("|") == 9
        assert line.startswith(f"| `{column.name}` | {column.type.value} |")


def test_a_line_says_what_a_sender_must_know():
    text = contract_markdown(CONTRACTS["customers"])
    (line,) = [line for line in text.splitlines() if line.startswith("| `residence_country`")]
    assert "allowed: no fixed residence is known" in line
    assert "`[A-Z]{2}`, at most 2 characters" in line
    assert "| `birth_date` | date |  | required |  |  | yes |" in text


def test_rules_between_columns_are_sentences():
    assert "- `vat_cents` does not exceed `amount_cents`" in contract_markdown(CONTRACTS["orders"])
    events = contract_markdown(CONTRACTS["order_events"])
    assert "- `new_amount_cents` is required when `kind` is `amended`" in events
    assert "- `due_at` lies after `occurred_at`" in contract_markdown(CONTRACTS["invoices"])


def test_the_document_holds_every_contract_and_the_rules_between_their_rows():
    text = contracts_markdown()
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == [*CONTRACTS, "Rules between rows"]


def test_the_table_in_the_documents_is_the_one_that_is_judged_by():
    page = (Path(__file__).parents[2] / "docs" / "rules_between_rows.md").read_text()
    assert page == rules_between_rows_page(), "run `make docs`"
