"""Reasons: from the model's contributions to at most four main reasons, and their words.

A reason never contradicts the facts: "late payments" is named only to someone who paid late.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType

from serving.domain.decision import AccountStanding, CreditAssessment, Reason, Recourse
from serving.domain.local_forms import local_amount, local_date
from serving.domain.text_files import FALLBACK_LANGUAGE, texts_by_code

MAXIMUM_REASONS = 4

Values = Mapping[str, float]


def _value(values: Values, default: float, *names: str) -> float:
    """The value of the first of these features that the row has: releases name the same thing differently."""
    return next((values[name] for name in names if name in values), default)


_STANDS_ON: Mapping[str, Callable[[Values], bool]] = MappingProxyType(
    {
        "late_payments": lambda v: (
            _value(v, 1, "late_payment_days_sum_730d", "late_payment_count_730d") > 0
            or _value(v, 0, "reminder_count_365d") > 0
        ),
        "open_overdue": lambda v: _value(v, 1, "overdue_invoice_count_last") > 0,
        "unpaid_balances": lambda v: _value(v, 1, "outstanding_cents_last") > 0,
        "many_credit_inquiries": lambda v: _value(v, 1, "credit_inquiry_count_365d") > 0,
        "high_utilisation": lambda v: _value(v, 1, "limit_utilisation_ratio_mean_185d") > 0,
        "arrears_elsewhere": lambda v: (
            _value(v, 1, "statement_past_due_over_0d_count_185d") > 0
            or _value(v, 0, "account_days_past_due_sum_last") > 0
        ),
        "low_repayment": lambda v: _value(v, 0, "statement_paid_ratio_185d") < 1,
        "frequent_instalments": lambda v: (
            _value(v, 1, "open_instalment_count_last") > 0 or _value(v, 0, "instalment_opened_count_365d") > 0
        ),
    }
)
"""What must be true of a customer before a reason may be named; a feature set without the feature passes.

A feature that is renamed gets its new name beside the old one: decisions of earlier releases are replayed.
"""


def adverse_reasons(assessment: CreditAssessment, standing: AccountStanding) -> list[Reason]:
    """The main reasons of a low score, most decisive first, at most four, at least one."""
    values = {part.feature: part.value for part in assessment.contributions}
    weight: defaultdict[tuple[str, str], float] = defaultdict(float)
    for part in assessment.contributions:
        weight[part.reason_code, part.group] += part.contribution
    ranked = sorted(weight.items(), key=lambda entry: (-entry[1], entry[0]))
    reasons = [
        Reason(code=code, group=group)
        for (code, group), added in ranked
        if added > 0 and (code not in _STANDS_ON or _STANDS_ON[code](values))
    ]
    if standing.paid_invoice_count > 0:
        reasons = [reason for reason in reasons if reason.code != "short_payment_history"] or reasons
    if not reasons:
        reasons = [Reason(code="short_payment_history", group="payment_history")]
    return reasons[:MAXIMUM_REASONS]


_TEXTS = texts_by_code("customer.reason")
_RECOURSE_TEXTS = texts_by_code("customer.recourse")
_DETAIL_WORDS = texts_by_code("customer.detail")

REASON_CODES = frozenset(_TEXTS)
RECOURSE_CODES = frozenset(_RECOURSE_TEXTS)
LANGUAGES = tuple(sorted(_TEXTS["no_model"]))
"""Those that have words for customers."""


def reason_text(reason: Reason, language: str) -> str:
    """A reason in the customer's language, in English where we have no words in it."""
    return _worded(_TEXTS[reason.code], reason.field, dict(reason.data), language)


def recourse_text(recourse: Recourse, language: str) -> str:
    """A step in the customer's language, in English where we have no words in it."""
    data = dict(recourse.data)
    for name in ("available_cents", "maximum_order_cents", "minimum_order_cents"):
        if name in data:
            data["amount_cents"] = data[name]
    return _worded(_RECOURSE_TEXTS[recourse.code], recourse.field, data, language)


def _worded(texts: Mapping[str, str], field: str | None, data: dict[str, str | int], language: str) -> str:
    language = language if language in texts else FALLBACK_LANGUAGE
    if "{" not in texts[language]:
        return texts[language].format()  # most reasons of a score fill in nothing
    currency = str(data.get("currency", ""))
    words: dict[str, str] = {"field": _field_words(field, language)}
    for name, value in data.items():
        if name.endswith("_cents"):
            # With plain blanks, as reasons have always been told and kept: replay compares them.
            words[name] = local_amount(int(value), currency, language).replace("\u00a0", " ")
        elif name in {"from_date", "expired_on"}:
            words[name] = local_date(date.fromisoformat(str(value)), language)
        else:
            words[name] = str(value)
    return texts[language].format_map(words)


def _field_words(field: str | None, language: str) -> str:
    return ", ".join(
        _DETAIL_WORDS[part][language] if part in _DETAIL_WORDS else part
        for part in (field or "").split("/")
        if part
    )
