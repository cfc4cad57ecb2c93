"""Use cases that only look: an order and a decision, as far as the caller may see them."""

import msgspec

from serving.checkout.checkout_answers import (
    DecisionAnswer,
    MerchantDecisionAnswer,
    MerchantOrderState,
    OrderState,
    seen_by,
)
from serving.checkout.order_steps import newest_decision, order_state
from serving.domain.errors import UnknownDecision
from serving.domain.order_numbers import OrderAddress
from serving.requests.authentication import may_see_order_of
from serving.requests.request_scope import RequestScope
from serving.store.api_keys import Caller
from serving.store.decision_log import decision_of


def order_view(
    scope: RequestScope, address: OrderAddress, *, caller: Caller
) -> OrderState | MerchantOrderState:
    """The newest decision about an order and what it holds. Raises UnknownOrder."""
    with scope.store.reading() as tx:
        return order_state(tx, newest_decision(tx, address, caller), caller, scope.now_ms())


def decision_view(
    scope: RequestScope, decision_id: str, *, caller: Caller
) -> DecisionAnswer | MerchantDecisionAnswer:
    """A decision as it was answered. Raises UnknownDecision, also for another merchant's."""
    with scope.store.reading() as tx:
        decision = decision_of(tx, decision_id)
    if decision is None or not may_see_order_of(caller, decision.merchant_id):
        raise UnknownDecision(f"there is no decision {decision_id}")
    return seen_by(caller, msgspec.convert(decision.record["answer"], DecisionAnswer))
