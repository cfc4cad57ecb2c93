"""The pages of the merchant's form as HTML: from a view and a language, without a clock or a store."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from data_contracts.instants import moment
from serving.domain.local_forms import local_amount, local_instant
from serving.domain.merchant_answer import AnswerKind, FieldMistake, MistakeCode
from serving.domain.merchant_texts import answer_label, consequence_text, field_label, merchant_text
from serving.domain.stop_request import StopRequestState
from serving.domain.text_files import LANGUAGE_NAMES
from serving.merchant_form.form_body import EnteredAnswer
from serving.merchant_form.form_view import FormView

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "form.css").read_text(encoding="utf-8")
_STYLE_SHA256 = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

SECURITY_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{_STYLE_SHA256}'; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "X-Robots-Tag": "noindex",
    }
)
"""What every answer carries. No referrer, since the address of the page is the key to it."""


@dataclass(frozen=True, kw_only=True)
class ShownMistake:
    """A mistake as it is shown. anchor: the id of the field that a link leads to."""

    field: str
    anchor: str
    text: str


@dataclass(frozen=True, kw_only=True)
class ShownAnswer:
    """An answer that was given, as it is shown. carrier, tracking_number, note: None where not given."""

    label: str
    received: str
    carrier: str | None
    tracking_number: str | None
    note: str | None


def form_page(
    view: FormView,
    language: str,
    *,
    entered: EnteredAnswer | None = None,
    mistakes: tuple[FieldMistake, ...] = (),
    refusal: str | None = None,
    is_repeated: bool = False,
) -> str:
    """The page of a stop request.

    entered: what to show in the fields; None on a page that was only opened.
    refusal: the code of the text that says why an answer was not taken.
    is_repeated: whether to say that the last answer was known already.
    """
    if view.is_withdrawn:
        return render_page(
            "problem.html",
            language,
            heading=merchant_text("email_withdrawn.subject", language, order_id=view.request.order_name),
            explanation=merchant_text("error.request_withdrawn", language),
            has_way_back=False,
            sandbox=_sandbox(view, language),
        )
    shown = _shown(mistakes, view, language)
    current = view.request.current_answer
    kind = entered.kind if entered is not None else None
    if kind not in {offered.value for offered in view.offered}:
        kind = None if current is None else current.kind.value
    return render_page(
        "form.html",
        language,
        heading=merchant_text("form.heading", language, order_id=view.request.order_name),
        facts=_facts(view, language),
        answers=_answers(view, language),
        follows=[consequence_text(code, language) for code in view.follows],
        mistakes=shown,
        mistake_of={mistake.field: mistake.text for mistake in shown},
        refusal=None if refusal is None else merchant_text(refusal, language),
        repeated=merchant_text("error.already_answered", language) if is_repeated else None,
        offered=[(kind.value, answer_label(kind, language)) for kind in view.offered],
        kind=kind,
        asks_shipment=_asks_shipment(view, mistakes),
        shipment_only_for=merchant_text(
            "form.shipment_only_for",
            language,
            answer=answer_label(AnswerKind.SHIPPED_WITH_TRACKING, language),
        ),
        entered=entered or EnteredAnswer(),
        field_label=partial(field_label, language=language),
        sandbox=_sandbox(view, language),
    )


def problem_page(language: str, *, heading: str, text: str, has_way_back: bool) -> str:
    """A page that says why there is nothing else to see. heading, text: codes of texts."""
    return render_page(
        "problem.html",
        language,
        heading=merchant_text(heading, language),
        explanation=merchant_text(text, language),
        has_way_back=has_way_back,
        sandbox=None,
    )


def render_page(template: str, language: str, **values: Any) -> str:
    """A page from a template, with the style, the languages and `text(code)`."""
    text: Callable[..., str] = partial(_text, language)
    return _ENVIRONMENT.get_template(template).render(
        language=language,
        languages=LANGUAGE_NAMES,
        style=Markup(_STYLE),  # noqa: S704 - our own file
        text=text,
        **values,
    )


def _text(language: str, code: str) -> str:
    return merchant_text(code, language)


def _local_instant(at_ms: int, view: FormView, language: str) -> str:
    return local_instant(moment(at_ms).astimezone(view.zone), language)


def _sandbox(view: FormView, language: str) -> str | None:
    if view.sandbox_now_ms is None:
        return None
    return merchant_text("form.sandbox", language, time=_local_instant(view.sandbox_now_ms, view, language))


def _facts(view: FormView, language: str) -> list[str]:
    request = view.request
    due_at_ms = request.answer_due_at_ms
    values = {
        "provider_name": view.provider_name,
        "merchant_name": view.merchant_name,
        "customer_service": view.customer_service,
        "amount": local_amount(view.amount_cents, view.currency, language),
        "deadline": "" if due_at_ms is None else _local_instant(due_at_ms, view, language),
        "hours": str(view.answer_hours),
    }
    codes = ["form.introduction", "form.amount"]
    if request.state is StopRequestState.EXPIRED:
        codes.append("form.deadline_passed")
    elif request.state is StopRequestState.REQUESTED:
        # The clock starts with the first delivery, which may not have been noted yet.
        codes.append("form.deadline_hours" if due_at_ms is None else "form.deadline")
    codes.append("form.customer_referral")
    return [merchant_text(code, language, **values) for code in codes]


def _answers(view: FormView, language: str) -> list[ShownAnswer]:
    return [
        ShownAnswer(
            label=answer_label(given.kind, language),
            received=merchant_text(
                "form.answered_at", language, time=_local_instant(given.answered_at_ms, view, language)
            ),
            carrier=given.carrier,
            tracking_number=given.tracking_number,
            note=given.note,
        )
        for given in view.request.answers
    ]


def _shown(mistakes: tuple[FieldMistake, ...], view: FormView, language: str) -> list[ShownMistake]:
    return [
        ShownMistake(
            field=mistake.field,
            anchor=f"kind-{view.offered[0].value}" if mistake.field == "kind" else mistake.field,
            text=mistake_text(mistake, language),
        )
        for mistake in mistakes
    ]


def mistake_text(mistake: FieldMistake, language: str) -> str:
    """What is wrong with a field, in words."""
    if mistake.code is MistakeCode.ANSWER_REQUIRED:
        return merchant_text("error.answer_required", language)
    return merchant_text(
        f"error.{mistake.code.value}",
        language,
        field=field_label(mistake.field, language),
        maximum=str(mistake.maximum),
    )


def _asks_shipment(view: FormView, mistakes: tuple[FieldMistake, ...]) -> bool:
    """Whether carrier and tracking number are asked for: where they can be given, or were wrongly given."""
    current = view.request.current_answer
    is_known = current is not None and current.kind is AnswerKind.SHIPPED_WITH_TRACKING
    can_be_given = AnswerKind.SHIPPED_WITH_TRACKING in view.offered and not is_known
    return can_be_given or any(mistake.field in {"carrier", "tracking_number"} for mistake in mistakes)
