"""What judges the runs under load finds each kind of fault that it is there for."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.serving.chaos.checkout_load import ANSWERED, BROKEN, REFUSED, Told
from tests.serving.chaos.invariants import (
    Kept,
    StoredDecision,
    approved_without_basis,
    effects_differ,
    exposure_differs,
    told_otherwise,
)

ANSWER = {"decision_id": "d1", "outcome": "approved"}
DECISION = StoredDecision(
    decision_id="d1", order_id="o1", outcome="approved", answer=ANSWER, has_model=True, has_policy=True
)
KEPT = Kept(
    decisions=[DECISION],
    reserved_cents={"o1": 500},
    first_looks={"o1": 1},
    links={"o1": Counter({"device": 1, "address": 1})},
)
NOTHING = Kept(decisions=[], reserved_cents={}, first_looks={}, links={})
KINDS = frozenset({"device", "address"})


def told(came: str = ANSWERED, status: int | None = 200, answer: dict[str, Any] | None = None) -> Told:
    return Told(order_id="o1", at=0.0, seconds=0.1, came=came, status=status, answer=answer)


def test_what_was_told_and_is_kept_is_well() -> None:
    assert told_otherwise([told(answer=ANSWER)], KEPT) == []
    assert told_otherwise([told(answer={"outcome": "unavailable"}), told(BROKEN, None)], NOTHING) == []
    assert told_otherwise([told(BROKEN, None)], KEPT) == [], "who knows nothing may have been decided"
    assert approved_without_basis(KEPT) == []
    assert exposure_differs(KEPT, {"o1": 500}) == []
    assert effects_differ(KEPT, KINDS) == []


@pytest.mark.parametrize(
    ("one", "kept"),
    [
        (told(answer=ANSWER), NOTHING),
        (told(answer={**ANSWER, "score": 1}), KEPT),
        (told(answer={"outcome": "unavailable"}), KEPT),
        (told(status=503), KEPT),
        (told(REFUSED, None), KEPT),
        (told(BROKEN, None), replace(KEPT, decisions=[DECISION, DECISION])),
    ],
)
def test_an_answer_that_the_store_contradicts_is_found(one: Told, kept: Kept) -> None:
    assert len(told_otherwise([one], kept)) == 1


@pytest.mark.parametrize("missing", ["has_model", "has_policy"])
def test_an_approval_without_model_or_policy_is_found(missing: str) -> None:
    decision = replace(DECISION, **{missing: False})
    assert approved_without_basis(replace(KEPT, decisions=[decision])) == ["o1"]


@pytest.mark.parametrize("reserved_cents", [{}, {"o1": 499}, {"o1": 500, "o2": 1}])
def test_exposure_that_is_not_what_was_approved_is_found(reserved_cents: dict[str, int]) -> None:
    assert len(exposure_differs(replace(KEPT, reserved_cents=reserved_cents), {"o1": 500})) == 1


@pytest.mark.parametrize(
    "kept",
    [
        replace(KEPT, first_looks={}),
        replace(KEPT, first_looks={"o1": 2}),
        replace(KEPT, decisions=[replace(DECISION, outcome="declined")]),
        replace(KEPT, links={}),
        replace(KEPT, links={"o1": Counter({"device": 2, "address": 1})}),
    ],
)
def test_an_effect_that_is_missing_or_came_twice_is_found(kept: Kept) -> None:
    assert len(effects_differ(kept, KINDS)) == 1
