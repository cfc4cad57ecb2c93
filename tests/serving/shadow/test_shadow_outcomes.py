"""What became of the orders that a shadow judged: the ledger's own rows, by the labels of training."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

import bonitas
from command_line import shadow as command
from command_line.shadow import question_of
from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.progress import Progress
from serving.in_force.policy_activation import PolicyFile, active_policy
from serving.process.settings import Settings
from serving.store.export import export_customers, export_folder
from serving.store.ledger import append
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.shadow_decisions import ModelAnswer, ShadowDecision, append_shadow_decisions
from serving.store.shadow_progress import begin_shadow
from serving.store.store import Store, now_ms
from tests.builders import DAY, Row, a_customer, a_merchant, a_payment, a_row, an_invoice, an_order
from tests.serving.shadow_desk import a_model, a_shadow_desk

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


def reported(home: Path, *arguments: str) -> Row:
    result = CliRunner(env={"BONITAS_HOME": str(home)}).invoke(
        bonitas.main, ["shadow", "report", "invoice-eligibility", "--version", "2", *arguments, "--json"]
    )
    assert result.exit_code == 0, result.output
    document: Row = json.loads(result.stdout)
    return document


def test_decisions_from_before_the_start_do_not_wait_where_a_report_reaches_further_back(
    tmp_path: Path,
) -> None:
    url = Settings.from_env({"BONITAS_HOME": str(tmp_path)}).database_url
    migrate(url)
    store = open_store(url)
    try:
        active_policy(store, lambda: PolicyFile.read(None), now_ms=now_ms())
        desk = a_shadow_desk(store, url, a_model("2"))
        desk.decided(2)
        desk.now += DAY
        desk.start("2")
        desk.decided(3, first=5)
        desk.answer()
        desk.decided(1, first=9)
    finally:
        store.close()
    names = ("made", "before_start", "waiting", "compared")
    whole = reported(tmp_path, "--since", "2026-05-01")
    assert tuple(whole[name] for name in names) == (6, 2, 1, 3)
    from_start = reported(tmp_path)
    assert tuple(from_start[name] for name in names) == (4, 0, 1, 3)


def test_looking_up_what_became_of_the_orders_ends_where_all_customers_were_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = Settings.from_env({"BONITAS_HOME": str(tmp_path)}).database_url
    migrate(url)
    store = open_store(url)
    at = now_ms() - 150 * DAY
    try:
        with store.writing("test") as tx:
            begin_shadow(
                tx,
                model_name="invoice-eligibility",
                model_version="2",
                subject=question_of("invoice-eligibility").subject,
                answers_from_ms=at - DAY,
            )
            append_shadow_decisions(tx, [an_answer("invoice-eligibility", number, at) for number in range(5)])
    finally:
        store.close()
    seen: list[tuple[int, int]] = []

    @contextmanager
    def bars() -> Iterator[Progress]:
        yield lambda _stage, done, total: seen.append((done, total))

    monkeypatch.setattr(command, "progress_bars", bars)
    monkeypatch.setattr(command, "CUSTOMERS_PER_EXPORT", 2)
    reported(tmp_path)
    assert seen == [(2, 5), (4, 5), (5, 5)]
