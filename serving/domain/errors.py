"""Exceptions of the domain; one place at the HTTP edge knows their status codes.

RiskError
├── PolicyInvalid             a policy file breaks rules; every mistake is named
├── TextsInvalid              the texts of a language break rules; every mistake is named
├── UnknownCalendar           the holidays of a country or a part of it, or a time zone, are not known
├── OrderAlreadyConfirmed     a confirmed order cannot be scored again
├── OrderAlreadyClosed        an invoiced or cancelled order cannot be confirmed, cancelled or scored
├── OrderOfAnotherCustomer    the same order id came with another customer or merchant
├── OrderNumberTaken          the merchant's own number stands for another of its orders
├── OrderNotApproved          only an approved order takes a step, and while its reservation lasts
├── OrderNotConfirmed         only a confirmed order is extended
├── OrderBelowInvoiced        an order is not amended below what is invoiced of it
├── OrderNotInvoiced          only an invoiced order has a rest to release, and is credited or returned
├── OrderStopRequested        an order that the merchant was asked to stop is not shipped
├── LiabilityNotAccepted      a shipment without tracking number is the merchant's risk, and not accepted so
├── CreditAboveInvoiced       more would be credited than was invoiced
├── ReturnAboveInvoiced       more is announced to come back than was invoiced and is not announced yet
├── UnknownReturn             there is no such return
├── IdempotencyConflict       the same Idempotency-Key came with another body
├── UnknownOrder              no decision was made about this order
├── UnknownCase               there is no such review case
├── UnknownDecision           there is no such decision
├── NothingToReview           an approval is not reviewed by a person
├── AskedTooOften             a merchant's key asked more often than the policy allows
├── NotAllowed                the caller may not do this
├── FieldsInvalid             what was sent has fields that break rules; each is named
└── ParametersInvalid         the parameters of a question break rules; each is named
"""

from collections.abc import Sequence

from serving.domain.field_errors import FieldError


class RiskError(Exception):
    """The root of everything that the domain raises."""


class PolicyInvalid(RiskError):
    """A policy breaks rules. `mistakes` names each as "field: rule"."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


class TextsInvalid(RiskError):
    """Files of texts break rules. `mistakes` names each as "file: key: rule"."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


class UnknownCalendar(RiskError):
    """Business days cannot be counted: no such country, part of it or time zone is known."""


class OrderAlreadyConfirmed(RiskError):
    """A confirmed order cannot be scored again."""


class OrderAlreadyClosed(RiskError):
    """An invoiced or cancelled order takes no further step."""


class OrderOfAnotherCustomer(RiskError):
    """The order id is taken by another customer's or merchant's order."""


class OrderNumberTaken(RiskError):
    """The merchant's own number stands for another of its orders."""


class OrderNotApproved(RiskError):
    """Only an approved order takes a step, and some only while its reservation lasts."""


class OrderNotConfirmed(RiskError):
    """Only a confirmed order is extended: until then it holds the limit for a short time."""


class OrderNotInvoiced(RiskError):
    """Only an order that is invoiced in part has a rest to release."""


class OrderBelowInvoiced(RiskError):
    """An order is not amended below what is invoiced of it, credit notes taken off."""


class IdempotencyConflict(RiskError):
    """The same Idempotency-Key came with another body."""


class OrderStopRequested(RiskError):
    """The merchant was asked to stop the order: it is not to be shipped."""


class LiabilityNotAccepted(RiskError):
    """Goods leave without carrier and tracking number, and the merchant did not accept the liability."""


class CreditAboveInvoiced(RiskError):
    """Credit notes would come to more than was invoiced."""


class ReturnAboveInvoiced(RiskError):
    """More would come back than was invoiced and is neither credited nor announced."""


class UnknownReturn(RiskError):
    """There is no such return."""


class UnknownOrder(RiskError):
    """No decision was made about this order."""


class UnknownInvoice(RiskError):
    """There is no such invoice."""


class UnknownCase(RiskError):
    """There is no such review case."""


class UnknownDecision(RiskError):
    """There is no such decision."""


class NothingToReview(RiskError):
    """The order was approved, so no person has anything to look at again."""


class AskedTooOften(RiskError):
    """A merchant's key asked as often as the policy allows. retry_after_s: whole seconds, at least 1."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("the key asked as often as it may for now; nothing was decided")
        self.retry_after_s = retry_after_s


class NotAllowed(RiskError):
    """The caller may not do this. errors: which part of what was sent; empty where all of it."""

    def __init__(self, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.errors = tuple(errors)


class FieldsInvalid(RiskError):
    """What was sent has fields that break rules. not_listed: how many errors there are besides `errors`."""

    def __init__(self, errors: Sequence[FieldError], *, not_listed: int = 0) -> None:
        super().__init__("; ".join(error.detail for error in errors))
        self.errors = tuple(errors)
        self.not_listed = not_listed


class ParametersInvalid(FieldsInvalid):
    """The parameters of a question break rules."""
