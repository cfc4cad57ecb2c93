"""Use case: put a policy in force, roll it back, and say which one is in force.

The store rules: what decides is the newest line of the history there. A policy file counts once, when no
policy was ever put in force in the store; after that it is put in force by `bonitas policy activate` alone,
so that nobody's restart or upgrade changes decisions, and every change has a name and a reason.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_contracts.edited_text import read_edited_text
from data_contracts.instants import rfc3339
from data_contracts.text_form import is_blank
from serving.domain.errors import PolicyInvalid
from serving.domain.policy import Policy
from serving.domain.policy_history import (
    NO_LINE,
    SYSTEM,
    ActivationKind,
    PolicyActivation,
    PolicyChangeRefused,
    PolicyHasChanged,
    PolicyHistoryDamaged,
    PolicyNotUsable,
    text_sha256,
    version_before,
)
from serving.domain.policy_reader import parse_policy
from serving.store.decision_log import has_judged
from serving.store.errors import PolicyVersionReused
from serving.store.policies import keep_policy, policy_text
from serving.store.policy_activations import append_activation, changing_policy, policy_activations
from serving.store.store import Store, Transaction

POLICY_FILE = Path(__file__).parent / "policy.toml"

HOW_TO_ACTIVATE = "bonitas policy activate {file} --by NAME --reason TEXT"


@dataclass(frozen=True, kw_only=True)
class PolicyFile:
    """A policy as a file has it. is_own: somebody named the file; it is not the one beside the code."""

    path: Path
    text: str
    policy: Policy
    is_own: bool

    @classmethod
    def read(cls, path: Path | None) -> "PolicyFile":
        """Read a policy file, by default the one beside the code.

        Raises PolicyInvalid, OSError, UnicodeDecodeError.
        """
        file = path or POLICY_FILE
        text = read_edited_text(file)
        return cls(path=file, text=text, policy=parse_policy(text, is_new=True), is_own=path is not None)

    @classmethod
    def usable(cls, path: Path | None) -> "PolicyFile":
        """Read as `read` does. Raises PolicyNotUsable, which names the file and what is wrong with it."""
        try:
            return cls.read(path)
        except PolicyInvalid as problem:
            reason = str(problem)
        except UnicodeDecodeError:
            reason = "it is not UTF-8 text"
        except OSError as problem:
            reason = problem.strerror or type(problem).__name__
        raise PolicyNotUsable(f"the policy file {path or POLICY_FILE} cannot be read: {reason}")


@dataclass(frozen=True, kw_only=True)
class ActivePolicy:
    """The policy in force, and every activation up to the one that put it there, oldest first."""

    policy: Policy
    activations: tuple[PolicyActivation, ...]

    @property
    def activation(self) -> PolicyActivation:
        """What put it in force."""
        return self.activations[-1]


def active_policy(store: Store, read_file: Callable[[], PolicyFile], *, now_ms: int) -> ActivePolicy:
    """The policy in force in the store; where there never was one, a file's is put in force first.

    read_file: reads that file; it is asked by no store that has a policy. Raises StoreUnavailable,
    PolicyHistoryDamaged, PolicyNotUsable where this code cannot read the policy, and what `read_file` raises.
    """
    active = policy_of_store(store)
    if active is not None:
        return active
    file = read_file()
    with changing_policy(store) as tx:
        # Another process may have been faster since.
        active = _active(tx)
        if active is not None:
            return active
        if has_judged(tx):
            raise PolicyHistoryDamaged(
                "the history of the policy is gone, though orders were judged by one: "
                f"restore the store from a backup, or {HOW_TO_ACTIVATE.format(file='FILE')}"
            )
        source = str(file.path) if file.is_own else "the policy that comes with the code"
        first = _put_in_force(
            tx, (), file, ActivationKind.FIRST, by=SYSTEM, reason=f"first start, with {source}", now_ms=now_ms
        )
    return ActivePolicy(policy=file.policy, activations=(first,))


def policy_of_store(store: Store) -> ActivePolicy | None:
    """The policy in force in the store, None where there never was one; changes nothing.

    Raises StoreUnavailable, PolicyHistoryDamaged, and PolicyNotUsable where this code cannot read it.
    """
    with store.reading() as tx:
        return _active(tx)


def _active(tx: Transaction) -> ActivePolicy | None:
    activations = policy_activations(tx)
    if not activations:
        return None
    version = activations[-1].version
    try:
        policy = parse_policy(_kept(tx, version))
    except PolicyInvalid as problem:
        raise PolicyNotUsable(
            f"policy {version} is in force, but this code cannot read it ({problem}): put one in force that "
            f"it can read, by {HOW_TO_ACTIVATE.format(file='FILE')}"
        ) from problem
    return ActivePolicy(policy=policy, activations=activations)


def _kept(tx: Transaction, version: str) -> str:
    """The text of a version that was in force. Raises PolicyHistoryDamaged."""
    text = policy_text(tx, version)
    if text is None:
        raise PolicyHistoryDamaged(f"the text of policy {version}, which was in force, is gone")
    return text


def activate(
    store: Store, file: PolicyFile, *, by: str, reason: str, clock: Callable[[], int]
) -> PolicyActivation:
    """Put a policy file in force. Running services and workers take it over by themselves.

    clock: milliseconds since 1970 UTC. Raises PolicyChangeRefused without a name or a reason, where the
    version is in force already or stands for another text; PolicyHasChanged if another was faster;
    PolicyHistoryDamaged, StoreUnavailable.
    """
    _require_name_and_reason("an activation", by, reason)
    with store.reading() as tx:
        known = policy_activations(tx)
    version = file.policy.version
    if known and known[-1].version == version:
        if known[-1].policy_sha256 != text_sha256(file.text):
            raise PolicyChangeRefused(
                f"policy {version} is in force with another text: give the changed one its own version"
            )
        raise PolicyChangeRefused(f"policy {version} is in force already")
    now_ms = clock()
    with changing_policy(store) as tx:
        activations = _unchanged_since(tx, known)
        kind = ActivationKind.ACTIVATED if activations else ActivationKind.FIRST
        return _put_in_force(tx, activations, file, kind, by=by, reason=reason, now_ms=now_ms)


def roll_back(store: Store, *, by: str, reason: str, clock: Callable[[], int]) -> PolicyActivation:
    """Put the policy before the present one back in force.

    clock: milliseconds since 1970 UTC. Raises PolicyChangeRefused without a name or a reason, where no
    earlier policy is in the history, or where this code cannot read it; PolicyHasChanged if another was
    faster; PolicyHistoryDamaged, StoreUnavailable.
    """
    _require_name_and_reason("a rollback", by, reason)
    with store.reading() as tx:
        known = policy_activations(tx)
        earlier = version_before(known)
        if earlier is None:
            raise PolicyChangeRefused("the history has no earlier policy to go back to")
        text = _kept(tx, earlier)
    try:
        parse_policy(text)
    except PolicyInvalid as problem:
        raise PolicyChangeRefused(
            f"policy {earlier} was in force before, but this code cannot read it: {problem}"
        ) from problem
    now_ms = clock()
    with changing_policy(store) as tx:
        activations = _unchanged_since(tx, known)
        return _append(
            tx,
            activations,
            version=earlier,
            policy_sha256=text_sha256(text),
            kind=ActivationKind.ROLLED_BACK,
            by=by,
            reason=reason,
            now_ms=now_ms,
        )


def history(store: Store) -> tuple[PolicyActivation, ...]:
    """Every activation, oldest first, verified. Raises PolicyHistoryDamaged, StoreUnavailable."""
    with store.reading() as tx:
        return policy_activations(tx)


def kept_text(store: Store, version: str | None) -> tuple[PolicyActivation, str]:
    """The text of a version, by default of the one in force, and its newest activation.

    Raises PolicyChangeRefused where it was never in force; PolicyHistoryDamaged, StoreUnavailable.
    """
    with store.reading() as tx:
        activations = policy_activations(tx)
        if not activations:
            raise PolicyChangeRefused(
                "no policy was put in force in this store yet: the first start of the service does it"
            )
        wanted = [activation for activation in activations if version in {None, activation.version}]
        if not wanted:
            known = ", ".join(dict.fromkeys(activation.version for activation in activations))
            raise PolicyChangeRefused(f"policy {version} was never in force here; these were: {known}")
        return wanted[-1], _kept(tx, wanted[-1].version)


def _require_name_and_reason(what: str, by: str, reason: str) -> None:
    if is_blank(by) or is_blank(reason):
        raise PolicyChangeRefused(f"{what} needs --by NAME and --reason TEXT, which are kept in the history")
    if by == SYSTEM:
        raise PolicyChangeRefused(f"--by {SYSTEM}: this name stands for what nobody did by hand")


def _unchanged_since(tx: Transaction, known: Sequence[PolicyActivation]) -> tuple[PolicyActivation, ...]:
    activations = policy_activations(tx)
    if len(activations) != len(known):
        newest = activations[-1]
        before = f"policy {known[-1].version}" if known else "none"
        raise PolicyHasChanged(
            f"policy {newest.version} is in force by now, put there by {newest.by}, and not {before}: "
            "look at `bonitas policy history` and try again"
        )
    return activations


def _put_in_force(
    tx: Transaction,
    activations: Sequence[PolicyActivation],
    file: PolicyFile,
    kind: ActivationKind,
    *,
    by: str,
    reason: str,
    now_ms: int,
) -> PolicyActivation:
    version = file.policy.version
    try:
        keep_policy(tx, version=version, content=file.text, now_ms=now_ms)
    except PolicyVersionReused as problem:
        raise PolicyChangeRefused(str(problem)) from problem
    return _append(
        tx,
        activations,
        version=version,
        policy_sha256=text_sha256(file.text),
        kind=kind,
        by=by,
        reason=reason,
        now_ms=now_ms,
    )


def _append(
    tx: Transaction,
    activations: Sequence[PolicyActivation],
    *,
    version: str,
    policy_sha256: str,
    kind: ActivationKind,
    by: str,
    reason: str,
    now_ms: int,
) -> PolicyActivation:
    activation = PolicyActivation(
        number=len(activations) + 1,
        version=version,
        policy_sha256=policy_sha256,
        kind=kind,
        by=by,
        reason=reason,
        at_ms=now_ms,
        line_before=activations[-1].line_sha256 if activations else NO_LINE,
    )
    append_activation(tx, activation)
    return activation


def notice_about_file(file: PolicyFile, activations: Sequence[PolicyActivation]) -> str | None:
    """What whoever starts the service should know about a policy file that is not in force, None if nothing.

    A file that somebody named is spoken of whenever it is not what is in force. The one that comes with the
    code only while it was never in force: an upgrade brought it, and nobody has looked at it yet.
    """
    active, version, sha256 = activations[-1], file.policy.version, text_sha256(file.text)
    kept_sha256 = {activation.version: activation.policy_sha256 for activation in activations}
    if active.policy_sha256 == sha256 or (version in kept_sha256 and not file.is_own):
        return None
    in_force = f"policy {active.version} is, since {rfc3339(active.at_ms)}, by {active.by}"
    how = HOW_TO_ACTIVATE.format(file=file.path)
    if not file.is_own:
        return (
            f"policy {version}, which comes with this code, was never in force here: {in_force}. "
            f"To put it in force: {how}"
        )
    if kept_sha256.get(version, sha256) != sha256:
        return (
            f"{file.path} is not in force: {in_force}; the file's version {version} stands for another text. "
            f"Give the file a version of its own, then: {how}"
        )
    return f"{file.path} (policy {version}) is not in force: {in_force}. To put it in force: {how}"
