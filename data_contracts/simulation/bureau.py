"""What bureaus report: credit accounts, their statements, and inquiries by other lenders."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS, HOUR_MS
from data_contracts.simulation.book_calendar import MONTH_MS, BookCalendar, Instants
from data_contracts.simulation.people import HONEST, People, customer_ids
from data_contracts.simulation.recording_delay import within_days, within_hours
from data_contracts.simulation.temperament import Temperament
from data_contracts.simulation.text_columns import chosen, numbered, where_present

Positions = NDArray[np.int64]

_KINDS = ("credit_card", "current_account", "mail_order", "instalment", "loan")
_KIND_WEIGHTS = (0.34, 0.26, 0.14, 0.16, 0.10)
_MEDIAN_LIMIT_EUROS = np.array([2_000.0, 1_000.0, 800.0, 1_500.0, 9_000.0])
_MOST_ACCOUNTS = 6
_PURPOSES = (
    "instalment", "credit_card", "mobile_contract", "account_opening", "loan", "rental", "other",
)  # fmt: skip
_PURPOSE_WEIGHTS = (0.27, 0.17, 0.17, 0.14, 0.12, 0.08, 0.05)
_BUREAUS = ("auskunft-nord", "auskunft-sued", "kreditregister")
_STATEMENTS_BEFORE_MS = 6 * MONTH_MS
_MONITORED_AFTER_LAST_ORDER_MS = 4 * MONTH_MS


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Every credit account, one position each; closed is -1 for an account that stays open."""

    customer: Positions
    kind: Positions
    opened: Instants
    closed: Instants
    limit_cents: Positions
    noise: NDArray[np.float64]


def draw_accounts(
    random: np.random.Generator, calendar: BookCalendar, *, people: People, temperament: Temperament
) -> Accounts:
    """Draw none to six accounts per customer: fewer and younger ones where means or honesty lack."""
    honest = people.purpose == HONEST
    count = random.poisson(np.where(honest, 2.3, 0.7) * np.exp(0.08 * temperament.means))
    count = np.minimum(count, _MOST_ACCOUNTS)
    customer = np.repeat(np.arange(len(people)), count)
    size = len(customer)
    kind = random.choice(len(_KINDS), size, p=_KIND_WEIGHTS)
    means = temperament.means[customer]
    age_years = random.gamma(1.3, 3.6, size) * np.exp(0.12 * means + 0.05 * temperament.discipline[customer])
    reference = calendar.start_ms + (random.random(size) ** 2 * 0.6 * (calendar.end_ms - calendar.start_ms))
    opened = (reference - age_years * 365.25 * DAY_MS).astype(np.int64)
    grown_up = (people.birth_day[customer] + 18 * 365 + 10) * DAY_MS
    opened = np.minimum(np.maximum(opened, grown_up), calendar.end_ms - 30 * DAY_MS)
    lifetime = random.exponential(11 * 365.0, size) * DAY_MS + 90 * DAY_MS
    closes = opened + np.where(kind >= 3, 0.25, 1.0) * lifetime + 60 * DAY_MS
    closed = np.where(closes < calendar.end_ms, closes, -1.0).astype(np.int64)
    # Accounts that were closed long ago have left the bureau's file.
    kept = (closed < 0) | (closed > calendar.start_ms - 300 * DAY_MS)
    limit_euros = _MEDIAN_LIMIT_EUROS[kind] * np.exp(0.4 * means + 0.5 * random.standard_normal(size))
    return Accounts(
        customer=customer[kept],
        kind=kind[kept],
        opened=opened[kept],
        closed=closed[kept],
        limit_cents=(np.maximum(limit_euros // 100, 2) * 10_000).astype(np.int64)[kept],
        noise=random.standard_normal(size)[kept],
    )


def account_ids(account: Positions) -> Any:
    """Ids of the accounts at positions `account`."""
    return numbered("acc-", account + 1, width=7)


def account_rows(random: np.random.Generator, *, accounts: Accounts, people: People) -> dict[str, Any]:
    """The ledger columns of `credit_accounts`: one state from the opening, one from the closing on."""
    size = len(accounts.customer)
    closed = np.flatnonzero(accounts.closed >= 0)
    account = np.concatenate([np.arange(size), closed])
    customer = accounts.customer[account]
    occurred = np.concatenate([accounts.opened, accounts.closed[closed]])
    known = np.maximum(within_days(random, occurred, mean_days=6.0), people.registered[customer] + HOUR_MS)
    # The bureau's file of a new customer holds the opening first.
    known[size:] = np.maximum(known[size:], known[:size][closed] + 1_000)
    return {
        "account_id": account_ids(account),
        "customer_id": customer_ids(customer),
        "kind": chosen(_KINDS, accounts.kind[account]),
        "opened_at": accounts.opened[account],
        "closed_at": where_present(np.concatenate([np.full(size, -1), accounts.closed[closed]])),
        "currency": _euros(len(account)),
        "occurred_at": occurred,
        "recorded_at": known,
    }


def _euros(size: int) -> Any:
    return chosen(("EUR",), np.zeros(size, dtype=np.int64))


def balance_rows(
    random: np.random.Generator,
    calendar: BookCalendar,
    *,
    accounts: Accounts,
    people: People,
    temperament: Temperament,
    last_order: Instants,
) -> tuple[dict[str, Any], Positions]:
    """The ledger columns of `account_balances`, and which row (position) each one corrects, -1 for none.

    last_order: per customer, -1 when there is none. Statements come monthly from half a year before
        the customer registered (or the book began) until some months after the last order.
    """
    months = calendar.grid_months
    size = len(accounts.customer)
    phase = random.integers(0, MONTH_MS, size)
    month_start = calendar.history_start_ms + np.arange(months) * MONTH_MS
    statement = phase[:, None] + month_start[None, :]
    registered = np.maximum(people.registered[accounts.customer], calendar.start_ms)
    begins = np.maximum(registered - _STATEMENTS_BEFORE_MS, accounts.opened + 10 * DAY_MS)
    ends = np.maximum(registered, last_order[accounts.customer]) + _MONITORED_AFTER_LAST_ORDER_MS
    ends = np.where(accounts.closed >= 0, np.minimum(ends, accounts.closed), ends)
    reported = (statement >= begins[:, None]) & (statement < ends[:, None])
    account, month = np.nonzero(reported & (statement < calendar.end_ms))

    customer = accounts.customer[account]
    rows = len(account)
    stress = temperament.stress[customer, month]
    before = temperament.stress[customer, np.maximum(month - 1, 0)]
    felt = 0.5 * (stress + before)
    pressure = -0.9 + 0.8 * felt + 0.65 * accounts.noise[account] + 0.5 * random.standard_normal(rows)
    used = 1.0 / (1.0 + np.exp(-pressure))
    age_share = (statement[account, month] - accounts.opened[account]) / (5 * 365.25 * DAY_MS)
    repaid = np.clip(1.0 - age_share + 0.06 * felt, 0.02, 1.0)
    ratio = np.where(accounts.kind[account] >= 3, repaid, used * 1.06)
    # A current account is in credit when its owner is well off.
    in_credit = (accounts.kind[account] == 1) & (used < 0.25) & (random.random(rows) < 0.6)
    limit = accounts.limit_cents[account]
    balance = np.where(in_credit, -used * limit, ratio * limit).astype(np.int64)
    paid_share = np.clip(0.25 - 0.05 * felt + 0.12 * random.standard_normal(rows), 0.0, 1.0)
    paid = (paid_share * np.abs(balance)).astype(np.int64)
    reports_paid = account % 5 != 0
    trouble = 1.3 * felt - 0.75 * temperament.discipline[customer] + 0.6 * accounts.noise[account]
    behind = random.random(rows) < 1.0 / (1.0 + np.exp(5.1 - trouble))
    days_behind = np.where(behind, 3 + random.exponential(22.0, rows), 0.0).astype(np.int64)
    reports_arrears = account % 3 != 0
    occurred = statement[account, month]
    known = within_days(random, occurred, mean_days=4.0)
    recorded = np.maximum(known, people.registered[customer] + 2 * HOUR_MS)

    wrong = np.flatnonzero(random.random(rows) < 0.0015)
    picked = np.concatenate([np.arange(rows), wrong])
    corrects = np.concatenate([np.full(rows, -1), wrong])
    reported_balance = np.concatenate([balance, balance[wrong]])
    reported_balance[wrong] = (reported_balance[wrong] * random.uniform(0.3, 1.8, len(wrong))).astype(
        np.int64
    )
    corrected_at = recorded[wrong] + random.integers(DAY_MS, 25 * DAY_MS, len(wrong))
    return {
        "account_id": account_ids(account[picked]),
        "customer_id": customer_ids(customer[picked]),
        "balance_cents": reported_balance,
        "limit_cents": limit[picked],
        "paid_cents": where_present(np.where(reports_paid, paid, -1)[picked]),
        "days_past_due": where_present(np.where(reports_arrears, days_behind, -1)[picked]),
        "currency": _euros(len(picked)),
        "occurred_at": occurred[picked],
        "recorded_at": np.concatenate([recorded, corrected_at]),
    }, corrects


def inquiry_rows(
    random: np.random.Generator, calendar: BookCalendar, *, people: People, temperament: Temperament
) -> dict[str, Any]:
    """The ledger columns of `credit_inquiries`: more under stress, and in bursts when one lender refuses."""
    lasting = np.exp(0.45 * random.standard_normal(len(people)))
    rate = 0.075 * lasting[:, None] * np.exp(0.62 * temperament.stress)
    count = random.poisson(rate)
    burst = random.random(count.shape) < 0.012 * np.exp(0.4 * temperament.stress)
    count += np.where(burst, random.integers(2, 6, count.shape), 0)
    customer, month = np.nonzero(count)
    times = count[customer, month]
    customer, month = np.repeat(customer, times), np.repeat(month, times)
    size = len(customer)
    occurred = calendar.history_start_ms + month * MONTH_MS + random.integers(0, MONTH_MS, size)
    registered = people.registered[customer]
    # The file that is bought at registration reaches back one year.
    seen = occurred >= registered - 365 * DAY_MS
    customer, occurred, registered = customer[seen], occurred[seen], registered[seen]
    size = len(customer)
    return {
        "customer_id": customer_ids(customer),
        "purpose": chosen(_PURPOSES, random.choice(len(_PURPOSES), size, p=_PURPOSE_WEIGHTS)),
        "bureau": chosen(_BUREAUS, random.choice(3, size, p=(0.6, 0.3, 0.1))),
        "occurred_at": occurred,
        "recorded_at": np.maximum(within_hours(random, occurred), registered + 2 * HOUR_MS),
    }
