"""How many good people and how much nonsense the plausibility check refuses, measured on what Faker draws.

`python -m tests.plausibility_figures` prints one JSON object. Nobody who knows the check chose the names.
"""

import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import phonenumbers
from faker import Faker
from msgspec.structs import replace

from serving.domain.decision import Address, Order
from serving.domain.plausible_details import implausible_fields

WHOLE = 50_000
SEED = 12
NAME_LOCALES = (
    "de_DE", "de_AT", "nl_NL", "da_DK", "sv_SE", "fi_FI", "no_NO", "pl_PL", "tr_TR", "vi_VN",
)  # fmt: skip
COUNTRIES_OFFERED = ("DE", "AT")
"""Every name is tried at an address there; every third order goes to the neighbour that the name is from."""


@dataclass(frozen=True)
class Refused:
    """An order that was refused, and for which fields."""

    order: Order
    fields: tuple[str, ...]


def _address(faker: Faker, country: str, name: str) -> Address:
    return Address(
        name=name,
        street=faker.street_name(),
        house_number=faker.building_number(),
        postal_code=faker.postcode(),
        city=faker.city(),
        country=country,
    )


def good_orders(count: int) -> list[Order]:
    """Orders of `count` people, each with a name, an address and a mailbox."""
    fakers = {locale: Faker(locale) for locale in NAME_LOCALES}
    Faker.seed(SEED)
    orders = []
    for number in range(count):
        locale = NAME_LOCALES[number % len(NAME_LOCALES)]
        place = COUNTRIES_OFFERED[number // len(NAME_LOCALES) % 2]
        home = fakers[f"de_{place}"]
        country = place
        if number // len(NAME_LOCALES) % 3 == 2:
            home, country = fakers[locale], locale[-2:]
        delivery = _address(home, country, fakers[locale].name())
        orders.append(
            Order(
                order_id="o",
                customer_id="c",
                merchant_id="m",
                amount_cents=1,
                currency="EUR",
                delivery=delivery,
                billing=delivery,
                contact_email=fakers[locale].email(),
                # Of the numbers that Faker makes up, one in a hundred cannot be dialled.
                contact_phone=None,
            )
        )
    return orders


def refused_among(orders: list[Order]) -> list[Refused]:
    """The orders in which something was called implausible."""
    judged = ((order, implausible_fields(order)) for order in orders)
    return [Refused(order, fields) for order, fields in judged if fields]


_BLANKS = " \t\u00a0\u2003\u200b\u200e\u200f\u00ad\u3000\u3164\ufeff"
_PUNCTUATION = ".,;:-\u2013\u2014_'\u00b4`/\\!?#*+~()\"§&%$= "
_WORDS_FOR_NOTHING = (
    *("test", "Test", "TEST", "Tester", "asdf", "asdfgh", "qwertz", "qwerty", "none", "null", "unknown"),
    *("unbekannt", "Vorname", "Nachname", "xxx", "undefined", "dummy", "N/A", "Name"),
)
_SIGNS_OF_NUMBERS = " .-\u2013/#?+*_\u00b4,"

Spoilt = Callable[[random.Random, Order], Order]


def _anywhere(text_of: Callable[[random.Random, str], str], *fields: str) -> Spoilt:
    """One field of the address becomes nonsense, made from what stood there."""

    def spoilt(draw: random.Random, order: Order) -> Order:
        name = draw.choice(fields)
        before = getattr(order.delivery, name)
        changed = replace(order.delivery, **{name: text_of(draw, before)})
        return replace(order, delivery=changed, billing=changed)

    return spoilt


def _blank(draw: random.Random, _: str) -> str:
    return "".join(
        draw.choices(" \t\u00a0\u2003\u200b\u200e\u200f\u00ad\u3000\u3164\ufeff", k=draw.randint(1, 6))
    )


def _punctuation(draw: random.Random, _: str) -> str:
    return "".join(draw.choices(_PUNCTUATION, k=draw.randint(1, 8)))


def _digits(draw: random.Random, before: str) -> str:
    number = str(draw.randrange(10 ** draw.randint(1, 9)))
    return draw.choice([number, f"{number} {number}", f"{number}-{number}"])


def _address_of_web_or_mail(draw: random.Random, before: str) -> str:
    word = "".join(filter(str.isalpha, before)).lower() or "someone"
    return draw.choice(
        [
            f"{word}@mail.example",
            f"https://{word}.com",
            f"www.{word}.net",
            f"{before} <{word}@post.example>",
            f"{word}-shop.com",
            f"{before} http://{word}.de/win",
        ]
    )


def _one_sign_four_times(draw: random.Random, before: str) -> str:
    sign = draw.choice("abcdefghijklmnopqrstuvwxyzäöüß")
    place = draw.randint(0, len(before))
    return draw.choice([sign * draw.randint(4, 9), f"{before[:place]}{sign * 4}{before[place:]}"])


def _place_holders(draw: random.Random, _: str) -> str:
    return " ".join(draw.choices(_WORDS_FOR_NOTHING, k=draw.randint(1, 3)))


_CODES = {"DE": 5, "AT": 4}


def _no_postal_code(draw: random.Random, order: Order) -> Order:
    country = draw.choice(COUNTRIES_OFFERED)
    length = draw.choice([size for size in range(1, 10) if size != _CODES[country]])
    code = "".join(draw.choices("0123456789", k=length))
    letters = "".join(draw.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=2))
    code = draw.choice([code, code, f"{code[:2]}{letters}{code[2:]}", f"{code} {letters}"])
    changed = replace(order.delivery, country=country, postal_code=code)
    return replace(order, delivery=changed, billing=changed)


def _impossible_phone(draw: random.Random, order: Order) -> Order:
    while True:
        digits = "".join(draw.choices("0123456789", k=draw.randint(1, 30)))
        phone = draw.choice(
            [digits, f"+49 {digits}", f"+{digits}", f"0{digits}", f"{digits[:3]} call me", "-"]
        )
        if not any(
            _is_possible(phone, country) for country in {order.delivery.country, order.billing.country}
        ):
            return replace(order, contact_phone=phone)


def _is_possible(phone: str, country: str) -> bool:
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(phone, country))
    except phonenumbers.NumberParseException:
        return False


def _no_house_number(draw: random.Random, _: str) -> str:
    return "".join(draw.choices(_SIGNS_OF_NUMBERS, k=draw.randint(1, 5)))


NONSENSE: Mapping[str, Spoilt] = {
    "empty after normalising": _anywhere(_blank, "name", "street", "house_number", "city"),
    "punctuation only": _anywhere(_punctuation, "name", "street", "city"),
    "digits": _anywhere(_digits, "name", "street", "city"),
    "an address of web or mail in a name": _anywhere(_address_of_web_or_mail, "name"),
    "one sign four times": _anywhere(_one_sign_four_times, "name", "street", "city"),
    "every word of a name a place holder": _anywhere(_place_holders, "name"),
    "a postal code of no format of the country": _no_postal_code,
    "an impossible telephone number": _impossible_phone,
    "a house number without digit or letter": _anywhere(_no_house_number, "house_number"),
}


def nonsense_passed(count: int) -> dict[str, tuple[int, int]]:
    """By class: how many orders with nonsense passed, and of how many. count: of all classes together."""
    draw = random.Random(SEED)
    per_class = max(count // len(NONSENSE), 1)
    plausible = [order for order in good_orders(2_000) if not implausible_fields(order)]
    passed = {}
    for name, spoilt in NONSENSE.items():
        orders = [spoilt(draw, draw.choice(plausible)) for _ in range(per_class)]
        passed[name] = (sum(not implausible_fields(order) for order in orders), per_class)
    return passed


def main() -> None:
    """Print both figures of the whole measurement."""
    refused = refused_among(good_orders(WHOLE))
    passed = nonsense_passed(WHOLE)
    document = {
        "good_orders": WHOLE,
        "refused": len(refused),
        "refused_fields": Counter(field for one in refused for field in one.fields),
        "nonsense_orders": sum(of for _, of in passed.values()),
        "passed": sum(count for count, _ in passed.values()),
        "passed_by_class": {name: count for name, (count, _) in passed.items()},
    }
    sys.stdout.write(f"{json.dumps(document, indent=2)}\n")
    for one in refused[:20]:
        sys.stderr.write(f"{one.fields} {one.order}\n")


if __name__ == "__main__":
    main()
