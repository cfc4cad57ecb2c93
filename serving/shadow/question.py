"""What a model answers, in words: its two outcomes, and what an order can turn out to be."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from features import feature_sets
from serving.domain.decision import Outcome
from serving.store.shadow_progress import Subject


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a model answers. yes, no: its outcomes; the rate of `yes` is compared.

    bad: what an order can turn out to be. judged_when_no: whether that is known also where the champion
        said no.
    """

    subject: Subject
    yes: str
    no: str
    bad: str
    judged_when_no: bool


ELIGIBILITY = Question(
    subject=Subject.DECISION,
    yes=Outcome.APPROVED.value,
    no=Outcome.DECLINED.value,
    bad="not paid 60 days past due",
    judged_when_no=False,
)
ORDER_RISK = Question(
    subject=Subject.SCREENING, yes="flagged", no="clear", bad="confirmed fraud", judged_when_no=True
)
QUESTIONS: Mapping[str, Question] = MappingProxyType(
    {feature_sets.INVOICE_ELIGIBILITY.name: ELIGIBILITY, feature_sets.ORDER_RISK.name: ORDER_RISK}
)
"""What the shadow of each model answers, by the model's name."""
