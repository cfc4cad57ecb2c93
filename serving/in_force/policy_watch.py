"""Which policy decides: the store's newest activation, looked up beside the requests, swapped in one move."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS
from data_contracts.instants import rfc3339
from serving.domain.policy import Policy
from serving.domain.policy_history import PolicyActivation, PolicyHistoryDamaged, PolicyNotUsable
from serving.in_force.policy_activation import (
    PolicyFile,
    active_policy,
    notice_about_file,
)
from serving.process.regular_look import RegularLook
from serving.store.errors import StoreError, StoreUnavailable
from serving.store.policy_activations import newest_line_sha256
from serving.store.store import Store

LOG = logging.getLogger("bonitas.policy")


class NoPolicyInForce(StoreUnavailable):
    """No policy was read from the store yet, or none that this code can read; the message says why."""


@dataclass(frozen=True, kw_only=True)
class PolicyInForce:
    """The policy as it was last read.

    policy: what names the other ways to pay, also while nobody is judged; None where none can be read.
    technical_reason: says in one sentence why nobody may be judged under it, None where it is in force.
    """

    policy: Policy | None
    technical_reason: str | None = None

    @property
    def judging(self) -> Policy:
        """The policy under which decisions are made.

        Raises NoPolicyInForce while none was read from the store: to decide under the file instead would
        be to decide against the store, which may long have another.
        """
        if self.technical_reason is not None or self.policy is None:
            raise NoPolicyInForce(self.technical_reason or "there is no policy")
        return self.policy

    @property
    def clock_tolerance_ms(self) -> int:
        """How far clocks may be apart where facts are taken, which they are also while nobody is judged."""
        return DEFAULT_CLOCK_TOLERANCE_MS if self.policy is None else self.policy.clock_tolerance_ms


class PolicyWatch:
    """Keeps the policy in force at hand; a thread asks the store every few seconds.

    A store that cannot be reached, a history that was tampered with, a policy that this code cannot read and
    a failed look change nothing: the last policy stays. Of the latter three `problem` says what is wrong as
    long as it is.

    read_file: the file that is put in force where the store has no policy yet; until the store was read it
        judges nobody. A file that raises PolicyNotUsable is read again at the next look, and matters to no
        store that has a policy.
    on_look: is told of the problem, None without one, after each look.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        read_file: Callable[[], PolicyFile],
        *,
        poll_seconds: float,
        now_ms: Callable[[], int],
        on_look: Callable[[str | None], None] = lambda _problem: None,
    ) -> None:
        self._open_store = open_store
        self._read_file = read_file
        self._file: PolicyFile | None = None
        self._now_ms = now_ms
        self._on_look = on_look
        self._activations: tuple[PolicyActivation, ...] = ()
        self._problem: str | None = None
        self._in_force = PolicyInForce(
            policy=self._naming(), technical_reason="the policy in force was not read from the store yet"
        )
        self._looking = RegularLook(self.look, name="policy-watch", every_seconds=poll_seconds)

    @property
    def in_force(self) -> PolicyInForce:
        """What decides now; one read, so a request sees one policy throughout."""
        return self._in_force

    @property
    def problem(self) -> str | None:
        """Why the newest policy of the store is not the one that decides; None where it is."""
        return self._problem

    def start(self) -> None:
        """Look once, here and now, and go on in the background."""
        self._looking.start()

    def stop(self) -> None:
        """End the looking; returns when it has ended."""
        self._looking.stop()

    def look(self) -> None:
        """Ask the store once and swap the policy if another was put in force; what fails is tried again."""
        try:
            self._take_over()
        except StoreError as unreachable:
            LOG.warning("policy_not_read", extra={"reason": str(unreachable)})
        except (PolicyHistoryDamaged, PolicyNotUsable) as unusable:
            self._found(str(unusable))
        except Exception as unexpected:  # one look that fails must not end the looking, or this policy stays
            LOG.exception("policy_look_failed")
            self._found(f"looking for the policy in force failed: {type(unexpected).__name__}")
        else:
            self._found(None)
        self._on_look(self._problem)

    def _take_over(self) -> None:
        """Raises StoreError, PolicyHistoryDamaged, PolicyNotUsable."""
        store = self._open_store()
        seen = self._activations[-1].line_sha256 if self._activations else None
        if seen is not None and self._problem is None:
            with store.reading() as tx:
                if newest_line_sha256(tx) == seen:
                    return
        active = active_policy(store, self._file_now, now_ms=self._now_ms())
        if active.activations[: len(self._activations)] != self._activations:
            # The lines alone cannot tell that the newest of them is gone; who has seen it can.
            raise PolicyHistoryDamaged(
                f"the history of the policy is damaged: line {self._activations[-1].number}, which was "
                "there, is gone; restore the store from a backup"
            )
        is_first_look = not self._activations
        self._activations = active.activations
        if is_first_look or active.activation.line_sha256 != seen:
            self._in_force = PolicyInForce(policy=active.policy)
            newest = active.activation
            LOG.info(
                "policy_in_force",
                extra={
                    "version": newest.version,
                    "activation": newest.number,
                    "kind": newest.kind.value,
                    "by": newest.by,
                    "since": rfc3339(newest.at_ms),
                },
            )
        if is_first_look:
            self._tell_of_file()

    def _file_now(self) -> PolicyFile:
        """Raises PolicyNotUsable; a file that was read once is not read again."""
        if self._file is None:
            self._file = self._read_file()
        return self._file

    def _naming(self) -> Policy | None:
        """The policy that names the other ways to pay while nobody is judged; None where none can be read."""
        for read in (self._file_now, partial(PolicyFile.usable, None)):
            try:
                return read().policy
            except PolicyNotUsable as problem:
                LOG.warning("policy_file_not_readable", extra={"reason": str(problem)})
        return None

    def _tell_of_file(self) -> None:
        try:
            file = self._file_now()
        except PolicyNotUsable:
            # Said already, and the store's policy is in force without it.
            return
        notice = notice_about_file(file, self._activations)
        if notice is not None:
            level = logging.WARNING if file.is_own else logging.INFO
            LOG.log(level, "policy_file_not_in_force", extra={"reason": notice})

    def _found(self, problem: str | None) -> None:
        if problem is not None and problem != self._problem:
            LOG.error("policy_not_usable", extra={"reason": problem})
        self._problem = problem
        if problem is not None and not self._activations:
            # The file as it is now: one that was mended since the start names the other ways to pay again.
            file = self._file
            policy = self._in_force.policy if file is None else file.policy
            self._in_force = PolicyInForce(policy=policy, technical_reason=problem)
