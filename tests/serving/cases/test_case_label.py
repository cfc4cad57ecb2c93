"""What a verdict teaches: the table of labels."""

import itertools
import re
from dataclasses import replace

import pytest

from data_contracts.order_outcomes import ORDER_OUTCOMES
from serving.domain.case_label import CaseLabel, EstablishedBy, OrderOutcomeKind, label_of
from serving.domain.review_case import CaseOrigin, ContactOutcome, Verdict
from tests.serving.cases.an_open_case import POLICY

UPHELD, REJECTED = OrderOutcomeKind.STOP_REQUEST_UPHELD, OrderOutcomeKind.STOP_REQUEST_REJECTED
LET_GO = OrderOutcomeKind.REVIEW_RELEASED


def label(
    verdict: Verdict | None,
    contact: ContactOutcome | None = None,
    merchant_answer_upheld: bool | None = None,
    origin: CaseOrigin = CaseOrigin.FLAGGED,
) -> CaseLabel | None:
    return label_of(
        origin=origin,
        verdict=verdict,
        contact=contact,
        merchant_answer_upheld=merchant_answer_upheld,
        policy=POLICY,
    )


def documented_rows() -> dict[tuple[str, str, str], tuple[str, str, str]]:
    """The table in the docstring of label_of, with every group of cells written out."""
    not_asked = ("not asked", "unreachable")
    customers = {
        "any": ("confirmed", "denied", *not_asked),
        "not asked, unr.": not_asked,
        "not denied": ("confirmed", *not_asked),
    }
    answers = {"any": ("upheld", "rejected", "none"), "upheld or none": ("upheld", "none")}
    rows = {}
    for line in re.findall(r"^ +\| (.+) \|$", label_of.__doc__ or "", flags=re.MULTILINE)[1:]:
        verdict, customer, answer, *result = (cell.strip() for cell in line.split("|"))
        for key in itertools.product(
            [verdict], customers.get(customer, (customer,)), answers.get(answer, (answer,))
        ):
            assert key not in rows, f"{key} stands in the table twice"
            rows[key] = (result[0], result[1], result[2])
    return rows


@pytest.mark.parametrize("verdict", [None, *Verdict])
@pytest.mark.parametrize("contact", [None, *ContactOutcome])
@pytest.mark.parametrize("merchant_answer_upheld", [None, True, False])
def test_a_verdict_means_for_the_labels_what_the_table_says(
    verdict: Verdict | None, contact: ContactOutcome | None, merchant_answer_upheld: bool | None
) -> None:
    key = (
        verdict.value if verdict else "none",
        contact.value if contact else "not asked",
        {None: "none", True: "upheld", False: "rejected"}[merchant_answer_upheld],
    )
    kind, is_high_risk, established_by = documented_rows()[key]
    expected = None
    if kind != "none":
        expected = CaseLabel(
            kind=OrderOutcomeKind(kind),
            is_high_risk={"yes": True, "no": False}[is_high_risk],
            established_by=EstablishedBy(established_by),
            represented_orders=1.0,
        )
    assert label(verdict, contact, merchant_answer_upheld) == expected


def test_a_reviewers_stop_alone_proves_nothing() -> None:
    assert label(Verdict.STOP) is None


def test_a_sampled_verdict_stands_for_the_orders_among_which_it_was_drawn() -> None:
    released = label(Verdict.RELEASED, origin=CaseOrigin.SAMPLED)
    assert released is not None
    assert (released.kind, released.is_high_risk, released.represented_orders) == (LET_GO, False, 100.0)
    missed = label(Verdict.STOP, ContactOutcome.DENIED, origin=CaseOrigin.SAMPLED)
    assert missed is not None
    assert (missed.kind, missed.is_high_risk, missed.represented_orders) == (UPHELD, True, 100.0)


def test_a_requested_review_of_a_refusal_teaches_nothing_about_fraud() -> None:
    for verdict, answer in itertools.product(Verdict, (None, True, False)):
        origin = CaseOrigin.REVIEW_REQUESTED
        assert label(verdict, ContactOutcome.DENIED, answer, origin) is None


def test_an_order_without_a_sample_can_still_be_labelled() -> None:
    no_sample = replace(POLICY, sample_share=0.0)
    assert label_of(
        origin=CaseOrigin.FLAGGED,
        verdict=Verdict.STOP,
        contact=None,
        merchant_answer_upheld=False,
        policy=no_sample,
    ) == CaseLabel(
        kind=REJECTED, is_high_risk=False, established_by=EstablishedBy.MERCHANT, represented_orders=1.0
    )


def test_every_outcome_of_a_case_is_one_that_the_ledger_takes() -> None:
    kinds = next(column for column in ORDER_OUTCOMES.own_columns if column.name == "kind")
    assert {kind.value for kind in OrderOutcomeKind} <= set(kinds.allowed or ())
