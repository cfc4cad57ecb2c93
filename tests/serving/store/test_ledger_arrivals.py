"""Rows that arrive at the SQL ledger: judged as by the batch check, on a clock that never stands."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_contracts.ledger_contracts import CONTRACTS
from serving.store.customer_clocks import next_as_of_ms
from serving.store.ledger import append, held_count
from serving.store.ledger_rows import entity_of
from serving.store.store import Store
from tests.arriving_rows import (
    Sent,
    accepted_by_batch,
    contradicting_rows,
    event_ids,
    fitting_rows,
    in_order_of_arrival,
)

TABLES = (
    "ledger_events",
    "held_events",
    "refused_events",
    "repeated_events",
    "quarantined_events",
    "customer_clocks",
    "order_links",
)
# The store is emptied before each example.
one_store = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def sent_to(store: Store, sent: list[Sent]) -> set[str]:
    """The event_ids in a ledger that took these rows and no others."""
    with store.writing("x") as tx:
        for table in TABLES:
            tx.execute(f"DELETE FROM {table}")
    for name, row in sent:
        contract = CONTRACTS[name]
        stamped = {column: value for column, value in row.items() if column != "recorded_at"}
        with store.writing(entity_of(contract, row)) as tx:
            append(tx, contract, stamped, row["recorded_at"])
    with store.reading() as tx:
        return {event_id for (event_id,) in tx.execute("SELECT event_id FROM ledger_events")}


@settings(one_store, max_examples=40)
@given(sent=contradicting_rows())
def test_the_ledger_takes_the_rows_that_the_batch_check_accepts(store: Store, sent: list[Sent]) -> None:
    taken = sent_to(store, sent)
    assert taken == event_ids(accepted_by_batch(sent))
    with store.reading() as tx:
        kept = tx.execute("SELECT contract, body FROM ledger_events ORDER BY recorded_at_ms")
    written_out = [(name, json.loads(body)) for name, body in kept]
    assert event_ids(accepted_by_batch(written_out)) == taken


@settings(one_store, max_examples=20)
@given(rows=fitting_rows(), data=st.data())
def test_rows_that_fit_are_all_taken_in_whatever_order_they_arrive(
    store: Store, rows: list[Sent], data: st.DataObject
) -> None:
    sent = in_order_of_arrival(data.draw(st.permutations(rows)))
    assert sent_to(store, sent) == event_ids(rows)
    with store.reading() as tx:
        assert held_count(tx) == 0


@settings(one_store, max_examples=20)
@given(sent=contradicting_rows(), same_moment=st.booleans())
def test_no_two_moments_of_an_entity_are_equal(store: Store, sent: list[Sent], same_moment: bool) -> None:
    start = sent[0][1]["recorded_at"]
    sent_to(store, [(name, {**row, "recorded_at": start}) for name, row in sent] if same_moment else sent)
    with store.writing("c1") as tx:
        decided_at = next_as_of_ms(tx, "c1", start)
        moments = tx.execute(
            "SELECT entity_id, recorded_at_ms FROM ledger_events "
            "UNION ALL SELECT entity_id, received_at_ms FROM held_events"
        )
    assert len(set(moments)) == len(moments)
    assert all(moment < decided_at for entity, moment in moments if entity == "c1")
