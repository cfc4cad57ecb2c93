"""Costs are part of a policy, and a policy from before they were is still read."""

import pytest

from serving.domain.errors import PolicyInvalid
from serving.domain.policy import CostPolicy
from serving.domain.policy_reader import parse_policy
from serving.in_force.policy_activation import POLICY_FILE

TEXT = POLICY_FILE.read_text()
WITHOUT = TEXT[: TEXT.index("[costs]")] + TEXT[TEXT.index("[provider]") :]


def test_costs_are_read_and_a_policy_without_them_has_none() -> None:
    assert parse_policy(TEXT).costs == CostPolicy(
        margin_per_mille=40, loss_given_default_percent=70, handling_cents=35, review_cents=600
    )
    assert parse_policy(WITHOUT).costs is None


@pytest.mark.parametrize(
    ("line", "changed", "mistake"),
    [
        (
            "margin_per_mille = 40",
            "margin_per_mille = 1001",
            "costs.margin_per_mille: must be from 0 to 1000",
        ),
        ("handling_cents = 35", "", "costs.handling_cents: is missing"),
        ("review_cents = 600", "review_cents = 600\nbribes = 1", "costs.bribes: is no field of a policy"),
        (
            "loss_given_default_percent = 70",
            "loss_given_default_percent = 0.7",
            "costs.loss_given_default_percent: must be a whole number",
        ),
    ],
)
def test_a_table_of_costs_is_whole_and_in_range(line: str, changed: str, mistake: str) -> None:
    with pytest.raises(PolicyInvalid) as found:
        parse_policy(TEXT.replace(line, changed))
    assert found.value.mistakes == [mistake]
