"""What would change the answer: for each failed rule the step that mends it, and the case once mended."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from types import MappingProxyType

from serving.domain.decision import (
    AccountStanding,
    Applicant,
    Order,
    Recourse,
    RuleFailure,
    TechnicalFailure,
)
from serving.domain.policy import Policy


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a decision looks at, as it is or as it would be once mended."""

    order: Order
    applicant: Applicant | None
    standing: AccountStanding | TechnicalFailure


@dataclass(frozen=True, kw_only=True)
class _Situation:
    case: Case
    failure: RuleFailure
    policy: Policy
    as_of: datetime

    def with_order(self, **changes: int | str) -> Case:
        return replace(self.case, order=replace(self.case.order, **changes))  # type: ignore[arg-type]  # fields of Order

    def with_applicant(self, **changes: object) -> Case:
        if self.case.applicant is None:
            return self.case
        applicant = replace(self.case.applicant, **changes)  # type: ignore[arg-type]  # fields of Applicant
        return replace(self.case, applicant=applicant)

    def whole_number(self, name: str) -> int:
        return int(dict(self.failure.data)[name])


def _invoice_settled(given: _Situation) -> Case:
    standing = given.case.standing
    if isinstance(standing, TechnicalFailure):
        return given.case
    invoice_id = dict(given.failure.data)["invoice_id"]
    left = tuple(invoice for invoice in standing.overdue_invoices if invoice.invoice_id != invoice_id)
    outstanding = standing.outstanding_cents - given.whole_number("outstanding_cents")
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


def _amount_within_limit(given: _Situation) -> Case:
    return given.with_order(amount_cents=given.whole_number("available_cents"))


def _as_it_is(given: _Situation) -> Case:
    return given.case


Mend = Callable[[_Situation], Case]

_STEPS: Mapping[str, tuple[str, Mend | None]] = MappingProxyType(
    {
        "open_arrears": ("settle_invoice", _invoice_settled),
        "identity_not_verified": ("verify_identity", _identity_verified),
        "identity_document_expired": ("verify_identity", _identity_verified),
        "email_not_confirmed": ("confirm_email", _email_confirmed),
        "phone_not_confirmed": ("confirm_phone", _phone_confirmed),
        "personal_data_not_current": ("confirm_personal_data", _personal_data_confirmed),
        "other_currency": ("order_in_currency", _in_currency),
        "amount_too_large": ("stay_under_amount", _amount_lowered),
        "amount_too_small": ("reach_amount", _amount_raised),
        "credit_limit": ("stay_under_amount", _amount_within_limit),
        "implausible_detail": ("correct_field", _as_it_is),
        "under_age": ("wait_for_age", None),
        "customer_unknown": ("open_account", None),
    }
)
"""The step for each failed rule, and how the case looks once it is taken; None when time must pass."""


def recourse_of(
    failures: Sequence[RuleFailure], case: Case, policy: Policy, as_of: datetime
) -> tuple[tuple[Recourse, ...], Case | None]:
    """The steps that mend the failures, and the case once all are taken.

    The case is None where a failure has no step, or one that cannot be tried out today.
    """
    steps: list[Recourse] = []
    mended: Case | None = case
    for failure in failures:
        is_limit_used_up = failure.code == "credit_limit" and not dict(failure.data)["available_cents"]
        code, mend = _STEPS.get(failure.code, (None, None))
        if code is None or is_limit_used_up:
            mended = None
            continue
        steps.append(Recourse(code=code, field=failure.field, data=failure.data))
        if mend is None:
            mended = None
        elif mended is not None:
            mended = mend(_Situation(case=mended, failure=failure, policy=policy, as_of=as_of))
    return tuple(steps), mended
