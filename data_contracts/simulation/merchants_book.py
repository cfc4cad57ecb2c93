"""The merchants of the book, and how they differ."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS
from data_contracts.simulation.book_calendar import BookCalendar
from data_contracts.simulation.recording_delay import within_minutes
from data_contracts.simulation.text_columns import chosen, joined, numbered, text_where

Positions = NDArray[np.int64]
Numbers = NDArray[np.float64]

CATEGORIES = (
    "fashion", "electronics", "home_garden", "health_beauty",
    "toys_sports", "groceries", "digital_goods", "tickets_travel",
)  # fmt: skip
_CATEGORY_WEIGHTS = (0.30, 0.17, 0.16, 0.11, 0.10, 0.07, 0.05, 0.04)
_MEDIAN_EUROS = np.array([72.0, 190.0, 120.0, 46.0, 65.0, 58.0, 38.0, 150.0])
_RETURN_RATE = np.array([0.27, 0.09, 0.08, 0.04, 0.07, 0.01, 0.0, 0.0])
RESELLABLE = np.array([False, True, False, False, False, False, True, True])
SERVICE = np.array([False, False, False, False, False, False, True, True])

ITEM_CATEGORIES = (
    "clothing", "jewellery", "computers_phones", "media_software", "furniture", "household",
    "cosmetics", "toys_sports", "food", "gift_cards", "tickets_travel", "other",
)  # fmt: skip
ITEMS_OF_CATEGORY = np.array(
    [[0, 0, 1], [2, 2, 3], [4, 5, 5], [6, 6, 5], [7, 7, 0], [8, 8, 5], [3, 9, 9], [10, 10, 10]]
)
"""For each merchant category three item categories, drawn alike."""

_FIRST_WORDS = (
    "Nord", "Alpen", "Stadt", "Wald", "Rhein", "Elbe", "Sonnen", "Lieblings", "Feld", "Berg",
)  # fmt: skip
_SECOND_WORDS = (
    "mode", "technik", "haus", "pflege", "sport", "markt", "digital", "reisen",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Merchants:
    """Every merchant of the book, one position each.

    popularity: share of the orders.  risk: what the merchant adds to the log-odds of not being paid.
    dispute_rate: of delivered orders.  term_days: payment term of its invoices.
    """

    category: Positions
    popularity: Numbers
    median_cents: Numbers
    return_rate: Numbers
    dispute_rate: Numbers
    risk: Numbers
    term_days: Positions
    ships_slowly: Numbers

    def __len__(self) -> int:
        return len(self.category)


def draw_merchants(random: np.random.Generator, *, customers: int) -> Merchants:
    """Draw about one merchant for 250 customers, one of each category at least."""
    size = max(len(CATEGORIES) * 2, customers // 250)
    category = np.concatenate(
        [
            np.arange(len(CATEGORIES)),
            random.choice(len(CATEGORIES), size - len(CATEGORIES), p=_CATEGORY_WEIGHTS),
        ]
    )
    popularity = random.pareto(1.3, size) + 0.3
    popularity *= np.array(_CATEGORY_WEIGHTS)[category]
    return Merchants(
        category=category,
        popularity=popularity / popularity.sum(),
        median_cents=_MEDIAN_EUROS[category] * 100 * np.exp(0.35 * random.standard_normal(size)),
        return_rate=np.clip(_RETURN_RATE[category] * np.exp(0.3 * random.standard_normal(size)), 0.0, 0.5),
        dispute_rate=0.009 * np.exp(0.7 * random.standard_normal(size)),
        risk=0.25 * random.standard_normal(size) + 0.15 * RESELLABLE[category],
        term_days=np.where(random.random(size) < 0.18, 30, 14),
        ships_slowly=np.exp(0.4 * random.standard_normal(size)),
    )


def merchant_ids(merchant: Positions) -> Any:
    """Ids of the merchants at positions `merchant`."""
    return numbered("mer-", merchant + 1, width=4)


def merchant_rows(
    random: np.random.Generator, calendar: BookCalendar, merchants: Merchants
) -> dict[str, Any]:
    """The ledger columns of `merchants`: all are on board before the book begins."""
    size = len(merchants)
    at = np.arange(size)
    occurred = calendar.start_ms - random.integers(30 * DAY_MS, 900 * DAY_MS, size)
    number = numbered("", at + 1, width=3)
    has_endpoint = random.random(size) < 0.6
    name = joined(
        chosen(_FIRST_WORDS, random.integers(0, len(_FIRST_WORDS), size)),
        chosen(_SECOND_WORDS, np.minimum(merchants.category, len(_SECOND_WORDS) - 1)),
        " ",
        number,
    )
    abroad = random.random(size)
    return {
        "merchant_id": merchant_ids(at),
        "name": name,
        "country": chosen(("DE", "AT", "NL", "SE"), np.digitize(abroad, (0.85, 0.92, 0.97))),
        "language": chosen(("de", "de", "nl", "sv"), np.digitize(abroad, (0.85, 0.92, 0.97))),
        "email": joined("risk@merchant-", number, ".example"),
        "endpoint_url": text_where(
            has_endpoint, joined("https://merchant-", number, ".example/webhooks/bonitas")
        ),
        "has_portal_account": pa.array(random.random(size) < 0.8),
        "category": chosen(CATEGORIES, merchants.category),
        "handover_cutoff_local_time": chosen(
            ("12:00", "14:00", "15:30", "16:00", "17:00"), random.integers(0, 5, size)
        ),
        "occurred_at": occurred,
        "recorded_at": within_minutes(random, occurred),
    }
