"""An amount as a person types it into a form, read to whole minor units and never through a float."""

import re

from data_contracts.currencies import decimals_of
from serving.domain.errors import RiskError

_AMOUNT = re.compile(r"([0-9]{1,12})(?:[.,]([0-9]{1,4}))?")


class AmountUnreadable(RiskError):
    """What was typed is no amount of the currency; the message says how one is written."""


def typed_cents(text: str, currency: str) -> int:
    """The minor units of an amount in digits, with a point or a comma before the decimals, without signs.

    Thousands have no separator: 1.000 of euros could be one or a thousand, and is refused.
    Raises AmountUnreadable.

    >>> typed_cents("12.50", "EUR"), typed_cents(" 12,5 ", "EUR"), typed_cents("7", "JPY")
    (1250, 1250, 7)
    >>> typed_cents("1.000", "EUR")
    Traceback (most recent call last):
    serving.domain.typed_amounts.AmountUnreadable: must be digits with at most 2 decimals, such as 12.50
    """
    decimals = decimals_of(currency)
    match = _AMOUNT.fullmatch(text.strip())
    fraction = "" if match is None else match[2] or ""
    if match is None or len(fraction) > decimals:
        example = "12" if not decimals else f"12.{'5'.ljust(decimals, '0')}"
        raise AmountUnreadable(f"must be digits with at most {decimals} decimals, such as {example}")
    return int(match[1] + fraction.ljust(decimals, "0"))
