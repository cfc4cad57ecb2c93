"""A decision: all that it rested on, and its replay.

Personal data are shown to the roles that work on orders; an analyst sees features, reasons and figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from data_contracts.customers import CUSTOMERS
from data_contracts.orders import ORDERS
from serving.checkout.replay import DecisionDamagedError, ReplayResult, replay
from serving.console.decision_features import features_of
from serving.console.locale_forms import Locale
from serving.console.page_request import ConsoleRoute, PageRequest
from serving.domain.console_user import ConsoleRole
from serving.domain.decision import Outcome
from serving.domain.errors import UnknownDecision
from serving.domain.reasons import LANGUAGES
from serving.domain.text_files import FALLBACK_LANGUAGE
from serving.in_force.model_watch import RegistryUnreachableError
from serving.in_force.scorer import ModelNotUsableError
from serving.store.decision_log import LoggedDecision, decision_of

NAME_MAXIMUM = 200
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
class ShownFact:
    """One line of what a decision rested on."""

    name: str
    value: str
    description: str


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


def typed_text(text: str) -> str:
    """What was typed, without what no id can hold; a database refuses some of it."""
    return "".join(letter for letter in text.strip() if letter.isprintable())[:NAME_MAXIMUM]


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
    except (ModelNotUsableError, DecisionDamagedError) as problem:
        return await _shown(page, logged, ShownReplay(is_identical=False, problem=str(problem)))
    except RegistryUnreachableError:
        unreachable = "The model registry cannot be reached now. Try again."
        return await _shown(page, logged, ShownReplay(is_identical=False, problem=unreachable))
    return await _shown(page, logged, _replayed(result, logged, _sees_personal_data(page)))


async def _logged(page: PageRequest) -> LoggedDecision:
    decision_id = page.request.path_params["decision_id"]
    logged = None
    if typed_text(decision_id) == decision_id:

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
        amendment=record.get("amendment"),
        other_accounts=record.get("other_accounts", []),
        technical_reason=record["technical_reason"],
        raw_log_odds=record["raw_log_odds"],
        features=await features_of(page, logged),
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
    ConsoleRoute(path="/decisions/{decision_id}", method="GET", roles=ROLES, page=decision_page),
    ConsoleRoute(path="/decisions/{decision_id}/replay", method="POST", roles=ROLES, page=replay_page),
)
