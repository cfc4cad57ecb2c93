"""What the policy says about settlement with the merchants, and which version counts for an invoice."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, kw_only=True)
class FeeTerms:
    """The merchant's fee for one invoice.

    per_mille: of the amount. minimum_cents: of one invoice, in its currency; never more than the amount.
    is_given_back_on_return: what the merchant credits for a return or out of goodwill costs no fee; else the
        fee stays on all that was invoiced.
    """

    per_mille: int
    minimum_cents: int
    is_given_back_on_return: bool


@dataclass(frozen=True, kw_only=True)
class SettlementPolicy:
    """What the policy says about settlement.

    settles_from: what happened before this local date was settled elsewhere.
    """

    fee: FeeTerms
    settles_from: date


@dataclass(frozen=True, kw_only=True)
class TermsSince:
    """The settlement of a policy that came into force. settles_from_ms: where its `settles_from` begins."""

    since_ms: int
    settles_from_ms: int
    fee: FeeTerms


def settles_from_ms(history: Sequence[TermsSince]) -> int | None:
    """From when on what happens is settled: the earliest instant that any version has named.

    None where no version says anything about settlement. A later version can settle more of the past, and
    never less: what was posted stays posted.

    >>> fee = FeeTerms(per_mille=40, minimum_cents=0, is_given_back_on_return=False)
    >>> def since(at, settles_from):
    ...     return TermsSince(since_ms=at, settles_from_ms=settles_from, fee=fee)
    >>> settles_from_ms([since(10, 8), since(20, 15)]), settles_from_ms([since(10, 8), since(20, 3)])
    (8, 3)
    """
    return min((terms.settles_from_ms for terms in history), default=None)


def fee_terms_at(history: Sequence[TermsSince], at_ms: int) -> FeeTerms | None:
    """The fee that was agreed at an instant: of the version that was in force then, None without any.

    history: in the order in which they came into force. What is older than the first of them is settled by
    that one, so that a first policy can settle the month in which it began.

    >>> def since(at, per_mille):
    ...     fee = FeeTerms(per_mille=per_mille, minimum_cents=0, is_given_back_on_return=False)
    ...     return TermsSince(since_ms=at, settles_from_ms=0, fee=fee)
    >>> history = [since(10, 40), since(20, 30)]
    >>> [fee_terms_at(history, at).per_mille for at in (5, 10, 19, 20)]
    [40, 40, 40, 30]
    """
    in_force = [terms.fee for terms in history if terms.since_ms <= at_ms]
    if in_force:
        return in_force[-1]
    return history[0].fee if history else None
