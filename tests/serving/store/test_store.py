"""The store on SQLite and on a real PostgreSQL: ledger, clocks, reservations, keys, policies."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.rules import Rule
from serving.domain.reservation import ReservationState
from serving.requests.lock_line import LONGEST_PAUSE_S
from serving.store import loading
from serving.store.api_keys import caller_of, create_key, revoke_key
from serving.store.credit_rows import credit_rows, credit_rows_of
from serving.store.customer_clocks import next_as_of_ms
from serving.store.decision_log import LoggedDecision, append_decision, decision_of, decisions_about
from serving.store.errors import (
    ApiKeyError,
    PolicyVersionReused,
    ReservationConflict,
    StoreLost,
    StoreNotMigrated,
    StoreUnavailable,
)
from serving.store.export import export_folder
from serving.store.held_rows import refused_invoice_count
from serving.store.idempotency import StoredAnswer, answer_under, keep_answer
from serving.store.ledger import append, append_decided_order, held_count
from serving.store.ledger_rows import insert_event
from serving.store.loading import load_folder
from serving.store.migrate import migrate, sqlalchemy_url
from serving.store.open_store import open_store
from serving.store.policies import keep_policy, policy_text
from serving.store.quarantined_rows import quarantine_row
from serving.store.reservations import Reservation, confirm, release, reservation_of, reserve, reserved_cents
from serving.store.schema_revisions import OLDEST_CODE_TABLE, SCHEMA_TABLE
from serving.store.store import IN_REQUESTS, Store
from tests.builders import (
    DAY,
    Row,
    a_balance,
    a_charge,
    a_customer,
    a_merchant,
    a_payment,
    an_account,
    an_invoice,
    an_order,
    ms,
    write_ledger,
)

T0 = ms("2026-01-01")
NOW = ms("2026-06-01")


def append_row(store: Store, contract: str, row: Row, now: int = NOW) -> Any:
    stamped = {name: value for name, value in row.items() if name != "recorded_at" and value is not None}
    with store.writing(row.get("customer_id") or row["merchant_id"]) as tx:
        return append(tx, CONTRACTS[contract], stamped, now)


def with_an_order(store: Store) -> None:
    append_row(store, "merchants", a_merchant(at=T0))
    append_row(store, "customers", a_customer(at=T0))
    append_row(store, "orders", an_order(at=T0))


def rows_of(store: Store, contract: str, customer_id: str = "c1") -> list[Row]:
    with store.reading() as tx:
        return credit_rows(tx, customer_id).get(contract, [])


def test_a_decision_reads_the_rows_of_the_credit_contracts_and_no_others(store: Store) -> None:
    with store.writing("c1") as tx:
        for name, contract in CONTRACTS.items():
            # A merchant that is called as the customer is none of its rows.
            for entity in ("c1", "c1", "c2"):
                number = len(tx.execute("SELECT 1 FROM ledger_events"))
                row = {"event_id": f"{name}-{number}", contract.entity: entity, "occurred_at": T0}
                assert insert_event(tx, contract, row, "of-content", T0)
    with store.reading() as tx:
        read, one_by_one = credit_rows(tx, "c1"), credit_rows_of(tx, ["c1"])["c1"]
        assert credit_rows(tx, "nobody") == {}
    assert {name: sorted(rows, key=str) for name, rows in read.items()} == {
        name: sorted(rows, key=str) for name, rows in one_by_one.items()
    }
    assert {len(rows) for rows in read.values()} == {2}


def test_a_row_sent_again_changes_nothing(store: Store) -> None:
    assert append_row(store, "customers", a_customer(at=T0)).status is AppendStatus.ACCEPTED
    assert append_row(store, "customers", a_customer(at=T0), NOW + DAY).status is AppendStatus.REPEATED
    assert len(rows_of(store, "customers")) == 1


def test_the_same_id_with_other_content_is_refused_by_name(store: Store) -> None:
    append_row(store, "customers", a_customer(at=T0))
    result = append_row(store, "customers", a_customer(at=T0, given_name="Anna"))
    assert (result.status, result.rule, result.column) == (
        AppendStatus.REFUSED,
        Rule.EVENT_ID_REUSED,
        "event_id",
    )


def test_a_payment_before_its_invoice_is_held_and_enters_with_it(store: Store) -> None:
    with_an_order(store)
    assert append_row(store, "invoice_payments", a_payment(at=T0 + 5 * DAY)).status is AppendStatus.HELD
    with store.reading() as tx:
        assert held_count(tx) == 1
    assert rows_of(store, "invoice_payments") == []
    result = append_row(store, "invoices", an_invoice(at=T0 + DAY), NOW + DAY)
    assert [(r.event_id, r.status) for r in result.readmitted] == [
        (f"payment-i1-{T0 + 5 * DAY}", AppendStatus.ACCEPTED)
    ]
    assert rows_of(store, "invoice_payments")[0]["recorded_at"] == NOW + DAY + 1
    with store.reading() as tx:
        assert held_count(tx) == 0


def test_a_whole_chain_of_held_rows_enters_when_its_root_does(store: Store) -> None:
    append_row(store, "invoice_payments", a_payment(at=T0 + 5 * DAY))
    append_row(store, "invoices", an_invoice(at=T0 + DAY))
    append_row(store, "orders", an_order(at=T0))
    append_row(store, "customers", a_customer(at=T0))
    result = append_row(store, "merchants", a_merchant(at=T0))
    assert [r.event_id for r in result.readmitted] == [
        "order-o1",
        "invoice-i1",
        f"payment-i1-{T0 + 5 * DAY}",
    ]
    assert all(r.status is AppendStatus.ACCEPTED for r in result.readmitted)


def test_a_held_row_that_turns_out_wrong_goes_to_quarantine_and_is_not_lost(store: Store) -> None:
    with_an_order(store)
    append_row(store, "invoice_charges", {**a_charge(at=T0 - 1), "event_id": "too-early"})
    result = append_row(store, "invoices", an_invoice(at=T0 + DAY))
    assert result.readmitted[0].rule is Rule.BEFORE_REFERENCE
    with store.reading() as tx:
        assert tx.execute("SELECT event_id, contract FROM quarantined_events") == [
            ("too-early", "invoice_charges")
        ]


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (an_invoice("i2", at=T0 + DAY, currency="SEK"), Rule.CURRENCY_DIFFERS),
        (an_invoice("i2", "c2", at=T0 + DAY), Rule.CUSTOMER_DIFFERS),
        (an_invoice("i2", at=T0 - 2 * DAY), Rule.BEFORE_REFERENCE),
        (an_invoice("i1", at=T0 + DAY, event_id="again"), Rule.KEY_REUSED),
    ],
)
def test_a_row_that_breaks_a_rule_between_rows_is_refused_by_its_name(
    store: Store, row: Row, rule: Rule
) -> None:
    with_an_order(store)
    append_row(store, "customers", a_customer("c2", event_id="customer-2", at=T0))
    append_row(store, "invoices", an_invoice("i1", at=T0 + DAY))
    result = append_row(store, "invoices", row)
    assert (result.status, result.rule) == (AppendStatus.REFUSED, rule)


def test_a_correction_names_the_newest_row_and_only_once(store: Store) -> None:
    append_row(store, "customers", a_customer(at=T0))
    append_row(store, "credit_accounts", an_account(opened_at=T0))
    first = a_balance(at=T0 + DAY, event_id="b1")
    append_row(store, "account_balances", first)
    second = {**first, "event_id": "b2", "corrects": "b1", "balance_cents": 1}
    third = {**first, "event_id": "b3", "corrects": "b1", "balance_cents": 2}
    assert append_row(store, "account_balances", second).status is AppendStatus.ACCEPTED
    assert append_row(store, "account_balances", third).rule is Rule.CORRECTED_TWICE
    assert append_row(store, "account_balances", {**third, "corrects": "b2"}).status is AppendStatus.ACCEPTED


def test_a_row_recorded_after_a_decision_is_not_visible_to_it_even_within_one_millisecond(
    store: Store,
) -> None:
    append_row(store, "customers", a_customer(at=T0))
    with store.writing("c1") as tx:
        as_of = next_as_of_ms(tx, "c1", NOW)
    assert as_of > rows_of(store, "customers")[0]["recorded_at"]
    append_row(store, "credit_accounts", an_account(opened_at=T0))
    recorded_at = rows_of(store, "credit_accounts")[0]["recorded_at"]
    assert recorded_at >= as_of
    with store.writing("c1") as tx:
        assert next_as_of_ms(tx, "c1", NOW) > recorded_at


def a_reservation(order_id: str = "o1", cents: int = 1_000, expires_at: int = NOW + DAY) -> Reservation:
    return Reservation(
        order_id=order_id,
        customer_id="c1",
        merchant_id="m1",
        decision_id=f"d-{order_id}",
        amount_cents=cents,
        currency="EUR",
        state=ReservationState.RESERVED,
        expires_at_ms=expires_at,
    )


def reserved(store: Store, now: int = NOW, excluding: str = "") -> int:
    with store.reading() as tx:
        return reserved_cents(tx, "c1", now, excluding_order_id=excluding)


def test_reservations_count_until_they_expire_and_a_new_one_replaces_the_orders_old_one(
    store: Store,
) -> None:
    with store.writing("c1") as tx:
        reserve(tx, a_reservation("o1", 1_000), NOW)
        reserve(tx, a_reservation("o2", 500, NOW + 2 * DAY), NOW)
        reserve(tx, a_reservation("o1", 700), NOW)
    assert reserved(store) == 1_200
    assert reserved(store, excluding="o1") == 500
    assert reserved(store, now=NOW + DAY) == 500


def test_an_invoice_ends_the_reservation_of_its_order_in_the_same_transaction(store: Store) -> None:
    with_an_order(store)
    with store.writing("c1") as tx:
        reserve(tx, a_reservation(cents=10_000), NOW)
        confirm(tx, customer_id="c1", order_id="o1", expires_at_ms=NOW + 30 * DAY, now_ms=NOW)
    assert reserved(store) == 10_000
    append_row(store, "invoices", an_invoice(at=T0 + DAY))
    assert reserved(store) == 0
    with store.reading() as tx:
        reservation = reservation_of(tx, "c1", "o1")
    assert reservation is not None
    assert reservation.state is ReservationState.INVOICED


def test_a_released_reservation_counts_no_more(store: Store) -> None:
    with store.writing("c1") as tx:
        reserve(tx, a_reservation(), NOW)
        release(tx, customer_id="c1", order_id="o1", now_ms=NOW)
    assert reserved(store) == 0


def test_a_failed_transaction_leaves_nothing_behind(store: Store) -> None:
    def reserve_and_fail() -> None:
        with store.writing("c1") as tx:
            reserve(tx, a_reservation(), NOW)
            raise RuntimeError("the process has a bad day")

    with pytest.raises(RuntimeError):
        reserve_and_fail()
    assert reserved(store) == 0


def reserve_if_there_is_room(url: str, order_ids: list[str], limit: int) -> int:
    """What one process of several does: reserve 100 cents for each order while the limit allows it."""
    own = open_store(url)
    approved = 0
    for order_id in order_ids:
        with own.writing("c1") as tx:
            if reserved_cents(tx, "c1", NOW, excluding_order_id=order_id) + 100 <= limit:
                reserve(tx, a_reservation(order_id, 100), NOW)
                approved += 1
    own.close()
    return approved


def test_fifty_orders_from_several_processes_never_pass_the_limit_together(
    store: Store, database_url: str
) -> None:
    chunks = [[f"o{process}-{n}" for n in range(10)] for process in range(5)]
    with multiprocessing.get_context("spawn").Pool(5) as pool:
        approved = pool.starmap(reserve_if_there_is_room, [(database_url, chunk, 1_000) for chunk in chunks])
    assert sum(approved) == 10
    assert reserved(store) == 1_000


def test_a_decision_comes_back_bit_for_bit(store: Store) -> None:
    decision = LoggedDecision(
        decision_id="d1",
        order_id="o1",
        customer_id="c1",
        merchant_id="m1",
        outcome="approved",
        as_of_ms=NOW,
        model_name="invoice-eligibility",
        model_version="1",
        feature_set_version="abc",
        policy_version="p1",
        features=(0.1, 1 / 3, 1e300, float("inf")),
        record={"score": 612, "reasons": ["Größe"]},
    )
    with store.writing("c1") as tx:
        append_decision(tx, decision)
    with store.reading() as tx:
        assert decision_of(tx, "d1") == decision
        assert decisions_about(tx, "o1") == [decision]
        assert decision_of(tx, "d2") is None


def test_an_answer_is_kept_under_its_key_for_its_caller_alone(store: Store) -> None:
    answer = StoredAnswer(request_sha256="abc", status=200, answer="{}")
    with store.writing("c1") as tx:
        keep_answer(tx, caller="shop", key="k1", answer=answer, now_ms=NOW)
        assert answer_under(tx, caller="shop", key="k1") == answer
        assert answer_under(tx, caller="other", key="k1") is None


def test_an_api_key_is_shown_once_stored_as_a_hash_and_ends_when_revoked(store: Store) -> None:
    append_row(store, "merchants", a_merchant(at=T0))
    secret = create_key(store, name="shop", role="merchant", merchant_id="m1", now_ms=NOW)
    with store.reading() as tx:
        caller = caller_of(tx, secret)
        assert caller is not None
        assert caller.merchant_id == "m1"
        assert caller_of(tx, secret + "x") is None
        assert all(secret not in str(row) for row in tx.execute("SELECT * FROM api_keys"))
    revoke_key(store, name="shop", now_ms=NOW)
    with store.reading() as tx:
        assert caller_of(tx, secret) is None


@pytest.mark.parametrize(
    ("name", "role", "merchant_id"),
    [
        ("Shop!", "checkout", None),
        ("shop", "owner", None),
        ("shop", "merchant", None),
        ("shop", "merchant", "m-of-nobody"),
        ("shop", "checkout", "m1"),
    ],
)
def test_an_odd_api_key_is_refused(store: Store, name: str, role: str, merchant_id: str | None) -> None:
    with pytest.raises(ApiKeyError):
        create_key(store, name=name, role=role, merchant_id=merchant_id, now_ms=NOW)


def test_a_policy_version_stands_for_one_text(store: Store) -> None:
    with store.writing("policies") as tx:
        keep_policy(tx, version="1", content="a = 1", now_ms=NOW)
        keep_policy(tx, version="1", content="a = 1", now_ms=NOW)
        with pytest.raises(PolicyVersionReused, match="its own version"):
            keep_policy(tx, version="1", content="a = 2", now_ms=NOW)
    with store.reading() as tx:
        assert policy_text(tx, "1") == "a = 1"


def test_a_folder_loads_once_and_repeats_harmlessly_and_comes_back_the_same(
    store: Store, tmp_path: Path
) -> None:
    rows = {
        "merchants": [a_merchant(at=T0)],
        "customers": [a_customer(at=T0)],
        "orders": [an_order(at=T0)],
        "invoices": [an_invoice(at=T0 + DAY)],
        "invoice_payments": [a_payment(at=T0 + 9 * DAY, recorded_at=T0 + 11 * DAY)],
    }
    folder = write_ledger(tmp_path / "book", rows)
    first = load_folder(store, folder, now_ms=NOW)
    assert (sum(first.loaded.values()), first.refused_count) == (5, 0)
    again = load_folder(store, folder, now_ms=NOW)
    assert (sum(again.loaded.values()), sum(again.repeated.values())) == (0, 5)
    assert rows_of(store, "invoice_payments")[0]["recorded_at"] == T0 + 11 * DAY
    assert sum(export_folder(store, tmp_path / "exported").values()) == 5
    third = load_folder(store, tmp_path / "exported", now_ms=NOW)
    assert sum(third.repeated.values()) == 5


def test_after_a_load_postgresql_plans_with_the_rows_that_came_in(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    rows = {"customers": [a_customer(f"c{n}", event_id=f"c{n}", at=T0) for n in range(5)]}
    load_folder(store, write_ledger(tmp_path / "book", rows), now_ms=NOW)
    if database_url.startswith("postgresql"):
        with store.reading() as tx:
            ((counted,),) = tx.execute("SELECT reltuples FROM pg_class WHERE relname = ?", ("ledger_events",))
        assert counted == 5


def test_between_two_long_transactions_of_a_load_a_service_gets_in(
    store: Store, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "ROWS_PER_TRANSACTION", 1)
    monkeypatch.setattr(loading, "LONG_TRANSACTION_S", 0.0)
    service = open_store(database_url, IN_REQUESTS)
    pauses: list[float] = []

    def meanwhile(seconds: float) -> None:
        pauses.append(seconds)
        append_row(service, "merchants", a_merchant(f"m{len(pauses)}", at=T0, event_id=f"m{len(pauses)}"))

    monkeypatch.setattr(loading.time, "sleep", meanwhile)
    rows = [a_customer(f"c{n}", event_id=f"c{n}", at=T0) for n in range(3)]
    load_folder(store, write_ledger(tmp_path / "book", {"customers": rows}), now_ms=NOW)
    service.close()
    assert len(pauses) == 3
    assert min(pauses) > LONGEST_PAUSE_S, "a service looks at least once in it"
    with store.reading() as tx:
        merchants = tx.execute("SELECT COUNT(*) FROM ledger_events WHERE contract = 'merchants'")
    assert merchants == [(3,)]


def test_a_folder_with_other_content_or_rows_from_the_future_is_refused_row_by_row(
    store: Store, tmp_path: Path
) -> None:
    load_folder(store, write_ledger(tmp_path / "a", {"customers": [a_customer(at=T0)]}), now_ms=NOW)
    changed = [
        a_customer(at=T0, given_name="Anna"),
        a_customer("c2", event_id="late", at=T0, recorded_at=NOW + 1),
    ]
    result = load_folder(store, write_ledger(tmp_path / "b", {"customers": changed}), now_ms=NOW)
    assert sorted(refusal["event_id"] for refusal in result.refused) == ["customer-1", "late"]
    assert len(rows_of(store, "customers", "c2")) == 0


# SQLAlchemy reads such an index of PostgreSQL, and of SQLite not.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_migrations_make_the_tables_that_are_declared(database_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine

    from serving.store.tables import metadata

    engine = create_engine(sqlalchemy_url(database_url))

    def is_ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name not in {OLDEST_CODE_TABLE, SCHEMA_TABLE}

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": is_ours})
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    assert migrate(database_url) == migrate(database_url)


def test_a_store_of_another_revision_is_not_opened(store: Store, database_url: str) -> None:
    with store.writing("x") as tx:
        tx.execute("UPDATE schema_revision SET version_num = '0010'")
    with pytest.raises(StoreNotMigrated, match="bonitas migrate"):
        open_store(database_url)
    with store.writing("x") as tx:
        tx.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreNotMigrated, match="start a newer release"):
        open_store(database_url)


def test_a_customers_row_let_in_by_a_merchant_is_not_recorded_before_the_customers_last_decision(
    store: Store,
) -> None:
    append_row(store, "customers", a_customer(at=T0))
    append_row(store, "orders", an_order(at=T0))
    with store.writing("c1") as tx:
        as_of = next_as_of_ms(tx, "c1", NOW + 5)
    result = append_row(store, "merchants", a_merchant(at=T0), NOW + 3)
    assert result.readmitted[0].recorded_at_ms >= as_of
    with store.writing("c1") as tx:
        assert next_as_of_ms(tx, "c1", NOW) > result.readmitted[0].recorded_at_ms


def test_a_loaded_invoice_ends_its_reservation_and_lets_in_its_held_payment(
    store: Store, tmp_path: Path
) -> None:
    with_an_order(store)
    with store.writing("c1") as tx:
        reserve(tx, a_reservation(cents=10_000), NOW)
    append_row(store, "invoice_payments", a_payment(at=T0 + 5 * DAY))
    folder = write_ledger(tmp_path / "news", {"invoices": [an_invoice(at=T0 + DAY)]})
    load_folder(store, folder, now_ms=NOW)
    assert reserved(store) == 0
    assert len(rows_of(store, "invoice_payments")) == 1
    with store.reading() as tx:
        assert held_count(tx) == 0


def test_a_held_row_that_is_loaded_enters_once(store: Store, tmp_path: Path) -> None:
    payment = a_payment(at=T0 + 5 * DAY)
    append_row(store, "invoice_payments", payment)
    rows = {
        "merchants": [a_merchant(at=T0)],
        "customers": [a_customer(at=T0)],
        "orders": [an_order(at=T0)],
        "invoices": [an_invoice(at=T0 + DAY)],
        "invoice_payments": [payment],
    }
    result = load_folder(store, write_ledger(tmp_path / "book", rows), now_ms=NOW)
    assert (result.loaded["invoice_payments"], result.refused_count) == (1, 0)
    assert len(rows_of(store, "invoice_payments")) == 1


def test_an_event_id_twice_in_one_folder_repeats_or_is_refused_by_name(store: Store, tmp_path: Path) -> None:
    rows = [a_customer(at=T0), a_customer(at=T0), a_customer("c2", at=T0)]
    result = load_folder(store, write_ledger(tmp_path / "book", {"customers": rows}), now_ms=NOW)
    assert (result.loaded["customers"], result.repeated["customers"]) == (1, 1)
    assert [refusal["event_id"] for refusal in result.refused] == ["customer-1"]


def test_a_decided_order_lets_in_what_waited_for_it_and_is_not_scored_again_below_its_invoice(
    store: Store,
) -> None:
    append_row(store, "merchants", a_merchant(at=T0))
    append_row(store, "customers", a_customer(at=T0))
    append_row(store, "invoices", an_invoice(at=T0 + DAY))
    order = {name: value for name, value in an_order(at=T0).items() if name != "recorded_at"}
    with store.writing("c1") as tx:
        first = append_decided_order(tx, order, recorded_at_ms=NOW, now_ms=NOW, clock_tolerance_ms=300_000)
        lower = {**order, "event_id": "lower", "corrects": order["event_id"], "amount_cents": 9_999}
        again = append_decided_order(
            tx, lower, recorded_at_ms=NOW + DAY, now_ms=NOW + DAY, clock_tolerance_ms=300_000
        )
    assert [(entered.event_id, entered.status) for entered in first.readmitted] == [
        ("invoice-i1", AppendStatus.ACCEPTED)
    ]
    assert (again.status, again.rule) == (AppendStatus.REFUSED, Rule.ORDER_BELOW_INVOICED)


def a_book(**more: list[Row]) -> dict[str, list[Row]]:
    rows = {
        "merchants": [a_merchant(at=T0)],
        "customers": [a_customer(at=T0)],
        "orders": [an_order(at=T0)],
        "invoices": [an_invoice(at=T0 + DAY)],
    }
    return {**rows, **more}


def test_a_transfer_that_the_ledger_holds_is_not_loaded_again_under_another_id(
    store: Store, tmp_path: Path
) -> None:
    first = a_payment(at=T0 + 5 * DAY, event_id="p1", bank_reference="R1")
    load_folder(store, write_ledger(tmp_path / "a", a_book(invoice_payments=[first])), now_ms=NOW)
    again = {**first, "event_id": "p2", "recorded_at": T0 + 9 * DAY, "bank_reference": " r 1"}
    other = {**again, "event_id": "p3", "amount_cents": 1}
    corrected = {**other, "event_id": "p4", "amount_cents": 2, "corrects": "p1"}
    second = write_ledger(tmp_path / "b", a_book(invoice_payments=[again, other, corrected]))
    result = load_folder(store, second, now_ms=NOW)
    assert (result.loaded["invoice_payments"], result.repeated["invoice_payments"]) == (1, 1)
    (refusal,) = result.refused
    assert (refusal["event_id"], "p1" in refusal["reason"]) == ("p3", True)
    assert {row["event_id"] for row in rows_of(store, "invoice_payments")} == {"p1", "p4"}


def test_a_state_is_not_loaded_beside_one_of_the_same_two_instants_that_says_otherwise(
    store: Store, tmp_path: Path
) -> None:
    load_folder(store, write_ledger(tmp_path / "a", {"customers": [a_customer(at=T0)]}), now_ms=NOW)
    states = [
        a_customer(event_id="same", at=T0),
        a_customer(event_id="other", at=T0, language="en"),
        a_customer(event_id="later", at=T0, language="en", recorded_at=T0 + 1),
        a_customer("c2", event_id="one", at=T0),
        a_customer("c2", event_id="two", at=T0, language="en"),
    ]
    result = load_folder(store, write_ledger(tmp_path / "b", {"customers": states}), now_ms=NOW)
    assert sorted(refusal["event_id"] for refusal in result.refused) == ["one", "other", "two"]
    assert {row["event_id"] for row in rows_of(store, "customers")} == {"customer-1", "same", "later"}


CORRECTED = {**an_invoice(at=T0 + DAY, amount_cents=9_000, event_id="first"), "corrects": "invoice-i1"}
BESIDE_THE_LEDGER: dict[str, tuple[Row, Row, Rule]] = {
    "a second invoice over the whole order": (
        an_invoice(at=T0 + DAY),
        an_invoice("i2", at=T0 + DAY),
        Rule.SUM_ABOVE_ORDER,
    ),
    "an invoice again under another event_id": (
        an_invoice(at=T0 + DAY),
        an_invoice(at=T0 + DAY, event_id="other", amount_cents=5_000),
        Rule.KEY_REUSED,
    ),
    "a second correction of one row": (
        CORRECTED,
        {**CORRECTED, "event_id": "second", "amount_cents": 100},
        Rule.CORRECTED_TWICE,
    ),
}


@pytest.mark.parametrize(("stands", "comes", "rule"), BESIDE_THE_LEDGER.values(), ids=list(BESIDE_THE_LEDGER))
def test_a_row_that_contradicts_the_ledger_is_not_loaded_nor_what_rests_on_it(
    store: Store, tmp_path: Path, stands: Row, comes: Row, rule: Rule
) -> None:
    invoices = [an_invoice(at=T0 + DAY)] if rule is Rule.CORRECTED_TWICE else []
    before = a_book(invoices=[*invoices])
    load_folder(store, write_ledger(tmp_path / "a", before), now_ms=NOW)
    assert append_row(store, "invoices", stands).status is AppendStatus.ACCEPTED
    pays = a_payment(comes["invoice_id"], at=T0 + 5 * DAY, event_id="pays")
    corrected = {**a_payment(comes["invoice_id"], at=T0 + 5 * DAY, event_id="less"), "corrects": "pays"}
    after = {**before, "invoices": [*invoices, comes], "invoice_payments": [pays, corrected]}
    result = load_folder(store, write_ledger(tmp_path / "b", after), now_ms=NOW + 1)
    refused = {refusal["event_id"]: refusal["reason"] for refusal in result.refused}
    assert rule.value in refused[comes["event_id"]]
    assert "load again" in refused[comes["event_id"]]
    is_known = comes["invoice_id"] == "i1"
    assert (len(rows_of(store, "invoice_payments")), "pays" in refused) == (2 * is_known, not is_known)


def test_a_folder_that_was_never_validated_is_judged_by_the_rules_between_rows(
    store: Store, tmp_path: Path
) -> None:
    paid = [a_payment(at=T0 + DAY, event_id=name, bank_reference="R1", amount_cents=cents) for name, cents in
            (("p1", 100), ("p2", 200))]  # fmt: skip
    fine = an_invoice("i2", at=T0 + DAY, order_id="o2")
    rows = a_book(
        orders=[an_order(at=T0), an_order("o2", at=T0)],
        invoices=[an_invoice(at=T0 + DAY, amount_cents=899_000), fine],
        invoice_payments=[{**row, "invoice_id": "i2"} for row in paid],
    )
    result = load_folder(store, write_ledger(tmp_path / "book", rows), now_ms=NOW)
    refused = {refusal["event_id"]: refusal["reason"].split(":")[0] for refusal in result.refused}
    assert refused == {"invoice-i1": "above_order", "p2": "bank_reference_reused"}
    assert [row["invoice_id"] for row in rows_of(store, "invoices")] == ["i2"]


def test_what_arrives_between_two_blocks_of_a_load_is_not_contradicted(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "LONG_TRANSACTION_S", 0.0)
    news = iter(["merchants", "customers", "orders"])

    def meanwhile(_seconds: float) -> None:
        if next(news, None) == "orders":
            append_row(store, "invoices", an_invoice("news", at=T0 + DAY), NOW + 1)

    monkeypatch.setattr(loading.time, "sleep", meanwhile)
    result = load_folder(store, write_ledger(tmp_path / "book", a_book()), now_ms=NOW)
    assert [refusal["event_id"] for refusal in result.refused] == ["invoice-i1"]
    assert [row["invoice_id"] for row in rows_of(store, "invoices")] == ["news"]


def test_a_correction_of_a_repeated_transfer_corrects_the_one_that_stands(
    store: Store, tmp_path: Path
) -> None:
    load_folder(store, write_ledger(tmp_path / "a", a_book()), now_ms=NOW)
    first = a_payment(at=T0 + 5 * DAY, event_id="p1", bank_reference="R1")
    none = {**first, "event_id": "p2c", "corrects": "p2", "amount_cents": 0}
    sent = [first, none, {**first, "event_id": "p2"}]
    results = [append_row(store, "invoice_payments", row) for row in sent]
    assert [result.status.value for result in results] == ["accepted", "held", "repeated"]
    assert [entered.event_id for entered in results[-1].readmitted] == ["p2c"]
    assert rows_of(store, "invoice_payments")[-1]["corrects"] == "p1"
    again = [none, {**first, "event_id": "p2"}, {**first, "event_id": "p2", "amount_cents": 77},
             {**none, "event_id": "p2d"}]  # fmt: skip
    statuses = [append_row(store, "invoice_payments", row) for row in again]
    assert [(result.status.value, result.rule) for result in statuses] == [
        ("repeated", None),
        ("repeated", None),
        ("refused", Rule.EVENT_ID_REUSED),
        ("refused", Rule.CORRECTED_TWICE),
    ]
    export_folder(store, tmp_path / "out")
    assert load_folder(store, tmp_path / "out", now_ms=NOW + DAY).refused == []


def test_a_folder_whose_correction_names_a_repeated_transfer_is_loaded_so(
    store: Store, tmp_path: Path
) -> None:
    first = a_payment(at=T0 + 5 * DAY, event_id="p1", bank_reference="R1")
    none = {**first, "event_id": "p2c", "corrects": "p2", "amount_cents": 0, "recorded_at": T0 + 6 * DAY}
    book = a_book(invoice_payments=[first, {**first, "event_id": "p2", "recorded_at": T0 + 6 * DAY}, none])
    folder = write_ledger(tmp_path / "book", book)
    result = load_folder(store, folder, now_ms=NOW)
    assert (result.loaded["invoice_payments"], result.repeated["invoice_payments"]) == (2, 1)
    assert rows_of(store, "invoice_payments")[-1]["corrects"] == "p1"
    assert append_row(store, "invoice_payments", {**first, "event_id": "p2"}).status.value == "repeated"
    again = load_folder(store, folder, now_ms=NOW)
    assert (sum(again.loaded.values()), again.refused) == (0, [])


def test_a_refused_row_is_let_in_once_a_correction_makes_it_fit_and_counts_as_refused_no_more(
    store: Store, tmp_path: Path
) -> None:
    load_folder(store, write_ledger(tmp_path / "a", a_book(invoices=[])), now_ms=NOW)
    too_much = an_invoice(at=T0 + DAY, amount_cents=12_000)
    refused = append_row(store, "invoices", too_much)
    with store.writing("c1") as tx:
        quarantine_row(tx, quarantine_id="q", contract_name="invoices", event_id="invoice-i1", violations=[],
                       body="{}", now_ms=NOW)  # fmt: skip
        assert (refused.status, refused_invoice_count(tx)) == (AppendStatus.REFUSED, 1)
    more = {**an_order(at=T0, amount_cents=12_000), "event_id": "more", "corrects": "order-o1"}
    result = append_row(store, "orders", more, NOW + 5)
    (entered,) = result.readmitted
    assert (entered.event_id, entered.status) == ("invoice-i1", AppendStatus.ACCEPTED)
    assert entered.recorded_at_ms is not None
    assert entered.recorded_at_ms > (result.recorded_at_ms or 0)
    assert append_row(store, "invoices", too_much).status is AppendStatus.REPEATED
    with store.reading() as tx:
        assert refused_invoice_count(tx) == 0
        assert tx.execute("SELECT count(*) FROM refused_events") == [(0,)]


def test_what_was_sent_last_under_a_refused_event_id_is_what_counts(store: Store, tmp_path: Path) -> None:
    load_folder(store, write_ledger(tmp_path / "a", a_book(invoices=[])), now_ms=NOW)
    append_row(store, "invoices", an_invoice(at=T0 + DAY, amount_cents=12_000))
    mended = append_row(store, "invoices", an_invoice(at=T0 + DAY, amount_cents=1_000))
    assert mended.status is AppendStatus.ACCEPTED
    more = {**an_order(at=T0, amount_cents=12_000), "event_id": "more", "corrects": "order-o1"}
    assert append_row(store, "orders", more).readmitted == ()
    assert [row["amount_cents"] for row in rows_of(store, "invoices")] == [1_000]


def append_a_transfer(url: str, event_id: str, invoice_id: str) -> str:
    own = open_store(url)
    payment = a_payment(invoice_id, "c" + invoice_id[1:], at=T0 + DAY, event_id=event_id, bank_reference="R1")
    result = append_row(own, "invoice_payments", payment)
    own.close()
    return str(result.status.value)


def test_of_two_processes_that_bring_one_transfer_at_once_one_is_accepted(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    rows = a_book(
        customers=[a_customer(at=T0), a_customer("c2", event_id="customer-2", at=T0)],
        orders=[an_order(at=T0), an_order("o2", "c2", at=T0)],
        invoices=[an_invoice(at=T0), an_invoice("i2", "c2", at=T0, order_id="o2")],
    )
    load_folder(store, write_ledger(tmp_path / "book", rows), now_ms=NOW)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        sent = [(database_url, "p1", "i1"), (database_url, "p2", "i1"), (database_url, "p3", "i2")]
        statuses = pool.starmap(append_a_transfer, sent)
    # Two say the same; the third books the transfer for somebody else.
    expected = {"accepted", "repeated", "refused"} if statuses[2] == "refused" else {"accepted", "refused"}
    assert (set(statuses), statuses.count("accepted")) == (expected, 1)


def append_a_customer(url: str, customer_id: str) -> str:
    own = open_store(url)
    result = append_row(own, "customers", a_customer(customer_id, event_id="contested", at=T0))
    own.close()
    return str(result.status.value)


def test_of_two_processes_that_send_one_event_id_at_once_one_is_accepted(
    store: Store, database_url: str
) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        same = pool.starmap(append_a_customer, [(database_url, "c1"), (database_url, "c1")])
    assert sorted(same) == ["accepted", "repeated"]
    other = append_a_customer(database_url, "c2")
    assert other == "refused"


def test_a_row_may_not_occur_before_the_first_row_about_what_it_names_but_before_its_correction(
    store: Store,
) -> None:
    with_an_order(store)
    first = an_invoice(at=T0 + DAY)
    append_row(store, "invoices", first)
    moved = {**first, "event_id": "moved", "corrects": first["event_id"], "occurred_at": T0 + 9 * DAY}
    assert append_row(store, "invoices", moved).status is AppendStatus.ACCEPTED
    assert append_row(store, "invoice_payments", a_payment(at=T0 + 5 * DAY)).status is AppendStatus.ACCEPTED


@pytest.mark.parametrize("ended", ["confirmed", "invoiced", "cancelled"])
def test_an_ended_or_confirmed_reservation_is_not_revived(store: Store, ended: str) -> None:
    with store.writing("c1") as tx:
        reserve(tx, a_reservation(), NOW)
        tx.execute("UPDATE reservations SET state = ?", (ended,))
    with pytest.raises(ReservationConflict), store.writing("c1") as tx:
        reserve(tx, a_reservation(cents=1), NOW)


def test_a_reservation_belongs_to_one_customer_whatever_another_calls_an_order(store: Store) -> None:
    with store.writing("c1") as tx:
        reserve(tx, a_reservation(), NOW)
    with store.writing("c2") as tx:
        reserve(tx, replace(a_reservation(cents=7), customer_id="c2"), NOW)
        release(tx, customer_id="c2", order_id="o1", now_ms=NOW)
    assert reserved(store) == 1_000


def test_a_database_that_is_newer_or_none_is_not_migrated(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    with store.writing("x") as tx:
        tx.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreNotMigrated, match="newer"):
        migrate(database_url)
    (tmp_path / "broken.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreUnavailable):
        migrate(f"sqlite:///{tmp_path / 'broken.db'}")


def test_a_missing_database_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreNotMigrated, match="bonitas migrate"):
        open_store(f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(StoreUnavailable):
        open_store("postgresql://nobody@127.0.0.1:1/none")


def test_a_store_whose_file_is_gone_is_lost_and_no_empty_one_is_made_in_its_place(tmp_path: Path) -> None:
    file = tmp_path / "bonitas.db"
    migrate(f"sqlite:///{file}")
    opened = open_store(f"sqlite:///{file}")
    opened.check()
    file.rename(tmp_path / "moved.db")
    with pytest.raises(StoreLost, match="cannot be found"):
        opened.check()
    with ThreadPoolExecutor(1) as another, pytest.raises(StoreUnavailable):
        another.submit(held_count_in, opened).result()
    assert not file.exists()
    file.touch()
    with pytest.raises(StoreLost, match="another file"):
        opened.check()
    opened.close()


def held_count_in(store: Store) -> int:
    with store.reading() as tx:
        return held_count(tx)


def test_a_file_that_is_no_database_makes_the_store_unavailable(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreUnavailable):
        open_store(f"sqlite:///{tmp_path / 'broken.db'}")


def test_under_a_steady_load_the_log_of_sqlite_is_used_again_instead_of_growing_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.store.sqlite_store.CHECKPOINT_INTERVAL_S", 0.01)
    monkeypatch.setattr("serving.store.sqlite_store.WAL_REUSE_PAGES", 100)
    url = f"sqlite:///{tmp_path / 'bonitas.db'}"
    migrate(url)
    busy = open_store(url)
    log = tmp_path / "bonitas.db-wal"
    note = "x" * 50_000
    written_bytes = 0
    for number in range(2_000):
        with busy.writing() as tx:
            tx.execute("INSERT INTO review_requests VALUES (?, ?, ?)", (f"d{number}", NOW, note))
        written_bytes += len(note)
        if written_bytes > 5_000_000 and log.stat().st_size < written_bytes / 4:
            break
    assert log.stat().st_size < written_bytes / 4
    busy.close()
