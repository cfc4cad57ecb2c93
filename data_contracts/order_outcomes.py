"""Outcomes of orders: how a dispute, a claim or an investigation ended. They feed the labels."""

from data_contracts.contract import (
    Answers,
    Column,
    ColumnType,
    Contract,
    RequiredWhen,
    customer_reference,
)
from data_contracts.order_events import order_reference

FRAUD_OUTCOMES = ("fraud_chargeback", "identity_misuse_upheld", "stop_request_upheld")
"""The findings that confirm a fraud."""
DISPUTE_DECISIONS = ("dispute_decided_for_customer", "dispute_decided_for_merchant")
"""How a dispute may be decided."""

ORDER_OUTCOMES = Contract(
    name="order_outcomes",
    description=(
        "One finding about an order; a label uses it only from when it was recorded. Of two findings about "
        "one question, such as a dispute that was looked at again, the one that was decided last stands; a "
        "finding of fraud stands until it is corrected, whatever else was found."
    ),
    occurred_at_description="when it was decided",
    key=("event_id",),
    answers=Answers(
        about="order_id",
        column="kind",
        question_of={
            "dispute_decided_for_customer": "dispute",
            "dispute_decided_for_merchant": "dispute",
        },
    ),
    own_columns=(
        order_reference(),
        customer_reference(),
        Column(
            name="kind",
            type=ColumnType.STRING,
            description="what was found; finding_withdrawn takes back the finding that it corrects",
            allowed=(
                "dispute_decided_for_customer",
                "dispute_decided_for_merchant",
                "finding_withdrawn",
                "fraud_chargeback",
                "identity_misuse_rejected",
                "identity_misuse_upheld",
                "review_released",
                "stop_request_rejected",
                "stop_request_upheld",
            ),
        ),
    ),
    own_row_rules=(RequiredWhen(column="corrects", when_column="kind", equals="finding_withdrawn"),),
)
