"""The policies that were in force at earlier moments, as the store has kept them."""

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from serving.domain.errors import PolicyInvalid
from serving.domain.policy import Policy
from serving.domain.policy_history import PolicyHistoryDamaged, PolicyNotUsable
from serving.domain.policy_reader import parse_policy
from serving.domain.settlement_period import start_of_day_ms
from serving.domain.settlement_policy import TermsSince
from serving.store.policies import policy_text
from serving.store.policy_activations import activations_in_short
from serving.store.store import Transaction

_READ: dict[str, Policy] = {}
"""Policies by the hash of their texts: a text under its hash never changes, and there are few."""


@dataclass(frozen=True, kw_only=True)
class PolicySince:
    """A policy, and the instant at which it came into force."""

    since_ms: int
    policy: Policy


def policies_since(tx: Transaction, otherwise: Policy) -> tuple[PolicySince, ...]:
    """Every policy that was put in force, in that order.

    otherwise: the only one, from ever, where the store's history has none. Raises PolicyNotUsable where this
    code cannot read one of them, and PolicyHistoryDamaged where its text is gone.
    """
    history = tuple(
        PolicySince(since_ms=at_ms, policy=_policy(tx, version, sha256))
        for version, sha256, at_ms in activations_in_short(tx)
    )
    return history or (PolicySince(since_ms=0, policy=otherwise),)


def policy_at(history: Sequence[PolicySince], at_ms: int) -> Policy:
    """The policy that was in force at an instant; the first one for what is older than the history."""
    in_force = [one.policy for one in history if one.since_ms <= at_ms]
    return in_force[-1] if in_force else history[0].policy


def settlement_terms_of(history: Sequence[PolicySince]) -> list[TermsSince]:
    """What each of the policies says about settlement; those that say nothing are left out."""
    return [
        TermsSince(
            since_ms=one.since_ms,
            settles_from_ms=start_of_day_ms(
                one.policy.settlement.settles_from, ZoneInfo(one.policy.order_risk.default_time_zone)
            ),
            fee=one.policy.settlement.fee,
        )
        for one in history
        if one.policy.settlement is not None
    ]


def _policy(tx: Transaction, version: str, sha256: str) -> Policy:
    known = _READ.get(sha256)
    if known is not None:
        return known
    text = policy_text(tx, version)
    if text is None:
        raise PolicyHistoryDamaged(f"the text of policy {version}, which was in force, is gone")
    try:
        policy = _READ[sha256] = parse_policy(text)
    except PolicyInvalid as problem:
        raise PolicyNotUsable(
            f"policy {version} was in force, but this code cannot read it: {problem}"
        ) from problem
    return policy
