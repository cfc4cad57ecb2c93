"""Features of one customer at one moment, from the customer's ledger rows: the checkout's evaluator.

Pure Python on a few dozen rows is several times faster here than arrays are. It comes to the same
bits as `features.offline`, because both do the same integer arithmetic and one division at the end.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from data_contracts.account_balances import ACCOUNT_BALANCES
from data_contracts.contract import Contract
from data_contracts.credit_accounts import CREDIT_ACCOUNTS
from data_contracts.credit_inquiries import CREDIT_INQUIRIES
from data_contracts.customers import CUSTOMERS
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_charges import INVOICE_CHARGES
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from features.account_facts import known_account_facts, portfolio_fact
from features.account_rows import is_drawn_at_will, known_accounts, newest_statements
from features.declarations import FACT_COLUMNS, FactKind, Measure
from features.feature_sets import FeatureSet
from features.instants import NEVER
from features.invoice_facts import invoice_fact
from features.invoice_rows import known_invoice_states
from features.invoice_state import InvoiceState
from features.settlement_terms import SettlementTerms
from features.single_row_facts import known_inquiries, known_registrations, known_reminders
from features.statement_facts import known_statements
from features.supersession import standing_rows

CREDIT_CONTRACTS: tuple[Contract, ...] = (
    CUSTOMERS,
    CREDIT_ACCOUNTS,
    ACCOUNT_BALANCES,
    CREDIT_INQUIRIES,
    INVOICES,
    INVOICE_PAYMENTS,
    INVOICE_ADJUSTMENTS,
    INVOICE_CHARGES,
    INVOICE_PAUSES,
)
"""The contracts whose rows credit features are computed from."""

LedgerRows = Mapping[str, Sequence[Mapping[str, Any]]]
"""One customer's rows by contract name, in ledger row form: instants in ms, amounts in cents."""

Fact = tuple[int, ...]
NO_SUMS: Mapping[Measure, int] = {}
"""Every fact is at hand."""


def visible_rows(contract: Contract, rows: LedgerRows, as_of_ms: int) -> list[Mapping[str, Any]]:
    """The rows of a contract that stand for a decision at `as_of_ms`, `as_counted`."""
    all_rows = rows.get(contract.name)
    if not all_rows:
        return []
    return standing_rows(contract, [row for row in all_rows if row["recorded_at"] < as_of_ms])


def invoice_states(rows: LedgerRows, as_of_ms: int, terms: SettlementTerms) -> dict[str, InvoiceState]:
    """The state of each of the customer's invoices as known at `as_of_ms`, by invoice_id."""
    return known_invoice_states(
        invoices=visible_rows(INVOICES, rows, as_of_ms),
        payments=visible_rows(INVOICE_PAYMENTS, rows, as_of_ms),
        adjustments=visible_rows(INVOICE_ADJUSTMENTS, rows, as_of_ms),
        pauses=visible_rows(INVOICE_PAUSES, rows, as_of_ms),
        terms=terms,
    )


def invoice_states_when(
    rows: LedgerRows, at_ms: int, terms: SettlementTerms, *, known_ms: int
) -> dict[str, InvoiceState]:
    """The state of each of the customer's invoices at an instant, by what was known before another.

    What happened after `at_ms` is left out, however early it was known: a payment, a credit note, the end of
    a pause. Of an invoice of day 1 that was paid on day 9, which was known on day 30:

    >>> from data_contracts.instants import DAY_MS as DAY
    >>> from features.settlement_terms import USUAL_TERMS
    >>> invoice = {"event_id": "a", "invoice_id": "i", "amount_cents": 10_000, "due_at": 5 * DAY,
    ...     "occurred_at": DAY, "recorded_at": DAY}
    >>> paid = {"event_id": "b", "invoice_id": "i", "amount_cents": 10_000, "occurred_at": 9 * DAY,
    ...     "recorded_at": 30 * DAY}
    >>> rows = {"invoices": [invoice], "invoice_payments": [paid]}
    >>> def owed(day, known):
    ...     states = invoice_states_when(rows, day * DAY, USUAL_TERMS, known_ms=known * DAY)
    ...     return states["i"].owed_cents
    >>> owed(20, 20), owed(20, 31), owed(8, 31)
    (10000, 0, 10000)
    """

    def happened(contract: Contract) -> list[Mapping[str, Any]]:
        return [row for row in visible_rows(contract, rows, known_ms) if row["occurred_at"] <= at_ms]

    pauses = [row for row in visible_rows(INVOICE_PAUSES, rows, known_ms) if row["started_at"] <= at_ms]
    return known_invoice_states(
        invoices=happened(INVOICES),
        payments=happened(INVOICE_PAYMENTS),
        adjustments=happened(INVOICE_ADJUSTMENTS),
        pauses=[{**row, "ended_at": None} if (row.get("ended_at") or 0) > at_ms else row for row in pauses],
        terms=terms,
    )


def facts_at(
    rows: LedgerRows,
    as_of_ms: int,
    states: Mapping[str, InvoiceState],
    customers: Sequence[Mapping[str, Any]] | None = None,
) -> dict[FactKind, Sequence[Fact]]:
    """The facts that are known about one customer at `as_of_ms`.

    states: of the customer's invoices, as `invoice_states` gives them.
    customers: the customer's own rows that stand, where the caller has them already.
    """
    if customers is None:
        customers = visible_rows(CUSTOMERS, rows, as_of_ms)
    accounts = known_accounts(visible_rows(CREDIT_ACCOUNTS, rows, as_of_ms))
    at_will_of = {account.account_id: is_drawn_at_will(account.kind) for account in accounts}
    statements = visible_rows(ACCOUNT_BALANCES, rows, as_of_ms)
    return {
        FactKind.INVOICE: [invoice_fact(0, NEVER, state) for state in states.values()],
        FactKind.REMINDER: known_reminders(visible_rows(INVOICE_CHARGES, rows, as_of_ms)),
        FactKind.INQUIRY: known_inquiries(visible_rows(CREDIT_INQUIRIES, rows, as_of_ms)),
        FactKind.STATEMENT: known_statements(statements, at_will_of),
        FactKind.ACCOUNT: known_account_facts(accounts, newest_statements(statements)),
        FactKind.PORTFOLIO: portfolio_fact(0, NEVER, accounts),
        FactKind.REGISTRATION: known_registrations(customers),
    }


def measure_at(measure: Measure, facts: Sequence[Fact], as_of_ms: int) -> int:
    """The value of a measure at `as_of_ms` over known facts of its kind, exactly as it is declared."""
    place = FACT_COLUMNS[measure.fact].index
    total = 0
    for fact in facts:
        if measure.enters is not None and fact[place(measure.enters)] + measure.enters_after_ms >= as_of_ms:
            continue
        if measure.leaves is not None and fact[place(measure.leaves)] + measure.leaves_after_ms < as_of_ms:
            continue
        if measure.above_column is not None and fact[place(measure.above_column)] <= measure.above:
            continue
        total += 1 if measure.value is None else fact[place(measure.value)]
        if measure.runs is not None:
            total += fact[place(measure.runs)] * as_of_ms
    return total


def features_at(
    rows: LedgerRows,
    as_of_ms: int,
    feature_set: FeatureSet,
    states: Mapping[str, InvoiceState] | None = None,
    customers: Sequence[Mapping[str, Any]] | None = None,
) -> list[float]:
    """The features of one customer for a decision at `as_of_ms`, in the order of the feature set.

    rows: all ledger rows of that customer; what was recorded at or after `as_of_ms` is not seen.
    states, customers: of the customer's invoices by the terms of the feature set, and the customer's own rows
        that stand, where the caller has them already.
    """
    if states is None:
        states = invoice_states(rows, as_of_ms, feature_set.terms)
    return evaluated(feature_set, facts_at(rows, as_of_ms, states, customers), as_of_ms)


def evaluated(
    feature_set: FeatureSet,
    facts: Mapping[FactKind, Sequence[Fact]],
    as_of_ms: int,
    sums: Mapping[Measure, int] = NO_SUMS,
) -> list[float]:
    """The features that known facts about a decision's entities come to at `as_of_ms`.

    sums: what facts that were added up elsewhere add to a measure.
    """
    return _evaluator(feature_set)(facts, as_of_ms, sums)


_Evaluator = Callable[[Mapping[FactKind, Sequence[Fact]], int, Mapping[Measure, int]], list[float]]


@lru_cache(maxsize=8)
def _evaluator(feature_set: FeatureSet) -> _Evaluator:
    """The function that a feature set comes down to, written out once so that a request only adds up."""
    namespace: dict[str, Any] = {"KINDS": list(FactKind), "MEASURES": feature_set.distinct_measures()}
    source = evaluator_source(feature_set)
    exec(compile(source, f"<{feature_set.name}>", "exec"), namespace)  # noqa: S102 - made from our declarations only
    evaluate: _Evaluator = namespace["evaluate"]
    return evaluate


def evaluator_source(feature_set: FeatureSet) -> str:
    """Python source of `evaluate(facts, as_of_ms, sums) -> list of float` for a feature set.

    One loop for each kind of fact. An instant is compared once for all measures that share its bound, and a
    shorter window is only asked about within a longer one: so a fact of long ago costs a comparison or two,
    and the whole half of what a test for each measure took.
    """
    measures = feature_set.distinct_measures()
    name_of = {measure: f"m{index}" for index, measure in enumerate(measures)}
    bounds: dict[int, str] = {0: "t"}
    loops: list[str] = []
    for place, kind in enumerate(FactKind):
        of_kind = [measure for measure in measures if measure.fact is kind]
        if of_kind:
            loops.append(f"    for {', '.join(FACT_COLUMNS[kind])} in facts[KINDS[{place}]]:")
            loops += _additions(of_kind, name_of, bounds)
    lines = ["def evaluate(facts, t, sums):"]
    lines += [f"    {name} = 0" for name in name_of.values()]
    lines += [f"    {bound} = t - {after_ms}" for after_ms, bound in bounds.items() if after_ms]
    lines += loops
    # Seldom: at the checkout every fact is at hand.
    lines.append("    if sums:")
    lines += [f"        m{index} += sums.get(MEASURES[{index}], 0)" for index in range(len(measures))]
    lines.append("    return [")
    for feature in feature_set.features:
        above = _plus(name_of[feature.numerator], feature.numerator_plus)
        # An integer over a float is made a float first, just as `float` makes it, and without a call.
        if feature.denominator is None:
            lines.append(f"        {above} / {float(feature.denominator_plus * feature.scale)!r},")
            continue
        count = _plus(name_of[feature.denominator], feature.denominator_plus)
        quotient = f"{above} / float({count} * {feature.scale})"
        lines.append(f"        {quotient} if {count} else {feature.when_empty!r},")
    lines.append("    ]")
    return "\n".join(lines)


def _additions(
    measures: Sequence[Measure], name_of: Mapping[Measure, str], bounds: dict[int, str]
) -> list[str]:
    """The body of the loop over one kind of fact.

    bounds: the names of `as_of` less so many ms; those that are needed are added.
    """
    entering: dict[tuple[str | None, int], list[Measure]] = defaultdict(list)
    for measure in measures:
        entering[measure.enters, measure.enters_after_ms].append(measure)
    lines: list[str] = []
    for (enters, enters_after_ms), entered in entering.items():
        indent = " " * 8
        if enters is not None:
            lines.append(f"{indent}if {enters} < {_bound(enters_after_ms, bounds)}:")
            indent += " " * 4
        leaving: dict[str | None, dict[int, list[Measure]]] = defaultdict(lambda: defaultdict(list))
        for measure in entered:
            leaving[measure.leaves][measure.leaves_after_ms].append(measure)
        for leaves, by_window in leaving.items():
            within = indent
            for leaves_after_ms in sorted(by_window, reverse=True):
                if leaves is not None:
                    lines.append(f"{within}if {leaves} >= {_bound(leaves_after_ms, bounds)}:")
                    within += " " * 4
                lines += [f"{within}{_addition(one, name_of[one])}" for one in by_window[leaves_after_ms]]
    return lines


def _addition(measure: Measure, name: str) -> str:
    added = measure.value or "1"
    if measure.runs is not None:
        added += f" + {measure.runs} * t"
    if measure.above_column is None:
        return f"{name} += {added}"
    return f"if {measure.above_column} > {measure.above}: {name} += {added}"


def _bound(after_ms: int, bounds: dict[int, str]) -> str:
    return bounds.setdefault(after_ms, f"t_{len(bounds)}")


def _plus(name: str, constant: int) -> str:
    return f"({name} + {constant})" if constant else name
