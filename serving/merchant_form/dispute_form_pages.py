"""The page of a dispute for its merchant as HTML: from a view and a language, without a clock or a store."""

from functools import partial

from data_contracts.instants import moment
from serving.disputes.dispute_answers import GivenUpPart
from serving.domain.dispute import DisputeState, Party
from serving.domain.dispute_answer import DisputeAnswer, DisputeAnswerKind
from serving.domain.local_forms import local_amount, local_instant
from serving.domain.merchant_answer import FieldMistake
from serving.domain.merchant_texts import field_label, merchant_text
from serving.merchant_form.dispute_form_body import EnteredDisputeAnswer
from serving.merchant_form.dispute_form_view import DisputeFormView
from serving.merchant_form.form_pages import ShownAnswer, ShownMistake, mistake_text, render_page

FILE_NAME, FILE_REFUSED, PART_REQUIRED = "file_name", "file_refused", "part_required"
MEBIBYTE = 1024 * 1024
_FIRST_OF_GROUP = {
    "kind": f"kind-{next(iter(DisputeAnswerKind)).value}",
    "part": f"part-{GivenUpPart.WHOLE_ORDER.value}",
}


def dispute_form_page(
    view: DisputeFormView,
    language: str,
    *,
    entered: EnteredDisputeAnswer | None = None,
    mistakes: tuple[FieldMistake, ...] = (),
    own_mistakes: tuple[tuple[str, str], ...] = (),
    refusal: str | None = None,
    sent: str | None = None,
) -> str:
    """The page.

    entered: what to show in the fields; None on a page that was only opened, which shows the last answer
        where the same again would say nothing new.
    own_mistakes: field and code of what is wrong with a file or with giving in.
    refusal, sent: the code of the text that says why nothing was taken, or that something was.
    """
    dispute = view.dispute
    shown = _shown(view, language, mistakes, own_mistakes)
    limits = {"maximum": _mebibytes(view), "files": str(view.policy.evidence_files)}
    whole = merchant_text("dispute_form.part_whole", language)
    parts = [(GivenUpPart.WHOLE_ORDER.value, whole)]
    if dispute.disputed_cents is not None:
        amount = local_amount(dispute.disputed_cents, dispute.currency, language)
        disputed = merchant_text("dispute_form.part_disputed", language, amount=amount)
        parts.insert(0, (GivenUpPart.DISPUTED_PART.value, disputed))
    return render_page(
        "dispute.html",
        language,
        heading=merchant_text("dispute_form.heading", language, order_id=dispute.order_name),
        sandbox=None
        if view.sandbox_now_ms is None
        else merchant_text("form.sandbox", language, time=_instant(view, view.sandbox_now_ms, language)),
        facts=_facts(view, language),
        situation=_situation(view, language),
        customer_text=dispute.text,
        decision=dispute.decision_text,
        questions=[
            (question.text, _instant(view, question.asked_at_ms, language))
            for question in dispute.questions
            if question.to is Party.MERCHANT
        ],
        answers=[_answer(view, given, language) for given in dispute.answers],
        files=[(file.name, _instant(view, file.added_at_ms, language)) for file in view.files],
        takes_answer=view.takes_answer,
        takes_giving_in=view.takes_giving_in,
        offered=[(kind.value, answer_words(kind, language)) for kind in DisputeAnswerKind],
        parts=parts,
        entered=entered or _same_again(view),
        mistakes=shown,
        mistake_of={mistake.field: mistake.text for mistake in shown},
        refusal=None if refusal is None else merchant_text(refusal, language),
        sent=None if sent is None else merchant_text(sent, language),
        file_hint=merchant_text("dispute_form.file_hint", language, **limits),
        field_label=partial(field_label, language=language),
    )


def answer_words(kind: DisputeAnswerKind, language: str) -> str:
    """How an answer to a dispute is offered."""
    return merchant_text(f"dispute_answer.{kind.value}", language)


def amount_words(amount_cents: int | None, currency: str, language: str) -> str:
    """What is disputed: an amount, or the whole order."""
    if amount_cents is None:
        return merchant_text("dispute_amount.whole_order", language)
    return local_amount(amount_cents, currency, language)


def _same_again(view: DisputeFormView) -> EnteredDisputeAnswer:
    """The last answer, so that only a file can be added; nothing where another answer is asked for."""
    if not view.dispute.answers or view.dispute.state is DisputeState.AWAITING_MERCHANT:
        return EnteredDisputeAnswer()
    last = view.dispute.answers[-1]
    return EnteredDisputeAnswer(
        kind=last.kind.value, text=last.text, carrier=last.carrier, tracking_number=last.tracking_number
    )


def _mebibytes(view: DisputeFormView) -> str:
    whole, rest = divmod(view.policy.evidence_file_bytes, MEBIBYTE)
    return str(whole) if not rest else f"{view.policy.evidence_file_bytes / MEBIBYTE:.2g}"


def _instant(view: DisputeFormView, at_ms: int, language: str) -> str:
    return local_instant(moment(at_ms).astimezone(view.zone), language)


def _facts(view: DisputeFormView, language: str) -> list[str]:
    dispute = view.dispute
    facts = [
        merchant_text(
            "dispute_form.introduction",
            language,
            provider_name=view.provider_name,
            merchant_name=view.merchant_name,
        )
    ]
    if view.order_cents is not None:
        amount = local_amount(view.order_cents, dispute.currency, language)
        facts.append(merchant_text("dispute_form.order_amount", language, amount=amount))
    amount = amount_words(dispute.disputed_cents, dispute.currency, language)
    facts.append(merchant_text("dispute_form.amount", language, amount=amount))
    reason = merchant_text(f"dispute_reason.{dispute.reason.value}", language)
    facts.append(merchant_text("dispute_form.reason", language, reason=reason))
    return facts


def _situation(view: DisputeFormView, language: str) -> list[str]:
    """Where the dispute stands, and until when somebody has time."""
    dispute = view.dispute
    if not dispute.is_closed:
        code = "passed" if view.has_run_out else dispute.state.value
        deadline = "" if dispute.due_at_ms is None else _instant(view, dispute.due_at_ms, language)
        return [merchant_text(f"dispute_form.{code}", language, deadline=deadline)]
    lines = []
    if dispute.outcome is not None:
        lines.append(merchant_text(f"dispute_form.closed_{dispute.outcome.value}", language))
    taken_off_cents = dispute.credited_cents + dispute.refunded_cents
    if taken_off_cents:
        amount = local_amount(taken_off_cents, dispute.currency, language)
        lines.append(merchant_text("dispute_form.taken_off", language, amount=amount))
    return lines


def _answer(view: DisputeFormView, given: DisputeAnswer, language: str) -> ShownAnswer:
    received = merchant_text(
        "form.answered_at", language, time=_instant(view, given.answered_at_ms, language)
    )
    return ShownAnswer(
        label=answer_words(given.kind, language),
        received=received,
        carrier=given.carrier,
        tracking_number=given.tracking_number,
        note=given.text,
    )


def _shown(
    view: DisputeFormView,
    language: str,
    mistakes: tuple[FieldMistake, ...],
    own_mistakes: tuple[tuple[str, str], ...],
) -> list[ShownMistake]:
    limits = {"maximum": _mebibytes(view), "files": str(view.policy.evidence_files)}
    texts = [(mistake.field, mistake_text(mistake, language)) for mistake in mistakes]
    texts += [(field, merchant_text(f"error.{code}", language, **limits)) for field, code in own_mistakes]
    return [
        ShownMistake(field=field, anchor=_FIRST_OF_GROUP.get(field, field), text=text)
        for field, text in texts
    ]
