"""Random days after approval: events, verdicts, answers, findings and time, in any order.

Whatever comes, no case and no request leaves the states there are, an order never has two cases or two
standing requests, and the postings of its settlement balance.
"""

import itertools
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from serving.cases import investigating
from serving.cases.case_review import renew_queue
from serving.cases.case_settlement import liability_answer
from serving.cases.possible_steps import Step
from serving.domain.errors import RiskError
from serving.domain.merchant_answer import AnswerKind
from serving.domain.policy_reader import parse_policy
from serving.domain.review_case import CaseState, ContactOutcome, Verdict
from serving.domain.stop_request import NEXT_STATES, StopRequestState
from serving.in_force.policy_activation import POLICY_FILE
from serving.stop_requests import answering, recalls, sending_again, stop_requesting
from serving.store.case_queue import StoredCase, case_about
from serving.store.deliveries import deliveries_of
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.settlement_postings import postings_of_order
from serving.store.sqlite_store import SqliteStore
from serving.store.stop_requests import stop_requests_of_order
from serving.webhooks.dispatch import DispatchScope, dispatch_due, send_fallbacks
from serving.webhooks.mailbox import FileMailbox
from tests.builders import DAY, a_customer, a_merchant, a_pause, a_payment, a_row, an_invoice
from tests.serving.screening.test_order_review import HOUR, START, Team

ORDERS = ("1", "2", "3")
SECOND = 1_000

NEXT_CASE_STATES = {
    CaseState.OPEN: {CaseState.CLAIMED},
    CaseState.CLAIMED: {CaseState.CONTACTING_CUSTOMER, CaseState.OPEN, CaseState.CLOSED},
    CaseState.CONTACTING_CUSTOMER: {CaseState.CLAIMED, CaseState.OPEN, CaseState.CLOSED},
    CaseState.CLOSED: {CaseState.CLAIMED, CaseState.OPEN},
}
EVENTS = st.sampled_from(
    [
        ("order_events", "shipped", {"carrier": "PostNord", "tracking_number": "SE1"}),
        ("order_events", "shipped", {}),
        ("order_events", "delivered", {}),
        ("order_events", "returned", {}),
        ("order_events", "cancelled", {}),
        ("order_outcomes", "identity_misuse_upheld", {}),
        ("order_outcomes", "fraud_chargeback", {}),
        ("order_outcomes", "dispute_decided_for_customer", {}),
        ("order_outcomes", "dispute_decided_for_merchant", {}),
    ]
)
TEXTS: dict[Step, st.SearchStrategy[str | None]] = {
    Step.NOTE: st.just("looked again"),
    Step.CONTACT_OUTCOME: st.sampled_from([outcome.value for outcome in ContactOutcome]),
    Step.REOPEN: st.just("new facts"),
}
STEPS = st.sampled_from(Step).flatmap(lambda step: st.tuples(st.just(step), TEXTS.get(step, st.none())))
# A reviewer who means to get somewhere, so that random steps do not mostly fail.
COURSES = st.sampled_from(
    [
        (Step.CLAIM, Step.STOP),
        (Step.CLAIM, Step.RELEASE),
        (Step.CLAIM, Step.CONTACT, Step.STOP),
        (Step.STOP, Step.UNDO),
        (Step.REOPEN, Step.CLAIM, Step.STOP),
        (Step.WITHDRAW,),
    ]
)


@pytest.fixture(scope="module", autouse=True)
def template(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A store with its tables, copied for each run of the machine: Alembic takes longer than a run."""
    file = tmp_path_factory.mktemp("template") / "bonitas.db"
    migrate(f"sqlite:///{file}")
    AfterApproval.template = file


class AfterApproval(RuleBasedStateMachine):
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        file = Path(self.folder.name) / "bonitas.db"
        shutil.copy(self.template, file)
        self.store = open_store(f"sqlite:///{file}")
        assert isinstance(self.store, SqliteStore)
        text = POLICY_FILE.read_text().replace("sample_per_mille = 5", "sample_per_mille = 1000")
        self.team = Team(self.store, parse_policy(text))
        self.scope = self.team.review
        self.serial = itertools.count()
        self.approved: set[str] = set()
        self.invoiced: dict[str, int | None] = {}
        self.disputed: set[str] = set()
        self.cases: dict[str, StoredCase] = {}
        self.requests: dict[str, StopRequestState] = {}
        self.dispatch = DispatchScope(
            store=self.store,
            now_ms=lambda: self.team.now,
            resolve=lambda _host, _port: [],
            allow_private_addresses=False,
            jitter=lambda: 0.5,
            mailbox=FileMailbox(Path(self.folder.name) / "mails"),
            on_delivered=lambda tx, id_, at_ms: stop_requesting.reached(tx, self.scope, id_, at_ms),
            fallback_email=lambda tx, webhook: sending_again.fallback_text(tx, self.scope, webhook),
        )

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @initialize(services=st.sets(st.sampled_from(ORDERS)), has_endpoint=st.booleans())
    def begin(self, services: set[str], has_endpoint: bool) -> None:
        endpoint = {} if has_endpoint else {"endpoint_url": None}
        self.team.event("merchants", a_merchant(at=START - 500 * DAY, **endpoint))
        for number in ORDERS:
            self.team.event(
                "customers", a_customer(f"c{number}", event_id=f"customer-{number}", at=START - 400 * DAY)
            )
        self.services = services

    @rule(number=st.sampled_from(ORDERS), shared=st.booleans())
    def approve(self, number: str, shared: bool) -> None:
        if number in self.approved:
            return
        self.approved.add(number)
        kind = {"kind": "service"} if number in self.services else {}
        self.team.approved(
            f"o{number}", f"c{number}", device_id="ring" if shared else f"own-{number}", **kind
        )
        self.work()

    def _one_of(self, data: st.DataObject, known: Mapping[str, Any]) -> str:
        """Drawn by place: the ids are random, and a run must be repeatable."""
        return list(known)[data.draw(st.integers(0, len(known) - 1))]

    def _about(self, contract: str, number: str, **columns: Any) -> None:
        row = a_row(
            contract, f"row-{next(self.serial)}", self.team.now, None, customer_id=f"c{number}", **columns
        )
        self.team.event(contract, row)
        self.team.now += SECOND

    @precondition(lambda self: self.approved)
    @rule(data=st.data(), event=EVENTS)
    def news(self, data: st.DataObject, event: tuple[str, str, dict[str, str]]) -> None:
        contract, kind, more = event
        number = data.draw(st.sampled_from(sorted(self.approved)))
        if kind.startswith("dispute_decided") and number not in self.disputed:
            return
        self._about(contract, number, order_id=f"o{number}", kind=kind, **more)

    @precondition(lambda self: self.approved)
    @rule(data=st.data(), what=st.sampled_from(["invoice", "payment", "dispute", "end of dispute"]))
    def invoice_news(self, data: st.DataObject, what: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.approved)))
        at, names = self.team.now, (f"i{number}", f"c{number}")
        if what == "invoice" and number not in self.invoiced:
            self.invoiced[number] = None
            self.team.event("invoices", an_invoice(*names, at=at, order_id=f"o{number}"))
        elif what == "payment" and number in self.invoiced:
            self.team.event("invoice_payments", a_payment(*names, at=at, event_id=f"row-{next(self.serial)}"))
        elif what == "dispute" and number in self.invoiced and self.invoiced[number] is None:
            self.invoiced[number] = at
            self.disputed.add(number)
            pause_id = f"pause-{number}-{at}"
            self.team.event("invoice_pauses", a_pause(*names, started_at=at, pause_id=pause_id))
        elif what == "end of dispute" and (began := self.invoiced.get(number)) is not None:
            self.invoiced[number] = None
            pause_id = f"pause-{number}-{began}"
            self.team.event(
                "invoice_pauses", a_pause(*names, started_at=began, ended_at=at, pause_id=pause_id)
            )
        self.team.now += SECOND

    @precondition(lambda self: self.cases)
    @rule(data=st.data(), step=STEPS, reviewer=st.sampled_from(["ann", "bob"]))
    def any_step(self, data: st.DataObject, step: tuple[Step, str | None], reviewer: str) -> None:
        case_id = self._one_of(data, self.cases)
        self._try(lambda: self.team.step(case_id, step[0], reviewer, text=step[1]))

    @precondition(lambda self: self.cases)
    @rule(data=st.data(), course=COURSES)
    def course(self, data: st.DataObject, course: tuple[Step, ...]) -> None:
        case_id = self._one_of(data, self.cases)
        for step in course:
            text = "new facts" if step is Step.REOPEN else None
            self._try(lambda step=step, text=text: self.team.step(case_id, step, text=text))
            self.remember()

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), kind=st.sampled_from(AnswerKind), note=st.sampled_from([None, "more to say"]))
    def answer(self, data: st.DataObject, kind: AnswerKind, note: str | None) -> None:
        stop_request_id = self._one_of(data, self.requests)
        is_tracked = kind is AnswerKind.SHIPPED_WITH_TRACKING
        for _ in range(2):  # whatever an answer does, the same once more does nothing
            self._try(
                lambda: answering.answer(
                    self.scope,
                    stop_request_id,
                    merchant_id="m1",
                    kind=kind.value,
                    carrier="PostNord" if is_tracked else None,
                    tracking_number="SE1" if is_tracked else None,
                    note=note,
                )
            )

    @precondition(lambda self: self.cases)
    @rule(data=st.data(), what=st.sampled_from(["open", "ask", "fraud_confirmed", "not_fraud"]))
    def investigate(self, data: st.DataObject, what: str) -> None:
        case_id = self._one_of(data, self.cases)
        if what == "open":
            self._try(lambda: investigating.open_by_hand(self.scope, case_id, reason="a call", by="ann"))
        elif what == "ask":
            self._try(lambda: investigating.ask_merchant(self.scope, case_id, "Who signed?", "ann"))
        else:
            self._try(lambda: investigating.conclude(self.scope, case_id, what, "ann"))

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), result=st.sampled_from(["recalled", "failed"]))
    def recall(self, data: st.DataObject, result: str) -> None:
        stop_request_id = self._one_of(data, self.requests)
        self._try(lambda: recalls.finish_recall(self.scope, stop_request_id, result, "ann"))

    @rule(wait_ms=st.sampled_from([SECOND, 31 * SECOND, HOUR, 25 * HOUR, 40 * DAY]))
    def wait(self, wait_ms: int) -> None:
        self.team.now += wait_ms
        self.work()

    def work(self) -> None:
        """All that the worker does, until nothing is left to do now."""
        self.team.work()
        renew_queue(self.scope)
        while (
            stop_requesting.request_due(self.scope)
            + dispatch_due(self.dispatch)
            + send_fallbacks(self.dispatch)
            + stop_requesting.expire_due(self.scope)
            + investigating.check_cases(self.scope)
        ):
            self.team.now += SECOND
        self.team.work()
        self.remember()
        for case_id in self.cases:
            with self.store.reading() as tx:
                liability = liability_answer(tx, self.scope, case_id)
            assert liability.is_settled or liability.mistakes, liability

    def _try(self, step: Any) -> None:
        # A refusal is an answer; any other exception is a defect.
        with suppress(RiskError):
            step()
        self.team.now += SECOND

    @invariant()
    def remember(self) -> None:
        """Every case and request has moved along a step that there is, or not at all."""
        with self.store.reading() as tx:
            for number in sorted(self.approved):
                stored = case_about(tx, f"o{number}")
                if stored is not None:
                    self._case_moved(stored)
                asked = stop_requests_of_order(tx, f"o{number}")
                standing = [kept for kept in asked if kept.request.state is not StopRequestState.WITHDRAWN]
                assert len(standing) <= 1
                for kept in asked:
                    before = self.requests.get(kept.request.stop_request_id, StopRequestState.REQUESTED)
                    now = kept.request.state
                    assert now is before or now in _reachable(before)
                    self.requests[kept.request.stop_request_id] = now
                    events = Counter(
                        sent.event_type
                        for sent in deliveries_of(tx, kept.request.stop_request_id)
                        if sent.channel == "webhook"
                    )
                    assert events["stop_request.created"] == 1
                    assert events["stop_request.withdrawn"] == (now is StopRequestState.WITHDRAWN)
                    assert events["stop_request.expired"] <= 1

    def _case_moved(self, stored: StoredCase) -> None:
        case = stored.case
        before = self.cases.get(case.case_id)
        if before is not None and before.case.version + 1 == case.version:
            states = before.case.state, case.state
            assert states[0] is states[1] or states[1] in NEXT_CASE_STATES[states[0]], states
        assert (case.verdict is not None) == (case.state is CaseState.CLOSED)
        assert (case.stop_takes_effect_at_ms is not None) == (case.verdict is Verdict.STOP)
        assert (case.reviewer is None) == (case.state is CaseState.OPEN)
        self.cases[case.case_id] = stored

    @invariant()
    def money_balances(self) -> None:
        with self.store.reading() as tx:
            for stored in self.cases.values():
                sums: defaultdict[tuple[str, int], int] = defaultdict(int)
                for posting in postings_of_order(tx, stored.case.order_id):
                    sums[posting.settlement_id, posting.line] += posting.amount_cents
                assert not any(sums.values())


def _reachable(state: StopRequestState) -> set[StopRequestState]:
    """The states after any number of steps: more than one may lie between two looks."""
    reached = set(NEXT_STATES[state])
    return reached.union(*(_reachable(following) for following in NEXT_STATES[state]))


TestAfterApproval = AfterApproval.TestCase
TestAfterApproval.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestAfterApproval.pytestmark = [pytest.mark.slow]
