"""Deadlines on business days: counted by hand, and against a twin that walks by quarters of an hour."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.instants import DAY_MS, HOUR_MS, instant_ms, moment
from serving.domain.business_days import BusinessCalendar, deadline_after
from serving.domain.errors import UnknownCalendar

ZONES = {
    "DE": "Europe/Berlin", "AT": "Europe/Vienna", "NL": "Europe/Amsterdam", "DK": "Europe/Copenhagen",
    "SE": "Europe/Stockholm", "FI": "Europe/Helsinki", "NO": "Europe/Oslo",
}  # fmt: skip
QUARTER_MS = HOUR_MS // 4


def calendar_of(place):
    country = place.partition("-")[0]
    region = place if place != country else None
    return BusinessCalendar(country=country, region=region, time_zone=ZONES[country])


def local(calendar, text):
    return instant_ms(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(calendar.time_zone)))


BY_HAND = [
    # The place, the local start, business days, and in UTC when the last of them has ended.
    # Christmas and New Year: 24, 28, 29, 30, 31 December, 4 January. Germany's eves are business days.
    ("DE", "2026-12-23T15:00", 1, "2026-12-24T23:00"),
    ("DE", "2026-12-23T15:00", 2, "2026-12-28T23:00"),
    ("DE", "2026-12-23T15:00", 6, "2027-01-04T23:00"),
    # Epiphany, Wednesday 6 January 2027: in Bavaria, not in all of Germany.
    ("DE", "2027-01-05T23:59", 1, "2027-01-06T23:00"),
    ("DE-BY", "2027-01-05T23:59", 1, "2027-01-07T23:00"),
    # Corpus Christi, Thursday 4 June 2026: in Bavaria, not in Berlin.
    ("DE-BY", "2026-06-03T00:00", 1, "2026-06-05T22:00"),
    ("DE-BE", "2026-06-03T00:00", 1, "2026-06-04T22:00"),
    # Easter 2026: Good Friday 3 April, Monday 6 April. Austria's Good Friday is a business day.
    ("DE", "2026-04-02T12:00", 1, "2026-04-07T22:00"),
    ("AT", "2026-04-02T12:00", 1, "2026-04-03T22:00"),
    ("AT", "2026-04-02T12:00", 2, "2026-04-07T22:00"),
    # Austria's national day, Monday 26 October 2026, a day after the clocks went back.
    ("AT", "2026-10-23T12:00", 1, "2026-10-27T23:00"),
    # Clocks go forward on Sunday 29 March 2026 and back on Sunday 25 October 2026.
    ("DE", "2026-03-26T12:00", 1, "2026-03-27T23:00"),
    ("DE", "2026-03-27T12:00", 1, "2026-03-30T22:00"),
    ("DE", "2026-10-22T12:00", 1, "2026-10-23T22:00"),
    ("DE", "2026-10-23T12:00", 1, "2026-10-26T23:00"),
    # Three weeks of business days from a Friday, over both days of Easter and the change of clocks.
    ("DE", "2026-03-20T09:00", 15, "2026-04-14T22:00"),
    # The Netherlands: Liberation Day each fifth year, Monday 5 May 2025, not Tuesday 5 May 2026; King's Day.
    ("NL", "2025-05-02T10:00", 1, "2025-05-06T22:00"),
    ("NL", "2026-05-04T10:00", 1, "2026-05-05T22:00"),
    ("NL", "2026-04-24T10:00", 1, "2026-04-28T22:00"),
    # Denmark: Maundy Thursday; Great Prayer Day, Friday 5 May 2023, is no more one in 2024 (26 April).
    ("DK", "2026-04-01T08:00", 1, "2026-04-07T22:00"),
    ("DK", "2023-05-04T08:00", 1, "2023-05-08T22:00"),
    ("DK", "2024-04-25T08:00", 1, "2024-04-26T22:00"),
    # Sweden: Midsummer Eve, Friday 19 June 2026, is no day off by law; the National Day, 6 June 2025, is.
    ("SE", "2026-06-18T08:00", 1, "2026-06-19T22:00"),
    ("SE", "2025-06-05T08:00", 1, "2025-06-09T22:00"),
    ("SE", "2026-12-23T08:00", 1, "2026-12-24T23:00"),
    # Finland, an hour ahead: Midsummer Eve and Christmas Eve are days off, as is 6 December.
    ("FI", "2026-06-18T08:00", 1, "2026-06-22T21:00"),
    ("FI", "2026-12-23T08:00", 1, "2026-12-28T22:00"),
    ("FI", "2024-12-05T08:00", 1, "2024-12-09T22:00"),
    ("FI-18", "2023-12-05T08:00", 1, "2023-12-07T22:00"),
    # Norway: 17 May 2027 is Whit Monday too; Maundy Thursday 25 March 2027.
    ("NO", "2027-05-14T08:00", 1, "2027-05-18T22:00"),
    ("NO", "2027-03-24T08:00", 1, "2027-03-30T22:00"),
    # Constitution Day, Friday 17 May 2024, and Whit Monday, 20 May.
    ("NO-03", "2024-05-16T08:00", 1, "2024-05-21T22:00"),
]


@pytest.mark.parametrize(("place", "start", "business_days", "ended_utc"), BY_HAND)
def test_a_deadline_counted_by_hand(place, start, business_days, ended_utc):
    calendar = calendar_of(place)
    deadline = deadline_after(local(calendar, start), business_days, calendar)
    assert moment(deadline) == datetime.fromisoformat(ended_utc).replace(tzinfo=UTC)
    last, after = (
        moment(deadline + step).astimezone(ZoneInfo(calendar.time_zone)).date() for step in (-1000, 1000)
    )
    # A second before it is the last business day, a second after it the day that follows.
    assert calendar.is_business_day(last)
    assert after == last + timedelta(days=1)


def test_the_same_deadline_is_told_from_every_hour_of_a_day():
    calendar = calendar_of("DE")
    # The day on which the clocks go forward has 23 hours.
    midnight = local(calendar, "2026-03-29T00:00")
    told = {deadline_after(midnight + hour * HOUR_MS, 3, calendar) for hour in range(23)}
    assert len(told) == 1
    assert deadline_after(midnight + 23 * HOUR_MS, 3, calendar) not in told


def twin(start_ms, business_days, place):
    """Walk from quarter to quarter of an hour, and count the days that ended, each asked of the library."""
    country, _, part = place.partition("-")
    zone = ZoneInfo(ZONES[country])
    days_off = holidays.country_holidays(country, subdiv=part or None)

    def local_day(at_ms):
        return datetime.fromtimestamp(at_ms / 1000, zone).date()

    at_ms = start_ms // QUARTER_MS * QUARTER_MS
    first = day = local_day(at_ms)
    ended = 0
    while ended < business_days:
        at_ms += QUARTER_MS
        before, day = day, local_day(at_ms)
        if before not in (day, first):
            ended += before.isoweekday() <= 5 and before not in days_off
    return at_ms


@settings(max_examples=60)
@given(
    place=st.sampled_from([*ZONES, "DE-BY", "DE-SN", "DE-BE", "AT-9", "NO-03", "FI-18"]),
    start_ms=st.datetimes(datetime(2019, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC)).map(instant_ms),  # noqa: DTZ001
    business_days=st.integers(1, 21),
)
def test_a_deadline_is_that_of_a_walk_through_every_quarter_of_an_hour(place, start_ms, business_days):
    deadline = deadline_after(start_ms, business_days, calendar_of(place))
    assert deadline == twin(start_ms, business_days, place)
    assert deadline > start_ms + business_days * DAY_MS - HOUR_MS


def test_a_midnight_that_the_clocks_skip_ends_the_day_when_they_do():
    # Cairo's clocks go from 00:00 to 01:00 on 24 April 2026, at 22:00 UTC.
    cairo = BusinessCalendar(country="EG", time_zone="Africa/Cairo")
    deadline = deadline_after(local(cairo, "2026-04-22T12:00"), 1, cairo)
    assert moment(deadline).isoformat() == "2026-04-23T22:00:00+00:00"


@pytest.mark.parametrize(
    ("country", "region", "zone", "said"),
    [
        ("XX", None, "Europe/Berlin", "the public holidays of XX are not known"),
        ("DEU", None, "Europe/Berlin", "the public holidays of DEU are not known"),
        ("DE", "DE-XX", "Europe/Berlin", "the public holidays of DE-XX are not known"),
        ("DE", "AT-9", "Europe/Berlin", "AT-9 is no part of DE"),
        ("DE", "BY", "Europe/Berlin", "BY is no part of DE"),
        ("DE", None, "Europe/Atlantis", "there is no time zone 'Europe/Atlantis'"),
        ("DE", None, "../etc/passwd", "there is no time zone '../etc/passwd'"),
        ("DE", None, "", "there is no time zone ''"),
    ],
)
def test_a_calendar_that_nobody_knows_is_named(country, region, zone, said):
    with pytest.raises(UnknownCalendar) as refused:
        BusinessCalendar(country=country, region=region, time_zone=zone)
    assert str(refused.value) == said


@pytest.mark.parametrize(("country", "region"), [("SE", "SE-AB"), ("DK", "DK-84"), ("NL", "NL-NH")])
def test_where_no_part_has_holidays_of_its_own_the_whole_country_counts(country, region):
    part = BusinessCalendar(country=country, region=region, time_zone=ZONES[country])
    whole = BusinessCalendar(country=country, time_zone=ZONES[country])
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]
    assert [part.is_business_day(day) for day in days] == [whole.is_business_day(day) for day in days]


def test_a_deadline_lies_one_business_day_ahead_at_least():
    for business_days in (0, -1):
        with pytest.raises(ValueError, match="one business day"):
            deadline_after(0, business_days, calendar_of("DE"))


def test_the_library_of_calendars_is_not_loaded_before_the_first_deadline():
    code = "import sys, serving.domain.business_days; sys.exit('holidays' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
