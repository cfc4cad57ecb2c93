"""One key for one place, however its address is written."""

import re
from collections.abc import Iterable
from functools import lru_cache

from data_contracts.text_form import in_one_form, plain_letters

_SEPARATOR = "\x1f"
_PART = re.compile(r"\d+|[^\W\d_]+")
_NUMBER_AT_END = re.compile(r"(?<=[^\W_])[^\w(]*\b(\d+ ?[^\W\d_]?(?: ?[-/.+] ?\d+ ?[^\W\d_]?)*)\W*$")
_NOT_POSTAL = re.compile(r"[\W_]+")
_WORDS_BEFORE_NUMBER = frozenset({"nr", "no", "num", "hausnr", "hausnummer", "haus"})
_WORDS_AS_ABBREVIATED = {"sankt": "st", "doktor": "dr", "professor": "prof", "ulica": "", "ul": ""}
_CAR_SIGNS = {
    "AT": "A",
    "BE": "B",
    "CH": "CH",
    "DE": "D",
    "ES": "E",
    "FI": "FIN",
    "FR": "F",
    "HU": "H",
    "IT": "I",
    "LU": "L",
    "NO": "N",
    "PT": "P",
    "SE": "S",
}
_PARCEL_STATION = re.compile(
    r"(?:dhl|dpd|gls|hermes|post|postnord|inpost|ups)?[ -]*"
    r"(?:pack|paket|parcel ?)(?:station|shop|box|locker|automat)\b"
    r"|postfiliale\b|postnummer\b|pick[ -]?up ?(?:point|station|shop)\b|pakkeboks\b|pakkeshop\b|paczkomat\b"
    r"|pakettiautomaatti\b|pakketautomaat\b|afhaalpunt\b|paketombud\b"
)


@lru_cache(maxsize=65536)
def place_key(
    street: str | None, house_number: str | None, postal_code: str | None, country: str | None
) -> str | None:
    """One key for one place, however it is written; None where street or postal code are missing.

    Country and postal code stand for the city. A house number that stands in the street, or there too, counts
    once. What separates the numbers counts, which sign does it does not.

    >>> written = place_key("Haupt-Straße", "12 A", "10115", "DE")
    >>> written == place_key("hauptstr.", "12a", "D-10115", "DE")
    True
    >>> written == place_key("Hauptstrasse 12a", None, "10115", "DE")
    True
    >>> place_key("Hauptstr.", "12/1", "10115", "DE") == place_key("Hauptstr.", "121", "10115", "DE")
    False
    >>> place_key("Straße 1", "12", "10115", "DE") == place_key("Straße 11", "2", "10115", "DE")
    False
    """
    if not street or not postal_code:
        return None
    written = plain_letters(street)
    number = _parts(plain_letters(house_number)) if house_number else []
    while number and number[0] in _WORDS_BEFORE_NUMBER:
        number = number[1:]
    if not number:
        found = _NUMBER_AT_END.search(written)
        if found is not None:
            number, written = _parts(found.group(1)), written[: found.start()]
    words = _parts(written)
    if number and words[-len(number) :] == number and len(words) > len(number):
        words = words[: -len(number)]
    elif number and words[: len(number)] == number and len(words) > len(number):
        words = words[len(number) :]
    while len(words) > 1 and number and words[-1] in _WORDS_BEFORE_NUMBER - {"haus"}:
        words = words[:-1]
    place = f"{_joined(_WORDS_AS_ABBREVIATED.get(word, word) for word in words)}#{_joined(number)}"
    place = place.replace("strasse", "str").replace("platz", "pl")
    return f"{country or ''}{_SEPARATOR}{postal_code_form(postal_code, country)}{_SEPARATOR}{place}"


def _parts(plain: str) -> list[str]:
    return _PART.findall(plain)


def _joined(parts: Iterable[str]) -> str:
    """Words run together, numbers apart: ("12", "1") is not ("121",)."""
    return re.sub(r"(?<=\d)/(?!\d)|(?<!\d)/(?=\d)|(?<=\D)/(?=\D)", "", "/".join(parts))


def postal_code_form(postal_code: str, country: str | None) -> str:
    """A postal code in capitals, without blanks, hyphens and the sign of its country.

    >>> postal_code_form(" D-10115 ", "DE"), postal_code_form("1012 ab", "NL")
    ('10115', '1012AB')
    """
    form = _NOT_POSTAL.sub("", in_one_form(postal_code).upper())
    for sign in (country or "", _CAR_SIGNS.get(country or "", "")):
        if sign and form.startswith(sign) and form[len(sign) :].isdecimal():
            return form[len(sign) :]
    return form


@lru_cache(maxsize=65536)
def is_parcel_station(street: str | None) -> bool:
    """Whether a street is the place of a parcel service, where everybody has parcels sent.

    >>> [is_parcel_station(street) for street in ("Packstation 145", "Postfiliale 512", "Packhofstr.")]
    [True, True, False]
    """
    return street is not None and _PARCEL_STATION.match(in_one_form(street).casefold()) is not None
