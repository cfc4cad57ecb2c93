"""A store with one case about a real order in the ledger, and a clock that stands still until told."""

from dataclasses import dataclass, replace
from typing import Any

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.ledger_contracts import CONTRACTS
from serving.cases.case_settlement import liability_answer, settle
from serving.cases.investigating import check_cases, investigation_answer
from serving.domain.case_stakes import CaseStakes
from serving.domain.merchant_answer import AnswerKind, MerchantAnswer
from serving.domain.policy import Policy
from serving.domain.policy_reader import parse_policy
from serving.domain.review_case import (
    CaseOrigin,
    ContactOutcome,
    ReviewCase,
    Verdict,
    claim,
    decide,
    open_case,
    record_contact,
    start_contact,
)
from serving.domain.stop_request import StopRequest, StopRequestState
from serving.in_force.policy_activation import POLICY_FILE
from serving.requests.case_scope import CaseScope
from serving.store.case_queue import StoredCase, case_of, insert_case, update_case
from serving.store.investigations import settlement_rows
from serving.store.ledger import append
from serving.store.settlement_postings import StoredPosting, postings_of_order
from serving.store.stop_requests import (
    StoredStopRequest,
    insert_stop_request,
    stop_requests_of_case,
    update,
)
from serving.store.store import Store
from tests.builders import DAY, Row, a_customer, a_merchant, a_row, an_order, ms
from tests.serving.as_sent import as_sent

START = ms("2026-06-01T10:00:00")
HOUR = 3_600_000
MINUTE = 60_000
SECOND = 1_000


@dataclass
class CaseDesk:
    """The fraud team's desk with case1 about order o1 of customer c1 at merchant m1."""

    store: Store
    policy: Policy
    now: int = START
    rows_sent: int = 0

    @property
    def scope(self) -> CaseScope:
        return CaseScope(
            store=self.store, policy=self.policy, now_ms=lambda: self.now, public_url="https://pay.example"
        )

    def row(self, contract: str, row: Row) -> None:
        """A ledger row as an intake takes it in; every row a minute after the one before."""
        sent = {name: value for name, value in row.items() if name != "recorded_at" and value is not None}
        self.now += MINUTE
        with self.store.writing(str(sent.get("customer_id", "m1"))) as tx:
            result = append(tx, CONTRACTS[contract], sent, self.now)
        assert result.status is AppendStatus.ACCEPTED, result

    def event(self, kind: str, *, order_id: str = "o1", **more: Any) -> str:
        return self._about_order("order_events", kind, order_id, **more)

    def outcome(self, kind: str, *, order_id: str = "o1", **more: Any) -> str:
        return self._about_order("order_outcomes", kind, order_id, **more)

    def _about_order(self, contract: str, kind: str, order_id: str, **more: Any) -> str:
        self.rows_sent += 1
        event_id = f"{order_id}-{kind}-{self.rows_sent}"
        columns = {"order_id": order_id, "customer_id": order_id.replace("o", "c"), "kind": kind, **more}
        self.row(contract, a_row(contract, event_id, self.now + MINUTE, None, **columns))
        return event_id

    def order(self, number: str, origin: CaseOrigin = CaseOrigin.FLAGGED, **columns: Any) -> None:
        """An order of a new customer, and its case, with the same number in their ids."""
        self.row(
            "customers", a_customer(f"c{number}", event_id=f"customer-{number}", at=self.now - 400 * DAY)
        )
        ordered_at = self.now
        self.row("orders", an_order(f"o{number}", f"c{number}", at=ordered_at, **columns))
        # As in life the case is opened after the order was recorded, and the order was placed before that.
        self.now += SECOND
        case = open_case(
            case_id=f"case{number}",
            order_id=f"o{number}",
            customer_id=f"c{number}",
            merchant_id="m1",
            origin=origin,
            now_ms=self.now,
            policy=self.policy.review,
        )
        stakes = CaseStakes(
            probability=0.9,
            amount_cents=10_000,
            currency="EUR",
            ordered_at_ms=ordered_at,
            handover_at_ms=ordered_at + HOUR,
            left=False,
            recallable=True,
            is_service=columns.get("kind") == "service",
        )
        with self.store.writing("someone") as tx:
            insert_case(tx, StoredCase(case=case, stakes=stakes, priority=1, reasons=()))

    def stored(self, case_id: str = "case1") -> StoredCase:
        with self.store.reading() as tx:
            stored = case_of(tx, case_id)
        assert stored is not None
        return stored

    def case(self, case_id: str = "case1") -> ReviewCase:
        return self.stored(case_id).case

    def change(self, after: ReviewCase) -> None:
        with self.store.writing("someone") as tx:
            stored = case_of(tx, after.case_id)
            assert stored is not None
            update_case(tx, replace(stored, case=after), version_before=stored.case.version)

    def decided(
        self, verdict: Verdict, contact: ContactOutcome | None = None, case_id: str = "case1"
    ) -> ReviewCase:
        """The case closed with a verdict, which has taken effect by now."""
        policy = self.policy.review
        case = claim(self.case(case_id), "ann", self.now, policy)
        if contact is not None:
            case = start_contact(case, "ann", self.now, policy)
            case = record_contact(case, "ann", contact, self.now, policy)
        self.change(decide(case, "ann", verdict, self.now, policy))
        self.now += MINUTE
        return self.case(case_id)

    def stop_request(
        self, state: StopRequestState, *answers: AnswerKind, case_id: str = "case1", late: bool = False
    ) -> None:
        """The one stop request of a case, as it stands after these answers."""
        case = self.case(case_id)
        given = tuple(
            MerchantAnswer(
                kind=kind,
                carrier="PostNord" if kind is AnswerKind.SHIPPED_WITH_TRACKING else None,
                tracking_number="SE123" if kind is AnswerKind.SHIPPED_WITH_TRACKING else None,
                answered_at_ms=self.now + number * MINUTE,
                note=None,
            )
            for number, kind in enumerate(answers)
        )
        request = StopRequest(
            stop_request_id=f"stp_{case_id}",
            order_id=case.order_id,
            merchant_id="m1",
            state=state,
            requested_at_ms=self.now - 2 * MINUTE,
            first_delivered_at_ms=self.now - MINUTE,
            answer_due_at_ms=self.now if late else self.now + DAY,
            answers=given,
        )
        with self.store.writing("someone") as tx:
            known = stop_requests_of_case(tx, case_id)
            version = known[-1].version + 1 if known else 1
            stored = StoredStopRequest(request=request, case_id=case_id, version=version)
            if known:
                update(tx, stored, version_before=version - 1)
            else:
                insert_stop_request(tx, stored)

    def settle(self, case_id: str = "case1") -> bool:
        with self.store.writing("someone") as tx:
            return settle(tx, self.scope, case_id)

    def check(self) -> int:
        """Work off every message that is due."""
        done = 0
        while worked := check_cases(self.scope):
            done += worked
        return done

    def postings(self, case_id: str = "case1") -> list[StoredPosting]:
        order_id = self.case(case_id).order_id
        with self.store.reading() as tx:
            return postings_of_order(tx, order_id)

    def liability(self, case_id: str = "case1") -> Row:
        with self.store.reading() as tx:
            return as_sent(liability_answer(tx, self.scope, case_id))

    def investigation(self, case_id: str = "case1") -> Row | None:
        with self.store.reading() as tx:
            return as_sent(investigation_answer(tx, case_id))

    def outcomes(self, customer_id: str = "c1") -> list[Row]:
        with self.store.reading() as tx:
            return settlement_rows(tx, customer_id)["order_outcomes"]


def a_desk(store: Store, **columns: Any) -> CaseDesk:
    """A desk with one case. columns: of its order."""
    desk = CaseDesk(store, parse_policy(POLICY_FILE.read_text()))
    desk.row("merchants", a_merchant(at=START - 500 * DAY))
    desk.order("1", **columns)
    return desk
