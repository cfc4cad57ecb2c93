"""What a clock ahead has stamped counts as stamped now, once the clock is right."""

from dataclasses import replace

import pytest

from data_contracts.instants import DAY_MS, HOUR_MS, MINUTE_MS
from serving.cases.case_review import take_step
from serving.cases.cases_ahead import set_back_cases_ahead
from serving.cases.possible_steps import Step
from serving.figures.flow_overview import sum_up_orders
from serving.in_force.policy_activation import PolicyFile
from serving.shadow.scoring import Subject
from serving.store.case_queue import case_of
from serving.store.decision_search import first_id_at
from serving.store.deliveries import WEBHOOK, enqueue, overdue_webhooks
from serving.store.instants_ahead import STAMPS, treat_instants_ahead_as_now
from serving.store.outbox import REQUEST_STOP, waiting_messages
from serving.store.shadow_progress import begin_shadow, move_on, progress_of
from serving.store.store import Store, Transaction
from tests.serving.stop_requests.test_stop_requesting import Desk

NOW = 1_780_000_000_000
AHEAD = NOW + DAY_MS


def decided(tx: Transaction, order_id: str, at_ms: int) -> None:
    tx.execute(
        "INSERT INTO decisions (decision_id, order_id, customer_id, merchant_id, outcome, as_of_ms, "
        "policy_version, record) VALUES (?, ?, 'c', 'm', 'approved', ?, '1', '{}')",
        (f"{first_id_at(at_ms)}{order_id}", order_id, at_ms),
    )


def orders_by_day(store: Store) -> list[int]:
    with store.reading() as tx:
        return [int(orders) for (orders,) in tx.execute("SELECT orders FROM daily_flow ORDER BY day")]


def test_orders_are_summed_up_whenever_they_were_decided_and_each_once(store: Store) -> None:
    scope = Desk(store, PolicyFile.read(None).policy).scope

    def summed_up(at_ms: int) -> list[int]:
        sum_up_orders(replace(scope, now_ms=lambda: at_ms))
        return orders_by_day(store)

    with store.writing("c") as tx:
        decided(tx, "before", NOW)
        decided(tx, "ahead", AHEAD)
    assert summed_up(AHEAD + HOUR_MS) == [1, 1]
    with store.writing("c") as tx:
        decided(tx, "after", NOW + MINUTE_MS)
    assert treat_instants_ahead_as_now(store, NOW + 2 * MINUTE_MS) == 1
    assert treat_instants_ahead_as_now(store, NOW + 2 * MINUTE_MS) == 0
    assert summed_up(NOW + HOUR_MS) == [2]
    assert summed_up(AHEAD + HOUR_MS) == [2, 1]


def test_a_shadow_looks_back_and_answers_what_was_decided_after_the_clock_was_right(store: Store) -> None:
    with store.writing("shadow-m") as tx:
        for version, from_ms in (("1", NOW - 9 * DAY_MS), ("2", AHEAD)):
            begin_shadow(
                tx,
                model_name="m",
                model_version=version,
                subject=Subject.DECISION,
                answers_from_ms=from_ms,
            )
            progress = progress_of(tx, "m", version)
            assert progress is not None
            move_on(tx, progress, first_id_at(AHEAD + HOUR_MS))
    assert treat_instants_ahead_as_now(store, NOW) == 2
    with store.reading() as tx:
        first, second = progress_of(tx, "m", "1"), progress_of(tx, "m", "2")
    assert first is not None
    assert second is not None
    assert (first.answered_to, first.answers_from_ms) == (first_id_at(NOW - DAY_MS), NOW - 9 * DAY_MS)
    assert (second.answered_to, second.answers_from_ms) == (first_id_at(NOW), NOW)
    assert treat_instants_ahead_as_now(store, NOW) == 0


def test_every_stamp_ahead_is_set_back_and_those_of_clocks_a_little_apart_stay(store: Store) -> None:
    a_little = NOW + MINUTE_MS
    with store.writing("x") as tx:
        for name, at_ms in (("ahead", AHEAD), ("apart", a_little)):
            for sql in (
                (
                    "INSERT INTO api_keys (key_sha256, name, role, created_at_ms, last_used_at_ms) "
                    "VALUES (?, ?, 'admin', 1, ?)"
                ),
                (
                    "INSERT INTO console_sessions "
                    "(session_sha256, user_name, created_at_ms, last_used_at_ms) "
                    "VALUES (?, 'ann', ?, ?)"
                ),
                "INSERT INTO sign_in_failures (name_sha256, try_id, at_ms) VALUES (?, ?, ?)",
                (
                    "INSERT INTO merchant_questions "
                    "(merchant_id, customer_id, kind, question_id, asked_at_ms) "
                    "VALUES (?, 'c', 'order', 'q', ?)"
                ),
                "INSERT INTO webhook_endpoints (merchant_id, ended_at_ms) VALUES (?, ?)",
            ):
                instants = 2 if "console_sessions" in sql else 1
                names = sql.count("?") - instants
                tx.execute(sql, (*(name,) * names, *(at_ms,) * instants))
            enqueue(
                tx,
                delivery_id=name,
                merchant_id="m",
                stop_request_id=None,
                event_type="chargeback.created",
                channel=WEBHOOK,
                body="{}",
                now_ms=at_ms,
            )
        tx.execute("INSERT INTO replaced_api_keys VALUES ('s', 'ahead', ?, ?)", (AHEAD, AHEAD + 9))
    assert treat_instants_ahead_as_now(store, NOW) == len(STAMPS) + 1
    with store.reading() as tx:
        for stamp in STAMPS:
            found = tx.execute(f"SELECT {stamp.column} FROM {stamp.table} ORDER BY 1")
            assert found == [(NOW,), (a_little,)], stamp
        assert tx.execute("SELECT replaced_at_ms, ends_at_ms FROM replaced_api_keys") == [(NOW, NOW + 9)]
        assert [webhook.delivery_id for webhook in overdue_webhooks(tx, NOW)] == ["ahead"]
    assert treat_instants_ahead_as_now(store, NOW) == 0


@pytest.mark.parametrize("ahead_ms", [HOUR_MS, DAY_MS])
def test_a_stop_that_was_given_by_a_clock_ahead_is_asked_once_it_cannot_be_undone(
    store: Store, ahead_ms: int
) -> None:
    desk = Desk(store, PolicyFile.read(None).policy, now=NOW)
    undo_ms = desk.policy.review.undo_seconds * 1_000
    desk.open_case("case-1", "o1")
    desk.open_case("case-2", "o2")
    take_step(desk.scope, "case-2", Step.CLAIM, reviewer="ann")
    desk.now = NOW + ahead_ms
    take_step(desk.scope, "case-1", Step.CLAIM, reviewer="ann")
    take_step(desk.scope, "case-1", Step.STOP, reviewer="ann")
    desk.now = NOW
    assert set_back_cases_ahead(desk.scope) == 1
    assert set_back_cases_ahead(desk.scope) == 0
    with store.reading() as tx:
        stored = case_of(tx, "case-1")
        due = waiting_messages(tx, (REQUEST_STOP,), 9, due_at_ms=NOW + undo_ms)
    assert stored is not None
    assert (stored.case.stop_takes_effect_at_ms, stored.case.closed_at_ms) == (NOW + undo_ms, NOW)
    assert [message.created_at_ms for message in due] == [NOW + undo_ms]
