"""A case that was opened seven minutes after its order was placed, and the policy behind it."""

from data_contracts.instants import HOUR_MS, MINUTE_MS
from serving.domain.case_stakes import CaseStakes
from serving.domain.review_case import CaseOrigin, open_case
from serving.domain.review_policy import ReviewPolicy

NOW_MS = 1_780_000_000_000
POLICY = ReviewPolicy(
    claim_minutes=15,
    contact_hours=24,
    undo_seconds=30,
    case_hours=48,
    half_chance_hours=3.0,
    handover_delay_hours=2.0,
    recall_chance=0.3,
    service_stop_chance=0.5,
    withdraw_roles=frozenset({"fraud_lead"}),
    sample_share=0.01,
    sample_worth_cents=1_000,
)
ORDERED_AT_MS = NOW_MS - 7 * MINUTE_MS
STAKES = CaseStakes(
    probability=0.8,
    amount_cents=100_000,
    currency="EUR",
    ordered_at_ms=ORDERED_AT_MS,
    handover_at_ms=NOW_MS + HOUR_MS,
    left=False,
    recallable=True,
    is_service=False,
)
OPEN = open_case(
    case_id="r1",
    order_id="o1",
    customer_id="c1",
    merchant_id="m1",
    origin=CaseOrigin.FLAGGED,
    now_ms=NOW_MS,
    policy=POLICY,
)
