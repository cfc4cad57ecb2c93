"""What must be true after every fault: what clients were told against what the store holds. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.serving.chaos.checkout_load import REFUSED, Told


@dataclass(frozen=True, kw_only=True)
class StoredDecision:
    """A line of the decision log. answer: as it was kept. has_model, has_policy: whether it names them."""

    decision_id: str
    order_id: str
    outcome: str
    answer: Mapping[str, Any]
    has_model: bool
    has_policy: bool


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the store holds about the orders of a run.

    reserved_cents: by order, what counts against its customer's limit. first_looks: how often each order was
    looked at because it was approved. links: what each order has in common with others, by kind.
    """

    decisions: Sequence[StoredDecision]
    reserved_cents: Mapping[str, int]
    first_looks: Mapping[str, int]
    links: Mapping[str, Counter[str]]

    def by_order(self) -> dict[str, list[StoredDecision]]:
        """The decisions about each order."""
        found: dict[str, list[StoredDecision]] = {}
        for decision in self.decisions:
            found.setdefault(decision.order_id, []).append(decision)
        return found


def told_otherwise(told: Iterable[Told], kept: Kept) -> list[str]:
    """Each answer that the store contradicts, in words; empty where none is.

    A decision that was told is kept with the same content. Who was told `unavailable`, or that the store
    cannot be used, or was never connected, has no decision. Of an order whose client knows nothing there is
    one at most.
    """
    by_order = kept.by_order()
    found = []
    for one in told:
        if one.order_id is None:
            continue
        stored = by_order.get(one.order_id, [])
        if len(stored) > 1:
            found.append(f"{one.order_id} was decided {len(stored)} times")
        elif one.is_decided:
            assert one.answer is not None
            if not stored:
                found.append(f"{one.order_id}: {one.outcome} was told, nothing is kept")
            elif dict(stored[0].answer) != one.answer:
                found.append(f"{one.order_id}: told {one.answer}, kept {stored[0].answer}")
        elif stored and (one.outcome == "unavailable" or one.status == 503 or one.came == REFUSED):
            found.append(f"{one.order_id}: {one.outcome or one.came} was told, {stored[0].outcome} is kept")
    return found


def approved_without_basis(kept: Kept) -> list[str]:
    """Approvals that name no model or no policy."""
    return [
        decision.order_id
        for decision in kept.decisions
        if decision.outcome == "approved" and not (decision.has_model and decision.has_policy)
    ]


def exposure_differs(kept: Kept, amount_cents: Mapping[str, int]) -> list[str]:
    """Orders that hold another amount than they were approved for. amount_cents: of every order, by id."""
    approved = {
        one.order_id: amount_cents[one.order_id] for one in kept.decisions if one.outcome == "approved"
    }
    return [
        f"{order_id}: approved for {approved.get(order_id, 0)}, holds {kept.reserved_cents.get(order_id, 0)}"
        for order_id in sorted(approved.keys() | kept.reserved_cents.keys())
        if approved.get(order_id, 0) != kept.reserved_cents.get(order_id, 0)
    ]


def effects_differ(kept: Kept, link_kinds: frozenset[str]) -> list[str]:
    """Effects that are missing, or were there twice: one first look for each approval and for nothing else,
    one link of each kind for each decided order.
    """
    found = []
    for decision in kept.decisions:
        looks = kept.first_looks.get(decision.order_id, 0)
        if looks != (decision.outcome == "approved"):
            found.append(f"{decision.order_id}: {decision.outcome}, looked at {looks} times")
        links = kept.links.get(decision.order_id, Counter())
        if links != Counter(dict.fromkeys(link_kinds, 1)):
            found.append(f"{decision.order_id}: linked by {dict(links)}")
    return found
