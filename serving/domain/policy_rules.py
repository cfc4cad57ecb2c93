"""Knock-out rules: each gives the failures it finds, and needs no model. Their order is data.

Every rule is evaluated and every failure recorded. The order of KNOCK_OUT_RULES is the order in
which failures are named to the customer: first who may use invoice at all, then what can be mended.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta

import msgspec

from serving.domain.decision import AccountStanding, Applicant, Order, RuleFailure
from serving.domain.policy import CountryPolicy, Policy


class RuleInput(msgspec.Struct, frozen=True, kw_only=True):
    """What a knock-out rule looks at.

    applicant: None when the customer is unknown to us. standing: None when history cannot be read.
    as_of: aware UTC. local_date: the date at the residence, or in UTC when no residence is known.
    implausible_fields: JSON pointers to the order's details that cannot be right.
    names_amounts_as_ordered: in the order's currency whatever their own is, as earlier judgements did.
    judges_countries_of_order: by a rule of their own; earlier ones called such an address implausible.
    """

    order: Order
    applicant: Applicant | None
    standing: AccountStanding | None
    policy: Policy
    as_of: datetime
    local_date: date
    implausible_fields: tuple[str, ...]
    names_amounts_as_ordered: bool = False
    judges_countries_of_order: bool = True

    @property
    def named_currency(self) -> str:
        """In which the policy's amounts are named."""
        if self.names_amounts_as_ordered:
            return self.order.currency
        return currency_of_limits(self.order.currency, self.applicant, self.policy)


IMPLAUSIBLE_DETAIL = "implausible_detail"

Rule = Callable[[RuleInput], list[RuleFailure]]


def completed_years(birth_date: date, on: date) -> int:
    """Whole years of age on a day.

    Who was born on 29 February completes a year with the end of 28 February, so is a year older on
    1 March of a common year.

    >>> completed_years(date(2008, 2, 29), date(2026, 2, 28))
    17
    >>> completed_years(date(2008, 2, 29), date(2026, 3, 1))
    18
    """
    before_birthday = (on.month, on.day) < (birth_date.month, birth_date.day)
    return on.year - birth_date.year - before_birthday


def birthday(birth_date: date, years: int) -> date:
    """The first day on which a person is so many years old, by the rule of `completed_years`."""
    year = birth_date.year + years
    is_leap_day = (birth_date.month, birth_date.day) == (2, 29)
    if is_leap_day and not _is_leap(year):
        return date(year, 3, 1)
    return birth_date.replace(year=year)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def residence_of(applicant: Applicant | None, policy: Policy) -> CountryPolicy | None:
    """The policy of the customer's country of residence, None where invoice is not offered."""
    if applicant is None or applicant.residence_country is None:
        return None
    return policy.countries.get(applicant.residence_country)


def currency_of_limits(order_currency: str, applicant: Applicant | None, policy: Policy) -> str:
    """Of the policy's amounts for a customer: that of the residence, the order's where none is known."""
    country = residence_of(applicant, policy)
    return order_currency if country is None else country.currency


def customer_unknown(given: RuleInput) -> list[RuleFailure]:
    """The customer has no account with us yet."""
    if given.applicant is not None:
        return []
    return [RuleFailure(code="customer_unknown", group="verification", field="/customer_id")]


def under_age(given: RuleInput) -> list[RuleFailure]:
    """The customer has not reached the minimum age on the local day of the order."""
    if given.applicant is None:
        return []
    if completed_years(given.applicant.birth_date, given.local_date) >= given.policy.minimum_age_years:
        return []
    from_day = birthday(given.applicant.birth_date, given.policy.minimum_age_years)
    data = (("minimum_age_years", given.policy.minimum_age_years), ("from_date", from_day.isoformat()))
    return [RuleFailure(code="under_age", group="age", field="birth_date", data=data)]


def residence_not_offered(given: RuleInput) -> list[RuleFailure]:
    """No fixed residence, or one in a country where invoice is not offered."""
    if given.applicant is None or residence_of(given.applicant, given.policy) is not None:
        return []
    code = "no_residence" if given.applicant.residence_country is None else "country_not_offered"
    return [RuleFailure(code=code, group="residence", field="residence_country")]


def identity_not_verified(given: RuleInput) -> list[RuleFailure]:
    """The identity document was not checked, or is past its last day of validity."""
    if given.applicant is None:
        return []
    expires_on = given.applicant.identity_document_expires_on
    if given.applicant.identity_status != "verified" or expires_on is None:
        return [RuleFailure(code="identity_not_verified", group="verification", field="identity_status")]
    if expires_on < given.local_date:
        data = (("expired_on", expires_on.isoformat()),)
        return [
            RuleFailure(
                code="identity_document_expired",
                group="verification",
                field="identity_document_expires_on",
                data=data,
            )
        ]
    return []


def contact_not_confirmed(given: RuleInput) -> list[RuleFailure]:
    """E-mail or telephone were not confirmed."""
    if given.applicant is None:
        return []
    failures = []
    if not given.applicant.email_confirmed:
        failures.append(RuleFailure(code="email_not_confirmed", group="verification", field="email"))
    if not given.applicant.phone_confirmed:
        failures.append(RuleFailure(code="phone_not_confirmed", group="verification", field="phone"))
    return failures


def personal_data_not_current(given: RuleInput) -> list[RuleFailure]:
    """The customer confirmed the personal data never, or too long ago."""
    if given.applicant is None:
        return []
    confirmed_at = given.applicant.personal_data_confirmed_at
    valid = timedelta(days=given.policy.personal_data_valid_days)
    if confirmed_at is not None and given.as_of - confirmed_at <= valid:
        return []
    return [
        RuleFailure(
            code="personal_data_not_current", group="verification", field="personal_data_confirmed_at"
        )
    ]


def open_arrears(given: RuleInput) -> list[RuleFailure]:
    """An overdue, unpaused invoice above the tolerance; each such invoice is one failure."""
    if given.standing is None:
        return []
    return [
        RuleFailure(
            code="open_arrears",
            group="arrears",
            field=None,
            data=(
                ("invoice_id", invoice.invoice_id),
                ("outstanding_cents", invoice.outstanding_cents),
                ("days_past_due", invoice.days_past_due),
                ("currency", invoice.currency or given.order.currency),
            ),
        )
        for invoice in given.standing.overdue_invoices
        if not invoice.paused and invoice.outstanding_cents > given.policy.materiality_cents
    ]


def other_currency(given: RuleInput) -> list[RuleFailure]:
    """The order's currency is not that of the customer's limit."""
    country = residence_of(given.applicant, given.policy)
    if country is None or country.currency == given.order.currency:
        return []
    data = (("currency", country.currency),)
    return [RuleFailure(code="other_currency", group="order_details", field="/currency", data=data)]


def amount_out_of_range(given: RuleInput) -> list[RuleFailure]:
    """The order is smaller or larger than invoice is offered for."""
    amount, policy = given.order.amount_cents, given.policy
    if amount < policy.minimum_order_cents:
        data = (("minimum_order_cents", policy.minimum_order_cents), ("currency", given.named_currency))
        return [RuleFailure(code="amount_too_small", group="order_details", field="/amount_cents", data=data)]
    if amount > policy.maximum_order_cents:
        data = (("maximum_order_cents", policy.maximum_order_cents), ("currency", given.named_currency))
        return [RuleFailure(code="amount_too_large", group="order_details", field="/amount_cents", data=data)]
    return []


def implausible_details(given: RuleInput) -> list[RuleFailure]:
    """A name, address or contact that cannot be right; each says which field."""
    return [
        RuleFailure(code=IMPLAUSIBLE_DETAIL, group="order_details", field=field)
        for field in given.implausible_fields
    ]


def order_country_not_offered(given: RuleInput) -> list[RuleFailure]:
    """An address of the order in a country where invoice is not offered: each country once.

    That of the residence was named by its own rule, and a country that does not exist by another one.
    """
    if not given.judges_countries_of_order:
        return []
    order, countries = given.order, given.policy.countries
    named = {None if given.applicant is None else given.applicant.residence_country}
    failures = []
    for group, address in (("delivery", order.delivery), ("billing", order.billing)):
        field = f"/{group}/country"
        if address.country in countries or address.country in named or field in given.implausible_fields:
            continue
        named.add(address.country)
        data = (("country", address.country),)
        failures.append(
            RuleFailure(code="order_country_not_offered", group="order_details", field=field, data=data)
        )
    return failures


KNOCK_OUT_RULES: tuple[Rule, ...] = (
    under_age,
    customer_unknown,
    residence_not_offered,
    open_arrears,
    identity_not_verified,
    contact_not_confirmed,
    personal_data_not_current,
    implausible_details,
    order_country_not_offered,
    other_currency,
    amount_out_of_range,
)


def failed_rules(given: RuleInput) -> tuple[RuleFailure, ...]:
    """Every failure of every knock-out rule, in the order of the rules."""
    return tuple(failure for rule in KNOCK_OUT_RULES for failure in rule(given))
