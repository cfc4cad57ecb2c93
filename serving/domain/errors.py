"""Exceptions of the domain; one place at the HTTP edge knows their status codes.

RiskError
├── PolicyInvalid             a policy file breaks rules; every mistake is named
├── TextsInvalid              the texts of a language break rules; every mistake is named
├── OrderAlreadyConfirmed     a confirmed order cannot be scored again
├── OrderAlreadyClosed        an invoiced or cancelled order cannot be confirmed, cancelled or scored
├── OrderOfAnotherCustomer    the same order id came with another customer or merchant
├── OrderNumberTaken          the merchant's own number stands for another of its orders
├── OrderNotApproved          only an approved order can be confirmed
├── IdempotencyConflict       the same Idempotency-Key came with another body
├── UnknownOrder              no decision was made about this order
├── UnknownCase               there is no such review case
└── UnknownDecision           there is no such decision
"""


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


class OrderAlreadyConfirmed(RiskError):
    """A confirmed order cannot be scored again."""


class OrderAlreadyClosed(RiskError):
    """An invoiced or cancelled order takes no further step."""


class OrderOfAnotherCustomer(RiskError):
    """The order id is taken by another customer's or merchant's order."""


class OrderNumberTaken(RiskError):
    """The merchant's own number stands for another of its orders."""


class OrderNotApproved(RiskError):
    """Only an approved order can be confirmed."""


class IdempotencyConflict(RiskError):
    """The same Idempotency-Key came with another body."""


class UnknownOrder(RiskError):
    """No decision was made about this order."""


class UnknownCase(RiskError):
    """There is no such review case."""


class UnknownDecision(RiskError):
    """There is no such decision."""
