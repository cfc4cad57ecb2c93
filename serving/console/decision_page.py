"""Decisions: find any checkout decision, see all that it rested on, and replay it.

Personal data are shown to the roles that work on orders; an analyst sees features, reasons and figures.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from data_contracts.customers import CUSTOMERS
from data_contracts.orders import ORDERS
from features.feature_sets import FEATURE_SETS
from features.model_columns import ModelColumn, columns_of
from serving.checkout.replay import ReplayResult, replay
from serving.console.locale_forms import Locale
from serving.console.page_request import ConsoleRoute, PageRequest
from serving.domain.console_user import ConsoleRole
from serving.domain.decision import Outcome
from serving.domain.errors import UnknownDecision
from serving.domain.reasons import LANGUAGES
from serving.domain.text_files import FALLBACK_LANGUAGE
from serving.figures.flow_overview import start_of
from serving.in_force.model_watch import ModelRegistry, RegistryUnreachableError
from serving.in_force.scorer import ModelNotUsableError, ReplayModel
from serving.store.decision_log import LoggedDecision, decision_of
from serving.store.decision_search import DecisionFilter, find_decisions

PAGE_SIZE = 50
NAME_MAXIMUM = 200
FIRST_YEAR, LAST_YEAR = 2000, 2500
ROLES = frozenset({ConsoleRole.FRAUD, ConsoleRole.ANALYST, ConsoleRole.ADMIN})
SEES_PERSONAL_DATA = frozenset({ConsoleRole.FRAUD, ConsoleRole.ADMIN})

PERSONAL_ORDER_FIELDS = frozenset(column.name for column in ORDERS.columns if column.personal)
ORDER_FIELDS: Mapping[str, str] = {column.name: column.description for column in ORDERS.columns}
APPLICANT_FIELDS: Mapping[str, str] = {
    **{column.name: column.description for column in CUSTOMERS.columns},
    "email_confirmed": "whether the e-mail address was confirmed",
    "phone_confirmed": "whether the telephone number was confirmed",
}
APPLICANT_FIGURES = frozenset(
    {
        "residence_country",
        "identity_status",
        "email_confirmed",
        "phone_confirmed",
        "personal_data_confirmed_at",
    }
)
"""What everyone may see of the applicant; anything else is personal."""
TEXTS_WITH_PERSONAL_DATA = frozenset({"identity_document_expired", "wait_for_age"})
"""Codes whose words hold a date of the person: of a document, or the day on which they come of age."""
WITHHELD = "not shown to your role"

OUTCOMES: Mapping[Outcome, tuple[str, str]] = {
    Outcome.APPROVED: ("approved", "badge badge-good"),
    Outcome.DECLINED: ("declined", "badge badge-danger"),
    Outcome.UNAVAILABLE: ("unavailable", "badge badge-warning"),
}
"""Word and class of each outcome."""


@dataclass(frozen=True, kw_only=True)
class SearchForm:
    """What was asked for, as it was typed. mistake: of the day, None where it can be used."""

    name: str
    outcome: str
    merchant: str
    day: str
    is_thorough: bool
    before: str
    mistake: str | None = None

    @property
    def is_filtered(self) -> bool:
        """Whether anything was asked for."""
        return bool(self.name or self.outcome or self.merchant or self.day)

    def query(self, before: str) -> str:
        """The query of a link to a page of the same search; before: where it begins, empty for the first."""
        given = {
            "q": self.name,
            "outcome": self.outcome,
            "merchant": self.merchant,
            "day": self.day,
            "thorough": "1" if self.is_thorough else "",
            "before": before,
        }
        return urlencode({key: value for key, value in given.items() if value})


@dataclass(frozen=True, kw_only=True)
class ShownFact:
    """One line of what a decision rested on."""

    name: str
    value: str
    description: str


@dataclass(frozen=True, kw_only=True)
class ShownFeature:
    """A feature as it went into the model. value, usual: None where it was missing."""

    name: str
    description: str
    unit: str
    group: str
    value: float | None
    missing_means: str
    usual: float | None


@dataclass(frozen=True, kw_only=True)
class ShownFeatures:
    """All features. remark: why names or usual values are not there, None where they are."""

    features: tuple[ShownFeature, ...]
    remark: str | None


@dataclass(frozen=True, kw_only=True)
class ShownDifference:
    """A part of the answer that a replay gives otherwise."""

    name: str
    answered: str
    recomputed: str


@dataclass(frozen=True, kw_only=True)
class ShownReplay:
    """What came of a replay. problem: why there is none, None where there is one.

    ledger_not_compared: why the ledger was not asked, None where it was.
    """

    is_identical: bool
    differences: tuple[ShownDifference, ...] = ()
    ledger_differences: tuple[str, ...] = ()
    ledger_not_compared: str | None = None
    problem: str | None = None


async def search_page(page: PageRequest) -> Response:
    """The decisions that were asked for, the newest first, in pages."""
    form = _search_form(page)
    wanted = None if form.mistake else _filter(form, page)
    found = None
    if wanted is not None:
        before = form.before or None

        def find() -> Any:
            with page.scope.store.reading() as tx:
                return find_decisions(tx, wanted, before=before, limit=PAGE_SIZE)

        found = await page.access.read_beside(find)
    return page.render(
        "decisions.html",
        status=422 if form.mistake else 200,
        form=form,
        found=found,
        next_query=None if found is None or found.next_before is None else form.query(found.next_before),
        first_query=form.query(""),
        outcomes=[(outcome.value, OUTCOMES[outcome][0]) for outcome in OUTCOMES if _is_kept(outcome)],
        outcome_forms=OUTCOMES,
    )


def _is_kept(outcome: Outcome) -> bool:
    return outcome is not Outcome.UNAVAILABLE


def _search_form(page: PageRequest) -> SearchForm:
    given = page.request.query_params
    form = SearchForm(
        name=_cleaned(given.get("q", "")),
        outcome=given.get("outcome", "") if given.get("outcome") in {one.value for one in Outcome} else "",
        merchant=_cleaned(given.get("merchant", "")),
        day=_cleaned(given.get("day", "")),
        is_thorough=given.get("thorough") == "1",
        before=_cleaned(given.get("before", "")),
    )
    if form.day and _day(form.day) is None:
        return replace(form, mistake="Day: give a date such as 2026-03-01.")
    return form


def _cleaned(text: str) -> str:
    """What was typed, without what no id can hold; a database refuses some of it."""
    return "".join(letter for letter in text.strip() if letter.isprintable())[:NAME_MAXIMUM]


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if FIRST_YEAR <= day.year <= LAST_YEAR else None


def _filter(form: SearchForm, page: PageRequest) -> DecisionFilter:
    day = _day(form.day) if form.day else None
    zone = page.locale.zone
    return DecisionFilter(
        name=form.name if form.name and not form.is_thorough else None,
        customer_id=form.name if form.name and form.is_thorough else None,
        outcome=Outcome(form.outcome) if form.outcome else None,
        merchant_id=form.merchant or None,
        from_ms=None if day is None else start_of(day, zone),
        until_ms=None if day is None else start_of(day + timedelta(days=1), zone),
    )


async def decision_page(page: PageRequest) -> Response:
    """One decision with all that it rested on."""
    return await _shown(page, await _logged(page), None)


async def replay_page(page: PageRequest) -> Response:
    """The decision, computed again beside the running decisions."""
    logged = await _logged(page)
    registry = page.scope.watch.registry
    try:
        result = await page.access.read_beside(lambda: replay(page.scope.store, registry, logged.decision_id))
    except UnknownDecision as problem:
        # The decision is there, so it is its policy that was not kept.
        return await _shown(page, logged, ShownReplay(is_identical=False, problem=str(problem)))
    except ModelNotUsableError as problem:
        return await _shown(page, logged, ShownReplay(is_identical=False, problem=str(problem)))
    except RegistryUnreachableError:
        unreachable = "The model registry cannot be reached now. Try again."
        return await _shown(page, logged, ShownReplay(is_identical=False, problem=unreachable))
    return await _shown(page, logged, _replayed(result, logged, _sees_personal_data(page)))


async def _logged(page: PageRequest) -> LoggedDecision:
    decision_id = page.request.path_params["decision_id"]
    logged = None
    if _cleaned(decision_id) == decision_id:

        def read() -> LoggedDecision | None:
            with page.scope.store.reading() as tx:
                return decision_of(tx, decision_id)

        logged = await page.access.read(read)
    if logged is None:
        raise UnknownDecision(f"there is no decision {decision_id}")
    return logged


def _sees_personal_data(page: PageRequest) -> bool:
    return page.user.role in SEES_PERSONAL_DATA


async def _shown(page: PageRequest, logged: LoggedDecision, replayed: ShownReplay | None) -> Response:
    sees_all = _sees_personal_data(page)
    record = logged.record
    return page.render(
        "decision.html",
        decision=logged,
        outcome=OUTCOMES[Outcome(logged.outcome)],
        answer=_without_personal_texts(record["answer"], sees_all=sees_all),
        language=_language_of_texts(record["language"]),
        withheld=WITHHELD,
        order=record["order"],
        order_facts=_order_facts(record["order"], page.locale, sees_all=sees_all),
        applicant_facts=_applicant_facts(record["applicant"], sees_all=sees_all),
        standing=record["standing"],
        other_accounts=record.get("other_accounts", []),
        technical_reason=record["technical_reason"],
        raw_log_odds=record["raw_log_odds"],
        features=await _features(page, logged),
        sees_all=sees_all,
        replayed=replayed,
    )


def _without_personal_texts(answer: Mapping[str, Any], *, sees_all: bool) -> dict[str, Any]:
    """The answer; where the reader may not see a person's dates, without the words that hold one."""
    if sees_all:
        return dict(answer)
    return {
        **answer,
        **{
            part: [
                {**entry, "text": WITHHELD} if entry["code"] in TEXTS_WITH_PERSONAL_DATA else entry
                for entry in answer[part]
            ]
            for part in ("reasons", "recourse")
        },
    }


def _language_of_texts(language: str) -> str:
    """The language in which the answer's words are, for the reader of a screen."""
    return language if language in LANGUAGES else FALLBACK_LANGUAGE


def _order_facts(order: Mapping[str, Any], locale: Locale, *, sees_all: bool) -> list[ShownFact]:
    currency = str(order["currency"])
    return [
        ShownFact(
            name=name,
            value=locale.amount(value, currency) if name.endswith("_cents") else str(value),
            description=ORDER_FIELDS.get(name, ""),
        )
        for name, value in order.items()
        if value is not None and (sees_all or (name in ORDER_FIELDS and name not in PERSONAL_ORDER_FIELDS))
    ]


def _applicant_facts(applicant: Mapping[str, Any] | None, *, sees_all: bool) -> list[ShownFact]:
    return [
        ShownFact(
            name=name,
            value="not given" if value is None else _worded(value),
            description=APPLICANT_FIELDS.get(name, ""),
        )
        for name, value in (applicant or {}).items()
        if sees_all or name in APPLICANT_FIGURES
    ]


def _worded(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


async def _features(page: PageRequest, logged: LoggedDecision) -> ShownFeatures:
    """The features by name, with what was usual among customers who paid when the model was trained."""
    if logged.features is None or logged.model_name is None or logged.model_version is None:
        return ShownFeatures(features=(), remark="No model took part in this decision.")
    columns = next(
        (
            columns_of(feature_set.features)
            for feature_set in FEATURE_SETS.values()
            if (logged.feature_set_version or "").split("-")[0] == feature_set.version
        ),
        None,
    )
    remarks = []
    if columns is None:
        remarks.append(f"Feature set {logged.feature_set_version} is not the one that this release computes.")
    usual: Mapping[str, float | None] = {}
    try:
        model = await _model(page, logged.model_name, logged.model_version)
    except ModelNotUsableError as problem:
        remarks.append(f"What is usual is not known: {problem}")
    except RegistryUnreachableError:
        remarks.append("What is usual is not known: the model registry cannot be reached now.")
    else:
        usual, columns = model.typical_values, model.columns
    if columns is None or len(columns) != len(logged.features):
        remarks.append("The names of its features are not known; their values are shown in their order.")
        features = tuple(_unnamed(place, value) for place, value in enumerate(logged.features, 1))
    else:
        features = tuple(
            _shown_feature(column, value, usual.get(column.name))
            for column, value in zip(columns, logged.features, strict=True)
        )
    return ShownFeatures(features=features, remark=" ".join(remarks) or None)


def _shown_feature(column: ModelColumn, value: float, usual: float | None) -> ShownFeature:
    return ShownFeature(
        name=column.name,
        description=column.description,
        unit=column.unit,
        group=column.group,
        value=None if math.isnan(value) else value,
        missing_means=column.missing_means,
        usual=usual,
    )


def _unnamed(place: int, value: float) -> ShownFeature:
    return ShownFeature(
        name=f"feature {place}",
        description="",
        unit="",
        group="",
        value=None if math.isnan(value) else value,
        missing_means="",
        usual=None,
    )


async def _model(page: PageRequest, name: str, version: str) -> ReplayModel:
    """A model's version: the one in force, or from the registry. Raises as `load_for_replay`."""
    in_force = page.scope.model.model
    if in_force is not None and (in_force.name, in_force.version) == (name, version):
        return in_force
    registry = page.scope.watch.registry
    return await page.access.read_beside(lambda: _earlier_model(registry, name, version))


@lru_cache(maxsize=4)
def _earlier_model(registry: ModelRegistry, name: str, version: str) -> ReplayModel:
    """A version never changes, so one reading serves all who look at its decisions."""
    return registry.load_for_replay(name, version)


def _replayed(result: ReplayResult, logged: LoggedDecision, sees_all: bool) -> ShownReplay:
    answered = _without_personal_texts(result.answered, sees_all=sees_all)
    recomputed = _without_personal_texts(result.recomputed, sees_all=sees_all)
    return ShownReplay(
        is_identical=result.is_identical,
        differences=tuple(
            ShownDifference(
                name=name,
                answered=str(logged.record["raw_log_odds"])
                if name == "raw_log_odds"
                else str(answered.get(name)),
                recomputed="another value" if name == "raw_log_odds" else str(recomputed.get(name)),
            )
            for name in result.differences
        ),
        ledger_differences=result.ledger_differences,
        ledger_not_compared=result.ledger_not_compared,
    )


ROUTES: tuple[ConsoleRoute, ...] = (
    ConsoleRoute(path="/decisions", method="GET", roles=ROLES, page=search_page, title="Decisions"),
    ConsoleRoute(path="/decisions/{decision_id}", method="GET", roles=ROLES, page=decision_page),
    ConsoleRoute(path="/decisions/{decision_id}/replay", method="POST", roles=ROLES, page=replay_page),
)
