"""The credit limit and the cut-off: by the score, and by what a customer has repaid.

A limit grows with amounts that were repaid, never with the number of tiny invoices: whoever splits what
they buy into smaller invoices reaches no higher limit with it.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from serving.domain.decision import AccountStanding, LimitBasis, RepaidInvoice
from serving.domain.policy import LimitBand, LimitGrowthPolicy, Policy


class Familiarity(enum.Enum):
    """How well we know a customer from what they paid."""

    STRANGER = "stranger"
    KNOWN = "known"
    ESTABLISHED = "established"


@dataclass(frozen=True, kw_only=True)
class CreditLimit:
    """A limit in minor units, and what it rests on.

    basis: None under a policy without [limit_growth].
    without_growth_cents: what the policy would grant if its limits did not grow with what was repaid.
    """

    cents: int
    basis: LimitBasis | None
    without_growth_cents: int


def without_limit_growth(policy: Policy) -> Policy:
    """The policy as it would be without its [limit_growth]; the same one where it has none."""
    return policy if policy.limit_growth is None else replace(policy, limit_growth=None)


def familiarity(standing: AccountStanding, policy: Policy) -> Familiarity:
    """How well the customer is known, by the numbers of the policy's [history].

    Without [limit_growth] every invoice paid in full counts once. With it, an invoice counts
    `counts_after_days` after it was paid, once for each time that `counted_from_cents` goes into what was
    repaid: with 20.00, an invoice over 19.99 counts nothing, one over 100.00 as much as five over 20.00.
    """
    growth = policy.limit_growth
    if growth is None:
        return _familiarity(standing.paid_invoice_count, policy)
    return _familiarity_grown(_counted(standing, growth), growth, policy)


def _familiarity(paid_invoices: int, policy: Policy) -> Familiarity:
    if paid_invoices >= policy.established_paid_invoices:
        return Familiarity.ESTABLISHED
    if paid_invoices >= policy.known_paid_invoices:
        return Familiarity.KNOWN
    return Familiarity.STRANGER


def _familiarity_grown(
    counted: Sequence[RepaidInvoice], growth: LimitGrowthPolicy, policy: Policy
) -> Familiarity:
    return _familiarity(sum(paid.repaid_cents // growth.counted_from_cents for paid in counted), policy)


def _counted(standing: AccountStanding, growth: LimitGrowthPolicy) -> list[RepaidInvoice]:
    return [paid for paid in standing.repaid_invoices if paid.days_since_paid >= growth.counts_after_days]


def cut_off(standing: AccountStanding, policy: Policy) -> int:
    """The score that is needed for invoice."""
    is_stranger = familiarity(standing, policy) is Familiarity.STRANGER
    return policy.cut_off_stranger if is_stranger else policy.cut_off_known


def credit_limit(score: int, standing: AccountStanding, policy: Policy) -> CreditLimit:
    """The customer's limit; 0 below the first score band.

    The band has an amount for strangers, known and established customers. With [limit_growth] the limit is
    at most the stated multiples of the largest invoice paid on time and of all that was repaid, and never
    below the band's amount for strangers: with multiples of 300 % and 150 %, an established customer who
    repaid 400.00 in all, the largest invoice on time being 120.00, has min(360.00, 600.00) = 360.00.
    """
    band = _band(score, policy)
    if band is None:
        basis = None if policy.limit_growth is None else LimitBasis.SCORE_AND_HISTORY
        return CreditLimit(cents=0, basis=basis, without_growth_cents=0)
    without_growth = _amount(band, _familiarity(standing.paid_invoice_count, policy))
    growth = policy.limit_growth
    if growth is None:
        return CreditLimit(cents=without_growth, basis=None, without_growth_cents=without_growth)
    counted = _counted(standing, growth)
    largest = max((paid.repaid_cents for paid in counted if paid.on_time), default=0)
    repaid = sum(paid.repaid_cents for paid in counted)
    bounds = (
        (_amount(band, _familiarity_grown(counted, growth, policy)), LimitBasis.SCORE_AND_HISTORY),
        (largest * growth.largest_paid_multiple_percent // 100, LimitBasis.LARGEST_INVOICE_PAID),
        (repaid * growth.repaid_multiple_percent // 100, LimitBasis.SUM_REPAID),
    )
    # Of equal bounds the first counts: min() keeps their order.
    cents, basis = min(bounds, key=lambda bound: bound[0])
    if cents <= band.stranger_cents:
        cents, basis = band.stranger_cents, LimitBasis.FIRST_ORDERS
    return CreditLimit(cents=cents, basis=basis, without_growth_cents=without_growth)


def _band(score: int, policy: Policy) -> LimitBand | None:
    reached = [band for band in policy.limits if score >= band.from_points]
    return reached[-1] if reached else None


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
