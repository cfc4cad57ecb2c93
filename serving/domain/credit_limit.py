"""The credit limit and the cut-off: by the score, and by what a customer has repaid.

A limit grows with amounts that were repaid, never with the number of tiny invoices: whoever splits what
they buy into smaller invoices reaches no higher limit with it.
"""

import enum
from dataclasses import replace
from typing import assert_never

import msgspec

from serving.domain.decision import AccountStanding, LimitBasis
from serving.domain.policy import LimitBand, Policy


class Familiarity(enum.Enum):
    """How well we know a customer from what they paid."""

    STRANGER = "stranger"
    KNOWN = "known"
    ESTABLISHED = "established"


class CreditTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy grants a customer with a score. Amounts in minor units.

    cut_off: the score that is needed for invoice.
    limit_basis: what bounds the limit; None under a policy without [limit_growth].
    limit_without_growth_cents: what the limit would be if it did not grow with what was repaid.
    """

    familiarity: Familiarity
    cut_off: int
    limit_cents: int
    limit_basis: LimitBasis | None
    limit_without_growth_cents: int


def without_limit_growth(policy: Policy) -> Policy:
    """The policy as it would be without its [limit_growth]; the same one where it has none."""
    return policy if policy.limit_growth is None else replace(policy, limit_growth=None)


def credit_terms(
    score: int, standing: AccountStanding, policy: Policy, *, currency: str | None = None
) -> CreditTerms:
    """The cut-off and the limit, which is 0 below the first score band.

    A band has an amount for strangers, for known and for established customers. Without [limit_growth] every
    invoice paid in full counts once towards being known, and the band's amount is the limit.

    With it, an invoice counts `counts_after_days` after it was paid, once for each time that
    `counted_from_cents` goes into what was repaid: with 20.00, an invoice over 19.99 counts nothing, one over
    100.00 as much as five over 20.00. And the limit is at most the stated multiples of the largest invoice
    paid on time and of all that was repaid, but never below the band's amount for strangers: with 500 % and
    200 %, who repaid 400.00 in all, the largest invoice on time being 120.00, has at most
    min(600.00, 800.00) = 600.00.

    currency: of the limits at the customer's residence: a limit does not grow with what was repaid in
        another. None: every currency counts.
    """
    by_number = _familiarity(standing.paid_invoice_count, policy)
    band = _band(score, policy)
    without_growth = 0 if band is None else _amount(band, by_number)
    growth = policy.limit_growth
    if growth is None:
        return _terms(by_number, policy, without_growth, None, without_growth)
    number = largest = repaid = 0
    for paid in standing.repaid_invoices:
        # What has no currency was kept by a decision of earlier days, and counted.
        counts = currency is None or paid.currency is None or paid.currency == currency
        if counts and paid.days_since_paid >= growth.counts_after_days:
            number += paid.repaid_cents // growth.counted_from_cents
            repaid += paid.repaid_cents
            if paid.on_time and paid.repaid_cents > largest:
                largest = paid.repaid_cents
    known_as = _familiarity(number, policy)
    if band is None:
        return _terms(known_as, policy, 0, LimitBasis.SCORE_AND_HISTORY, 0)
    # Of equal bounds the first is named.
    limit, basis = _amount(band, known_as), LimitBasis.SCORE_AND_HISTORY
    by_largest = largest * growth.largest_paid_multiple_percent // 100
    if by_largest < limit:
        limit, basis = by_largest, LimitBasis.LARGEST_INVOICE_PAID
    by_sum = repaid * growth.repaid_multiple_percent // 100
    if by_sum < limit:
        limit, basis = by_sum, LimitBasis.SUM_REPAID
    if limit <= band.stranger_cents:
        limit, basis = band.stranger_cents, LimitBasis.FIRST_ORDERS
    return _terms(known_as, policy, limit, basis, without_growth)


def _terms(
    known_as: Familiarity, policy: Policy, limit: int, basis: LimitBasis | None, without_growth: int
) -> CreditTerms:
    is_stranger = known_as is Familiarity.STRANGER
    return CreditTerms(
        familiarity=known_as,
        cut_off=policy.cut_off_stranger if is_stranger else policy.cut_off_known,
        limit_cents=limit,
        limit_basis=basis,
        limit_without_growth_cents=without_growth,
    )


def _familiarity(paid_invoices: int, policy: Policy) -> Familiarity:
    if paid_invoices >= policy.established_paid_invoices:
        return Familiarity.ESTABLISHED
    if paid_invoices >= policy.known_paid_invoices:
        return Familiarity.KNOWN
    return Familiarity.STRANGER


def _band(score: int, policy: Policy) -> LimitBand | None:
    reached = None
    for band in policy.limits:
        if score >= band.from_points:
            reached = band
    return reached


def _amount(band: LimitBand, known_as: Familiarity) -> int:
    match known_as:
        case Familiarity.STRANGER:
            return band.stranger_cents
        case Familiarity.KNOWN:
            return band.known_cents
        case Familiarity.ESTABLISHED:
            return band.established_cents
        case _:
            assert_never(known_as)
