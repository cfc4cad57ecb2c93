"""What a decision rests on, read from ledger rows as they stand at one instant, and kept for a replay."""

from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from data_contracts.customers import CUSTOMERS
from data_contracts.instants import DAY_MS, moment
from data_contracts.invoices import INVOICES
from data_contracts.order_outcomes import FRAUD_OUTCOMES, ORDER_OUTCOMES
from features import feature_sets
from features.feature_sets import FeatureSet
from features.invoice_state import InvoiceState
from features.online import LedgerRows, features_at, invoice_states, visible_rows
from features.overpayments import StandingInvoice, covered_by_overpayments
from features.settlement_terms import SettlementTerms
from serving.domain.checkout_decision import FIRST_JUDGEMENT_REVISION, JUDGEMENT_REVISION
from serving.domain.decision import AccountStanding, Address, Applicant, Order, OverdueInvoice, RepaidInvoice
from serving.domain.merchant_keys import MerchantKeyHoldings
from serving.domain.plausible_details import implausible_fields
from serving.domain.policy_rules import IMPLAUSIBLE_DETAIL
from serving.domain.same_person import other_accounts as other_accounts_of_person

NO_OTHER_ACCOUNTS: Mapping[str, LedgerRows] = MappingProxyType({})


class DecisionInputs(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a decision rests on, besides model and policy.

    order_row: columns of the orders contract, without the envelope; order: the same as the rules look at it.
    applicant: None for a customer whom the ledger does not know.
    standing: of the person, so of this account and of the person's others together.
    features: of this account, in the order of the model's feature set; empty when there was no model.
    other_accounts: customer_ids of the person's other accounts.
    merchant_key: what orders of merchants' keys hold of the person's limit, where such a key asks; None for
        all others, and under a policy that does not bound these keys.
    implausible_fields: JSON pointers to the order's details that cannot be right. What code judged of a text
        is an input, so that no replay judges an old text by new rules.
    revision: of the judgement that the answer came from.
    """

    order_row: Mapping[str, Any]
    order: Order
    applicant: Applicant | None
    standing: AccountStanding
    features: tuple[float, ...]
    implausible_fields: tuple[str, ...]
    other_accounts: tuple[str, ...] = ()
    merchant_key: MerchantKeyHoldings | None = None
    revision: int = JUDGEMENT_REVISION

    def to_record(self) -> dict[str, Any]:
        """All but the features, and the revision that derived them, as JSON values for the decision log."""
        record = {
            "order": dict(self.order_row),
            "applicant": msgspec.to_builtins(self.applicant),
            "standing": msgspec.to_builtins(self.standing),
            "other_accounts": list(self.other_accounts),
            "implausible_fields": list(self.implausible_fields),
            "judgement_revision": self.revision,
            "engine_revision": feature_sets.ENGINE_REVISION,
        }
        if self.merchant_key is not None:
            record["merchant_key"] = msgspec.to_builtins(self.merchant_key)
        return record

    @classmethod
    def restored(cls, record: Mapping[str, Any], features: tuple[float, ...] | None) -> "DecisionInputs":
        """What `to_record` and the log's features kept."""
        return cls(
            order_row=record["order"],
            order=order_of(record["order"]),
            applicant=msgspec.convert(record["applicant"], Applicant | None),
            standing=msgspec.convert(record["standing"], AccountStanding),
            features=features or (),
            # Decisions from before accounts of one person were found rest on one account alone.
            other_accounts=tuple(record.get("other_accounts", ())),
            merchant_key=msgspec.convert(record.get("merchant_key"), MerchantKeyHoldings | None),
            implausible_fields=_implausible_fields(record),
            revision=record.get("judgement_revision", FIRST_JUDGEMENT_REVISION),
        )


def _implausible_fields(record: Mapping[str, Any]) -> tuple[str, ...]:
    """What was judged of the order's texts; decisions that did not keep it say it in their failed rules."""
    if "implausible_fields" in record:
        return tuple(record["implausible_fields"])
    failed_rules = record["answer"]["failed_rules"]
    return tuple(failure["field"] for failure in failed_rules if failure["code"] == IMPLAUSIBLE_DETAIL)


def inputs_at(
    rows: LedgerRows,
    order_row: Mapping[str, Any],
    *,
    reserved_cents: int,
    as_of_ms: int,
    feature_set: FeatureSet | None,
    terms: SettlementTerms,
    other_accounts: Mapping[str, LedgerRows] = NO_OTHER_ACCOUNTS,
    merchant_key: MerchantKeyHoldings | None = None,
    counts_overpayments: bool = True,
) -> DecisionInputs:
    """What a decision at `as_of_ms` sees in one customer's ledger rows.

    reserved_cents: the person's other approved orders that are not yet invoiced, without `orders_of_fraud`.
    feature_set: of the model in force, None when there is none. terms: the policy's, and the model's.
    other_accounts: the rows of the person's other accounts by customer_id: what they owe and what they
        repaid counts as well; applicant and features are those of this account.
    merchant_key: see `DecisionInputs`.
    counts_overpayments: False to see what a decision of an earlier revision saw; see `OVERPAYMENTS_COUNTED`.
    """
    states = invoice_states(rows, as_of_ms, terms)
    of_person = _owed_by_customer(rows, states, as_of_ms)
    currency_of = _currencies(rows, as_of_ms)
    for other_rows in other_accounts.values():
        of_other = invoice_states(other_rows, as_of_ms, terms)
        of_person = {**of_person, **_owed_by_customer(other_rows, of_other, as_of_ms)}
        currency_of = {**currency_of, **_currencies(other_rows, as_of_ms)}
    order = order_of(order_row)
    customers = visible_rows(CUSTOMERS, rows, as_of_ms)
    return DecisionInputs(
        order_row=order_row,
        order=order,
        applicant=_applicant(customers),
        standing=_standing(
            of_person,
            currency_of,
            reserved_cents,
            as_of_ms,
            terms=terms,
            counts_overpayments=counts_overpayments,
        ),
        features=()
        if feature_set is None
        else tuple(features_at(rows, as_of_ms, feature_set, states, customers)),
        other_accounts=tuple(sorted(other_accounts)),
        merchant_key=merchant_key,
        implausible_fields=implausible_fields(order),
    )


def orders_of_fraud(rows: LedgerRows, as_of_ms: int) -> frozenset[str]:
    """The order_ids of one customer's orders that are confirmed fraud as far as is known at `as_of_ms`.

    Whoever is named as their customer is mostly the victim, and owes nothing for them. A finding that was
    withdrawn by then confirms nothing.
    """
    # Of nearly every customer nothing was ever found.
    if not rows.get(ORDER_OUTCOMES.name):
        return frozenset()
    return frozenset(
        row["order_id"]
        for row in visible_rows(ORDER_OUTCOMES, rows, as_of_ms)
        if row["kind"] in FRAUD_OUTCOMES
    )


def _owed_by_customer(
    rows: LedgerRows, states: Mapping[str, InvoiceState], as_of_ms: int
) -> Mapping[str, InvoiceState]:
    """The invoices that say what the customer owes and has repaid: all but those of confirmed fraud."""
    fraud = orders_of_fraud(rows, as_of_ms)
    if not fraud:
        return states
    not_owed = {
        row["invoice_id"] for row in visible_rows(INVOICES, rows, as_of_ms) if row["order_id"] in fraud
    }
    return {invoice_id: state for invoice_id, state in states.items() if invoice_id not in not_owed}


def _currencies(rows: LedgerRows, as_of_ms: int) -> dict[str, str]:
    """The currency of each of the customer's invoices, by invoice_id."""
    invoices = rows.get(INVOICES.name, ())
    if len({row["currency"] for row in invoices}) > 1:
        # Only then a correction may have changed one.
        invoices = visible_rows(INVOICES, rows, as_of_ms)
    return {row["invoice_id"]: row["currency"] for row in invoices}


def rows_of_other_accounts(
    rows: LedgerRows, candidate_rows: Mapping[str, LedgerRows], as_of_ms: int
) -> dict[str, LedgerRows]:
    """The rows of those candidates that are accounts of the same person at `as_of_ms`, by customer_id."""
    if not candidate_rows:
        return {}
    found = other_accounts_of_person(
        rows.get(CUSTOMERS.name, ()),
        {customer_id: of_one.get(CUSTOMERS.name, ()) for customer_id, of_one in candidate_rows.items()},
        as_of_ms,
    )
    return {customer_id: candidate_rows[customer_id] for customer_id in found}


def _applicant(standing: Sequence[Mapping[str, Any]]) -> Applicant | None:
    """standing: the customer's rows that stand, one or none."""
    if not standing:
        return None
    (row,) = standing
    expires_on = row.get("identity_document_expires_on")
    confirmed_at = row.get("personal_data_confirmed_at")
    return Applicant(
        birth_date=date.fromisoformat(row["birth_date"]),
        residence_country=row.get("residence_country"),
        identity_status=row["identity_status"],
        identity_document_expires_on=None if expires_on is None else date.fromisoformat(expires_on),
        email_confirmed=row.get("email_confirmed_at") is not None,
        phone_confirmed=row.get("phone_confirmed_at") is not None,
        personal_data_confirmed_at=None if confirmed_at is None else moment(confirmed_at),
    )


def _standing(
    states: Mapping[str, InvoiceState],
    currency_of: Mapping[str, str],
    reserved_cents: int,
    as_of_ms: int,
    *,
    terms: SettlementTerms,
    counts_overpayments: bool,
) -> AccountStanding:
    outstanding_cents = 0
    paid_invoice_count = 0
    overdue: list[OverdueInvoice] = []
    repaid: list[RepaidInvoice] = []
    for invoice_id, state in sorted(states.items()):
        outstanding_cents += state.outstanding_cents
        # Also what is too small to be owed: how much counts, the policy says.
        if state.paid_at is not None and not state.cancelled and state.received_cents > 0:
            paid_invoice_count += 1
            days_since_paid = (as_of_ms - state.paid_at) // DAY_MS
            repaid.append(
                RepaidInvoice(
                    state.received_cents, days_since_paid, state.is_paid_on_time, currency_of[invoice_id]
                )
            )
        if state.is_overdue(as_of_ms):
            overdue.append(
                OverdueInvoice(
                    invoice_id=invoice_id,
                    outstanding_cents=state.owed_cents,
                    days_past_due=max(state.lateness_at(as_of_ms), 0) // DAY_MS,
                    paused=state.paused,
                    currency=currency_of[invoice_id],
                )
            )
    if overdue and counts_overpayments:
        # Only then: whoever owes nothing that is due waits for no sum of what was paid too much.
        covered = covered_by_overpayments(
            (StandingInvoice(one, currency_of[one], state) for one, state in states.items()), as_of_ms
        )
        if covered:
            outstanding_cents -= sum(covered.values())
            overdue = _less_what_is_covered(overdue, covered, terms)
    return AccountStanding(
        outstanding_cents=outstanding_cents,
        reserved_cents=reserved_cents,
        overdue_invoices=tuple(overdue),
        paid_invoice_count=paid_invoice_count,
        repaid_invoices=tuple(repaid),
    )


def _less_what_is_covered(
    overdue: list[OverdueInvoice], covered: Mapping[str, int], terms: SettlementTerms
) -> list[OverdueInvoice]:
    """What is still overdue once money on other invoices was counted; what is immaterial then is not."""
    left = [
        replace(one, outstanding_cents=one.outstanding_cents - covered.get(one.invoice_id, 0))
        for one in overdue
    ]
    return [one for one in left if one.outstanding_cents > terms.materiality_cents]


def order_of(row: Mapping[str, Any]) -> Order:
    """The order that the rules look at."""
    return Order(
        order_id=row["order_id"],
        customer_id=row["customer_id"],
        merchant_id=row["merchant_id"],
        amount_cents=row["amount_cents"],
        currency=row["currency"],
        delivery=_address(row, "delivery"),
        billing=_address(row, "billing"),
        contact_email=row["contact_email"],
        contact_phone=row.get("contact_phone"),
    )


def _address(row: Mapping[str, Any], group: str) -> Address:
    return Address(
        name=row[f"{group}_name"],
        street=row[f"{group}_street"],
        house_number=row.get(f"{group}_house_number"),
        postal_code=row[f"{group}_postal_code"],
        city=row[f"{group}_city"],
        country=row[f"{group}_country"],
    )
