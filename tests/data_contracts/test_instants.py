"""What an instant looks like, and that one module says it."""

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.instants import DAY_MS, EPOCH, instant_ms, iso_instant, moment, rfc3339, timestamp_ms

ROOT = Path(__file__).parent.parent.parent
HOME = ROOT / "data_contracts" / "instants.py"
INSTANTS = st.integers(
    instant_ms(datetime(1900, 1, 1, tzinfo=UTC)), instant_ms(datetime(9999, 1, 1, tzinfo=UTC))
)


@given(INSTANTS)
def test_an_instant_survives_each_of_its_forms(milliseconds: int) -> None:
    assert instant_ms(moment(milliseconds)) == milliseconds
    assert timestamp_ms(rfc3339(milliseconds)) == milliseconds
    assert timestamp_ms(iso_instant(milliseconds)) == milliseconds


@given(INSTANTS, st.integers(-23, 23), st.integers(0, 999))
def test_the_same_instant_in_another_zone_is_the_same_millisecond(
    milliseconds: int, hours: int, microseconds: int
) -> None:
    written = (moment(milliseconds) + timedelta(microseconds=microseconds)).astimezone(
        timezone(timedelta(hours=hours))
    )
    assert instant_ms(written) == milliseconds


def test_a_day_is_counted_from_the_epoch() -> None:
    assert moment(0) == EPOCH
    assert moment(DAY_MS).date().isoformat() == "1970-01-02"


@pytest.mark.parametrize(
    ("another_spelling", "home"),
    [
        (r"fromtimestamp\(", "moment"),
        (r"\.timestamp\(\) \* 1_?000", "instant_ms"),
        (r"= (24 \* )?(86_400_000|3_600_000|60_000)$", "DAY_MS, HOUR_MS, MINUTE_MS"),
    ],
)
def test_nobody_else_spells_an_instant(another_spelling: str, home: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}: {line.strip()} (use {home})"
        for package in ("command_line", "data_contracts", "features", "serving", "training")
        for file in (ROOT / package).rglob("*.py")
        if file != HOME and "migrations" not in file.parts
        for line in file.read_text().splitlines()
        if re.search(another_spelling, line)
    ]
    assert not found
