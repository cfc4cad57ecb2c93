"""Local forms of amounts, dates, numbers and spans of time. The console's words are English."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from data_contracts.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, moment, rfc3339
from data_contracts.text_form import primary_language
from serving.domain.local_forms import local_amount, local_date, local_instant, local_number, local_percent
from serving.domain.text_files import FALLBACK_LANGUAGE, LANGUAGES

ACCEPT_LANGUAGE_MAXIMUM = 500
"""Characters of the header that are looked at."""


@dataclass(frozen=True, kw_only=True)
class Locale:
    """How one reader writes amounts and dates.

    language: one of en, de, da, nl, sv. now_ms: the moment of the request, for spans from now on.
    sandbox_ahead_ms: how far a sandbox's clock is ahead of the machine's; None where the store is none.
    """

    language: str
    zone: ZoneInfo
    now_ms: int
    sandbox_ahead_ms: int | None = None

    def amount(self, cents: int, currency: str) -> str:
        r"""An amount of whole cents.

        >>> Locale(language="de", zone=ZoneInfo("Europe/Berlin"), now_ms=0).amount(123456, "EUR")
        '1.234,56\xa0EUR'
        """
        return local_amount(cents, currency, self.language)

    def date(self, ms: int) -> Markup:
        """The day of an instant, as a `<time>` element.

        >>> Locale(language="nl", zone=ZoneInfo("Europe/Amsterdam"), now_ms=0).date(1772319600000)
        Markup('<time datetime="2026-03-01">1 maart 2026</time>')
        """
        day = self._local_moment(ms).date()
        return Markup('<time datetime="{}">{}</time>').format(day.isoformat(), local_date(day, self.language))

    def instant(self, ms: int) -> Markup:
        """Day, time of day and zone of an instant, as a `<time>` element.

        >>> Locale(language="en", zone=ZoneInfo("Europe/Berlin"), now_ms=0).instant(1772371800000)
        Markup('<time datetime="2026-03-01T13:30:00Z">1 March 2026, 14:30 (CET)</time>')
        """
        text = local_instant(self._local_moment(ms), self.language)
        return Markup('<time datetime="{}">{}</time>').format(self.iso(ms), text)

    def iso(self, ms: int) -> str:
        """An instant for a `datetime` attribute."""
        return rfc3339(ms)[:19] + "Z"

    def duration(self, ms: int) -> str:
        """A span from now: into the future where it is positive, into the past where it is negative.

        >>> locale = Locale(language="en", zone=ZoneInfo("UTC"), now_ms=0)
        >>> locale.duration(7_500_000), locale.duration(-3 * 86_400_000), locale.duration(90_000)
        ('in 2 h 05 min', '3 days ago', 'in 1 min')
        >>> locale.duration(-20_000)
        '20 s ago'
        """
        span = self.span(abs(ms))
        if abs(ms) < SECOND_MS:
            return "now"
        return f"in {span}" if ms > 0 else f"{span} ago"

    def span(self, ms: int) -> str:
        """A length of time.

        >>> locale = Locale(language="en", zone=ZoneInfo("UTC"), now_ms=0)
        >>> locale.span(45_000), locale.span(86_400_000), locale.span(60 * 3_600_000)
        ('45 s', '24 h 00 min', '2 days')
        """
        if ms < MINUTE_MS:
            return f"{ms // SECOND_MS} s"
        if ms < HOUR_MS:
            return f"{ms // MINUTE_MS} min"
        if ms < 2 * DAY_MS:
            return f"{ms // HOUR_MS} h {ms % HOUR_MS // MINUTE_MS:02d} min"
        return f"{ms // DAY_MS} days"

    def from_now(self, ms: int) -> str:
        """How far an instant lies from the moment of the request, as `duration`."""
        return self.duration(ms - self.now_ms)

    def countdown(self, ms: int) -> Markup:
        """How far an instant lies from now, as a `<time>` element that ticks in the browser."""
        return Markup('<time data-countdown datetime="{}">{}</time>').format(self.iso(ms), self.from_now(ms))

    def percent(self, share: float, digits: int = 1) -> str:
        """A share, 1 being the whole.

        >>> [Locale(language=one, zone=ZoneInfo("UTC"), now_ms=0).percent(0.0425) for one in ("en", "nl")]
        ['4.2%', '4,2%']
        """
        return local_percent(share, self.language, digits=digits)

    def number(self, value: float) -> str:
        """A number: whole ones as they are, others with two decimals, small ones with three digits.

        >>> locale = Locale(language="de", zone=ZoneInfo("UTC"), now_ms=0)
        >>> locale.number(1234567), locale.number(1234.5), locale.number(0.012345)
        ('1.234.567', '1.234,5', '0,0123')
        """
        return local_number(value, self.language)

    def _local_moment(self, ms: int) -> datetime:
        return moment(ms).astimezone(self.zone)


def language_of(accept_language: str) -> str:
    """The language of ours that a reader likes best, English where there is none.

    >>> language_of("fr;q=0.9, da;q=0.8, en;q=0.7"), language_of("de-AT,de;q=0.9"), language_of("")
    ('da', 'de', 'en')
    """
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept_language[:ACCEPT_LANGUAGE_MAXIMUM].split(",")):
        tag, *parameters = (word.strip() for word in part.split(";"))
        primary = primary_language(tag)
        weight = _weight(parameters)
        if primary in LANGUAGES and weight > 0:
            wanted.append((-weight, place, primary))
    return min(wanted)[2] if wanted else FALLBACK_LANGUAGE


def _weight(parameters: list[str]) -> float:
    """The q-value; what is no number counts as not wanted."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            digits = value.strip()
            return float(digits) if digits.replace(".", "", 1).isdecimal() and digits.isascii() else 0.0
    return 1.0


def _filter_of(form: str) -> Callable[..., Any]:
    @pass_context
    def apply(context: Context, value: Any, *arguments: Any, **options: Any) -> Any:
        return getattr(context["locale"], form)(value, *arguments, **options)

    return apply


FILTERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        form: _filter_of(form)
        for form in (
            "amount",
            "date",
            "instant",
            "iso",
            "duration",
            "span",
            "from_now",
            "countdown",
            "percent",
            "number",
        )
    }
)
"""The forms as Jinja filters: `{{ case.amount_cents | amount(case.currency) }}`. They read `locale`."""
