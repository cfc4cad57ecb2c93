"""Merchant texts: everything a merchant reads about a stop request or its account, in five languages.

No text names a person or says why the order was judged a risk.
"""

from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType

from data_contracts.currencies import amount_figure
from data_contracts.text_form import primary_language
from serving.domain.reasons import date_text
from serving.domain.stop_request import AnswerKind, ConsequenceCode
from serving.domain.text_files import FALLBACK_LANGUAGE, LANGUAGES, texts_by_code

TEXTS = texts_by_code("merchant")
"""Every text by its code, such as `email.subject`, then by language."""

_THOUSANDS_AND_DECIMAL: Mapping[str, tuple[str, str]] = MappingProxyType(
    # A plain space would let a mail program break a Swedish amount in two.
    {"en": (",", "."), "de": (".", ","), "da": (".", ","), "nl": (".", ","), "sv": ("\u00a0", ",")}
)
_CURRENCY_FIRST = frozenset({"en", "nl"})
_NUMERIC_DATES: Mapping[str, str] = MappingProxyType({"da": "%d.%m.%Y", "nl": "%d-%m-%Y", "sv": "%Y-%m-%d"})


def text_language(language: str) -> str:
    """The language in which we have texts for a wanted one, English where we have none.

    >>> text_language("sv"), text_language("de-AT"), text_language("fi")
    ('sv', 'de', 'en')
    """
    primary = primary_language(language)
    return primary if primary in LANGUAGES else FALLBACK_LANGUAGE


def merchant_text(code: str, language: str, **values: str) -> str:
    """The text of a code with its placeholders filled.

    Raises KeyError for an unknown code or a placeholder without a value: nothing half-filled is sent.
    """
    return TEXTS[code][text_language(language)].format_map(values)


def answer_label(kind: AnswerKind, language: str) -> str:
    """How an answer is offered in the form."""
    return merchant_text(f"answer.{kind.value}", language)


def field_label(field: str, language: str) -> str:
    """The label of a form field: kind, carrier, tracking_number or note."""
    return merchant_text(f"field.{field}", language)


def consequence_text(code: ConsequenceCode, language: str) -> str:
    """What follows from the merchant's answer, as one sentence to the merchant."""
    return merchant_text(f"consequence.{code.value}", language)


def local_amount(cents: int, currency: str, language: str) -> str:
    """An amount of minor units in local form.

    >>> local_amount(123456, "EUR", "en"), local_amount(123456, "EUR", "de"), local_amount(5, "KWD", "nl")
    ('EUR 1,234.56', '1.234,56 EUR', 'KWD 0,005')
    """
    language = text_language(language)
    thousands, decimal = _THOUSANDS_AND_DECIMAL[language]
    number = amount_figure(cents, currency, thousands=thousands, decimal=decimal)
    return f"{currency} {number}" if language in _CURRENCY_FIRST else f"{number} {currency}"


def local_date(day: date, language: str) -> str:
    """A date in local form.

    >>> [local_date(date(2026, 3, 1), language) for language in ("en", "da", "nl", "sv")]
    ['1 March 2026', '01.03.2026', '01-03-2026', '2026-03-01']
    """
    language = text_language(language)
    if language in _NUMERIC_DATES:
        return day.strftime(_NUMERIC_DATES[language])
    return date_text(day, language)


def local_deadline(deadline: datetime, language: str) -> str:
    """A deadline in local form: date, time and time zone.

    Raises ValueError for one without a time zone, which a merchant elsewhere would misread.

    >>> from datetime import UTC
    >>> local_deadline(datetime(2026, 3, 1, 14, 30, tzinfo=UTC), "de")
    '01.03.2026, 14:30 (UTC)'
    """
    if deadline.tzinfo is None:
        raise ValueError("the deadline has no time zone")
    return f"{local_date(deadline.date(), language)}, {deadline:%H:%M} ({deadline.tzname()})"
