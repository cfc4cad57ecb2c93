"""Why an order was flagged: a feature that speaks for fraud, as the screening left it with the case."""

import msgspec
from msgspec import UNSET, UnsetType


class FlagReason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason. What an earlier release did not keep is unset.

    value: of the feature, in its unit. usual: the value of an ordinary order. None where that is not known.
    contribution: what it adds to the log-odds of fraud.
    """

    code: str
    group: str | UnsetType = UNSET
    feature: str | UnsetType = UNSET
    text: str
    unit: str | UnsetType = UNSET
    value: float | UnsetType | None = UNSET
    usual: float | UnsetType | None = UNSET
    contribution: float | UnsetType = UNSET


IDENTITY_CLAIM = "identity_claim"
"""The code of the one reason that no model gives: the customer says that somebody else ordered."""
