"""Which ledger rows a key may write by `POST /v1/events`: every role against every contract, in one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from data_contracts.contract import Contract
from data_contracts.invoice_charges import COLLECTION_NOTICE, INVOICE_CHARGES
from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.order_events import AMENDED, ORDER_EVENTS
from data_contracts.order_outcomes import FRAUD_OUTCOMES
from serving.domain.reminders import ReminderPolicy
from serving.store.api_keys import Role

RULE = "not_permitted"
"""The name of the rule that a row breaks which its key may not write."""

WRITTEN_HERE = "reminders_are_written_here"
"""The name of the rule that a charge breaks in a book whose reminders the worker writes."""

WITHDRAWAL = "finding_withdrawn"


@dataclass(frozen=True, kw_only=True)
class Permission:
    """What a role may write of one contract.

    kinds: of the column `kind`; None for every row.
    decided_orders_only: about orders that were decided here, and no others.
    """

    kinds: tuple[str, ...] | None = None
    decided_orders_only: bool = False

    @property
    def is_partial(self) -> bool:
        """Whether it takes more than the contract's name to tell."""
        return self.kinds is not None or self.decided_orders_only


ANY_ROW = Permission()

_DISPUTES = Permission(kinds=("dispute_decided_for_customer", "dispute_decided_for_merchant", WITHDRAWAL))
_FINDINGS = Permission(
    kinds=(
        *FRAUD_OUTCOMES,
        "identity_misuse_rejected",
        "review_released",
        "stop_request_rejected",
        WITHDRAWAL,
    )
)
_OWN_ORDERS = Permission(
    # A larger basket is lent only after a judgement, which a ledger row would go round.
    kinds=tuple(kind for kind in ORDER_EVENTS.column("kind").allowed or () if kind != AMENDED),
    decided_orders_only=True,
)
_BACK_OFFICE: Mapping[Role, Permission] = MappingProxyType({Role.LEDGER: ANY_ROW})

WRITERS: Mapping[str, Mapping[Role, Permission]] = MappingProxyType(
    {
        "merchants": _BACK_OFFICE,
        "customers": _BACK_OFFICE,
        "credit_accounts": _BACK_OFFICE,
        "account_balances": _BACK_OFFICE,
        "credit_inquiries": _BACK_OFFICE,
        "orders": _BACK_OFFICE,
        "invoices": _BACK_OFFICE,
        "invoice_payments": _BACK_OFFICE,
        "invoice_adjustments": _BACK_OFFICE,
        "invoice_charges": _BACK_OFFICE,
        "invoice_pauses": _BACK_OFFICE,
        "order_events": {Role.LEDGER: ANY_ROW, Role.CHECKOUT: _OWN_ORDERS},
        "order_outcomes": {Role.LEDGER: _DISPUTES, Role.FRAUD: _FINDINGS},
    }
)
"""By contract, who writes it and what of it. A role that is not named writes nothing of it."""

SENDERS = frozenset(role for writers in WRITERS.values() for role in writers)
"""The roles that write anything: those that `POST /v1/events` is open to."""


@dataclass(frozen=True, kw_only=True)
class NotPermitted:
    """A row that its key may not write. column: of the row, which the reason is about."""

    column: str
    message: str


def is_partly_permitted(role: Role, contract: Contract) -> bool:
    """Whether it takes a look at the ledger to tell whether a role may write a row of a contract."""
    permission = WRITERS[contract.name].get(role)
    return permission is not None and permission.is_partial


def why_not_permitted(role: Role, contract: Contract, row: Mapping[str, Any]) -> NotPermitted | None:
    """Why a role may not write a row, as far as the row tells by itself; None where it may.

    row: as it was sent; a kind that the contract does not know is for the contract to refuse.
    """
    permission = WRITERS[contract.name].get(role)
    if permission is None:
        message = f"{RULE}: a key of the role {role.value} may not write {contract.name}"
        return NotPermitted(column="contract", message=message)
    kind = row.get("kind")
    if permission.kinds is None or kind in permission.kinds or kind not in kinds_of(contract):
        return None
    message = f"{RULE}: a key of the role {role.value} may not write {contract.name} of the kind {kind}"
    return NotPermitted(column="kind", message=message)


def why_written_here(
    contract: Contract, row: Mapping[str, Any], reminders: ReminderPolicy
) -> NotPermitted | None:
    """Why nobody but the worker may write a row under the policy in force; None where others may.

    Hand-overs to collection are the back office's under every policy.
    """
    if contract is not INVOICE_CHARGES or not reminders.is_written_here:
        return None
    if row.get("kind") == COLLECTION_NOTICE:
        return None
    message = (
        f"{WRITTEN_HERE}: the policy says reminders.writer = worker, so that the worker writes notices, "
        f"reminders and fees; of {contract.name} only the kind {COLLECTION_NOTICE} is taken"
    )
    return NotPermitted(column="contract", message=message)


def why_order_is_not_permitted(
    role: Role, contract: Contract, row: Mapping[str, Any], *, is_decided: bool
) -> NotPermitted | None:
    """Why a role may not write about the order of a row; None where it may.

    is_decided: whether we made a decision about the order.
    """
    permission = WRITERS[contract.name].get(role)
    if permission is None or not permission.decided_orders_only or is_decided:
        return None
    message = (
        f"{RULE}: a key of the role {role.value} may write {contract.name} of orders only that were decided "
        f"here; {row['order_id']} was not"
    )
    return NotPermitted(column="order_id", message=message)


def why_correction_is_not_permitted(
    role: Role,
    contract: Contract,
    corrected: tuple[Contract, Mapping[str, Any]] | None,
    *,
    is_decided: bool,
) -> NotPermitted | None:
    """Why a role may not correct a row, though it may write the correction; None where it may.

    corrected: the row that the correction names, wherever it waits; None where it has not arrived. Then
    only a role that may write every row of the contract may correct it: nobody knows yet what it says.
    is_decided: whether we made a decision about the order of the corrected row.
    """
    if corrected is None and not is_partly_permitted(role, contract):
        return None
    if corrected is None:
        message = f"{RULE}: a key of the role {role.value} corrects only what has arrived; send it again then"
        return NotPermitted(column="corrects", message=message)
    refusal = why_not_permitted(role, *corrected) or why_order_is_not_permitted(
        role, *corrected, is_decided=is_decided
    )
    return None if refusal is None else NotPermitted(column="corrects", message=refusal.message)


def kinds_of(contract: Contract) -> tuple[str, ...]:
    """The kinds of a contract's rows, none where it has no column `kind`."""
    return next((column.allowed or () for column in contract.columns if column.name == "kind"), ())


def event_permissions_page() -> str:
    """The table as a page of the documentation."""
    roles = list(Role)
    lines = [
        "| contract | " + " | ".join(f"`{role.value}`" for role in roles) + " |",
        "|---" * (len(roles) + 1) + "|",
    ]
    for contract in ALL_CONTRACTS:
        writers = WRITERS[contract.name]
        cells = [_cell(contract, writers.get(role)) for role in roles]
        lines.append(f"| `{contract.name}` | " + " | ".join(cells) + " |")
    table = "\n".join(lines)
    return f"""# Who may write which ledger rows

What `POST /v1/events` takes from a key, by the key's role. A row that the key may not write is rejected by
name, with the rule `{RULE}` and a pointer to `contract`, `kind`, `order_id` or `corrects`; it is kept in
quarantine, and the other rows of the body go their way. Where no row of a body could be allowed the whole
request is answered 403, and nothing of it is kept: a feed with the wrong key fails loudly.

{table}

- A **correction** (`corrects`) needs the permission for both: the new row, and the row that it takes the
  place of. A role that may write only part of a contract corrects only rows that have arrived.
- A **checkout** tells what happened to orders that were decided here (`POST /v1/score`). Orders themselves
  enter with their decision, `confirmed` and `cancelled` also by `/v1/orders/{{id}}/confirm` and `/cancel`;
  an `amended` one by `/v1/orders/{{id}}/amend` alone, which judges what becomes larger. What was ordered
  elsewhere is the back office's to feed; an order that it says was `amended` holds of the limit what it
  comes to then, judged by nobody.
- **Reminders** have one writer in a book: under a policy with `reminders.writer = "worker"` rows of
  `invoice_charges` are refused with the rule `{WRITTEN_HERE}`, but for the kind `{COLLECTION_NOTICE}`.
- **Findings** of the fraud team enter by its cases, from the console or by `/v1/cases`, under the name of
  who found them; a key of the role `fraud` is for the team's own tools. How a dispute ended is no finding
  of fraud: the back office tells it.
- `bonitas data load` and the other commands work on the store itself, without a key.
- Rows that wait (`/v1/events/held`) are seen and ended with a key of the role `ledger`.
"""


def _cell(contract: Contract, permission: Permission | None) -> str:
    if permission is None:
        return "no"
    words = "all" if permission.kinds is None else ", ".join(f"`{kind}`" for kind in permission.kinds)
    if permission.kinds is not None and set(permission.kinds) == set(kinds_of(contract)):
        words = "all"
    others = sorted(set(kinds_of(contract)) - set(permission.kinds or kinds_of(contract)))
    if len(others) == 1:
        words = f"all but `{others[0]}`"
    return f"{words}, of orders decided here" if permission.decided_orders_only else words
