"""Balances: what a credit account's statement showed on one day."""

from data_contracts.contract import (
    AMOUNT_CENTS_MAXIMUM,
    Column,
    ColumnType,
    Contract,
    Reference,
    amount_cents,
    currency,
    customer_reference,
    identifier,
)

ACCOUNT_BALANCES = Contract(
    name="account_balances",
    description="One statement of a credit account: the amount owed against the limit on one day.",
    occurred_at_description="the moment that the statement describes",
    key=("event_id",),
    state_of=("account_id",),
    own_columns=(
        identifier(
            "account_id",
            "the credit account",
            reference=Reference(contract="credit_accounts", column="account_id"),
        ),
        customer_reference(),
        Column(
            name="balance_cents",
            type=ColumnType.INT64,
            description="amount owed; negative when the account is in credit",
            unit="minor units of `currency`",
            minimum=-AMOUNT_CENTS_MAXIMUM,
            maximum=AMOUNT_CENTS_MAXIMUM,
        ),
        amount_cents("limit_cents", "credit limit of the account on that day"),
        Column(
            name="paid_cents",
            type=ColumnType.INT64,
            description="amount paid into the account since the statement before",
            unit="minor units of `currency`",
            nullable=True,
            missing_means="the source does not report payments",
            minimum=0,
            maximum=AMOUNT_CENTS_MAXIMUM,
        ),
        Column(
            name="days_past_due",
            type=ColumnType.INT64,
            description="how long the oldest instalment of the account has been overdue on that day",
            unit="days",
            nullable=True,
            missing_means="the source does not report arrears",
            minimum=0,
            maximum=10_000,
        ),
        currency(),
    ),
)
