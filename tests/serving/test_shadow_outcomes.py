"""What became of the orders that a shadow judged: the ledger's own rows, by the labels of training."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import bonitas
from command_line.shadow import question_of
from data_contracts.ledger_contracts import CONTRACTS
from serving.settings import Settings
from serving.store.ledger import AppendStatus, append
from serving.store.loading import export_customers, export_folder
from serving.store.migrate import migrate
from serving.store.shadow_decisions import (
    ModelAnswer,
    ShadowDecision,
    append_shadow_decisions,
    begin_shadow,
)
from serving.store.store import Store, now_ms, open_store
from tests.builders import DAY, Row, a_customer, a_merchant, a_payment, a_row, an_invoice, an_order

OUTCOMES = {
    "invoice-eligibility": ("approved", "declined"),
    "order-risk": ("flagged", "clear"),
}


def kept(store: Store, contract: str, row: Row) -> None:
    sent = {name: value for name, value in row.items() if name != "recorded_at" and value is not None}
    with store.writing("test") as tx:
        result = append(tx, CONTRACTS[contract], sent, row["occurred_at"] + 1)
    assert result.status is AppendStatus.ACCEPTED, result


def an_order_with_its_end(store: Store, number: int, at: int, end: str) -> None:
    """end: paid, unpaid, fraud or open: too young to tell."""
    customer, order, invoice = f"c{number}", f"o{number}", f"i{number}"
    kept(store, "customers", a_customer(customer, event_id=f"customer-{number}", at=at - 400 * DAY))
    kept(store, "orders", an_order(order, customer, at=at))
    kept(store, "invoices", an_invoice(invoice, customer, at=at, order_id=order, due_at=at + 14 * DAY))
    if end == "paid":
        kept(store, "invoice_payments", a_payment(invoice, customer, at=at + 5 * DAY))
    if end == "fraud":
        columns = {"order_id": order, "customer_id": customer, "kind": "identity_misuse_upheld"}
        kept(
            store, "order_outcomes", a_row("order_outcomes", f"found-{number}", at + 9 * DAY, None, **columns)
        )


def an_answer(model: str, number: int, at: int) -> ShadowDecision:
    """The champion says yes and the challenger no."""
    champion, challenger = (
        ModelAnswer(outcome=outcome, probability=0.1, points=None, failed_rules=(), reasons=())
        for outcome in OUTCOMES[model]
    )
    prefix = question_of(model).subject
    return ShadowDecision(
        model_name=model,
        model_version="2",
        subject_id=f"{prefix.first_id_at(at)}{number:04x}",
        order_id=f"o{number}",
        customer_id=f"c{number}",
        as_of_ms=at + 1,
        amount_cents=10_000,
        currency="EUR",
        policy_version="1",
        champion_version="1",
        champion=champion,
        challenger=challenger,
        raw_log_odds=-2.0,
    )


@pytest.mark.parametrize(
    ("model", "known", "bad"),
    [("invoice-eligibility", 3, 2), ("order-risk", 2, 1)],
)
def test_the_report_says_what_became_of_the_orders_by_the_labels_of_training(
    tmp_path: Path, model: str, known: int, bad: int
) -> None:
    settings = Settings.from_env({"BONITAS_HOME": str(tmp_path)})
    migrate(settings.database_url)
    store = open_store(settings.database_url)
    now = now_ms()
    ends = ("paid", "unpaid", "unpaid", "fraud", "open")
    try:
        kept(store, "merchants", a_merchant(at=now - 900 * DAY))
        with store.writing("test") as tx:
            begin_shadow(
                tx,
                model_name=model,
                model_version="2",
                subject=question_of(model).subject,
                answers_from_ms=now - 200 * DAY,
            )
        answers = []
        for number, end in enumerate(ends):
            at = now - (20 if end == "open" else 150) * DAY
            an_order_with_its_end(store, number, at, end)
            answers.append(an_answer(model, number, at))
        with store.writing("test") as tx:
            append_shadow_decisions(tx, sorted(answers, key=lambda answer: answer.subject_id))
    finally:
        store.close()
    result = CliRunner(env={"BONITAS_HOME": str(tmp_path)}).invoke(
        bonitas.main, ["shadow", "report", model, "--version", "2", "--json"]
    )
    assert result.exit_code == 0, result.output
    (cell,) = json.loads(result.stdout)["realised"]
    assert (cell["orders"], cell["bad"]["of"], cell["bad"]["count"]) == (5, known, bad)


def test_the_rows_of_some_customers_are_those_that_a_whole_export_has_of_them(
    store: Store, tmp_path: Path
) -> None:
    import pyarrow.compute as pc

    from data_contracts.parquet_ledger import read_table

    now = now_ms()
    kept(store, "merchants", a_merchant(at=now - 900 * DAY))
    for number in range(3):
        an_order_with_its_end(store, number, now - 100 * DAY, "paid")
    export_folder(store, tmp_path / "all")
    counts = export_customers(store, tmp_path / "some", ["c0", "c2"])
    assert counts == dict.fromkeys(("customers", "orders", "invoices", "invoice_payments"), 2)
    for name in counts:
        whole, some = (
            read_table(tmp_path / folder, CONTRACTS[name]).sort_by("event_id") for folder in ("all", "some")
        )
        assert some.equals(whole.filter(pc.not_equal(whole["customer_id"], "c1")))
