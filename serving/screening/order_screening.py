"""Use case: look at an approved order, and again whenever something new about it is known.

Works from the outbox, off the checkout's path. What is computed is computed outside of any write, so that
a checkout never waits for a screening.
"""

import hashlib
import itertools
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from data_contracts.amended_orders import ordered_cents
from data_contracts.instants import DAY_MS
from data_contracts.merchants import MERCHANTS
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.orders import ORDERS
from features.online import visible_rows
from features.order_links import Keys
from features.order_risk_online import keys_at, order_risk_features
from features.supersession import seeing_all
from serving.domain.case_stakes import CaseStakes
from serving.domain.flag_reason import IDENTITY_CLAIM, FlagReason
from serving.domain.order_of_work import is_sampled, next_handover_ms, priority_of
from serving.domain.policy import Policy
from serving.domain.review_case import Action, CaseOrigin, open_case, reopen_linked
from serving.in_force.scorer import ChampionModel
from serving.screening.following_decisions import follow_decisions
from serving.store.case_queue import (
    SYSTEM,
    Screening,
    StoredCase,
    append_history,
    append_screening,
    case_about,
    insert_case,
    is_screened,
    update_case,
)
from serving.store.errors import StoreUnavailable
from serving.store.order_links import (
    crowded_entities,
    linked_orders,
    order_rows,
    own_orders,
    plain_orders,
    related_rows,
    rows_about,
)
from serving.store.outbox import (
    FRAUD_CONFIRMED,
    WaitingMessage,
    take_message,
    waiting_messages,
    work_off_each,
)
from serving.store.standing_rows import standing_row
from serving.store.store import Store, Transaction
from serving.store.waiting_looks import (
    APPROVED,
    LINKED_FRAUD,
    LINKED_ORDER,
    LINKED_PAUSE_MS,
    WAITING_LOOKS,
    WaitingLook,
    ask_for_looks,
    end_look,
    is_any_look_due,
    take_looks,
)

LOG = logging.getLogger("bonitas.screening")

LOOKS_AT_ONCE = 10
REASONS_MAXIMUM = 4
LINKED_ORDERS_MAXIMUM = 50

LedgerRows = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class ScreeningScope:
    """What screening needs. model: the champion now, None while there is none."""

    store: Store
    model: Callable[[], ChampionModel | None]
    policy: Policy
    now_ms: Callable[[], int]


def work_off(scope: ScreeningScope, limit: int = LOOKS_AT_ONCE) -> int:
    """Follow the decisions, then look at the most urgent orders; returns how much was done.

    Without a model they wait: an order that nobody looked at is not clear. Raises StoreUnavailable.
    """
    seen_from_ms = scope.now_ms()
    done = follow_decisions(scope.store)
    model = scope.model()
    if model is None:
        return done
    with scope.store.reading() as tx:
        found = waiting_messages(tx, (FRAUD_CONFIRMED,), limit, due_at_ms=seen_from_ms)
    done += work_off_each(
        scope.store, found, lambda message: _ask_for_orders_near_fraud(scope, message), scope.now_ms()
    )
    for look in _taken_looks(scope, limit, seen_from_ms):
        done += 1
        try:
            _screen(scope, model, look, seen_from_ms)
        except StoreUnavailable:
            raise
        except Exception:  # whatever is wrong with one order, the others must not wait behind it
            LOG.exception("look_postponed", extra={"order_id": look.order_id})
    return done


def _taken_looks(scope: ScreeningScope, limit: int, now_ms: int) -> list[WaitingLook]:
    with scope.store.reading() as tx:
        # Looked at first without the database's write lock, which checkouts wait for.
        if not is_any_look_due(tx, now_ms=now_ms):
            return []
    with scope.store.writing(WAITING_LOOKS) as tx:
        return take_looks(tx, limit, now_ms=now_ms)


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What was computed about an order, before anything is written."""

    row: Mapping[str, Any]
    keys: Keys
    as_of_ms: int
    features: tuple[float, ...]
    cancelled: bool
    stakes: CaseStakes
    record: dict[str, Any]
    flagged: bool


def _screen(scope: ScreeningScope, model: ChampionModel, waiting: WaitingLook, seen_from_ms: int) -> None:
    order_id = waiting.order_id
    is_first = APPROVED in waiting.triggers
    as_of_ms = max(seen_from_ms, waiting.due_at_ms + 1)
    with scope.store.reading() as tx:
        # News about an order that we did not approve is nothing to us.
        is_ours = is_first or is_screened(tx, order_id)
        look = _compute_look(tx, scope, model, order_id, as_of_ms) if is_ours else None
        linked = (
            _due_linked(tx, scope, order_id, look.keys, LINKED_ORDER)
            if is_first and look is not None and not look.cancelled
            else {}
        )
    # Before the look is kept: a worker that is killed in between asks once more, not never.
    _ask_for_linked(scope, linked, LINKED_ORDER)
    with scope.store.writing(f"order-{order_id}") as tx:
        if not end_look(tx, waiting):
            return
        if look is None or look.cancelled:
            LOG.info("not_screened", extra={"order_id": order_id, "trigger": waiting.triggers[0]})
            return
        _keep_screening(tx, scope, model, look, waiting.triggers)


def _compute_look(
    tx: Transaction, scope: ScreeningScope, model: ChampionModel, order_id: str, as_of_ms: int
) -> _Look | None:
    versions = order_rows(tx, order_id)
    if not versions:
        return None
    about = rows_about(tx, versions)
    as_of_ms = seeing_all(as_of_ms - 1, [*versions, *about.get(ORDER_EVENTS.name, ())])
    # The place where the parcel goes may have been changed since: that is in the order's events.
    keys = keys_at(order_id, about, as_of_ms)
    if keys is None:
        return None
    customers_maximum = scope.policy.order_risk.linked_customers_maximum
    feature_set = model.feature_set.linking(customers_maximum)
    crowded = crowded_entities(tx, keys, customers_maximum, as_of_ms)
    keys = {entity: key for entity, key in keys.items() if entity not in crowded}
    own = own_orders(tx, versions)
    plain = plain_orders(tx, keys, feature_set, as_of_ms, own)
    rows = related_rows(tx, keys, feature_set, as_of_ms, about, own, plain)
    values = order_risk_features(order_id, rows, as_of_ms, feature_set, crowded, plain)
    if values is None:
        return None
    (row,) = [row for row in visible_rows(ORDERS, rows, as_of_ms) if row["order_id"] == order_id]
    scored = model.score(values)
    flagged = is_flagged(scored.probability_of_default, scope.policy)
    events = [event for event in visible_rows(ORDER_EVENTS, rows, as_of_ms) if event["order_id"] == order_id]
    return _Look(
        row=row,
        keys=keys,
        as_of_ms=as_of_ms,
        features=tuple(values),
        cancelled=any(event["kind"] == "cancelled" for event in events),
        stakes=_stakes(tx, scope.policy, row, events, scored.probability_of_default),
        record={
            "probability": scored.probability_of_default,
            "raw_log_odds": scored.raw_log_odds,
            "reasons": fraud_reasons(model, values) if flagged else [],
        },
        flagged=flagged,
    )


def _stakes(
    tx: Transaction,
    policy: Policy,
    row: Mapping[str, Any],
    events: Sequence[Mapping[str, Any]],
    probability: float,
) -> CaseStakes:
    is_service = row["kind"] == "service"
    kinds = {event["kind"] for event in events}
    shipped = [event for event in events if event["kind"] == "shipped"]
    carriers = {str(event.get("carrier") or "").casefold() for event in shipped}
    recallable_carriers = {name.casefold() for name in policy.stop_requests.recallable_carriers}
    merchant = standing_row(tx, MERCHANTS, row["merchant_id"])
    handover_at_ms = row["occurred_at"]
    if merchant is not None and not is_service:
        country = policy.countries.get(merchant["country"])
        handover_at_ms = next_handover_ms(
            row["occurred_at"],
            merchant["handover_cutoff_local_time"],
            policy.order_risk.default_time_zone if country is None else country.time_zone,
            row["occurred_at"],
        )
    delivered = "delivered" in kinds
    return CaseStakes(
        probability=probability,
        amount_cents=ordered_cents(row, events),
        currency=row["currency"],
        ordered_at_ms=row["occurred_at"],
        handover_at_ms=handover_at_ms,
        left=delivered or bool(shipped),
        recallable=is_service or (not delivered and (not shipped or bool(carriers & recallable_carriers))),
        is_service=is_service,
    )


def is_flagged(probability: float, policy: Policy) -> bool:
    """Whether an order with this probability of fraud is put before the fraud team."""
    return probability >= policy.order_risk.flag_probability


def fraud_reasons(model: ChampionModel, values: Sequence[float]) -> list[FlagReason]:
    """What speaks most for fraud: at most four features, one for each reason code."""
    weighed = sorted(
        zip(model.columns, values, model.contributions(values), strict=True),
        key=lambda entry: -entry[2],
    )
    reasons: dict[str, FlagReason] = {}
    for column, value, contribution in weighed:
        if contribution <= 0 or len(reasons) == REASONS_MAXIMUM:
            break
        reasons.setdefault(
            column.reason_code,
            FlagReason(
                code=column.reason_code,
                group=column.group,
                feature=column.name,
                text=column.description,
                unit=column.unit,
                value=value,
                usual=model.typical_values.get(column.name),
                contribution=contribution,
            ),
        )
    return list(reasons.values())


def _keep_screening(
    tx: Transaction, scope: ScreeningScope, model: ChampionModel, look: _Look, triggers: Sequence[str]
) -> None:
    order_id = look.row["order_id"]
    trigger = triggers[0]
    append_screening(
        tx,
        Screening(
            screening_id=f"scr_{look.as_of_ms:011x}{secrets.token_hex(6)}",
            order_id=order_id,
            as_of_ms=look.as_of_ms,
            trigger=trigger,
            outcome="flagged" if look.flagged else "clear",
            model_name=model.name,
            model_version=model.version,
            feature_set_version=model.feature_set.version,
            policy_version=scope.policy.version,
            features=look.features,
            record=look.record,
        ),
    )
    stored = case_about(tx, order_id)
    if stored is not None:
        _renew_case(tx, scope, look, stored, is_beside_fraud=LINKED_FRAUD in triggers)
    elif look.flagged:
        _open_case(tx, scope, look, CaseOrigin.FLAGGED, trigger)
    elif APPROVED in triggers and is_sampled(_draw(order_id), scope.policy.review):
        _open_case(tx, scope, look, CaseOrigin.SAMPLED, trigger)


def _draw(order_id: str) -> float:
    """A number from 0 to below 1 that belongs to the order: a repeated screening draws it again."""
    return int.from_bytes(hashlib.sha256(f"sample {order_id}".encode()).digest()[:6]) / 2**48


def _open_case(tx: Transaction, scope: ScreeningScope, look: _Look, origin: CaseOrigin, trigger: str) -> None:
    case = open_case(
        case_id=f"case_{secrets.token_hex(10)}",
        order_id=look.row["order_id"],
        customer_id=look.row["customer_id"],
        merchant_id=look.row["merchant_id"],
        origin=origin,
        now_ms=look.as_of_ms,
        policy=scope.policy.review,
    )
    stored = StoredCase(
        case=case,
        stakes=look.stakes,
        priority=priority_of(case, look.stakes, look.as_of_ms, scope.policy.review),
        reasons=tuple(look.record["reasons"]),
    )
    if insert_case(tx, stored):
        append_history(
            tx,
            case.case_id,
            at_ms=look.as_of_ms,
            actor=SYSTEM,
            action=Action.OPENED,
            detail={"origin": origin.value, "trigger": trigger, "probability": look.stakes.probability},
        )


def _renew_case(
    tx: Transaction, scope: ScreeningScope, look: _Look, stored: StoredCase, *, is_beside_fraud: bool
) -> None:
    """What is new about the order goes into its case; a confirmed fraud nearby re-opens a released one."""
    before = stored.case
    case = before
    if is_beside_fraud:
        case = reopen_linked(before, look.as_of_ms, scope.policy.review)
    # No model takes back what the customer said.
    claims = [reason for reason in stored.reasons if reason.code == IDENTITY_CLAIM]
    # The hand-over is planned once: later it would name the next day's.
    stakes = replace(look.stakes, handover_at_ms=stored.stakes.handover_at_ms)
    renewed = StoredCase(
        case=case if case is not before else replace(before, version=before.version + 1),
        stakes=stakes,
        priority=priority_of(case, stakes, look.as_of_ms, scope.policy.review),
        reasons=(*claims, *look.record["reasons"]) if look.record["reasons"] else stored.reasons,
    )
    update_case(tx, renewed, version_before=before.version)
    if case is not before:
        append_history(
            tx,
            case.case_id,
            at_ms=look.as_of_ms,
            actor=SYSTEM,
            action=Action.REOPENED,
            detail={"reason": LINKED_FRAUD},
        )


def _ask_for_orders_near_fraud(scope: ScreeningScope, message: WaitingMessage) -> None:
    """A confirmed fraud tells something about every open order that is linked to its order."""
    order_id = message.payload["order_id"]
    customers_maximum = scope.policy.order_risk.linked_customers_maximum
    with scope.store.reading() as tx:
        versions = order_rows(tx, order_id)
        keys: Keys = {}
        for row in versions:
            known = keys_at(order_id, {ORDERS.name: versions}, row["recorded_at"] + 1)
            keys |= known or {}
        as_of_ms = seeing_all(scope.now_ms(), versions)
        crowded = crowded_entities(tx, keys, customers_maximum, as_of_ms)
        keys = {entity: key for entity, key in keys.items() if entity not in crowded}
        linked = _due_linked(tx, scope, order_id, keys, LINKED_FRAUD)
    _ask_for_linked(scope, linked, LINKED_FRAUD)
    with scope.store.writing(f"order-{order_id}") as tx:
        take_message(tx, message)


def _due_linked(
    tx: Transaction, scope: ScreeningScope, order_id: str, keys: Keys, trigger: str
) -> dict[str, int]:
    """The orders like this one, and when each is due for another look: at once where a fraud tells of it."""
    now_ms = scope.now_ms()
    since_ms = now_ms - scope.policy.order_risk.rescreen_days * DAY_MS
    pause_ms = LINKED_PAUSE_MS if trigger == LINKED_ORDER else 0
    linked = linked_orders(tx, keys, since_ms, LINKED_ORDERS_MAXIMUM + 1)
    linked.pop(order_id, None)
    return {
        # A look of the future was dated by a clock that was wrong.
        other: max(now_ms, min(looked_at_ms, now_ms) + pause_ms)
        for other, looked_at_ms in itertools.islice(linked.items(), LINKED_ORDERS_MAXIMUM)
    }


def _ask_for_linked(scope: ScreeningScope, due_at_ms_of: Mapping[str, int], trigger: str) -> None:
    if due_at_ms_of:
        with scope.store.writing(WAITING_LOOKS) as tx:
            ask_for_looks(tx, trigger, due_at_ms_of.items())
