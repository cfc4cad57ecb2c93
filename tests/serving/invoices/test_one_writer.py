"""A book has one writer of reminders: where it is the worker, the back office's rows are refused by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from serving.domain.policy_reader import parse_policy
from serving.domain.reminders import ReminderWriter
from serving.events.event_answers import RowStatus
from serving.events.event_ids import EventIdScope
from serving.events.event_intake import judged, take_in
from serving.events.sent_rows import SentRow
from serving.in_force.model_watch import ModelInForce
from serving.in_force.policy_activation import POLICY_FILE
from serving.in_force.policy_watch import PolicyInForce
from serving.invoices.reminding import VOID, event_id_of
from serving.requests.request_scope import RequestScope, StoreDoor
from serving.store.api_keys import Caller, Role
from serving.store.store import Store
from tests.builders import DAY, Row, a_charge, a_customer, a_merchant, an_invoice, an_order, ms
from tests.serving.http.conftest import as_event

T0 = ms("2026-01-01")
BACK_OFFICE = Caller(name="feed", role=Role.LEDGER, merchant_id=None)
SHIPPED = parse_policy(POLICY_FILE.read_text())


class NoModel:
    """Keeps no model in force: ledger rows need none."""

    in_force = ModelInForce(model=None, technical_reason="none", version=None)


@contextmanager
def scope_of(database_url: str, writer: ReminderWriter | None) -> Iterator[RequestScope]:
    policy = None
    if writer is not None:
        policy = replace(SHIPPED, reminders=replace(SHIPPED.reminders, writer=writer))
    door = StoreDoor(database_url)
    yield RequestScope(
        door=door,
        watch=NoModel(),  # type: ignore[arg-type]  # a watch that never looks
        policy_in_force=PolicyInForce(policy=policy),
        now_ms=lambda: T0 + 60 * DAY,
    )
    door.open().close()


def sent(scope: RequestScope, *rows: tuple[str, Row]) -> list[Any]:
    bodies = [
        SentRow(value=as_event(contract, row), where=f"/{at}") for at, (contract, row) in enumerate(rows)
    ]
    judged_rows = list(judged(scope, bodies, caller=BACK_OFFICE))
    return list(take_in(scope, judged_rows, caller=BACK_OFFICE).results)


@pytest.mark.parametrize("writer", [*ReminderWriter, None])
def test_charges_of_the_back_office_are_taken_only_where_it_is_the_writer(
    store: Store, database_url: str, writer: ReminderWriter | None
) -> None:
    book = [
        ("merchants", a_merchant(at=T0)),
        ("customers", a_customer(at=T0)),
        ("orders", an_order(at=T0)),
        ("invoices", an_invoice(at=T0)),
    ]
    with scope_of(database_url, writer) as scope:
        assert {one.status for one in sent(scope, *book)} == {RowStatus.ACCEPTED}
        reminder, handed_over = sent(
            scope,
            ("invoice_charges", a_charge(at=T0 + 20 * DAY)),
            ("invoice_charges", a_charge(at=T0 + 40 * DAY, kind="collection_notice")),
        )
    assert handed_over.status is RowStatus.ACCEPTED
    if writer is ReminderWriter.WORKER:
        assert reminder.status is RowStatus.REJECTED
        (error,) = reminder.errors
        assert error.pointer == "/0/contract"
        assert error.detail.startswith(
            "reminders_are_written_here: the policy says reminders.writer = worker"
        )
        with store.reading() as tx:
            (kept,) = tx.execute("SELECT violations FROM quarantined_events")
        assert '"rule":"reminders_are_written_here"' in kept[0]
    else:
        assert reminder.status is RowStatus.ACCEPTED


def test_nobody_sends_rows_under_the_ids_of_the_workers_rows() -> None:
    ids = EventIdScope.of(BACK_OFFICE)
    own = event_id_of("i1", "reminder", 1)
    assert ids.mistake(own) is not None
    assert ids.mistake(own + VOID) is not None
    assert ids.mistake("told-somebody") is None
