"""Accounts of one person: found by document, else by name, birth date and residence, and what they share."""

import random
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, inspect

from features.settlement_terms import USUAL_TERMS
from serving.checkout.decision_inputs import DecisionInputs, inputs_at, order_of
from serving.domain.checkout_decision import decide
from serving.domain.decision import Outcome
from serving.domain.same_person import name_forms, other_accounts, person_traces, residence_key
from serving.store.credit_rows import credit_rows
from serving.store.customer_clocks import next_common_as_of_ms
from serving.store.errors import TooManyAccountsOfOnePerson
from serving.store.loading import load_folder
from serving.store.migrate import alembic_config, migrate, sqlalchemy_url
from serving.store.open_store import open_store
from serving.store.person_accounts import ACCOUNTS_MAXIMUM, INSERT_PERSON_KEY, candidate_accounts
from serving.store.reservations import reserve, reserved_cents
from serving.store.store import Store
from tests.builders import (
    DAY,
    Row,
    a_customer,
    a_document_hmac,
    a_merchant,
    a_payment,
    an_invoice,
    an_order,
    ms,
    write_ledger,
)
from tests.serving.checkout.test_domain import AS_OF, GOOD, POLICY
from tests.serving.conftest import fresh_postgresql_url
from tests.serving.store.test_store import a_reservation, append_row

NOW = ms("2026-06-01")
AT = NOW - 500 * DAY
NO_DOCUMENT: Any = {"identity_document_hmac": None}


def an_account(customer_id: str, *, event_id: str | None = None, at: int = AT, **more: Any) -> Row:
    return a_customer(customer_id, event_id=event_id or f"customer-{customer_id}", at=at, **more)


def others_of_c1(*rows: Row, as_of: int = NOW) -> tuple[str, ...]:
    """The other accounts of c1's person among the rows of customers."""
    accounts: dict[str, list[Row]] = {}
    for row in rows:
        accounts.setdefault(row["customer_id"], []).append(row)
    return other_accounts(accounts.pop("c1"), accounts, as_of)


ANNA = an_account("c1", **NO_DOCUMENT)
OTHER_SPELLING: Any = {
    "given_name": "ERIKA ",
    "family_name": "Muster-Mann",
    "residence_street": "Heide Str.",
    "residence_city": "Ko\u0308ln",
}


@pytest.mark.parametrize(
    "second",
    [
        an_account("c2", **NO_DOCUMENT),
        # A document on one side only says nothing.
        an_account("c2"),
        an_account("c2", **NO_DOCUMENT, **OTHER_SPELLING),
    ],
)
def test_without_documents_on_both_sides_the_same_name_birth_date_and_residence_are_one_person(
    second: Row,
) -> None:
    assert others_of_c1(ANNA, second) == ("c2",)


@pytest.mark.parametrize(
    "change",
    [
        # Father and son of one name at one address.
        {"birth_date": "1955-03-01"},
        {"given_name": "Anna"},
        {"given_name": "Erika Maria"},
        {"family_name": "Mistermann"},
        {"residence_house_number": "17a"},
        {"residence_postal_code": "51148"},
        {"residence_country": "AT"},
        {"residence_country": None},
    ],
)
def test_what_differs_in_name_birth_date_or_residence_is_another_person(change: dict[str, Any]) -> None:
    assert others_of_c1(ANNA, an_account("c2", **NO_DOCUMENT, **change)) == ()


JOERG: Any = {
    **NO_DOCUMENT,
    "given_name": "Jörg",
    "family_name": "Müller",
    "residence_street": "Königstraße",
    "residence_house_number": "17",
}


@pytest.mark.parametrize(
    "spelling",
    [
        # As in the machine-readable line of a passport, and where there are no umlauts at all.
        {"given_name": "JOERG", "family_name": "MUELLER", "residence_street": "KOENIGSTRASSE"},
        {"given_name": "Jorg", "family_name": "Muller", "residence_street": "Konigstr."},
        {"given_name": "Müller", "family_name": "Jörg"},
        {"given_name": "Jörg Müller", "family_name": "-"},
        {"family_name": "Dr. Müller"},
        {"given_name": "Herr Prof. Dr. rer. nat. Jörg"},
        {"family_name": "Dr.-Ing. Mül-ler"},
        {"given_name": "Jö rg"},
        {"residence_city": "Köln-Porz"},
        {"residence_postal_code": "D-51147"},
        {"residence_street": "Königstraße 17"},
        {"residence_street": "Königstraße 17", "residence_house_number": "-"},
        {"residence_street": "17, Königstraße"},
        {"residence_house_number": "17-"},
    ],
)
def test_another_spelling_leaves_no_debt_behind(spelling: dict[str, Any]) -> None:
    assert others_of_c1(an_account("c1", **JOERG), an_account("c2", **{**JOERG, **spelling})) == ("c2",)


@pytest.mark.parametrize(
    "pair",
    [
        # Twins have one birth date, family name and home.
        ({"given_name": "Lena"}, {"given_name": "Nela"}),
        ({"given_name": "Anna"}, {"given_name": "Anna Maria"}),
        ({"given_name": "Jan"}, {"given_name": "Jana"}),
        (
            {"residence_house_number": "7"},
            {"residence_street": "Königstraße 1", "residence_house_number": "7"},
        ),
        ({"residence_house_number": "1"}, {"residence_house_number": "11"}),
        ({"family_name": "Herr"}, {"family_name": "Frau"}),
    ],
)
def test_one_spelling_makes_no_strangers_one_person(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    one, other = (
        an_account(name, **{**JOERG, **change}) for name, change in zip(("c1", "c2"), pair, strict=True)
    )
    assert others_of_c1(one, other) == ()


WORDS = st.text("aáåæbeéiłnñoöøsßuüz", min_size=1, max_size=6)
FULL_NAMES = st.lists(WORDS, min_size=2, max_size=4)


@given(FULL_NAMES, st.integers(1, 3), st.integers(1, 3), st.randoms(use_true_random=False), st.data())
def test_joined_accounts_stay_joined_in_another_case_composition_and_order_of_words(
    words: list[str], cut: int, other_cut: int, order: random.Random, data: st.DataObject
) -> None:
    written = data.draw(
        st.sampled_from(
            [
                str.upper,
                str.title,
                lambda word: unicodedata.normalize("NFD", word),
                lambda word: word.replace("ü", "ue").replace("ö", "oe").replace("ß", "ss").replace("æ", "ae"),
                lambda word: word.replace("ü", "u").replace("ö", "o").replace("é", "e").replace("ñ", "n"),
            ]
        )
    )
    shuffled = [written(word) for word in words]
    order.shuffle(shuffled)

    def account(customer_id: str, names: list[str], place: int, **more: Any) -> Row:
        place = min(place, len(names) - 1)
        given, family = " ".join(names[:place]), " ".join(names[place:])
        return an_account(customer_id, **NO_DOCUMENT, given_name=given, family_name=family, **more)

    own = account("c1", words, cut)
    assert others_of_c1(own, account("c2", shuffled, other_cut)) == ("c2",)
    assert others_of_c1(own, account("c2", shuffled, other_cut, birth_date="1980-05-18")) == ()


@given(FULL_NAMES, FULL_NAMES)
def test_two_names_are_one_or_two_peoples_whichever_field_comes_first(
    one: list[str], other: list[str]
) -> None:
    fields = [(names[0], "-".join(names[1:])) for names in (one, other)]
    are_joined = not name_forms(*fields[0]).isdisjoint(name_forms(*fields[1]))
    swapped = name_forms(fields[1][1].upper(), unicodedata.normalize("NFD", fields[1][0]))
    assert are_joined is not name_forms(*fields[0]).isdisjoint(swapped)


def test_one_document_is_one_person_and_two_documents_are_two_whatever_they_are_called() -> None:
    document = a_document_hmac("passport")
    first = an_account("c1", identity_document_hmac=document)
    assert others_of_c1(
        first,
        an_account("c2", identity_document_hmac=document.upper(), given_name="Anna", birth_date="1999-01-01"),
        an_account("c3", identity_document_hmac=a_document_hmac("another passport")),
    ) == ("c2",)
    # A document that was renewed is one of both: the account that carried either is the person's.
    renewed = an_account("c2", event_id="renewed", at=AT + DAY, identity_document_hmac=a_document_hmac("new"))
    before = an_account("c2", identity_document_hmac=document)
    assert others_of_c1(first, before, renewed) == ("c2",)


def test_an_earlier_state_counts_so_that_who_renames_an_account_does_not_escape() -> None:
    renamed = an_account("c2", event_id="renamed", at=AT + DAY, **NO_DOCUMENT, family_name="Anders")
    assert others_of_c1(ANNA, an_account("c2", **NO_DOCUMENT), renamed) == ("c2",)


def test_a_corrected_row_and_one_that_is_not_known_yet_count_no_more_than_if_they_were_not_there() -> None:
    wrong = an_account("c2", **NO_DOCUMENT)
    right = an_account(
        "c2", event_id="right", at=NOW - DAY, corrects=wrong["event_id"], **NO_DOCUMENT, family_name="Anders"
    )
    assert others_of_c1(ANNA, wrong, right) == ()
    assert others_of_c1(ANNA, wrong, right, as_of=NOW - DAY) == ("c2",)
    assert others_of_c1(ANNA, an_account("c2", at=NOW, **NO_DOCUMENT)) == ()


def test_only_the_direct_relation_counts() -> None:
    bridge = [
        an_account("c2", **NO_DOCUMENT),
        an_account("c2", event_id="married", at=AT + DAY, **NO_DOCUMENT, family_name="Anders"),
    ]
    beyond = an_account("c3", **NO_DOCUMENT, family_name="Anders")
    assert others_of_c1(ANNA, *bridge, beyond) == ("c2",)


def decided_with(others: Mapping[str, Sequence[Row]], *, reserved: int = 0, cents: int = 10_000) -> Any:
    """An order of c1, who owes and paid nothing itself, beside other accounts of the person."""
    rows = {
        customer_id: {
            "customers": [an_account(customer_id)],
            "invoices": [row for row in of_one if "due_at" in row],
            "invoice_payments": [row for row in of_one if "method" in row],
        }
        for customer_id, of_one in {"c1": [], **others}.items()
    }
    own = rows.pop("c1")
    order = an_order(at=NOW, amount_cents=cents)
    inputs = inputs_at(
        own,
        order,
        reserved_cents=reserved,
        as_of_ms=NOW,
        feature_set=None,
        terms=USUAL_TERMS,
        other_accounts=rows,
    )
    return inputs, decide(order_of(order), inputs.applicant, inputs.standing, GOOD, POLICY, as_of=AS_OF)


def test_arrears_of_another_account_block_and_to_settle_them_is_the_step() -> None:
    overdue = an_invoice("i-old", "c2", at=NOW - 90 * DAY, amount_cents=7_000)
    inputs, decision = decided_with({"c2": [overdue]})
    assert inputs.other_accounts == ("c2",)
    assert decision.outcome is Outcome.DECLINED
    assert [dict(failure.data)["invoice_id"] for failure in decision.failed_rules] == ["i-old"]
    assert [(step.code, step.sufficient) for step in decision.recourse] == [("settle_invoice", True)]
    settled = a_payment("i-old", "c2", at=NOW - DAY, amount_cents=7_000)
    assert decided_with({"c2": [overdue, settled]})[1].outcome is Outcome.APPROVED


def test_what_other_accounts_owe_and_repaid_bounds_one_limit() -> None:
    alone = decided_with({})[1]
    open_invoice = an_invoice("i-open", "c2", at=NOW - DAY, amount_cents=9_000)
    beside, decision = decided_with({"c2": [open_invoice]}, reserved=1_000)
    assert decision.limit_cents == alone.limit_cents
    assert decision.available_cents == alone.limit_cents - 10_000
    assert beside.standing.exposure_cents == 10_000
    repaid = [
        an_invoice("i-paid", "c2", at=NOW - 90 * DAY, amount_cents=40_000),
        a_payment("i-paid", "c2", at=NOW - 80 * DAY, amount_cents=40_000),
    ]
    assert decided_with({"c2": repaid})[1].limit_cents > alone.limit_cents


def test_the_record_keeps_which_accounts_counted_and_one_from_before_has_none() -> None:
    inputs, _ = decided_with({"c2": [], "c3": []})
    assert DecisionInputs.restored(inputs.to_record(), None) == inputs
    before = decided_with({})[0].to_record()
    del before["other_accounts"], before["judgement_revision"]
    restored = DecisionInputs.restored(before, None)
    assert (restored.other_accounts, restored.revision) == ((), 1)


def population(people: int, seed: int) -> list[Row]:
    """Accounts that share names, documents and homes at random, some of them changed or corrected later."""
    generator = random.Random(seed)
    documents = [None, None, *(a_document_hmac(f"document {number}") for number in range(people // 2))]
    rows = []
    for number in range(people):
        for version in range(generator.choice([1, 1, 2, 3])):
            corrects = f"c{number}-{version - 1}" if version and generator.random() < 0.3 else None
            rows.append(
                an_account(
                    f"c{number}",
                    event_id=f"c{number}-{version}",
                    at=AT + (version * people + number) * DAY // people,
                    corrects=corrects,
                    given_name=generator.choice(["Anna", "Ben"]),
                    birth_date=generator.choice(["1980-01-01", "1990-01-01"]),
                    family_name=generator.choice(["Müller", "Mueller", "Lüdenscheidt-Groß"]),
                    residence_house_number=str(generator.randrange(people // 2)),
                    identity_document_hmac=generator.choice(documents),
                )
            )
    return rows


def found_in(store: Store, customer_id: str) -> tuple[str, ...]:
    """The other accounts of a person as the checkout finds them."""
    with store.reading() as tx:
        candidates = candidate_accounts(tx, customer_id)
        rows = {one: credit_rows(tx, one)["customers"] for one in (customer_id, *candidates)}
    return other_accounts(rows.pop(customer_id), rows, NOW)


def found_slowly(rows: Sequence[Row], customer_id: str) -> tuple[str, ...]:
    """The same, by asking each account about every other."""
    traces = {
        one: person_traces([row for row in rows if row["customer_id"] == one], NOW)
        for one in {row["customer_id"] for row in rows}
    }
    own = traces.pop(customer_id)
    return tuple(sorted(one for one, other in traces.items() if own.is_same_person(other)))


def test_the_index_finds_the_accounts_that_asking_each_about_every_other_finds(
    store: Store, tmp_path: Path
) -> None:
    rows = population(60, seed=3)
    # Half of the history came in a folder, the rest one by one; what was loaded again changes nothing.
    early = [row for row in rows if row["occurred_at"] < AT + DAY]
    folder = write_ledger(tmp_path / "book", {"customers": early})
    for _ in range(2):
        load_folder(store, folder, now_ms=NOW - DAY)
    for row in rows:
        append_row(store, "customers", row, NOW - DAY)
    found = {one: found_in(store, one) for one in sorted({row["customer_id"] for row in rows})}
    assert found == {one: found_slowly(rows, one) for one in found}
    assert {len(others) for others in found.values()} >= {0, 1, 2}


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_a_store_from_before_gets_the_index_of_what_it_holds(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path / 'old.db'}"
    else:
        url = fresh_postgresql_url(request.getfixturevalue("postgresql_server"))
    migrate(url)
    opened = open_store(url)
    try:
        for row in population(12, seed=5):
            append_row(opened, "customers", row, NOW - DAY)
        with opened.reading() as tx:
            kept = tx.execute("SELECT person_key, customer_id FROM person_keys ORDER BY 1, 2")
        opened.close()
        engine = create_engine(sqlalchemy_url(url))
        with engine.begin() as connection:
            command.downgrade(alembic_config(connection), "0003")
            assert "person_keys" not in inspect(connection).get_table_names()
        engine.dispose()
        migrate(url)
        opened = open_store(url)
        with opened.reading() as tx:
            assert tx.execute("SELECT person_key, customer_id FROM person_keys ORDER BY 1, 2") == kept
    finally:
        opened.close()
    assert len(kept) > 12


def test_reservations_of_the_persons_other_accounts_count_and_only_the_own_order_is_left_out(
    store: Store,
) -> None:
    with store.writing("c1", "c2") as tx:
        reserve(tx, a_reservation("o1", 1_000), NOW)
        reserve(tx, a_reservation("o2", 200), NOW)
    with store.reading() as tx:
        assert reserved_cents(tx, "c2", NOW, excluding_order_id="o1", other_accounts=("c1",)) == 1_200
        assert reserved_cents(tx, "c1", NOW, excluding_order_id="o1", other_accounts=("c2",)) == 200


def test_a_decision_lies_after_all_that_is_recorded_of_each_account_and_before_all_that_comes(
    store: Store,
) -> None:
    accounts = ("c1", "c2", "c3")
    for place, account in enumerate(accounts):
        append_row(store, "customers", an_account(account), NOW + 100 * (3 - place))
    with store.writing(*accounts) as tx:
        as_of = next_common_as_of_ms(tx, "c3", ["c1", "c2"], NOW)
    assert as_of == NOW + 301
    for account in accounts:
        again = an_account(account, event_id=f"again-{account}", at=AT + DAY)
        assert append_row(store, "customers", again, NOW).recorded_at_ms >= as_of


def test_a_key_that_more_accounts_share_than_anybody_has_is_no_person(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bonitas.db'}"
    migrate(url)
    opened = open_store(url)
    try:
        rows = [an_account(f"c{number}", **NO_DOCUMENT) for number in range(ACCOUNTS_MAXIMUM + 1)]
        folder = write_ledger(tmp_path / "book", {"merchants": [a_merchant()], "customers": rows[:-1]})
        load_folder(opened, folder, now_ms=NOW)
        with opened.reading() as tx:
            assert len(candidate_accounts(tx, "c0")) == ACCOUNTS_MAXIMUM - 1
        append_row(opened, "customers", rows[-1])
        with opened.reading() as tx, pytest.raises(TooManyAccountsOfOnePerson, match="customer c0 shares"):
            candidate_accounts(tx, "c0")
    finally:
        opened.close()


def test_accounts_that_share_two_keys_count_once(store: Store) -> None:
    accounts = [f"c{number:02}" for number in range(ACCOUNTS_MAXIMUM * 6 // 10)]
    with store.writing("c00") as tx:
        tx.execute_many(INSERT_PERSON_KEY, [(key, account) for account in accounts for key in ("k1", "k2")])
        assert candidate_accounts(tx, "c00") == accounts[1:]


def test_who_has_one_name_is_one_person_with_it_said_twice_or_with_a_stroke_beside_it() -> None:
    assert name_forms("Suharto", "Suharto") == name_forms("Suharto", "-") == name_forms("SUHARTO", ".")
    assert not name_forms("Suharto", "-") & name_forms("Suharto", "Wati")


def test_a_residence_with_a_stair_is_no_other_house() -> None:
    lives = {"residence_postal_code": "1010", "residence_city": "Wien", "residence_country": "AT"}
    one = {**lives, "residence_street": "Ring", "residence_house_number": "12/1"}
    assert residence_key(one) != residence_key({**one, "residence_house_number": "121"})
    assert residence_key(one) == residence_key({**one, "residence_postal_code": "A-1010 "})
