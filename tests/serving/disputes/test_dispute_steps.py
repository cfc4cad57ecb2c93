"""The machine of a dispute by itself: which step leads where, and what it never does."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.domain.dispute import (
    EXPIRING,
    WORK_ITEMS,
    Complaint,
    Dispute,
    DisputeOutcome,
    DisputeReason,
    DisputeState,
    OutcomeGround,
    Party,
)
from serving.domain.dispute_answer import DisputeAnswer, DisputeAnswerKind
from serving.domain.dispute_money import InvoiceBalance, disputable_cents, relief_of
from serving.domain.dispute_policy import DisputePolicy
from serving.domain.dispute_steps import (
    answer,
    ask,
    claim,
    complain,
    conclude_case,
    decide,
    decide_complaint,
    expire,
    give_back,
    give_in,
    raise_overdue,
    refer_to_committee,
    state_reason,
    take_committee_result,
    withdraw,
)
from serving.domain.errors import PolicyInvalid, RiskError
from serving.domain.policy_reader import parse_policy
from serving.in_force.policy_activation import POLICY_FILE

DUE = 1_000
S = DisputeState
FOR_CUSTOMER, FOR_MERCHANT = DisputeOutcome.FOR_CUSTOMER, DisputeOutcome.FOR_MERCHANT


def a_dispute(state: DisputeState = S.OPENED, **columns: Any) -> Dispute:
    fields: dict[str, Any] = {
        "dispute_id": "dsp_1",
        "order_id": "o1",
        "customer_id": "c1",
        "merchant_id": "m1",
        "merchant_order_number": None,
        "currency": "EUR",
        "reason": DisputeReason.NOT_RECEIVED,
        "text": None,
        "disputed_cents": None,
        "police_report": None,
        "state": state,
        "opened_at_ms": 0,
        "opened_by": "portal",
        "policy_version": "1",
        "merchant_due_at_ms": DUE,
        "due_at_ms": DUE,
        "is_shown_to_merchant": state is not S.WITH_FRAUD_TEAM,
        "claimed_by": "bob" if state in WORK_ITEMS else None,
    }
    if state in {S.CLOSED, S.COMPLAINT, S.REFERRED}:
        fields |= {
            "outcome": FOR_MERCHANT,
            "ground": OutcomeGround.DECIDED,
            "decided_by": "sue",
            "award_cents": 0,
        }
    if state in {S.COMPLAINT, S.REFERRED}:
        fields["complaint"] = Complaint(text="No.", made_at_ms=1, due_at_ms=2, outcome_before=FOR_MERCHANT)
    return Dispute(**{**fields, **columns})


def an_answer(at_ms: int = 1, text: str = "No.") -> DisputeAnswer:
    return DisputeAnswer(
        kind=DisputeAnswerKind.OTHER, text=text, carrier=None, tracking_number=None, answered_at_ms=at_ms
    )


STEPS: dict[str, Any] = {
    "answer": lambda d, at: answer(d, an_answer(at, f"at {at}"), decision_due_at_ms=at + 5),
    "state": lambda d, at: state_reason(d, f"at {at}", at_ms=at, decision_due_at_ms=at + 5),
    "give_in": lambda d, at: give_in(d, is_whole_order=False, by="shop", at_ms=at),
    "withdraw": lambda d, at: withdraw(d, by="portal", at_ms=at),
    "expire": lambda d, at: expire(
        d, by="system", at_ms=at, customer_due_at_ms=at + 5, decision_due_at_ms=at + 5
    ),
    "fraud": lambda d, at: conclude_case(d, is_fraud=True, by="x", at_ms=at, decision_due_at_ms=at + 5),
    "no_fraud": lambda d, at: conclude_case(d, is_fraud=False, by="x", at_ms=at, decision_due_at_ms=at + 5),
    "claim": lambda d, at: claim(d, by="bob", at_ms=at, claim_minutes=30),
    "give_back": lambda d, _at: give_back(d, by="bob"),
    "ask_customer": lambda d, at: ask(d, Party.CUSTOMER, "Why?", by="bob", at_ms=at, due_at_ms=at + 5),
    "ask_merchant": lambda d, at: ask(d, Party.MERCHANT, "Why?", by="bob", at_ms=at, due_at_ms=at + 5),
    "decide": lambda d, at: decide(d, FOR_MERCHANT, award_cents=None, text="So.", by="bob", at_ms=at),
    "complain": lambda d, at: complain(d, f"at {at}", at_ms=at, due_at_ms=at + 5, until_ms=10**9),
    "second_look": lambda d, at: decide_complaint(
        d, FOR_CUSTOMER, award_cents=None, text="So.", by="bob", at_ms=at
    ),
    "refer": lambda d, at: refer_to_committee(d, "Board", by="bob", at_ms=at),
    "committee": lambda d, at: take_committee_result(
        d, FOR_CUSTOMER, award_cents=None, text="So.", by="bob", at_ms=at
    ),
}
LEADS_TO: dict[str, dict[DisputeState, DisputeState]] = {
    "answer": {
        S.OPENED: S.ANSWERED,
        S.ANSWERED: S.ANSWERED,
        S.AWAITING_CUSTOMER: S.AWAITING_CUSTOMER,
        S.AWAITING_MERCHANT: S.DECIDING,
        S.DECIDING: S.DECIDING,
    },
    "state": {
        S.OPENED: S.OPENED,
        S.ANSWERED: S.DECIDING,
        S.AWAITING_CUSTOMER: S.DECIDING,
        S.AWAITING_MERCHANT: S.AWAITING_MERCHANT,
        S.DECIDING: S.DECIDING,
        S.WITH_FRAUD_TEAM: S.WITH_FRAUD_TEAM,
    },
    "give_in": dict.fromkeys(EXPIRING | {S.DECIDING, S.COMPLAINT, S.REFERRED}, S.CLOSED),
    "withdraw": dict.fromkeys(set(S) - {S.CLOSED}, S.CLOSED),
    "expire": {state: state for state in S},
    "fraud": {S.WITH_FRAUD_TEAM: S.CLOSED},
    "no_fraud": {S.WITH_FRAUD_TEAM: S.DECIDING},
    "claim": {state: state for state in WORK_ITEMS},
    "give_back": {state: state for state in WORK_ITEMS},
    "ask_customer": {S.DECIDING: S.AWAITING_CUSTOMER},
    "ask_merchant": {S.DECIDING: S.AWAITING_MERCHANT},
    "decide": {S.DECIDING: S.CLOSED},
    "complain": {S.CLOSED: S.COMPLAINT},
    "second_look": {S.COMPLAINT: S.CLOSED},
    "refer": {S.COMPLAINT: S.REFERRED},
    "committee": {S.REFERRED: S.CLOSED},
}


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("step", STEPS)
def test_every_step_leads_where_the_table_says_and_is_refused_elsewhere(
    step: str, state: DisputeState
) -> None:
    before = a_dispute(state)
    wanted = LEADS_TO[step].get(state)
    if wanted is None:
        with pytest.raises(RiskError):
            STEPS[step](before, 1)
        return
    after = STEPS[step](before, 1)
    assert after.state is wanted
    assert after.version == before.version + (after is not before)


@pytest.mark.parametrize(
    ("state", "then"),
    [
        (S.OPENED, S.CLOSED),
        (S.ANSWERED, S.AWAITING_CUSTOMER),
        (S.AWAITING_CUSTOMER, S.DECIDING),
        (S.AWAITING_MERCHANT, S.DECIDING),
        (S.WITH_FRAUD_TEAM, S.WITH_FRAUD_TEAM),
        (S.DECIDING, S.DECIDING),
        (S.COMPLAINT, S.COMPLAINT),
        (S.CLOSED, S.CLOSED),
    ],
)
def test_a_deadline_has_passed_at_its_very_instant(state: DisputeState, then: DisputeState) -> None:
    before = a_dispute(state)
    assert STEPS["expire"](before, DUE - 1) is before
    assert STEPS["expire"](before, DUE).state is then


def test_a_work_item_is_raised_once_each_time_it_comes_to_the_desk() -> None:
    late = raise_overdue(a_dispute(S.DECIDING), DUE)
    assert late.overdue_raised_at_ms == DUE
    assert raise_overdue(late, DUE + 1) is late
    assert STEPS["ask_customer"](late, DUE + 2).overdue_raised_at_ms is None


@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(1, 20)), max_size=40), st.booleans())
def test_no_course_leaves_the_machine_or_loses_what_was_said(
    course: list[tuple[str, int]], is_claim: bool
) -> None:
    dispute = a_dispute(S.WITH_FRAUD_TEAM if is_claim else S.OPENED)
    now_ms = 1
    for step, later_ms in course:
        now_ms += later_ms
        state = dispute.state
        try:
            after = STEPS[step](dispute, now_ms)
        except RiskError:
            continue
        expired = {S.OPENED: S.CLOSED, S.ANSWERED: S.AWAITING_CUSTOMER}.get(state, S.DECIDING)
        allowed = {LEADS_TO[step].get(state), expired if step == "expire" else None, state}
        assert after.state in allowed
        assert after.version - dispute.version == (after is not dispute)
        assert after.answers[: len(dispute.answers)] == dispute.answers
        assert after.statements[: len(dispute.statements)] == dispute.statements
        assert after.questions[: len(dispute.questions)] == dispute.questions
        assert after.is_closed == (after.closed_at_ms is not None)
        assert after.merchant_due_at_ms == dispute.merchant_due_at_ms, "a deadline that was told stands"
        if after.is_closed:
            assert after.outcome is not None
            assert after.due_at_ms is None
        if dispute.complaint is not None:
            assert after.complaint is not None
        dispute = after


BALANCES = st.lists(
    st.builds(
        lambda net, share, over: (net, net * share // 100, over),
        st.integers(0, 10_000),
        st.integers(0, 100),
        st.sampled_from([0, 0, 500]),
    ),
    max_size=5,
)


@given(BALANCES, st.none() | st.integers(0, 30_000))
def test_money_balances_to_the_cent_and_is_never_more_than_invoiced(
    balances: list[tuple[int, int, int]], wanted: int | None
) -> None:
    invoices = [
        InvoiceBalance(
            invoice_id=f"i{number}",
            net_cents=net,
            outstanding_cents=outstanding,
            overpaid_cents=over if outstanding == 0 and net else 0,
        )
        for number, (net, outstanding, over) in enumerate(balances)
    ]
    reliefs = relief_of(invoices, wanted)
    total = disputable_cents(invoices)
    assert sum(relief.counts_cents for relief in reliefs) == (total if wanted is None else min(total, wanted))
    known = {invoice.invoice_id: invoice for invoice in invoices}
    for relief in reliefs:
        invoice = known[relief.invoice_id]
        assert 0 <= relief.refund_cents <= invoice.paid_cents
        assert 0 < relief.counts_cents <= invoice.net_cents
        assert relief.credit_note_cents <= invoice.net_cents
    unpaid = sum(invoice.outstanding_cents for invoice in invoices)
    refunded = sum(relief.refund_cents for relief in reliefs)
    assert refunded == max(sum(relief.counts_cents for relief in reliefs) - unpaid, 0), "first what is unpaid"


POLICY = POLICY_FILE.read_text()


@pytest.mark.parametrize(
    ("before", "after", "mistake"),
    [
        ("merchant_days = 14", "merchant_days = 13", "disputes.merchant_days: must be from 14 to 21"),
        ("merchant_days = 14", "merchant_days = 22", "disputes.merchant_days: must be from 14 to 21"),
        (
            "return_not_booked = 21",
            "return_not_booked = 22",
            "disputes.merchant_days_by_reason.return_not_booked: must be from 14 to 21",
        ),
        (
            "return_not_booked = 21",
            "bored = 21",
            "disputes.merchant_days_by_reason.bored: is no reason of a dispute",
        ),
        (
            "[disputes.merchant_days_by_country]",
            "[disputes.merchant_days_by_country]\nSE = 30",
            "disputes.merchant_days_by_country.SE: must be from 14 to 21",
        ),
        (
            "[disputes.merchant_days_by_country]",
            "[disputes.merchant_days_by_country]\nse = 14",
            "disputes.merchant_days_by_country.se: must be an ISO 3166-1 alpha-2 code",
        ),
        ("complaint_days = 10", "complaint_days = 11", "disputes.complaint_days: must be from 1 to 10"),
        ("claim_minutes = 30\n# Of each", "# Of each", "disputes.claim_minutes: is missing"),
        (
            "evidence_file_bytes = 5_242_880",
            "evidence_file_bytes = 5_242_881",
            "disputes.evidence_file_bytes: must be from 1 to 5242880",
        ),
        ("customer_days = 10", "customer_days = 10\nfoo = 1", "disputes.foo: is no field of a policy"),
    ],
)
def test_a_policy_outside_of_the_agreement_is_refused_by_name(before: str, after: str, mistake: str) -> None:
    assert before in POLICY
    with pytest.raises(PolicyInvalid) as refused:
        parse_policy(POLICY.replace(before, after))
    assert any(found.startswith(mistake) for found in refused.value.mistakes), refused.value.mistakes


def test_a_policy_without_the_section_has_the_defaults_and_the_shipped_one_says_the_same() -> None:
    start, end = POLICY.index("[disputes]"), POLICY.index("# What approving an order brings")
    assert parse_policy(POLICY[:start] + POLICY[end:]).disputes == DisputePolicy()
    shipped = parse_policy(POLICY).disputes
    assert replace(shipped, merchant_days_by_reason={}) == replace(
        DisputePolicy(), merchant_days_by_reason={}
    )
    assert shipped.merchant_days_by_reason == {DisputeReason.RETURN_NOT_BOOKED: 21}
