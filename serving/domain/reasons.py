"""Reasons: from the model's contributions to at most four main reasons, and their words.

A reason never contradicts the facts: "late payments" is named only to someone who paid late.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType

from data_contracts.currencies import amount_figure
from serving.domain.decision import AccountStanding, CreditAssessment, Reason, Recourse

MAXIMUM_REASONS = 4
FALLBACK_LANGUAGE = "en"

Values = Mapping[str, float]


def _value(values: Values, default: float, *names: str) -> float:
    """The value of the first of these features that the row has: releases name the same thing differently."""
    return next((values[name] for name in names if name in values), default)


_STANDS_ON: Mapping[str, Callable[[Values], bool]] = MappingProxyType(
    {
        "late_payments": lambda v: (
            _value(v, 1, "late_payment_days_sum_730d", "late_payment_count_730d") > 0
            or _value(v, 0, "reminder_count_365d") > 0
        ),
        "open_overdue": lambda v: _value(v, 1, "overdue_invoice_count_last") > 0,
        "unpaid_balances": lambda v: _value(v, 1, "outstanding_cents_last") > 0,
        "many_credit_inquiries": lambda v: _value(v, 1, "credit_inquiry_count_365d") > 0,
        "high_utilisation": lambda v: _value(v, 1, "limit_utilisation_ratio_mean_185d") > 0,
        "arrears_elsewhere": lambda v: (
            _value(v, 1, "statement_past_due_over_0d_count_185d") > 0
            or _value(v, 0, "account_days_past_due_sum_last") > 0
        ),
        "low_repayment": lambda v: _value(v, 0, "statement_paid_ratio_185d") < 1,
        "frequent_instalments": lambda v: (
            _value(v, 1, "open_instalment_count_last") > 0 or _value(v, 0, "instalment_opened_count_365d") > 0
        ),
    }
)
"""What must be true of a customer before a reason may be named; a feature set without the feature passes.

A feature that is renamed gets its new name beside the old one: decisions of earlier releases are replayed.
"""


def adverse_reasons(assessment: CreditAssessment, standing: AccountStanding) -> list[Reason]:
    """The main reasons of a low score, most decisive first, at most four, at least one."""
    values = {part.feature: part.value for part in assessment.contributions}
    weight: defaultdict[tuple[str, str], float] = defaultdict(float)
    for part in assessment.contributions:
        weight[part.reason_code, part.group] += part.contribution
    ranked = sorted(weight.items(), key=lambda entry: (-entry[1], entry[0]))
    reasons = [
        Reason(code=code, group=group)
        for (code, group), added in ranked
        if added > 0 and (code not in _STANDS_ON or _STANDS_ON[code](values))
    ]
    if standing.paid_invoice_count > 0:
        reasons = [reason for reason in reasons if reason.code != "short_payment_history"] or reasons
    if not reasons:
        reasons = [Reason(code="short_payment_history", group="payment_history")]
    return reasons[:MAXIMUM_REASONS]


_TEXTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "under_age": {
            "en": "Invoice is open to customers aged {minimum_age_years} and over.",
            "de": "Der Kauf auf Rechnung ist ab {minimum_age_years} Jahren möglich.",
        },
        "customer_unknown": {
            "en": "There is no verified account for this customer yet.",
            "de": "Für diese Kundin oder diesen Kunden gibt es noch kein geprüftes Konto.",
        },
        "no_residence": {
            "en": "No fixed residence is on record.",
            "de": "Es ist kein fester Wohnsitz hinterlegt.",
        },
        "country_not_offered": {
            "en": "Invoice is not offered in the country of residence.",
            "de": "Im Land des Wohnsitzes wird der Kauf auf Rechnung nicht angeboten.",
        },
        "open_arrears": {
            "en": "Invoice {invoice_id} over {outstanding_cents} is overdue and unpaid.",
            "de": "Die Rechnung {invoice_id} über {outstanding_cents} ist überfällig und nicht bezahlt.",
        },
        "identity_not_verified": {
            "en": "The identity check has not been finished.",
            "de": "Die Identitätsprüfung ist noch nicht abgeschlossen.",
        },
        "identity_document_expired": {
            "en": "The identity document expired on {expired_on}.",
            "de": "Das Ausweisdokument ist am {expired_on} abgelaufen.",
        },
        "email_not_confirmed": {
            "en": "The e-mail address has not been confirmed.",
            "de": "Die E-Mail-Adresse ist nicht bestätigt.",
        },
        "phone_not_confirmed": {
            "en": "The telephone number has not been confirmed.",
            "de": "Die Telefonnummer ist nicht bestätigt.",
        },
        "personal_data_not_current": {
            "en": "The personal data have not been confirmed recently.",
            "de": "Die persönlichen Daten sind nicht aktuell bestätigt.",
        },
        "implausible_detail": {
            "en": "This detail of the order is missing or cannot be right: {field}.",
            "de": "Diese Angabe der Bestellung fehlt oder kann nicht stimmen: {field}.",
        },
        "order_country_not_offered": {
            "en": "Invoice is not offered for addresses in {country}: {field}.",
            "de": "Für Adressen im Land {country} wird der Kauf auf Rechnung nicht angeboten: {field}.",
        },
        "other_currency": {
            "en": "Invoice is offered in {currency} only.",
            "de": "Der Kauf auf Rechnung ist nur in {currency} möglich.",
        },
        "amount_too_small": {
            "en": "Invoice is offered from {minimum_order_cents} on.",
            "de": "Der Kauf auf Rechnung ist ab {minimum_order_cents} möglich.",
        },
        "amount_too_large": {
            "en": "Invoice is offered up to {maximum_order_cents}.",
            "de": "Der Kauf auf Rechnung ist bis {maximum_order_cents} möglich.",
        },
        "credit_limit": {
            "en": "The order is above the available limit of {available_cents}.",
            "de": "Die Bestellung übersteigt den verfügbaren Rahmen von {available_cents}.",
        },
        "limit_grows_with_repayment": {
            "en": "The limit grows with what was repaid: {available_cents} is available now. "
            "An invoice counts {counts_after_days} days after it was paid.",
            "de": "Der Rahmen wächst mit dem, was zurückgezahlt wurde: "
            "Verfügbar sind jetzt {available_cents}. "
            "Eine Rechnung zählt {counts_after_days} Tage nach ihrer Bezahlung.",
        },
        "merchant_order_amount": {
            "en": "An order that the shop places itself is possible up to {available_cents} at the moment.",
            "de": "Eine Bestellung, die der Händler selbst aufgibt, ist zurzeit bis {available_cents} "
            "möglich.",
        },
        "merchant_orders_open": {
            "en": "Other orders that were begun at this shop are not finished yet.",
            "de": "Andere bei diesem Händler begonnene Bestellungen sind noch nicht abgeschlossen.",
        },
        "late_payments": {
            "en": "Invoices were paid late in the past.",
            "de": "Rechnungen wurden in der Vergangenheit verspätet bezahlt.",
        },
        "open_overdue": {"en": "Invoices are overdue now.", "de": "Es sind Rechnungen überfällig."},
        "unpaid_balances": {
            "en": "A large part of recent invoices is still unpaid.",
            "de": "Ein großer Teil der letzten Rechnungen ist noch offen.",
        },
        "short_payment_history": {
            "en": "There is little payment history with us yet.",
            "de": "Es liegt noch wenig Zahlungserfahrung mit uns vor.",
        },
        "many_credit_inquiries": {
            "en": "There were frequent credit inquiries lately.",
            "de": "Es gab zuletzt häufige Kreditanfragen.",
        },
        "high_utilisation": {
            "en": "The limits of credit accounts are used to a high or changing degree.",
            "de": "Die Rahmen der Kreditkonten sind stark oder schwankend ausgeschöpft.",
        },
        "low_repayment": {
            "en": "Little of the balances of credit accounts is paid back each month.",
            "de": "Von den Salden der Kreditkonten wird monatlich wenig zurückgezahlt.",
        },
        "arrears_elsewhere": {
            "en": "Credit accounts elsewhere are or were in arrears.",
            "de": "Kreditkonten bei anderen Anbietern sind oder waren im Rückstand.",
        },
        "frequent_instalments": {
            "en": "Instalment credits were taken up frequently.",
            "de": "Es wurden häufig Ratenkredite aufgenommen.",
        },
        "young_accounts": {
            "en": "The accounts have existed for a short time only.",
            "de": "Die Konten bestehen erst seit kurzer Zeit.",
        },
        "few_accounts": {
            "en": "Few credit accounts are known.",
            "de": "Es sind wenige Kreditkonten bekannt.",
        },
        "no_model": {
            "en": "Invoice cannot be offered right now for technical reasons. This says nothing about you.",
            "de": "Der Kauf auf Rechnung ist gerade aus technischen Gründen nicht möglich. "
            "Das sagt nichts über Sie aus.",
        },
        "no_policy": {
            "en": "Invoice cannot be offered right now for technical reasons. This says nothing about you.",
            "de": "Der Kauf auf Rechnung ist gerade aus technischen Gründen nicht möglich. "
            "Das sagt nichts über Sie aus.",
        },
        "no_store": {
            "en": "Invoice cannot be offered right now for technical reasons. This says nothing about you.",
            "de": "Der Kauf auf Rechnung ist gerade aus technischen Gründen nicht möglich. "
            "Das sagt nichts über Sie aus.",
        },
        "service_incomplete": {
            "en": "Invoice cannot be offered right now for technical reasons. This says nothing about you.",
            "de": "Der Kauf auf Rechnung ist gerade aus technischen Gründen nicht möglich. "
            "Das sagt nichts über Sie aus.",
        },
    }
)

_RECOURSE_TEXTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "settle_invoice": {
            "en": "Settle invoice {invoice_id} ({outstanding_cents}).",
            "de": "Rechnung {invoice_id} ({outstanding_cents}) begleichen.",
        },
        "verify_identity": {"en": "Finish the identity check.", "de": "Die Identitätsprüfung abschließen."},
        "confirm_email": {"en": "Confirm the e-mail address.", "de": "Die E-Mail-Adresse bestätigen."},
        "confirm_phone": {"en": "Confirm the telephone number.", "de": "Die Telefonnummer bestätigen."},
        "confirm_personal_data": {
            "en": "Confirm that the personal data are current.",
            "de": "Bestätigen, dass die persönlichen Daten aktuell sind.",
        },
        "order_in_currency": {"en": "Order in {currency}.", "de": "In {currency} bestellen."},
        "stay_under_amount": {
            "en": "Stay at or below {amount_cents}.",
            "de": "Bei höchstens {amount_cents} bleiben.",
        },
        "reach_amount": {
            "en": "Order for at least {amount_cents}.",
            "de": "Für mindestens {amount_cents} bestellen.",
        },
        "finish_open_orders": {
            "en": "Finish or cancel the orders that were begun at this shop, or wait {unconfirmed_minutes} "
            "minutes.",
            "de": "Die bei diesem Händler begonnenen Bestellungen abschließen oder stornieren, oder "
            "{unconfirmed_minutes} Minuten warten.",
        },
        "wait_for_age": {
            "en": "Invoice is possible from {from_date} on.",
            "de": "Der Kauf auf Rechnung ist ab dem {from_date} möglich.",
        },
        "correct_field": {
            "en": "Check and correct: {field}.",
            "de": "Bitte prüfen und berichtigen: {field}.",
        },
        "order_to_offered_country": {
            "en": "Choose an address in a country where invoice is offered: {field}.",
            "de": "Eine Adresse in einem Land wählen, in dem der Kauf auf Rechnung angeboten wird: {field}.",
        },
        "open_account": {
            "en": "Open an account and finish its verification.",
            "de": "Ein Konto eröffnen und die Prüfung abschließen.",
        },
    }
)

_FIELD_WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "en": {
            "delivery": "delivery",
            "billing": "billing",
            "contact": "contact",
            "name": "full name",
            "street": "street",
            "house_number": "house number",
            "postal_code": "postal code",
            "city": "city",
            "country": "country",
            "email": "e-mail",
            "phone": "telephone",
        },
        "de": {
            "delivery": "Lieferung",
            "billing": "Rechnung",
            "contact": "Kontakt",
            "name": "Vor- und Nachname",
            "street": "Straße",
            "house_number": "Hausnummer",
            "postal_code": "Postleitzahl",
            "city": "Ort",
            "country": "Land",
            "email": "E-Mail",
            "phone": "Telefon",
        },
    }
)

REASON_CODES = frozenset(_TEXTS)
RECOURSE_CODES = frozenset(_RECOURSE_TEXTS)
LANGUAGES = ("de", "en")


def reason_text(reason: Reason, language: str) -> str:
    """A reason in the customer's language, in English where we have no words in it."""
    return _worded(_TEXTS[reason.code], reason.field, dict(reason.data), language)


def recourse_text(recourse: Recourse, language: str) -> str:
    """A step in the customer's language, in English where we have no words in it."""
    data = dict(recourse.data)
    for name in ("available_cents", "maximum_order_cents", "minimum_order_cents"):
        if name in data:
            data["amount_cents"] = data[name]
    return _worded(_RECOURSE_TEXTS[recourse.code], recourse.field, data, language)


def _worded(texts: Mapping[str, str], field: str | None, data: dict[str, str | int], language: str) -> str:
    language = language if language in texts else FALLBACK_LANGUAGE
    currency = str(data.get("currency", ""))
    words: dict[str, str] = {"field": _field_words(field, language)}
    for name, value in data.items():
        if name.endswith("_cents"):
            words[name] = amount_text(int(value), currency, language)
        elif name in {"from_date", "expired_on"}:
            words[name] = date_text(date.fromisoformat(str(value)), language)
        else:
            words[name] = str(value)
    return texts[language].format_map(words)


def _field_words(field: str | None, language: str) -> str:
    names = _FIELD_WORDS[language]
    return ", ".join(names.get(part, part) for part in (field or "").split("/") if part)


def amount_text(cents: int, currency: str, language: str) -> str:
    """An amount of minor units in local form.

    >>> amount_text(123456, "EUR", "de"), amount_text(123456, "EUR", "en"), amount_text(1234, "JPY", "de")
    ('1.234,56 EUR', 'EUR 1,234.56', '1.234 JPY')
    """
    if language == "de":
        return f"{amount_figure(cents, currency, thousands='.', decimal=',')} {currency}".strip()
    return f"{currency} {amount_figure(cents, currency)}".strip()


def date_text(day: date, language: str) -> str:
    """A date in local form.

    >>> date_text(date(2026, 3, 1), "de"), date_text(date(2026, 3, 1), "en")
    ('01.03.2026', '1 March 2026')
    """
    if language == "de":
        return day.strftime("%d.%m.%Y")
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
