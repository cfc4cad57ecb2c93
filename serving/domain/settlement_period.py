"""The period of a settlement note: a calendar month where the provider is at home."""

import re
import zoneinfo
from dataclasses import dataclass
from datetime import date, datetime

from data_contracts.instants import moment
from serving.domain.errors import RiskError

FIRST_YEAR, LAST_YEAR = 2000, 2999
_FORM = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


class PeriodInvalid(RiskError):
    """What was given names no period."""


@dataclass(frozen=True, kw_only=True, order=True)
class Period:
    """One calendar month. As text, such as 2026-11, a later period is greater."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> "Period":
        """The period that a text names. Raises PeriodInvalid.

        >>> Period.parse("2026-11")
        Period(year=2026, month=11)
        """
        match = _FORM.fullmatch(text)
        if match is None or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
            raise PeriodInvalid("period: must be a month such as 2026-11")
        return cls(year=int(match[1]), month=int(match[2]))

    @classmethod
    def at(cls, instant_ms: int, zone: zoneinfo.ZoneInfo) -> "Period":
        """The period in which an instant lies; the first instant of a month belongs to it.

        >>> Period.at(1793487600000 - 1, zoneinfo.ZoneInfo("Europe/Berlin")).text
        '2026-10'
        >>> Period.at(1793487600000, zoneinfo.ZoneInfo("Europe/Berlin")).text
        '2026-11'
        """
        local = moment(instant_ms).astimezone(zone)
        return cls(year=local.year, month=local.month)

    @property
    def text(self) -> str:
        """As it is written."""
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def next(self) -> "Period":
        """The month after."""
        is_december = self.month == 12
        return Period(
            year=self.year + 1 if is_december else self.year, month=1 if is_december else self.month + 1
        )

    def starts_at_ms(self, zone: zoneinfo.ZoneInfo) -> int:
        """The instant of its first local midnight; it ends where the next one starts.

        >>> Period.parse("2026-11").starts_at_ms(zoneinfo.ZoneInfo("Europe/Berlin"))
        1793487600000
        """
        return start_of_day_ms(date(self.year, self.month, 1), zone)


def start_of_day_ms(day: date, zone: zoneinfo.ZoneInfo) -> int:
    """The instant at which a local date begins."""
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1_000
