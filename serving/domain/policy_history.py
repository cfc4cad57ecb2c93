"""Which version of the policy was in force when, who put it there and why, for ever.

A line is only ever added. It carries the SHA-256 of the policy's text and of the line before it, and its own,
so that a changed or a missing line, or a changed policy, is noticed. The lines lie in the store beside the
policies' texts: there is no other place that every service process and worker reads anyway.
"""

import enum
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from data_contracts.instants import rfc3339
from serving.domain.errors import RiskError

NO_LINE = "0" * 64
"""Stands for the line before the first."""

SYSTEM = "system"
"""Who put the first policy in force where nobody did so by name."""


class PolicyHistoryDamaged(RiskError):
    """A line of the history, or the text of a policy, was changed or removed."""


class PolicyChangeRefused(RiskError):
    """The policy in force cannot be changed as asked; the message says what to do."""


class PolicyHasChanged(PolicyChangeRefused):
    """Another policy was put in force since this change was prepared."""


class PolicyNotUsable(RiskError):
    """The policy in force cannot be read by this code; the message names every mistake."""


class ActivationKind(enum.Enum):
    """How a version came to be in force."""

    FIRST = "first"
    ACTIVATED = "activated"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, kw_only=True)
class PolicyActivation:
    """A version of the policy was put in force.

    number: 1, 2, 3, ... policy_sha256: of the policy's text, in UTF-8.
    line_before: `line_sha256` of the activation before, NO_LINE for the first.
    """

    number: int
    version: str
    policy_sha256: str
    kind: ActivationKind
    by: str
    reason: str
    at_ms: int
    line_before: str

    @property
    def line_sha256(self) -> str:
        """Of everything that the line says, the hash of the line before included."""
        said = [
            self.number,
            self.version,
            self.policy_sha256,
            self.kind.value,
            self.by,
            self.reason,
            self.at_ms,
            self.line_before,
        ]
        return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The activation as JSON values."""
        return {
            "number": self.number,
            "version": self.version,
            "policy_sha256": self.policy_sha256,
            "kind": self.kind.value,
            "by": self.by,
            "reason": self.reason,
            "at": rfc3339(self.at_ms),
        }


def text_sha256(text: str) -> str:
    """The SHA-256 of a policy's text, as the history names it."""
    return hashlib.sha256(text.encode()).hexdigest()


def verify_chain(lines: Iterable[tuple[PolicyActivation, str]]) -> None:
    """Check that no line was changed or is missing in between.

    lines: each activation with the `line_sha256` that was stored for it, oldest first. Raises
    PolicyHistoryDamaged. The lines cannot tell that the newest of them is missing.
    """
    before = NO_LINE
    for number, (activation, stored_sha256) in enumerate(lines, start=1):
        if activation.number != number or activation.line_before != before:
            raise PolicyHistoryDamaged(
                f"the history of the policy is damaged: the line before line {activation.number} was "
                "changed or removed; restore the store from a backup"
            )
        if activation.line_sha256 != stored_sha256:
            raise PolicyHistoryDamaged(
                f"the history of the policy is damaged: line {number} was changed; restore the store from "
                "a backup"
            )
        before = stored_sha256


def version_before(activations: Sequence[PolicyActivation]) -> str | None:
    """The version that a rollback restores: the one in force before the present one was put there.

    A rollback takes its change back, so the next one goes a step further and not forth again. None where
    there is none.

    >>> def an_activation(version, kind):
    ...     return PolicyActivation(number=1, version=version, policy_sha256="", kind=kind, by="Ann",
    ...         reason="why", at_ms=0, line_before=NO_LINE)
    >>> one, two, three = (an_activation(v, ActivationKind.ACTIVATED) for v in ("1", "2", "3"))
    >>> version_before([one, two, three])
    '2'
    >>> version_before([one, two, three, an_activation("2", ActivationKind.ROLLED_BACK)])
    '1'
    """
    stack: list[str] = []
    for activation in activations:
        if activation.kind is ActivationKind.ROLLED_BACK:
            while stack and stack[-1] != activation.version:
                stack.pop()
        if not stack or stack[-1] != activation.version:
            stack.append(activation.version)
    return stack[-2] if len(stack) > 1 else None
