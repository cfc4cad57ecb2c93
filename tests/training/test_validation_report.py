"""The page of a training run: what it says, that it stands alone, and that it names what was planted."""

import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import bonitas
from data_contracts.instants import DAY_MS
from data_contracts.ledger_folder import PROTECTED_ATTRIBUTES_FILE
from features.decisions import Decisions
from features.declarations import Direction
from features.feature_sets import INVOICE_ELIGIBILITY
from tests.empty_registry import with_empty_registry
from tests.training.planted_models import planted_evidence
from training.gates.gates import Gate
from training.invoice_eligibility import INVOICE_ELIGIBILITY_TASK
from training.labels import ledger_end_ms, order_labels
from training.registry.registry import ModelRegistry
from training.train import train
from training.training_task import TrainingRequest
from training.validation.evidence import ValidationEvidence
from training.validation.figures import ValidationFigures, validation_figures
from training.validation.label_maturity import LabelledDecisions, label_maturity, labelled_decisions
from training.validation.population_shift import SCORE, ShiftLevel
from training.validation.report import REPORT_HTML, REPORT_JSON, render
from training.validation.verdict import Verdict, Weight, verdict

VOID = {"meta", "line", "polyline", "polygon", "rect", "circle", "br", "link", "img"}


class Page(HTMLParser):
    """Reads a page strictly: every element is closed in turn, headings and tables are noted."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def of(self, *names: str) -> list[tuple[str, dict[str, str | None]]]:
        return [(tag, attributes) for tag, attributes in self.tags if tag in names]


@pytest.fixture(scope="module")
def sound() -> ValidationEvidence:
    return planted_evidence()


@pytest.fixture(scope="module")
def sound_figures(sound: ValidationEvidence) -> ValidationFigures:
    return validation_figures(sound)


def judged(evidence: ValidationEvidence) -> Verdict:
    return verdict(validation_figures(evidence))


def sentences(found: Verdict, section: str) -> str:
    return " ".join(finding.sentence for finding in found.findings if finding.section == section)


def page_of(evidence: ValidationEvidence, figures: ValidationFigures) -> str:
    return render(figures, verdict(figures), evidence.card).replace("\N{NO-BREAK SPACE}", " ")


def test_the_page_stands_alone_and_is_well_formed(
    sound: ValidationEvidence, sound_figures: ValidationFigures
) -> None:
    page = Page(page_of(sound, sound_figures))
    assert page.open == []
    assert not page.of("script", "link", "img", "iframe", "object")
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")]
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {str(a["href"])[1:] for _, a in page.of("a")} <= anchors
    assert "@import" not in page_of(sound, sound_figures)
    assert "url(" not in page_of(sound, sound_figures)


def test_the_page_can_be_read_without_seeing_it(
    sound: ValidationEvidence, sound_figures: ValidationFigures
) -> None:
    page = Page(page_of(sound, sound_figures))
    assert page.of("html")[0][1]["lang"] == "en"
    assert len(page.of("h1")) == 1
    assert page.of("title")
    assert page.of("svg")
    for _, attributes in page.of("svg"):
        assert attributes["role"] == "img"
        assert len(attributes["aria-label"] or "") > 20
    assert all(attributes.get("scope") in {"col", "row"} for _, attributes in page.of("th"))


def test_the_page_holds_every_section_and_the_model_card(
    sound: ValidationEvidence, sound_figures: ValidationFigures
) -> None:
    text = page_of(sound, sound_figures)
    for part in ("ROC", "Precision and recall", "KS.", "Lift.", "Calibration curve", "Score distribution"):
        assert part in text
    for part in ("Merchant", "First and repeat orders", "Country of residence", "Month of the decision"):
        assert f"<h3>{part}</h3>" in text
    for group in ("payment history", "credit inquiries", "balances", "account age"):
        assert group in text
    assert sound.card.purpose in text
    for section in sound.card.sections:
        assert f"<h3>{section.heading}</h3>" in text


def test_text_from_the_data_cannot_break_out_of_the_page(sound: ValidationEvidence) -> None:
    assert sound.attributes.merchant_id is not None
    merchants = sound.attributes.merchant_id.copy()
    merchants[merchants == "mer-0"] = "<script>alert(1)</script>"
    merchants[merchants == "mer-1"] = "a & b"
    evidence = replace(sound, attributes=replace(sound.attributes, merchant_id=merchants))
    text = page_of(evidence, validation_figures(evidence))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "a &amp; b</text>" in text
    assert "&amp;amp;" not in text
    assert "&amp;lt;" not in text


def test_the_figures_survive_strict_json(sound_figures: ValidationFigures) -> None:
    text = json.dumps(sound_figures.to_json(), allow_nan=False)
    again = json.loads(text)
    assert again["evaluation"]["auc"]["value"] == sound_figures.evaluation.auc.value
    assert len(again["features"]) == len(INVOICE_ELIGIBILITY.features)


def test_a_sound_model_is_not_accused(sound_figures: ValidationFigures) -> None:
    found = verdict(sound_figures)
    assert found.weight is not Weight.BAD
    assert "Do not use" not in found.headline
    assert found.ranking.weight is Weight.GOOD
    assert not sentences(found, "fairness")
    assert not sentences(found, "stability")
    assert not sentences(found, "features")


def test_a_failed_gate_stands_in_the_headline(sound_figures: ValidationFigures) -> None:
    gate = Gate(name="calibration", passed=False, finding="mean probability is 4.00 times the bad rate")
    found = verdict(replace(sound_figures, gates=(gate,)))
    assert found.weight is Weight.BAD
    assert "failed the gate calibration" in found.headline
    assert gate.finding in sentences(found, "gates")


def test_a_group_held_riskier_than_it_is_is_named(sound: ValidationEvidence) -> None:
    assert sound.attributes.age_years is not None
    young = sound.attributes.age_years < 25
    probability = np.where(young, np.minimum(sound.probability * 2.5, 0.99), sound.probability)
    found = judged(replace(sound, test_probability={"scorecard": probability}))
    assert found.weight is Weight.BAD
    assert "Age under 25: the model sees more risk than there is" in sentences(found, "fairness")
    assert "Age 45 to 54" not in sentences(found, "fairness").split("Age under 25", 1)[0]


def test_a_feature_against_its_direction_is_named() -> None:
    against = INVOICE_ELIGIBILITY.features[0]
    assert against.direction is not Direction.NONE
    weight = -1.0 if against.direction is Direction.HIGHER_IS_WORSE else 1.0
    found = judged(planted_evidence(weights={against.name: weight}))
    assert found.weight is Weight.BAD
    assert against.name in sentences(found, "features")


def test_a_feature_that_has_moved_is_named_and_the_others_are_not(sound: ValidationEvidence) -> None:
    moved = 3
    values = sound.test_values.copy()
    values[:, moved] += 2.0
    figures = validation_figures(replace(sound, test_values=values))
    levels = {shift.name: shift.level for shift in figures.shifts}
    name = INVOICE_ELIGIBILITY.names[moved]
    assert levels.pop(name) is ShiftLevel.MOVED_MUCH
    assert levels.pop(SCORE) is ShiftLevel.STABLE
    assert set(levels.values()) == {ShiftLevel.STABLE}
    assert name in sentences(verdict(figures), "stability")


def test_sections_without_data_say_so_in_a_line(sound: ValidationEvidence) -> None:
    nothing = replace(
        sound.attributes, merchant_id=None, is_repeat=None, country=None, age_years=None, sex=None
    )
    evidence = replace(sound, attributes=nothing, training=None)
    figures = validation_figures(evidence)
    text = page_of(evidence, figures)
    assert text.count("are not orders of the ledger") == 2
    assert "The data hold no customers." in text
    assert "By age: the data do not hold it." in text
    assert "By sex: the data do not hold it." in text
    assert "nothing can have shifted" in text


def test_labels_are_counted_by_month_and_their_delay_is_that_of_the_bad_ones() -> None:
    ids = np.array(["a", "b", "c"], dtype=object)
    as_of_ms = np.array([0, 40 * DAY_MS, 41 * DAY_MS])
    everything = Decisions(decision_id=ids, customer_id=ids, as_of_ms=as_of_ms)
    known = np.array([True, True, False])
    laid = labelled_decisions(
        everything,
        everything.where(known),
        np.array([1, 0], dtype=np.int8),
        np.array([30 * DAY_MS, 90 * DAY_MS]),
    )
    assert laid.label.tolist() == [1, 0, -1]
    maturity = label_maturity(laid)
    assert [(m.month, m.decisions, m.labelled, m.bads) for m in maturity.months] == [
        ("1970-01", 1, 1, 1),
        ("1970-02", 2, 1, 0),
    ]
    assert {delay.days for delay in maturity.delays} == {30.0}
    unlabelled = LabelledDecisions(as_of_ms=as_of_ms, label=np.full(3, -1, dtype=np.int8), known_at_ms=None)
    assert label_maturity(unlabelled).months[0].bad_rate is None


def test_a_training_run_leaves_its_report_and_the_command_fetches_it(
    trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = ModelRegistry(trained.tracking_uri, trained.artifact_root)
    version, page = registry.run_file("invoice-eligibility", "1", REPORT_HTML, tmp_path)
    assert version == "1"
    figures = json.loads(registry.run_file("invoice-eligibility", "1", REPORT_JSON, tmp_path)[1].read_text())
    result = trained.result
    assert figures["evaluation"]["auc"]["value"] == result.evaluations[result.winner].auc.value
    assert figures["evaluation"]["decisions"] == sum(row["decisions"] for row in figures["calibration"])
    assert {row["group"] for row in figures["ablation"]["groups"]} == {
        "payment_history",
        "credit_inquiries",
        "balances",
        "account_age",
    }
    assert [table["attribute"] for table in figures["fairness"]] == ["age"]
    Page(page.read_text())

    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "mlartifacts").symlink_to(trained.artifact_root)
    monkeypatch.setenv("BONITAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BONITAS_MLFLOW_URI", trained.tracking_uri)
    out = tmp_path / "out" / "report.html"
    asked = CliRunner().invoke(
        bonitas.main, ["report", "invoice-eligibility", "--version", "1", "--out", str(out), "--json"]
    )
    assert asked.exit_code == 0, asked.output
    assert json.loads(asked.stdout)["verdict"] == figures["verdict"]
    assert out.read_bytes() == page.read_bytes()
    assert json.loads(out.with_suffix(".json").read_text()) == figures


def test_a_folder_with_labels_of_its_own_has_a_report_too_with_the_sexes_that_it_names(
    small_book: Path, tmp_path: Path
) -> None:
    book = tmp_path / "book"
    shutil.copytree(small_book, book)
    labels = order_labels(small_book, ledger_end_ms(small_book))
    wanted = np.arange(len(labels)) % 3 == 0
    few = labels.where(wanted)
    instant = pa.timestamp("ms", tz="UTC")
    columns = {
        "decision_id": [f"decision-{number}" for number in range(len(few))],
        "customer_id": few.decisions.customer_id,
        "as_of": pa.array(few.decisions.as_of_ms).cast(instant),
        "label": few.label,
        "known_at": pa.array(few.known_at_ms).cast(instant),
    }
    pq.write_table(pa.table(columns), book / "labels.parquet")
    (book / "protocol.toml").write_text('split = "stratified_k_fold"\nfolds = 2\nseed = 0\n')
    customers = np.unique(few.decisions.customer_id.astype(str))
    sexes = np.where(np.arange(len(customers)) % 2 == 0, "female", "male")
    pq.write_table(pa.table({"customer_id": customers, "sex": sexes}), book / PROTECTED_ATTRIBUTES_FILE)
    uri = f"sqlite:///{with_empty_registry(tmp_path) / 'mlflow.db'}"
    train(
        INVOICE_ELIGIBILITY_TASK,
        TrainingRequest(directory=book, tracking_uri=uri, artifact_root=tmp_path / "artifacts", seed=1),
    )
    file = next((tmp_path / "artifacts").rglob(REPORT_JSON))
    figures = json.loads(file.read_text())
    assert figures["shift_absent"]
    assert {table["attribute"] for table in figures["fairness"]} == {"age", "sex"}
    absent = {table["title"] for table in figures["segments"] if table["absent"]}
    assert absent == {"Merchant", "First and repeat orders"}
    assert figures["ablation"]["test_rows"] == pytest.approx(len(few) / 2, abs=1)
    text = (file.parent / REPORT_HTML).read_text()
    assert "nothing can have shifted" in text
    Page(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--version", "77", "--out", "x.html"], "has no version 77; registered: 1"),
        (["--out", "x.pdf"], "must end in .html"),
    ],
)
def test_a_report_that_is_not_there_is_refused_in_words(
    trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.setenv("BONITAS_HOME", str(tmp_path))
    monkeypatch.setenv("BONITAS_MLFLOW_URI", trained.tracking_uri)
    asked = CliRunner().invoke(bonitas.main, ["report", "invoice-eligibility", *arguments])
    assert asked.exit_code != 0
    assert message in asked.output
