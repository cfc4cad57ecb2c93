"""A checkout with a champion and a shadow in one store, and a clock that stands still until told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.ledger_contracts import CONTRACTS
from features.feature_sets import INVOICE_ELIGIBILITY, FeatureSet
from features.model_columns import columns_of
from serving.checkout.checkout_scoring import score
from serving.checkout.order_body import OrderBody
from serving.domain.policy import Policy
from serving.domain.policy_reader import parse_policy
from serving.in_force.model_watch import CHAMPION, SHADOW, ModelRegistry, ModelWatch
from serving.in_force.policy_activation import POLICY_FILE
from serving.in_force.policy_watch import PolicyInForce
from serving.in_force.scorer import (
    Calibration,
    ChampionModel,
    ModelNotUsableError,
    RawModel,
    ReplayModel,
    Scorecard,
    ScorecardFeature,
    ScoreScale,
)
from serving.requests.request_scope import RequestScope, StoreDoor
from serving.shadow.scoring import ShadowScope, answer_checkouts
from serving.store.api_keys import Caller, Role
from serving.store.ledger import append
from serving.store.policies import keep_policy
from serving.store.shadow_decisions import ShadowDecision, shadow_decisions_after
from serving.store.shadow_progress import ShadowProgress, Subject, begin_shadow, progress_of
from serving.store.store import Store, Transaction
from serving.store.tables import metadata
from tests.builders import DAY, Row, a_customer, a_merchant, an_order, ms

START = ms("2026-06-01T10:00:00")
MINUTE = 60_000
MODEL = INVOICE_ELIGIBILITY.name
CALLER = Caller(name="shop", role=Role.CHECKOUT, merchant_id=None)
POLICY_TEXT = POLICY_FILE.read_text()


def a_scorecard(feature_set: FeatureSet, intercept: float, **step_weights: float) -> Scorecard:
    """Log-odds that begin at `intercept` and grow by each named feature's weight once it is above 0."""
    return Scorecard(
        intercept=intercept,
        features=tuple(
            ScorecardFeature(
                cut_points=(0.0,) if name in step_weights else (),
                step_weights=(step_weights[name],) if name in step_weights else (),
                missing_weight=0.0,
                mean_contribution=0.0,
            )
            for name in feature_set.names
        ),
    )


def a_model(
    version: str, raw_model: RawModel | None = None, feature_set: FeatureSet = INVOICE_ELIGIBILITY
) -> ChampionModel:
    """Approves nearly everybody, unless another model stands behind it."""
    return ChampionModel(
        name=feature_set.name,
        version=version,
        feature_set=feature_set,
        feature_set_name=feature_set.name,
        feature_set_version=feature_set.version,
        columns=columns_of(feature_set.features),
        raw_model=raw_model or a_scorecard(feature_set, -5.0, late_payment_days_sum_730d=4.0),
        calibration=Calibration(raw_log_odds=(-9.0, 9.0), log_odds=(-9.0, 9.0)),
        scale=ScoreScale(),
        typical_values=dict.fromkeys(feature_set.names, 0.0),
    )


def declining(version: str, feature_set: FeatureSet = INVOICE_ELIGIBILITY) -> ChampionModel:
    """Takes everybody for bad."""
    return a_model(version, a_scorecard(feature_set, 8.0), feature_set)


class Crashing:
    """A model that fails, at every row or at those whose number is named."""

    def __init__(self, calls: Sequence[int] | None = None) -> None:
        self.calls, self.done = calls, 0

    def raw_score(self, values: Sequence[float]) -> float:  # noqa: ARG002 - whatever they are
        self.done += 1
        if self.calls is None or self.done in self.calls:
            raise ZeroDivisionError("the challenger is broken")
        return -5.0

    def contributions(self, values: Sequence[float]) -> list[float]:
        return [0.0] * (len(values) + 1)


class KnownModels(ModelRegistry):
    """A registry in memory."""

    def __init__(self, *models: ChampionModel) -> None:
        super().__init__("sqlite:///not-asked.db", Path("not-asked"))
        self.models = {model.version: model for model in models}
        self.aliases: dict[str, str] = {}

    def version_under(self, model_name: str, alias: str) -> str | None:  # noqa: ARG002 - it knows one model
        return self.aliases.get(alias)

    def load(self, model_name: str, version: str) -> ChampionModel:
        if version not in self.models:
            raise ModelNotUsableError(f"{model_name} {version} cannot be read")
        return self.models[version]

    def load_for_replay(self, model_name: str, version: str) -> ReplayModel:
        return self.load(model_name, version)


@dataclass
class ShadowDesk:
    """Version 1 is champion."""

    store: Store
    database_url: str
    registry: KnownModels
    now: int = START
    policy: Policy = field(default_factory=lambda: parse_policy(POLICY_TEXT))

    def __post_init__(self) -> None:
        self.registry.aliases[CHAMPION] = "1"
        self.watch = self._watching(CHAMPION)
        self.shadow_watch = self._watching(SHADOW)
        self.row("merchants", a_merchant(at=START - 500 * DAY))
        self.under(POLICY_TEXT)

    def _watching(self, alias: str) -> ModelWatch:
        watch = ModelWatch(self.registry, MODEL, alias=alias, poll_seconds=3600.0, on_change=lambda: None)
        watch.look()
        return watch

    def row(self, contract: str, row: Row) -> None:
        sent = {name: value for name, value in row.items() if name != "recorded_at" and value is not None}
        self.now += 1
        with self.store.writing("test") as tx:
            assert append(tx, CONTRACTS[contract], sent, self.now).status is AppendStatus.ACCEPTED

    def customer(self, customer_id: str, **changes: Any) -> None:
        row = a_customer(customer_id, event_id=f"customer-{customer_id}", at=START - 400 * DAY, **changes)
        self.row("customers", {**row, "personal_data_confirmed_at": START - 10 * DAY})

    def under(self, policy_text: str) -> None:
        """Decide under this policy from now on."""
        self.policy = parse_policy(policy_text)
        with self.store.writing("test") as tx:
            keep_policy(tx, version=self.policy.version, content=policy_text, now_ms=self.now)

    def scope(self, store: Store | None = None) -> RequestScope:
        door = StoreDoor(self.database_url)
        door.open = lambda: store or self.store  # type: ignore[method-assign]  # the test's own store
        return RequestScope(
            door=door,
            watch=self.watch,
            policy_in_force=PolicyInForce(policy=self.policy),
            now_ms=lambda: self.now,
        )

    def decide(self, order_id: str, customer_id: str, *, store: Store | None = None, **changes: Any) -> str:
        """Decide an order as the checkout does; the id of the decision."""
        envelope = {"event_id", "occurred_at", "recorded_at"}
        row = an_order(order_id, customer_id, at=0, **{"amount_cents": 5_000, "vat_cents": 0, **changes})
        self.now += 1_000
        answer = score(
            self.scope(store),
            OrderBody(
                row={name: value for name, value in row.items() if name not in envelope}, language="en"
            ),
            caller=CALLER,
            idempotency_key=None,
            accepted_language=None,
        )
        return str(answer.document.decision_id)

    def decided(self, count: int, first: int = 1) -> list[str]:
        """Decisions about so many customers with one small order each."""
        ids = []
        for number in range(first, first + count):
            self.customer(f"c{number}")
            ids.append(self.decide(f"o{number}", f"c{number}"))
        return ids

    def start(self, version: str, *, days_back: int = 0) -> None:
        self.registry.aliases[SHADOW] = version
        self.shadow_watch.look()
        with self.store.writing("test") as tx:
            begin_shadow(
                tx,
                model_name=MODEL,
                model_version=version,
                subject=Subject.DECISION,
                answers_from_ms=self.now - days_back * DAY,
            )

    def stop(self) -> None:
        del self.registry.aliases[SHADOW]
        self.shadow_watch.look()

    def shadow_scope(self, store: Store | None = None) -> ShadowScope:
        return ShadowScope(
            store=store or self.store,
            model_name=MODEL,
            challenger=lambda: self.shadow_watch.in_force,
            now_ms=lambda: self.now,
        )

    def answer(self) -> int:
        """Let the shadow answer what waits, as the worker does, with nothing remembered from before."""
        done = 0
        while answered := answer_checkouts(self.shadow_scope()):
            done += answered
        return done

    def answers(self, version: str) -> list[ShadowDecision]:
        with self.store.reading() as tx:
            return shadow_decisions_after(tx, model_name=MODEL, model_version=version, after="", limit=10_000)

    def progress(self, version: str) -> ShadowProgress:
        with self.store.reading() as tx:
            found = progress_of(tx, MODEL, version)
        assert found is not None
        return found


def all_but_shadows(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table that is not the shadows' own."""
    with store.reading() as tx:
        return {
            table.name: rows_of(tx, table.name)
            for table in metadata.sorted_tables
            if not table.name.startswith("shadow_")
        }


def rows_of(tx: Transaction, table: str) -> list[tuple[Any, ...]]:
    return sorted((tuple(row) for row in tx.execute(f"SELECT * FROM {table}")), key=repr)


def a_shadow_desk(store: Store, database_url: str, *challengers: ChampionModel) -> ShadowDesk:
    return ShadowDesk(store, database_url, KnownModels(a_model("1"), *challengers))


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'bonitas.db'}"
