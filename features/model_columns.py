"""What a model says of each of its columns: enough to judge and explain stored features later.

A model serves only while this code computes its features. Its decisions are kept for longer, so that a model
folder must say by itself what its columns mean, whatever becomes of their declarations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from features.declarations import Feature
from features.feature_sets import FEATURE_SETS

_PAYMENT_HISTORY = "payment_history"


@dataclass(frozen=True, kw_only=True)
class ModelColumn:
    """One feature as a model reads it; the words and codes are those of its declaration at training.

    group, direction: values of FeatureGroup and Direction, as text because they may exist no more.
    missing_means: empty where it is not known.
    """

    name: str
    reason_code: str
    group: str
    unit: str
    direction: str
    description: str
    missing_means: str = ""

    @classmethod
    def of(cls, feature: Feature) -> "ModelColumn":
        """The column of a feature that is declared."""
        return cls(
            name=feature.name,
            reason_code=feature.reason_code,
            group=feature.group.value,
            unit=feature.unit,
            direction=feature.direction.value,
            description=feature.description,
            missing_means=feature.missing_means,
        )

    def to_json(self) -> dict[str, str]:
        """The column as model.json keeps it."""
        return asdict(self)


class UnknownColumnError(ValueError):
    """A model names a feature without saying what it means, and no release that we know of declared it."""


def columns_of(features: Sequence[Feature]) -> tuple[ModelColumn, ...]:
    """The columns of declared features, in their order."""
    return tuple(ModelColumn.of(feature) for feature in features)


def columns_from(entries: Sequence[Any]) -> tuple[ModelColumn, ...]:
    """The columns that a model.json lists, in their order.

    entries: what `to_json` gave, or only the name, as the first releases wrote it.
    Raises UnknownColumnError, and KeyError or TypeError for an entry that is neither.
    """
    return tuple(
        _known_column(entry) if isinstance(entry, str) else ModelColumn(**entry) for entry in entries
    )


def _known_column(name: str) -> ModelColumn:
    declared = _DECLARED.get(name)
    first = _OF_THE_FIRST_RELEASES.get(name)
    if first is not None:
        reason_code, unit, direction = first
        return ModelColumn(
            name=name,
            reason_code=reason_code,
            group=_GROUP_OF.get(name, _PAYMENT_HISTORY),
            unit=unit,
            direction=direction,
            description="no longer computed" if declared is None else declared.description,
            missing_means="" if declared is None else declared.missing_means,
        )
    if declared is None:
        raise UnknownColumnError(f"nothing is known of its feature {name}")
    return declared


_DECLARED: Mapping[str, ModelColumn] = MappingProxyType(
    {
        feature.name: ModelColumn.of(feature)
        for feature_set in FEATURE_SETS.values()
        for feature in feature_set.features
    }
)

_GROUP_OF: Mapping[str, str] = MappingProxyType(
    {
        "statement_days_past_due_mean_95d": "balances",
        "statement_days_past_due_mean_185d": "balances",
        "open_account_count_last": "account_age",
    }
)
"""The group of those features of the first releases that are no payment history."""

_OF_THE_FIRST_RELEASES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        name: meaning
        for meaning, names in {
            ("late_payments", "count", "higher_is_worse"): (
                "late_payment_count_90d",
                "late_payment_count_180d",
                "late_payment_count_365d",
                "late_payment_count_730d",
                "late_payment_over_14d_count_365d",
                "late_payment_over_30d_count_365d",
                "late_payment_over_60d_count_730d",
                "reminder_count_365d",
            ),
            ("late_payments", "days", "higher_is_worse"): (
                "late_payment_days_sum_90d",
                "late_payment_days_sum_365d",
                "payment_delay_days_mean_90d",
                "payment_delay_days_mean_365d",
            ),
            ("late_payments", "ratio", "higher_is_better"): (
                "on_time_payment_ratio_180d",
                "on_time_payment_ratio_730d",
            ),
            ("short_payment_history", "count", "higher_is_better"): ("on_time_payment_count_730d",),
            ("short_payment_history", "count", "none"): ("due_invoice_count_365d",),
            ("short_payment_history", "cents", "none"): (
                "invoiced_cents_sum_35d",
                "invoiced_cents_sum_65d",
                "invoiced_cents_sum_95d",
                "invoiced_cents_sum_185d",
            ),
            ("unpaid_balances", "ratio", "higher_is_better"): (
                "paid_ratio_35d",
                "paid_ratio_65d",
                "paid_ratio_95d",
                "paid_ratio_185d",
                "paid_ratio_365d",
            ),
            ("unpaid_balances", "cents", "higher_is_worse"): ("outstanding_cents_last",),
            ("unpaid_balances", "ratio", "higher_is_worse"): ("outstanding_ratio_365d",),
            ("open_overdue", "cents", "higher_is_worse"): ("overdue_cents_last",),
            ("open_overdue", "count", "higher_is_worse"): ("overdue_invoice_count_last",),
            ("open_overdue", "days", "higher_is_worse"): ("overdue_days_sum_last",),
            ("arrears_elsewhere", "days", "higher_is_worse"): (
                "statement_days_past_due_mean_95d",
                "statement_days_past_due_mean_185d",
            ),
            ("few_accounts", "count", "none"): ("open_account_count_last",),
        }.items()
        for name in names
    }
)
"""Reason code, unit and direction of features that models of the first releases name and no more.

It goes before today's declarations: a reason that was given then must come out again, also where the feature
of that name has another reason code by now. Never changed; a model from now on says for itself.
"""
