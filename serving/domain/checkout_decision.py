"""`decide()`: from what is known to the answer at checkout."""

from datetime import UTC, date, datetime

from msgspec.structs import replace

from serving.domain import plausible_details
from serving.domain.alternatives import alternatives
from serving.domain.credit_limit import CreditTerms, credit_terms
from serving.domain.decision import (
    AccountStanding,
    Applicant,
    CreditAssessment,
    Decision,
    Order,
    Outcome,
    Reason,
    RuleFailure,
    TechnicalFailure,
    most_decisive,
)
from serving.domain.merchant_keys import MerchantKeyHoldings, approved_up_to_cents
from serving.domain.policy import Policy
from serving.domain.policy_rules import RuleInput, currency_of_limits, failed_rules, residence_of
from serving.domain.reasons import MAXIMUM_REASONS, adverse_reasons
from serving.domain.recourse import (
    CREDIT_LIMIT,
    MERCHANT_ORDER_AMOUNT,
    MERCHANT_ORDERS_OPEN,
    SCORE_TOO_LOW,
    Case,
    first_recourse_of,
    recourse_of,
)

JUDGEMENT_REVISION = 5
"""Raised whenever the same facts come to another answer under the same policy. A decision keeps the revision
that it was made under, and a replay judges under that one. 2: a mended order is judged again. 3: the policy's
amounts are named in the currency of the residence. 4: an address in a country that is not offered is no
implausible detail. 5: what was paid too much counts against what is overdue."""
FIRST_JUDGEMENT_REVISION = 1
AMOUNTS_NAMED_AS_AT_RESIDENCE = 3
COUNTRIES_OF_ORDER_JUDGED = 4
OVERPAYMENTS_COUNTED = 5
"""From these revisions on."""
LIMIT_GROWS = "limit_grows_with_repayment"
"""The reason for a refusal that only the growth of the limit causes; the failed rule is the limit all the
same."""


def local_date(as_of: datetime, applicant: Applicant | None, policy: Policy) -> date:
    """The date at the customer's residence; the UTC date where no residence with us is known."""
    country = residence_of(applicant, policy)
    return as_of.astimezone(country.zone if country else UTC).date()


def decide(
    order: Order,
    applicant: Applicant | None,
    standing: AccountStanding | TechnicalFailure,
    assessment: CreditAssessment | TechnicalFailure,
    policy: Policy,
    *,
    as_of: datetime,
    implausible_fields: tuple[str, ...] | None = None,
    revision: int = JUDGEMENT_REVISION,
    merchant_key: MerchantKeyHoldings | None = None,
) -> Decision:
    """Decide one order.

    applicant: None when the customer is unknown to us.
    standing, assessment: a TechnicalFailure where history or model cannot be had; the answer is then
        `declined` if a knock-out rule failed all the same, else `unavailable`.
    as_of: the moment of decision, aware UTC.
    implausible_fields: JSON pointers to the order's details that cannot be right; None to judge them now.
    revision: of the judgement; an earlier one for replays alone.
    merchant_key: what such orders hold, for an order that a merchant's own key places or asks about; None for
        all others.
    """
    if implausible_fields is None:
        implausible_fields = plausible_details.implausible_fields(order)
    case = Case(order=order, applicant=applicant, standing=standing, merchant_key=merchant_key)
    decision = _decide_without_recourse(case, assessment, policy, as_of, implausible_fields, revision)
    if decision.outcome is not Outcome.DECLINED:
        return decision

    def judged(case: Case, taken_as_mended: frozenset[str]) -> Decision:
        return _decide_without_recourse(
            case,
            assessment,
            policy,
            as_of,
            implausible_fields,
            revision,
            taken_as_mended=taken_as_mended,
        )

    named = first_recourse_of if revision == FIRST_JUDGEMENT_REVISION else recourse_of
    return replace(decision, recourse=named(decision, case, judged, policy, as_of))


def _decide_without_recourse(
    case: Case,
    assessment: CreditAssessment | TechnicalFailure,
    policy: Policy,
    as_of: datetime,
    implausible_fields: tuple[str, ...],
    revision: int,
    *,
    taken_as_mended: frozenset[str] = frozenset(),
) -> Decision:
    """The decision itself.

    taken_as_mended: codes of knock-out rules to leave out, because only the customer or time can say what
        holds once they are mended.
    """
    order, applicant, standing = case.order, case.applicant, case.standing
    known_standing = standing if isinstance(standing, AccountStanding) else None
    known_assessment = assessment if isinstance(assessment, CreditAssessment) else None
    failures = failed_rules(
        RuleInput(
            order=order,
            applicant=applicant,
            standing=known_standing,
            policy=policy,
            as_of=as_of,
            local_date=local_date(as_of, applicant, policy),
            implausible_fields=implausible_fields,
            judges_countries_of_order=revision >= COUNTRIES_OF_ORDER_JUDGED,
            names_amounts_as_ordered=revision < AMOUNTS_NAMED_AS_AT_RESIDENCE,
        )
    )
    if taken_as_mended:
        failures = tuple(failure for failure in failures if failure.code not in taken_as_mended)
    technical = next((part for part in (standing, assessment) if isinstance(part, TechnicalFailure)), None)
    terms: CreditTerms | None = None
    available_cents: int | None = None
    if known_standing is not None and known_assessment is not None:
        terms = credit_terms(
            known_assessment.score,
            known_standing,
            policy,
            currency=currency_of_limits(order.currency, applicant, policy),
        )
        available_cents = max(terms.limit_cents - known_standing.exposure_cents, 0)
    reasons = most_decisive(failures, MAXIMUM_REASONS)
    if failures:
        outcome = Outcome.DECLINED
    elif technical is not None or known_standing is None or known_assessment is None or terms is None:
        outcome = Outcome.UNAVAILABLE
        code = technical.code if technical is not None else "service_incomplete"
        reasons = (Reason(code=code, group="technical"),)
    else:
        failures, reasons = _judge_credit(case, known_standing, known_assessment, policy, terms)
        outcome = Outcome.DECLINED if failures else Outcome.APPROVED
    score = known_assessment.score if known_assessment else None
    return Decision(
        outcome=outcome,
        score=score,
        probability_of_default=known_assessment.probability_of_default if known_assessment else None,
        limit_cents=None if terms is None else terms.limit_cents,
        available_cents=available_cents,
        limit_basis=None if terms is None else terms.limit_basis,
        reasons=reasons,
        failed_rules=failures,
        alternatives=(() if outcome is Outcome.APPROVED else alternatives(order, score, failures, policy)),
        recourse=(),
        policy_version=policy.version,
        degraded=technical is not None,
    )


def _judge_credit(
    case: Case,
    standing: AccountStanding,
    assessment: CreditAssessment,
    policy: Policy,
    terms: CreditTerms,
) -> tuple[tuple[RuleFailure, ...], tuple[Reason, ...]]:
    """Score and limit, once no knock-out rule failed."""
    order = case.order
    failures: list[RuleFailure] = []
    reasons: list[Reason] = []
    if assessment.score < terms.cut_off:
        failures.append(RuleFailure(code=SCORE_TOO_LOW, group="score", field=None))
        reasons += adverse_reasons(assessment, standing)
    total_cents = standing.exposure_cents + order.amount_cents
    if total_cents > terms.limit_cents:
        available_cents = max(terms.limit_cents - standing.exposure_cents, 0)
        data = (("available_cents", available_cents), ("currency", order.currency))
        over = RuleFailure(code=CREDIT_LIMIT, group="limit", field="/amount_cents", data=data)
        failures.append(over)
        if len(reasons) < MAXIMUM_REASONS:
            reasons.append(_limit_reason(over, total_cents, policy, terms))
    if case.merchant_key is not None:
        bounded = _beyond_a_merchants_key(order, case.merchant_key, standing, policy, terms)
        if total_cents > terms.limit_cents:
            # Then the limit itself is the reason.
            bounded = [one for one in bounded if one.code != MERCHANT_ORDER_AMOUNT]
        failures += bounded
        reasons += most_decisive(bounded, MAXIMUM_REASONS - len(reasons))
    return tuple(failures), tuple(reasons)


def _beyond_a_merchants_key(
    order: Order,
    holdings: MerchantKeyHoldings,
    standing: AccountStanding,
    policy: Policy,
    terms: CreditTerms,
) -> list[RuleFailure]:
    """What of the bounds of merchants' keys an order breaks; nothing under a policy without them."""
    bounds = policy.merchant_keys
    if bounds is None:
        return []
    broken = []
    if holdings.own_unconfirmed_orders >= bounds.unconfirmed_orders:
        data: tuple[tuple[str, str | int], ...] = (("unconfirmed_minutes", bounds.unconfirmed_minutes),)
        broken.append(RuleFailure(code=MERCHANT_ORDERS_OPEN, group="limit", field=None, data=data))
    up_to_cents = approved_up_to_cents(
        holdings, bounds, limit_cents=terms.limit_cents, exposure_cents=standing.exposure_cents
    )
    if order.amount_cents > up_to_cents:
        data = (("available_cents", up_to_cents), ("currency", order.currency))
        broken.append(
            RuleFailure(code=MERCHANT_ORDER_AMOUNT, group="limit", field="/amount_cents", data=data)
        )
    return broken


def _limit_reason(over: RuleFailure, total_cents: int, policy: Policy, terms: CreditTerms) -> Reason:
    growth = policy.limit_growth
    if growth is None or total_cents > terms.limit_without_growth_cents:
        return Reason(code=over.code, group=over.group, field=over.field, data=over.data)
    return Reason(
        code=LIMIT_GROWS,
        group=over.group,
        field=over.field,
        data=(*over.data, ("counts_after_days", growth.counts_after_days)),
    )
