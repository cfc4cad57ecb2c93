"""The rules between the rows of a ledger, stated once: which rows fit what they refer to, and what follows.

`RULES` is the statement; what it checks lies beside it, by subject. Both engines judge by it: the ledger row
by row as they arrive, the batch check of `cross_table_rules` over a whole folder, in the order in which its
rows were recorded. A row that breaks a rule is refused at once, or held where only something that has not
arrived yet makes it break: `arrivals` says how held rows come in.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from data_contracts.between_rows.amount_rules import (
    credit_notes_are_within_the_invoice,
    invoice_is_not_corrected_below_its_credit_notes,
    is_within_the_order,
    order_is_not_amended_below_its_invoices,
    order_is_not_corrected_below_its_invoices,
    refunds_are_within_the_payments,
    sum_is_within_the_order,
)
from data_contracts.between_rows.dispute_rules import order_is_disputed, order_is_invoiced
from data_contracts.between_rows.key_rules import (
    correction_has_its_row,
    corrects_no_circle,
    key_is_new,
    unique_value_is_free,
)
from data_contracts.between_rows.known_rows import KnownRows, LedgerRow
from data_contracts.between_rows.reference_rules import (
    belongs_to_the_same_customer,
    happened_after_what_it_names,
    is_about_the_same_invoice,
    is_in_the_same_currency,
    keeps_the_currency_of_what_refers_to_it,
    reference_is_known,
)
from data_contracts.between_rows.waits import Broken
from data_contracts.contract import Contract
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_charges import INVOICE_CHARGES
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.order_outcomes import ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from data_contracts.rules import Rule

_Check = Callable[[Contract, LedgerRow, KnownRows, int], Broken | None]
"""Takes contract, row, what is known and the tolerance between clocks in ms."""


@dataclass(frozen=True, kw_only=True)
class RuleBetweenRows:
    """One line of the table of rules.

    contracts: whose rows it judges; () for those of every contract.
    says: what must hold.
    otherwise: what becomes of a row for which it does not.
    check: says whether a row that arrives breaks it; None where an engine sees to it, because the rule is
        about the arrival itself or about files alone.
    """

    rule: Rule
    contracts: tuple[str, ...] = ()
    says: str
    otherwise: str
    check: _Check | None = None


def contradiction(
    contract: Contract, row: LedgerRow, known: KnownRows, clock_tolerance_ms: int
) -> Broken | None:
    """The first rule that a row breaks which arrives now; None where it fits.

    A correction is judged with the row that it replaces left out.
    """
    for check in _CHECKS[contract.name]:
        broken = check(contract, row, known, clock_tolerance_ms)
        if broken is not None:
            return broken
    return None


def breaks_for_good(
    contract: Contract, row: LedgerRow, known: KnownRows, clock_tolerance_ms: int
) -> Broken | None:
    """The first rule that a row which arrives now breaks, of those that no other row can mend."""
    for check in _CHECKS_ON_ITSELF[contract.name]:
        broken = check(contract, row, known, clock_tolerance_ms)
        if broken is not None:
            return broken
    return None


def still_unfit(
    contract: Contract, row: LedgerRow, known: KnownRows, clock_tolerance_ms: int
) -> Broken | None:
    """The first rule that a row which is among the known breaks, of those that other rows can mend."""
    for check in _CHECKS_ON_OTHERS[contract.name]:
        broken = check(contract, row, known, clock_tolerance_ms)
        if broken is not None:
            return broken
    return None


_REFUSED = "refused"
_REFUSED_FOR_NOW = "refused, until a correction makes it fit"

RULES: tuple[RuleBetweenRows, ...] = (
    RuleBetweenRows(
        rule=Rule.EVENT_ID_REUSED,
        says="an event_id names one row of the whole ledger; the same content again is `repeated`",
        otherwise=_REFUSED,
    ),
    RuleBetweenRows(
        rule=Rule.CORRECTS_ITSELF,
        says="no row corrects itself, and no rows correct each other in a circle",
        otherwise="refused, all rows of the circle",
        check=corrects_no_circle,
    ),
    RuleBetweenRows(
        rule=Rule.UNKNOWN_REFERENCE,
        says="the row that a reference names is there",
        otherwise="held until it arrives; in a file refused where it is not among the rows",
        check=reference_is_known,
    ),
    RuleBetweenRows(
        rule=Rule.REFERENCE_QUARANTINED,
        says="in a file: the row that a reference names is not refused itself",
        otherwise=_REFUSED,
    ),
    RuleBetweenRows(
        rule=Rule.CUSTOMER_DIFFERS,
        says=(
            "an order, invoice or account that a row names belongs to the row's customer, and so do all "
            "states of one account or pause"
        ),
        otherwise=_REFUSED,
        check=belongs_to_the_same_customer,
    ),
    RuleBetweenRows(
        rule=Rule.INVOICE_DIFFERS,
        contracts=(INVOICE_PAUSES.name,),
        says="all states of one pause are about one invoice; only a correction moves it to another",
        otherwise=_REFUSED,
        check=is_about_the_same_invoice,
    ),
    RuleBetweenRows(
        rule=Rule.CURRENCY_DIFFERS,
        says="a row has the currency of the order, invoice or account that it names, as that stands",
        otherwise=_REFUSED_FOR_NOW,
        check=is_in_the_same_currency,
    ),
    RuleBetweenRows(
        rule=Rule.BEFORE_REFERENCE,
        contracts=(
            INVOICES.name,
            INVOICE_ADJUSTMENTS.name,
            INVOICE_CHARGES.name,
            INVOICE_PAUSES.name,
            ORDER_EVENTS.name,
            ORDER_OUTCOMES.name,
        ),
        says=(
            "a row happens, and a pause begins, no earlier than the order or invoice that it names, but for "
            "the tolerance between clocks; a dispute may begin from the order of its invoice on; a whole "
            "quarter of an hour may be the midnight of a date without a time, and lie 38 hours before; "
            "payments may come before their invoice by any time"
        ),
        otherwise=_REFUSED_FOR_NOW,
        check=happened_after_what_it_names,
    ),
    RuleBetweenRows(
        rule=Rule.KEY_REUSED,
        contracts=(ORDERS.name, INVOICES.name),
        says="a second row with the key of another corrects it",
        otherwise=_REFUSED,
        check=key_is_new,
    ),
    RuleBetweenRows(
        rule=Rule.CORRECTS_OTHER_KEY,
        says="a correction keeps contract, key and customer of the row that it corrects",
        otherwise="refused; held while the row that it corrects is not there",
        check=correction_has_its_row,
    ),
    RuleBetweenRows(
        rule=Rule.CORRECTED_TWICE,
        says="a row is corrected once; a further correction names the newest row",
        otherwise=_REFUSED,
    ),
    RuleBetweenRows(
        rule=Rule.CURRENCY_DIFFERS,
        contracts=(ORDERS.name, INVOICES.name),
        says="a correction keeps the currency of the rows that name it",
        otherwise=_REFUSED_FOR_NOW,
        check=keeps_the_currency_of_what_refers_to_it,
    ),
    RuleBetweenRows(
        rule=Rule.BANK_REFERENCE_REUSED,
        contracts=(INVOICE_PAYMENTS.name, INVOICE_ADJUSTMENTS.name),
        says=(
            "no two standing payments have one bank reference, nor two adjustments; the same transfer with "
            "the same content under another event_id is `repeated` and counts once; a correction may carry "
            "the reference of its row, and a returned debit that of its payment; the parts of one transfer "
            "that pays several invoices are numbered: REF/1, REF/2"
        ),
        otherwise=_REFUSED_FOR_NOW,
        check=unique_value_is_free,
    ),
    RuleBetweenRows(
        rule=Rule.MERCHANT_ORDER_NUMBER_REUSED,
        contracts=(ORDERS.name,),
        says=(
            "no two standing orders of one merchant have one number of that merchant's; a correction may "
            "carry the number of its row"
        ),
        otherwise=_REFUSED_FOR_NOW,
        check=unique_value_is_free,
    ),
    RuleBetweenRows(
        rule=Rule.ABOVE_ORDER,
        contracts=(INVOICES.name,),
        says="an invoice alone does not come to more than its order ever did",
        otherwise=_REFUSED_FOR_NOW,
        check=is_within_the_order,
    ),
    RuleBetweenRows(
        rule=Rule.ORDER_BELOW_INVOICED,
        contracts=(ORDERS.name,),
        says="an order is not corrected below what its invoices come to, credit notes taken off",
        otherwise=_REFUSED_FOR_NOW,
        check=order_is_not_corrected_below_its_invoices,
    ),
    RuleBetweenRows(
        rule=Rule.ORDER_BELOW_INVOICED,
        contracts=(ORDER_EVENTS.name,),
        says=(
            "an order is not amended below what its invoices come to, credit notes taken off; of several "
            "amendments the one that happened last is what the order comes to"
        ),
        otherwise=_REFUSED_FOR_NOW,
        check=order_is_not_amended_below_its_invoices,
    ),
    RuleBetweenRows(
        rule=Rule.CREDITED_ABOVE_INVOICE,
        contracts=(INVOICE_ADJUSTMENTS.name,),
        says="the credit notes of an invoice do not come to more than the invoice",
        otherwise=_REFUSED_FOR_NOW,
        check=credit_notes_are_within_the_invoice,
    ),
    RuleBetweenRows(
        rule=Rule.INVOICE_BELOW_CREDITED,
        contracts=(INVOICES.name,),
        says="an invoice is not corrected below its credit notes",
        otherwise=_REFUSED_FOR_NOW,
        check=invoice_is_not_corrected_below_its_credit_notes,
    ),
    RuleBetweenRows(
        rule=Rule.SUM_ABOVE_ORDER,
        contracts=(INVOICES.name, INVOICE_ADJUSTMENTS.name),
        says=(
            "the invoices of an order, credit notes taken off, do not come to more than the order as it was "
            "amended last; a "
            "correction of a credit note does not take back the room that a later invoice has used"
        ),
        otherwise="held until a credit note or a correction makes room",
        check=sum_is_within_the_order,
    ),
    RuleBetweenRows(
        rule=Rule.REFUNDED_ABOVE_PAID,
        contracts=(INVOICE_ADJUSTMENTS.name,),
        says=(
            "the returned debits of an invoice do not come to more than its payments, nor do its other "
            "refunds; a payment that is corrected below a refund is taken all the same, because the money is "
            "gone"
        ),
        otherwise="held until a payment arrives",
        check=refunds_are_within_the_payments,
    ),
    RuleBetweenRows(
        rule=Rule.NOT_INVOICED,
        contracts=(ORDER_OUTCOMES.name,),
        says="a dispute is decided about an order that has an invoice",
        otherwise="held until one arrives",
        check=order_is_invoiced,
    ),
    RuleBetweenRows(
        rule=Rule.NOT_DISPUTED,
        contracts=(ORDER_OUTCOMES.name,),
        says=(
            "a dispute is decided about an order of which an invoice was paused for a dispute by then, but "
            "for the tolerance between clocks and a date without a time"
        ),
        otherwise="held until one arrives",
        check=order_is_disputed,
    ),
    RuleBetweenRows(
        rule=Rule.UNDECIDABLE,
        contracts=tuple(contract.name for contract in CONTRACTS.values() if contract.has_states),
        says=(
            "in a file: no two rows of one thing have the same two instants and other content, and no two "
            "events of one order send it to different places"
        ),
        otherwise="refused, each of them: nobody can tell which stands",
    ),
    RuleBetweenRows(
        rule=Rule.RECORDED_IN_FUTURE,
        says="in a file: no row was recorded after the moment of the check",
        otherwise=_REFUSED,
    ),
)
"""The table of the rules between rows, in the order in which a row that arrives is judged by them."""

_ON_OTHERS = frozenset(
    {
        Rule.CURRENCY_DIFFERS,
        Rule.BEFORE_REFERENCE,
        Rule.BANK_REFERENCE_REUSED,
        Rule.ABOVE_ORDER,
        Rule.ORDER_BELOW_INVOICED,
        Rule.CREDITED_ABOVE_INVOICE,
        Rule.INVOICE_BELOW_CREDITED,
        Rule.SUM_ABOVE_ORDER,
        Rule.REFUNDED_ABOVE_PAID,
        Rule.NOT_INVOICED,
        Rule.NOT_DISPUTED,
    }
)
"""What a row breaks of these, rows that come after it can mend."""


def _checks(contract: Contract, among: Collection[Rule]) -> tuple[_Check, ...]:
    return tuple(
        line.check
        for line in RULES
        if line.check is not None
        and line.rule in among
        and (not line.contracts or contract.name in line.contracts)
    )


_CHECKS = {contract.name: _checks(contract, frozenset(Rule)) for contract in CONTRACTS.values()}
_CHECKS_ON_OTHERS = {contract.name: _checks(contract, _ON_OTHERS) for contract in CONTRACTS.values()}
_CHECKS_ON_ITSELF = {
    contract.name: _checks(contract, frozenset(Rule) - _ON_OTHERS) for contract in CONTRACTS.values()
}


def rules_markdown() -> str:
    """The table as Markdown, for people who send ledger rows."""
    lines = [
        "| rule | rows of | what must hold | otherwise |",
        "|---|---|---|---|",
    ]
    for line in RULES:
        contracts = ", ".join(f"`{name}`" for name in line.contracts) or "every contract"
        lines.append(f"| `{line.rule.value}` | {contracts} | {line.says} | {line.otherwise} |")
    return "\n".join(lines)
