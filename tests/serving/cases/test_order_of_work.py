"""The order of work: what waiting loses, hand-overs, the sample."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.instants import HOUR_MS, SECOND_MS
from serving.domain.order_of_work import is_sampled, next_handover_ms, priority, sample_priority, stop_chance
from serving.domain.review_case import CaseOrigin
from serving.domain.review_policy import ReviewPolicy
from tests.serving.cases.an_open_case import NOW_MS, OPEN, POLICY, STAKES


def test_the_sample_takes_the_share_that_the_policy_says() -> None:
    draws = [position / 1_000 for position in range(1_000)]
    assert sum(is_sampled(draw, POLICY) for draw in draws) == 10
    assert not is_sampled(0.0, replace(POLICY, sample_share=0.0))
    assert is_sampled(0.999, replace(POLICY, sample_share=1.0))


def chance(hours: float, **stakes: bool) -> float:
    handover_at_ms = NOW_MS + round(hours * HOUR_MS)
    return stop_chance(replace(STAKES, handover_at_ms=handover_at_ms, **stakes), NOW_MS, POLICY)


def cents_per_hour(
    probability: float, amount_cents: int, hours: float, *, policy: ReviewPolicy = POLICY, **stakes: bool
) -> int:
    at_stake = replace(
        STAKES,
        probability=probability,
        amount_cents=amount_cents,
        handover_at_ms=NOW_MS + round(hours * HOUR_MS),
        **stakes,
    )
    return priority(at_stake, NOW_MS, policy)


def test_an_early_stop_nearly_always_works_and_one_three_hours_before_the_last_moment_in_half() -> None:
    assert chance(240, recallable=False) > 0.999
    assert chance(1, recallable=False) == pytest.approx(0.5)
    assert chance(-2, recallable=False) == 0


def test_after_an_order_has_left_a_stop_can_bring_what_a_recall_can() -> None:
    assert chance(5, left=True) == chance(-2) == POLICY.recall_chance
    assert chance(5, left=True, recallable=False) == 0


def test_after_a_service_has_begun_a_stop_can_bring_what_cutting_it_can() -> None:
    assert chance(-5, left=True, is_service=True) == POLICY.service_stop_chance
    assert chance(-5, left=True, recallable=False, is_service=True) == 0


@given(st.floats(-500, 500), st.floats(0, 100), st.booleans(), st.booleans())
def test_the_chance_of_a_stop_is_a_probability_and_never_rises_with_time(
    hours: float, elapsed: float, recallable: bool, is_service: bool
) -> None:
    later = chance(hours - elapsed, recallable=recallable, is_service=is_service)
    now = chance(hours, recallable=recallable, is_service=is_service)
    assert 0 <= later <= now < 1
    assert chance(hours, left=True, recallable=recallable, is_service=is_service) <= later


@given(st.floats(-10, 200))
def test_the_chance_of_a_stop_falls_without_a_jump(hours: float) -> None:
    assert chance(hours) - chance(hours - 1 / 60) < 0.01


def test_the_priority_is_what_the_next_hour_loses_and_a_share_of_what_remains() -> None:
    policy = replace(POLICY, recall_chance=0.0)
    # One hour before the hand-over the chance is 1/2, at the hand-over 4/13.
    expected = 0.8 * 100_000 * (1 / 2 - 4 / 13 + 0.01 / 2)
    assert cents_per_hour(0.8, 100_000, 1, policy=policy) == round(expected)


@given(
    amount_cents=st.integers(1_000, 500_000),
    likely=st.floats(0.5, 0.9),
    surer=st.floats(0.7, 1.0),
    certain=st.floats(0.0, 1.0),
    hours_to_handover=st.floats(0.1, 1.0),
    recall_chance=st.floats(0.0, 0.5),
    recallable=st.booleans(),
)
def test_a_likely_fraud_that_leaves_within_the_hour_precedes_a_surer_one_and_both_one_that_left(
    amount_cents: int,
    likely: float,
    surer: float,
    certain: float,
    hours_to_handover: float,
    recall_chance: float,
    recallable: bool,
) -> None:
    policy = replace(POLICY, recall_chance=recall_chance)
    leaving = cents_per_hour(likely, amount_cents, hours_to_handover, recallable=recallable, policy=policy)
    days_away = cents_per_hour(surer, amount_cents, 120, recallable=recallable, policy=policy)
    left = cents_per_hour(certain, amount_cents, -6, left=True, policy=policy)
    assert leaving > days_away > left


def test_orders_far_from_their_hand_over_and_orders_that_left_are_ordered_by_what_is_at_stake() -> None:
    assert cents_per_hour(0.9, 200_000, 120) > cents_per_hour(0.9, 100_000, 120)
    assert cents_per_hour(0.9, 200_000, -6, left=True) > cents_per_hour(0.9, 100_000, -6, left=True)
    assert cents_per_hour(0.9, 200_000, -6, left=True) > 0
    assert cents_per_hour(0.9, 200_000, -6, left=True, recallable=False) == 0


@given(
    probabilities=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    amounts_cents=st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)),
    hours=st.floats(-500, 500),
    left=st.booleans(),
    recallable=st.booleans(),
)
def test_the_priority_is_never_negative_and_grows_with_probability_and_amount(
    probabilities: tuple[float, float],
    amounts_cents: tuple[int, int],
    hours: float,
    left: bool,
    recallable: bool,
) -> None:
    def of(probability: float, amount_cents: int) -> int:
        return cents_per_hour(probability, amount_cents, hours, left=left, recallable=recallable)

    low, high = sorted(probabilities)
    small, large = sorted(amounts_cents)
    assert 0 <= of(low, small) <= of(low, large) <= of(high, large)
    assert of(low, small) <= of(high, small) <= of(high, large)


@pytest.mark.parametrize(("probability", "amount_cents"), [(-0.1, 1), (1.1, 1), (float("nan"), 1), (0.5, -1)])
def test_a_priority_of_impossible_numbers_is_refused(probability: float, amount_cents: int) -> None:
    with pytest.raises(ValueError, match="must"):
        cents_per_hour(probability, amount_cents, 1)


def milliseconds(instant: datetime) -> int:
    return int(instant.timestamp()) * SECOND_MS


def handover(now: datetime, cutoff: str, first_possible: datetime | None = None) -> datetime:
    first_possible_ms = milliseconds(first_possible or now)
    at_ms = next_handover_ms(milliseconds(now), cutoff, "Europe/Berlin", first_possible_ms)
    return datetime.fromtimestamp(at_ms // SECOND_MS, UTC)


def test_the_next_hand_over_is_today_up_to_its_minute_and_tomorrow_after_it() -> None:
    at = datetime(2026, 6, 15, 15, 0, tzinfo=UTC)  # 17:00 in Berlin
    assert handover(at - timedelta(hours=3), "17:00") == at
    assert handover(at, "17:00") == at
    assert handover(at + timedelta(seconds=1), "17:00") == at + timedelta(days=1)


def test_an_order_that_cannot_be_packed_yet_leaves_with_a_later_hand_over() -> None:
    now = datetime(2026, 6, 15, 8, 0, tzinfo=UTC)
    assert handover(now, "17:00", now + timedelta(days=4)) == datetime(2026, 6, 19, 15, 0, tzinfo=UTC)
    assert handover(now, "17:00", now - timedelta(days=4)) == datetime(2026, 6, 15, 15, 0, tzinfo=UTC)


def test_a_hand_over_keeps_its_local_time_across_the_change_to_summer_time() -> None:
    assert handover(datetime(2026, 3, 28, 17, 0, tzinfo=UTC), "17:00").hour == 15
    assert handover(datetime(2026, 3, 27, 17, 0, tzinfo=UTC), "17:00").hour == 16


def test_a_local_time_that_does_not_exist_moves_forward() -> None:
    # On 29 March 2026 Berlin goes from 02:00 to 03:00, so 02:30 becomes 03:30, 01:30 UTC.
    expected = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert handover(datetime(2026, 3, 28, 12, 0, tzinfo=UTC), "02:30") == expected


def test_of_a_local_time_that_comes_twice_the_first_counts() -> None:
    # On 25 October 2026 Berlin has 02:30 at 00:30 and at 01:30 UTC.
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert handover(first - timedelta(hours=2), "02:30") == first
    assert handover(first + timedelta(minutes=1), "02:30") == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@given(
    change=st.sampled_from(
        ["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01"]
    ),
    seconds_since=st.integers(-48 * 3_600, 48 * 3_600),
    minutes=st.integers(0, 24 * 60 - 1) | st.integers(0, 4 * 60),
    # Lord Howe turns its clocks by half an hour, Beirut and Havana at midnight.
    time_zone=st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut", "America/Havana"]),
)
def test_a_hand_over_is_found_as_by_looking_at_the_clock_every_minute(
    change: str, seconds_since: int, minutes: int, time_zone: str
) -> None:
    cutoff = f"{minutes // 60:02}:{minutes % 60:02}"
    zone = ZoneInfo(time_zone)
    now = datetime.fromisoformat(change).replace(tzinfo=UTC) + timedelta(seconds=seconds_since)
    at_ms = next_handover_ms(milliseconds(now), cutoff, time_zone, 0)
    at = datetime.fromtimestamp(at_ms // SECOND_MS, UTC)
    first_minute = now + timedelta(seconds=-now.second % 60)
    clock = (first_minute + timedelta(minutes=minute) for minute in range(50 * 60))
    seen = next(
        instant
        for instant in clock
        if f"{instant.astimezone(zone):%H:%M}" == cutoff and not instant.astimezone(zone).fold
    )
    if at != seen:
        # The clock never showed it, because it was turned forward over it.
        local, before = at.astimezone(zone), (at - timedelta(hours=2)).astimezone(zone)
        turned_by = (local.utcoffset() or timedelta()) - (before.utcoffset() or timedelta())
        assert turned_by > timedelta()
        assert now <= at < seen
        assert f"{local.replace(tzinfo=None) - turned_by:%H:%M}" == cutoff


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_sampled_case_rises_with_waiting_past_any_priority(earlier_ms: int, later_ms: int) -> None:
    case = replace(OPEN, origin=CaseOrigin.SAMPLED)
    earlier, later = (
        sample_priority(case, case.opened_at_ms + ms, POLICY) for ms in sorted((earlier_ms, later_ms))
    )
    assert earlier <= later
    assert sample_priority(case, case.due_at_ms, POLICY) == POLICY.sample_worth_cents
    assert (
        sample_priority(case, case.due_at_ms + 1_000 * (case.due_at_ms - case.opened_at_ms), POLICY) > 10**6
    )
    assert sample_priority(OPEN, case.due_at_ms, POLICY) == 0
