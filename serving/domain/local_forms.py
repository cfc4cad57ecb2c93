"""Amounts, dates, instants, shares and numbers as a language writes them.

Signs, order and months come from CLDR, by Babel; what is between date and time is a translator's word.
"""

from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache

from babel import Locale
from babel.dates import format_date, format_time, get_timezone_gmt, get_timezone_name

from data_contracts.currencies import amount_figure
from serving.domain.text_files import INSTANT_FORMS, LANGUAGES, text_language

_CLDR_NAMES = {"en": "en_GB"}
"""English is written to Europeans: the day before the month, and 24 hours."""

_NO_BREAK_SPACE = "\u00a0"

_SIGN_OF_EURO = {"nl": "€"}
"""Where readers want the sign. Every other currency keeps its code, which nobody can mistake."""


@dataclass(frozen=True, kw_only=True)
class _Signs:
    """What CLDR says of one language. In an amount's form ¤ stands for the currency and # for the figure."""

    locale: Locale
    thousands: str
    decimal: str
    minus: str
    amount: str
    negative_amount: str
    after_percents: str
    euro: str


def _signs_of(language: str) -> _Signs:
    locale = Locale.parse(_CLDR_NAMES.get(language, language))
    symbols = locale.number_symbols["latn"]
    amount, negative_amount = (
        # Letters do not touch a digit (CLDR's currencySpacing), and no mail program may part them.
        f"{before}#{after}".replace("¤#", f"¤{_NO_BREAK_SPACE}#").replace("-", symbols["minusSign"])
        for before, after in zip(
            locale.currency_formats["standard"].prefix,
            locale.currency_formats["standard"].suffix,
            strict=True,
        )
    )
    return _Signs(
        locale=locale,
        thousands=symbols["group"],
        decimal=symbols["decimal"],
        minus=symbols["minusSign"],
        amount=amount,
        negative_amount=negative_amount,
        after_percents=locale.percent_formats[None].suffix[0],
        euro=_SIGN_OF_EURO.get(language, "EUR"),
    )


# Read once: asking Babel for each amount would cost a declined order ten times what its reasons cost.
_SIGNS = {language: _signs_of(language) for language in LANGUAGES}


def _signs(language: str) -> _Signs:
    return _SIGNS.get(language) or _SIGNS[text_language(language)]


def local_amount(cents: int, currency: str, language: str) -> str:
    r"""An amount of minor units, with its currency's decimals and code. No blank in it lets a line break.

    The euro has its sign in Dutch.

    currency: "" where it is not known; the figure then stands alone.

    >>> [local_amount(123456, "EUR", language) for language in ("en", "de", "sv")]
    ['EUR\xa01,234.56', '1.234,56\xa0EUR', '1\xa0234,56\xa0EUR']
    >>> local_amount(-5, "KWD", "nl"), local_amount(-1234, "JPY", "en")
    ('KWD\xa0-0,005', '-JPY\xa01,234')
    >>> local_amount(23900, "EUR", "nl")
    '€\xa0239,00'
    """
    signs = _signs(language)
    figure = amount_figure(abs(cents), currency, thousands=signs.thousands, decimal=signs.decimal)
    form = signs.negative_amount if cents < 0 else signs.amount
    return form.replace("#", figure).replace("¤", signs.euro if currency == "EUR" else currency).strip()


@lru_cache(maxsize=4096)
def local_date(day: date, language: str) -> str:
    """A day, its month in words.

    >>> [local_date(date(2026, 3, 1), language) for language in ("en", "de", "da", "nl", "sv")]
    ['1 March 2026', '1. März 2026', '1. marts 2026', '1 maart 2026', '1 mars 2026']
    """
    return format_date(day, "long", locale=_signs(language).locale)


def local_instant(moment: datetime, language: str) -> str:
    """An instant: date, time and time zone.

    Raises ValueError for one without a time zone, which a reader elsewhere would misread.

    >>> from zoneinfo import ZoneInfo
    >>> moment = datetime(2026, 3, 1, 14, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    >>> local_instant(moment, "de"), local_instant(moment, "da")
    ('1. März 2026, 14:30 Uhr (MEZ)', '1. marts 2026 kl. 14.30 (CET)')
    """
    if moment.tzinfo is None:
        raise ValueError("the instant has no time zone")
    language = text_language(language)
    return INSTANT_FORMS[language].format(
        date=local_date(moment.date(), language),
        time=_local_time(moment.hour, moment.minute, language),
        zone=_zone_name(moment.replace(minute=0, second=0, microsecond=0), moment.fold, language),
    )


def local_percent(share: float, language: str, *, digits: int = 1) -> str:
    r"""A share, 1 being the whole.

    >>> local_percent(0.0425, "en"), local_percent(0.0425, "nl"), local_percent(0.0425, "sv")
    ('4.2%', '4,2%', '4,2\xa0%')
    """
    return f"{_with_signs(f'{share * 100:,.{digits}f}', language)}{_signs(language).after_percents}"


def local_number(value: float, language: str) -> str:
    """A number: whole ones as they are, others with two decimals, small ones with three digits.

    >>> [local_number(value, "de") for value in (1234567, 1234.5, 0.012345)]
    ['1.234.567', '1.234,5', '0,0123']
    """
    if float(value).is_integer():
        text = f"{int(value):,}"
    elif abs(value) >= 1:
        text = f"{value:,.2f}".rstrip("0").rstrip(".")
    else:
        text = f"{value:.3g}"
    return _with_signs(text, language)


def _with_signs(text: str, language: str) -> str:
    """A number as Python writes it, with the language's signs."""
    signs = _signs(language)
    return text.translate({ord(","): signs.thousands, ord("."): signs.decimal, ord("-"): signs.minus})


@lru_cache(maxsize=8192)
def _local_time(hour: int, minute: int, language: str) -> str:
    return format_time(time(hour, minute), "short", locale=_signs(language).locale)


@lru_cache(maxsize=4096)
def _zone_name(hour: datetime, fold: int, language: str) -> str:
    """The zone's short name, its distance from Greenwich where the language has no short name for it.

    hour: the moment without minutes and less: within an hour no zone changes its name. fold: of the moment,
        for the cache: the two hours of a night when clocks are turned back are equal without it.
    """
    hour = hour.replace(fold=fold)
    locale = _signs(language).locale
    name = get_timezone_name(hour, "short", locale=locale)
    return name if name.isalpha() else get_timezone_gmt(hour, "long", locale=locale)
