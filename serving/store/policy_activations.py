"""The history of the policy in the store: read whole and verified, or added to by one writer at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from serving.domain.policy_history import (
    ActivationKind,
    PolicyActivation,
    PolicyHistoryDamaged,
    verify_chain,
)
from serving.store.policies import policy_sha256s
from serving.store.store import Store, Transaction

_WRITER = "policy-activations"


def newest_line_sha256(tx: Transaction) -> str | None:
    """What tells whether the policy in force has changed; None where none is in force yet."""
    rows = tx.execute("SELECT line_sha256 FROM policy_activations ORDER BY number DESC LIMIT 1")
    return str(rows[0][0]) if rows else None


def policy_activations(tx: Transaction) -> tuple[PolicyActivation, ...]:
    """Every activation, oldest first.

    Raises PolicyHistoryDamaged where a line was changed or is missing, where a policy's text is not the one
    that was put in force, and where a text is kept that no line put in force.
    """
    rows = tx.execute(
        "SELECT number, version, policy_sha256, kind, actor, reason, at_ms, line_before_sha256, line_sha256 "
        "FROM policy_activations ORDER BY number"
    )
    lines = [(_activation(*row[:8]), str(row[8])) for row in rows]
    verify_chain(lines)
    activations = tuple(activation for activation, _ in lines)
    _verify_texts(activations, policy_sha256s(tx))
    return activations


def activations_in_short(tx: Transaction) -> list[tuple[str, str, int]]:
    """Version, hash of the text, and instant of every activation, oldest first; nothing is verified."""
    rows = tx.execute("SELECT version, policy_sha256, at_ms FROM policy_activations ORDER BY number")
    return [(str(version), str(sha256), int(at_ms)) for version, sha256, at_ms in rows]


@contextmanager
def changing_policy(store: Store) -> Iterator[Transaction]:
    """A transaction that holds the history against all other writers. Raises StoreUnavailable."""
    with store.writing(_WRITER) as tx:
        yield tx


def append_activation(tx: Transaction, activation: PolicyActivation) -> None:
    """Add the newest line, in a transaction of `changing_policy`."""
    tx.execute(
        "INSERT INTO policy_activations (number, version, policy_sha256, kind, actor, reason, at_ms, "
        "line_before_sha256, line_sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            activation.number,
            activation.version,
            activation.policy_sha256,
            activation.kind.value,
            activation.by,
            activation.reason,
            activation.at_ms,
            activation.line_before,
            activation.line_sha256,
        ),
    )


def _activation(
    number: int,
    version: str,
    policy_sha256: str,
    kind: str,
    by: str,
    reason: str,
    at_ms: int,
    line_before: str,
) -> PolicyActivation:
    try:
        known_kind = ActivationKind(kind)
    except ValueError as problem:
        raise PolicyHistoryDamaged(
            f"the history of the policy is damaged: line {number} is of the unknown kind {kind!r}; "
            "restore the store from a backup"
        ) from problem
    return PolicyActivation(
        number=number,
        version=version,
        policy_sha256=policy_sha256,
        kind=known_kind,
        by=by,
        reason=reason,
        at_ms=at_ms,
        line_before=line_before,
    )


def _verify_texts(activations: tuple[PolicyActivation, ...], sha256_of: dict[str, str]) -> None:
    for activation in activations:
        if sha256_of.get(activation.version) != activation.policy_sha256:
            raise PolicyHistoryDamaged(
                f"the text of policy {activation.version} was changed or removed after it was put in force; "
                "restore the store from a backup"
            )
    never = sorted(sha256_of.keys() - {activation.version for activation in activations})
    if never:
        raise PolicyHistoryDamaged(
            f"the history of the policy is damaged: policy {never[0]} is kept, but no line says that it was "
            "put in force; restore the store from a backup"
        )
