"""What is settled with the merchant of one order: lines of double entry, from what the ledger says now.

All amounts are whole minor units. A line says what the merchant receives (negative: what it pays), and its
postings sum to zero: a debit is positive, a credit negative.
"""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from serving.domain.liability import Bearer, Liability, RiskFacts
from serving.domain.settlement_policy import FeeTerms

HALF_PER_MILLE = 500


class Account(enum.Enum):
    """The provider's accounts that a settlement touches.

    What the merchants are owed is a credit on `merchant_payable`, and so negative there.
    """

    CUSTOMER_RECEIVABLE = "customer_receivable"
    MERCHANT_PAYABLE = "merchant_payable"
    FEE_INCOME = "fee_income"
    FRAUD_LOSSES = "fraud_losses"


class SettlementText(enum.Enum):
    """The texts of the lines of a settlement note, in the order in which they stand there."""

    PAYOUT = "payout"
    FEE = "fee"
    RETURN = "return"
    CHARGEBACK = "chargeback"
    RETURN_FRAUD = "return, fraud"
    FRAUD_POLICY = "fraud policy"


_AGAINST = {
    SettlementText.PAYOUT: Account.CUSTOMER_RECEIVABLE,
    SettlementText.FEE: Account.FEE_INCOME,
    SettlementText.RETURN: Account.CUSTOMER_RECEIVABLE,
    SettlementText.CHARGEBACK: Account.CUSTOMER_RECEIVABLE,
    SettlementText.RETURN_FRAUD: Account.CUSTOMER_RECEIVABLE,
    SettlementText.FRAUD_POLICY: Account.FRAUD_LOSSES,
}


@dataclass(frozen=True, kw_only=True)
class Posting:
    """One side of a double entry. amount_cents: a debit is positive, a credit negative."""

    account: Account
    amount_cents: int


@dataclass(frozen=True, kw_only=True)
class SettlementLine:
    """One line of the settlement note. amount_cents: what the merchant receives; negative: it pays.

    invoice_id: which invoice it is about; None for what is about the whole order.
    """

    text: SettlementText
    amount_cents: int
    currency: str
    invoice_id: str | None = None

    @property
    def postings(self) -> tuple[Posting, ...]:
        """The two sides, which sum to zero.

        >>> line = SettlementLine(text=SettlementText.FEE, amount_cents=-400, currency="EUR", invoice_id="i1")
        >>> [(side.account.value, side.amount_cents) for side in line.postings]
        [('merchant_payable', 400), ('fee_income', -400)]
        """
        return (
            Posting(account=Account.MERCHANT_PAYABLE, amount_cents=-self.amount_cents),
            Posting(account=_AGAINST[self.text], amount_cents=self.amount_cents),
        )


@dataclass(frozen=True, kw_only=True)
class SettledInvoice:
    """What the ledger says about one invoice that concerns its merchant.

    returned_cents: credited for a return or out of goodwill. charged_back_cents: credited because a dispute,
        a chargeback or a fraud was decided. Together at most the amount; of an invoice that was issued before
        settlement began, only what was credited since.
    is_paid_out: whether its payout is settled here; not, where it was issued before.
    is_withheld: it came for an order that the merchant said it had stopped, so it is the merchant's.
    fee: None where none was agreed.
    """

    invoice_id: str
    amount_cents: int
    currency: str
    returned_cents: int
    charged_back_cents: int
    is_paid_out: bool
    is_withheld: bool
    fee: FeeTerms | None

    @property
    def fee_cents(self) -> int:
        """The merchant's fee; nothing for what is not paid out.

        >>> terms = FeeTerms(per_mille=40, minimum_cents=35, is_given_back_on_return=True)
        >>> def fee(amount, returned=0):
        ...     return SettledInvoice(invoice_id="i1", amount_cents=amount, currency="EUR", fee=terms,
        ...         returned_cents=returned, charged_back_cents=0, is_paid_out=True,
        ...         is_withheld=False).fee_cents
        >>> fee(10_000), fee(10_012), fee(10_013), fee(500), fee(20)
        (400, 400, 401, 35, 20)
        >>> fee(10_000, returned=4_000), fee(10_000, returned=10_000)
        (240, 0)
        """
        if self.fee is None or not self.is_paid_out or self.is_withheld:
            return 0
        charged_cents = self.amount_cents
        if self.fee.is_given_back_on_return:
            charged_cents -= self.returned_cents
        share_cents = (charged_cents * self.fee.per_mille + HALF_PER_MILLE) // 1_000
        return min(charged_cents, max(share_cents, self.fee.minimum_cents))


def invoice_lines(invoice: SettledInvoice) -> Iterator[SettlementLine]:
    """What is demanded for one invoice; a line of nothing is left out.

    An invoice of 100.00 at 4 % of which 30.00 came back, and 20.00 were charged back:

    >>> fee = FeeTerms(per_mille=40, minimum_cents=35, is_given_back_on_return=False)
    >>> invoice = SettledInvoice(invoice_id="i1", amount_cents=10_000, currency="EUR", returned_cents=3_000,
    ...     charged_back_cents=2_000, is_paid_out=True, is_withheld=False, fee=fee)
    >>> [(line.text.value, line.amount_cents) for line in invoice_lines(invoice)]
    [('payout', 10000), ('fee', -400), ('return', -3000), ('chargeback', -2000)]
    """
    if invoice.is_withheld:
        return
    amounts = (
        (SettlementText.PAYOUT, invoice.amount_cents if invoice.is_paid_out else 0),
        (SettlementText.FEE, -invoice.fee_cents),
        (SettlementText.RETURN, -invoice.returned_cents),
        (SettlementText.CHARGEBACK, -invoice.charged_back_cents),
    )
    for text, amount_cents in amounts:
        if amount_cents:
            yield SettlementLine(
                text=text,
                amount_cents=amount_cents,
                currency=invoice.currency,
                invoice_id=invoice.invoice_id,
            )


def fraud_lines(facts: RiskFacts, liability: Liability) -> tuple[SettlementLine, ...]:
    """What is demanded for a confirmed high-risk order; empty until somebody bears the loss.

    The merchant returns what is still claimed and was paid out to it: what it has credited already, or what
    was charged back, it does not owe again. Where it met the requirements, the claim without value-added tax
    is paid out again: that tax the merchant corrects with its tax office, so it is no loss. A dispute that
    was decided for the customer, on an order that the merchant was asked to stop, is the same without a
    finding of fraud: what was charged back is paid out again without tax where it met the requirements, and
    nothing beyond that is returned. A line of nothing is left out.
    """
    if liability.bearer not in {Bearer.PROVIDER, Bearer.MERCHANT}:
        return ()
    returned_cents = borne_cents = 0
    if facts.is_confirmed_fraud:
        borne_cents = max(facts.claim_cents - facts.withheld_cents, 0)
        returned_cents = max(borne_cents - facts.charged_back_cents, 0)
    elif facts.is_lost_by_dispute:
        borne_cents = facts.charged_back_cents
    lines = [_line(facts, SettlementText.RETURN_FRAUD, -returned_cents)]
    if liability.bearer is Bearer.PROVIDER:
        net_cents = borne_cents - facts.vat_in(borne_cents)
        lines.append(_line(facts, SettlementText.FRAUD_POLICY, net_cents))
    return tuple(line for line in lines if line.amount_cents != 0)


def _line(facts: RiskFacts, text: SettlementText, amount_cents: int) -> SettlementLine:
    return SettlementLine(text=text, amount_cents=amount_cents, currency=facts.currency)


def demanded_lines(
    invoices: Sequence[SettledInvoice], for_fraud: Sequence[SettlementLine]
) -> tuple[SettlementLine, ...]:
    """All that is demanded now for an order: by invoice, and then what is about the whole order."""
    order = list(SettlementText)
    lines = [line for invoice in invoices for line in invoice_lines(invoice)]
    return tuple(
        sorted(
            [*lines, *for_fraud],
            key=lambda line: (
                line.invoice_id is None,
                line.invoice_id or "",
                order.index(line.text),
                line.currency,
            ),
        )
    )
