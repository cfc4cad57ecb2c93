"""Exposure that is not invoiced yet: what approved orders hold of a customer's limit."""

from collections.abc import Collection, Sequence

import msgspec

from serving.domain.merchant_keys import MerchantKeyHoldings
from serving.domain.reservation import HOLDING, ReservationState
from serving.store.api_keys import Role
from serving.store.errors import ReservationConflict
from serving.store.store import Transaction


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """What one order holds of its customer's limit, in minor units.

    placed_by: the role of the key that had the order decided; None where that was not kept.
    """

    order_id: str
    customer_id: str
    merchant_id: str
    decision_id: str
    amount_cents: int
    currency: str
    state: ReservationState
    expires_at_ms: int
    placed_by: Role | None = None

    def is_active(self, now_ms: int) -> bool:
        """Whether it still counts: not ended, and not expired."""
        return self.state in HOLDING and self.expires_at_ms > now_ms

    @property
    def is_invoiced(self) -> bool:
        """Whether invoices stand for a part of it, or for all."""
        return self.state in {ReservationState.PARTLY_INVOICED, ReservationState.INVOICED}


def reserved_cents(
    tx: Transaction,
    customer_id: str,
    now_ms: int,
    *,
    excluding_order_id: str,
    other_accounts: Sequence[str] = (),
    not_owed: Collection[str] = (),
) -> int:
    """What the customer's other approved orders hold now, and all approved orders of the person's other
    accounts.

    not_owed: order_ids of any of these accounts that the person does not owe.
    """
    where, values = _active(customer_id, now_ms, excluding_order_id, other_accounts, not_owed)
    rows = tx.execute(
        f"SELECT coalesce(sum(amount_cents), 0) FROM reservations WHERE {where}",  # noqa: S608 - placeholders only
        values,
    )
    return int(rows[0][0])


def held_by_merchants_keys(
    tx: Transaction,
    customer_id: str,
    now_ms: int,
    *,
    merchant_id: str,
    excluding_order_id: str,
    other_accounts: Sequence[str] = (),
    not_owed: Collection[str] = (),
) -> MerchantKeyHoldings:
    """The part of `reserved_cents` that orders hold which merchants' keys placed.

    merchant_id: the one that asks.
    """
    where, values = _active(customer_id, now_ms, excluding_order_id, other_accounts, not_owed)
    rows = tx.execute(
        "SELECT merchant_id, state, count(*), sum(amount_cents) FROM reservations "  # noqa: S608 - placeholders only
        f"WHERE {where} AND placed_by = 'merchant' GROUP BY merchant_id, state",
        values,
    )
    found = {(merchant, state): (int(number), int(cents)) for merchant, state, number, cents in rows}
    reserved, confirmed = ReservationState.RESERVED.value, ReservationState.CONFIRMED.value
    own_orders, own_cents = found.get((merchant_id, reserved), (0, 0))
    _, confirmed_cents = found.get((merchant_id, confirmed), (0, 0))
    return MerchantKeyHoldings(
        own_confirmed_cents=confirmed_cents,
        own_unconfirmed_cents=own_cents,
        own_unconfirmed_orders=own_orders,
        others_unconfirmed_cents=sum(
            cents
            for (merchant, state), (_, cents) in found.items()
            if merchant != merchant_id and state == reserved
        ),
    )


def _active(
    customer_id: str,
    now_ms: int,
    excluding_order_id: str,
    other_accounts: Sequence[str],
    not_owed: Collection[str],
) -> tuple[str, tuple[object, ...]]:
    """The condition of the reservations that count against a person's limit, and its values."""
    marks = "".join(", ?" for _ in other_accounts)
    left_out = f" AND order_id NOT IN ({', '.join('?' for _ in not_owed)})" if not_owed else ""
    where = (
        f"customer_id IN (?{marks}) AND state IN ('reserved', 'confirmed') AND expires_at_ms > ? "
        f"AND NOT (customer_id = ? AND order_id = ?){left_out}"
    )
    return where, (customer_id, *other_accounts, now_ms, customer_id, excluding_order_id, *not_owed)


def reserve(tx: Transaction, reservation: Reservation, now_ms: int) -> None:
    """Reserve, replacing what the same order held before.

    Raises ReservationConflict where the order is confirmed, invoiced or cancelled.
    """
    written = tx.execute(
        "INSERT INTO reservations (customer_id, order_id, merchant_id, decision_id, amount_cents, currency, "
        "state, expires_at_ms, updated_at_ms, placed_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (customer_id, order_id) DO UPDATE SET decision_id = excluded.decision_id, "
        "amount_cents = excluded.amount_cents, currency = excluded.currency, state = excluded.state, "
        "expires_at_ms = excluded.expires_at_ms, updated_at_ms = excluded.updated_at_ms, "
        "placed_by = excluded.placed_by "
        "WHERE reservations.state IN ('reserved', 'released') RETURNING order_id",
        (
            reservation.customer_id,
            reservation.order_id,
            reservation.merchant_id,
            reservation.decision_id,
            reservation.amount_cents,
            reservation.currency,
            reservation.state.value,
            reservation.expires_at_ms,
            now_ms,
            None if reservation.placed_by is None else reservation.placed_by.value,
        ),
    )
    if not written:
        raise ReservationConflict(f"order {reservation.order_id} is confirmed, or its reservation has ended")


def may_be_known(tx: Transaction, customer_id: str, order_id: str) -> bool:
    """Whether the customer's order has a reservation, or the ledger any order with its id: one question, for
    nearly every order that is scored is new.
    """
    ((is_known,),) = tx.execute(
        "SELECT EXISTS (SELECT 1 FROM reservations WHERE customer_id = ? AND order_id = ?) "
        "OR EXISTS (SELECT 1 FROM ledger_events WHERE contract = 'orders' AND subject_id = ?)",
        (customer_id, order_id, order_id),
    )
    return bool(is_known)


def reservation_of(tx: Transaction, customer_id: str, order_id: str) -> Reservation | None:
    """The reservation of an order, None if it never had one."""
    rows = tx.execute(
        "SELECT order_id, customer_id, merchant_id, decision_id, amount_cents, currency, state, "
        "expires_at_ms, placed_by, partly_invoiced_at_ms FROM reservations "
        "WHERE customer_id = ? AND order_id = ?",
        (customer_id, order_id),
    )
    if not rows:
        return None
    row = rows[0]
    state = ReservationState(row[6])
    if state is ReservationState.CONFIRMED and row[9] is not None:
        state = ReservationState.PARTLY_INVOICED
    return Reservation(
        order_id=row[0],
        customer_id=row[1],
        merchant_id=row[2],
        decision_id=row[3],
        amount_cents=int(row[4]),
        currency=row[5],
        state=state,
        expires_at_ms=int(row[7]),
        placed_by=None if row[8] is None else Role(row[8]),
    )


def confirm(tx: Transaction, *, customer_id: str, order_id: str, expires_at_ms: int, now_ms: int) -> None:
    """The order stands: its reservation lives longer and can no longer be re-scored."""
    tx.execute(
        "UPDATE reservations SET state = 'confirmed', expires_at_ms = ?, updated_at_ms = ? "
        "WHERE customer_id = ? AND order_id = ? AND state = 'reserved'",
        (expires_at_ms, now_ms, customer_id, order_id),
    )


def extend(tx: Transaction, *, customer_id: str, order_id: str, expires_at_ms: int, now_ms: int) -> None:
    """What the order holds is held for longer."""
    tx.execute(
        "UPDATE reservations SET expires_at_ms = ?, updated_at_ms = ? "
        "WHERE customer_id = ? AND order_id = ? AND state = 'confirmed'",
        (expires_at_ms, now_ms, customer_id, order_id),
    )


def release(tx: Transaction, *, customer_id: str, order_id: str, now_ms: int) -> None:
    """A re-scored order was not approved: what it held is free."""
    _end(tx, ReservationState.RELEASED, customer_id, order_id, now_ms)


def hold_rest(tx: Transaction, *, customer_id: str, order_id: str, rest_cents: int, now_ms: int) -> None:
    """Hold what of the order is not invoiced: from now on its invoices count beside it.

    To a release that knows no such rest, the order is a confirmed one of this amount.
    """
    tx.execute(
        "UPDATE reservations SET state = ?, amount_cents = ?, partly_invoiced_at_ms = ?, updated_at_ms = ? "
        "WHERE customer_id = ? AND order_id = ? AND state IN ('reserved', 'confirmed', 'invoiced')",
        ("confirmed" if rest_cents else "invoiced", rest_cents, now_ms, now_ms, customer_id, order_id),
    )


def hold_amended(tx: Transaction, *, customer_id: str, order_id: str, amount_cents: int, now_ms: int) -> None:
    """The order comes to another amount; nothing of it is invoiced or released."""
    tx.execute(
        "UPDATE reservations SET amount_cents = ?, updated_at_ms = ? "
        "WHERE customer_id = ? AND order_id = ? AND state IN ('reserved', 'confirmed')",
        (amount_cents, now_ms, customer_id, order_id),
    )


def end_by_cancellation(tx: Transaction, *, customer_id: str, order_id: str, now_ms: int) -> None:
    """The order is cancelled: what it held is free."""
    _end(tx, ReservationState.CANCELLED, customer_id, order_id, now_ms)


def _end(tx: Transaction, state: ReservationState, customer_id: str, order_id: str, now_ms: int) -> None:
    tx.execute(
        "UPDATE reservations SET state = ?, updated_at_ms = ? "
        "WHERE customer_id = ? AND order_id = ? AND state IN ('reserved', 'confirmed')",
        (state.value, now_ms, customer_id, order_id),
    )
