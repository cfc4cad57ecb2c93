"""A store of an earlier version is brought up to date with everything that it holds."""

import hashlib
import json
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import MetaData, create_engine, text

from data_contracts.between_rows.waits import freed_value
from data_contracts.ledger_contracts import CONTRACTS
from serving.backup.backup import rows_part
from serving.backup.backup_file import FORMAT, Manifest, written_backup
from serving.backup.restore import RestoreTarget, restore
from serving.backup.store_rows import write_rows
from serving.domain.policy_history import SYSTEM, ActivationKind
from serving.in_force.policy_activation import POLICY_FILE, PolicyFile, active_policy, kept_text, roll_back
from serving.store.errors import StoreNotMigrated
from serving.store.held_rows import held_rows
from serving.store.invoice_looks import customers_to_look_at
from serving.store.ledger import append
from serving.store.ledger_rows import content_sha256, subject_of
from serving.store.log_cursors import ORDER_LINKS, LogCursor, cursor_of
from serving.store.migrate import HEAD_REVISION, alembic_config, migrate, sqlalchemy_url
from serving.store.open_store import open_store
from serving.store.postgresql_store import PostgresqlStore
from serving.store.schema_revisions import OLDEST_CODE_TABLE, SCHEMA_TABLE
from serving.store.sqlite_store import SqliteStore
from serving.store.waiting_looks import APPROVED, WAITING_LOOKS, take_looks
from tests.builders import DAY, a_customer, a_merchant, a_payment, an_invoice, an_order
from tests.serving.conftest import fresh_postgresql_url

OLD, NEWER = "2025-01-1", "2025-06-1"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def first_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store with the first tables only, in which two policies were used."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'first.db'}"
    else:
        url = fresh_postgresql_url(request.getfixturevalue("postgresql_server"))
    engine = create_engine(sqlalchemy_url(url))
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0001")
        for version, first_used_at_ms in ((NEWER, 2_000), (OLD, 1_000)):
            content = policy_of(version)
            connection.execute(
                text(
                    "INSERT INTO policies (version, sha256, content, first_used_at_ms) "
                    "VALUES (:v, :s, :c, :m)"
                ),
                {
                    "v": version,
                    "s": hashlib.sha256(content.encode()).hexdigest(),
                    "c": content,
                    "m": first_used_at_ms,
                },
            )
    engine.dispose()
    return url


def policy_of(version: str) -> str:
    """The policy that comes with the code, without the costs that it did not always have."""
    shipped = PolicyFile.read(None)
    without_costs = shipped.text.replace(f'"{shipped.policy.version}"', f'"{version}"')
    lines, keep = [], True
    for line in without_costs.splitlines(keepends=True):
        if line.startswith("["):
            keep = line.strip() != "[costs]"
        if keep:
            lines.append(line)
    return "".join(lines)


def test_a_store_with_the_first_tables_is_not_opened_before_it_is_migrated(first_store_url: str) -> None:
    with pytest.raises(StoreNotMigrated, match="bonitas migrate"):
        open_store(first_store_url)


def test_policies_that_were_in_use_begin_the_history(first_store_url: str) -> None:
    assert migrate(first_store_url) == HEAD_REVISION
    store = open_store(first_store_url)
    try:
        active = active_policy(store, lambda: PolicyFile.read(POLICY_FILE), now_ms=5_000)
        assert active.policy.version == NEWER
        assert active.policy.costs is None
        assert [
            (line.number, line.version, line.kind, line.by, line.at_ms) for line in active.activations
        ] == [
            (1, OLD, ActivationKind.FIRST, SYSTEM, 1_000),
            (2, NEWER, ActivationKind.ACTIVATED, SYSTEM, 2_000),
        ]
        assert kept_text(store, OLD)[1] == policy_of(OLD)
        back = roll_back(store, by="Ann", reason="as before", clock=lambda: 6_000)
        assert back.version == OLD
    finally:
        store.close()


def test_a_transfer_that_came_before_is_known_by_its_reference_however_it_is_written(
    first_store_url: str,
) -> None:
    engine = create_engine(sqlalchemy_url(first_store_url))
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0008")
        for event_id, reference in (("p1", "RF 18"), ("p2", None)):
            connection.execute(
                text(
                    "INSERT INTO ledger_events (event_id, contract, entity_id, subject_id, occurred_at_ms, "
                    "recorded_at_ms, content_sha256, body) "
                    "VALUES (:id, 'invoice_payments', 'c1', :reference, 1, 2, 'x', '{}')"
                ),
                {"id": event_id, "reference": reference},
            )
        connection.execute(
            text(
                "INSERT INTO refused_events VALUES ('p3', 'invoice_payments', 'c1', 'RF 18', "
                "'bank_reference', 'invoice_payments RF 18', 3, 'x', '{}')"
            )
        )
    assert migrate(first_store_url) == HEAD_REVISION
    with engine.begin() as connection:
        found = connection.execute(text("SELECT subject_id FROM ledger_events ORDER BY event_id")).all()
        waits = connection.execute(text("SELECT subject_id, missing_id FROM refused_events")).all()
    engine.dispose()
    payment = {**a_payment(at=DAY), "bank_reference": "Rf 18"}
    payments = CONTRACTS["invoice_payments"]
    assert [reference for (reference,) in found] == [subject_of(payments, payment), None]
    assert [tuple(row) for row in waits] == [
        ("rf18", freed_value(payments, str(payments.unique_value(payment))).id)
    ]


def test_everybody_who_had_invoices_is_looked_at(first_store_url: str) -> None:
    engine = create_engine(sqlalchemy_url(first_store_url))
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0014")
        for event_id, contract, customer_id in (
            ("i1", "invoices", "c1"),
            ("i2", "invoices", "c1"),
            ("i3", "invoices", "c2"),
            ("q1", "credit_inquiries", "c3"),
        ):
            connection.execute(
                text(
                    "INSERT INTO ledger_events (event_id, contract, entity_id, occurred_at_ms, "
                    "recorded_at_ms, content_sha256, body) "
                    "VALUES (:id, :contract, :customer, 1, 2, 'x', '{}')"
                ),
                {"id": event_id, "contract": contract, "customer": customer_id},
            )
    engine.dispose()
    assert migrate(first_store_url) == HEAD_REVISION
    store = open_store(first_store_url)
    with store.reading() as tx:
        assert customers_to_look_at(tx, 9, now_ms=1) == ["c1", "c2"]
    store.close()


def test_a_backup_of_an_earlier_release_is_brought_up_to_date_when_it_is_restored(
    first_store_url: str, tmp_path: Path
) -> None:
    engine, then, tables = create_engine(sqlalchemy_url(first_store_url)), MetaData(), {}
    file, copy = tmp_path / "first.backup", f"sqlite:///{tmp_path / 'copy.db'}"
    is_postgresql = first_store_url.startswith("postgresql")
    with engine.begin() as connection:
        then.reflect(connection)
    engine.dispose()
    for name in (OLDEST_CODE_TABLE, SCHEMA_TABLE):
        then.remove(then.tables[name])
    store = PostgresqlStore(first_store_url) if is_postgresql else SqliteStore(tmp_path / "first.db")
    with written_backup(file) as writer, store.reading() as tx:
        for name, table in then.tables.items():
            with writer.part(rows_part(name)) as sink:
                tables[name] = write_rows(tx, table, sink, lambda _: None, is_postgresql=is_postgresql)
        writer.finish(
            Manifest(
                format=FORMAT,
                code_version="0.0.9",
                made_at="2026-01-01T00:00:00.000Z",
                schema_revision="0001",
                tables=tables,
                parts=writer.parts,
                left_out=[],
            )
        )
    store.close()
    target = RestoreTarget.named(copy, home=tmp_path, store_only=True)
    come = restore(file, target, without_deliveries=False)
    assert (come.rows["policies"], come.schema_revision) == (2, HEAD_REVISION)
    store = open_store(copy)
    active = active_policy(store, lambda: PolicyFile.read(POLICY_FILE), now_ms=5_000)
    store.close()
    assert [line.version for line in active.activations] == [OLD, NEWER]


def test_rows_that_waited_before_wait_on_and_come_in(first_store_url: str) -> None:
    payment = {name: value for name, value in a_payment(at=DAY).items() if name != "recorded_at"}
    engine = create_engine(sqlalchemy_url(first_store_url))
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO held_events VALUES (:id, 'invoice_payments', 'invoices', 'i1', 5, :sha, :body)"
            ),
            {
                "id": payment["event_id"],
                "sha": content_sha256(CONTRACTS["invoice_payments"], payment),
                "body": json.dumps(payment),
            },
        )
    engine.dispose()
    migrate(first_store_url)
    store = open_store(first_store_url)
    rows = {
        "merchants": a_merchant(at=0),
        "customers": a_customer(at=0),
        "orders": an_order(at=0),
        "invoices": an_invoice(at=0),
    }
    with store.writing("c1", "m1") as tx:
        assert [row.entity_id for row in held_rows(tx, limit=9)] == ["c1"]
        for name, row in rows.items():
            sent = {column: value for column, value in row.items() if column != "recorded_at"}
            result = append(tx, CONTRACTS[name], sent, 2 * DAY)
        assert [entered.event_id for entered in result.readmitted] == [payment["event_id"]]
    store.close()


def test_what_waited_as_messages_is_followed_from_the_log_and_goes_back_into_messages(
    first_store_url: str,
) -> None:
    engine = create_engine(sqlalchemy_url(first_store_url))
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0008")
        for number in range(1, 5):
            connection.execute(
                text(
                    "INSERT INTO decisions (decision_id, order_id, customer_id, merchant_id, outcome, "
                    "as_of_ms, policy_version, record) "
                    "VALUES (:id, :order, 'c', 'm', 'approved', :at, '1', '{}')"
                ),
                # Their ids are in another order than they were written in.
                {"id": f"dec_{9 - number}", "order": f"o{number}", "at": number},
            )
        for kind, message_id, payload in (
            ("link_order", "link-dec_6", {"order_id": "o3", "approved": True}),
            ("link_order", "link-dec_5", {"order_id": "o4", "approved": True}),
            ("screen_order", "a", {"order_id": "o1", "trigger": "linked_order"}),
            ("screen_order", "b", {"order_id": "o1", "trigger": "linked_order"}),
            ("screen_order", "c", {"order_id": "o2", "trigger": "order_approved"}),
            ("check_case", "d", {"order_id": "o2", "why": "invoiced"}),
        ):
            connection.execute(
                text("INSERT INTO outbox VALUES (:kind, 7, :id, :payload)"),
                {"kind": kind, "id": message_id, "payload": json.dumps(payload)},
            )
    migrate(first_store_url)
    store = open_store(first_store_url)
    with store.writing(WAITING_LOOKS) as tx:
        assert tx.execute("SELECT position, order_id FROM decisions ORDER BY position") == [
            (1, "o1"),
            (2, "o2"),
            (3, "o3"),
            (4, "o4"),
        ]
        assert cursor_of(tx, ORDER_LINKS) == LogCursor(position=2)
        looks = [(look.order_id, look.triggers) for look in take_looks(tx, 9, now_ms=8)]
        assert looks == [("o2", (APPROVED,)), ("o1", ("linked_order",))]
        assert tx.execute("SELECT kind FROM outbox") == [("check_case",)]
    store.close()
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "0008")
        messages = connection.execute(text("SELECT kind, payload FROM outbox")).all()
        assert sorted((kind, json.loads(payload)["order_id"]) for kind, payload in messages) == [
            ("check_case", "o2"),
            ("link_order", "o3"),
            ("link_order", "o4"),
            ("screen_order", "o1"),
            ("screen_order", "o2"),
        ]
    engine.dispose()
    assert migrate(first_store_url) == HEAD_REVISION
