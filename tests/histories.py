"""Hypothesis strategies for whole customer histories, tangled as life is."""

from typing import Any

from hypothesis import strategies as st

from tests.builders import (
    DAY,
    Row,
    a_balance,
    a_charge,
    a_customer,
    a_pause,
    a_payment,
    an_account,
    an_adjustment,
    an_inquiry,
    an_invoice,
    ms,
)

START = ms("2023-01-01")
HOUR = 3_600_000
History = dict[str, list[Row]]

CREDIT_CONTRACT_NAMES = (
    "customers",
    "credit_accounts",
    "account_balances",
    "credit_inquiries",
    "invoices",
    "invoice_payments",
    "invoice_adjustments",
    "invoice_charges",
    "invoice_pauses",
)

# Whole hours on few days: moments collide often, and collisions are where intervals go wrong.
moments = st.integers(0, 800 * 4).map(lambda quarter: START + quarter * 6 * HOUR)
delays = st.one_of(st.just(0), st.integers(0, 40).map(lambda quarter: quarter * 6 * HOUR))
amounts = st.sampled_from([1, 500, 501, 4_999, 9_499, 9_500, 10_000, 10_001, 25_000])
ADJUSTMENT_REASONS = ("return", "goodwill", "overpayment", "returned_debit")


def written(moment: int) -> st.SearchStrategy[int]:
    """The moment, or sometimes its date alone, which may lie before what it cannot precede."""
    return st.sampled_from([moment] * 3 + [moment // DAY * DAY])


@st.composite
def histories(draw: st.DrawFn, customer_id: str = "c1", *, corrections: bool = True) -> History:
    """Every credit contract's rows of one customer, corrections and late records included.

    Rows arrive in any order: a pause may be known to have ended before its begin is, and a clock may have run
    ahead by some minutes.
    """
    counter = iter(range(10_000))

    def unique(kind: str) -> str:
        return f"{customer_id}-{kind}-{next(counter)}"

    history: History = {name: [] for name in CREDIT_CONTRACT_NAMES}
    # No two rows of one customer arrive at one instant: the ledger's clock sees to that.
    arrived: set[int] = set()

    def arrives(row: Row, clock_ahead_ms: int = 0) -> Row:
        recorded_at = row["recorded_at"] - clock_ahead_ms
        while recorded_at in arrived:
            recorded_at += 1
        arrived.add(recorded_at)
        return {**row, "recorded_at": recorded_at}

    def add(contract: str, row: Row, **correctable: st.SearchStrategy[Any]) -> None:
        row = arrives(row, draw(st.sampled_from([0] * 19 + [200_000])))
        history[contract].append(row)
        if corrections and correctable and draw(st.integers(0, 9)) == 0:
            changed = {name: draw(strategy) for name, strategy in correctable.items()}
            recorded_at = max(
                row["recorded_at"],
                row["occurred_at"],
                *(value for name, value in changed.items() if name == "occurred_at"),
            ) + draw(delays)
            corrected = {
                **row,
                **changed,
                "event_id": f"{row['event_id']}-corrected",
                "corrects": row["event_id"],
                "recorded_at": recorded_at,
            }
            history[contract].append(arrives(corrected))

    registered = START - draw(st.integers(0, 1000)) * DAY
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        began = registered + draw(st.integers(0, 3)) * 400 * DAY
        add(
            "customers",
            a_customer(
                customer_id,
                event_id=unique("customer"),
                at=began,
                registered_at=registered + draw(st.sampled_from([0, 0, DAY])),
                recorded_at=began + draw(delays),
            ),
            occurred_at=st.just(began - 300 * DAY),
        )
    for _ in range(draw(st.integers(0, 4))):
        issued = draw(moments)
        invoice_id = unique("invoice")
        add(
            "invoices",
            an_invoice(
                invoice_id,
                customer_id,
                at=issued,
                due_at=issued + draw(st.sampled_from([7, 14, 30])) * DAY,
                amount_cents=draw(amounts),
                recorded_at=issued + draw(delays),
            ),
            amount_cents=amounts,
        )
        for _ in range(draw(st.integers(0, 3))):
            paid = issued + draw(st.integers(0, 120 * 4)) * 6 * HOUR
            add(
                "invoice_payments",
                a_payment(
                    invoice_id,
                    customer_id,
                    at=paid,
                    recorded_at=paid + draw(delays),
                    amount_cents=draw(amounts),
                    event_id=unique("payment"),
                ),
                amount_cents=st.one_of(st.just(0), amounts),
            )
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
            adjusted = issued + draw(st.integers(0, 60 * 4)) * 6 * HOUR
            add(
                "invoice_adjustments",
                an_adjustment(
                    invoice_id,
                    customer_id,
                    at=adjusted,
                    recorded_at=adjusted + draw(delays),
                    kind=draw(st.sampled_from(["credit_note", "refund"])),
                    reason=draw(st.sampled_from(ADJUSTMENT_REASONS)),
                    amount_cents=draw(amounts),
                    event_id=unique("adjustment"),
                ),
                amount_cents=amounts,
            )
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
            pause_id = unique("pause")
            begun = issued + draw(st.integers(-8, 60 * 4)) * 6 * HOUR
            recorded = begun + draw(delays)
            add(
                "invoice_pauses",
                a_pause(
                    invoice_id,
                    customer_id,
                    started_at=begun,
                    pause_id=pause_id,
                    recorded_at=recorded,
                    event_id=unique("pause-row"),
                ),
            )
            if draw(st.booleans()):
                ended = begun + draw(st.integers(0, 40 * 4)) * 6 * HOUR
                add(
                    "invoice_pauses",
                    a_pause(
                        invoice_id,
                        customer_id,
                        started_at=begun,
                        ended_at=draw(written(ended)),
                        pause_id=pause_id,
                        recorded_at=ended + draw(delays),
                        event_id=unique("pause-row"),
                    ),
                    occurred_at=st.just(begun - DAY),
                )
        if draw(st.integers(0, 3)) == 0:
            reminded = issued + draw(st.integers(14, 60)) * DAY
            history["invoice_charges"].append(
                a_charge(
                    invoice_id,
                    customer_id,
                    at=reminded,
                    kind=draw(st.sampled_from(["reminder", "late_fee"])),
                )
            )
    for _ in range(draw(st.integers(0, 4))):
        asked = draw(moments)
        add(
            "credit_inquiries",
            an_inquiry(
                customer_id,
                at=asked,
                purpose=draw(st.sampled_from(["loan", "rental", "credit_card"])),
                recorded_at=asked + draw(delays),
                event_id=unique("inquiry"),
            ),
            purpose=st.sampled_from(["loan", "other"]),
        )
    for _ in range(draw(st.integers(0, 2))):
        account_id = unique("account")
        opened = START - draw(st.integers(-300, 2000)) * DAY
        kind = draw(st.sampled_from(["credit_card", "instalment", "loan"]))
        recorded = opened + draw(delays)
        add(
            "credit_accounts",
            an_account(
                account_id,
                customer_id,
                opened_at=opened,
                kind=kind,
                recorded_at=recorded,
                event_id=unique("acc"),
            ),
        )
        if draw(st.integers(0, 3)) == 0:
            closed = max(opened, draw(moments))
            add(
                "credit_accounts",
                an_account(
                    account_id,
                    customer_id,
                    opened_at=opened,
                    closed_at=draw(written(closed)),
                    kind=kind,
                    recorded_at=closed + draw(delays),
                    event_id=unique("acc"),
                ),
                occurred_at=st.just(opened),
            )
        for _ in range(draw(st.integers(0, 4))):
            shown = draw(moments)
            add(
                "account_balances",
                a_balance(
                    account_id,
                    customer_id,
                    at=shown,
                    balance_cents=draw(st.sampled_from([-500, 0, 1, 50_000, 99_999, 300_000])),
                    limit_cents=draw(st.sampled_from([0, 100_000, 150_000])),
                    paid_cents=draw(st.sampled_from([None, 0, 5_000, 60_000])),
                    days_past_due=draw(st.sampled_from([None, 0, 1, 31, 95])),
                    recorded_at=shown + draw(delays),
                    event_id=unique("balance"),
                ),
                balance_cents=st.sampled_from([0, 70_000]),
                occurred_at=moments,
            )
    return history


as_of_moments = st.one_of(
    moments, moments.map(lambda moment: moment + 1), moments.map(lambda moment: moment + 365 * DAY)
)
