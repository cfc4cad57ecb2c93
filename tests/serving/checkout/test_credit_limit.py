"""A limit grows with what was repaid: what farms none, and what may never raise or lower one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from features.settlement_terms import USUAL_TERMS
from serving.checkout.decision_inputs import inputs_at
from serving.domain.checkout_decision import decide
from serving.domain.credit_limit import CreditTerms, Familiarity, credit_terms
from serving.domain.credit_limit import without_limit_growth as without_growth
from serving.domain.decision import AccountStanding, LimitBasis, Outcome, RepaidInvoice
from serving.domain.policy import LimitGrowthPolicy
from serving.domain.policy_reader import parse_policy
from serving.domain.reasons import reason_text
from serving.in_force.policy_activation import POLICY_FILE
from tests.builders import DAY, Row, a_customer, a_payment, an_adjustment, an_invoice, an_order, ms
from tests.serving.checkout.test_domain import APPLICANT, AS_OF, GOOD, ORDER

GROWTH = LimitGrowthPolicy(
    counts_after_days=14,
    counted_from_cents=2_000,
    largest_paid_multiple_percent=500,
    repaid_multiple_percent=200,
)
POLICY = replace(parse_policy(POLICY_FILE.read_text()), limit_growth=GROWTH)
SCORE = 600
BAND = next(band for band in POLICY.limits if band.from_points == 560)
NOW = ms("2026-06-01")
Rows = dict[str, list[Row]]


def standing_of(*rows: Row) -> AccountStanding:
    """What the ledger rows of invoices, payments and adjustments come to."""
    by_contract: Rows = {"customers": [a_customer(at=NOW - 900 * DAY)]}
    for row in rows:
        kind = row["event_id"].split("-")[0]
        contract = {"payment": "invoice_payments", "adjustment": "invoice_adjustments"}.get(kind, "invoices")
        by_contract.setdefault(contract, []).append(row)
    order = an_order(at=NOW)
    return inputs_at(
        by_contract, order, reserved_cents=0, as_of_ms=NOW, feature_set=None, terms=USUAL_TERMS
    ).standing


def paid(number: int, cents: int, *, days_ago: int = 30, late_days: int = -7) -> list[Row]:
    """An invoice and its payment, `days_ago`, by default seven days before it was due."""
    paid_at = NOW - days_ago * DAY
    due_at = paid_at - late_days * DAY
    return [
        an_invoice(
            f"i{number}",
            at=min(due_at - 14 * DAY, paid_at),
            due_at=due_at,
            amount_cents=cents,
            event_id=f"invoice-{number}",
        ),
        a_payment(f"i{number}", at=paid_at, amount_cents=cents, event_id=f"payment-{number}"),
    ]


def many(count: int, cents: int, **more: int) -> list[Row]:
    return [row for number in range(count) for row in paid(number, cents, **more)]


def terms_of(*rows: Row) -> CreditTerms:
    return credit_terms(SCORE, standing_of(*rows), POLICY)


BIG = paid(1, 40_000)
LATER = NOW - 29 * DAY
PAID_BACK: Any = {"kind": "refund", "reason": "overpayment"}


@pytest.mark.parametrize(
    "rows",
    [
        paid(1, 100),
        many(5, 100),
        many(100, 1_999),
        many(100, 5_000, days_ago=40),
        # Paid long ago, but paid in full only yesterday; and one that is not yet 14 days old.
        [*paid(1, 40_000, days_ago=1)],
        [*paid(1, 40_000, days_ago=13)],
        # Paid and paid back at once, with and without the credit note beside it.
        [*BIG, an_adjustment("i1", at=LATER, kind="refund", amount_cents=40_000, event_id="adjustment-1")],
        [
            *BIG,
            an_adjustment("i1", at=LATER, kind="credit_note", amount_cents=40_000, event_id="adjustment-1"),
            an_adjustment("i1", at=LATER, amount_cents=40_000, event_id="adjustment-2", **PAID_BACK),
        ],
        # Credited nearly whole, a cent paid; credited whole.
        [
            an_invoice("i1", at=LATER - DAY, amount_cents=40_000, event_id="invoice-1"),
            an_adjustment("i1", at=LATER - DAY, amount_cents=39_999, event_id="adjustment-1"),
            a_payment("i1", at=LATER, amount_cents=1, event_id="payment-1"),
        ],
        [BIG[0], an_adjustment("i1", at=LATER, amount_cents=40_000, event_id="adjustment-1")],
        # An over-payment counts no more than the invoice.
        [
            an_invoice("i1", at=LATER, amount_cents=100, event_id="invoice-1"),
            a_payment("i1", at=LATER, amount_cents=100_000, event_id="payment-1"),
        ],
        # The payment was booked wrongly, and the correction says a cent.
        [
            *BIG,
            a_payment("i1", at=LATER, amount_cents=1, event_id="payment-corrected", corrects="payment-1"),
        ],
        # Paid in part only.
        [BIG[0], {**BIG[1], "amount_cents": 39_000}],
        # Paid, but late: no invoice was paid on time.
        paid(1, 40_000, late_days=30),
    ],
)
def test_what_farms_no_limit_leaves_that_of_a_stranger(rows: list[Row]) -> None:
    terms = terms_of(*rows)
    assert (terms.limit_cents, terms.limit_basis) == (BAND.stranger_cents, LimitBasis.FIRST_ORDERS)


@pytest.mark.parametrize(
    ("rows", "cents", "basis"),
    [
        (paid(1, 20_000), 40_000, LimitBasis.SUM_REPAID),
        (paid(1, 20_000, days_ago=14), 40_000, LimitBasis.SUM_REPAID),
        (many(20, 6_000), 30_000, LimitBasis.LARGEST_INVOICE_PAID),
        # What was paid late counts towards the sum and not as the largest.
        ([*many(4, 6_000), *paid(9, 30_000, late_days=30)], 30_000, LimitBasis.LARGEST_INVOICE_PAID),
        ([*paid(8, 10_000), *paid(9, 30_000, late_days=30)], 50_000, LimitBasis.LARGEST_INVOICE_PAID),
        (many(5, 60_000), BAND.established_cents, LimitBasis.SCORE_AND_HISTORY),
        # A return leaves what was kept and paid.
        (
            [
                *paid(1, 40_000),
                an_adjustment("i1", at=LATER, amount_cents=20_000, event_id="adjustment-1"),
                an_adjustment("i1", at=LATER, amount_cents=20_000, event_id="adjustment-2", **PAID_BACK),
            ],
            40_000,
            LimitBasis.SUM_REPAID,
        ),
    ],
)
def test_a_limit_is_the_smallest_of_what_bounds_it_and_says_which(
    rows: list[Row], cents: int, basis: LimitBasis
) -> None:
    terms = terms_of(*rows)
    assert (terms.limit_cents, terms.limit_basis) == (cents, basis)


def test_tiny_invoices_leave_the_cut_off_of_a_stranger_and_number_counts_by_amount() -> None:
    assert terms_of(*many(5, 1_999)).cut_off == POLICY.cut_off_stranger
    assert terms_of(*paid(1, 2_000)).cut_off == POLICY.cut_off_known
    assert terms_of(*paid(1, 9_999)).familiarity is Familiarity.KNOWN
    assert terms_of(*paid(1, 10_000)).familiarity is Familiarity.ESTABLISHED


def test_without_the_section_a_limit_goes_by_score_and_number_as_it_did() -> None:
    old = without_growth(POLICY)
    for count, cents in ((0, BAND.stranger_cents), (1, BAND.known_cents), (5, BAND.established_cents)):
        terms = credit_terms(SCORE, standing_of(*many(count, 100, days_ago=1)), old)
        assert (terms.limit_cents, terms.limit_basis) == (cents, None)
        assert terms.cut_off == (old.cut_off_known if count else old.cut_off_stranger)


def test_a_refusal_that_only_the_growth_of_the_limit_causes_says_so() -> None:
    standing = standing_of(*many(5, 100))
    good = changed(GOOD, score=SCORE)

    def refused(amount_cents: int) -> Any:
        order = changed(ORDER, amount_cents=amount_cents)
        decision = decide(order, APPLICANT, standing, good, POLICY, as_of=AS_OF)
        assert decision.outcome is Outcome.DECLINED
        assert [failure.code for failure in decision.failed_rules] == ["credit_limit"]
        assert [(step.code, step.sufficient) for step in decision.recourse] == [("stay_under_amount", True)]
        return decision.reasons[0]

    by_growth = refused(BAND.established_cents)
    assert by_growth.code == "limit_grows_with_repayment"
    assert reason_text(by_growth, "en") == (
        "The limit grows with what was repaid: EUR 250.00 is available now. "
        "An invoice counts 14 days after it was paid."
    )
    assert "wächst mit dem, was zurückgezahlt wurde" in reason_text(by_growth, "de")
    # Nor would the policy without its growth have granted so much.
    assert refused(BAND.established_cents + 1).code == "credit_limit"


@dataclass(frozen=True)
class Invoice:
    cents: int
    paid_cents: int
    days_ago: int
    late_days: int
    credited_cents: int
    refunded_cents: int


invoices = st.lists(
    st.builds(
        Invoice,
        cents=st.integers(1, 60_000),
        paid_cents=st.integers(0, 70_000),
        days_ago=st.integers(0, 40),
        late_days=st.integers(-14, 20),
        credited_cents=st.sampled_from([0, 0, 0, 500, 20_000]),
        refunded_cents=st.sampled_from([0, 0, 0, 500, 20_000]),
    ),
    min_size=1,
    max_size=8,
)


def rows_of(drawn: Sequence[Invoice]) -> list[Row]:
    rows = []
    for number, one in enumerate(drawn):
        invoice, payment = paid(number, one.cents, days_ago=one.days_ago, late_days=one.late_days)
        rows.append(invoice)
        at = payment["occurred_at"]
        if one.paid_cents:
            rows.append({**payment, "amount_cents": min(one.paid_cents, one.cents + 5_000)})
        for kind, cents in (("credit_note", one.credited_cents), ("refund", one.refunded_cents)):
            if cents:
                event_id = f"adjustment-{number}-{kind}"
                rows.append(
                    an_adjustment(
                        invoice["invoice_id"], at=at, kind=kind, amount_cents=cents, event_id=event_id
                    )
                )
    return rows


@given(invoices, st.integers(0, 7), st.integers(1, 60_000), st.integers(0, 40))
def test_more_repaid_never_lowers_a_limit(
    drawn: list[Invoice], which: int, cents: int, days_ago: int
) -> None:
    rows = rows_of(drawn)
    invoice_id = f"i{which % len(drawn)}"
    more = a_payment(invoice_id, at=NOW - days_ago * DAY - 1, amount_cents=cents, event_id="payment-more")
    before, after = terms_of(*rows), terms_of(*rows, more)
    assert after.limit_cents >= before.limit_cents
    assert after.cut_off <= before.cut_off


@given(invoices, st.data())
def test_a_repayment_that_is_taken_back_never_raises_a_limit(drawn: list[Invoice], data: Any) -> None:
    rows = rows_of(drawn)
    payments = [row for row in rows if row["event_id"].startswith("payment")]
    taken_back = an_adjustment(
        f"i{data.draw(st.integers(0, len(drawn) - 1))}",
        at=NOW - data.draw(st.integers(0, 40)) * DAY - 1,
        kind="refund",
        amount_cents=data.draw(st.integers(1, 60_000)),
        event_id="adjustment-taken-back",
    )
    before = terms_of(*rows).limit_cents
    assert terms_of(*rows, taken_back).limit_cents <= before
    if payments:
        gone = data.draw(st.sampled_from(payments))
        assert terms_of(*(row for row in rows if row is not gone)).limit_cents <= before


repaid_invoices = st.lists(
    st.builds(
        RepaidInvoice,
        repaid_cents=st.integers(1, 200_000),
        days_since_paid=st.integers(0, 30),
        on_time=st.booleans(),
    ),
    max_size=6,
)
growths = st.builds(
    LimitGrowthPolicy,
    counts_after_days=st.integers(0, 20),
    counted_from_cents=st.integers(1, 20_000),
    largest_paid_multiple_percent=st.integers(0, 2_000),
    repaid_multiple_percent=st.integers(0, 1_000),
)


@given(repaid_invoices, growths, st.integers(400, 800), st.data())
def test_the_same_sum_split_into_tinier_invoices_never_gives_a_higher_limit_nor_a_lower_cut_off(
    whole: list[RepaidInvoice], growth: LimitGrowthPolicy, score: int, data: Any
) -> None:
    policy = replace(POLICY, limit_growth=growth)
    split = []
    for one in whole:
        cuts = sorted(data.draw(st.lists(st.integers(0, one.repaid_cents), max_size=6)))
        ends = zip([0, *cuts], [*cuts, one.repaid_cents], strict=True)
        split += [one._replace(repaid_cents=high - low) for low, high in ends if high > low]
    unsplit, tinier = (
        credit_terms(
            score,
            AccountStanding(
                outstanding_cents=0,
                reserved_cents=0,
                overdue_invoices=(),
                paid_invoice_count=len(repaid),
                repaid_invoices=tuple(repaid),
            ),
            policy,
        )
        for repaid in (whole, split)
    )
    assert tinier.limit_cents <= unsplit.limit_cents
    assert tinier.cut_off >= unsplit.cut_off


IN_CROWNS: Any = {"currency": "CZK"}


@given(st.lists(st.tuples(st.integers(1, 100_000), st.booleans()), max_size=8), st.booleans())
def test_what_was_repaid_in_another_currency_raises_no_limit_and_what_is_owed_in_it_counts(
    invoices: list[tuple[int, bool]], owes: bool
) -> None:
    rows_of = [
        (is_foreign, [{**row, **(IN_CROWNS if is_foreign else {})} for row in paid(number, cents)])
        for number, (cents, is_foreign) in enumerate(invoices)
    ]
    own = [row for is_foreign, rows in rows_of if not is_foreign for row in rows]
    everything = [row for _, rows in rows_of for row in rows]
    if owes:
        everything.append({**an_invoice("i-open", at=NOW - DAY, event_id="invoice-open"), **IN_CROWNS})
    standing = standing_of(*everything)
    terms = credit_terms(SCORE, standing, POLICY, currency="EUR")
    alone = credit_terms(SCORE, standing_of(*own), POLICY, currency="EUR")
    assert (terms.limit_cents, terms.limit_basis, terms.familiarity) == (
        alone.limit_cents,
        alone.limit_basis,
        alone.familiarity,
    )
    assert (standing.outstanding_cents > 0) is owes
    decision = decide(ORDER, APPLICANT, standing, changed(GOOD, score=SCORE), POLICY, as_of=AS_OF)
    assert decision.limit_cents == alone.limit_cents


def test_an_invoice_counts_in_the_currency_that_its_correction_says() -> None:
    first, payment = paid(1, 40_000)
    corrected = {**first, **IN_CROWNS, "event_id": "invoice-corrected", "corrects": first["event_id"]}
    (repaid,) = standing_of(first, corrected, {**payment, **IN_CROWNS}).repaid_invoices
    assert repaid.currency == "CZK"
