"""Amounts in any currency of ISO 4217, with its own decimals."""

import iso4217
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.currencies import CURRENCIES, DECIMALS, amount_figure, major_units
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.row_check import check_ledger_row
from serving.domain.local_forms import local_amount


def test_the_currencies_are_those_of_the_standard_with_its_decimals():
    of_the_standard = {}
    for entry in iso4217.raw_xml.findall("CcyTbl/CcyNtry"):
        name, code, decimals = (entry.find(tag) for tag in ("CcyNm", "Ccy", "CcyMnrUnts"))
        if code is not None and name.attrib.get("IsFund", "").lower() != "true" and decimals.text != "N.A.":
            of_the_standard[code.text] = int(decimals.text)
    assert dict(DECIMALS) == of_the_standard


@pytest.mark.parametrize("code", ["JPY", "KWD", "HUF", "TRY", "RON"])
def test_an_order_may_be_in_any_currency(a_row, code):
    assert check_ledger_row(CONTRACTS["orders"], a_row("orders", currency=code)).violations == ()


@pytest.mark.parametrize("code", ["XXX", "XAU", "XTS", "CHE", "DEM", "ZZZ", "eur", "EURO"])
def test_what_is_no_currency_is_refused_in_a_short_line(a_row, code):
    (violation,) = check_ledger_row(CONTRACTS["orders"], a_row("orders", currency=code)).violations
    assert violation.column == "currency"
    assert violation.message == "currency must be one of 157 codes, AED to ZWG"


@pytest.mark.parametrize(
    ("currency", "german", "english"),
    [
        ("EUR", "1.234,56\u00a0EUR", "EUR\u00a01,234.56"),
        ("JPY", "123.456\u00a0JPY", "JPY\u00a0123,456"),
        ("KWD", "123,456\u00a0KWD", "KWD\u00a0123.456"),
    ],
)
def test_customers_and_merchants_read_an_amount_with_the_decimals_of_its_currency(currency, german, english):
    assert [local_amount(123456, currency, language) for language in ("de", "en")] == [german, english]


@given(st.integers(-(10**12), 10**12), st.sampled_from(CURRENCIES))
def test_a_figure_says_every_minor_unit(minor, currency):
    figure = amount_figure(minor, currency)
    assert int(figure.replace(",", "").replace(".", "")) == minor
    fraction = figure.partition(".")[2]
    assert len(fraction) == DECIMALS[currency]
    assert float(figure.replace(",", "")) == pytest.approx(major_units(minor, currency))
