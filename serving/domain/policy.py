"""The policy: countries, ages, limits, cut-offs and alternatives, as data."""

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS
from features.feature_sets import LINKED_CUSTOMERS_MAXIMUM
from features.settlement_terms import SettlementTerms
from serving.domain.dispute_policy import DisputePolicy
from serving.domain.goods_return import ReturnPolicy
from serving.domain.investigation import InvestigationPolicy
from serving.domain.merchant_keys import MerchantKeyPolicy
from serving.domain.reminders import LEFT_TO_THE_LEDGER, ReminderPolicy
from serving.domain.review_policy import ReviewPolicy
from serving.domain.settlement_policy import SettlementPolicy
from serving.domain.stop_request import StopRequestPolicy

ALTERNATIVE_NAMES = frozenset(
    {"pay_now_bank_transfer", "pay_now_direct_debit", "card", "instalments", "wallet", "prepayment"}
)


@dataclass(frozen=True, kw_only=True)
class CountryPolicy:
    """One country where invoice is offered."""

    country: str
    currency: str
    time_zone: str

    @cached_property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The zone whose local date counts for ages and due dates."""
        return zoneinfo.ZoneInfo(self.time_zone)


@dataclass(frozen=True, kw_only=True)
class LimitBand:
    """The credit limits from a score on, by how well the customer is known."""

    from_points: int
    stranger_cents: int
    known_cents: int
    established_cents: int


@dataclass(frozen=True, kw_only=True)
class LimitGrowthPolicy:
    """How a credit limit grows with what was repaid; see `credit_limit.credit_terms`.

    counts_after_days: an invoice counts so many whole days after it was paid in full.
    counted_from_cents: a paid invoice makes a customer known or established once for each time that this
        amount goes into it; below it, not at all.
    largest_paid_multiple_percent: the limit in per cent of the largest invoice that was paid on time.
    repaid_multiple_percent: the limit in per cent of all that was repaid, late or not.
    """

    counts_after_days: int
    counted_from_cents: int
    largest_paid_multiple_percent: int
    repaid_multiple_percent: int


@dataclass(frozen=True, kw_only=True)
class AlternativePolicy:
    """Another way to pay, and when it is offered."""

    name: str
    minimum_order_cents: int
    maximum_order_cents: int | None
    minimum_score: int | None
    refused_groups: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class OrderRiskPolicy:
    """Which orders the fraud team looks at after approval.

    flag_probability: an order as likely a fraud as this, or more, is flagged. rescreen_days: how long
        news about what it shares with other orders leads to another look. default_time_zone: of merchants
        in countries that the policy does not name. linked_customers_maximum: a device, address, mailbox or
        telephone that more customers have named links nobody.
    """

    flag_probability: float
    rescreen_days: int
    default_time_zone: str
    linked_customers_maximum: int = LINKED_CUSTOMERS_MAXIMUM


@dataclass(frozen=True, kw_only=True)
class CostPolicy:
    """What an approved order brings and costs; only backtests and proposals read it, no decision does.

    margin_per_mille: the merchant's fee, of the amount that is owed. loss_given_default_percent: of the
        amount, what is lost of an order that is not paid; only for orders whose outcome is not known yet.
    handling_cents: funding and handling of one approved order. review_cents: one manual review.
    """

    margin_per_mille: int
    loss_given_default_percent: int
    handling_cents: int
    review_cents: int


@dataclass(frozen=True, kw_only=True)
class ProviderPolicy:
    """Who asks, in the texts to merchants. customer_service: where a customer who asks them is sent."""

    name: str
    customer_service: str


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One version of the policy. Amounts in minor units of the residence country's currency.

    limit_growth: None for a policy whose limits go by score and number of paid invoices alone.
    clock_tolerance_seconds: how far the clocks of two machines may be apart when ledger rows are judged.
    costs: None for a policy that does not say them, as those before costs were part of it; a backtest
        under it has no amounts of margin and loss.
    merchant_keys: None for a policy from before merchants' keys were bounded.
    settlement: None for a policy under which invoices are paid out elsewhere; only confirmed frauds of cases
        are settled then.
    reminders: left to the ledger by a policy that says nothing of them.
    returns: the usual limits for a policy from before returns could be announced.
    disputes: of a policy without the section, the times and bounds that `DisputePolicy` has by default.
    """

    version: str
    minimum_age_years: int
    personal_data_valid_days: int
    materiality_cents: int
    grace_days: int
    minimum_order_cents: int
    maximum_order_cents: int
    invoice_term_days: int
    reservation_hours_unconfirmed: int
    reservation_hours_confirmed: int
    reservation_hours_maximum: int
    cut_off_stranger: int
    cut_off_known: int
    known_paid_invoices: int
    established_paid_invoices: int
    limits: tuple[LimitBand, ...]
    limit_growth: LimitGrowthPolicy | None
    countries: Mapping[str, CountryPolicy]
    alternatives: tuple[AlternativePolicy, ...]
    order_risk: OrderRiskPolicy
    review: ReviewPolicy
    stop_requests: StopRequestPolicy
    investigation: InvestigationPolicy
    provider: ProviderPolicy
    costs: CostPolicy | None
    merchant_keys: MerchantKeyPolicy | None = None
    settlement: SettlementPolicy | None = None
    reminders: ReminderPolicy = LEFT_TO_THE_LEDGER
    returns: ReturnPolicy = field(default_factory=ReturnPolicy)
    disputes: DisputePolicy = field(default_factory=DisputePolicy)
    clock_tolerance_seconds: int = DEFAULT_CLOCK_TOLERANCE_MS // 1000

    @property
    def clock_tolerance_ms(self) -> int:
        """The tolerance between clocks in milliseconds."""
        return self.clock_tolerance_seconds * 1000

    @cached_property
    def settlement_terms(self) -> SettlementTerms:
        """When an invoice counts as paid and as late, in arrears, features and labels."""
        return SettlementTerms(materiality_cents=self.materiality_cents, grace_days=self.grace_days)
