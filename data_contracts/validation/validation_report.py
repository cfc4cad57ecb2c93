"""The HTML report of a validation: one file without outside parts, readable in light and dark."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_contracts.contract import Contract
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.validation.quarantine import MASK, QuarantinedRow


def render(summary: Mapping[str, Any], samples: Mapping[str, Sequence[QuarantinedRow]]) -> str:
    """The report as one HTML page.

    summary: `ValidationResult.to_json()`.
    samples: a few refused rows per contract; their personal values do not reach the page.
    """
    from evidence.report_page import report_template  # noqa: PLC0415 only the report needs it
    from evidence.share_bar import share_bar  # noqa: PLC0415 as above

    def bar(counts: Mapping[str, int]) -> str:
        read, accepted = counts["read"], counts["accepted"]
        parts = {"good": accepted, "bad": counts["quarantined"], "watch": counts["repeated"]}
        return share_bar(parts, whole=read, said=f"{accepted} of {read} accepted")

    def rule_bar(broken: Mapping[str, Any]) -> str:
        return share_bar({"bad": broken["rows"]}, whole=most, said=f"{broken['rows']} rows")

    rules = [
        {"contract": name, **broken}
        for name, counts in summary["contracts"].items()
        for broken in counts["broken_rules"]
    ]
    rules.sort(key=lambda broken: -int(broken["rows"]))
    most = max((int(broken["rows"]) for broken in rules), default=1)
    quarantined = summary["quarantined"]
    verdict = "every row is good" if not quarantined else f"{quarantined:,} rows in quarantine"
    return report_template("data_contracts.validation", "ledger_validation.html").render(
        s=summary,
        verdict=verdict,
        rules=rules,
        bar=bar,
        rule_bar=rule_bar,
        mask=MASK,
        samples={
            name: [_masked(CONTRACTS[name], row) for row in rows] for name, rows in samples.items() if rows
        },
    )


def _masked(contract: Contract, row: QuarantinedRow) -> dict[str, Any]:
    public = {column.name for column in contract.columns if not column.personal}
    causes = row.causes or (None,) * len(row.violations)
    return {
        "event_id": row.event_id_shown,
        "violations": [
            {
                "column": violation.column,
                "rule": violation.rule.value,
                "value": violation.value_repr if violation.column in public else MASK,
                "message": violation.message,
                "cause": cause,
            }
            for violation, cause in zip(row.violations, causes, strict=True)
        ],
    }
