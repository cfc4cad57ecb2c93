"""What merchants' own keys may ask about a customer and hold of a limit: no limit can be told, or used up."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from data_contracts.instants import DAY_MS, HOUR_MS
from serving.domain.checkout_decision import decide
from serving.domain.decision import AccountStanding, Decision, Outcome
from serving.domain.errors import PolicyInvalid
from serving.domain.merchant_keys import (
    MerchantKeyHoldings,
    MerchantKeyPolicy,
    QuestionKind,
    approved_up_to_cents,
)
from serving.domain.policy import LimitBand, Policy
from serving.domain.policy_reader import parse_policy
from serving.domain.reasons import reason_text
from serving.store.api_keys import Role
from serving.store.merchant_questions import count_question, lock_of_questions
from serving.store.open_store import open_store
from serving.store.reservations import confirm, held_by_merchants_keys, reserve
from serving.store.store import Store
from tests.builders import DAY
from tests.serving.checkout.test_domain import APPLICANT, AS_OF, GOOD, ORDER, POLICY, POLICY_TEXT, STANDING
from tests.serving.store.test_store import NOW, a_reservation

BOUNDS = MerchantKeyPolicy(
    amount_steps_cents=(2_500, 5_000, 10_000, 25_000, 60_000),
    questions_per_customer_hour=3,
    questions_per_customer_day=5,
    questions_per_hour=8,
    unconfirmed_share_percent=60,
    unconfirmed_minutes=30,
    unconfirmed_orders=3,
)
NOTHING_HELD = MerchantKeyHoldings()


def a_policy(limit_cents: int) -> Policy:
    """Everybody has this limit, and the steps are those of BOUNDS."""
    band = LimitBand(
        from_points=100, stranger_cents=limit_cents, known_cents=limit_cents, established_cents=limit_cents
    )
    return replace(POLICY, limits=(band,), limit_growth=None, merchant_keys=BOUNDS)


def decided(
    amount_cents: int,
    policy: Policy,
    holdings: MerchantKeyHoldings | None,
    standing: AccountStanding = STANDING,
) -> Decision:
    order = changed(ORDER, amount_cents=amount_cents)
    return decide(order, APPLICANT, standing, GOOD, policy, as_of=AS_OF, merchant_key=holdings)


def failed(decision: Decision) -> list[str]:
    return [failure.code for failure in decision.failed_rules]


# Steps


def slowly_rounded_up(cents: int) -> int:
    """The obvious twin of `rounded_up`."""
    multiples = (BOUNDS.amount_steps_cents[-1] * number for number in range(2, 100))
    return next(step for step in (*BOUNDS.amount_steps_cents, *multiples) if step >= cents)


@given(st.integers(1, 1_000_000))
def test_an_amount_is_rounded_up_to_the_next_step(cents: int) -> None:
    assert BOUNDS.rounded_up(cents) == slowly_rounded_up(cents)


@given(st.integers(1, 400_000), st.integers(-50_000, 400_000))
def test_an_amount_rounded_up_is_within_what_its_last_step_is_within(cents: int, room: int) -> None:
    assert (BOUNDS.rounded_up(cents) <= room) == (cents <= BOUNDS.largest_step_within(room))


amounts = st.integers(0, 120_000)


@given(st.integers(1, 200_000), amounts, amounts, amounts, amounts, amounts)
def test_an_order_is_approved_up_to_the_amount_that_fits_with_all_that_its_merchant_holds(
    cents: int, limit: int, confirmed: int, unconfirmed: int, others_unconfirmed: int, others: int
) -> None:
    holdings = MerchantKeyHoldings(
        own_confirmed_cents=confirmed,
        own_unconfirmed_cents=unconfirmed,
        others_unconfirmed_cents=others_unconfirmed,
    )
    exposure = confirmed + unconfirmed + others_unconfirmed + others
    up_to = approved_up_to_cents(holdings, BOUNDS, limit_cents=limit, exposure_cents=exposure)
    of_limit = slowly_rounded_up(confirmed + unconfirmed + cents) + others_unconfirmed + others <= limit
    of_share = slowly_rounded_up(unconfirmed + cents) + others_unconfirmed <= limit * 60 // 100
    assert (cents <= up_to) == (of_limit and of_share)


# No limit can be told


@dataclass(frozen=True)
class Step:
    """What a merchant does with its key: asks, or has an order decided, confirms it, cancels it."""

    kind: Literal["precheck", "score", "confirm", "cancel"]
    order: int
    cents: int


steps = st.builds(
    Step,
    st.sampled_from(["precheck", "score", "confirm", "cancel"]),
    st.integers(0, 4),
    st.one_of(st.integers(100, 90_000), st.sampled_from([2_499, 2_500, 2_501, 15_000, 15_001])),
)


def answers(steps: list[Step], *, limit_cents: int, others_cents: int) -> list[tuple[str, tuple[str, ...]]]:
    """What a merchant's key is told, step by step. others_cents: what counts beside its merchant's orders."""
    policy = a_policy(limit_cents)
    held: dict[int, tuple[int, str]] = {}
    told = []
    for step in steps:
        if step.kind in {"confirm", "cancel"}:
            if step.kind == "cancel":
                held.pop(step.order, None)
            elif step.order in held:
                held[step.order] = held[step.order][0], "confirmed"
            continue
        if step.kind == "score" and held.get(step.order, (0, ""))[1] == "confirmed":
            continue
        beside = [one for order, one in held.items() if order != step.order]
        unconfirmed = [cents for cents, state in beside if state == "reserved"]
        holdings = MerchantKeyHoldings(
            own_confirmed_cents=sum(cents for cents, state in beside if state == "confirmed"),
            own_unconfirmed_cents=sum(unconfirmed),
            own_unconfirmed_orders=len(unconfirmed),
        )
        standing = changed(STANDING, reserved_cents=others_cents + sum(cents for cents, _ in beside))
        decision = decided(step.cents, policy, holdings, standing)
        told.append((decision.outcome.value, decision.alternatives))
        if step.kind == "score":
            held.pop(step.order, None)
            if decision.outcome is Outcome.APPROVED:
                held[step.order] = step.cents, "reserved"
    return told


@given(st.lists(steps, max_size=40), st.integers(0, 150_000), st.integers(0, 60_000), st.data())
def test_whatever_a_merchant_asks_and_holds_the_answers_are_the_same_for_every_limit_between_two_steps(
    steps: list[Step], limit: int, others: int, data: st.DataObject
) -> None:
    def place(limit_cents: int) -> tuple[int, int]:
        """Between which steps a limit lies: what is left of it, and of the share."""
        left, share = limit_cents - others, limit_cents * BOUNDS.unconfirmed_share_percent // 100
        return BOUNDS.largest_step_within(left), BOUNDS.largest_step_within(share)

    alike = [
        other for other in range(max(limit - 3_000, 0), limit + 3_000, 37) if place(other) == place(limit)
    ]
    other = data.draw(st.sampled_from([limit, *alike]))
    told = answers(steps, limit_cents=limit, others_cents=others)
    assert told == answers(steps, limit_cents=other, others_cents=others)


def test_a_search_by_halves_finds_no_limit_but_the_steps_around_it() -> None:
    def found(limit_cents: int) -> tuple[int, int]:
        approved, refused = 0, 200_000
        while refused - approved > 1:
            middle = (approved + refused) // 2
            told = answers([Step("precheck", 0, middle)], limit_cents=limit_cents, others_cents=0)
            approved, refused = (middle, refused) if told[0][0] == "approved" else (approved, middle)
        return approved, refused

    assert found(20_000) == found(31_234) == found(41_665) == (10_000, 10_001)


def test_a_checkout_is_answered_to_the_cent() -> None:
    policy = a_policy(31_234)
    assert decided(31_234, policy, None).outcome is Outcome.APPROVED
    assert failed(decided(31_235, policy, None)) == ["credit_limit"]


def test_a_policy_from_before_merchants_keys_were_bounded_is_read_and_bounds_nothing() -> None:
    section = POLICY_TEXT[POLICY_TEXT.index("[merchant_keys]") : POLICY_TEXT.index("[score]")]
    earlier = parse_policy(POLICY_TEXT.replace(section, ""))
    assert earlier == replace(POLICY, merchant_keys=None)
    policy = replace(a_policy(31_234), merchant_keys=None)
    assert decided(31_234, policy, MerchantKeyHoldings(own_unconfirmed_orders=9)).outcome is Outcome.APPROVED


# What it is told to the customer


def test_a_refusal_names_the_amount_that_suffices_and_speaks_of_no_other_merchant() -> None:
    policy = a_policy(100_000)
    holdings = changed(NOTHING_HELD, others_unconfirmed_cents=30_000)
    standing = changed(STANDING, reserved_cents=30_000)
    decision = decided(30_000, policy, holdings, standing)
    assert failed(decision) == ["merchant_order_amount"]
    (reason,) = decision.reasons
    assert reason_text(reason, "en") == (
        "An order that the shop places itself is possible up to EUR 250.00 at the moment."
    )
    (step,) = decision.recourse
    assert (step.code, dict(step.data)["available_cents"], step.sufficient) == (
        "stay_under_amount",
        25_000,
        True,
    )
    assert decided(25_000, policy, holdings, standing).outcome is Outcome.APPROVED


def test_above_the_limit_itself_the_limit_is_the_reason_and_the_step_is_what_the_key_may_hold() -> None:
    decision = decided(100_001, a_policy(100_000), NOTHING_HELD)
    assert failed(decision) == ["credit_limit"]
    (step,) = decision.recourse
    assert (dict(step.data)["available_cents"], step.sufficient) == (60_000, True)


def test_so_many_orders_are_open_at_once_and_finishing_them_helps() -> None:
    open_orders = MerchantKeyHoldings(own_unconfirmed_cents=300, own_unconfirmed_orders=3)
    standing = changed(STANDING, reserved_cents=300)
    decision = decided(1_000, a_policy(100_000), open_orders, standing)
    assert failed(decision) == ["merchant_orders_open"]
    assert [(step.code, step.sufficient) for step in decision.recourse] == [("finish_open_orders", True)]
    two = changed(open_orders, own_unconfirmed_orders=2)
    assert decided(1_000, a_policy(100_000), two, standing).outcome is Outcome.APPROVED


# How often


def ask(
    store: Store,
    now_ms: int,
    customer_id: str = "c1",
    merchant_id: str = "m1",
    kind: QuestionKind = QuestionKind.PRECHECK,
) -> int | None:
    with store.writing(lock_of_questions(merchant_id, customer_id)) as tx:
        return count_question(
            tx, kind, merchant_id=merchant_id, customer_id=customer_id, policy=BOUNDS, now_ms=now_ms
        )


def test_questions_about_a_customer_are_counted_by_hour_and_day_and_each_wait_is_told(store: Store) -> None:
    assert [ask(store, NOW + at) for at in (0, 10, 20)] == [None] * 3
    # The first one counts for an hour; a question too many is none.
    assert [ask(store, NOW + 30), ask(store, NOW + 40)] == [HOUR_MS - 30, HOUR_MS - 40]
    assert ask(store, NOW + HOUR_MS - 1) == 1
    assert ask(store, NOW + HOUR_MS) is None
    assert ask(store, NOW + HOUR_MS + 10) is None
    assert ask(store, NOW + 3 * HOUR_MS) == DAY_MS - 3 * HOUR_MS
    assert ask(store, NOW + DAY_MS) is None


def test_questions_about_others_and_of_others_count_for_themselves(store: Store) -> None:
    for customer_id, merchant_id in [("c1", "m1"), ("c2", "m1"), ("c1", "m2")]:
        assert [ask(store, NOW, customer_id, merchant_id) for _ in range(3)] == [None] * 3
        assert ask(store, NOW, customer_id, merchant_id) == HOUR_MS
    # All together no more than eight of one merchant in an hour.
    assert [ask(store, NOW + 1, "c3"), ask(store, NOW + 1, "c3")] == [None, None]
    assert ask(store, NOW + 1, "c4") == HOUR_MS - 1
    # Who looked so often can still sell.
    orders = [ask(store, NOW + 1, kind=QuestionKind.ORDER) for _ in range(4)]
    assert orders == [None, None, None, HOUR_MS]


def test_several_processes_count_questions_together(store: Store, database_url: str) -> None:
    def ask_often(_: int) -> int:
        own = open_store(database_url)
        try:
            return sum(ask(own, NOW) is None for _ in range(3))
        finally:
            own.close()

    with ThreadPoolExecutor(3) as threads:
        assert sum(threads.map(ask_often, range(3))) == BOUNDS.questions_per_customer_hour
    with store.reading() as tx:
        assert tx.execute("SELECT count(*) FROM merchant_questions") == [(3,)]


def test_what_was_asked_the_day_before_is_forgotten(store: Store) -> None:
    ask(store, NOW)
    ask(store, NOW + DAY_MS, "c2")
    with store.reading() as tx:
        assert tx.execute("SELECT customer_id FROM merchant_questions") == [("c2",)]


# What is held


def test_orders_of_merchants_keys_are_told_from_others_and_by_merchant(store: Store) -> None:
    by_key = {"placed_by": Role.MERCHANT}
    with store.writing("c1") as tx:
        for reservation in (
            changed(a_reservation("o1", 100), **by_key),
            changed(a_reservation("o2", 200), **by_key),
            changed(a_reservation("o3", 400), **by_key),
            changed(a_reservation("o4", 800), **by_key, merchant_id="m2"),
            changed(a_reservation("o5", 1_600), placed_by=Role.CHECKOUT),
            a_reservation("o6", 3_200),
            changed(a_reservation("o7", 6_400, expires_at=NOW), **by_key),
            changed(a_reservation("o8", 12_800), **by_key),
        ):
            reserve(tx, reservation, NOW)
        confirm(tx, customer_id="c1", order_id="o3", expires_at_ms=NOW + DAY, now_ms=NOW)
        holdings = held_by_merchants_keys(tx, "c1", NOW, merchant_id="m1", excluding_order_id="o8")
    assert holdings == MerchantKeyHoldings(
        own_confirmed_cents=400,
        own_unconfirmed_cents=300,
        own_unconfirmed_orders=2,
        others_unconfirmed_cents=800,
    )


@pytest.mark.parametrize(
    ("before", "after", "mistake"),
    [
        ("    2_500, 5_000,", "    5_000, 2_500,", "amount_steps_cents: must be a list of whole numbers"),
        ("    2_500, 5_000,", '    "2_500", 5_000,', "amount_steps_cents: must be a list of whole numbers"),
        ("    2_500, 5_000,", "    0, 5_000,", "amount_steps_cents: must be a list of whole numbers"),
        ("unconfirmed_share_percent = 60", "unconfirmed_share_percent = 101", "must be from 1 to 100"),
        ("unconfirmed_minutes = 30", "", "merchant_keys.unconfirmed_minutes: is missing"),
        ("customer_day = 30", "customer_day = 9", "must not be above questions_per_customer_day"),
        ("unconfirmed_orders = 3", "unconfirmed_orders = 3\nmore = 1", "merchant_keys.more: is no field"),
    ],
)
def test_a_mistake_in_the_section_of_merchants_keys_is_named(before: str, after: str, mistake: str) -> None:
    assert before in POLICY_TEXT
    with pytest.raises(PolicyInvalid) as refused:
        parse_policy(POLICY_TEXT.replace(before, after, 1))
    assert any(mistake in named for named in refused.value.mistakes), refused.value.mistakes
