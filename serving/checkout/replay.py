"""Recomputes a decision from what was stored, bit for bit, and its features from the ledger.

The stored features are judged again whichever release computed them, because a model folder says what its
columns mean. Computed anew from the ledger they are only where this release computes them the same way: under
another feature set or revision of the engine a difference would say nothing about the decision.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from features import feature_sets
from features.feature_sets import FeatureSet
from features.online import LedgerRows
from serving.checkout.checkout_answers import DecisionAnswer
from serving.checkout.checkout_judgement import Judgement, answer_to_checkout, judge, reserved_until_ms
from serving.checkout.decision_inputs import DecisionInputs, inputs_at
from serving.domain.checkout_decision import (
    AMOUNTS_NAMED_AS_AT_RESIDENCE,
    FIRST_JUDGEMENT_REVISION,
    OVERPAYMENTS_COUNTED,
)
from serving.domain.decision import AccountStanding
from serving.domain.errors import PolicyInvalid, UnknownDecision
from serving.domain.policy import Policy
from serving.domain.policy_reader import parse_policy
from serving.in_force.model_watch import ModelRegistry
from serving.in_force.scorer import ModelNotUsableError, ReplayModel
from serving.store.credit_rows import credit_rows_of
from serving.store.decision_log import LoggedDecision, decision_of
from serving.store.policies import policy_text
from serving.store.store import Store


@dataclass(frozen=True, kw_only=True)
class ReplayResult:
    """What came of a replay.

    answered: the answer as it was given; recomputed: as it comes out now.
    differences: names of the answer's fields, and of the raw score, that are not the same.
    ledger_differences: features, or `applicant` or `standing`, that the ledger as of then gives otherwise.
    ledger_not_compared: why the ledger was not asked, in a sentence; None where it was.
    """

    decision_id: str
    answered: dict[str, Any]
    recomputed: dict[str, Any]
    differences: tuple[str, ...]
    ledger_differences: tuple[str, ...]
    ledger_not_compared: str | None

    @property
    def is_identical(self) -> bool:
        """Whether everything that was compared came out the same, bit for bit."""
        return not self.differences and not self.ledger_differences

    def to_json(self) -> dict[str, Any]:
        """For printing."""
        return {
            "decision_id": self.decision_id,
            "identical": self.is_identical,
            "differences": list(self.differences),
            "ledger_compared": self.ledger_not_compared is None,
            "ledger_not_compared_because": self.ledger_not_compared,
            "ledger_differences": list(self.ledger_differences),
            "answered": self.answered,
            "recomputed": self.recomputed,
        }


class DecisionDamagedError(Exception):
    """What was stored of a decision is not complete or not of its kind: nothing can be judged again."""


@dataclass(frozen=True, kw_only=True)
class ModelForReplay:
    """A version with the features that it reads; several replays may share one.

    feature_set: how this release computes them; None where it does not.
    """

    model: ReplayModel
    feature_set: FeatureSet | None

    @classmethod
    def loaded(cls, registry: ModelRegistry, name: str, version: str) -> "ModelForReplay":
        """Read a version. Raises ModelNotUsableError and RegistryUnreachableError."""
        model = registry.load_for_replay(name, version)
        computed = {feature_set.version for feature_set in feature_sets.FEATURE_SETS.values()}
        feature_set = None
        if model.feature_set_version in computed:
            feature_set = feature_sets.FEATURE_SETS[model.feature_set_name].under(model.terms)
        return cls(model=model, feature_set=feature_set)

    def misfit(self, logged: LoggedDecision) -> str | None:
        """Why a decision is not this version's; None where it is.

        Two registries count their versions alike, and a new one begins with 1 again.
        """
        model = self.model
        made_by = logged.record.get("model_files_sha256")
        if made_by is not None and made_by != model.files_sha256:
            return (
                f"was made by another {model.name} {model.version} than the one in this registry, whose "
                "files are others: the store and the registry are not of one home"
            )
        stored = (logged.feature_set_version, len(logged.features or ()))
        if stored == (model.version_under_terms, len(model.columns)):
            return None
        return (
            f"has {stored[1]} features of feature set {stored[0]}, "
            f"{model.name} {model.version} reads {len(model.columns)} of {model.version_under_terms}"
        )


def replay(store: Store, registry: ModelRegistry, decision_id: str) -> ReplayResult:
    """Decide again from the stored inputs, with the model and the policy of that time.

    Raises UnknownDecision, DecisionDamagedError, StoreUnavailable, and ModelNotUsableError or
    RegistryUnreachableError when the model's version cannot be had any more, or is not what was registered.
    """
    with store.reading() as tx:
        with damage_named():
            logged = decision_of(tx, decision_id)
        if logged is None:
            raise UnknownDecision(f"there is no decision {decision_id}")
        text = policy_text(tx, logged.policy_version)
        rows = credit_rows_of(tx, customers_of(logged))
    if text is None:
        raise UnknownDecision(f"policy {logged.policy_version} of decision {decision_id} was not kept")
    policy = kept_policy(logged.policy_version, text)
    model = None
    if logged.model_name is not None and logged.model_version is not None:
        model = ModelForReplay.loaded(registry, logged.model_name, logged.model_version)
        misfit = model.misfit(logged)
        if misfit is not None:
            raise ModelNotUsableError(f"decision {decision_id} {misfit}")
    return replayed(logged, policy, model, rows)


@contextmanager
def damage_named() -> Iterator[None]:
    """For reading a decision from its row. Raises DecisionDamagedError where that cannot be read."""
    try:
        yield
    except (msgspec.MsgspecError, struct.error, TypeError, ValueError) as problem:
        reason = f"what was stored of it cannot be read: {type(problem).__name__}"
        raise DecisionDamagedError(reason) from problem


def customers_of(logged: LoggedDecision) -> list[str]:
    """The customer, and then the person's other accounts as the decision saw them.

    Raises DecisionDamagedError.
    """
    with damage_named():
        return [logged.customer_id, *msgspec.convert(logged.record.get("other_accounts", []), list[str])]


def kept_policy(version: str, text: str) -> Policy:
    """The policy in the text that was kept of a version. Raises DecisionDamagedError."""
    try:
        return parse_policy(text)
    except PolicyInvalid as problem:
        raise DecisionDamagedError(f"what was kept as policy {version} is none: {problem}") from problem


def replayed(
    logged: LoggedDecision,
    policy: Policy,
    model: ModelForReplay | None,
    rows: Mapping[str, LedgerRows],
) -> ReplayResult:
    """Judge a stored decision again, and compare it with what was answered and with the ledger.

    model: that made the decision and whose features it kept; None where none took part. rows: by
    customer_id of `customers_of`, as the ledger has them now. Raises DecisionDamagedError.
    """
    try:
        return _replayed(logged, policy, model, rows)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as problem:
        raise DecisionDamagedError(f"what was stored of it cannot be judged: {problem!r}") from problem


def _replayed(
    logged: LoggedDecision,
    policy: Policy,
    model: ModelForReplay | None,
    rows: Mapping[str, LedgerRows],
) -> ReplayResult:
    record = logged.record
    inputs = DecisionInputs.restored(record, logged.features)
    judgement = judge(
        inputs,
        None if model is None else model.model,
        policy,
        as_of_ms=logged.as_of_ms,
        technical_reason=record["technical_reason"],
    )
    recomputed = _json_values(
        answer_to_checkout(
            judgement.decision,
            decision_id=logged.decision_id,
            order_id=logged.order_id,
            merchant_order_number=inputs.order_row.get("merchant_order_number"),
            model=None if model is None else (model.model.name, model.model.version),
            as_of_ms=logged.as_of_ms,
            reserved_until_ms=_reserved_until_ms(logged, inputs, judgement, policy),
            language=record["language"],
        )
    )
    answered = record["answer"]
    if "reserved_until" not in answered:
        # Earlier releases did not say it.
        del recomputed["reserved_until"]
    differences = [name for name in {**answered, **recomputed} if answered.get(name) != recomputed.get(name)]
    if judgement.raw_log_odds != record["raw_log_odds"]:
        differences.append("raw_log_odds")
    not_compared = _why_ledger_says_nothing(logged, model)
    ledger_differences: tuple[str, ...] = ()
    if not_compared is None:
        feature_set = None if model is None else model.feature_set
        customer_id, *others = customers_of(logged)
        from_ledger = inputs_at(
            rows[customer_id],
            inputs.order_row,
            reserved_cents=inputs.standing.reserved_cents,
            as_of_ms=logged.as_of_ms,
            feature_set=feature_set,
            terms=policy.settlement_terms,
            other_accounts={one: rows[one] for one in others},
            counts_overpayments=inputs.revision >= OVERPAYMENTS_COUNTED,
        )
        from_ledger = replace(from_ledger, standing=_as_kept(from_ledger.standing, record))
        ledger_differences = _ledger_differences(inputs, from_ledger, feature_set)
    return ReplayResult(
        decision_id=logged.decision_id,
        answered=answered,
        recomputed=recomputed,
        differences=tuple(differences),
        ledger_differences=ledger_differences,
        ledger_not_compared=not_compared,
    )


def _reserved_until_ms(
    logged: LoggedDecision, inputs: DecisionInputs, judgement: Judgement, policy: Policy
) -> int | None:
    """Until when the order held its part of the limit after the decision."""
    if logged.is_about_amendment:
        # The order held it before, and for as long, whatever was decided.
        kept: int = logged.record["amendment"]["reserved_until_ms"]
        return kept
    return reserved_until_ms(
        judgement.decision.outcome,
        policy,
        is_bounded_key=inputs.merchant_key is not None,
        as_of_ms=logged.as_of_ms,
    )


def _as_kept(standing: AccountStanding, record: Mapping[str, Any]) -> AccountStanding:
    """The standing without what a decision of earlier days did not keep."""
    if "repaid_invoices" not in record["standing"]:
        standing = replace(standing, repaid_invoices=())
    if record.get("judgement_revision", FIRST_JUDGEMENT_REVISION) < AMOUNTS_NAMED_AS_AT_RESIDENCE:
        standing = replace(
            standing,
            overdue_invoices=tuple(replace(invoice, currency=None) for invoice in standing.overdue_invoices),
            repaid_invoices=tuple(paid._replace(currency=None) for paid in standing.repaid_invoices),
        )
    return standing


def _why_ledger_says_nothing(logged: LoggedDecision, model: ModelForReplay | None) -> str | None:
    """Why the ledger cannot be compared with; None where this release computes what it computed then."""
    if model is not None:
        if model.feature_set is not None:
            return None
        then = f"feature set {logged.feature_set_version}"
    else:
        # Without a model the log has no feature set, but invoices and account were derived all the same.
        revision = logged.record.get("engine_revision")
        if revision == feature_sets.ENGINE_REVISION:
            return None
        then = (
            "an earlier revision of the feature engine" if revision is None else f"engine revision {revision}"
        )
    return (
        f"The decision was made under {then}, which this release does not compute: what was stored was "
        "judged again, and the ledger was not compared."
    )


def _ledger_differences(
    stored: DecisionInputs, from_ledger: DecisionInputs, feature_set: FeatureSet | None
) -> tuple[str, ...]:
    differences = []
    if stored.applicant != from_ledger.applicant:
        differences.append("applicant")
    if stored.standing != from_ledger.standing:
        differences.append("standing")
    # The whole row at once: nearly always it is the same, and a single value costs as much to compare.
    if feature_set is not None and _bits(stored.features) != _bits(from_ledger.features):
        differences += [
            name
            for name, then, now in zip(feature_set.names, stored.features, from_ledger.features, strict=True)
            if _bits([then]) != _bits([now])
        ]
    return tuple(differences)


def _bits(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def _json_values(answer: DecisionAnswer) -> dict[str, Any]:
    """The answer as the decision log has it."""
    return msgspec.json.decode(msgspec.json.encode(answer), type=dict[str, Any])
