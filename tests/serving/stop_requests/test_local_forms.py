"""Amounts, dates, instants and numbers in each language: pinned, and held to Babel's own slow functions."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from babel.numbers import format_currency
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.currencies import CURRENCIES, DECIMALS
from serving.domain.local_forms import (
    local_amount,
    local_date,
    local_instant,
    local_number,
    local_percent,
)
from serving.domain.text_files import LANGUAGES

MINUS = "\u2212"


@pytest.mark.parametrize(
    ("language", "expected", "negative"),
    [
        ("en", "EUR\u00a01,234,567.08", "-EUR\u00a00.05"),
        ("de", "1.234.567,08\u00a0EUR", "-0,05\u00a0EUR"),
        ("da", "1.234.567,08\u00a0EUR", "-0,05\u00a0EUR"),
        ("nl", "€\u00a01.234.567,08", "€\u00a0-0,05"),
        ("sv", "1\u00a0234\u00a0567,08\u00a0EUR", f"{MINUS}0,05\u00a0EUR"),
        ("fi", "EUR\u00a01,234,567.08", "-EUR\u00a00.05"),
    ],
)
def test_an_amount_is_written_as_is_usual_in_the_language(
    language: str, expected: str, negative: str
) -> None:
    assert local_amount(123456708, "EUR", language) == expected
    assert local_amount(-5, "EUR", language) == negative


def test_an_amount_without_its_currency_is_the_figure_alone() -> None:
    assert {local_amount(123456, "", language) for language in ("de", "nl")} == {"1.234,56"}


@given(
    cents=st.integers(min_value=-(10**15), max_value=10**15),
    currency=st.sampled_from(["EUR", "JPY", "KWD"]),
    language=st.sampled_from(LANGUAGES),
)
def test_an_amount_is_what_babel_makes_of_it(cents: int, currency: str, language: str) -> None:
    """But for € in Dutch, and what Babel leaves out of CLDR: the blank after a code, the Swedish minus."""
    locale = Locale.parse({"en": "en_GB"}.get(language, language))
    with_code = locale.currency_formats["standard"].pattern.replace("¤", "¤¤")
    amount = Decimal(cents).scaleb(-DECIMALS[currency])
    of_babel = format_currency(amount, currency, format=with_code, locale=locale)
    spaced = re.sub(r"(?<=[A-Z])(?=\d)", "\u00a0", of_babel)
    if language == "nl":
        spaced = spaced.replace("EUR", "€")
    assert local_amount(cents, currency, language).replace(MINUS, "-") == spaced


@given(
    cents=st.integers(min_value=0, max_value=10**15),
    currency=st.sampled_from(CURRENCIES),
    language=st.sampled_from(LANGUAGES),
)
def test_the_digits_of_an_amount_are_those_of_the_cents(cents: int, currency: str, language: str) -> None:
    amount = local_amount(cents, currency, language)
    assert re.sub(r"\D", "", amount) == f"{cents:0{DECIMALS[currency] + 1}d}"
    assert " " not in amount


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "9 March 2026"),
        ("de", "9. März 2026"),
        ("da", "9. marts 2026"),
        ("nl", "9 maart 2026"),
        ("sv", "9 mars 2026"),
        ("fi", "9 March 2026"),
    ],
)
def test_a_day_is_written_with_its_month_in_words(language: str, expected: str) -> None:
    assert local_date(date(2026, 3, 9), language) == expected


@pytest.mark.parametrize(
    ("language", "expected", "in_summer"),
    [
        ("en", "9 March 2026, 08:05 (CET)", "CEST"),
        ("de", "9. März 2026, 08:05 Uhr (MEZ)", "MESZ"),
        ("da", "9. marts 2026 kl. 08.05 (CET)", "CEST"),
        ("nl", "9 maart 2026 om 08:05 uur (CET)", "CEST"),
        ("sv", "9 mars 2026 kl. 08:05 (CET)", "CEST"),
    ],
)
def test_an_instant_is_written_as_is_usual_in_the_language(
    language: str, expected: str, in_summer: str
) -> None:
    zone = ZoneInfo("Europe/Berlin")
    assert local_instant(datetime(2026, 3, 9, 8, 5, tzinfo=zone), language) == expected
    assert local_instant(datetime(2026, 7, 9, 8, 5, tzinfo=zone), language).endswith(f"({in_summer})")


def test_the_zone_is_that_of_the_moment_on_the_day_when_clocks_change() -> None:
    zone = ZoneInfo("Europe/Berlin")
    twice = [datetime(2026, 10, 25, at, 30, tzinfo=UTC).astimezone(zone) for at in (0, 1)]
    assert [local_instant(moment, "de") for moment in twice] == [
        "25. Oktober 2026, 02:30 Uhr (MESZ)",
        "25. Oktober 2026, 02:30 Uhr (MEZ)",
    ]


@pytest.mark.parametrize(
    ("zone", "named"), [("UTC", "UTC"), ("Asia/Kolkata", "GMT+05:30"), ("America/New_York", "GMT-05:00")]
)
def test_a_zone_without_a_short_name_in_the_language_is_told_by_its_distance(zone: str, named: str) -> None:
    assert local_instant(datetime(2026, 1, 9, 8, 5, tzinfo=ZoneInfo(zone)), "en").endswith(f" ({named})")


def test_an_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        local_instant(datetime(2026, 3, 9, 8, 5), "en")  # noqa: DTZ001 # the mistake under test


@pytest.mark.parametrize(
    ("language", "percent", "number"),
    [
        ("en", "-1,234.5%", "-12,345.67"),
        ("de", "-1.234,5\u00a0%", "-12.345,67"),
        ("da", "-1.234,5\u00a0%", "-12.345,67"),
        ("nl", "-1.234,5%", "-12.345,67"),
        ("sv", f"{MINUS}1\u00a0234,5\u00a0%", f"{MINUS}12\u00a0345,67"),
    ],
)
def test_a_share_and_a_number_have_the_signs_of_the_language(
    language: str, percent: str, number: str
) -> None:
    assert local_percent(-12.345, language) == percent
    assert local_number(-12345.67, language) == number
