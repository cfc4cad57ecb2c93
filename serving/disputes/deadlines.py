"""Until when somebody has to answer a dispute, on the calendar of its merchant."""

from data_contracts.merchants import MERCHANTS
from serving.domain.business_days import BusinessCalendar, deadline_after
from serving.domain.errors import UnknownCalendar
from serving.domain.policy import Policy
from serving.requests.case_scope import CaseScope
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction


def calendar_of(tx: Transaction, policy: Policy, merchant_id: str) -> BusinessCalendar:
    """The merchant's calendar, by the newest state of its account.

    A part of a country whose holidays are not known counts as the country; for a country of which none are
    known, or a merchant that is not known, the policy's first country stands.
    """
    merchant = standing_row(tx, MERCHANTS, merchant_id) or {}
    first = next(iter(policy.countries))
    country = merchant.get("country", first)
    known = policy.countries.get(country)
    time_zone = policy.order_risk.default_time_zone if known is None else known.time_zone
    for place, region in ((country, merchant.get("holiday_region")), (country, None)):
        try:
            return BusinessCalendar(country=place, region=region, time_zone=time_zone)
        except UnknownCalendar:
            continue
    return BusinessCalendar(country=first, region=None, time_zone=time_zone)


def due_in(tx: Transaction, scope: CaseScope, merchant_id: str, business_days: int, start_ms: int) -> int:
    """When so many business days of a merchant have passed since an instant."""
    return deadline_after(start_ms, business_days, calendar_of(tx, scope.policy, merchant_id))
