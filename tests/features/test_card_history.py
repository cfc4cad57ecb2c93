"""Features of card orders against an obvious slow twin, and against tampering with the future."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.instants import DAY_MS, HOUR_MS
from features.card_history import FINDING_DELAY_DAYS, HISTORY_GROUPS, build_history
from features.card_orders import CardOrders, clients_of, previous_order_of_client

WINDOWS = {"1h": HOUR_MS, "1d": DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS, "ever": 10**15}
STEPS = (0, 0, 1, HOUR_MS - 1, HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS)
CODED = ("card_number", "card", "address", "device", "email_domain", "product")


@st.composite
def card_orders(draw, least=1):
    rows = draw(st.integers(least, 14))

    def of(*values):
        return np.array(draw(st.lists(st.sampled_from(values), min_size=rows, max_size=rows)), dtype=np.int64)

    card = of(0, 1)
    return CardOrders(
        occurred_ms=np.cumsum(of(*STEPS)),
        amount_mills=of(10_000, 20_000, 25_763),
        card_number=card,
        card=card,
        address=of(-1, 0, 1),
        device=of(-1, 0, 1),
        email_domain=of(-1, 0, 1),
        product=of(0, 1),
        running_totals_mills=(of(0, 10_000, 20_000, 30_000), of(0, 10_000)),
        finding=of(-1, 0, 1).astype(np.int8),
    )


def earlier(orders, row, window="ever", **same):
    """The rows in [as_of - window, as_of), by the plain rule; `same` names columns that must be equal."""
    as_of = orders.occurred_ms[row]
    return [
        other
        for other in range(len(orders))
        if as_of - WINDOWS[window] <= orders.occurred_ms[other] < as_of
        and all(column[other] == column[row] for column in same.values())
    ]


def history(orders):
    return {name: column for group in build_history(orders).values() for name, column in group.items()}


@settings(max_examples=60)
@given(card_orders())
def test_counts_and_distinct_partners_are_those_of_the_plain_rule(orders):
    built = history(orders)
    for row in range(len(orders)):
        for window in ("1h", "1d", "7d", "30d"):
            rows = earlier(orders, row, window, card=orders.card)
            assert built[f"card_order_count_{window}"][row] == len(rows)
            same = earlier(orders, row, window, card=orders.card, address=orders.address)
            assert built[f"card_address_order_count_{window}"][row] == len(same)
        for window in ("7d", "30d"):
            devices = {orders.device[other] for other in earlier(orders, row, window, card=orders.card)} - {
                -1
            }
            assert built[f"card_device_distinct_{window}"][row] == len(devices)
        expected = len(earlier(orders, row, "1d", device=orders.device))
        counted = built["device_order_count_1d"][row]
        assert np.isnan(counted) if orders.device[row] < 0 else counted == expected


@settings(max_examples=60)
@given(card_orders())
def test_amounts_recency_and_shares_are_those_of_the_plain_rule(orders):
    built = history(orders)
    cents = orders.amount_mills // 10
    for row in range(len(orders)):
        rows = earlier(orders, row, "30d", card=orders.card)
        ratio = cents[row] / np.mean(cents[rows]) if rows else np.nan
        assert built["card_amount_ratio_to_mean_30d"][row] == pytest.approx(ratio, rel=1e-5, nan_ok=True)
        same = earlier(orders, row, "30d", card=orders.card, product=orders.product)
        share = len(same) / len(rows) if rows else np.nan
        assert built["card_same_product_share_30d"][row] == pytest.approx(share, rel=1e-5, nan_ok=True)
        ever = earlier(orders, row, card=orders.card)
        since = (orders.occurred_ms[row] - orders.occurred_ms[ever].max()) / 1000 if ever else np.nan
        assert built["card_since_previous_s"][row] == pytest.approx(since, rel=1e-5, nan_ok=True)


@settings(max_examples=60)
@given(card_orders())
def test_a_finding_counts_only_after_its_delay(orders):
    built = history(orders)
    for row in range(len(orders)):
        latest = orders.occurred_ms[row] - FINDING_DELAY_DAYS * DAY_MS
        rows = [
            other for other in earlier(orders, row, card=orders.card) if orders.occurred_ms[other] < latest
        ]
        assert built["card_finding_count_ever"][row] == sum(orders.finding[rows] == 1)
        assert built["card_cleared_count_ever"][row] == sum(orders.finding[rows] == 0)


@settings(max_examples=60)
@given(card_orders())
def test_the_previous_order_of_a_client_is_the_last_whose_total_plus_amount_is_this_total(orders):
    previous = previous_order_of_client(orders)
    for row in range(len(orders)):
        expected = -1
        for total in orders.running_totals_mills:
            matching = [
                other
                for other in earlier(orders, row, card=orders.card)
                if total[row] > 0
                and round((total[other] + orders.amount_mills[other]) / 10) == round(total[row] / 10)
            ]
            if matching and expected < 0:
                expected = max(matching)
        assert previous[row] == expected
    first = clients_of(previous)
    assert all(
        first[row] == (row if previous[row] < 0 else first[previous[row]]) for row in range(len(first))
    )


def cut_to(orders, rows):
    def cut(value):
        return tuple(column[:rows] for column in value) if isinstance(value, tuple) else value[:rows]

    return CardOrders(**{item.name: cut(getattr(orders, item.name)) for item in fields(orders)})


@settings(max_examples=80)
@given(card_orders(least=2), st.data())
def test_no_feature_sees_the_future_or_an_order_of_the_same_instant(orders, data):
    row = data.draw(st.integers(0, len(orders) - 1))
    until = int(np.searchsorted(orders.occurred_ms, orders.occurred_ms[row], side="left"))
    alone = cut_to(orders, until)
    own = {
        name: np.append(getattr(alone, name), getattr(orders, name)[row])
        for name in ("occurred_ms", "amount_mills", "finding", *CODED)
    }
    totals = zip(alone.running_totals_mills, orders.running_totals_mills, strict=True)
    known = CardOrders(**own, running_totals_mills=tuple(np.append(one, all_[row]) for one, all_ in totals))
    whole, then = history(orders), history(known)
    for name, column in then.items():
        assert np.array_equal(column[-1:], whole[name][row : row + 1], equal_nan=True), name


@given(card_orders())
def test_an_orders_own_finding_and_those_of_the_last_days_change_nothing(orders):
    recent = orders.occurred_ms >= orders.occurred_ms[-1] - FINDING_DELAY_DAYS * DAY_MS
    other = replace(orders, finding=np.where(recent, 1 - orders.finding, orders.finding).astype(np.int8))
    one, two = history(orders), history(other)
    for name, column in one.items():
        assert np.array_equal(column[recent], two[name][recent], equal_nan=True), name


@pytest.mark.parametrize("group", HISTORY_GROUPS, ids=lambda group: group.name)
def test_a_group_built_alone_is_the_same_as_among_all(group):
    orders = CardOrders(
        occurred_ms=np.array([0, 5, 5, DAY_MS, 40 * DAY_MS]),
        amount_mills=np.array([1000, 2000, 1000, 1000, 2000]),
        **{name: np.array([0, 0, 1, 0, 0]) for name in CODED},
        running_totals_mills=(np.array([0, 1000, 0, 0, 1000]),),
        finding=np.array([1, 0, 0, 0, -1], dtype=np.int8),
    )
    alone = build_history(orders, groups=(group.name,))
    among = build_history(orders)[group.name]
    assert set(alone) == {group.name}
    for name, column in among.items():
        assert np.array_equal(column, alone[group.name][name], equal_nan=True)


def test_orders_that_do_not_ascend_and_unknown_groups_are_refused():
    one = np.array([1, 0])
    coded = dict.fromkeys(CODED, one)
    with pytest.raises(ValueError, match="ascend"):
        CardOrders(
            occurred_ms=one, amount_mills=one, **coded, running_totals_mills=(), finding=one.astype(np.int8)
        )
    orders = CardOrders(
        occurred_ms=one[::-1], amount_mills=one, **coded, running_totals_mills=(), finding=one.astype(np.int8)
    )
    with pytest.raises(ValueError, match="no groups nonsense"):
        build_history(orders, groups=("nonsense",))
