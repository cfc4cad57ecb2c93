"""Recomputes every decision of the log in one go, page by page, and sums up what came of it.

Each model and each policy is read once. A page is one short read transaction, and is judged after it: a long
one would keep SQLite from starting its write-ahead log anew. What is decided after the start is not replayed.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from data_contracts.progress import Progress, no_progress
from features.online import LedgerRows
from serving.checkout.replay import (
    DecisionDamagedError,
    ModelForReplay,
    ReplayResult,
    customers_of,
    damage_named,
    kept_policy,
    replayed,
)
from serving.domain.policy import Policy
from serving.in_force.model_watch import ModelRegistry
from serving.in_force.scorer import ModelNotUsableError
from serving.store.credit_rows import credit_rows_of
from serving.store.decision_log import LoggedDecision, decision_rows, logged_decision
from serving.store.decision_search import first_id_at
from serving.store.policies import policy_text
from serving.store.store import Store, Transaction

PAGE = 50
VERSIONS_KEPT = 32
"""Models and policies that are kept at hand: decisions of one time share them."""
REASONS_COUNTED = 100
LISTED_MAXIMUM = 1_000
OTHER_REASONS = "other reasons"


@dataclass(frozen=True, kw_only=True)
class ReplayOfLogged:
    """What came of one decision of the log: a result, or the reason why it cannot be replayed."""

    decision_id: str
    result: ReplayResult | None
    not_replayable: str | None

    @property
    def different_parts(self) -> tuple[str, ...]:
        """What is not the same; empty for what is, and for what cannot be replayed."""
        if self.result is None:
            return ()
        of_ledger = (f"ledger: {name}" for name in self.result.ledger_differences)
        return (*self.result.differences, *of_ledger)


@dataclass(kw_only=True)
class LogReplaySummary:
    """What came of all decisions together; lists no more than it can hold, and counts the rest.

    equal: came out bit for bit the same; ledger_not_compared: those of them of which the ledger was not
    asked. different_by_part: how many differ in each part. reasons: why how many cannot be replayed.
    listed: the first ones that are not equal, by decision_id, with parts or reason.
    """

    equal: int = 0
    ledger_not_compared: int = 0
    different: int = 0
    not_replayable: int = 0
    different_by_part: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    listed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def replayed(self) -> int:
        """How many decisions were looked at."""
        return self.equal + self.different + self.not_replayable

    @property
    def all_equal(self) -> bool:
        """Whether every decision came out the same."""
        return self.equal == self.replayed

    def add(self, one: ReplayOfLogged) -> None:
        """Count one decision."""
        parts = one.different_parts
        if one.not_replayable is not None:
            self.not_replayable += 1
            known = one.not_replayable in self.reasons or len(self.reasons) < REASONS_COUNTED
            self.reasons[one.not_replayable if known else OTHER_REASONS] += 1
            self._list(one.decision_id, not_replayable=one.not_replayable)
        elif parts:
            self.different += 1
            self.different_by_part.update(parts)
            self._list(one.decision_id, different=list(parts))
        else:
            self.equal += 1
            self.ledger_not_compared += one.result is not None and one.result.ledger_not_compared is not None

    def _list(self, decision_id: str, **what: Any) -> None:
        if len(self.listed) < LISTED_MAXIMUM:
            self.listed.append({"decision_id": decision_id, **what})

    def to_json(self) -> dict[str, Any]:
        """For printing."""
        return {
            "replayed": self.replayed,
            "equal": self.equal,
            "ledger_not_compared": self.ledger_not_compared,
            "different": self.different,
            "different_by_part": dict(self.different_by_part.most_common()),
            "not_replayable": self.not_replayable,
            "not_replayable_because": dict(self.reasons.most_common()),
            "not_equal": self.listed,
            "not_equal_not_listed": self.different + self.not_replayable - len(self.listed),
        }


def replay_log(
    store: Store, registry: ModelRegistry, *, since_ms: int | None = None, progress: Progress = no_progress
) -> Iterator[ReplayOfLogged]:
    """Recompute the decisions of the log, the oldest first; those made before `since_ms` are left out.

    A decision whose model, policy or record cannot be had any more is named with the reason, and the others
    go on. Raises StoreUnavailable, and RegistryUnreachableError where the registry does not answer.
    """
    after = "" if since_ms is None else first_id_at(since_ms)
    with store.reading() as tx:
        ((until, total),) = tx.execute(
            "SELECT max(decision_id), count(*) FROM decisions WHERE decision_id > ?", (after,)
        )
    versions = _Versions(store, registry)
    done = 0
    while until is not None:
        with store.reading() as tx:
            page = _page(tx, after, until)
        if not page:
            break
        for one in page:
            yield versions.replay(one)
        after = page[-1].decision_id
        done += len(page)
        progress("replay", done=min(done, total), total=total)


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """A decision, and the ledger rows of its page by customer_id. logged: or why its row cannot be read."""

    decision_id: str
    logged: LoggedDecision | str
    rows: Mapping[str, LedgerRows]


def _page(tx: Transaction, after: str, until: str) -> list[_Stored]:
    decoded: dict[str, LoggedDecision | str] = {}
    customers: set[str] = set()
    for row in decision_rows(tx, after=after, until=until, limit=PAGE):
        try:
            with damage_named():
                logged = logged_decision(row)
            customers.update(customers_of(logged))
        except DecisionDamagedError as problem:
            decoded[str(row[0])] = str(problem)
        else:
            decoded[str(row[0])] = logged
    rows = credit_rows_of(tx, customers)
    return [
        _Stored(decision_id=decision_id, logged=logged_or_reason, rows=rows)
        for decision_id, logged_or_reason in decoded.items()
    ]


class _Versions:
    """Models and policies by version, each read once; what cannot be had is remembered as its reason."""

    def __init__(self, store: Store, registry: ModelRegistry) -> None:
        keeping = lru_cache(maxsize=VERSIONS_KEPT)
        self._policy: Callable[[str], Policy | str] = keeping(partial(_policy_or_reason, store))
        self._model: Callable[[str, str], ModelForReplay | str] = keeping(partial(_model_or_reason, registry))

    def replay(self, stored: _Stored) -> ReplayOfLogged:
        """Judge one decision again. Raises RegistryUnreachableError and StoreUnavailable."""
        came = self._replayed(stored)
        if isinstance(came, str):
            return ReplayOfLogged(decision_id=stored.decision_id, result=None, not_replayable=came)
        return ReplayOfLogged(decision_id=stored.decision_id, result=came, not_replayable=None)

    def _replayed(self, stored: _Stored) -> ReplayResult | str:
        logged = stored.logged
        if isinstance(logged, str):
            return logged
        policy = self._policy(logged.policy_version)
        if isinstance(policy, str):
            return policy
        model: ModelForReplay | None = None
        if logged.model_name is not None and logged.model_version is not None:
            found = self._model(logged.model_name, logged.model_version)
            if isinstance(found, str):
                return found
            model, misfit = found, found.misfit(logged)
            if misfit is not None:
                return f"it {misfit}"
        try:
            return replayed(logged, policy, model, stored.rows)
        except DecisionDamagedError as problem:
            return str(problem)


def _policy_or_reason(store: Store, version: str) -> Policy | str:
    with store.reading() as tx:
        text = policy_text(tx, version)
    if text is None:
        return f"policy {version} was not kept"
    try:
        return kept_policy(version, text)
    except DecisionDamagedError as problem:
        return str(problem)


def _model_or_reason(registry: ModelRegistry, name: str, version: str) -> ModelForReplay | str:
    try:
        return ModelForReplay.loaded(registry, name, version)
    except ModelNotUsableError as problem:
        return str(problem)
