"""What ties orders to each other goes by one form of every text, and what says nothing ties nobody."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.contract import portable_pattern
from data_contracts.network_address import NETWORK_ADDRESSES_PATTERN, first_public_address
from data_contracts.orders import ORDERS
from data_contracts.row_check import TimestampForm, check_row
from data_contracts.rules import Rule
from features.contact_keys import mailbox_key, phone_key
from features.entities import EntityKind
from features.instants import NEVER
from features.order_facts import this_order_fact
from features.order_links import Keys, ip_prefix, order_keys
from features.place_key import place_key
from tests.builders import an_order
from tests.proof_size import examples


def keys(**columns: str | None) -> Keys:
    return order_keys(an_order(at=0, **columns))


def place(street: str, number: str | None, code: str = "10115", country: str = "DE") -> str | None:
    return place_key(street, number, code, country)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Hauptstraße", "12"), ("Hauptstr.", "12")),
        (("Hauptstraße", "12"), ("HAUPTSTRASSE", " 12 ")),
        (("Hauptstraße", "12"), ("Haupt-Strasse", "12")),
        (("Hauptstraße", "12"), ("Haupt Str", "Nr. 12")),
        (("Hauptstraße", "12a"), ("Hauptstr. 12 A", None)),
        (("Hauptstraße", "12/1"), ("Hauptstr. 12/1", None)),
        (("Hauptstraße", "12-14"), ("Hauptstr.", "12 \u2013 14")),
        (("Hauptstraße", "12"), ("Hauptstr. 12", "12")),
        (("K\u00f6nigstraße", "1"), ("Ko\u0308nigstr.", "1")),
        (("Königstraße", "1"), ("Koenigstr", "1")),
        (("Sankt-Anna-Platz", "1"), ("St. Anna Pl.", "1")),
        (("O\u00b4Connor-Weg", "1"), ("O\u2019Connor Weg", "1")),
        (("Straße 1", "12"), ("Str. 1", "12")),
        (("Q 7", "24"), ("Q7", "24")),
    ],
)
def test_one_place_has_one_key_however_it_is_written(
    one: tuple[str, str | None], other: tuple[str, str | None]
) -> None:
    assert place(*one) == place(*other)
    assert place(*one, code="10115") == place(*other, code="D-10115 ")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Hauptstr.", "12/1"), ("Hauptstr.", "121")),
        (("Hauptstr.", "1/21"), ("Hauptstr.", "12/1")),
        (("Hauptstr.", "12-1"), ("Hauptstr.", "121")),
        (("Hauptstr.", "1 2"), ("Hauptstr.", "12")),
        (("Straße 1", "12"), ("Straße 11", "2")),
        (("Straße 1", "12"), ("Straße", "112")),
        (("Straße 1", "2"), ("Straße", "1/2")),
        (("C5", "12"), ("C51", "2")),
        (("Hauptstr.", "12"), ("Hauptstr.", "12a")),
        (("Neue Straße", "1"), ("Neustraße", "1")),
        (("Hauptstr.", "12"), ("Hauptweg", "12")),
    ],
)
def test_two_places_have_two_keys(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert place(*one) != place(*other)


@given(st.text(max_size=20), st.text(max_size=8))
def test_how_a_text_is_composed_makes_no_other_place(street: str, number: str) -> None:
    composed, apart = (unicodedata.normalize(form, street) for form in ("NFC", "NFD"))
    assert place(composed, number) == place(apart, number)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("1.2.3.4", "1.2.3.0/24"),
        ("1.2.3.4:8080", "1.2.3.0/24"),
        ("1.2.3.4, 10.0.0.1", "1.2.3.0/24"),
        ("10.0.0.1, 1.2.3.4", "1.2.3.0/24"),
        ("unknown, 1.2.3.4", "1.2.3.0/24"),
        ("2001:db8::1", "2001:db8::/48"),
        ("[2001:db8::1]:443", "2001:db8::/48"),
        ("[2001:db8::1]", "2001:db8::/48"),
        ("::ffff:1.2.3.4", "1.2.3.0/24"),
        ("fd00::1, 2001:db8::1", "2001:db8::/48"),
        *((text, None) for text in ("10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.1.1")),
        *(
            (text, None)
            for text in ("0.0.0.1", "255.255.255.255", "::1", "::", "fc00::1", "fe80::1", "ff02::1")
        ),
        *((text, None) for text in ("unknown", "::ffff:10.0.0.1", "10.0.0.1, 192.168.0.1")),
        ("172.32.0.1", "172.32.0.0/24"),
    ],
)
def test_the_network_is_that_of_the_first_public_address(text: str, network: str | None) -> None:
    assert ip_prefix(text) == network
    assert checked(text) == []


@pytest.mark.parametrize(
    "text",
    ["999.1.1.1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4:", "1:::1", "g::1", "1.2.3.4,", "none"],
)
def test_what_is_no_address_is_refused_by_name(text: str) -> None:
    assert checked(text) == [
        ("ip_address", Rule.PATTERN, "ip_address must be an IP address, one with its port, or a list of them")
    ]


def checked(text: str) -> list[tuple[str, Rule, str]]:
    row = an_order(at=0, ip_address=text)
    recorded_at_ms = row.pop("recorded_at")
    found = check_row(ORDERS, row, timestamps=TimestampForm.MILLISECONDS, recorded_at_ms=recorded_at_ms)
    return [(violation.column, violation.rule, violation.message) for violation in found.violations]


@pytest.mark.long_proof
@examples(10_000)
@given(
    st.one_of(
        st.ip_addresses().map(str),
        st.ip_addresses(v=6).map(lambda address: address.exploded),
        st.ip_addresses(v=4).map(lambda address: f"::ffff:{address}"),
        st.from_regex(r"[0-9a-f.:]{2,24}", fullmatch=True),
    )
)
def test_the_contract_takes_exactly_the_addresses_that_the_library_takes(text: str) -> None:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        is_address = text.count(":") == 1 and first_public_address(text) is not None
        is_taken = re.fullmatch(portable_pattern(NETWORK_ADDRESSES_PATTERN), text) is not None
        assert is_taken <= (is_address or text.count(":") == 1)
    else:
        assert re.fullmatch(portable_pattern(NETWORK_ADDRESSES_PATTERN), text)


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("erika@example.com", " ERIKA@Example.COM ", True),
        ("e.ri.ka+shop@gmail.com", "erika@googlemail.com", True),
        ("erika+shop@outlook.com", "erika@outlook.com", True),
        ("erika-shop@yahoo.com", "erika@yahoo.com", True),
        ("erika@b\u00fccher.example", "erika@bu\u0308cher.example", True),
        ("erika@bücher.example", "erika@xn--bcher-kva.example", True),
        ("e.rika@outlook.com", "erika@outlook.com", False),
        ("erika+shop@web.example", "erika@web.example", False),
        ("e.rika@web.example", "erika@web.example", False),
        ("erika@example.com", "erika@example.org", False),
    ],
)
def test_a_mailbox_is_one_where_its_provider_says_so(one: str, other: str, *, are_one: bool) -> None:
    assert (mailbox_key(one) == mailbox_key(other)) is are_one
    shared = keys(contact_email=one).get(EntityKind.MAILBOX) == keys(contact_email=other).get(
        EntityKind.MAILBOX
    )
    assert shared is are_one


@pytest.mark.parametrize(
    "phone", ["(030) 1234567", "030/1234567", "0049 30 1234567", "+49 (0) 30 - 12 34 567"]
)
def test_a_telephone_is_one_however_it_is_dialled(phone: str) -> None:
    assert phone_key(phone, "DE") == phone_key("+49 30 1234567", None) == "+49301234567"
    assert keys(contact_phone=phone)[EntityKind.PHONE] == "+49301234567"


def test_a_number_without_its_country_is_dialled_from_where_the_bill_goes() -> None:
    named = keys(contact_phone="01 2345678", billing_country="AT")
    assert named[EntityKind.PHONE] == "+4312345678"


@pytest.mark.parametrize(
    "device",
    [
        *("unknown", "UNKNOWN", " Unknown ", "unbekannt", "null", "n/a", "0", "0000", "----", "\u200e"),
        *("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    ],
)
def test_a_device_that_says_nothing_is_no_device(device: str) -> None:
    said, without = an_order(at=0, device_id=device), an_order(at=0, device_id=None)
    assert order_keys(said) == order_keys(without)
    assert this_order_fact(0, NEVER, said) == this_order_fact(0, NEVER, without)


@pytest.mark.parametrize(
    ("column", "value", "entity"),
    [
        ("contact_email", "unknown@example.com", EntityKind.MAILBOX),
        ("contact_email", "noreply@shop.example", EntityKind.MAILBOX),
        ("contact_phone", "000000000", EntityKind.PHONE),
        ("contact_phone", "no telephone", EntityKind.PHONE),
        ("delivery_street", "Packstation", EntityKind.DELIVERY_ADDRESS),
        ("delivery_street", "DHL Packstation 145", EntityKind.DELIVERY_ADDRESS),
        ("delivery_street", "Postfiliale 512", EntityKind.DELIVERY_ADDRESS),
    ],
)
def test_a_value_that_says_nothing_links_nobody(column: str, value: str, entity: EntityKind) -> None:
    assert entity not in keys(**{column: value})


def test_who_has_parcels_sent_to_a_station_still_has_a_past_with_it() -> None:
    at_station = {"delivery_street": "Packstation", "delivery_house_number": "145"}
    assert EntityKind.CUSTOMER_ADDRESS in keys(**at_station)
    elsewhere = {**at_station, "delivery_house_number": "146"}
    assert keys(**at_station)[EntityKind.CUSTOMER_ADDRESS] != keys(**elsewhere)[EntityKind.CUSTOMER_ADDRESS]


def test_a_recipient_written_otherwise_is_no_other_recipient() -> None:
    same = an_order(at=0, delivery_name="Jo\u0308rg  Weber", billing_name="JOERG WEBER")
    plain = an_order(at=0, delivery_name="Jörg Weber", billing_name="Jörg Weber")
    assert this_order_fact(0, NEVER, same) == this_order_fact(0, NEVER, plain)
