"""Screening and review on SQLite and PostgreSQL: what is flagged, who may work on it, what re-opens it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.ledger_contracts import CONTRACTS
from features.decisions import Decisions
from features.feature_sets import ORDER_RISK
from features.model_columns import columns_of
from features.offline import build_features
from serving.cases.case_review import case_view, claim_next, queue, renew_queue, take_step
from serving.cases.possible_steps import Step, StepInvalid
from serving.domain.errors import UnknownCase
from serving.domain.policy import Policy
from serving.domain.policy_reader import parse_policy
from serving.domain.review_case import (
    CaseClosed,
    CaseHeldByAnother,
    CaseNotHeld,
    CaseState,
    UndoTooLate,
    WithdrawalNotAllowed,
)
from serving.in_force.policy_activation import POLICY_FILE
from serving.in_force.scorer import Calibration, ChampionModel, Scorecard, ScorecardFeature, ScoreScale
from serving.requests.case_scope import CaseScope
from serving.screening.order_screening import ScreeningScope, work_off
from serving.store.case_queue import screenings_of
from serving.store.decision_log import append_decision
from serving.store.export import export_folder
from serving.store.ledger import append, append_decided_order
from serving.store.open_store import open_store
from serving.store.store import Store
from serving.store.waiting_looks import APPROVED
from tests.builders import DAY, Row, a_customer, a_merchant, a_row, an_order, ms
from tests.serving.as_sent import as_sent
from tests.serving.logged_decisions import a_logged_decision

START = ms("2026-06-01T10:00:00")
MINUTE = 60_000
HOUR = 3_600_000


def a_model(suspicious: str = "device_customer_count_ever", above: float = 1.0) -> ChampionModel:
    """Fraud is likely where one feature exceeds a value, and hardly anywhere else."""
    features = tuple(
        ScorecardFeature(
            cut_points=(above,) if name == suspicious else (),
            step_weights=(6.0,) if name == suspicious else (),
            missing_weight=0.0,
            mean_contribution=0.0,
        )
        for name in ORDER_RISK.names
    )
    return ChampionModel(
        name="order-risk",
        version="7",
        feature_set=ORDER_RISK,
        feature_set_name=ORDER_RISK.name,
        feature_set_version=ORDER_RISK.version,
        columns=columns_of(ORDER_RISK.features),
        raw_model=Scorecard(intercept=-5.0, features=features),
        calibration=Calibration(raw_log_odds=(-9.0, 9.0), log_odds=(-9.0, 9.0)),
        scale=ScoreScale(),
        typical_values=dict.fromkeys(ORDER_RISK.names, 0.0),
    )


@dataclass
class Team:
    """A store with a clock that stands still until told, a model, and the two scopes on them."""

    store: Store
    policy: Policy
    model: ChampionModel | None = field(default_factory=a_model)
    now: int = START

    @property
    def screening(self) -> ScreeningScope:
        return ScreeningScope(
            store=self.store, model=lambda: self.model, policy=self.policy, now_ms=lambda: self.now
        )

    @property
    def review(self) -> CaseScope:
        return CaseScope(
            store=self.store, policy=self.policy, now_ms=lambda: self.now, public_url="https://pay.example"
        )

    def event(self, contract: str, row: Row) -> None:
        sent = {name: value for name, value in row.items() if name != "recorded_at" and value is not None}
        with self.store.writing("someone") as tx:
            assert append(tx, CONTRACTS[contract], sent, self.now).status is AppendStatus.ACCEPTED

    def approved(self, order_id: str, customer_id: str, **columns: Any) -> None:
        """What a checkout's approval leaves behind."""
        row = an_order(order_id, customer_id, at=self.now, **columns)
        del row["recorded_at"]
        with self.store.writing(customer_id) as tx:
            decided = {**row, "event_id": f"order-dec_{order_id}"}
            append_decided_order(
                tx, decided, recorded_at_ms=self.now, now_ms=self.now, clock_tolerance_ms=300_000
            )
            decision = a_logged_decision(
                f"dec_{order_id}",
                order_id=order_id,
                customer_id=customer_id,
                merchant_id=row["merchant_id"],
                as_of_ms=self.now,
            )
            append_decision(tx, decision)
        self.now += MINUTE

    def work(self) -> None:
        self.now += MINUTE
        while work_off(self.screening):
            self.now += MINUTE

    def open_cases(self) -> dict[str, Row]:
        found = as_sent(queue(self.review, state=CaseState.OPEN, limit=100))["cases"]
        return {case["order_id"]: case for case in found}

    def step(self, case_id: str, step: Step, reviewer: str = "ann", **more: Any) -> Row:
        return as_sent(take_step(self.review, case_id, step, reviewer=reviewer, **more))

    def looks(self, order_id: str) -> list[tuple[str, str]]:
        with self.store.reading() as tx:
            return [(look.trigger, look.outcome) for look in reversed(screenings_of(tx, order_id))]


@pytest.fixture
def team(store: Store) -> Team:
    text = POLICY_FILE.read_text()
    made = Team(store, parse_policy(text.replace("sample_per_mille = 5", "sample_per_mille = 0")))
    made.event("merchants", a_merchant(at=START - 500 * DAY))
    for number in range(1, 6):
        made.event("customers", a_customer(f"c{number}", event_id=f"customer-{number}", at=START - 400 * DAY))
    return made


def a_ring(team: Team, size: int = 3) -> None:
    for number in range(1, size + 1):
        team.approved(f"o{number}", f"c{number}", device_id="shared", delivery_house_number=f"{number}")
    team.work()


def an_event(order_id: str, customer_id: str, kind: str, at: int, **more: Any) -> Row:
    return a_row(
        "order_events",
        f"{kind}-{order_id}",
        at,
        None,
        order_id=order_id,
        customer_id=customer_id,
        kind=kind,
        **more,
    )


def test_orders_that_share_a_device_are_flagged_once_each_and_an_order_alone_is_clear(team: Team) -> None:
    for number in range(1, 4):
        team.approved(f"o{number}", f"c{number}", device_id="shared", delivery_house_number=f"{number}")
        team.work()
    team.approved("alone", "c4", device_id="own", delivery_house_number="99")
    team.work()
    cases = team.open_cases()
    assert set(cases) == {"o1", "o2", "o3"}
    assert team.looks("alone") == [(APPROVED, "clear")]
    assert team.looks("o1") == [(APPROVED, "clear"), ("linked_order", "flagged"), ("linked_order", "flagged")]
    reason = cases["o3"]["reasons"][0]
    assert (reason["feature"], reason["value"]) == ("device_customer_count_ever", 3.0)
    with team.store.reading() as tx:
        assert tx.execute("SELECT count(*) FROM outbox")[0][0] == 0


def test_without_a_model_orders_wait_and_are_screened_once_there_is_one(team: Team) -> None:
    team.model = None
    team.approved("o1", "c1", device_id="d")
    team.work()
    assert team.looks("o1") == []
    team.model = a_model()
    team.work()
    assert team.looks("o1") == [(APPROVED, "clear")]


def test_a_cancelled_order_is_not_looked_at(team: Team) -> None:
    team.approved("o1", "c1", device_id="d")
    team.event("order_events", an_event("o1", "c1", "cancelled", team.now))
    team.work()
    assert team.looks("o1") == []


def test_news_about_an_order_leads_to_another_look_and_news_about_a_strange_order_to_none(team: Team) -> None:
    team.model = a_model("address_change_count_ever", 0.5)
    team.approved("o1", "c1", device_id="d")
    team.work()
    new = {
        f"new_delivery_{part}": value
        for part, value in (
            ("street", "Am Hafen"),
            ("house_number", "1"),
            ("postal_code", "20457"),
            ("city", "Hamburg"),
            ("country", "DE"),
        )
    }
    team.event("order_events", an_event("o1", "c1", "address_changed", team.now, **new))
    team.event("orders", an_order("strange", "c2", at=team.now - DAY))
    team.event("order_events", an_event("strange", "c2", "address_changed", team.now, **new))
    team.work()
    assert team.looks("o1") == [(APPROVED, "clear"), ("address_changed", "flagged")]
    assert team.looks("strange") == []


def test_a_confirmed_fraud_reopens_the_released_case_of_a_linked_order_with_the_reason(team: Team) -> None:
    a_ring(team, 2)
    case_id = team.open_cases()["o2"]["case_id"]
    team.step(case_id, Step.CLAIM)
    team.step(case_id, Step.RELEASE)
    team.event(
        "order_outcomes",
        a_row(
            "order_outcomes",
            "found",
            team.now,
            None,
            order_id="o1",
            customer_id="c1",
            kind="identity_misuse_upheld",
        ),
    )
    team.work()
    view = as_sent(case_view(team.review, case_id))
    assert (view["state"], view["reopened_count"]) == ("open", 1)
    assert view["history"][-1]["action"] == "reopened"
    assert view["history"][-1]["detail"] == {"reason": "linked_fraud_confirmed"}
    assert ("linked_fraud_confirmed", "flagged") in team.looks("o2")


def test_the_queue_is_in_the_order_of_what_waiting_loses_and_is_renewed_as_time_goes_by(team: Team) -> None:
    for number, cents in ((1, 5_000), (2, 90_000), (3, 20_000)):
        team.approved(f"o{number}", f"c{number}", device_id="shared", amount_cents=cents, vat_cents=0)
    team.work()
    in_order = [case.order_id for case in queue(team.review, state=CaseState.OPEN, limit=10).cases]
    assert in_order == ["o2", "o3", "o1"]
    before = team.open_cases()["o2"]["saving_lost_per_hour_cents"]
    team.now += 2 * HOUR
    assert renew_queue(team.review) == 3
    assert team.open_cases()["o2"]["saving_lost_per_hour_cents"] > before
    assert renew_queue(team.review) == 0


def test_two_reviewers_at_once_never_hold_the_same_case(team: Team, database_url: str) -> None:
    for number in range(1, 6):
        team.approved(f"o{number}", f"c{number}", device_id="shared")
    team.work()
    together = threading.Barrier(4)

    def claims(reviewer: str) -> list[str]:
        own = open_store(database_url)
        scope = CaseScope(
            store=own, policy=team.policy, now_ms=lambda: team.now, public_url="https://pay.example"
        )
        together.wait()
        taken = []
        while (case := claim_next(scope, reviewer)) is not None:
            taken.append(case.case_id)
        own.close()
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [case_id for part in pool.map(claims, "abcd") for case_id in part]
    assert len(taken) == len(set(taken)) == 5


def test_a_case_goes_through_contact_note_and_stop_and_its_history_says_who_did_what(team: Team) -> None:
    a_ring(team, 2)
    case_id = team.open_cases()["o2"]["case_id"]
    with pytest.raises(CaseNotHeld):
        team.step(case_id, Step.STOP)
    team.step(case_id, Step.CLAIM)
    with pytest.raises(CaseHeldByAnother):
        team.step(case_id, Step.NOTE, "bob", text="mine now")
    for nothing_to_keep in ("   ", "\u200b", "a\x00b", "\x1b[31mred", "n" * 4_001):
        with pytest.raises(StepInvalid, match="note"):
            team.step(case_id, Step.NOTE, text=nothing_to_keep)
    team.step(case_id, Step.NOTE, text="same device as o1")
    team.step(case_id, Step.CONTACT)
    with pytest.raises(StepInvalid, match="confirmed, denied, unreachable"):
        team.step(case_id, Step.CONTACT_OUTCOME, text="maybe")
    team.step(case_id, Step.CONTACT_OUTCOME, text="denied")
    stopped = team.step(case_id, Step.STOP)
    assert (stopped["state"], stopped["verdict"], stopped["contact_outcome"]) == ("closed", "stop", "denied")
    assert [entry["action"] for entry in stopped["history"]] == [
        "opened",
        "claimed",
        "note_added",
        "contact_started",
        "contact_recorded",
        "stop_decided",
    ]
    assert {entry["actor"] for entry in stopped["history"]} == {"system", "ann"}
    with pytest.raises(UnknownCase):
        team.step("case_nothing", Step.CLAIM)


def test_a_stop_can_be_undone_for_half_a_minute_and_later_only_withdrawn_by_a_role_of_the_policy(
    team: Team,
) -> None:
    a_ring(team, 2)
    case_id = team.open_cases()["o1"]["case_id"]
    team.step(case_id, Step.CLAIM)
    team.step(case_id, Step.STOP)
    team.now += 29_000
    assert team.step(case_id, Step.UNDO)["state"] == "claimed"
    team.step(case_id, Step.STOP)
    team.now += 30_000
    with pytest.raises(UndoTooLate):
        team.step(case_id, Step.UNDO)
    with pytest.raises(CaseClosed):
        team.step(case_id, Step.CLAIM)
    with pytest.raises(WithdrawalNotAllowed):
        team.step(case_id, Step.WITHDRAW, role="analyst")
    assert team.step(case_id, Step.WITHDRAW, role="admin")["verdict"] == "released"


def test_a_claim_that_nobody_works_on_goes_back_to_the_queue(team: Team) -> None:
    a_ring(team, 2)
    case_id = team.open_cases()["o1"]["case_id"]
    team.step(case_id, Step.CLAIM)
    team.now += 31 * MINUTE
    assert renew_queue(team.review) >= 1
    view = as_sent(case_view(team.review, case_id))
    assert (view["state"], view["reviewer"]) == ("open", None)
    assert view["history"][-1]["action"] == "claim_expired"


def test_a_sample_of_clear_orders_reaches_the_queue_too(team: Team) -> None:
    team.policy = parse_policy(
        POLICY_FILE.read_text().replace("sample_per_mille = 5", "sample_per_mille = 1000")
    )
    team.approved("o1", "c1", device_id="d")
    team.work()
    assert team.open_cases()["o1"]["origin"] == "sampled"


def test_two_workers_open_one_case_for_an_order(team: Team, database_url: str) -> None:
    for number in range(1, 5):
        team.approved(f"o{number}", f"c{number}", device_id="shared")
    together = threading.Barrier(2)

    def works(_: int) -> None:
        own = open_store(database_url)
        scope = ScreeningScope(
            store=own, model=lambda: team.model, policy=team.policy, now_ms=lambda: team.now
        )
        together.wait()
        while work_off(scope):
            pass
        own.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(works, range(2)))
    team.work()
    with team.store.reading() as tx:
        assert tx.execute("SELECT count(*), count(DISTINCT order_id) FROM review_cases")[0] == (4, 4)


def test_what_was_screened_is_what_the_trainer_computes_from_the_same_ledger(
    team: Team, tmp_path: Path
) -> None:
    a_ring(team, 3)
    team.approved("again", "c1", device_id="shared", item_category="gift_cards")
    team.event(
        "order_outcomes",
        a_row(
            "order_outcomes",
            "found",
            team.now,
            None,
            order_id="o2",
            customer_id="c2",
            kind="fraud_chargeback",
        ),
    )
    team.now += MINUTE
    team.work()
    export_folder(team.store, tmp_path / "book")
    with team.store.reading() as tx:
        looks = [look for order in ("o1", "o2", "o3", "again") for look in screenings_of(tx, order)]
    assert len(looks) > 8
    decisions = Decisions(
        decision_id=np.array([look.order_id for look in looks], dtype=object),
        customer_id=np.array(["" for _ in looks], dtype=object),
        as_of_ms=np.array([look.as_of_ms for look in looks], dtype=np.int64),
    )
    matrix = build_features(tmp_path / "book", decisions, ORDER_RISK).values
    assert [look.features for look in looks] == [tuple(row) for row in matrix.tolist()]
