"""Which case is worked on first: the one that loses most by another hour of waiting.

A suspicious order of EUR 1,000 that leaves in an hour goes before one of EUR 5,000 that leaves in a week, and
before one that has left and can hardly be recalled. All instants are milliseconds since 1970-01-01 UTC.
"""

import zoneinfo
from datetime import datetime, time, timedelta

from data_contracts.instants import HOUR_MS, instant_ms, moment
from serving.domain.case_stakes import CaseStakes
from serving.domain.review_case import CaseOrigin, ReviewCase
from serving.domain.review_policy import ReviewPolicy

# Of what a stop could still save, this much counts for each hour of waiting even where the next hour
# costs no chance. Small against the fall in the last hours before the hand-over, so it never decides
# there; far from it, and after it, it orders by what is at stake.
REMAINING_SHARE_PER_HOUR = 0.01


def priority_of(case: ReviewCase, stakes: CaseStakes, now_ms: int, policy: ReviewPolicy) -> int:
    """The saving that an hour of waiting loses, or what a sampled case is worth to us where that is more."""
    return max(priority(stakes, now_ms, policy), sample_priority(case, now_ms, policy))


def priority(stakes: CaseStakes, now_ms: int, policy: ReviewPolicy) -> int:
    """The saving that an hour of waiting loses, in whole cents per hour; the highest is worked on first.

    probability * amount_cents * (chance now - chance in an hour + REMAINING_SHARE_PER_HOUR * chance now),
    with the chance from `stop_chance`. The last term keeps orders far from their hand-over in the order
    of what is at stake, and orders that left at what a recall can still bring.

    Raises ValueError where the probability is not from 0 to 1 or the amount is negative.
    """
    if not 0 <= stakes.probability <= 1:
        raise ValueError(f"probability: must be from 0 to 1, is {stakes.probability}")
    if stakes.amount_cents < 0:
        raise ValueError(f"amount_cents: must not be negative, is {stakes.amount_cents}")
    chance = stop_chance(stakes, now_ms, policy)
    lost_share = chance - stop_chance(stakes, now_ms + HOUR_MS, policy) + REMAINING_SHARE_PER_HOUR * chance
    return round(stakes.probability * lost_share * stakes.amount_cents)


def stop_chance(stakes: CaseStakes, now_ms: int, policy: ReviewPolicy) -> float:
    """The chance, from 0 to below 1, that a stop sent now still works.

    With u the hours until the last moment (the planned hand-over and `handover_delay_hours`) and h
    `half_chance_hours`, the chance is r + (1 - r) * u² / (u² + h²), and r from the last moment on. r is
    what a recall can bring; for a service, what cutting its access can. It never rises with time.

    stakes: the planned hand-over counts also when it is past; `recallable` is False once the parcel was
        received.
    """
    afterwards = (
        (policy.service_stop_chance if stakes.is_service else policy.recall_chance)
        if stakes.recallable
        else 0.0
    )
    hours = (stakes.handover_at_ms - now_ms) / HOUR_MS + policy.handover_delay_hours
    if stakes.left or hours <= 0:
        return afterwards
    half_squared = policy.half_chance_hours * policy.half_chance_hours
    # One minus the complement: each operation is monotone in floating point, so the chance is too.
    return afterwards + (1 - afterwards) * (1 - half_squared / (half_squared + hours * hours))


def is_sampled(draw: float, policy: ReviewPolicy) -> bool:
    """Whether an order that was not flagged is reviewed; draw: uniform in [0, 1), one for each order.

    Little is at stake in most of these, so their priority alone would leave them unseen, and recall would
    be estimated from the suspicious ones. Their deadline has to bring them to a reviewer.
    """
    return draw < policy.sample_share


def sample_priority(case: ReviewCase, now_ms: int, policy: ReviewPolicy) -> int:
    """What a sampled case counts in the order of work, in cents per hour; 0 for any other case.

    sample_worth_cents * the part of its time that has passed: it rises past the due time without end, so
    every sampled case comes to a reviewer, however suspicious the others are.
    """
    if case.origin is not CaseOrigin.SAMPLED:
        return 0
    waited_ms = max(0, now_ms - case.opened_at_ms)
    return policy.sample_worth_cents * waited_ms // max(1, case.due_at_ms - case.opened_at_ms)


def next_handover_ms(now_ms: int, cutoff_local_time: str, time_zone: str, first_possible_ms: int) -> int:
    """The merchant's first daily hand-over, neither before now nor before the order could be packed.

    Taken once, when the case is opened: asked again after a hand-over that nobody recorded, it would
    name the next day's. On the day on which the clocks are turned forward over the local time, the
    hand-over comes later by as much: the one of 02:30 in Berlin comes at 03:30 on the last Sunday of March.
    On the day on which they are turned back over it, that time comes twice, and the first one counts: 02:30
    in summer time, not the 02:30 an hour later.

    cutoff_local_time: "HH:MM" in time_zone, an IANA name.

    Raises ValueError for what is no time, zoneinfo.ZoneInfoNotFoundError for an unknown zone.

    >>> noon_utc_ms = 1_781_524_800_000  # 2026-06-15 12:00 UTC, 14:00 in Berlin
    >>> (next_handover_ms(noon_utc_ms, "17:00", "Europe/Berlin", noon_utc_ms) - noon_utc_ms) // 3_600_000
    3
    """
    zone = zoneinfo.ZoneInfo(time_zone)
    cutoff = time.fromisoformat(cutoff_local_time)
    from_ms = max(now_ms, first_possible_ms)
    today = moment(from_ms).astimezone(zone).date()
    # The hand-over of the day before may have moved over midnight, and of two equal local times the
    # first may be over, so a day on each side is looked at too.
    days = (today + timedelta(days=shift) for shift in range(-1, 3))
    handovers = (instant_ms(datetime.combine(day, cutoff, zone)) for day in days)
    return next(handover for handover in handovers if handover >= from_ms)
