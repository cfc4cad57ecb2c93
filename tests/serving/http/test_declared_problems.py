"""Every problem that a route declares is provoked, and no route ends with another."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from serving.api.domain_problems import problem_types_of
from serving.cases.possible_steps import Step
from serving.domain.dispute import Complaint, DisputeOutcome
from serving.domain.dispute_steps import expire
from serving.domain.review_case import Verdict
from serving.domain.stop_request import StopRequest, StopRequestState
from serving.in_force.policy_watch import NoPolicyInForce
from serving.requests.route_declaration import DoorKind
from serving.store.api_keys import Role
from serving.store.deliveries import STOP_REQUEST_CREATED, WEBHOOK, enqueue
from serving.store.disputes import dispute_of, update_dispute
from serving.store.stop_requests import StoredStopRequest, insert_stop_request
from tests.builders import DAY, a_row, an_invoice, an_order
from tests.serving.case_desk import MINUTE
from tests.serving.http.problem_probe import KEY_OF_ANOTHER_REQUEST, NOT_THERE, ProblemProbe

NOT_PROVOKED: Mapping[str, str] = {
    "case-moved": "two processes change a case at one instant: screening holds the order's lock and no "
    "case's, which only PostgreSQL lets overlap; test_two_reviewers has two processes for real",
    "dispute-moved": "a step on a dispute holds the lock of its customer, and so two never meet",
    "dispute-row-refused": "the ledger takes what follows from a step; an intake holds the same lock",
}
"""By kind of problem, why it is declared all the same."""


def test_every_declared_problem_is_provoked_and_no_other_is_answered(
    tmp_path: Path, empty_sqlite: bytes
) -> None:
    file = tmp_path / "bonitas.db"
    file.write_bytes(empty_sqlite)
    with ProblemProbe(f"sqlite:///{file}") as probe:
        refused_for_the_order(probe)
        refused_after_the_order(probe)
        refused_for_ledger_rows(probe)
        refused_for_the_case(probe)
        refused_for_the_investigation(probe)
        refused_for_the_stop_request(probe)
        dispute = refused_for_the_dispute(probe, tmp_path)
        refused_for_the_topic(probe)
        refused_at_the_door(probe)
        refused_without_what_it_needs(probe, dispute)
        refused_without_the_order_in_the_ledger(probe)
        declared = {
            (name, problem.kind)
            for name, route in probe.routes.items()
            for problem in problem_types_of(route)
        }
        assert sorted(probe.seen - declared) == []
        assert sorted(one for one in declared - probe.seen if one[1] not in NOT_PROVOKED) == []
        assert not set(NOT_PROVOKED) & {kind for _, kind in probe.seen}, "it is provoked: drop the reason"
        assert set(NOT_PROVOKED) <= {kind for _, kind in declared}


async def _slowly() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.sleep(5)


def refused_at_the_door(probe: ProblemProbe) -> None:
    for name, route in probe.routes.items():
        if route.example is not None:
            probe.send(name, key="", twice="Origin")
        if route.door is not DoorKind.API_KEY:
            continue
        probe.send(name, key="")
        probe.send(name, key=probe.expired)
        stranger = next(role for role in (Role.ADMIN, Role.CHECKOUT) if role not in route.roles)
        probe.send(name, key=probe.key_of(stranger))
        probe.send(name, is_started=False)
        if route.query is not None:
            parameter = route.query.__struct_fields__[0]
            probe.send(name, query=[(parameter, "one"), (parameter, "another")])
        if route.body_maximum_bytes:
            probe.send(name, content=_slowly())
            probe.send(name, content=b"{}", headers={"Content-Length": str(2**30)})
        if route.body is not None:
            probe.send(name, content=b"{}", headers={"Content-Type": "text/plain"})
            probe.send(name, content=b"[")
        if route.is_idempotent:
            probe.send(name, headers={"Idempotency-Key": "x" * 256})
            probe.send(name, headers={"Idempotency-Key": KEY_OF_ANOTHER_REQUEST})


def refused_without_what_it_needs(probe: ProblemProbe, dispute_id: str) -> None:
    """No store that answers, no commit that is confirmed, no policy."""
    routes = [(name, route) for name, route in probe.routes.items() if route.door is DoorKind.API_KEY]
    with probe.failing(looks_up=False):
        for name, route in routes:
            if not route.is_answered_without_store:
                probe.send(name)
    decision = {"decision_id": probe.done("order").json()["decision_id"]}
    with probe.failing(looks_up=True):
        for name, route in routes:
            if name == "precheck":
                # Only a merchant's is counted, and so written.
                probe.send(name, key=probe.key_of(Role.MERCHANT), body=_by_number(probe, "unknown-commit"))
            elif name == "addDisputeFile":
                # Before the write the file is put in its place.
                probe.send(name, dispute_id=dispute_id, **A_FILE)
            elif route.method == "POST":
                probe.send(name, **(decision if "decision_id" in route.path else {}))
    with probe.under_no_policy():
        for name, route in routes:
            if NoPolicyInForce in route.problems:
                probe.send(name)
        own = {"customer_id": "customer-1"}
        probe.send("order", key=probe.key_of(Role.PORTAL), query=own)


def _by_number(probe: ProblemProbe, number: str) -> dict[str, object]:
    example = probe.routes["score"].example
    assert example is not None
    body = {name: value for name, value in (example.body or {}).items() if name != "order_id"}
    return {**body, "merchant_order_number": number}


def refused_for_the_order(probe: ProblemProbe) -> None:
    example = probe.routes["score"].example
    assert example is not None
    assert example.body is not None

    def order(order_id: str, **changes: str) -> dict[str, object]:
        return {**(example.body or {}), "order_id": order_id, **changes}

    probe.done("score", body=order("confirmed"))
    probe.done("confirm", order_id="confirmed")
    probe.send("score", body=order("confirmed"))
    probe.done("score", body=order("cancelled"))
    probe.done("cancel", order_id="cancelled")
    probe.send("score", body=order("cancelled"))
    probe.send("confirm", order_id="cancelled")
    probe.done("score", body=order("invoiced"))
    invoice = an_invoice("i1", "customer-1", order_id="invoiced", at=probe.now, amount_cents=4_990)
    probe.checkout.row("invoices", invoice)
    for name in ("cancel", "extend", "amend"):
        probe.send(name, order_id="invoiced")
    probe.done("score", body=order("in-parts"))
    in_part = an_invoice("i2", "customer-1", order_id="in-parts", at=probe.now, amount_cents=4_000)
    probe.checkout.row("invoices", in_part)
    probe.send("amend", order_id="in-parts")
    for name in ("release", "extend"):
        probe.send(name, order_id="cancelled")
        probe.done("score", body=order(f"not-ready-for-{name}"))
        probe.send(name, order_id=f"not-ready-for-{name}")
    declined = probe.done("score", body=order("declined", customer_id="nobody-knows")).json()
    probe.send("confirm", order_id="declined")
    for name in ("cancel", "release", "extend", "amend"):
        probe.send(name, order_id="declined")
    probe.done("score", body=order("numbered", merchant_order_number="R-1"))
    for name in ("score", "precheck"):
        probe.send(name, body=order("another", merchant_order_number="R-1"))
    probe.customer("customer-2")
    probe.send("score", body=order("numbered", customer_id="customer-2"))
    for name in ("order", "confirm", "cancel", "release", "extend", "amend", "decision", "requestReview"):
        probe.send(name, **NOT_THERE)
    probe.done("requestReview", decision_id=declined["decision_id"])
    # The example's own order stays reserved for whoever sends the examples.
    approved = probe.done("score").json()
    probe.send("requestReview", decision_id=approved["decision_id"])
    merchant = probe.key_of(Role.MERCHANT)
    with probe.under_policy({"questions_per_customer_hour = 10": "questions_per_customer_hour = 1"}):
        for name in ("score", "precheck"):
            for number in ("Q-1", "Q-2"):
                probe.send(name, key=merchant, body=_by_number(probe, number))
        probe.send("amend", key=merchant, order_id="Q-1", body={"new_amount_cents": 5_000})


def refused_after_the_order(probe: ProblemProbe) -> None:
    for name in ("ship", "credit"):
        probe.send(name, **NOT_THERE)
        for order_id in ("declined", "cancelled"):
            probe.send(name, order_id=order_id)
    probe.send("ship", order_id="confirmed", body={})
    probe.send("credit", order_id="invoiced", body={"reason": "return", "amount_cents": 4_991})
    refused_for_the_return(probe)
    request = StopRequest(
        stop_request_id="stp_of_probe",
        order_id="confirmed",
        merchant_id="merchant-1",
        state=StopRequestState.REQUESTED,
        requested_at_ms=probe.now,
        first_delivered_at_ms=None,
        answer_due_at_ms=None,
        answers=(),
    )
    with probe.store.writing("test") as tx:
        insert_stop_request(tx, StoredStopRequest(request=request, case_id="case-of-probe", version=1))
    probe.send("ship", order_id="confirmed")


def refused_for_the_return(probe: ProblemProbe) -> None:
    for name in ("announceReturn", "goodsReturn", "confirmReturn", "bookReturn"):
        probe.send(name, **NOT_THERE)
    for name in ("customerReturns", "customerDisputes"):
        probe.send(name, customer_id="%00")
    probe.send("goodsReturns", query={"state": "lost"})
    probe.send("announceReturn", order_id="confirmed")
    too_much = {"customer_id": "customer-1", "amount_cents": 4_991}
    probe.send("announceReturn", order_id="invoiced", body=too_much)
    announced = probe.done("announceReturn", order_id="invoiced").json()
    goods = {"return_id": announced["return_id"]}
    for name in ("confirmReturn", "bookReturn"):
        probe.send(name, **goods, headers={"Idempotency-Key": KEY_OF_ANOTHER_REQUEST})
    probe.send("bookReturn", **goods, body={"amount_cents": 1_000_000})
    probe.done("bookReturn", **goods, body={"amount_cents": 1})
    probe.send("bookReturn", **goods, body={"amount_cents": 2})


def refused_for_ledger_rows(probe: ProblemProbe) -> None:
    probe.send("heldEvents", query={"colour": "red"})
    probe.send("settlementNote", query={"merchant_id": "nobody", "period": "2026-11"})
    probe.send("heldEvents", query={"after": "nowhere"})
    probe.send("endHeldEvent", event_id="nothing")
    probe.send("invoice", invoice_id="nothing")


TEXTS: Mapping[Step, dict[str, str]] = {
    Step.NOTE: {"note": "a note"},
    Step.CONTACT_OUTCOME: {"outcome": "unreachable"},
    Step.REOPEN: {"reason": "a reason"},
}
OF_HOLDER = (Step.GIVE_BACK, Step.NOTE, Step.CONTACT, Step.CONTACT_OUTCOME, Step.RELEASE, Step.STOP)
"""What only who holds a case does with it."""


def refused_for_the_case(probe: ProblemProbe) -> None:
    def take(step: Step, case_id: str, key: str | None = None, *, is_refused: bool = False) -> None:
        send = probe.send if is_refused else probe.done
        send(f"case_{step.name.lower()}", case_id=case_id, key=key, body=TEXTS.get(step))

    def refuse(step: Step, case_id: str, key: str | None = None) -> None:
        take(step, case_id, key, is_refused=True)

    probe.send("cases", query={"colour": "red"})
    probe.send("case", case_id="nothing")
    is_open, closed, held, released = (probe.case(number) for number in ("11", "12", "13", "14"))
    for step in Step:
        refuse(step, "nothing")
    for case_id in (closed, held, released):
        take(Step.CLAIM, case_id)
    take(Step.RELEASE, released)
    for step in (Step.CLAIM, *OF_HOLDER):
        refuse(step, released)
        refuse(step, held, probe.second_reviewer)
    for step in OF_HOLDER:
        refuse(step, is_open)
    for step in (Step.UNDO, Step.WITHDRAW, Step.REOPEN):
        refuse(step, is_open)
    refuse(Step.CONTACT_OUTCOME, held)
    take(Step.CONTACT, held)
    refuse(Step.CONTACT, held)
    refuse(Step.CONTACT, probe.unreachable_case("15"))
    take(Step.STOP, closed)
    refuse(Step.REOPEN, closed)
    refuse(Step.UNDO, closed, probe.second_reviewer)
    with probe.under_policy({'withdraw_roles = ["admin", "fraud"]': 'withdraw_roles = ["admin"]'}):
        refuse(Step.WITHDRAW, closed)
    probe.later(MINUTE)
    refuse(Step.UNDO, closed)


def refused_for_the_investigation(probe: ProblemProbe) -> None:
    case_id = probe.case("21")
    probe.send("investigate", case_id="nothing")
    probe.send("investigate", case_id=case_id, body={"reason": " "})
    for name in ("askMerchant", "concludeInvestigation"):
        probe.send(name, case_id=case_id)
    probe.done("investigate", case_id=case_id)
    probe.send("askMerchant", case_id=case_id)
    probe.send("concludeInvestigation", case_id=case_id)
    probe.cases.decided(Verdict.RELEASED, case_id=case_id)
    probe.done("concludeInvestigation", case_id=case_id, body={"finding": "not_fraud"})
    probe.send("askMerchant", case_id=case_id)
    probe.send("concludeInvestigation", case_id=case_id)

    refused = probe.case("22")
    event_id = "outcome-case22-0-stop_request_upheld"
    columns = {"order_id": "o22", "customer_id": "c22", "kind": "confirmed"}
    probe.cases.row("order_events", a_row("order_events", event_id, probe.now, None, **columns))
    impossible = probe.case("23")
    vat = an_order("o23", "c23", event_id="vat", at=probe.now, vat_cents=10_000, corrects="order-o23")
    probe.cases.row("orders", vat)
    for case_id in (refused, impossible):
        probe.cases.decided(Verdict.STOP, case_id=case_id)
        probe.later(MINUTE)
        probe.done("investigate", case_id=case_id)
        probe.send("concludeInvestigation", case_id=case_id)


def refused_for_the_stop_request(probe: ProblemProbe) -> None:
    for name in ("stopRequest", "answerStopRequest", "finishRecall", "resendDelivery"):
        probe.send(name, **NOT_THERE)
    for number, state in (("31", StopRequestState.REQUESTED), ("32", StopRequestState.WITHDRAWN)):
        case_id = probe.case(number)
        probe.cases.decided(Verdict.STOP, case_id=case_id)
        probe.cases.stop_request(state, case_id=case_id)
    # The desk's requests are merchant m1's.
    merchant = probe.merchant_key("m1")
    asked, withdrawn = "stp_case31", "stp_case32"
    probe.send("finishRecall", stop_request_id=asked)
    probe.send("answerStopRequest", stop_request_id=withdrawn, key=merchant)
    probe.done("answerStopRequest", stop_request_id=asked, key=merchant)
    other = {"kind": "stopped_before_shipping"}
    probe.send("answerStopRequest", stop_request_id=asked, key=merchant, body=other)
    with probe.store.writing("test") as tx:
        enqueue(
            tx,
            delivery_id=f"{withdrawn}-created",
            merchant_id="m1",
            stop_request_id=withdrawn,
            event_type=STOP_REQUEST_CREATED,
            channel=WEBHOOK,
            body="{}",
            now_ms=probe.now,
        )
    probe.send("resendDelivery", delivery_id=f"{withdrawn}-created")


A_FILE: Mapping[str, Any] = {
    "content": b"hello",
    "headers": {"Content-Type": "application/octet-stream"},
    "query": {"name": "note.txt"},
}


def refused_for_the_dispute(probe: ProblemProbe, evidence_folder: Path) -> str:
    """Returns a dispute of merchant-1 that is open."""
    assert probe.access.scope is not None
    probe.access.scope = replace(probe.access.scope, evidence_folder=evidence_folder)
    example = probe.routes["score"].example
    assert example is not None
    assert example.body is not None

    def ordered(order_id: str) -> None:
        probe.done("score", body={**(example.body or {}), "order_id": order_id})
        invoice = an_invoice(
            f"i-{order_id}", "customer-1", order_id=order_id, at=probe.now, amount_cents=4_990
        )
        probe.checkout.row("invoices", invoice)

    def opened(order_id: str) -> str:
        ordered(order_id)
        return str(probe.done("openDispute", order_id=order_id).json()["dispute_id"])

    probe.send("openDispute", order_id="nothing")
    probe.done("score", body={**example.body, "order_id": "not-invoiced"})
    probe.send("openDispute", order_id="not-invoiced", body={"customer_id": "customer-1", "reason": "other"})
    uninvoiced = {"customer_id": "customer-1", "reason": "not_received"}
    probe.send("openDispute", order_id="not-invoiced", body=uninvoiced)
    steps = ("stateReason", "withdrawDispute", "complain", "answerDispute", "giveIn")
    for name in (*steps, "dispute", "disputeFile"):
        probe.send(name, dispute_id="nothing")
    probe.send("addDisputeFile", dispute_id="nothing", **A_FILE)

    withdrawn, late, is_open = opened("withdrawn"), opened("late"), opened("disputed")
    probe.send("openDispute", order_id="disputed")
    probe.done("withdrawDispute", dispute_id=withdrawn)
    for name in ("stateReason", "complain", "answerDispute", "giveIn"):
        probe.send(name, dispute_id=withdrawn)
    probe.send("addDisputeFile", dispute_id=withdrawn, **A_FILE)
    probe.send("addDisputeFile", dispute_id=is_open, **{**A_FILE, "query": {"name": "../note.txt"}})
    probe.send("disputeFile", dispute_id=is_open, file_id="nothing")
    file = probe.done("addDisputeFile", dispute_id=is_open, **A_FILE).json()
    (evidence_folder / is_open / file["sha256"]).unlink()
    probe.send("disputeFile", dispute_id=is_open, file_id=file["file_id"])

    now_ms = probe.now
    with probe.store.writing("customer-1") as tx:
        known = dispute_of(tx, late)
        assert known is not None
        passed = replace(known, due_at_ms=now_ms, version=known.version + 1)
        update_dispute(tx, passed, version_before=known.version)
    probe.send("answerDispute", dispute_id=late)
    with probe.store.writing("customer-1") as tx:
        ended = expire(passed, by="system", at_ms=now_ms, customer_due_at_ms=0, decision_due_at_ms=0)
        ended = replace(ended, closed_at_ms=now_ms - 100 * DAY)
        update_dispute(tx, ended, version_before=passed.version)
    probe.send("withdrawDispute", dispute_id=late)
    probe.send("complain", dispute_id=late)
    with probe.store.writing("customer-1") as tx:
        made = Complaint(
            text="Before.", made_at_ms=0, due_at_ms=0, outcome_before=DisputeOutcome.FOR_CUSTOMER
        )
        again = replace(ended, complaint=made, version=ended.version + 1)
        update_dispute(tx, again, version_before=ended.version)
    probe.send("complain", dispute_id=late)
    return is_open


def refused_for_the_topic(probe: ProblemProbe) -> None:
    probe.send("chooseWebhookTopic", topic="order.forgotten")
    probe.send("chooseWebhookTopic", topic="stop_request.created", body={"channel": "off"})
    probe.send("chooseWebhookTopic", body={"channel": "by pigeon"})


def refused_without_the_order_in_the_ledger(probe: ProblemProbe) -> None:
    """Such as in a store whose ledger was loaded anew without it."""
    case_id = probe.case("41")
    probe.cases.decided(Verdict.STOP, case_id=case_id)
    probe.later(MINUTE)
    probe.done("investigate", case_id=case_id)
    with probe.store.writing("test") as tx:
        tx.execute("DELETE FROM ledger_events")
    probe.send("concludeInvestigation", case_id=case_id)
    probe.send("case", case_id=case_id)
