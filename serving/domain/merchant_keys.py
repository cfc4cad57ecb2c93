"""What a merchant's own key may ask about a customer, and hold of the customer's limit; pure.

A merchant's key learns of no limit. What its merchant holds of a customer's limit and asks for now are
rounded up together to a step before they are compared with anything: whatever amounts it asks for, in any
order, each answer is the same for every limit between two steps.
"""

import enum
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from data_contracts.instants import DAY_MS, HOUR_MS

LARGEST_STEP_CENTS = 10**9


@dataclass(frozen=True, kw_only=True)
class MerchantKeyPolicy:
    """The bounds of merchants' own keys. Amounts in minor units of the residence country's currency.

    amount_steps_cents: ascending; beyond the last one its multiples are steps.
    questions_per_customer_hour, questions_per_customer_day: how many pre-checks the keys of one merchant may
        ask about one customer, and how many orders they may have decided: each kind counts for itself, so
        that who looked often can still sell. questions_per_hour: about all customers together.
    unconfirmed_share_percent: of a customer's limit, how much orders that merchants' keys placed and nobody
        confirmed may hold together. unconfirmed_minutes: for how long. unconfirmed_orders: how many of them
        one merchant may have open with one customer.
    """

    amount_steps_cents: tuple[int, ...]
    questions_per_customer_hour: int
    questions_per_customer_day: int
    questions_per_hour: int
    unconfirmed_share_percent: int
    unconfirmed_minutes: int
    unconfirmed_orders: int

    def rounded_up(self, cents: int) -> int:
        """The first step that is not below an amount."""
        steps = self.amount_steps_cents
        if cents > steps[-1]:
            return -(-cents // steps[-1]) * steps[-1]
        return steps[bisect_left(steps, cents)]

    def largest_step_within(self, cents: int) -> int:
        """The last step that is not above an amount; 0 where every step is."""
        steps = self.amount_steps_cents
        if cents >= steps[-1]:
            return cents // steps[-1] * steps[-1]
        place = bisect_right(steps, cents)
        return steps[place - 1] if place else 0


class MerchantKeyHoldings(msgspec.Struct, frozen=True, kw_only=True):
    """What orders that merchants' keys placed hold of a person's limit while one of these keys asks.

    Amounts in minor units; the order that is asked about is left out.

    own_confirmed_cents, own_unconfirmed_cents: of the merchant that asks.
    own_unconfirmed_orders: how many those are that are not confirmed.
    others_unconfirmed_cents: of other merchants.
    """

    own_confirmed_cents: int = 0
    own_unconfirmed_cents: int = 0
    own_unconfirmed_orders: int = 0
    others_unconfirmed_cents: int = 0


def approved_up_to_cents(
    holdings: MerchantKeyHoldings, policy: MerchantKeyPolicy, *, limit_cents: int, exposure_cents: int
) -> int:
    """The largest order of a merchant's key that the limit allows now; 0 where it allows none.

    exposure_cents: all that counts against the limit, `holdings` included.

    With the steps 50.00, 100.00 and 250.00, a share of 60 % and 30.00 held by the merchant unconfirmed: of a
    limit of 199.00 at most 100.00 may be held, so 70.00 more; of one of 150.00 only 50.00, so 20.00 more.
    """
    own_cents = holdings.own_confirmed_cents + holdings.own_unconfirmed_cents
    by_limit = policy.largest_step_within(limit_cents - (exposure_cents - own_cents)) - own_cents
    share_cents = limit_cents * policy.unconfirmed_share_percent // 100
    left_of_share = policy.largest_step_within(share_cents - holdings.others_unconfirmed_cents)
    return max(min(by_limit, left_of_share - holdings.own_unconfirmed_cents), 0)


class QuestionKind(enum.Enum):
    """How a merchant's key asks about a customer."""

    PRECHECK = "precheck"
    ORDER = "order"


@dataclass(frozen=True, kw_only=True)
class QuestionBound:
    """At most so many questions in any span of so many ms."""

    questions: int
    span_ms: int


def bounds_about_one_customer(policy: MerchantKeyPolicy) -> Sequence[QuestionBound]:
    """How often one merchant may ask about one customer."""
    return (
        QuestionBound(questions=policy.questions_per_customer_hour, span_ms=HOUR_MS),
        QuestionBound(questions=policy.questions_per_customer_day, span_ms=DAY_MS),
    )


def bounds_about_all_customers(policy: MerchantKeyPolicy) -> Sequence[QuestionBound]:
    """How often one merchant may ask at all."""
    return (QuestionBound(questions=policy.questions_per_hour, span_ms=HOUR_MS),)
