"""The currencies that an amount can be in: those of ISO 4217, each with the decimals of its minor unit.

Of the standard's list of current currencies ("list one" of its maintenance agency, SIX, as published on
2026-01-01), without funds codes and without codes that have no minor unit (metals, units of account, the
codes for tests and for no currency). A test compares the table with the list as the package `iso4217` carries
it.
"""

from collections.abc import Mapping
from types import MappingProxyType

_CODES_BY_DECIMALS = {
    0: ("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF "),
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
        "CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL "
        "HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT "
        "MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB "
        "SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH "
        "USD UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG "
    ),
    3: ("BHD IQD JOD KWD LYD OMR TND "),
    4: ("UYW "),
}

DECIMALS: Mapping[str, int] = MappingProxyType(
    {code: decimals for decimals, codes in sorted(_CODES_BY_DECIMALS.items()) for code in codes.split()}
)
"""By ISO 4217 code: an amount of 1 is 10**-decimals major units."""

CURRENCIES = tuple(sorted(DECIMALS))
"""Every code, in the order of the alphabet."""


def decimals_of(currency: str) -> int:
    """The decimals of a currency; 2 for what is none, such as the missing currency of an old record.

    >>> decimals_of("EUR"), decimals_of("JPY"), decimals_of("KWD"), decimals_of("")
    (2, 0, 3, 2)
    """
    return DECIMALS.get(currency, 2)


def major_units(minor: float, currency: str) -> float:
    """An amount in major units, for figures and charts; never to calculate with.

    >>> major_units(123456, "EUR"), major_units(123456, "JPY"), major_units(123456, "KWD")
    (1234.56, 123456.0, 123.456)
    """
    return float(minor / 10 ** decimals_of(currency))


def amount_figure(
    minor: int, currency: str, *, thousands: str = ",", decimal: str = ".", decimals: int | None = None
) -> str:
    """An amount of minor units as a figure with all decimals of its currency, exactly.

    decimals: so many instead, rounded half to even, for figures in tables.

    >>> [amount_figure(-123456, currency) for currency in ("EUR", "JPY", "KWD")]
    ['-1,234.56', '-123,456', '-123.456']
    >>> amount_figure(5, "EUR", thousands=".", decimal=","), amount_figure(123456, "EUR", decimals=0)
    ('0,05', '1,235')
    """
    own = decimals_of(currency)
    if decimals is not None and decimals < own:
        shown = f"{round(major_units(minor, currency), decimals):,.{decimals}f}"
    else:
        units, rest = divmod(abs(minor), 10**own)
        fraction = f".{rest:0{own}d}" if own else ""
        shown = f"{'-' if minor < 0 else ''}{units:,}{fraction}"
    return shown.translate(str.maketrans(",.", thousands + decimal))
