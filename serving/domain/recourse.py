"""What would change the answer: for each failed rule the step that mends it, tried out by judging again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from serving.domain.decision import (
    AccountStanding,
    Applicant,
    Decision,
    Order,
    Outcome,
    Recourse,
    RuleFailure,
    TechnicalFailure,
)
from serving.domain.merchant_keys import MerchantKeyHoldings
from serving.domain.policy import Policy

CREDIT_LIMIT = "credit_limit"
MERCHANT_ORDER_AMOUNT = "merchant_order_amount"
MERCHANT_ORDERS_OPEN = "merchant_orders_open"
SCORE_TOO_LOW = "score_below_cut_off"
STAY_UNDER_AMOUNT = "stay_under_amount"
REACH_AMOUNT = "reach_amount"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision looks at, as it is or as it would be once mended.

    merchant_key: see `decide`.
    """

    order: Order
    applicant: Applicant | None
    standing: AccountStanding | TechnicalFailure
    merchant_key: MerchantKeyHoldings | None = None


@dataclass(frozen=True, kw_only=True)
class _Situation:
    case: Case
    failure: RuleFailure
    policy: Policy
    as_of: datetime

    def with_order(self, **changes: int | str) -> Case:
        return replace(self.case, order=replace(self.case.order, **changes))

    def with_applicant(self, **changes: object) -> Case:
        if self.case.applicant is None:
            return self.case
        applicant = replace(self.case.applicant, **changes)
        return replace(self.case, applicant=applicant)

    def whole_number(self, name: str) -> int:
        return int(dict(self.failure.data)[name])


def _invoice_settled(given: _Situation) -> Case:
    standing = given.case.standing
    if isinstance(standing, TechnicalFailure):
        return given.case
    invoice_id = dict(given.failure.data)["invoice_id"]
    left = tuple(invoice for invoice in standing.overdue_invoices if invoice.invoice_id != invoice_id)
    outstanding = max(standing.outstanding_cents - given.whole_number("outstanding_cents"), 0)
    return replace(
        given.case, standing=replace(standing, overdue_invoices=left, outstanding_cents=outstanding)
    )


def _identity_verified(given: _Situation) -> Case:
    return given.with_applicant(identity_status="verified", identity_document_expires_on=date.max)


def _email_confirmed(given: _Situation) -> Case:
    return given.with_applicant(email_confirmed=True)


def _phone_confirmed(given: _Situation) -> Case:
    return given.with_applicant(phone_confirmed=True)


def _personal_data_confirmed(given: _Situation) -> Case:
    return given.with_applicant(personal_data_confirmed_at=given.as_of)


def _in_currency(given: _Situation) -> Case:
    return given.with_order(currency=str(dict(given.failure.data)["currency"]))


def _amount_lowered(given: _Situation) -> Case:
    return given.with_order(amount_cents=given.policy.maximum_order_cents)


def _amount_raised(given: _Situation) -> Case:
    return given.with_order(amount_cents=given.policy.minimum_order_cents)


def _amount_within_limit(given: _Situation) -> Case | None:
    available_cents = given.whole_number("available_cents")
    if available_cents < given.policy.minimum_order_cents:
        return None
    return given.with_order(amount_cents=available_cents)


def _open_orders_finished(given: _Situation) -> Case:
    standing, holdings = given.case.standing, given.case.merchant_key
    if isinstance(standing, TechnicalFailure) or holdings is None:
        return given.case
    return replace(
        given.case,
        standing=replace(standing, reserved_cents=standing.reserved_cents - holdings.own_unconfirmed_cents),
        merchant_key=replace(holdings, own_unconfirmed_cents=0, own_unconfirmed_orders=0),
    )


Mend = Callable[[_Situation], Case | None]
"""How the case looks once a step is taken; None where the step does not exist in this situation."""

TAKEN_AS_MENDED: Mapping[str, str] = MappingProxyType(
    {"implausible_detail": "correct_field", "order_country_not_offered": "order_to_offered_country"}
)
"""Rules whose step cannot be tried out, because only the customer knows what the field will say."""
TAKES_TIME: Mapping[str, str] = MappingProxyType(
    {"under_age": "wait_for_age", "customer_unknown": "open_account"}
)
"""Rules whose step nobody can take today: what suffices with it cannot be said."""

_MENDS: Mapping[str, tuple[str, Mend]] = MappingProxyType(
    {
        "open_arrears": ("settle_invoice", _invoice_settled),
        "identity_not_verified": ("verify_identity", _identity_verified),
        "identity_document_expired": ("verify_identity", _identity_verified),
        "email_not_confirmed": ("confirm_email", _email_confirmed),
        "phone_not_confirmed": ("confirm_phone", _phone_confirmed),
        "personal_data_not_current": ("confirm_personal_data", _personal_data_confirmed),
        "other_currency": ("order_in_currency", _in_currency),
        "amount_too_large": (STAY_UNDER_AMOUNT, _amount_lowered),
        "amount_too_small": (REACH_AMOUNT, _amount_raised),
        CREDIT_LIMIT: (STAY_UNDER_AMOUNT, _amount_within_limit),
        MERCHANT_ORDER_AMOUNT: (STAY_UNDER_AMOUNT, _amount_within_limit),
        MERCHANT_ORDERS_OPEN: ("finish_open_orders", _open_orders_finished),
    }
)
"""The step for each failed rule that can be mended today, and how the case looks once it is taken."""


def recourse_of(
    declined: Decision,
    case: Case,
    judged: Callable[[Case, frozenset[str]], Decision],
    policy: Policy,
    as_of: datetime,
) -> tuple[Recourse, ...]:
    """The steps that mend a refusal, each `sufficient` where all of them together lead to an approval.

    The mended case is judged again, and what fails only then is mended too, until nothing more changes. So
    an order over 5,000.01 with 299.00 available is told to stay at or below 299.00, not 5,000.00: of several
    amounts the smallest is named. No amount is named where none helps: less than the smallest order is
    available, or something other than the score still refuses the mended case.

    judged: decides a case, leaving out the knock-out rules with the given codes.
    """
    steps: dict[tuple[object, ...], Recourse] = {}
    taken_as_mended: set[str] = set()
    can_suffice = True
    decision = declined
    while decision.failed_rules:
        before = case, set(taken_as_mended)
        for failure in decision.failed_rules:
            code, mended = _mended(_Situation(case=case, failure=failure, policy=policy, as_of=as_of))
            if code is None:
                can_suffice = False
                continue
            if mended is None:
                taken_as_mended.add(failure.code)
                can_suffice &= failure.code not in TAKES_TIME
            else:
                case = mended
            # An amount that was named before was larger: the later one stands for both.
            is_amount = code == STAY_UNDER_AMOUNT
            steps[(code,) if is_amount else (code, failure.field, failure.data)] = Recourse(
                code=code, field=failure.field, data=failure.data
            )
        if before == (case, taken_as_mended):
            break
        decision = judged(case, frozenset(taken_as_mended))
    is_approved = decision.outcome is Outcome.APPROVED
    only_score_refuses = {failure.code for failure in decision.failed_rules} == {SCORE_TOO_LOW}
    return tuple(
        replace(step, sufficient=is_approved and can_suffice)
        for step in steps.values()
        if is_approved or only_score_refuses or step.code not in {STAY_UNDER_AMOUNT, REACH_AMOUNT}
    )


def first_recourse_of(
    declined: Decision,
    case: Case,
    judged: Callable[[Case, frozenset[str]], Decision],
    policy: Policy,
    as_of: datetime,
) -> tuple[Recourse, ...]:
    """The steps as the first judgement revision named them: what failed at first is mended, and no more.

    Only for replays of decisions from then.
    """
    steps: list[Recourse] = []
    mended: Case | None = case
    for failure in declined.failed_rules:
        situation = _Situation(case=mended or case, failure=failure, policy=policy, as_of=as_of)
        is_limit = failure.code == CREDIT_LIMIT
        if is_limit and not situation.whole_number("available_cents"):
            mended = None
            continue
        code, better = _mended(situation)
        if is_limit:
            code = STAY_UNDER_AMOUNT
            better = situation.with_order(amount_cents=situation.whole_number("available_cents"))
        if code is None:
            mended = None
            continue
        steps.append(Recourse(code=code, field=failure.field, data=failure.data))
        if failure.code in TAKES_TIME:
            mended = None
        elif mended is not None and better is not None:
            mended = better
    is_sufficient = mended is not None and (
        judged(mended, frozenset(TAKEN_AS_MENDED)).outcome is Outcome.APPROVED
    )
    return tuple(replace(step, sufficient=is_sufficient) for step in steps)


def _mended(given: _Situation) -> tuple[str | None, Case | None]:
    """The step for a failure, None where there is none; and the case once it is taken, None where that
    cannot be tried out.
    """
    code = TAKEN_AS_MENDED.get(given.failure.code) or TAKES_TIME.get(given.failure.code)
    if code is not None:
        return code, None
    step = _MENDS.get(given.failure.code)
    if step is None:
        return None, None
    code, mend = step
    case = mend(given)
    return (None, None) if case is None else (code, case)
