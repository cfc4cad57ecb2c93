"""Every role against every contract of `POST /v1/events`, as it was agreed and not as it is written."""

from pathlib import Path
from typing import Any

import pytest

from data_contracts.ledger_contracts import ALL_CONTRACTS, CONTRACTS
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.order_outcomes import FRAUD_OUTCOMES, ORDER_OUTCOMES
from serving.events.event_permissions import (
    SENDERS,
    WRITERS,
    event_permissions_page,
    is_partly_permitted,
    kinds_of,
    why_correction_is_not_permitted,
    why_not_permitted,
    why_order_is_not_permitted,
)
from serving.store.api_keys import Role

WRITTEN = {
    Role.CHECKOUT: {"order_events"},
    Role.MERCHANT: set[str](),
    Role.LEDGER: set(CONTRACTS),
    Role.FRAUD: {"order_outcomes"},
    Role.PORTAL: set(),
    Role.ADMIN: set[str](),
}
DISPUTES = {"dispute_decided_for_customer", "dispute_decided_for_merchant"}
EITHER = {"finding_withdrawn"}


@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
@pytest.mark.parametrize("contract", ALL_CONTRACTS, ids=lambda contract: contract.name)
def test_a_role_writes_the_contracts_that_are_its_business_and_no_other(role: Role, contract: Any) -> None:
    kinds: tuple[str | None, ...] = (None, *kinds_of(contract))
    refusals = {kind: why_not_permitted(role, contract, {"kind": kind}) for kind in kinds}
    if contract.name not in WRITTEN[role]:
        assert {refusal and refusal.column for refusal in refusals.values()} == {"contract"}
        assert all(refusal and role.value in refusal.message for refusal in refusals.values())
        return
    refused = {kind for kind, refusal in refusals.items() if refusal is not None}
    of_the_team = set(kinds_of(ORDER_OUTCOMES)) - DISPUTES - EITHER
    if contract is not ORDER_OUTCOMES:
        assert refused == ({"amended"} if role is Role.CHECKOUT else set())
    else:
        assert refused == (of_the_team if role is Role.LEDGER else DISPUTES)
        assert {refusals[kind].column for kind in refused} == {"kind"}  # type: ignore[union-attr]  # is refused


def test_no_contract_is_forgotten_and_only_who_writes_something_may_send() -> None:
    assert list(WRITERS) == list(CONTRACTS)
    assert {role for role, contracts in WRITTEN.items() if contracts} == SENDERS


def test_a_finding_of_fraud_is_the_teams_alone() -> None:
    for kind in FRAUD_OUTCOMES:
        writers = [role for role in Role if why_not_permitted(role, ORDER_OUTCOMES, {"kind": kind}) is None]
        assert writers == [Role.FRAUD]


@pytest.mark.parametrize("kind", ["finding_found", 5, None, [], {}])
def test_a_kind_that_there_is_none_of_is_for_the_contract_to_refuse(kind: object) -> None:
    assert why_not_permitted(Role.FRAUD, ORDER_OUTCOMES, {"kind": kind}) is None


def test_a_checkout_tells_of_orders_that_were_decided_here_and_the_back_office_of_all() -> None:
    row = {"order_id": "o1", "kind": "shipped"}
    assert why_order_is_not_permitted(Role.CHECKOUT, ORDER_EVENTS, row, is_decided=True) is None
    refusal = why_order_is_not_permitted(Role.CHECKOUT, ORDER_EVENTS, row, is_decided=False)
    assert refusal is not None
    assert refusal.column == "order_id"
    assert why_order_is_not_permitted(Role.LEDGER, ORDER_EVENTS, row, is_decided=False) is None


@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
@pytest.mark.parametrize("kind", kinds_of(ORDER_OUTCOMES))
def test_a_finding_is_corrected_by_whoever_may_find_it(role: Role, kind: str) -> None:
    corrected = (ORDER_OUTCOMES, {"order_id": "o1", "kind": kind})
    refusal = why_correction_is_not_permitted(role, ORDER_OUTCOMES, corrected, is_decided=True)
    assert (refusal is None) is (why_not_permitted(role, *corrected) is None)


def test_who_may_write_part_of_a_contract_corrects_no_row_that_nobody_knows_yet() -> None:
    partial = [
        (role, contract) for role in Role for contract in ALL_CONTRACTS if is_partly_permitted(role, contract)
    ]
    assert {contract.name for _, contract in partial} == {"order_events", "order_outcomes"}
    for role, contract in partial:
        refusal = why_correction_is_not_permitted(role, contract, None, is_decided=False)
        assert refusal is not None
        assert refusal.column == "corrects"
        # Whom a row is about is asked for by this column.
        assert "order_id" in {column.name for column in contract.columns}
    assert why_correction_is_not_permitted(Role.LEDGER, ORDER_EVENTS, None, is_decided=False) is None


def test_an_amendment_by_the_feed_is_the_back_offices_alone_and_so_is_its_correction() -> None:
    row = {"order_id": "o1", "kind": "amended", "new_amount_cents": 1}
    for role in (Role.CHECKOUT, Role.LEDGER):
        refusals = (
            why_not_permitted(role, ORDER_EVENTS, row),
            why_correction_is_not_permitted(role, ORDER_EVENTS, (ORDER_EVENTS, row), is_decided=True),
        )
        columns = [None if refusal is None else refusal.column for refusal in refusals]
        assert columns == (["kind", "corrects"] if role is Role.CHECKOUT else [None, None])


def test_an_event_of_an_order_that_was_decided_elsewhere_is_not_corrected_by_a_checkout() -> None:
    corrected = (ORDER_EVENTS, {"order_id": "o2", "kind": "delivery_redirected"})
    assert why_correction_is_not_permitted(Role.CHECKOUT, ORDER_EVENTS, corrected, is_decided=False)
    assert why_correction_is_not_permitted(Role.CHECKOUT, ORDER_EVENTS, corrected, is_decided=True) is None


def test_the_page_in_the_documents_is_the_table_that_is_judged_by() -> None:
    page = (Path(__file__).parents[3] / "docs" / "who_may_write_what.md").read_text()
    assert page == event_permissions_page(), "run `make docs`"
