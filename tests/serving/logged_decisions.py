"""Lines of the decision log for tests that look at what follows from them, and not at what they rested on."""

from typing import Any

from serving.store.decision_log import LoggedDecision


def a_logged_decision(
    decision_id: str,
    *,
    as_of_ms: int,
    order_id: str = "o1",
    customer_id: str = "c1",
    merchant_id: str = "m1",
    outcome: str = "approved",
    record: dict[str, Any] | None = None,
) -> LoggedDecision:
    """A decision in which no model took part."""
    return LoggedDecision(
        decision_id=decision_id,
        order_id=order_id,
        customer_id=customer_id,
        merchant_id=merchant_id,
        outcome=outcome,
        as_of_ms=as_of_ms,
        model_name=None,
        model_version=None,
        feature_set_version=None,
        policy_version="1",
        features=None,
        record={} if record is None else record,
    )
