"""Features that were logged online, rebuilt offline from the same rows."""

from pathlib import Path

import numpy as np

from features.consistency import differences, rebuilt_differences
from features.decisions import Decisions
from features.feature_sets import INVOICE_ELIGIBILITY
from features.online import features_at
from tests.builders import DAY, a_customer, a_payment, an_invoice, an_order, ms, write_ledger

AS_OF = ms("2026-03-01")


def test_what_the_online_evaluator_computed_is_rebuilt_bit_for_bit_and_a_changed_bit_is_named(
    tmp_path: Path,
) -> None:
    rows = {
        "customers": [a_customer(at=AS_OF - 300 * DAY)],
        "orders": [an_order("o1", at=AS_OF - 90 * DAY)],
        "invoices": [an_invoice("i1", at=AS_OF - 88 * DAY, order_id="o1")],
        "invoice_payments": [a_payment("i1", at=AS_OF - 30 * DAY)],
    }
    write_ledger(tmp_path, rows)
    decisions = Decisions(
        decision_id=np.array(["o2"], dtype=object),
        customer_id=np.array([rows["customers"][0]["customer_id"]], dtype=object),
        as_of_ms=np.array([AS_OF]),
    )
    logged = np.array([features_at(rows, AS_OF, INVOICE_ELIGIBILITY)], dtype=np.float64)
    assert rebuilt_differences(tmp_path, decisions, logged, INVOICE_ELIGIBILITY) == ()
    place = INVOICE_ELIGIBILITY.names.index("late_payment_days_sum_90d")
    logged[0, place] = np.nextafter(logged[0, place], np.inf)
    (found,) = rebuilt_differences(tmp_path, decisions, logged, INVOICE_ELIGIBILITY)
    assert (found.place, found.feature) == (0, "late_payment_days_sum_90d")
    assert found.rebuilt == 41.0


def test_minus_zero_is_not_zero_and_missing_is_missing() -> None:
    logged, rebuilt = np.array([[0.0, np.nan, np.nan]]), np.array([[-0.0, np.nan, 1.0]])
    assert [one.feature for one in differences(logged, rebuilt, ["a", "b", "c"])] == ["a", "c"]
