"""A policy read from TOML; every mistake is named at once."""

import itertools
import re
import tomllib
import zoneinfo
from datetime import date
from functools import lru_cache
from typing import Any

from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS, MAXIMUM_CLOCK_TOLERANCE_MS
from data_contracts.currencies import DECIMALS
from data_contracts.declaration_reader import DeclarationReader, toml_document
from data_contracts.invoice_charges import FEE_CENTS_MAXIMUM
from features.feature_sets import LINKED_CUSTOMERS_MAXIMUM
from features.settlement_terms import USUAL_TERMS
from serving.domain.dispute_policy import DisputePolicy, read_dispute_policy
from serving.domain.errors import PolicyInvalid
from serving.domain.goods_return import MAXIMUM_LIMIT_DAYS, ReturnPolicy
from serving.domain.investigation import InvestigationPolicy
from serving.domain.merchant_keys import LARGEST_STEP_CENTS, MerchantKeyPolicy
from serving.domain.policy import (
    ALTERNATIVE_NAMES,
    AlternativePolicy,
    CostPolicy,
    CountryPolicy,
    LimitBand,
    LimitGrowthPolicy,
    OrderRiskPolicy,
    Policy,
    ProviderPolicy,
)
from serving.domain.reminders import LEFT_TO_THE_LEDGER, ReminderLevel, ReminderPolicy, ReminderWriter
from serving.domain.review_policy import ReviewPolicy
from serving.domain.settlement_period import FIRST_YEAR, LAST_YEAR
from serving.domain.settlement_policy import FeeTerms, SettlementPolicy
from serving.domain.stop_request import DEFAULT_CONTACT_CHANGE_HOURS, StopRequestPolicy

MAXIMUM_RESERVATION_HOURS = 2160
"""Of policies that do not say it: 90 days."""
REMINDER_LEVELS_MAXIMUM = 9
EARLIER_NAME_OF_MATERIALITY = "arrears_tolerance_cents"


def parse_policy(text: str, *, is_new: bool = False) -> Policy:
    """Read a policy from TOML.

    is_new: refuse currencies that no order can carry; the history may have one that was withdrawn since.
    Raises PolicyInvalid with every mistake: unknown and missing fields, wrong types, values out of
    range, limit bands out of order or falling.
    """
    try:
        document = toml_document(text)
    except tomllib.TOMLDecodeError as problem:
        raise PolicyInvalid([f"policy: is no TOML: {problem}"]) from problem
    reader = _PolicyReader(document, is_new=is_new)
    policy = reader.policy()
    if reader.mistakes:
        raise PolicyInvalid(reader.mistakes)
    return policy


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    """All names of time zones. To list them walks over a thousand files, which is a tenth of a start."""
    return frozenset(zoneinfo.available_timezones())


class _PolicyReader(DeclarationReader):
    def __init__(self, document: dict[str, Any], *, is_new: bool) -> None:
        super().__init__(missing="is missing", unknown="is no field of a policy")
        self._document = document
        self._is_new = is_new

    def policy(self) -> Policy:
        top = self._document
        score = self.table(top, "score", "")
        history = self.table(top, "history", "")
        policy = Policy(
            version=self.text(top, "version", ""),
            clock_tolerance_seconds=self._clock_tolerance_seconds(top),
            minimum_age_years=self.integer(top, "minimum_age_years", "", 18, 99),
            personal_data_valid_days=self.integer(top, "personal_data_valid_days", "", 1, 10_000),
            materiality_cents=self._materiality_cents(top),
            grace_days=(
                self.integer(top, "grace_days", "", 0, 30) if "grace_days" in top else USUAL_TERMS.grace_days
            ),
            minimum_order_cents=self.integer(top, "minimum_order_cents", "", 1, 10**9),
            maximum_order_cents=self.integer(top, "maximum_order_cents", "", 1, 10**9),
            invoice_term_days=self.integer(top, "invoice_term_days", "", 1, 365),
            reservation_hours_unconfirmed=self.integer(top, "reservation_hours_unconfirmed", "", 1, 8760),
            reservation_hours_confirmed=self.integer(top, "reservation_hours_confirmed", "", 1, 8760),
            reservation_hours_maximum=self._reservation_hours_maximum(top),
            cut_off_stranger=self.integer(score, "cut_off_stranger", "score.", 100, 999),
            cut_off_known=self.integer(score, "cut_off_known", "score.", 100, 999),
            known_paid_invoices=self.integer(history, "known_paid_invoices", "history.", 1, 1000),
            established_paid_invoices=self.integer(history, "established_paid_invoices", "history.", 1, 1000),
            limits=tuple(self._limit(entry, i) for i, entry in enumerate(self.tables(top, "limits"))),
            limit_growth=(
                self._limit_growth(self.table(top, "limit_growth", "")) if "limit_growth" in top else None
            ),
            countries=self._countries(self.table(top, "countries", "")),
            alternatives=tuple(
                self._alternative(entry, i) for i, entry in enumerate(self.tables(top, "alternatives"))
            ),
            order_risk=self._order_risk(self.table(top, "order_risk", "")),
            review=self._review(self.table(top, "review", "")),
            stop_requests=self._stop_requests(self.table(top, "stop_requests", "")),
            investigation=self._investigation(self.table(top, "investigation", "")),
            provider=self._provider(self.table(top, "provider", "")),
            costs=self._costs(self.table(top, "costs", "")) if "costs" in top else None,
            merchant_keys=(
                self._merchant_keys(self.table(top, "merchant_keys", "")) if "merchant_keys" in top else None
            ),
            settlement=self._settlement(self.table(top, "settlement", "")) if "settlement" in top else None,
            reminders=(
                self._reminders(self.table(top, "reminders", ""))
                if "reminders" in top
                else LEFT_TO_THE_LEDGER
            ),
            returns=self._returns(self.table(top, "returns", "")) if "returns" in top else ReturnPolicy(),
            disputes=(
                read_dispute_policy(self, self.table(top, "disputes", ""))
                if "disputes" in top
                else DisputePolicy()
            ),
        )
        for prefix, rest in (("", top), ("score.", score), ("history.", history)):
            self.refuse_rest(rest, prefix)
        self._check_across(policy)
        return policy

    def _check_across(self, policy: Policy) -> None:
        if policy.minimum_order_cents > policy.maximum_order_cents:
            self.mistakes.append("minimum_order_cents: must not be above maximum_order_cents")
        if policy.known_paid_invoices > policy.established_paid_invoices:
            self.mistakes.append("history.known_paid_invoices: must not be above established_paid_invoices")
        if not policy.limits:
            self.mistakes.append("limits: at least one band is needed")
        if not policy.countries:
            self.mistakes.append("countries: at least one country is needed")
        if not policy.alternatives:
            self.mistakes.append("alternatives: at least one is needed, so that the customer can still buy")
        days = [policy.grace_days, *(level.days_after_due for level in policy.reminders.levels)]
        if any(later <= earlier for earlier, later in itertools.pairwise(days)):
            self.mistakes.append(
                "reminders.levels: days_after_due must be above grace_days, and each above the one before"
            )
        for lower, higher in zip(policy.limits, policy.limits[1:], strict=False):
            if higher.from_points <= lower.from_points:
                self.mistakes.append("limits: bands must stand in ascending order of from_points")
            for name in ("stranger_cents", "known_cents", "established_cents"):
                if getattr(higher, name) < getattr(lower, name):
                    self.mistakes.append(f"limits.{name}: must not fall with a better score")
        for band in policy.limits:
            if not band.stranger_cents <= band.known_cents <= band.established_cents:
                self.mistakes.append(
                    f"limits from {band.from_points}: must not fall as the customer is better known"
                )

    def _materiality_cents(self, top: dict[str, Any]) -> int:
        """Under its name, or under the one that it had before features and labels kept to it too."""
        name = "materiality_cents" if "materiality_cents" in top else EARLIER_NAME_OF_MATERIALITY
        return self.integer(top, name, "", 0, 1_000_000)

    def _reservation_hours_maximum(self, top: dict[str, Any]) -> int:
        # Policies from before reservations could be extended do not say it.
        top.setdefault("reservation_hours_maximum", MAXIMUM_RESERVATION_HOURS)
        return self.integer(top, "reservation_hours_maximum", "", 1, 8760)

    def _clock_tolerance_seconds(self, top: dict[str, Any]) -> int:
        # Policies from before the tolerance was part of them do not say it.
        top.setdefault("clock_tolerance_seconds", DEFAULT_CLOCK_TOLERANCE_MS // 1000)
        return self.integer(top, "clock_tolerance_seconds", "", 0, MAXIMUM_CLOCK_TOLERANCE_MS // 1000)

    def _order_risk(self, entry: dict[str, Any]) -> OrderRiskPolicy:
        prefix = "order_risk."
        zone = self.text(entry, "default_time_zone", prefix)
        if zone not in _time_zones():
            self.mistakes.append(f"{prefix}default_time_zone: is no known time zone")
        read = OrderRiskPolicy(
            flag_probability=self.integer(entry, "flag_from_per_mille", prefix, 1, 1000) / 1000,
            rescreen_days=self.integer(entry, "rescreen_days", prefix, 1, 365),
            default_time_zone=zone,
            linked_customers_maximum=(
                self.integer(entry, "linked_customers_maximum", prefix, 1, 1_000_000)
                if "linked_customers_maximum" in entry
                else LINKED_CUSTOMERS_MAXIMUM
            ),
        )
        self.refuse_rest(entry, prefix)
        return read

    def _review(self, entry: dict[str, Any]) -> ReviewPolicy:
        prefix = "review."
        read = ReviewPolicy(
            claim_minutes=self.integer(entry, "claim_minutes", prefix, 1, 1440),
            contact_hours=self.integer(entry, "contact_hours", prefix, 1, 720),
            undo_seconds=self.integer(entry, "undo_seconds", prefix, 0, 3600),
            case_hours=self.integer(entry, "case_hours", prefix, 1, 720),
            half_chance_hours=float(self.integer(entry, "half_chance_hours", prefix, 1, 720)),
            handover_delay_hours=float(self.integer(entry, "handover_delay_hours", prefix, 0, 720)),
            recall_chance=self.integer(entry, "recall_chance_percent", prefix, 0, 99) / 100,
            service_stop_chance=self.integer(entry, "service_stop_chance_percent", prefix, 0, 99) / 100,
            withdraw_roles=frozenset(self.texts(entry, "withdraw_roles", prefix)),
            sample_share=self.integer(entry, "sample_per_mille", prefix, 0, 1000) / 1000,
            sample_worth_cents=self.integer(entry, "sample_worth_cents", prefix, 1, 10**9),
        )
        self.refuse_rest(entry, prefix)
        return read

    def _stop_requests(self, entry: dict[str, Any]) -> StopRequestPolicy:
        prefix = "stop_requests."
        entry.setdefault("contact_change_hours", DEFAULT_CONTACT_CHANGE_HOURS)
        read = StopRequestPolicy(
            answer_hours=self.integer(entry, "answer_hours", prefix, 1, 720),
            recallable_carriers=frozenset(self.texts(entry, "recallable_carriers", prefix)),
            no_answer_moves_liability=self._flag(entry, "no_answer_moves_liability", prefix),
            link_days=self.integer(entry, "link_days", prefix, 1, 3650),
            contact_change_hours=self.integer(entry, "contact_change_hours", prefix, 0, 8760),
        )
        self.refuse_rest(entry, prefix)
        return read

    def _investigation(self, entry: dict[str, Any]) -> InvestigationPolicy:
        read = InvestigationPolicy(unpaid_days=self.integer(entry, "unpaid_days", "investigation.", 1, 365))
        self.refuse_rest(entry, "investigation.")
        return read

    def _returns(self, entry: dict[str, Any]) -> ReturnPolicy:
        prefix, most = "returns.", MAXIMUM_LIMIT_DAYS
        read = ReturnPolicy(
            limit_days_with_proof=self.integer(entry, "limit_days_with_proof", prefix, 1, most),
            limit_days_without_proof=self.integer(entry, "limit_days_without_proof", prefix, 1, most),
        )
        if read.limit_days_without_proof > read.limit_days_with_proof:
            self.mistakes.append(f"{prefix}limit_days_without_proof: must not be above limit_days_with_proof")
        self.refuse_rest(entry, prefix)
        return read

    def _provider(self, entry: dict[str, Any]) -> ProviderPolicy:
        read = ProviderPolicy(
            name=self.text(entry, "name", "provider."),
            customer_service=self.text(entry, "customer_service", "provider."),
        )
        self.refuse_rest(entry, "provider.")
        return read

    def _costs(self, entry: dict[str, Any]) -> CostPolicy:
        prefix = "costs."
        read = CostPolicy(
            margin_per_mille=self.integer(entry, "margin_per_mille", prefix, 0, 1000),
            loss_given_default_percent=self.integer(entry, "loss_given_default_percent", prefix, 0, 100),
            handling_cents=self.integer(entry, "handling_cents", prefix, 0, 1_000_000),
            review_cents=self.integer(entry, "review_cents", prefix, 0, 1_000_000),
        )
        self.refuse_rest(entry, prefix)
        return read

    def _merchant_keys(self, entry: dict[str, Any]) -> MerchantKeyPolicy:
        prefix = "merchant_keys."
        read = MerchantKeyPolicy(
            amount_steps_cents=self._steps(entry, "amount_steps_cents", prefix),
            questions_per_customer_hour=self.integer(entry, "questions_per_customer_hour", prefix, 1, 1000),
            questions_per_customer_day=self.integer(entry, "questions_per_customer_day", prefix, 1, 10_000),
            questions_per_hour=self.integer(entry, "questions_per_hour", prefix, 1, 10_000_000),
            unconfirmed_share_percent=self.integer(entry, "unconfirmed_share_percent", prefix, 1, 100),
            unconfirmed_minutes=self.integer(entry, "unconfirmed_minutes", prefix, 1, 1440),
            unconfirmed_orders=self.integer(entry, "unconfirmed_orders", prefix, 1, 1000),
        )
        if read.questions_per_customer_hour > read.questions_per_customer_day:
            self.mistakes.append(
                f"{prefix}questions_per_customer_hour: must not be above questions_per_customer_day"
            )
        self.refuse_rest(entry, prefix)
        return read

    def _settlement(self, entry: dict[str, Any]) -> SettlementPolicy:
        prefix = "settlement."
        read = SettlementPolicy(
            fee=FeeTerms(
                per_mille=self.integer(entry, "fee_per_mille", prefix, 0, 1000),
                minimum_cents=self.integer(entry, "fee_minimum_cents", prefix, 0, 1_000_000),
                is_given_back_on_return=self._flag(entry, "fee_given_back_on_return", prefix),
            ),
            settles_from=self._day(entry, "settles_from", prefix),
        )
        self.refuse_rest(entry, prefix)
        return read

    def _flag(self, table: dict[str, Any], name: str, prefix: str) -> bool:
        value = self.take(table, name, prefix)
        if value is not None and not isinstance(value, bool):
            self.mistakes.append(f"{prefix}{name}: must be true or false")
        return value is True

    def _day(self, table: dict[str, Any], name: str, prefix: str) -> date:
        value = self.take(table, name, prefix)
        # A TOML date-time is a date to Python as well.
        if type(value) is date and FIRST_YEAR <= value.year <= LAST_YEAR:
            return value
        if value is not None:
            self.mistakes.append(
                f"{prefix}{name}: must be a date such as 2026-11-01, from {FIRST_YEAR} to {LAST_YEAR}"
            )
        return date(LAST_YEAR, 12, 31)

    def _steps(self, table: dict[str, Any], name: str, prefix: str) -> tuple[int, ...]:
        value = self.take(table, name, prefix)
        if isinstance(value, list) and value and all(type(step) is int for step in value):
            is_ascending = all(lower < higher for lower, higher in itertools.pairwise(value))
            if is_ascending and value[0] >= 1 and value[-1] <= LARGEST_STEP_CENTS:
                return tuple(value)
        if value is not None:
            self.mistakes.append(
                f"{prefix}{name}: must be a list of whole numbers from 1 to {LARGEST_STEP_CENTS}, each above "
                "the one before"
            )
        return (LARGEST_STEP_CENTS,)

    def _reminders(self, entry: dict[str, Any]) -> ReminderPolicy:
        prefix = "reminders."
        read = ReminderPolicy(
            writer=self.word(entry, "writer", prefix, ReminderWriter, ReminderWriter.LEDGER),
            notice_days=self.integer(entry, "notice_days", prefix, 0, 60),
            levels=tuple(
                self._reminder_level(level, f"{prefix}levels[{place}].")
                for place, level in enumerate(self.tables(entry, "levels", prefix))
            ),
        )
        if len(read.levels) > REMINDER_LEVELS_MAXIMUM:
            self.mistakes.append(f"{prefix}levels: must be at most {REMINDER_LEVELS_MAXIMUM}")
        self.refuse_rest(entry, prefix)
        return read

    def _reminder_level(self, entry: dict[str, Any], prefix: str) -> ReminderLevel:
        fees = self.table(entry, "fees_cents", prefix)
        read = ReminderLevel(
            days_after_due=self.integer(entry, "days_after_due", prefix, 1, 365),
            fees_cents={
                currency: self.integer(fees, currency, f"{prefix}fees_cents.", 0, FEE_CENTS_MAXIMUM)
                for currency in list(fees)
                if currency in DECIMALS
            },
        )
        self.refuse_rest(fees, f"{prefix}fees_cents.")
        self.refuse_rest(entry, prefix)
        return read

    def _limit(self, entry: dict[str, Any], index: int) -> LimitBand:
        prefix = f"limits[{index}]."
        band = LimitBand(
            from_points=self.integer(entry, "from_points", prefix, 100, 999),
            stranger_cents=self.integer(entry, "stranger_cents", prefix, 0, 10**9),
            known_cents=self.integer(entry, "known_cents", prefix, 0, 10**9),
            established_cents=self.integer(entry, "established_cents", prefix, 0, 10**9),
        )
        self.refuse_rest(entry, prefix)
        return band

    def _limit_growth(self, entry: dict[str, Any]) -> LimitGrowthPolicy:
        prefix = "limit_growth."
        read = LimitGrowthPolicy(
            counts_after_days=self.integer(entry, "counts_after_days", prefix, 0, 3650),
            counted_from_cents=self.integer(entry, "counted_from_cents", prefix, 1, 10**9),
            largest_paid_multiple_percent=self.integer(
                entry, "largest_paid_multiple_percent", prefix, 0, 100_000
            ),
            repaid_multiple_percent=self.integer(entry, "repaid_multiple_percent", prefix, 0, 100_000),
        )
        self.refuse_rest(entry, prefix)
        return read

    def _countries(self, entries: dict[str, Any]) -> dict[str, CountryPolicy]:
        countries = {}
        for country in list(entries):
            entry = self.table(entries, country, "countries.")
            prefix = f"countries.{country}."
            if not re.fullmatch("[A-Z]{2}", country):
                self.mistakes.append(f"countries.{country}: must be an ISO 3166-1 alpha-2 code")
            time_zone = self.text(entry, "time_zone", prefix)
            if time_zone not in _time_zones():
                self.mistakes.append(f"{prefix}time_zone: is no known time zone")
            # Policies of the history say a pattern of their own; what the country's codes are is no policy.
            entry.pop("postal_code_pattern", None)
            currency = self.text(entry, "currency", prefix)
            if not re.fullmatch("[A-Z]{3}", currency) or (self._is_new and currency not in DECIMALS):
                self.mistakes.append(
                    f"{prefix}currency: must be the ISO 4217 code of a currency that an order can carry"
                )
            self.refuse_rest(entry, prefix)
            countries[country] = CountryPolicy(country=country, currency=currency, time_zone=time_zone)
        return countries

    def _alternative(self, entry: dict[str, Any], index: int) -> AlternativePolicy:
        prefix = f"alternatives[{index}]."
        name = self.text(entry, "name", prefix)
        if name not in ALTERNATIVE_NAMES:
            self.mistakes.append(f"{prefix}name: must be one of {', '.join(sorted(ALTERNATIVE_NAMES))}")
        groups = entry.pop("refused_groups", [])
        if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
            self.mistakes.append(f"{prefix}refused_groups: must be a list of texts")
            groups = []
        has_maximum, has_score = "maximum_order_cents" in entry, "minimum_score" in entry
        entry.setdefault("minimum_order_cents", 0)
        alternative = AlternativePolicy(
            name=name,
            minimum_order_cents=self.integer(entry, "minimum_order_cents", prefix, 0, 10**9),
            maximum_order_cents=(
                self.integer(entry, "maximum_order_cents", prefix, 1, 10**9) if has_maximum else None
            ),
            minimum_score=self.integer(entry, "minimum_score", prefix, 100, 999) if has_score else None,
            refused_groups=frozenset(groups),
        )
        self.refuse_rest(entry, prefix)
        return alternative
