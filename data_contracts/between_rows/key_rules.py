"""Which rows fit what stands under their key, the row that they correct, and values that one row may have."""

from typing import Any

from data_contracts.between_rows.known_rows import KnownRows, LedgerRow
from data_contracts.between_rows.waits import Broken, Wait, WaitKind, freed_value, held_for
from data_contracts.contract import Contract
from data_contracts.orders import ORDERS
from data_contracts.rules import Rule


def repeated_transfer(contract: Contract, row: LedgerRow, known: KnownRows) -> str | None:
    """The event_id under which the same transfer came before, with the same content; None where it is new."""
    value = contract.unique_value(row)
    if value is None or contract.key != ("event_id",) or row.get("corrects") is not None:
        return None
    for other in known.with_unique(contract, value):
        if other["event_id"] != row["event_id"] and _content(contract, other) == _content(contract, row):
            return str(other["event_id"])
    return None


def _content(contract: Contract, row: LedgerRow) -> dict[str, Any]:
    """What a row says; its unique value in the form in which it is compared."""
    envelope = {"event_id", "corrects", "recorded_at", contract.unique}
    content = {name: value for name, value in row.items() if name not in envelope and value is not None}
    return {**content, "": contract.unique_value(row)}


def key_is_new(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """A second row with the key of another corrects it."""
    if row.get("corrects") is not None or contract.rows_are_states or contract.key == ("event_id",):
        return None
    key = contract.key[0]
    if not known.is_known(contract, row[key]):
        return None
    message = f"{key} {row[key]} exists; a change of it names the row it corrects"
    return Broken(rule=Rule.KEY_REUSED, column=key, message=message)


def corrects_no_circle(
    _contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """No row corrects itself, and no rows correct each other in a circle."""
    members = circle_of(row, known)
    if not members:
        return None
    message = "the row corrects itself" if len(members) == 1 else f"corrects itself by way of {members[1]}"
    return Broken(rule=Rule.CORRECTS_ITSELF, column="corrects", message=message)


def circle_of(row: LedgerRow, known: KnownRows) -> list[str]:
    """The event_ids of the rows that correct each other in a circle with this one, itself first; or nothing.

    All but this one wait: a row that corrects one of them is the last of the circle to arrive.
    """
    members: dict[str, None] = {row["event_id"]: None}
    corrected = row.get("corrects")
    while corrected is not None and corrected not in members:
        members[corrected] = None
        corrected = known.corrects_of_waiting(corrected)
    return list(members) if corrected == row["event_id"] else []


def correction_has_its_row(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """The row that a correction names is there, of the same thing, and not corrected already."""
    corrects = row.get("corrects")
    if corrects is None:
        return None
    found = known.event(corrects)
    if found is None:
        return held_for("corrects", Wait(kind=WaitKind.EVENT, id=corrects))
    corrected_contract, corrected = found
    same = (contract.entity, *(name for name in contract.key if name != "event_id"))
    if corrected_contract is not contract or any(corrected[name] != row[name] for name in same):
        message = f"{corrects} is a row of another contract, customer or key"
        return Broken(rule=Rule.CORRECTS_OTHER_KEY, column="corrects", message=message)
    if known.is_corrected(corrects):
        message = f"{corrects} was corrected already; correct its correction"
        return Broken(rule=Rule.CORRECTED_TWICE, column="corrects", message=message)
    return None


def unique_value_is_free(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """No other standing row has the bank's reference, or the merchant's number, of this one."""
    value = contract.unique_value(row)
    if value is None or contract.unique is None:
        return None
    for other in known.with_unique(contract, value):
        own = other["event_id"] in {row["event_id"], row.get("corrects")}
        if not own and not known.is_corrected(other["event_id"]):
            rule, message = _value_is_taken(contract, other)
            mended_by = freed_value(contract, value)
            return Broken(rule=rule, column=contract.unique, message=message, mended_by=mended_by)
    return None


def _value_is_taken(contract: Contract, other: LedgerRow) -> tuple[Rule, str]:
    if contract is ORDERS:
        message = f"order {other['order_id']} of the merchant has this number"
        return Rule.MERCHANT_ORDER_NUMBER_REUSED, message
    message = (
        f"event {other['event_id']} has this bank reference, with other content; number the parts of one "
        "transfer that pays several invoices: REF/1, REF/2"
    )
    return Rule.BANK_REFERENCE_REUSED, message
