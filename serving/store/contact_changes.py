"""When a merchant was reached elsewhere from then on: kept, and told to the contact that it had before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from data_contracts.merchants import MERCHANTS
from serving.store.outbox import CONTACT_CHANGED, append_message
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction


class MerchantContact(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how a merchant is reached. endpoint_url: None where it is reached by e-mail only."""

    name: str
    country: str
    language: str
    email: str
    endpoint_url: str | None


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    before: MerchantContact
    after: MerchantContact


@dataclass(frozen=True, kw_only=True)
class ContactChange:
    """One change of a merchant's endpoint or mailbox. event_id: of the ledger row that made it."""

    event_id: str
    merchant_id: str
    at_ms: int
    before: MerchantContact
    after: MerchantContact

    @property
    def is_new_email(self) -> bool:
        """Whether e-mails go elsewhere."""
        return self.before.email != self.after.email

    @property
    def is_new_endpoint(self) -> bool:
        """Whether webhooks go elsewhere, or nowhere."""
        return self.before.endpoint_url != self.after.endpoint_url


def note_contact_change(tx: Transaction, row: Mapping[str, Any], now_ms: int) -> None:
    """Keep what a merchant's row changed of where the merchant is reached, and have the contact before told.

    The row stands in the ledger by now. A first row changes nothing.
    """
    merchant_id, event_id = row["merchant_id"], row["event_id"]
    earlier = standing_row(tx, MERCHANTS, merchant_id, without_event_id=event_id)
    now = standing_row(tx, MERCHANTS, merchant_id)
    if earlier is None or now is None:
        return
    record = _Record(before=_contact(earlier), after=_contact(now))
    change = ContactChange(
        event_id=event_id, merchant_id=merchant_id, at_ms=now_ms, before=record.before, after=record.after
    )
    if not (change.is_new_email or change.is_new_endpoint):
        return
    tx.execute(
        "INSERT INTO merchant_contact_changes (event_id, merchant_id, at_ms, record) VALUES (?, ?, ?, ?)",
        (event_id, merchant_id, now_ms, msgspec.json.encode(record).decode()),
    )
    append_message(
        tx,
        message_id=f"contact-{event_id}",
        kind=CONTACT_CHANGED,
        payload={"event_id": event_id},
        now_ms=now_ms,
    )


def contact_change(tx: Transaction, event_id: str) -> ContactChange | None:
    """The change that a ledger row made; None where it made none."""
    found = _changes(tx, "WHERE event_id = ?", (event_id,))
    return found[0] if found else None


def contact_changes(tx: Transaction, merchant_id: str, *, since_ms: int = 0) -> list[ContactChange]:
    """The changes of a merchant's contacts, the earliest first."""
    return _changes(
        tx, "WHERE merchant_id = ? AND at_ms >= ? ORDER BY at_ms, event_id", (merchant_id, since_ms)
    )


def _changes(tx: Transaction, where: str, parameters: tuple[object, ...]) -> list[ContactChange]:
    rows = tx.execute(
        f"SELECT event_id, merchant_id, at_ms, record FROM merchant_contact_changes {where}",  # noqa: S608 - constants
        parameters,
    )
    changes = []
    for event_id, merchant_id, at_ms, text in rows:
        record = msgspec.json.decode(text, type=_Record)
        changes.append(
            ContactChange(
                event_id=event_id,
                merchant_id=merchant_id,
                at_ms=int(at_ms),
                before=record.before,
                after=record.after,
            )
        )
    return changes


def _contact(row: Mapping[str, Any]) -> MerchantContact:
    return MerchantContact(
        name=row["name"],
        country=row["country"],
        language=row["language"],
        email=row["email"],
        endpoint_url=row.get("endpoint_url"),
    )
