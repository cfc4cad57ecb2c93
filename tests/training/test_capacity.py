"""The figures at a daily capacity and average precision, each against a slow and obvious twin."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from data_contracts.instants import DAY_MS
from training.capacity import CapacityFigures, at_daily_capacity
from training.evaluation import average_precision_difference, evaluate

quick = settings(max_examples=60)
FIRST_DAY = 20_000


@dataclass(frozen=True)
class Order:
    label: int
    probability: float
    amount_cents: int
    day: int
    ms_of_day: int


orders_of_some_days = st.lists(
    st.builds(
        Order,
        label=st.sampled_from([-1, 0, 1]),
        # Few values, so that there are ties.
        probability=st.one_of(st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.floats(0, 1)),
        amount_cents=st.one_of(st.sampled_from([0, 100, 500]), st.integers(0, 500_000)),
        day=st.integers(FIRST_DAY, FIRST_DAY + 4),
        ms_of_day=st.one_of(st.sampled_from([0, DAY_MS - 1]), st.integers(0, DAY_MS - 1)),
    ),
    min_size=1,
    max_size=30,
)


def figures_of(orders: list[Order], orders_per_day: int, seed: int = 0) -> CapacityFigures:
    return at_daily_capacity(
        np.array([order.label for order in orders], dtype=np.int8),
        np.array([order.probability for order in orders]),
        np.array([order.amount_cents for order in orders], dtype=np.int64),
        np.array([order.day * DAY_MS + order.ms_of_day for order in orders], dtype=np.int64),
        orders_per_day=orders_per_day,
        seed=seed,
    )


def twin(orders: list[Order], orders_per_day: int) -> tuple[int, float, float, float, float]:
    """Days, precision, recall, saved cents a day and saved share, with a plain loop over the days."""
    days = sorted({order.day for order in orders})
    reviewed: list[Order] = []
    for day in days:
        queue = [order for order in orders if order.day == day]
        queue.sort(key=lambda order: order.probability * order.amount_cents, reverse=True)
        reviewed.extend(queue[:orders_per_day])
    caught = [order for order in reviewed if order.label == 1]
    frauds = [order for order in orders if order.label == 1]
    saved = sum(order.amount_cents for order in caught)
    at_stake = sum(order.amount_cents for order in frauds)
    return (
        len(days),
        len(caught) / len(reviewed) if reviewed else 0.0,
        len(caught) / len(frauds) if frauds else 0.0,
        saved / len(days),
        saved / at_stake if at_stake else 0.0,
    )


@quick
@given(orders=orders_of_some_days, orders_per_day=st.integers(0, 12))
def test_the_figures_are_those_of_a_plain_loop_over_the_days(
    orders: list[Order], orders_per_day: int
) -> None:
    found = figures_of(orders, orders_per_day)
    assert (
        found.days,
        found.precision.value,
        found.recall.value,
        found.saved_cents_per_day.value,
        found.saved_share.value,
    ) == twin(orders, orders_per_day)
    assert found.orders_per_day == orders_per_day


@quick
@given(orders=orders_of_some_days, orders_per_day=st.integers(1, 12))
def test_shares_and_their_intervals_lie_between_0_and_1(orders: list[Order], orders_per_day: int) -> None:
    found = figures_of(orders, orders_per_day)
    for share in (found.precision, found.recall, found.saved_share):
        assert 0 <= share.value <= 1
        assert 0 <= share.low <= share.high <= 1
    saved = found.saved_cents_per_day
    assert 0 <= saved.low <= saved.high
    assert saved.value >= 0


@quick
@given(orders=orders_of_some_days)
def test_a_team_that_looks_at_every_order_finds_every_fraud(orders: list[Order]) -> None:
    found = figures_of(orders, len(orders))
    frauds = sum(order.label == 1 for order in orders)
    assert found.recall.value == (1.0 if frauds else 0.0)
    assert found.precision.value == frauds / len(orders)


@quick
@given(orders=orders_of_some_days, orders_per_day=st.integers(1, 12))
def test_more_capacity_never_lowers_recall_or_what_is_saved(orders: list[Order], orders_per_day: int) -> None:
    less, more = figures_of(orders, orders_per_day), figures_of(orders, orders_per_day + 1)
    for name in ("recall", "saved_cents_per_day", "saved_share"):
        assert getattr(less, name).value <= getattr(more, name).value


@quick
@given(orders=orders_of_some_days, orders_per_day=st.integers(1, 12))
def test_an_order_without_a_label_counts_as_one_that_is_no_fraud(
    orders: list[Order], orders_per_day: int
) -> None:
    labelled = [replace(order, label=max(order.label, 0)) for order in orders]
    assert figures_of(orders, orders_per_day) == figures_of(labelled, orders_per_day)


def test_an_unlabelled_order_takes_a_place_in_the_review() -> None:
    unlabelled = Order(label=-1, probability=0.9, amount_cents=10_000, day=FIRST_DAY, ms_of_day=0)
    fraud = Order(label=1, probability=0.5, amount_cents=10_000, day=FIRST_DAY, ms_of_day=1)
    one = figures_of([fraud, unlabelled], 1)
    assert (one.precision.value, one.recall.value, one.saved_cents_per_day.value) == (0, 0, 0)
    two = figures_of([fraud, unlabelled], 2)
    assert (two.precision.value, two.recall.value, two.saved_cents_per_day.value) == (0.5, 1, 10_000)


def test_the_queue_is_ordered_by_probability_times_amount() -> None:
    likely = Order(label=0, probability=0.9, amount_cents=1_000, day=FIRST_DAY, ms_of_day=0)
    large = Order(label=1, probability=0.1, amount_cents=50_000, day=FIRST_DAY, ms_of_day=1)
    assert figures_of([likely, large], 1).recall.value == 1


def test_each_day_has_its_own_capacity_from_midnight_utc() -> None:
    last = Order(label=1, probability=0.5, amount_cents=3_000, day=FIRST_DAY, ms_of_day=DAY_MS - 1)
    first = Order(label=1, probability=0.5, amount_cents=1_000, day=FIRST_DAY + 1, ms_of_day=0)
    found = figures_of([last, first], 1)
    assert (found.days, found.recall.value, found.saved_cents_per_day.value) == (2, 1, 2_000)


def test_with_a_single_day_there_is_nothing_else_to_draw() -> None:
    labels = (1, 0, 1, -1)
    orders = [
        Order(label=label, probability=0.5, amount_cents=100 * place, day=FIRST_DAY, ms_of_day=place)
        for place, label in enumerate(labels)
    ]
    found = figures_of(orders, 2)
    for figure in (found.precision, found.recall, found.saved_cents_per_day, found.saved_share):
        assert figure.low == figure.value == figure.high


def test_the_same_seed_gives_the_same_intervals_and_another_gives_others() -> None:
    generator = np.random.default_rng(4)
    orders = [
        Order(
            label=int(generator.random() < 0.2),
            probability=float(generator.random()),
            amount_cents=int(generator.integers(100, 90_000)),
            day=FIRST_DAY + int(generator.integers(0, 40)),
            ms_of_day=0,
        )
        for _ in range(400)
    ]
    assert figures_of(orders, 3, seed=1) == figures_of(orders, 3, seed=1)
    one, other = figures_of(orders, 3, seed=1), figures_of(orders, 3, seed=2)
    assert one.precision.value == other.precision.value
    assert (one.precision.low, one.precision.high) != (other.precision.low, other.precision.high)
    assert one.recall.low < one.recall.value < one.recall.high


Ranked = tuple[list[int], list[float], list[float]]


@st.composite
def ranked_orders(draw: st.DrawFn) -> Ranked:
    """Labels of both kinds, and the probabilities of two models, with many ties or few."""
    labels = [1] * draw(st.integers(4, 15)) + [0] * draw(st.integers(4, 30))
    labels = draw(st.permutations(labels))
    probability = st.one_of(st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.floats(0, 1, allow_subnormal=False))
    given_by = st.lists(probability, min_size=len(labels), max_size=len(labels))
    return labels, draw(given_by), draw(given_by)


def customers(count: int) -> np.ndarray:
    return np.array([f"c{place}" for place in range(count)], dtype=object)


@quick
@given(drawn=ranked_orders())
def test_average_precision_is_that_of_scikit_learn_with_ties_too(drawn: Ranked) -> None:
    labels, probability, rival = drawn
    label, ours, theirs = np.array(labels, dtype=np.int8), np.array(probability), np.array(rival)
    expected, other = average_precision_score(label, ours), average_precision_score(label, theirs)
    evaluation = evaluate(label, ours, customers(len(label)), rounds=20)
    assert evaluation.average_precision.value == pytest.approx(expected, abs=1e-12)
    difference = average_precision_difference(label, ours, theirs, customers(len(label)), rounds=20)
    assert difference.value == pytest.approx(expected - other, abs=1e-12)


@pytest.mark.parametrize("weight_of_ties", [1, 5])
def test_average_precision_shares_the_rank_among_ties(weight_of_ties: int) -> None:
    label = np.array([1, 0, 1, 0] * weight_of_ties, dtype=np.int8)
    level = np.full(len(label), 0.3)
    evaluation = evaluate(label, level, customers(len(label)), rounds=50)
    assert evaluation.average_precision.value == 0.5


@quick
@given(drawn=ranked_orders())
def test_the_difference_turns_its_sign_when_the_models_change_places(drawn: Ranked) -> None:
    labels, probability, rival = drawn
    label, ours, theirs = np.array(labels, dtype=np.int8), np.array(probability), np.array(rival)
    names = customers(len(label))
    forth = average_precision_difference(label, ours, theirs, names, rounds=20, seed=3)
    back = average_precision_difference(label, theirs, ours, names, rounds=20, seed=3)
    assert back.value == -forth.value
    assert (back.low, back.high) == pytest.approx((-forth.high, -forth.low), abs=1e-12)


@quick
@given(drawn=ranked_orders())
def test_a_model_differs_from_itself_by_nothing_at_all(drawn: Ranked) -> None:
    labels, probability, _ = drawn
    label, ours = np.array(labels, dtype=np.int8), np.array(probability)
    same = average_precision_difference(label, ours, ours, customers(len(label)), rounds=20)
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_the_paired_interval_is_that_of_scikit_learn_over_drawn_customers() -> None:
    generator = np.random.default_rng(8)
    label = (generator.random(300) < 0.15).astype(np.int8)
    ours = np.round(generator.random(300) * 0.5 + label * 0.3, 1)
    theirs = np.round(generator.random(300) * 0.8 + label * 0.2, 1)
    customer = generator.integers(0, 100, 300)
    names = np.array([f"c{number:03d}" for number in customer], dtype=object)
    found = average_precision_difference(label, ours, theirs, names, rounds=400, seed=1)
    differences = []
    for _ in range(400):
        drawn = generator.choice(100, 100)
        rows = np.concatenate([np.flatnonzero(customer == number) for number in drawn])
        differences.append(
            average_precision_score(label[rows], ours[rows])
            - average_precision_score(label[rows], theirs[rows])
        )
    low, high = np.quantile(differences, [0.025, 0.975])
    # Other draws, and a slightly different way to draw them: the width tells, not the last digit.
    assert found.low == pytest.approx(low, abs=0.06)
    assert found.high == pytest.approx(high, abs=0.06)
    assert found.low < found.value < found.high
