"""Credit inquiries: somebody asked a bureau about the customer. Own checkout attempts are none."""

from data_contracts.contract import Column, ColumnType, Contract, customer_reference

CREDIT_INQUIRIES = Contract(
    name="credit_inquiries",
    description=(
        "One inquiry about the customer at a credit bureau by another lender. "
        "A checkout with us, refused or not, is no inquiry."
    ),
    occurred_at_description="when the inquiry was made",
    key=("event_id",),
    own_columns=(
        customer_reference(),
        Column(
            name="purpose",
            type=ColumnType.STRING,
            description="what the customer had asked for",
            allowed=(
                "account_opening",
                "credit_card",
                "instalment",
                "loan",
                "mobile_contract",
                "rental",
                "other",
            ),
        ),
        Column(name="bureau", type=ColumnType.STRING, description="the bureau that was asked", max_length=60),
    ),
)
