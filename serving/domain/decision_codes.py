"""The closed lists of an answer at checkout: which rules can fail, and into which groups codes fall."""

from features.declarations import FeatureGroup
from serving.domain.policy_rules import IMPLAUSIBLE_DETAIL
from serving.domain.recourse import (
    CREDIT_LIMIT,
    MERCHANT_ORDER_AMOUNT,
    MERCHANT_ORDERS_OPEN,
    SCORE_TOO_LOW,
)

RULE_CODES = frozenset(
    {
        "amount_too_large",
        "amount_too_small",
        "country_not_offered",
        "customer_unknown",
        "email_not_confirmed",
        "identity_document_expired",
        "identity_not_verified",
        "no_residence",
        "open_arrears",
        "order_country_not_offered",
        "other_currency",
        "personal_data_not_current",
        "phone_not_confirmed",
        "under_age",
        CREDIT_LIMIT,
        IMPLAUSIBLE_DETAIL,
        MERCHANT_ORDERS_OPEN,
        MERCHANT_ORDER_AMOUNT,
        SCORE_TOO_LOW,
    }
)
"""Of failed rules; a test finds each of them in the rules themselves."""
RULE_GROUPS = frozenset({"age", "arrears", "limit", "order_details", "residence", "score", "verification"})
REASON_GROUPS = RULE_GROUPS | {"technical", *(group.value for group in FeatureGroup)}
"""A reason is a failed rule, a group of the model's features, or a technical one."""
