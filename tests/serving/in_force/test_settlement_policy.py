"""Settlement is a part of a policy, and a policy from before it was is still read."""

from datetime import date

import pytest

from serving.domain.errors import PolicyInvalid
from serving.domain.policy_reader import parse_policy
from serving.domain.settlement_policy import FeeTerms, SettlementPolicy
from serving.in_force.policies_before import PolicySince, policy_at, settlement_terms_of
from serving.in_force.policy_activation import POLICY_FILE
from tests.serving.policy_versions import a_policy_text, a_policy_text_without

TEXT = POLICY_FILE.read_text()


def test_settlement_is_read_and_a_policy_without_it_has_none() -> None:
    assert parse_policy(TEXT).settlement == SettlementPolicy(
        fee=FeeTerms(per_mille=40, minimum_cents=35, is_given_back_on_return=False),
        settles_from=date(2026, 11, 1),
    )
    assert parse_policy(a_policy_text_without("settlement", "before")).settlement is None


@pytest.mark.parametrize(
    ("line", "changed", "mistake"),
    [
        ("fee_per_mille = 40", "fee_per_mille = 1001", "settlement.fee_per_mille: must be from 0 to 1000"),
        ("fee_minimum_cents = 35", "", "settlement.fee_minimum_cents: is missing"),
        (
            "fee_given_back_on_return = false",
            "fee_given_back_on_return = 0",
            "settlement.fee_given_back_on_return: must be true or false",
        ),
        (
            "settles_from = 2026-11-01",
            "settles_from = 2026-11-01T00:00:00",
            "settlement.settles_from: must be a date such as 2026-11-01, from 2000 to 2999",
        ),
        (
            "settles_from = 2026-11-01",
            'settles_from = "2026-11-01"',
            "settlement.settles_from: must be a date such as 2026-11-01, from 2000 to 2999",
        ),
        (
            "fee_minimum_cents = 35",
            "fee_minimum_cents = 35\ntip = 1",
            "settlement.tip: is no field of a policy",
        ),
    ],
)
def test_the_table_is_whole_and_in_range(line: str, changed: str, mistake: str) -> None:
    assert line in TEXT
    with pytest.raises(PolicyInvalid) as found:
        parse_policy(TEXT.replace(line, changed))
    assert found.value.mistakes == [mistake]


def test_the_policy_of_a_moment_is_the_one_that_was_in_force_then() -> None:
    first, second = (parse_policy(a_policy_text(version)) for version in ("one", "two"))
    history = [PolicySince(since_ms=10, policy=first), PolicySince(since_ms=20, policy=second)]
    assert [policy_at(history, at).version for at in (0, 10, 19, 20, 99)] == ["one"] * 3 + ["two"] * 2
    without = parse_policy(a_policy_text_without("settlement", "none"))
    [terms] = settlement_terms_of([PolicySince(since_ms=5, policy=without), *history[1:]])
    # Midnight in Berlin, where the policy is at home.
    assert (terms.since_ms, terms.settles_from_ms) == (20, 1_793_487_600_000)
