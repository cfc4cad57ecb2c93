"""A return of goods, from its announcement to its booking: states and steps. Pure.

announced ──book──> booked            the goods came back and are credited
    ├──out of time, with proof──> not_booked ──book──> booked
    └──out of time, without──> lapsed ──book──> booked
"""

import enum
from dataclasses import dataclass, replace

from data_contracts.instants import DAY_MS
from serving.domain.errors import RiskError

MAXIMUM_LIMIT_DAYS = 365


class ReturnClosed(RiskError):
    """The goods are booked already, with other amounts."""


@dataclass(frozen=True, kw_only=True)
class ReturnPolicy:
    """How many whole days announced goods may be on their way until they are booked."""

    limit_days_with_proof: int = 28
    limit_days_without_proof: int = 14


class ReturnState(enum.StrEnum):
    """The closed list of states of a return.

    ANNOUNCED: the goods are on their way, and its invoices paused. BOOKED: they came back and are credited.
    NOT_BOOKED: there is proof, and nobody booked them in time; the pause lasts until a dispute pauses the
    invoices in its stead. LAPSED: nobody booked them
    and there is no proof; the invoices run again.
    """

    ANNOUNCED = "announced"
    BOOKED = "booked"
    NOT_BOOKED = "not_booked"
    LAPSED = "lapsed"


OPEN = frozenset({ReturnState.ANNOUNCED, ReturnState.NOT_BOOKED, ReturnState.LAPSED})
"""In these states the goods are announced and not booked: nobody can announce them again."""


@dataclass(frozen=True, kw_only=True)
class ReturnedPosition:
    """A part of what comes back, as the customer names it. amount_cents: in minor units."""

    name: str
    amount_cents: int


@dataclass(frozen=True, kw_only=True)
class ReturnPause:
    """The pause of one invoice for a return.

    is_begun: False while nobody has confirmed goods that were announced when the invoice was due, or after a
        return of it lapsed. Such a pause is no row of the ledger yet, so that it lifts nothing.
    is_ended: no more than once.
    """

    invoice_id: str
    pause_id: str
    is_begun: bool
    is_ended: bool = False


@dataclass(frozen=True, kw_only=True)
class GoodsReturn:
    """Goods of one order that a customer sends back. Amounts in minor units of the order's currency.

    amount_cents: of what was announced. due_at_ms: when it runs out, set with the announcement or the proof.
    carrier, tracking_number: the proof, None without one. confirmed_at_ms: when merchant or carrier confirmed
        that the goods are on their way or back; None before that.
    booked_cents: what of it came back, the fee not taken off; return_fee_cents: what of that was kept back.
    is_booked_by_ledger: booked by credit notes that came as rows of the ledger.
    """

    return_id: str
    order_id: str
    merchant_order_number: str | None
    customer_id: str
    merchant_id: str
    state: ReturnState
    amount_cents: int
    currency: str
    positions: tuple[ReturnedPosition, ...]
    carrier: str | None
    tracking_number: str | None
    announced_at_ms: int
    due_at_ms: int
    pauses: tuple[ReturnPause, ...]
    confirmed_at_ms: int | None = None
    ran_out_at_ms: int | None = None
    booked_at_ms: int | None = None
    booked_cents: int = 0
    return_fee_cents: int = 0
    is_booked_by_ledger: bool = False

    @property
    def has_proof(self) -> bool:
        """Whether a tracking number, or the word of merchant or carrier, says that the goods were sent."""
        return self.tracking_number is not None or self.confirmed_at_ms is not None

    @property
    def is_open(self) -> bool:
        """Whether the goods are not booked."""
        return self.state in OPEN


def due_at_ms(announced_at_ms: int, *, has_proof: bool, policy: ReturnPolicy) -> int:
    """When a return runs out that was announced at an instant.

    >>> due_at_ms(0, has_proof=False, policy=ReturnPolicy(limit_days_without_proof=1))
    86400000
    """
    days = policy.limit_days_with_proof if has_proof else policy.limit_days_without_proof
    return announced_at_ms + days * DAY_MS


def with_proof(
    goods: GoodsReturn, *, carrier: str | None, tracking_number: str, policy: ReturnPolicy
) -> GoodsReturn:
    """The return with its tracking number; one that it has stands.

    The limit is that with proof from then on, counted from the announcement. A return that lapsed stays so:
    its invoices run, and the number is kept for whoever decides a dispute.
    """
    if goods.tracking_number is not None or goods.state is ReturnState.BOOKED:
        return goods
    return _with_limit_of_proof(replace(goods, carrier=carrier, tracking_number=tracking_number), policy)


def _with_limit_of_proof(goods: GoodsReturn, policy: ReturnPolicy) -> GoodsReturn:
    if goods.state is not ReturnState.ANNOUNCED:
        return goods
    proved_ms = due_at_ms(goods.announced_at_ms, has_proof=True, policy=policy)
    return replace(goods, due_at_ms=max(goods.due_at_ms, proved_ms))


def confirmed(goods: GoodsReturn, at_ms: int, policy: ReturnPolicy) -> GoodsReturn:
    """The return once merchant or carrier confirmed the goods; the first word counts.

    Every pause that waited for it begins now, from the announcement on, while the return is under way.
    """
    if goods.confirmed_at_ms is not None or goods.state is ReturnState.BOOKED:
        return goods
    after = _with_limit_of_proof(replace(goods, confirmed_at_ms=at_ms), policy)
    if goods.state is ReturnState.LAPSED:
        return after
    return replace(after, pauses=tuple(replace(pause, is_begun=True) for pause in after.pauses))


def booked(
    goods: GoodsReturn, at_ms: int, *, cents: int, fee_cents: int = 0, by_ledger: bool = False
) -> GoodsReturn:
    """The return once the goods are booked: its pauses end. The same amounts again change nothing.

    What is booked is confirmed: a pause that waited for that counts, unless the return had lapsed.
    Raises ReturnClosed.
    """
    if goods.state is ReturnState.BOOKED:
        if (goods.booked_cents, goods.return_fee_cents) == (cents, fee_cents):
            return goods
        raise ReturnClosed(f"{goods.booked_cents} of return {goods.return_id} are booked already")
    has_lapsed = goods.state is ReturnState.LAPSED
    return replace(
        goods,
        state=ReturnState.BOOKED,
        booked_at_ms=at_ms,
        confirmed_at_ms=at_ms if goods.confirmed_at_ms is None else goods.confirmed_at_ms,
        booked_cents=cents,
        return_fee_cents=fee_cents,
        is_booked_by_ledger=by_ledger,
        pauses=tuple(
            pause if has_lapsed and not pause.is_begun else replace(pause, is_begun=True, is_ended=True)
            for pause in goods.pauses
        ),
    )


def run_out(goods: GoodsReturn, now_ms: int) -> GoodsReturn:
    """The return as it is now: out of time from its limit on, with what follows from its proof."""
    if goods.state is not ReturnState.ANNOUNCED or now_ms < goods.due_at_ms:
        return goods
    if goods.has_proof:
        return replace(goods, state=ReturnState.NOT_BOOKED, ran_out_at_ms=now_ms)
    ended = tuple(replace(pause, is_ended=pause.is_begun) for pause in goods.pauses)
    return replace(goods, state=ReturnState.LAPSED, ran_out_at_ms=now_ms, pauses=ended)


def handed_over(goods: GoodsReturn) -> GoodsReturn:
    """The return once a dispute pauses its invoices from now on: its own pauses end, one that waits too."""
    ended = tuple(replace(pause, is_ended=pause.is_begun) for pause in goods.pauses)
    return replace(goods, pauses=ended)
