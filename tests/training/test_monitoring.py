"""What raises the alarm and what does not: planted drift, a hundred quiet months, a whole run."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families
from scipy.stats import norm

from data_contracts.contract import Contract
from data_contracts.instants import DAY_MS
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import read_table, write_table
from data_contracts.validation import quarantine
from evidence.drift import binned_categories, drift
from evidence.multiple_tests import holm
from features.feature_sets import INVOICE_ELIGIBILITY
from features.supersession import milliseconds
from tests.training.conftest import TrainedBook
from training.labels import ledger_end_ms, order_labels
from training.monitoring.checks import FAMILY_WISE_CHANCE, Candidate, Check, Level, Section, judged
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
from training.monitoring.realised_performance import realised_performance
from training.monitoring.report import page, write_report
from training.monitoring.watched_figures import drift_candidate, realised_candidates
from training.registry.registry import ModelRegistry
from training.splits import out_of_time_split

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
        # Two features that are hardly ever more than zero: in one month out of twenty not once.
        is_rare = generator.random((orders, 2)) < (0.007, 0.008)
        values[:, 10:12] = np.where(is_rare, np.exp(values[:, 10:12]), 0.0)

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
    assert sum(any(check.level is Level.NOTICE for check in found) for found in checks) <= 3
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


def test_what_the_champion_was_trained_on_is_no_evidence_of_how_it_does(stream: Stream) -> None:
    scored = stream.scored()
    matured = month(9).is_window(scored.matured_at_ms)
    trained_until_ms = month(9).window_from_ms + 10 * DAY_MS
    seen = matured & (scored.matured_at_ms < trained_until_ms)
    memorised = np.where(seen, 0, scored.label).astype(np.int8)
    found = watch_scored(
        replace(scored, label=memorised),
        month(9),
        model="m",
        features=FEATURES,
        bad_rate_factor=1.5,
        trained_until_ms=trained_until_ms,
    )
    assert found.watch.realised is not None
    assert found.watch.realised.bads == scored.label[matured & ~seen].sum()
    assert found.watch.realised.decisions == (matured & ~seen).sum()
    assert found.watch.trained_on == seen.sum() > 50
    (bad_rate,) = [candidate for candidate in found.candidates if candidate.name == "bad rate"]
    assert f"{seen.sum()} more left out, the champion was trained on them" in bad_rate.finding


@pytest.mark.parametrize(
    ("orders_each", "expected_bads", "is_judged"), [(1, 7, True), (4, 7, False), (4, 12, True)]
)
def test_more_bad_ones_must_be_expected_where_customers_are_alike(
    orders_each: int, expected_bads: int, is_judged: bool
) -> None:
    customer = np.repeat(np.arange(100), orders_each)
    probability = np.full(len(customer), expected_bads / len(customer))
    label = (customer < 3).astype(np.int8)
    found = realised_performance(label, probability, customer)
    (bad_rate, *_) = realised_candidates("m", found, 0.7, 1.5)
    assert bad_rate.is_judged is is_judged


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


def test_decisions_of_another_revision_are_counted_and_not_rebuilt() -> None:
    log = a_log(np.array([9 * MONTH]), np.array(["approved"]), np.array(["c"]))
    for compared, finding in (
        (200, "200 decisions rebuilt, every feature the same to the bit; 1,234 left out, they read another"),
        (0, "no decision was rebuilt; 1,234 left out, they read another version of the features"),
    ):
        others = FeatureComparison(model="m", compared=compared, not_comparable=1_234, differences=())
        checks = judged(live_checks(a_record(log, comparisons=(others,)), month(9))[1])
        (check,) = [one for one in checks if one.section is Section.CONSISTENCY]
        assert check.finding.startswith(finding)
        assert (check.level, check.is_judged) == (Level.QUIET, compared > 0)


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


@pytest.fixture(scope="module")
def report(trained: TrainedBook) -> MonitoringReport:
    """A whole run on the simulated book as it is."""
    return run(trained, trained.book, period_until(ledger_end_ms(trained.book), days=30, reference_days=180))


def test_the_book_without_the_planted_faults_raises_no_alarm(report: MonitoringReport) -> None:
    assert not report.has_alarm


def test_each_month_tells_how_many_of_its_decisions_trained_the_champion(
    report: MonitoringReport, trained: TrainedBook
) -> None:
    used = out_of_time_split(trained.book).training.decisions
    # An order that was found to be fraud since has no label any more.
    labels = order_labels(trained.book, report.period.window_until_ms)
    used = used.where(np.isin(used.decision_id.astype(str), labels.decisions.decision_id.astype(str)))
    at = used.as_of_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(str)
    # The first month is cut off where the year begins.
    months = report.models[0].vintages[1:]
    assert [one.trained_on for one in months] == [int((at == one.month).sum()) for one in months]
    partly = [one for one in months if 0 < one.trained_on < one.labelled]
    assert partly


def test_an_order_recorded_after_the_window_end_is_not_counted(
    report: MonitoringReport, trained: TrainedBook, tmp_path: Path
) -> None:
    book, period = tmp_path / "book", report.period
    shutil.copytree(trained.book, book)
    orders = read_table(book, ORDERS)
    late = np.flatnonzero(period.is_window(milliseconds(orders["occurred_at"])))[:40]
    recorded_at = milliseconds(orders["recorded_at"]).copy()
    recorded_at[late] = period.window_until_ms
    place = orders.column_names.index("recorded_at")
    column = pa.array(recorded_at, pa.timestamp("ms", tz="UTC")).cast(orders.schema.field(place).type)
    write_table(book, ORDERS, orders.set_column(place, orders.schema.field(place), [column]))
    found = run(trained, book, period)
    assert found.inputs[0].window_decisions == report.inputs[0].window_decisions - 40
    assert found.models[0].window_decisions == report.models[0].window_decisions - 40
    assert sum(one.decisions for one in found.models[0].vintages) == (
        sum(one.decisions for one in report.models[0].vintages) - 40
    )


def test_a_feature_that_was_missing_is_null_in_the_document(report: MonitoringReport, tmp_path: Path) -> None:
    differences = (("dec_1", "x", float("nan"), 3.0), ("dec_2", "y", 1.0, float("nan")))
    compared = FeatureComparison(model="m", compared=2, not_comparable=0, differences=differences)
    write_report(replace(report, comparisons=(compared,)), tmp_path)
    document = parsed((tmp_path / "monitor.json").read_text())
    assert document["consistency"][0]["differences"] == [["dec_1", "x", None, 3.0], ["dec_2", "y", 1.0, None]]


def parsed(text: str) -> dict[str, Any]:
    """JSON as the standard has it: Python's own reader takes NaN as well."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    found: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return found


def test_page_json_and_metrics_say_the_same(drifted_report: MonitoringReport, tmp_path: Path) -> None:
    write_report(drifted_report, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "monitor.html",
        "monitor.json",
        "monitor.prom",
    ]
    document = parsed((tmp_path / "monitor.json").read_text())
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
