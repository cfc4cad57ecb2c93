"""An invoice's life in words and in money, held against a twin that walks day by day."""

from hypothesis import given
from hypothesis import strategies as st

from data_contracts.instants import DAY_MS
from features.instants import NEVER
from features.invoice_phase import IS_DEMANDED, InvoicePhase, phase_of
from features.invoice_state import InvoiceState, Movement, MovementKind, invoice_state
from features.online import invoice_states
from features.overpayments import StandingInvoice, covered_by_overpayments
from features.settlement_terms import SettlementTerms
from tests.builders import DAY, a_payment, an_adjustment, an_invoice, ms
from tests.histories import CREDIT_CONTRACT_NAMES, START, History, histories

TERMS = SettlementTerms(materiality_cents=500, grace_days=3)
DAYS = 60
DUE_DAY = 20
days = st.integers(0, DAYS)
pauses_in_days = st.lists(
    st.tuples(days, st.one_of(st.none(), days)).filter(lambda one: one[1] is None or one[0] <= one[1]),
    max_size=5,
)


def state_with(pauses: list[tuple[int, int | None]], *payments: tuple[int, int]) -> InvoiceState:
    """An invoice of 100.00 of day 0, due on DUE_DAY; pauses and payments (day, cents) by days."""
    return invoice_state(
        issued_at=0,
        due_at=DUE_DAY * DAY_MS,
        amount_cents=10_000,
        movements=[Movement(day * DAY_MS, MovementKind.PAYMENT, cents) for day, cents in payments],
        pauses=[(a * DAY_MS, NEVER if b is None else b * DAY_MS) for a, b in pauses],
        terms=TERMS,
    )


@given(pauses_in_days)
def test_overlapping_pauses_count_once(pauses: list[tuple[int, int | None]]) -> None:
    state = state_with(pauses)
    # Day by day: paused or not, however many pauses say so.
    paused = [any(a <= day and (b is None or day < b) for a, b in pauses) for day in range(DAYS + 1)]
    open_since = None
    if any(b is None for _, b in pauses):
        open_since = DAYS
        while open_since and paused[open_since - 1]:
            open_since -= 1
    moved = DUE_DAY + sum(paused[:open_since] if open_since is not None else paused)
    assert state.paused == (open_since is not None)
    if open_since is not None and open_since < moved:
        assert state.due_at == NEVER
    else:
        assert state.due_at == moved * DAY_MS


@given(pauses_in_days, days, days)
def test_a_pause_that_lies_within_the_others_changes_nothing(
    pauses: list[tuple[int, int | None]], start: int, paid_on: int
) -> None:
    inside = [(a, b) for a, b in pauses if a <= start and (b is None or start <= b)]
    again = [*pauses, *((start, b) for _, b in inside)]
    assert state_with(again, (paid_on, 10_000)) == state_with(pauses, (paid_on, 10_000))


@given(histories(), st.integers(0, 1_000))
def test_the_phase_says_what_the_state_says(history: History, day: int) -> None:
    as_of = START + day * DAY
    for state in invoice_states(history, as_of, TERMS).values():
        phase = phase_of(state, as_of)
        assert (phase is InvoicePhase.OVERPAID) == (state.overpaid_cents > 0)
        assert (phase is InvoicePhase.OVERDUE) == (state.is_overdue(as_of) and not state.paused)
        if state.owed_cents:
            assert phase in IS_DEMANDED or (phase is InvoicePhase.PAUSED and state.paused)
        if phase in {InvoicePhase.CANCELLED, InvoicePhase.CREDITED, InvoicePhase.PAID}:
            assert state.owed_cents == state.overpaid_cents == 0
        assert state.overpaid_cents == 0 or state.outstanding_cents == 0


def cents_one_by_one(invoices: list[StandingInvoice], as_of: int) -> dict[str, int]:
    """The twin: every single cent goes to the oldest unpaused overdue invoice that still wants one."""
    covered: dict[str, int] = {}
    for paid_too_much in invoices:
        for _ in range(paid_too_much.state.overpaid_cents):
            wanting = [
                one
                for one in invoices
                if one.currency == paid_too_much.currency
                and one.state.is_overdue(as_of)
                and not one.state.paused
                and covered.get(one.invoice_id, 0) < one.state.outstanding_cents
            ]
            if wanting:
                oldest = min(wanting, key=lambda one: (one.state.due_at, one.invoice_id))
                covered[oldest.invoice_id] = covered.get(oldest.invoice_id, 0) + 1
    return covered


some_invoices = st.lists(
    st.tuples(
        st.sampled_from(["EUR", "SEK"]),
        st.integers(1, 40),
        st.integers(0, 60),
        st.integers(0, 6),
        st.booleans(),
    ),
    max_size=6,
)


@given(some_invoices)
def test_every_cent_paid_too_much_goes_to_what_is_overdue_the_longest(
    drawn: list[tuple[str, int, int, int, bool]],
) -> None:
    invoices = [
        StandingInvoice(
            f"i{place}",
            currency,
            invoice_state(
                issued_at=0,
                due_at=due * DAY_MS,
                amount_cents=amount,
                movements=[Movement(0, MovementKind.PAYMENT, paid)] if paid else [],
                pauses=[(7 * DAY_MS, NEVER)] if paused else [],
                terms=SettlementTerms(materiality_cents=0, grace_days=0),
            ),
        )
        for place, (currency, amount, paid, due, paused) in enumerate(drawn)
    ]
    as_of = 5 * DAY_MS
    assert covered_by_overpayments(invoices, as_of) == cents_one_by_one(invoices, as_of)


def test_a_chargeback_is_told_from_a_cancellation_once_it_is_known() -> None:
    issued = ms("2025-03-01")
    charged_back = an_adjustment(at=issued + DAY, reason="chargeback", recorded_at=issued + 3 * DAY)
    rows: History = {name: [] for name in CREDIT_CONTRACT_NAMES}
    rows["invoices"] = [an_invoice(at=issued)]
    rows["invoice_adjustments"] = [charged_back]
    rows["invoice_payments"] = [a_payment(at=issued + DAY, recorded_at=issued + 5 * DAY)]
    words = []
    for day in (3, 4, 6):
        state = invoice_states(rows, issued + day * DAY, TERMS)["i1"]
        words.append((phase_of(state, issued + day * DAY).value, state.charged_back_cents))
    assert words == [("issued", 0), ("charged_back", 10_000), ("overpaid", 10_000)]
