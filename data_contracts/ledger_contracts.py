"""Every contract of the ledger, in the order in which rows refer to each other."""

from types import MappingProxyType

from data_contracts.account_balances import ACCOUNT_BALANCES
from data_contracts.credit_accounts import CREDIT_ACCOUNTS
from data_contracts.credit_inquiries import CREDIT_INQUIRIES
from data_contracts.customers import CUSTOMERS
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_charges import INVOICE_CHARGES
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.merchants import MERCHANTS
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.order_outcomes import ORDER_OUTCOMES
from data_contracts.orders import ORDERS

ALL_CONTRACTS = (
    MERCHANTS,
    CUSTOMERS,
    CREDIT_ACCOUNTS,
    ACCOUNT_BALANCES,
    CREDIT_INQUIRIES,
    ORDERS,
    INVOICES,
    INVOICE_PAYMENTS,
    INVOICE_ADJUSTMENTS,
    INVOICE_CHARGES,
    INVOICE_PAUSES,
    ORDER_EVENTS,
    ORDER_OUTCOMES,
)
"""A contract stands after every contract that its rows refer to."""

CONTRACTS = MappingProxyType({contract.name: contract for contract in ALL_CONTRACTS})
