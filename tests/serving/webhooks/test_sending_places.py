"""Who has a place while others hang: bounded, and never at the cost of who answers."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from serving.webhooks.sending_places import (
    AT_ONE_ENDPOINT,
    BEGUN_AT_ONCE,
    HANGING_AT_ONCE,
    ON_THE_WAY_AT_ONCE,
    SLOW_AFTER_SECONDS,
    UNPROVEN_AT_ONCE,
    UNTRIED_BEGUN_AT_ONCE,
    SendingPlaces,
    Standing,
)


class Sending:
    """Begins what may begin, and gives each attempt its number."""

    def __init__(self) -> None:
        self.places = SendingPlaces()
        self.attempts = 0

    def begin(self, turns: list[str], now_s: float) -> list[str]:
        room = self.places.room(now_s)
        begun = [turn for turn in turns if room.take(turn)]
        for turn in begun:
            self.attempts += 1
            self.places.begins(self.attempts, turn, now_s)
        return begun


def test_who_was_never_tried_waits_a_second_for_each_48_that_hang_and_no_longer() -> None:
    sending = Sending()
    hanging = [f"hangs-{number}" for number in range(200)]
    waiting = [*hanging, "new"]
    second = 0
    while "new" in waiting:
        begun = sending.begin(waiting, second * SLOW_AFTER_SECONDS)
        assert 0 < len(begun) <= UNTRIED_BEGUN_AT_ONCE
        waiting = [turn for turn in waiting if turn not in begun]
        second += 1
    assert second == 200 // UNTRIED_BEGUN_AT_ONCE + 1


def test_however_many_hang_who_answers_has_places() -> None:
    sending = Sending()
    sending.begin(["answers"], 0.0)
    sending.places.comes_back(1, answered=True)
    for second in range(20):
        sending.begin([f"hangs-{number}" for number in range(1_000)], float(second))
    assert len(sending.places) == UNPROVEN_AT_ONCE
    assert not sending.places.room(20.0).is_left_for(Standing.UNTRIED)
    assert sending.begin(["answers"] * 9, 20.0) == ["answers"] * AT_ONE_ENDPOINT


def test_those_that_did_not_answer_last_share_a_few_places_until_they_answer() -> None:
    sending = Sending()
    known = [f"hangs-{number}" for number in range(100)]
    assert all(sending.places.did_not_answer_before(turn) for turn in known)
    assert not sending.places.did_not_answer_before(known[0])
    assert sending.begin([*known, "new"], 0.0) == [*known[:HANGING_AT_ONCE], "new"]
    assert sending.places.full_turns() == sorted([*known, "new"])
    sending.places.comes_back(1, answered=True)
    assert sending.places.answering_turns() == [known[0]]
    assert sending.begin([known[0], known[50], known[51]], 5.0) == [known[0], known[50]]


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(["begin", "answered", "hung"]), st.floats(0, 3)),
        max_size=300,
    )
)
def test_no_bound_is_ever_passed(steps: list[tuple[int, str, float]]) -> None:
    sending, on_the_way, now_s = Sending(), {}, 0.0
    for number, what, seconds in steps:
        now_s += seconds
        if what == "begin":
            first = sending.attempts
            begun = sending.begin([f"m-{number % 50}", *(f"n-{one}" for one in range(number))], now_s)
            on_the_way |= {first + place + 1: (turn, now_s) for place, turn in enumerate(begun)}
        elif on_the_way:
            attempt = sorted(on_the_way)[number % len(on_the_way)]
            del on_the_way[attempt]
            sending.places.comes_back(attempt, answered=what == "answered")
        standings = Counter(sending.places.standing(turn) for turn, _ in on_the_way.values())
        assert len(sending.places) == len(on_the_way) <= ON_THE_WAY_AT_ONCE
        assert standings[Standing.UNTRIED] + standings[Standing.HANGS] <= UNPROVEN_AT_ONCE + BEGUN_AT_ONCE
        assert sum(now_s - at_s < SLOW_AFTER_SECONDS for _, at_s in on_the_way.values()) <= BEGUN_AT_ONCE
        assert max(Counter(turn for turn, _ in on_the_way.values()).values(), default=0) <= AT_ONE_ENDPOINT
