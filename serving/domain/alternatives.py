"""Which other ways to pay are offered to a customer whose order is not approved."""

from serving.domain.decision import Order, RuleFailure
from serving.domain.policy import AlternativePolicy, Policy


def alternatives(
    order: Order, score: int | None, failures: tuple[RuleFailure, ...], policy: Policy | None
) -> tuple[str, ...]:
    """Other ways to pay this order, in the order of the policy; none where no policy can be read."""
    failed_groups = {failure.group for failure in failures}
    return tuple(
        alternative.name
        for alternative in (() if policy is None else policy.alternatives)
        if _is_offered(alternative, order, score, failed_groups)
    )


def _is_offered(
    alternative: AlternativePolicy, order: Order, score: int | None, failed_groups: set[str]
) -> bool:
    if alternative.refused_groups & failed_groups:
        return False
    if order.amount_cents < alternative.minimum_order_cents:
        return False
    if alternative.maximum_order_cents is not None and order.amount_cents > alternative.maximum_order_cents:
        return False
    return alternative.minimum_score is None or (score is not None and score >= alternative.minimum_score)
