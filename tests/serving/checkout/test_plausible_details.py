"""A plausibility check helps a person correct a slip; nobody is refused for how they write."""

import unicodedata

import email_validator
import phonenumbers
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from data_contracts.text_form import in_one_form
from serving.domain import plausible_details
from serving.domain.plausible_details import implausible_fields, is_email, is_possible_phone
from tests.plausibility_figures import NONSENSE, WHOLE, good_orders, nonsense_passed, refused_among
from tests.proof_size import examples, whole_or_fiftieth
from tests.serving.checkout.an_order import ADDRESS, ORDER


def implausible(**changes: str | None) -> tuple[str, ...]:
    """What is implausible in an order whose two addresses are changed so."""
    changed = replace(ADDRESS, **changes)  # type: ignore[arg-type]  # fields of Address
    found = implausible_fields(replace(ORDER, delivery=changed, billing=changed))
    assert {field.replace("delivery", "billing") for field in found} <= set(found)
    return tuple(field.removeprefix("/delivery/") for field in found if field.startswith("/delivery/"))


@pytest.mark.parametrize(
    "name",
    [
        "Jörg Weber ",
        " Jo\u0308rg\u00a0Weber",
        "Jörg\u2009\u200eWeber\u200f",
        "Li Na",
        "Na Li",
        "Hans Müller III",
        "Hans Müller Ⅲ",
        "O\u00b4Brien",
        "Shane O`Brien",
        "D\u2019Angelo",
        "Müller\u2013Schmidt",
        "Müller - Schmidt",
        "Anna Müller\u2011Schmidt",
        "Suharto",
        "Suharto Suharto",
        "Müller, Hans",
        "Prof. Dr. med. dent. Ida Ng M.Sc.",
        "Dipl.-Ing. (FH) Max Groß",
        "Familie Meier/Schulz",
        "Erika & Max Mustermann",
        "Sean Null",
        "Jo Test",
        "Nguyễn Văn Ánh",
        "İbrahim Şahin",
        "Ανδρέας Παπαδόπουλος",
        "Наталья Иванова",
        "李娜",
        "محمد علي",
        "Ka\u02bbiulani Kamakawiwo\u02bbole",
        "J.de Vries",
        "Erika Mustermann c/o Schulz",
    ],
)
def test_nobody_is_refused_for_a_name(name: str) -> None:
    assert implausible(name=name) == ()


@pytest.mark.parametrize(
    ("street", "house_number"),
    [
        ("Straße 111", "4"),
        ("Straße des 17. Juni", "135"),
        ("C5", "12"),
        ("Q 7", "24"),
        ("Q7", "24"),
        ("C 5", "1a"),
        ("Q", "7"),
        ("Q.", "7, 24"),
        ("c", " 5 "),
        ("Å", "3"),
        ("Q7, 3", None),
        ("Q 7 24", None),
        ("C5,12a", None),
        ("Heide\tstraße", "12\n"),
        ("Heidestraße", " 12"),
        ("Heidestraße ", "12\u201314"),
        ("Heidestraße", "12 \u2212 14"),
        ("Heidestraße", "A 12"),
        ("Heidestraße", "12 1/2"),
        ("Heidestraße", "12/3/4"),
        ("Heidestraße", "IV"),
        ("Heidestraße", "B"),
        ("Heidestraße", "12, Hinterhaus"),
        ("Heidestraße", "#5"),
        ("Heidestraße", "12 # 4"),
        ("Heidestraße #5", None),
        ("Heidestraße 5 \uff03 12", None),
        ("Heidestraße 17", None),
        ("Heidestr. 17a", None),
        ("An der B 75", "3"),
        ("Packstation", "145"),
        ("O\u00b4Connor-Weg", "1"),
    ],
)
def test_no_address_is_refused_for_how_it_is_written(street: str, house_number: str | None) -> None:
    assert implausible(street=street, house_number=house_number) == ()


@pytest.mark.parametrize(
    "city",
    [
        "Halle / Saale",
        "Frankfurt - Höchst",
        "Halle (Saale)",
        "Frankfurt a. M.",
        "Köln ",
        "Ko\u0308ln",
        "Wien 10",
        "Å",
        "Ulm",
    ],
)
def test_no_city_is_refused_for_how_it_is_written(city: str) -> None:
    assert implausible(city=city) == ()


@pytest.mark.parametrize(
    ("country", "postal_code"),
    [
        ("DE", "10115 "),
        ("DE", "\u200e10115"),
        ("DE", "D-10115"),
        ("DE", "D \u2013 10115"),
        ("DE", "DE 10115"),
        ("DE", "10 115"),
        ("DE", "\uff11\uff10\uff11\uff11\uff15"),
        ("AT", "A-1010"),
        ("NL", "1012ab"),
        ("SE", "11455"),
        ("SE", "SE-114 55"),
        ("PL", "00950"),
        ("DK", "DK-1050"),
        ("GB", "sw1a1aa"),
        ("AE", "none at all"),
    ],
)
def test_no_postal_code_is_refused_for_how_it_is_written(country: str, postal_code: str) -> None:
    assert implausible(country=country, postal_code=postal_code) == ()


@pytest.mark.parametrize(
    "phone",
    [
        *("(030) 1234567", "030/1234567", "030 - 12 34 567", "+49 (0)30 1234567", "0049 30 1234567"),
        *(
            "+49\u201130\u20111234567",
            "+43 660 1234567",
            "+358 40 1234567",
            "0171.2345678",
            " +49 30 1234567 ",
        ),
        "tel:+49-30-1234567",
    ],
)
def test_no_telephone_number_is_refused_for_how_it_is_written(phone: str) -> None:
    assert implausible_fields(replace(ORDER, contact_phone=phone)) == ()


def test_a_number_is_possible_where_it_is_so_in_the_country_of_either_address() -> None:
    order = replace(ORDER, contact_phone="2025550123")
    abroad = replace(ADDRESS, country="US", postal_code="20001")
    assert implausible_fields(replace(order, billing=abroad)) == ()


@pytest.mark.parametrize(
    "email", ["erika@example.com ", "\u200eerika@example.com", "e+shop@bücher.example", "o'brien@example.com"]
)
def test_no_mailbox_is_refused_for_how_it_is_written(email: str) -> None:
    assert implausible_fields(replace(ORDER, contact_email=email)) == ()


@pytest.mark.parametrize("field", ["name", "street", "house_number", "city"])
@pytest.mark.parametrize(
    "nothing", [" ", "\u200e", "\u00a0", "\u3164", "-", "...", "/", "n/a", "xxxx", "<b>", "unknown"]
)
def test_what_says_nothing_is_refused_by_its_field(field: str, nothing: str) -> None:
    assert implausible(**{field: nothing}) == (field,)


@pytest.mark.parametrize(
    ("street", "house_number", "fields"),
    [
        ("Q", None, ("street", "house_number")),
        ("Q 7", None, ("house_number",)),
        ("Q", "a", ("street",)),
        ("Q", "-", ("street", "house_number")),
        ("X", "1", ("street",)),
        ("1", "1", ("street",)),
        ("-", "7", ("street",)),
    ],
)
def test_a_letter_is_a_street_only_with_a_number(
    street: str, house_number: str | None, fields: tuple[str, ...]
) -> None:
    assert implausible(street=street, house_number=house_number) == fields


def test_what_stands_before_the_sign_of_a_mailbox_has_at_most_64_letters() -> None:
    for length, fields in ((64, ()), (65, ("/contact/email",))):
        for letter in ("a", "'"):
            order = replace(ORDER, contact_email=f"{'a' * (length - 1)}{letter}@mail.example")
            assert implausible_fields(order) == fields


@pytest.mark.parametrize(
    "name",
    [
        *(
            "12345",
            "Erika Mu5termann",
            "erika@example.com",
            "www.example.com",
            "https://x.example",
            "Shop.com",
        ),
        *("Eeeerika Muster", "Test Tester", "asdf asdfgh", "Vorname Nachname", "Max <script>", "X"),
    ],
)
def test_what_nobody_is_called_is_refused(name: str) -> None:
    assert implausible(name=name) == ("name",)


def test_at_a_parcel_station_the_number_of_its_customer_stands_beside_the_name() -> None:
    assert implausible(name="Erika Mustermann 12345678", street="Packstation", house_number="145") == ()
    assert implausible(name="Erika Mustermann 12345678") == ("name",)


def test_a_square_needs_a_house_number_and_a_street_that_holds_one_does_not() -> None:
    assert implausible(street="Q 7", house_number=None) == ("house_number",)
    assert implausible(street="Heidestraße", house_number=None) == ("house_number",)


def test_a_country_that_does_not_exist_is_refused_and_a_code_in_it_is_not_judged() -> None:
    assert implausible(country="XX") == ("country",)


texts = st.text(
    st.one_of(
        st.characters(exclude_categories=("Cs",)),
        st.sampled_from("aäo\u0308ß '\u00b4`\u2019-\u2013\u2212\u00ad\u200e\u00a0\u3164/.,12"),
    ),
    max_size=20,
)


@pytest.mark.long_proof
@examples(10_000)
@given(texts)
def test_the_one_form_is_one_however_often_it_is_taken(text: str) -> None:
    form = in_one_form(text)
    assert in_one_form(form) == form
    assert in_one_form(unicodedata.normalize("NFD", text)) == form
    assert in_one_form(f"\u200e {text}\u00a0 ") == form


@pytest.mark.long_proof
@examples(5_000)
@given(
    st.one_of(
        st.emails(),
        st.from_regex(r"[a-zA-Z0-9+_.-]{1,20}@[a-zA-Z0-9.-]{1,30}\.[a-z]{1,8}", fullmatch=True),
        st.sampled_from(["a@b.test", "a@x.local", "a@home.arpa", "a@xn--a.example", "a@ab--cd.example"]),
    )
)
def test_an_address_is_taken_without_the_library_only_where_the_library_takes_it(email: str) -> None:
    assume(is_email(email))
    email_validator.validate_email(in_one_form(email), check_deliverability=False)


@pytest.mark.long_proof
@examples(10_000)
@given(
    st.one_of(
        st.from_regex(r"(\+|00|0)?[0-9]{1,4}[ /-]?(\(0\))?[0-9 /-]{0,14}", fullmatch=True),
        st.from_regex(r"\+[0-9]{1,17}", fullmatch=True),
    ),
    st.sampled_from(["DE", "AT", "NL", "FI", "SE", "DK", "NO", "PL", "IT", "GB", "US", "HU", "CH", "XX"]),
)
def test_a_number_is_possible_exactly_where_the_library_says_so(phone: str, country: str) -> None:
    try:
        parsed = phonenumbers.parse(in_one_form(phone), country)
    except phonenumbers.NumberParseException:
        assert not is_possible_phone(phone, country)
    else:
        assert is_possible_phone(phone, country) == phonenumbers.is_possible_number(parsed)


def test_the_length_of_a_number_is_that_of_the_library_for_every_country_code() -> None:
    for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
        for length in range(3, 16):
            phone = f"+{code}{'7123456789012345'[:length]}"
            if plausible_details._is_ordinary_phone(phone, "DE"):
                assert phonenumbers.is_possible_number(phonenumbers.parse(phone, "DE")), phone


@pytest.mark.long_proof
def test_of_a_thousand_names_and_addresses_of_ten_languages_at_most_one_is_refused() -> None:
    orders = good_orders(whole_or_fiftieth(WHOLE))
    refused = refused_among(orders)
    assert len(refused) * 1_000 <= len(orders), refused[:20]


@pytest.mark.long_proof
def test_of_a_hundred_details_that_are_nonsense_at_most_five_pass_of_every_class() -> None:
    passed = nonsense_passed(whole_or_fiftieth(WHOLE))
    assert passed.keys() == NONSENSE.keys()
    assert {name: count for name, (count, of) in passed.items() if count * 100 > 5 * of} == {}
