"""Credit accounts of a customer with any lender, as a bureau or the customer's bank reports them."""

from data_contracts.contract import (
    Column,
    ColumnType,
    Contract,
    NotBefore,
    currency,
    customer_reference,
    identifier,
)

CREDIT_ACCOUNTS = Contract(
    name="credit_accounts",
    description="The state of a credit account as of `occurred_at`: opened, later closed.",
    occurred_at_description="when this state of the account began: its opening or its closing",
    key=("account_id",),
    rows_are_states=True,
    own_columns=(
        identifier("account_id", "the credit account"),
        customer_reference(),
        Column(
            name="kind",
            type=ColumnType.STRING,
            description="kind of credit",
            allowed=("credit_card", "current_account", "instalment", "loan", "mail_order"),
        ),
        Column(
            name="opened_at",
            type=ColumnType.TIMESTAMP,
            description="when the account was opened",
            unit="UTC, milliseconds",
            past=True,
        ),
        Column(
            name="closed_at",
            type=ColumnType.TIMESTAMP,
            description="when the account was closed",
            unit="UTC, milliseconds",
            past=True,
            nullable=True,
            missing_means="the account is open",
        ),
        currency(),
    ),
    own_row_rules=(
        NotBefore(later="closed_at", earlier="opened_at"),
        NotBefore(later="occurred_at", earlier="opened_at"),
        NotBefore(later="occurred_at", earlier="closed_at", moves=False),
    ),
)
