"""Which features each model reads: a tuple of declarations under version control."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from types import MappingProxyType

from features.account_age import ACCOUNT_AGE_FEATURES
from features.balances import BALANCE_FEATURES
from features.credit_inquiries import CREDIT_INQUIRY_FEATURES
from features.declarations import (
    FACT_COLUMNS,
    ORDER_FACT_OF,
    PROTECTED_SOURCES,
    Direction,
    Feature,
    Measure,
    Purpose,
)
from features.order_context import AFTER_APPROVAL_FEATURES, ORDER_CONTEXT_FEATURES, ORDER_HISTORY_FEATURES
from features.payment_history import PAYMENT_HISTORY_FEATURES
from features.settlement_terms import USUAL_TERMS, SettlementTerms
from features.velocity import CONFIRMED_FRAUD_FEATURES, VELOCITY_FEATURES

ENGINE_REVISION = 2
"""Raised by hand when the derivation of facts changes the value of a feature that keeps its declaration.

2: of the rows of one thing the one that happened last stands; grace and materiality; only money received on
time helps.
"""


LINK_REVISION = 2
"""Raised by hand when the keys that link orders change, in the same way; only fraud features rest on them.

2: one form of every text; mailboxes and telephones; a value that very many share links nobody.
"""

LINKED_CUSTOMERS_MAXIMUM = 50
"""A device, address, mailbox or telephone of more customers links nobody; a policy may say another number."""


class NotAllowedFeatureError(Exception):
    """A feature set may not hold this feature."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureSet:
    """The features of one model, in the order of its columns.

    terms: when an invoice counts as paid and as late; the policy's, under which a model is trained.
    linked_customers_maximum: what more customers share links nobody; the policy's too.
    Raises NotAllowedFeatureError for a feature of another purpose, one that is named after a
    protected attribute or a proxy of one, a directed feature that can be missing, or a name twice.
    """

    name: str
    purpose: Purpose
    features: tuple[Feature, ...]
    terms: SettlementTerms = USUAL_TERMS
    linked_customers_maximum: int = LINKED_CUSTOMERS_MAXIMUM

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        if len(set(names)) != len(names):
            raise NotAllowedFeatureError(f"{self.name} names a feature twice")
        for feature in self.features:
            self._refuse_if_not_allowed(feature)

    def _refuse_if_not_allowed(self, feature: Feature) -> None:
        if feature.purpose is not self.purpose:
            raise NotAllowedFeatureError(
                f"{feature.name} is declared for {feature.purpose.value}, {self.name} is {self.purpose.value}"
            )
        if self.purpose is Purpose.CREDIT:
            columns = {column for measure in feature.measures() for column in columns_of(measure)}
            for source in PROTECTED_SOURCES:
                if source in feature.name or source in columns:
                    raise NotAllowedFeatureError(f"{feature.name} reads {source}, which is protected")
        is_missing_when_empty = math.isnan(feature.when_empty)
        if feature.direction is not Direction.NONE and is_missing_when_empty:
            raise NotAllowedFeatureError(f"{feature.name} has a direction, so it may not be missing")

    def under(self, terms: SettlementTerms) -> "FeatureSet":
        """The same features with invoices judged by other terms; this set itself where they are the same."""
        return self if terms == self.terms else replace(self, terms=terms)

    def linking(self, customers_maximum: int) -> "FeatureSet":
        """The same features where what more customers share links nobody; always the same object."""
        return (
            self if customers_maximum == self.linked_customers_maximum else _linking(self, customers_maximum)
        )

    @cached_property
    def crosses_customers(self) -> bool:
        """Whether a feature reads orders of other customers, by what they share."""
        kinds = {measure.fact for feature in self.features for measure in feature.measures()}
        return not kinds.isdisjoint(ORDER_FACT_OF.values())

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The features' names, in column order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def version_under_terms(self) -> str:
        """The version, with the terms where they are not the usual: what decisions name."""
        return version_under_terms(self.version, self.terms)

    @cached_property
    def version(self) -> str:
        """A fingerprint of all in the code that decides a feature's value; a model serves only under its own.

        The terms are policy, and a model keeps them beside it.
        """
        text = "\n".join(
            repr(
                (
                    feature.name,
                    feature.numerator,
                    feature.numerator_plus,
                    feature.denominator,
                    feature.denominator_plus,
                    feature.scale,
                    feature.when_empty,
                )
            )
            for feature in self.features
        )
        kinds = {measure.fact for feature in self.features for measure in feature.measures()}
        columns = repr(sorted((kind.value, FACT_COLUMNS[kind]) for kind in kinds))
        revision = str(ENGINE_REVISION)
        if self.crosses_customers:
            revision += f" links {LINK_REVISION}"
        return hashlib.sha256(f"{revision}\n{columns}\n{text}".encode()).hexdigest()[:12]

    @cached_property
    def _distinct_measures(self) -> tuple[Measure, ...]:
        return tuple(dict.fromkeys(measure for feature in self.features for measure in feature.measures()))

    def distinct_measures(self) -> tuple[Measure, ...]:
        """Every measure that the features need, each once, in order of first use."""
        return self._distinct_measures


@lru_cache(maxsize=8)
def _linking(feature_set: FeatureSet, customers_maximum: int) -> FeatureSet:
    return replace(feature_set, linked_customers_maximum=customers_maximum)


def version_under_terms(version: str, terms: SettlementTerms) -> str:
    """A feature set's version with the terms, where they are not the usual.

    >>> version_under_terms("0123456789ab", SettlementTerms(materiality_cents=300, grace_days=5))
    '0123456789ab-300c-5d'
    """
    return version if terms == USUAL_TERMS else f"{version}-{terms.materiality_cents}c-{terms.grace_days}d"


def columns_of(measure: Measure) -> tuple[str, ...]:
    """The fact columns that a measure reads."""
    names = (measure.value, measure.runs, measure.enters, measure.leaves, measure.above_column)
    return tuple(name for name in names if name is not None)


INVOICE_ELIGIBILITY = FeatureSet(
    name="invoice-eligibility",
    purpose=Purpose.CREDIT,
    features=(
        *PAYMENT_HISTORY_FEATURES,
        *CREDIT_INQUIRY_FEATURES,
        *BALANCE_FEATURES,
        *ACCOUNT_AGE_FEATURES,
    ),
)

ORDER_RISK = FeatureSet(
    name="order-risk",
    purpose=Purpose.FRAUD,
    features=(
        *ORDER_CONTEXT_FEATURES,
        *ORDER_HISTORY_FEATURES,
        *VELOCITY_FEATURES,
        *CONFIRMED_FRAUD_FEATURES,
        *AFTER_APPROVAL_FEATURES,
    ),
)

FEATURE_SETS: Mapping[str, FeatureSet] = MappingProxyType(
    {feature_set.name: feature_set for feature_set in (INVOICE_ELIGIBILITY, ORDER_RISK)}
)
