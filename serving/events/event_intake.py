"""Use case: ledger rows from outside, each judged for itself; nothing that was sent is lost."""

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import msgspec
from msgspec import UNSET, UnsetType, structs

from data_contracts.between_rows.arrivals import AppendResult, AppendStatus
from data_contracts.contract import IDENTIFIER_PATTERN, Contract
from data_contracts.invoices import INVOICES
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.orders import ORDERS
from data_contracts.row_check import check_row
from data_contracts.rules import Rule
from serving.domain.errors import NotAllowed
from serving.domain.field_errors import FieldError, cut_name, pointer
from serving.domain.order_numbers import is_made_for_another
from serving.domain.reminders import LEFT_TO_THE_LEDGER, ReminderPolicy
from serving.events.event_answers import (
    EventResult,
    EventResults,
    RowError,
    RowStatus,
    WaitsFor,
)
from serving.events.event_ids import EventIdScope
from serving.events.event_permissions import (
    RULE,
    WRITTEN_HERE,
    NotPermitted,
    is_partly_permitted,
    why_correction_is_not_permitted,
    why_not_permitted,
    why_order_is_not_permitted,
    why_written_here,
)
from serving.events.sent_rows import SentRow
from serving.requests.request_scope import RequestScope
from serving.store.api_keys import Caller, Role
from serving.store.decision_log import is_decided
from serving.store.ledger import append, arrived_row
from serving.store.ledger_rows import entity_of, unique_lock_of
from serving.store.quarantined_rows import quarantine_row, tell_of_invoice
from serving.store.store import Transaction

LOG = logging.getLogger("bonitas.ledger")
FURTHER_ERRORS_MAXIMUM = 1000
"""So many errors are listed in an answer besides the first of each row."""
REFUSALS_NAMED = 20
"""How many rows a 403 names; the others are as wrong."""

ID_CHARACTERS_MAXIMUM = 64
_INVOICE_COLUMNS = tuple(column.name for column in INVOICES.columns)

_STATUS_OF = {
    AppendStatus.ACCEPTED: RowStatus.ACCEPTED,
    AppendStatus.REPEATED: RowStatus.REPEATED,
    AppendStatus.HELD: RowStatus.HELD,
    AppendStatus.REFUSED: RowStatus.REJECTED,
}


@dataclass(frozen=True, kw_only=True)
class JudgedRow:
    """One row and what is wrong with it by itself. row: in ledger row form, None where something is."""

    sent: SentRow
    contract: Contract | None
    row: dict[str, Any] | None
    errors: tuple[RowError, ...]
    violations: tuple[dict[str, str], ...]
    unlisted_count: int = 0


def require_any_permitted(caller: Caller, rows: list[SentRow]) -> None:
    """Raises NotAllowed where the caller may write none of the rows, so that a feed with the wrong
    key does not go on as if it were heard. A row that is wrong in another way is not judged here.
    """
    refusals = [_not_permitted(sent, caller.role) for sent in rows]
    if not refusals or not all(refusals):
        return
    contracts = {str(sent.value["contract"]) for sent in rows if isinstance(sent.value, dict)}
    LOG.warning(
        "rows_not_permitted",
        extra={"key": caller.name, "contracts": ", ".join(sorted(contracts)), "rows": len(rows)},
    )
    raise NotAllowed(
        f"a key of the role {caller.role.value} may write none of these rows; nothing was kept",
        errors=[
            FieldError(pointer=sent.where + pointer(refusal.column), detail=refusal.message)
            for sent, refusal in zip(rows, refusals, strict=True)
            if refusal is not None
        ][:REFUSALS_NAMED],
    )


def _contract_of(value: object) -> Contract | None:
    """The contract that a row names; None where there is none of that name."""
    name = value.get("contract") if isinstance(value, dict) else None
    return CONTRACTS.get(name) if isinstance(name, str) else None


def _not_permitted(sent: SentRow, role: Role) -> NotPermitted | None:
    contract = _contract_of(sent.value)
    if contract is None or not isinstance(sent.value, dict):
        return None
    return why_not_permitted(role, contract, sent.value)


def judged(scope: RequestScope, rows: list[SentRow], *, caller: Caller) -> Iterator[JudgedRow]:
    """Each row judged by itself, as it stands in the body: nothing is read from the store or kept.

    A row that the caller may not write is a bad one. Whoever has other work does it between two rows.
    """
    now_ms = scope.now_ms()
    # Facts are taken also while nobody may be judged, so this is the last policy that was read.
    clock_tolerance_ms = scope.policy_in_force.clock_tolerance_ms
    policy = scope.policy_in_force.policy
    reminders = LEFT_TO_THE_LEDGER if policy is None else policy.reminders
    for sent in rows:
        yield _checked(sent, caller, now_ms, clock_tolerance_ms, reminders)


def take_in(scope: RequestScope, rows: list[JudgedRow], *, caller: Caller) -> EventResults:
    """Append every good row and quarantine every bad one, in one transaction; one result for each row.

    The server stamps `recorded_at`. Rows are kept under event_ids of the caller's own, and answered by those
    that were sent. Raises StoreUnavailable; then no row was taken.
    """
    now_ms = scope.now_ms()
    clock_tolerance_ms = scope.policy_in_force.clock_tolerance_ms
    ids = EventIdScope.of(caller)
    with scope.store.writing(*_locks(rows)) as tx:
        results = [
            _taken(tx, _permitted(tx, _naming_own(tx, one, ids), caller), ids, now_ms, clock_tolerance_ms)
            for one in rows
        ]
    statuses = Counter(result.status for result in results)
    return EventResults(
        accepted=statuses[RowStatus.ACCEPTED],
        repeated=statuses[RowStatus.REPEATED],
        held=statuses[RowStatus.HELD],
        rejected=statuses[RowStatus.REJECTED],
        results=tuple(_with_errors_bounded(results)),
    )


def _with_errors_bounded(results: Iterable[EventResult]) -> Iterator[EventResult]:
    """The results with the first error of each row, and of the others as many as an answer may hold."""
    further = FURTHER_ERRORS_MAXIMUM
    for result in results:
        errors = result.errors or ()
        listed = errors[: 1 + further]
        if len(listed) < len(errors):
            not_listed = (result.errors_not_listed or 0) + len(errors) - len(listed)
            result = structs.replace(result, errors=listed, errors_not_listed=not_listed)  # noqa: PLW2901
        further -= max(len(listed) - 1, 0)
        yield result


def _locks(checked: list[JudgedRow]) -> set[str]:
    """Whom the rows are about, and the bank references that they bring: all locked in one order."""
    locks = set()
    for one in checked:
        if one.contract is not None and one.row is not None:
            locks.add(entity_of(one.contract, one.row))
            reference = unique_lock_of(one.contract, one.row)
            if reference is not None:
                locks.add(reference)
    return locks


def _naming_own(tx: Transaction, one: JudgedRow, ids: EventIdScope) -> JudgedRow:
    """The row with the kept id of what it corrects: the caller's own row, or else one that has arrived under
    the id as it was sent, such as one of the service's own.
    """
    corrects = None if one.row is None else one.row.get("corrects")
    if one.row is None or corrects is None:
        return one
    own = ids.kept(corrects)
    is_anothers = own != corrects and arrived_row(tx, own) is None and arrived_row(tx, corrects) is not None
    return one if is_anothers else replace(one, row={**one.row, "corrects": own})


def _permitted(tx: Transaction, one: JudgedRow, caller: Caller) -> JudgedRow:
    """The row, or the refusal of one that the caller may not write for what is known of its order, or of
    the row that it corrects.
    """
    contract, row = one.contract, one.row
    if contract is None or row is None or not is_partly_permitted(caller.role, contract):
        return one
    refusal = why_order_is_not_permitted(
        caller.role, contract, row, is_decided=is_decided(tx, row["order_id"])
    )
    if refusal is None and row.get("corrects") is not None:
        corrected = arrived_row(tx, row["corrects"])
        refusal = why_correction_is_not_permitted(
            caller.role,
            contract,
            corrected,
            is_decided=corrected is not None and is_decided(tx, corrected[1].get("order_id", "")),
        )
    return one if refusal is None else _refused(one.sent, contract, refusal, caller)


def _refused(sent: SentRow, contract: Contract, refusal: NotPermitted, caller: Caller) -> JudgedRow:
    LOG.warning(
        "row_not_permitted",
        extra={"key": caller.name, "contract": contract.name, "column": refusal.column},
    )
    return _bad(sent, contract, refusal.column, refusal.message, rule=RULE)


def _checked(
    sent: SentRow, caller: Caller, now_ms: int, clock_tolerance_ms: int, reminders: ReminderPolicy
) -> JudgedRow:
    if not isinstance(sent.value, dict):
        return _bad(sent, None, "", "a row is a JSON object")
    contract = _contract_of(sent.value)
    if contract is None:
        return _bad(sent, None, "contract", f"contract must be one of {', '.join(CONTRACTS)}")
    refusal = _not_permitted(sent, caller.role)
    if refusal is not None:
        return _refused(sent, contract, refusal, caller)
    refusal = why_written_here(contract, sent.value, reminders)
    if refusal is not None:
        return _bad(sent, contract, refusal.column, refusal.message, rule=WRITTEN_HERE)
    columns = {column: value for column, value in sent.value.items() if column != "contract"}
    result = check_row(contract, columns, recorded_at_ms=now_ms, clock_tolerance_ms=clock_tolerance_ms)
    if result.row is None:
        errors = []
        violations = []
        for violation in result.violations:
            errors.append(RowError(pointer=sent.where + pointer(violation.column), detail=violation.message))
            violations.append(
                {
                    "column": cut_name(violation.column),
                    "rule": violation.rule.value,
                    "value": violation.value_repr,
                    "message": violation.message,
                }
            )
        if result.unlisted_count:
            message = f"and {result.unlisted_count} more columns that there are not"
            violations.append(
                {"column": "", "rule": Rule.UNKNOWN_COLUMN.value, "value": "", "message": message}
            )
        return JudgedRow(
            sent=sent,
            contract=contract,
            row=None,
            errors=tuple(errors),
            violations=tuple(violations),
            unlisted_count=result.unlisted_count,
        )
    ids = EventIdScope.of(caller)
    mistake = ids.mistake(str(result.row["event_id"]))
    if mistake is not None:
        return _bad(sent, contract, "event_id", mistake)
    if contract is ORDERS and is_made_for_another(result.row):
        detail = "order_id is one that we make, but not for this merchant_id and merchant_order_number"
        return _bad(sent, contract, "order_id", detail)
    row = {column: value for column, value in result.row.items() if column != "recorded_at"}
    row["event_id"] = ids.kept(str(row["event_id"]))
    return JudgedRow(sent=sent, contract=contract, row=row, errors=(), violations=())


def _bad(
    sent: SentRow, contract: Contract | None, column: str, detail: str, *, rule: str = "contract"
) -> JudgedRow:
    where = sent.where + (pointer(column) if column else "")
    return JudgedRow(
        sent=sent,
        contract=contract,
        row=None,
        errors=(RowError(pointer=where, detail=detail),),
        violations=({"column": column, "rule": rule, "value": "", "message": detail},),
    )


def _taken(
    tx: Transaction, one: JudgedRow, ids: EventIdScope, now_ms: int, clock_tolerance_ms: int
) -> EventResult:
    if one.contract is None or one.row is None:
        _quarantine(tx, one, ids, list(one.violations), now_ms)
        _tell_of_malformed_invoice(one)
        return EventResult(
            event_id=_told_event_id(one),
            contract=None if one.contract is None else one.contract.name,
            status=RowStatus.REJECTED,
            errors=one.errors,
            errors_not_listed=one.unlisted_count or UNSET,
        )
    result = append(tx, one.contract, one.row, now_ms, clock_tolerance_ms=clock_tolerance_ms)
    if result.status is AppendStatus.REFUSED:
        violation = {
            "column": result.column or "",
            "rule": "" if result.rule is None else result.rule.value,
            "value": "",
            "message": result.message or "",
        }
        _quarantine(tx, one, ids, [violation], now_ms)
    return _told(one, one.contract, result, ids)


def _told(one: JudgedRow, contract: Contract, result: AppendResult, ids: EventIdScope) -> EventResult:
    """What became of a row of a contract, in the caller's own event_ids."""
    detail: str | UnsetType = UNSET
    errors: tuple[RowError, ...] | UnsetType = UNSET
    if result.message is not None and result.status is AppendStatus.REPEATED:
        detail = ids.sent(result.message)
    elif result.message is not None:
        where = one.sent.where + pointer(result.column or "event_id")
        errors = (RowError(pointer=where, detail=ids.sent(result.message)),)
    return EventResult(
        event_id=_told_event_id(one),
        contract=contract.name,
        status=_STATUS_OF[result.status],
        errors=errors,
        detail=detail,
        waits_for=(
            UNSET if result.wait is None else WaitsFor(kind=result.wait.kind, id=ids.sent(result.wait.id))
        ),
        readmitted=(
            tuple(ids.sent(entered.event_id) for entered in _entered(result) if ids.is_own(entered.event_id))
            if result.readmitted
            else UNSET
        ),
    )


def _told_event_id(one: JudgedRow) -> str | None:
    """The event_id as it was sent, short enough to be told back; None where there is none."""
    value = one.sent.value
    event_id = value.get("event_id") if isinstance(value, dict) else None
    return cut_name(event_id) if isinstance(event_id, str) else None


def _kept_event_id(one: JudgedRow) -> str | None:
    """The event_id if it is one: a database takes not every text, and has no index over the longest."""
    value = one.sent.value
    event_id = value.get("event_id") if isinstance(value, dict) else None
    return event_id if _is_id(event_id) else None


def _is_id(value: object) -> TypeGuard[str]:
    return (
        isinstance(value, str)
        and len(value) <= ID_CHARACTERS_MAXIMUM
        and re.fullmatch(IDENTIFIER_PATTERN, value) is not None
    )


def _tell_of_malformed_invoice(one: JudgedRow) -> None:
    """What is wrong with the row may be one of its ids: only those that are ids go into the log."""
    # A key that may not tell of debts proves none.
    if one.violations[0]["rule"] == RULE:
        return
    if one.contract is INVOICES and isinstance(one.sent.value, dict):
        ids = {
            name: value
            for name, value in ((name, one.sent.value.get(name)) for name in _INVOICE_COLUMNS)
            if _is_id(value)
        }
        tell_of_invoice(one.contract, ids, Rule(one.violations[0]["rule"]))


def _entered(result: AppendResult) -> list[AppendResult]:
    return [held for held in result.readmitted if held.status is AppendStatus.ACCEPTED]


def _quarantine(
    tx: Transaction, one: JudgedRow, ids: EventIdScope, violations: list[dict[str, str]], now_ms: int
) -> None:
    """Keep a refused row as it came; the same row sent again and again by one key is kept once."""
    body = msgspec.json.encode(one.sent.value).decode()
    event_id = _kept_event_id(one)
    quarantine_row(
        tx,
        quarantine_id=f"sent-{hashlib.sha256(ids.kept(body).encode()).hexdigest()}",
        contract_name=None if one.contract is None else one.contract.name,
        event_id=None if event_id is None else ids.kept(event_id),
        violations=violations,
        body=body,
        now_ms=now_ms,
    )
