"""What raises the alarm and what does not: planted drift, a hundred quiet months, a whole run."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from scipy.stats import norm

from data_contracts import quarantine
from data_contracts.contract import Contract
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import read_table, write_table
from features.feature_sets import INVOICE_ELIGIBILITY
from features.instants import DAY_MS
from features.supersession import milliseconds
from tests.training.conftest import TrainedBook
from training.drift import binned_categories, drift
from training.labels import ledger_end_ms
from training.monitoring.checks import (
    FAMILY_WISE_CHANCE,
    Candidate,
    Check,
    Level,
    Section,
    drift_candidate,
    holm,
    judged,
)
from training.monitoring.monitored_model import ScoredDecisions, watch_scored
from training.monitoring.monitored_service import (
    FeatureComparison,
    LiveRecord,
    LoggedDecisions,
    RowCounts,
    Verdicts,
    live_checks,
    weeks_of,
)
from training.monitoring.period import Period, period_until
from training.monitoring.portfolio_watch import MonitoringReport, monitor
from training.monitoring.report import page, write_report
from training.registry import ModelRegistry

MONTH = 30 * DAY_MS
FEATURES = INVOICE_ELIGIBILITY.features[:12]
CUSTOMERS, ORDERS_A_MONTH = 1500, 400
MATURES_AFTER_MS = 75 * DAY_MS


class Stream:
    """A stationary population: customers who keep to their ways, order at random and are alike in default."""

    def __init__(self, seed: int, months: int) -> None:
        generator = np.random.default_rng(seed)
        orders = months * ORDERS_A_MONTH
        often = generator.gamma(1.5, 1, CUSTOMERS)
        self.customer = generator.choice(CUSTOMERS, orders, p=often / often.sum())
        self.at_ms = np.sort(generator.integers(0, months * MONTH, orders))
        kept = generator.normal(0, 1, (CUSTOMERS, len(FEATURES)))
        values = 0.8 * kept[self.customer] + 0.6 * generator.normal(0, 1, (orders, len(FEATURES)))
        values[:, 4:8] = np.floor(np.maximum(values[:, 4:8], 0))
        values[:, 8:10][generator.random((orders, 2)) < 0.2] = np.nan
        self.values = values
        self.probability = norm.cdf(0.5 * values[:, 0] + 0.3 * values[:, 1] - 1.9)
        common = 0.5 * generator.normal(0, 1, CUSTOMERS)[self.customer]
        own = np.sqrt(0.75) * generator.normal(0, 1, orders)
        self.luck = norm.cdf(common + own)
        self.merchant = np.array(
            [f"m{number}" for number in generator.zipf(1.6, orders).clip(max=30)], dtype=object
        )
        self.approved = generator.random(orders) < 0.9

    def scored(self) -> ScoredDecisions:
        return ScoredDecisions(
            as_of_ms=self.at_ms,
            customer=self.customer,
            values=self.values,
            probability=self.probability,
            label=(self.luck < self.probability).astype(np.int8),
            matured_at_ms=self.at_ms + MATURES_AFTER_MS,
        )

    def checks(self, period: Period, scored: ScoredDecisions | None = None) -> tuple[Check, ...]:
        """A month's checks of model, merchants and answers, judged together."""
        found = watch_scored(
            scored or self.scored(), period, model="m", features=FEATURES, bad_rate_factor=1.5
        )
        window, reference = period.is_window(self.at_ms), period.is_reference(self.at_ms)
        merchants = drift(
            "merchant_id",
            binned_categories(self.merchant[reference], self.merchant[window]),
            self.customer[reference],
            self.customer[window],
            period.month_of(self.at_ms[reference]),
        )
        log = a_log(self.at_ms, np.where(self.approved, "approved", "declined"), self.customer.astype(str))
        _, of_log = live_checks(a_record(log), period)
        return judged([*found.candidates, drift_candidate(Section.INPUTS, None, merchants), *of_log])


def a_log(at_ms: np.ndarray, outcome: np.ndarray, customer: np.ndarray) -> LoggedDecisions:
    return LoggedDecisions(
        customer_id=customer.astype(object),
        as_of_ms=at_ms,
        outcome=outcome.astype(object),
        main_reason=np.where(outcome == "declined", "score_too_low", None),
    )


def a_record(log: LoggedDecisions, **changes: object) -> LiveRecord:
    nothing = Verdicts(
        at_ms=np.empty(0, dtype=np.int64),
        merchant_id=np.empty(0, dtype=object),
        is_released=np.empty(0, dtype=bool),
    )
    return replace(LiveRecord(decisions=log, verdicts=nothing, events={}, comparisons=()), **changes)


def month(number: int) -> Period:
    return period_until((number + 1) * MONTH, days=30, reference_days=180)


def alarms(checks: tuple[Check, ...]) -> set[tuple[str, str]]:
    return {(check.section.value, check.name) for check in checks if check.level is Level.ALARM}


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Stream(1, 10)


@pytest.mark.slow
def test_a_hundred_months_without_drift_raise_at_most_five_false_alarms() -> None:
    stream = Stream(0, 106)
    scored = stream.scored()
    checks = [stream.checks(month(number), scored) for number in range(6, 106)]
    assert sum(bool(alarms(found)) for found in checks) <= 5
    significant = [
        [check for check in found if (check.adjusted_p_value or 1) <= FAMILY_WISE_CHANCE] for found in checks
    ]
    # By chance alone, before the size of the difference is asked for.
    assert sum(bool(found) for found in significant) <= 5
    assert all(len(found) > 15 for found in checks)


def test_an_undrifted_month_is_quiet(stream: Stream) -> None:
    assert {check.level for check in stream.checks(month(9))} == {Level.QUIET}


@pytest.mark.parametrize("broken", [0.0, np.nan])
def test_a_feature_whose_source_breaks_raises_the_alarm(stream: Stream, broken: float) -> None:
    scored = stream.scored()
    values = scored.values.copy()
    values[month(9).is_window(scored.as_of_ms), 3] = broken
    assert alarms(stream.checks(month(9), replace(scored, values=values))) == {("features", FEATURES[3].name)}


def test_a_shifted_score_raises_the_alarm_before_any_label(stream: Stream) -> None:
    scored = stream.scored()
    worse = norm.cdf(norm.ppf(scored.probability) + 0.6)
    shifted = np.where(month(9).is_window(scored.as_of_ms), worse, scored.probability)
    found = alarms(stream.checks(month(9), replace(scored, probability=shifted)))
    assert {("score", "probability"), ("estimated", "expected bad rate")} <= found


def test_a_bad_rate_that_doubled_raises_the_alarm_once_labels_mature(stream: Stream) -> None:
    scored = stream.scored()
    matured = month(9).is_window(scored.matured_at_ms)
    doubled = (stream.luck < np.where(matured, 2, 1) * scored.probability).astype(np.int8)
    found = alarms(stream.checks(month(9), replace(scored, label=doubled)))
    assert ("realised", "bad rate") in found
    assert not {section for section, _ in found} & {"features", "score", "estimated"}


def test_a_model_that_has_stopped_ranking_raises_the_alarm(stream: Stream) -> None:
    scored = stream.scored()
    matured = month(9).is_window(scored.matured_at_ms)
    at_random = (stream.luck < scored.probability.mean()).astype(np.int8)
    label = np.where(matured, at_random, scored.label).astype(np.int8)
    assert ("realised", "AUC") in alarms(stream.checks(month(9), replace(scored, label=label)))


def test_orders_that_go_to_one_merchant_raise_the_alarm() -> None:
    stream = Stream(2, 10)
    moved = month(9).is_window(stream.at_ms) & (np.arange(len(stream.at_ms)) % 3 == 0)
    stream.merchant[moved] = "new"
    assert alarms(stream.checks(month(9))) == {("inputs", "merchant_id")}


def test_an_approval_rate_that_drops_raises_the_alarm() -> None:
    stream = Stream(3, 10)
    stream.approved &= ~month(9).is_window(stream.at_ms) | (np.arange(len(stream.at_ms)) % 4 != 0)
    assert alarms(stream.checks(month(9))) == {("rates", "approval rate")}


def test_an_outage_raises_the_alarm_also_where_there_is_no_past_to_compare_with() -> None:
    at_ms = 9 * MONTH + np.arange(200)
    outcome = np.where(np.arange(200) < 20, "unavailable", "approved")
    _, found = live_checks(a_record(a_log(at_ms, outcome, np.arange(200).astype(str))), month(9))
    assert alarms(judged(found)) == {("rates", "unavailable rate")}


def test_a_team_that_suddenly_releases_everything_raises_the_alarm() -> None:
    generator = np.random.default_rng(5)
    at_ms = np.sort(generator.integers(3 * MONTH, 10 * MONTH, 700))
    verdicts = Verdicts(
        at_ms=at_ms,
        merchant_id=generator.integers(0, 60, 700).astype(str).astype(object),
        is_released=month(9).is_window(at_ms) | (generator.random(700) < 0.5),
    )
    record = a_record(a_log(at_ms[:0], np.empty(0, dtype=str), np.empty(0, dtype=str)), verdicts=verdicts)
    assert alarms(judged(live_checks(record, month(9))[1])) == {("rates", "release rate")}


def test_one_feature_that_differs_offline_raises_the_alarm_and_is_named() -> None:
    comparison = FeatureComparison(
        model="m", compared=200, not_comparable=0, differences=(("dec_1", "account_age_days_max", 1.0, 2.0),)
    )
    record = a_record(
        a_log(np.array([9 * MONTH]), np.array(["approved"]), np.array(["c"])), comparisons=(comparison,)
    )
    (check,) = [one for one in judged(live_checks(record, month(9))[1]) if one.level is Level.ALARM]
    assert check.section is Section.CONSISTENCY
    assert "dec_1, account_age_days_max: 1.0 logged, 2.0 rebuilt" in check.finding


def test_refused_events_raise_the_alarm_when_they_become_many() -> None:
    events = {
        "orders": RowCounts(refused_before=2, accepted_before=6000, refused=40, accepted=1000),
        "invoices": RowCounts(refused_before=2, accepted_before=6000, refused=1, accepted=1000),
    }
    record = a_record(a_log(np.array([9 * MONTH]), np.array(["approved"]), np.array(["c"])), events=events)
    found = judged(live_checks(record, month(9))[1])
    assert alarms(found) == {("contracts", "orders, sent to the service")}


def test_weeks_begin_on_monday() -> None:
    at = [datetime(2026, 6, day, 12, tzinfo=UTC) for day in (7, 8, 14)]
    at_ms = np.array([round(one.timestamp() * 1000) for one in at])
    log = a_log(at_ms, np.array(["approved", "declined", "approved"]), np.array(["a", "b", "c"]))
    assert [(week.week, week.approved, week.declined) for week in weeks_of(log)] == [
        ("2026-06-01", 1, 0),
        ("2026-06-08", 1, 1),
    ]


def test_holms_procedure_rejects_what_the_textbook_rejects() -> None:
    generator = np.random.default_rng(1)
    for _ in range(50):
        p_values = generator.random(12) ** 4
        rejected = set()
        for step, place in enumerate(np.argsort(p_values)):
            if p_values[place] > 0.05 / (12 - step):
                break
            rejected.add(int(place))
        assert set(np.flatnonzero(holm(p_values.tolist()) <= 0.05).tolist()) == rejected


def test_many_features_do_not_drown_a_figure() -> None:
    features = [candidate(Section.FEATURES, 0.5) for _ in range(500)]
    (worst, *_) = judged([*features, candidate(Section.REALISED, 0.004)])
    assert worst.section is Section.REALISED
    assert worst.level is Level.ALARM


def candidate(section: Section, p_value: float) -> Candidate:
    return Candidate(
        section=section,
        model="m",
        name="x",
        worst_level=Level.ALARM,
        p_value=p_value,
        is_judged=True,
        finding="",
    )


@pytest.fixture(scope="module")
def drifted_report(trained: TrainedBook, tmp_path_factory: pytest.TempPathFactory) -> MonitoringReport:
    """A whole run on a simulated book whose last month has planted faults."""
    book = tmp_path_factory.mktemp("drifted") / "book"
    shutil.copytree(trained.book, book)
    period = period_until(ledger_end_ms(book), days=30, reference_days=180)
    in_window = larger_amounts(book, ORDERS, period)
    refused = [
        quarantine.QuarantinedRow(contract="orders", row={"recorded_at": at}, violations=())
        for at in ["2026-05-20T10:00:00Z"] * 30
    ]
    quarantine.append(book, "orders", refused, quarantined_at="2026-06-01T00:00:00+00:00")
    assert in_window > 300
    return run(trained, book, period)


def larger_amounts(book: Path, contract: Contract, period: Period) -> int:
    table = read_table(book, contract)
    in_window = period.is_window(milliseconds(table["occurred_at"]))
    cents = table["amount_cents"].to_numpy()
    changed = np.where(in_window, cents * 2, cents)
    place = table.column_names.index("amount_cents")
    write_table(book, contract, table.set_column(place, table.schema.field(place), [changed]))
    return int(in_window.sum())


def run(trained: TrainedBook, book: Path, period: Period) -> MonitoringReport:
    return monitor(
        book,
        period,
        registry=ModelRegistry(trained.tracking_uri, trained.artifact_root),
        models=("invoice-eligibility", "order-risk"),
        live=None,
        live_note="there is no store",
        now=datetime(2026, 6, 1, tzinfo=UTC),
    )


def test_amounts_that_double_and_refused_rows_are_named_in_a_whole_run(
    drifted_report: MonitoringReport,
) -> None:
    found = alarms(drifted_report.checks)
    assert {("inputs", "amount_cents"), ("contracts", "orders")} <= found
    assert not {section for section, _ in found} - {"inputs", "contracts"}
    assert drifted_report.has_alarm
    text = drifted_report.to_text()
    assert "ALARM" in text
    assert "next: " in text
    eligibility, order_risk = drifted_report.models
    assert eligibility.realised is not None
    assert eligibility.estimated is not None
    assert len(eligibility.features) == len(INVOICE_ELIGIBILITY.features)
    assert order_risk.note == "no champion: nothing is watched"


def test_the_book_without_the_planted_faults_raises_no_alarm(trained: TrainedBook) -> None:
    period = period_until(ledger_end_ms(trained.book), days=30, reference_days=180)
    assert not run(trained, trained.book, period).has_alarm


def test_page_json_and_metrics_say_the_same(drifted_report: MonitoringReport, tmp_path: Path) -> None:
    write_report(drifted_report, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "monitor.html",
        "monitor.json",
        "monitor.prom",
    ]
    document = json.loads((tmp_path / "monitor.json").read_text())
    assert document["level"] == "alarm"
    families = {
        family.name: family
        for family in text_string_to_metric_families((tmp_path / "monitor.prom").read_text())
    }
    assert families["bonitas_monitor_level"].samples[0].value == 2
    levels = {
        (sample.labels["section"], sample.labels["name"]): sample.value
        for sample in families["bonitas_monitor_check_level"].samples
    }
    assert levels["inputs", "amount_cents"] == 2
    assert sum(value == 2 for value in levels.values()) == len(drifted_report.checks_at(Level.ALARM))
    html = (tmp_path / "monitor.html").read_text()
    assert html.index("amount_cents") < html.index("<h2>")
    assert "Next: " in html
    assert html == page(drifted_report)
    for outside in ("http://", "https://", "<script", "src="):
        assert outside not in html.replace('xmlns="http://www.w3.org/2000/svg"', "").replace(
            'xmlns:xlink="http://www.w3.org/1999/xlink"', ""
        )
