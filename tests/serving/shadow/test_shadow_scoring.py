"""A challenger answers for live traffic: once for each decision, from what was stored, and with no effect."""

import itertools
import logging
import re
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as changed

from features.feature_sets import ORDER_RISK
from serving.domain.policy_reader import parse_policy
from serving.in_force.model_watch import SHADOW, ModelInForce
from serving.shadow.scoring import SETTLED_AFTER_MS, ShadowScope, answer_checkouts, answer_screenings
from serving.store.case_queue import screenings_of
from serving.store.decision_log import append_decision, decision_of
from serving.store.made_in_window import answered_feature_set, made_since
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.shadow_decisions import shadow_decisions_after, waiting_decisions
from serving.store.shadow_progress import Subject, begin_shadow, progress_of
from serving.store.store import Store
from tests.builders import DAY
from tests.serving.screening.test_order_review import Team, a_ring, team
from tests.serving.shadow_desk import (
    MINUTE,
    MODEL,
    POLICY_TEXT,
    START,
    Crashing,
    ShadowDesk,
    a_model,
    a_scorecard,
    a_shadow_desk,
    all_but_shadows,
    declining,
    sqlite_url,
)

__all__ = ["team"]  # the fixture is used by its name

FEATURES = a_model("1").feature_set.version


@pytest.fixture
def desk(store: Store, database_url: str) -> ShadowDesk:
    challengers = (a_model("2"), declining("3"), a_model("4", Crashing()))
    return a_shadow_desk(store, database_url, *challengers)


def test_a_shadow_of_the_same_model_answers_bit_for_bit_what_the_champion_did(desk: ShadowDesk) -> None:
    desk.start("2")
    ids = desk.decided(3)
    ids.append(desk.decide("large", "c1", amount_cents=90_000_000))
    strict = POLICY_TEXT.replace(f'version = "{desk.policy.version}"', 'version = "strict"')
    desk.under(re.sub(r"cut_off_stranger = \d+", "cut_off_stranger = 999", strict))
    ids += desk.decided(1, first=9)
    assert desk.answer() == len(ids)
    answers = desk.answers("2")
    assert [answer.subject_id for answer in answers] == ids
    for answer in answers:
        with desk.store.reading() as tx:
            logged = decision_of(tx, answer.subject_id)
        assert logged is not None
        assert answer.raw_log_odds == logged.record["raw_log_odds"]
        assert answer.challenger == answer.champion
        assert answer.champion.outcome == logged.outcome
        assert (answer.policy_version, answer.as_of_ms) == (logged.policy_version, logged.as_of_ms)
        assert (answer.order_id, answer.customer_id) == (logged.order_id, logged.customer_id)
        assert (answer.amount_cents, answer.currency) == (logged.record["order"]["amount_cents"], "EUR")
    assert [answer.champion.outcome for answer in answers] == [*["approved"] * 3, "declined", "declined"]
    assert answers[3].champion.failed_rules == ("amount_too_large",)
    assert answers[4].champion.failed_rules == ("score_below_cut_off",)
    assert answers[4].policy_version == "strict"
    assert desk.progress("2").differing == 0


def test_a_challenger_that_declines_everybody_is_kept_with_its_rules_and_reasons(desk: ShadowDesk) -> None:
    desk.start("3")
    desk.decided(2)
    desk.answer()
    for answer in desk.answers("3"):
        assert (answer.champion.outcome, answer.challenger.outcome) == ("approved", "declined")
        assert "score_below_cut_off" in answer.challenger.failed_rules
        assert answer.challenger.reasons
        assert answer.raw_log_odds == 8.0
    progress = desk.progress("3")
    assert (progress.answered, progress.differing, progress.failed) == (2, 2, 0)


def test_each_decision_gets_one_answer_by_however_many_workers_at_once(
    desk: ShadowDesk, database_url: str
) -> None:
    desk.start("3")
    ids = desk.decided(70)
    together = threading.Barrier(3)

    def works(_worker: int) -> int:
        own = open_store(database_url)
        try:
            together.wait()
            done, idle = 0, 0
            while idle < 2:
                answered = answer_checkouts(desk.shadow_scope(own))
                done += answered
                idle = 0 if answered else idle + 1
            return done
        finally:
            own.close()

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(works, range(3))) == len(ids)
    assert [answer.subject_id for answer in desk.answers("3")] == ids
    assert desk.progress("3").answered == len(ids)
    assert desk.answer() == 0


def test_a_decision_that_is_committed_late_is_answered_too_and_what_is_settled_is_never_read_again(
    desk: ShadowDesk,
) -> None:
    desk.start("2")
    early, late = desk.decided(2)
    with desk.store.reading() as tx:
        logged = decision_of(tx, early)
    assert logged is not None
    with desk.store.writing("test") as tx:
        tx.execute("DELETE FROM decisions WHERE decision_id = ?", (early,))
    assert desk.answer() == 1
    with desk.store.writing("test") as tx:
        append_decision(tx, logged)
    assert desk.answer() == 1
    assert [answer.subject_id for answer in desk.answers("2")] == [early, late]
    desk.now += SETTLED_AFTER_MS + MINUTE
    assert desk.answer() == 0
    assert desk.progress("2").answered_to > late


def test_only_what_is_decided_from_the_start_on_is_answered_and_a_later_start_may_go_back(
    desk: ShadowDesk,
) -> None:
    before = desk.decided(1)
    desk.now += 3 * DAY
    desk.start("2")
    during = desk.decided(1, first=2)
    desk.answer()
    desk.stop()
    between = desk.decided(1, first=3)
    assert desk.answer() == 0
    desk.now += 2 * MINUTE
    desk.start("2")
    after = desk.decided(1, first=4)
    desk.answer()
    assert [answer.subject_id for answer in desk.answers("2")] == [*during, *after]
    desk.stop()
    desk.start("2", days_back=7)
    assert desk.answer() == 2
    assert [answer.subject_id for answer in desk.answers("2")] == [*before, *during, *between, *after]
    assert desk.progress("2").answered == 4


def test_what_the_challenger_decided_itself_or_cannot_score_is_left_out(desk: ShadowDesk) -> None:
    desk.start("2")
    (answered,) = desk.decided(1)
    with desk.store.reading() as tx:
        logged = decision_of(tx, answered)
    assert logged is not None
    with desk.store.writing("test") as tx:
        for number, changes in enumerate(
            (
                {"model_version": "2"},
                {"feature_set_version": "another"},
                {"model_name": None, "model_version": None, "feature_set_version": None, "features": None},
            )
        ):
            append_decision(tx, changed(logged, decision_id=f"{answered}{number}", **changes))
    assert desk.answer() == 1
    assert [answer.subject_id for answer in desk.answers("2")] == [answered]
    with desk.store.reading() as tx:
        window = made_since(
            tx,
            Subject.DECISION,
            model_name=MODEL,
            model_version="2",
            feature_set_version=FEATURES,
            after=Subject.DECISION.first_id_at(START),
        )
        read = answered_feature_set(tx, Subject.DECISION, MODEL, "2")
    assert (window.made, window.own, window.no_features, window.other_features) == (4, 1, 2, 1)
    assert read == FEATURES


def test_a_challenger_that_crashes_is_counted_and_logged_once_and_the_next_decision_is_answered(
    desk: ShadowDesk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.registry.models["5"] = a_model("5", Crashing([1, 2]))
    desk.start("5")
    desk.decided(3)
    logging.getLogger("bonitas").propagate = True
    scope = desk.shadow_scope()
    with caplog.at_level(logging.WARNING, logger="bonitas.shadow"):
        assert answer_checkouts(scope) == 3
    assert [record.message for record in caplog.records] == ["shadow_failed"]
    answers = desk.answers("5")
    assert [answer.challenger.outcome for answer in answers] == ["unavailable", "unavailable", "approved"]
    assert answers[0].failure == "ZeroDivisionError: the challenger is broken"
    assert (answers[0].raw_log_odds, answers[0].challenger.probability) == (None, None)
    progress = desk.progress("5")
    assert (progress.answered, progress.differing, progress.failed) == (3, 2, 2)
    assert desk.answer() == 0


def test_a_decision_under_a_policy_that_was_not_kept_holds_up_no_other(desk: ShadowDesk) -> None:
    desk.start("2")
    lost, answered = desk.decided(2)
    with desk.store.writing("test") as tx:
        tx.execute("UPDATE decisions SET policy_version = 'lost' WHERE decision_id = ?", (lost,))
    assert desk.answer() == 2
    failed, fine = desk.answers("2")
    assert failed.failure == "PolicyNotKeptError: policy lost was not kept"
    assert (fine.subject_id, fine.failure) == (answered, None)


def test_a_challenger_that_cannot_be_read_is_a_problem_on_record_until_it_can(desk: ShadowDesk) -> None:
    desk.start("missing")
    desk.decided(1)
    before = all_but_shadows(desk.store)
    assert desk.answer() == 0
    assert desk.progress("missing").problem == f"{MODEL} missing cannot be read"
    assert all_but_shadows(desk.store) == before
    desk.registry.models["missing"] = a_model("missing")
    desk.shadow_watch.look()
    assert desk.answer() == 1
    assert desk.progress("missing").problem is None


def test_an_alias_that_was_moved_without_a_start_gets_no_answers(desk: ShadowDesk) -> None:
    desk.registry.aliases[SHADOW] = "2"
    desk.shadow_watch.look()
    desk.decided(1)
    assert desk.answer() == 0
    assert desk.answers("2") == []


@pytest.mark.parametrize("version", ["3", "4"], ids=["declines everybody", "crashes"])
def test_with_a_shadow_every_decision_reservation_and_message_is_stored_to_the_byte_as_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    stored = []
    for name in ("without", "with"):
        numbers = itertools.count()
        monkeypatch.setattr(secrets, "token_hex", lambda length, of=numbers: f"{next(of):0{2 * length}x}")
        folder = tmp_path / name
        folder.mkdir()
        migrate(sqlite_url(folder))
        store = open_store(sqlite_url(folder))
        try:
            desk = a_shadow_desk(store, sqlite_url(folder), declining("3"), a_model("4", Crashing()))
            if name == "with":
                desk.start(version)
            for number in range(1, 6):
                desk.decided(1, first=number)
                desk.decide(f"second-{number}", f"c{number}", amount_cents=40_000)
                answered = desk.answer()
                assert answered == (2 if name == "with" else 0)
            stored.append(all_but_shadows(store))
        finally:
            store.close()
    without, beside = stored
    assert beside == without
    assert len(beside["decisions"]) == 10
    assert beside["reservations"]


class Counting:
    """A store that notes the statements of its transactions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.statements: list[str] = []

    @contextmanager
    def writing(self, *lock: str) -> Any:
        with self._store.writing(*lock) as tx:
            yield _Noted(tx, self.statements)

    @contextmanager
    def reading(self) -> Any:
        with self._store.reading() as tx:
            yield _Noted(tx, self.statements)


class _Noted:
    def __init__(self, tx: Any, statements: list[str]) -> None:
        self._tx, self._statements = tx, statements

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        self._statements.append(sql)
        return self._tx.execute(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


def test_a_running_shadow_adds_no_statement_to_the_path_of_a_request(desk: ShadowDesk) -> None:
    def statements_of(order_id: str) -> list[str]:
        counting = Counting(desk.store)
        desk.decide(order_id, "c1", store=counting)  # type: ignore[arg-type]  # it does what a store does
        return counting.statements

    desk.customer("c1")
    without = statements_of("o1")
    desk.start("3")
    assert statements_of("o2") == without
    desk.answer()
    assert statements_of("o3") == without
    assert not any("shadow" in statement for statement in without)
    assert len(without) > 5


def shadow_of_screenings(team: Team, version: str, intercept: float | None = None) -> ShadowScope:
    model = team.model
    assert model is not None
    challenger = replace(model, version=version)
    if intercept is not None:
        challenger = replace(challenger, raw_model=a_scorecard(ORDER_RISK, intercept))
    with team.store.writing("test") as tx:
        begin_shadow(
            tx,
            model_name=model.name,
            model_version=version,
            subject=Subject.SCREENING,
            answers_from_ms=team.now,
        )
    return ShadowScope(
        store=team.store,
        model_name=model.name,
        challenger=lambda: ModelInForce(model=challenger, technical_reason=None, version=version),
        now_ms=lambda: team.now,
    )


def with_its_policy_kept(team: Team) -> None:
    from serving.store.policies import keep_policy

    text = POLICY_TEXT.replace("sample_per_mille = 5", "sample_per_mille = 0")
    assert parse_policy(text).version == team.policy.version
    with team.store.writing("test") as tx:
        keep_policy(tx, version=team.policy.version, content=text, now_ms=team.now)


def test_a_shadow_answers_every_look_at_an_order_as_the_same_champion_does_and_opens_no_case(
    team: Team,
) -> None:
    with_its_policy_kept(team)
    same, eager = shadow_of_screenings(team, "8"), shadow_of_screenings(team, "9", intercept=8.0)
    a_ring(team, 3)
    team.approved("alone", "c4", device_id="own", delivery_house_number="99", amount_cents=1_234, vat_cents=0)
    team.work()
    before = all_but_shadows(team.store)
    looks = [look for order in ("o1", "o2", "o3", "alone") for look in team.looks(order)]
    assert answer_screenings(same) == answer_screenings(eager) == len(looks) > 4
    assert all_but_shadows(team.store) == before
    with team.store.reading() as tx:
        twins, eager_ones = (
            shadow_decisions_after(tx, model_name="order-risk", model_version=version, after="", limit=99)
            for version in ("8", "9")
        )
        screened = {
            look.screening_id: look
            for order in ("o1", "o2", "o3", "alone")
            for look in screenings_of(tx, order)
        }
        progress = progress_of(tx, "order-risk", "9")
    assert {twin.subject_id for twin in twins} == set(screened)
    for twin in twins:
        look = screened[twin.subject_id]
        assert twin.challenger == twin.champion
        assert (twin.champion.outcome, twin.raw_log_odds) == (look.outcome, look.record["raw_log_odds"])
        assert twin.champion_version == look.model_version == "7"
    assert {answer.challenger.outcome for answer in eager_ones} == {"flagged"}
    (alone,) = (answer for answer in eager_ones if answer.order_id == "alone")
    assert (alone.amount_cents, alone.currency, alone.customer_id) == (1_234, "EUR", "c4")
    assert progress is not None
    assert progress.differing == sum(look.outcome == "clear" for look in screened.values())


def test_a_look_at_an_order_that_the_ledger_does_not_know_fails_and_holds_up_no_other(team: Team) -> None:
    with_its_policy_kept(team)
    shadow = shadow_of_screenings(team, "8")
    team.approved("lost", "c1")
    team.approved("known", "c2")
    team.work()
    looks = [*team.looks("lost"), *team.looks("known")]
    with team.store.writing("test") as tx:
        tx.execute("DELETE FROM ledger_events WHERE contract = 'orders' AND subject_id = 'lost'")
    assert answer_screenings(shadow) == len(looks)
    with team.store.reading() as tx:
        answers = shadow_decisions_after(
            tx, model_name="order-risk", model_version="8", after="", limit=len(looks)
        )
        progress = progress_of(tx, "order-risk", "8")
    failures = {answer.order_id: answer.failure for answer in answers}
    assert failures == {
        "lost": "OrderNotVisibleError: order lost was not in the ledger then",
        "known": None,
    }
    assert progress is not None
    assert (progress.answered, progress.failed) == (len(looks), len(team.looks("lost")))


def test_finding_what_waits_reads_a_range_of_the_key_on_sqlite(tmp_path: Path) -> None:
    migrate(sqlite_url(tmp_path))
    store = open_store(sqlite_url(tmp_path))
    try:
        desk = a_shadow_desk(store, sqlite_url(tmp_path), a_model("2"))
        desk.start("2")
        progress = desk.progress("2")

        class Explaining:
            def execute(self, sql: str, parameters: Any) -> Any:
                with store.reading() as tx:
                    plan.extend(row[3] for row in tx.execute(f"EXPLAIN QUERY PLAN {sql}", parameters))
                return []

        plan: list[str] = []
        waiting_decisions(Explaining(), progress, feature_set_version=FEATURES, limit=9)  # type: ignore[arg-type]  # it only explains
        assert any("SEARCH made" in step and "decision_id>?" in step for step in plan), plan
        assert any("SEARCH given" in step and "subject_id=?" in step for step in plan), plan
        assert not any("TEMP B-TREE" in step for step in plan), plan
    finally:
        store.close()
