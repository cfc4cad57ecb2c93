"""What the policy says about disputes: who has how long to answer, and how much evidence is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from data_contracts.declaration_reader import DeclarationReader
from serving.domain.dispute import DisputeReason

SHORTEST_MERCHANT_DAYS = 14
LONGEST_MERCHANT_DAYS = 21
"""The agreement with merchants leaves the policy this room, and no more."""
LARGEST_EVIDENCE_BYTES = 5 * 1024 * 1024
"""What the service takes at all; a policy may say less."""

_PREFIX = "disputes."


@dataclass(frozen=True, kw_only=True)
class DisputePolicy:
    """Times in business days of the merchant's calendar, unless the name says days.

    merchant_days: for the merchant to settle it with the customer. By reason and by country others may
        stand; the reason's goes before the country's, and that before the general one.
    customer_days: for the customer's statement. further_days: for the merchant that was asked for more.
    decision_days: within which the provider should decide. complaint_days: for the second look.
    complaint_within_days: so long after the decision a complaint is taken, in days of 24 hours.
    claim_minutes: so long a work item stays in the hands of who claimed it and does nothing.
    evidence_files, evidence_file_bytes: of each side of a dispute.

    The defaults stand for a policy without the section.
    """

    merchant_days: int = SHORTEST_MERCHANT_DAYS
    merchant_days_by_reason: Mapping[DisputeReason, int] = field(default_factory=lambda: MappingProxyType({}))
    merchant_days_by_country: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    customer_days: int = 10
    further_days: int = 7
    decision_days: int = 5
    complaint_days: int = 10
    complaint_within_days: int = 60
    claim_minutes: int = 30
    evidence_files: int = 10
    evidence_file_bytes: int = LARGEST_EVIDENCE_BYTES

    def merchant_days_for(self, reason: DisputeReason, country: str) -> int:
        """How many business days the merchant has.

        >>> policy = DisputePolicy(
        ...     merchant_days_by_reason={DisputeReason.RETURN_NOT_BOOKED: 21},
        ...     merchant_days_by_country={"SE": 18},
        ... )
        >>> [policy.merchant_days_for(reason, "SE") for reason in
        ...     (DisputeReason.RETURN_NOT_BOOKED, DisputeReason.NOT_RECEIVED)]
        [21, 18]
        >>> policy.merchant_days_for(DisputeReason.NOT_RECEIVED, "DE")
        14
        """
        by_country = self.merchant_days_by_country.get(country, self.merchant_days)
        return self.merchant_days_by_reason.get(reason, by_country)


def read_dispute_policy(reader: DeclarationReader, entry: dict[str, Any]) -> DisputePolicy:
    """The section `[disputes]` of a policy; mistakes are left with the reader."""

    def days(table: dict[str, Any], name: str, prefix: str) -> int:
        return reader.integer(table, name, prefix, SHORTEST_MERCHANT_DAYS, LONGEST_MERCHANT_DAYS)

    by_reason = (
        reader.table(entry, "merchant_days_by_reason", _PREFIX)
        if ("merchant_days_by_reason" in entry)
        else {}
    )
    by_country = (
        reader.table(entry, "merchant_days_by_country", _PREFIX)
        if ("merchant_days_by_country" in entry)
        else {}
    )
    reasons = {reason.value: reason for reason in DisputeReason}
    for name in by_reason.keys() - reasons.keys():
        del by_reason[name]
        reader.mistakes.append(
            f"{_PREFIX}merchant_days_by_reason.{name}: is no reason of a dispute ({', '.join(reasons)})"
        )
    for name in [name for name in by_country if not (len(name) == 2 and name.isascii() and name.isupper())]:
        del by_country[name]
        reader.mistakes.append(
            f"{_PREFIX}merchant_days_by_country.{name}: must be an ISO 3166-1 alpha-2 code"
        )
    read = DisputePolicy(
        merchant_days=days(entry, "merchant_days", _PREFIX),
        merchant_days_by_reason={
            reasons[name]: days(by_reason, name, f"{_PREFIX}merchant_days_by_reason.")
            for name in list(by_reason)
        },
        merchant_days_by_country={
            name: days(by_country, name, f"{_PREFIX}merchant_days_by_country.") for name in list(by_country)
        },
        customer_days=reader.integer(entry, "customer_days", _PREFIX, 1, 60),
        further_days=reader.integer(entry, "further_days", _PREFIX, 1, 60),
        decision_days=reader.integer(entry, "decision_days", _PREFIX, 1, 60),
        complaint_days=reader.integer(entry, "complaint_days", _PREFIX, 1, 10),
        complaint_within_days=reader.integer(entry, "complaint_within_days", _PREFIX, 1, 3650),
        claim_minutes=reader.integer(entry, "claim_minutes", _PREFIX, 1, 1440),
        evidence_files=reader.integer(entry, "evidence_files", _PREFIX, 1, 100),
        evidence_file_bytes=reader.integer(entry, "evidence_file_bytes", _PREFIX, 1, LARGEST_EVIDENCE_BYTES),
    )
    reader.refuse_rest(entry, _PREFIX)
    return read
