"""The benchmark of flat tables: its protocol on made-up ones, its bars on the public ones."""

import datetime as dt
import json
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from scipy.special import expit
from scipy.stats import ks_2samp
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    roc_auc_score,
    roc_curve,
)

import bonitas
from data_contracts.public import gmsc, uci_taiwan
from features.declarations import Direction
from training.candidates.directed_logistic import fit_directed_logistic
from training.errors import TrainingError
from training.flat_tables import table_benchmark, table_choice
from training.flat_tables.table_benchmark import benchmark, run_public
from training.flat_tables.table_choice import (
    Candidate,
    choose,
    fit_chosen,
    simplest_within_one_standard_error,
)
from training.flat_tables.table_columns import derived_values, labels_of, model_columns
from training.flat_tables.table_folds import folds_of, inner_folds, split_keys
from training.flat_tables.table_result import (
    BONITAS,
    DEFAULT,
    FIGURE_NAMES,
    WITH_PROTECTED,
    WITHOUT_DIRECTIONS,
)
from training.flat_tables.table_schema import Operation, Split, SplitKind
from training.flat_tables.table_schema_reader import parse_table_schema

NO_CODE = ""
STRATIFIED = 'kind = "stratified_k_fold"\nfolds = 3'


def a_schema(columns, *, split=STRATIFIED, derived=""):
    """columns: (name, direction, special codes as TOML) each; "age" is declared as protected."""
    text = f'title = "made up"\nlabel = "bad"\npurpose = "credit"\n[split]\n{split}\n'
    for name, direction, codes in columns:
        group = "protected" if name == "age" else "payment_history"
        text += f'[[columns]]\nname = "{name}"\ngroup = "{group}"\ndirection = "{direction}"\n'
        text += 'purpose = "credit"\n' + (f"special_codes = {codes}\n" if codes else "")
    return parse_table_schema(text + derived)


def linear_table(rows=1000, columns=12, seed=0):
    """Noisy rows drawn from a linear model: no tree can know better."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(rows, columns))
    bad = generator.random(rows) < expit(values @ np.linspace(-0.35, 0.35, columns) - 1.0)
    return pa.table({f"x{place}": values[:, place] for place in range(columns)} | {"bad": bad.astype(int)})


def stepped_table(rows=4000, seed=0):
    """Two columns whose interaction no line and no scorecard can tell, and a count with codes."""
    generator = np.random.default_rng(seed)
    one, other = generator.normal(size=(2, rows))
    late = generator.integers(0, 6, rows).astype(float)
    bad = generator.random(rows) < expit(3.0 * np.sign(one * other) + 0.4 * late - 2.0)
    late[generator.random(rows) < 0.03] = 98
    return pa.table({"one": one, "other": other, "late": late, "age": late + one, "bad": bad.astype(int)})


STEPPED = [
    ("one", "none", NO_CODE),
    ("other", "none", NO_CODE),
    ("late", "higher_is_worse", "[98]"),
    ("age", "none", NO_CODE),
]


@contextmanager
def bold_trees():
    """Fewer and bolder trees, for tests of the protocol rather than of how well it predicts."""
    with pytest.MonkeyPatch.context() as patch:
        bolder = {"learning_rate": 0.3, "num_threads": 1}
        patch.setattr(table_choice, "TREE_PARAMETERS", table_choice.TREE_PARAMETERS | bolder)
        patch.setattr(table_benchmark, "DEFAULT_PARAMETERS", table_benchmark.DEFAULT_PARAMETERS | bolder)
        patch.setattr(table_choice, "EARLY_STOPPING_ROUNDS", 10)
        yield


@pytest.fixture
def quick():
    with bold_trees():
        yield


@pytest.fixture(scope="module")
def stepped_result():
    with bold_trees():
        return benchmark(stepped_table(1500), a_schema(STEPPED), with_protected=True, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_on_a_thousand_noisy_rows_of_a_linear_model_the_logistic_regression_is_picked(seed):
    columns = [(f"x{place}", "none", NO_CODE) for place in range(12)]
    result = benchmark(linear_table(seed=seed), a_schema(columns), seed=seed)
    chosen = result.variants[BONITAS].chosen
    assert [choice.candidate for choice in chosen] == [Candidate.LOGISTIC] * 3
    assert result.variants[BONITAS].spread("auc").mean > result.variants[DEFAULT].spread("auc").mean + 0.02
    assert result.direction_cost_auc is None


def test_where_columns_interact_boosting_is_picked(stepped_result):
    chosen = stepped_result.variants[BONITAS].chosen
    assert {choice.candidate for choice in chosen} == {Candidate.LIGHTGBM}
    assert all(
        choice.judged[Candidate.LIGHTGBM].log_loss < choice.judged[Candidate.SCORECARD].log_loss
        for choice in chosen
    )


def test_the_result_states_every_fold_the_means_and_both_costs(stepped_result):
    document = json.loads(json.dumps(stepped_result.to_json()))
    ours = document["variants"][BONITAS]
    assert len(ours["folds"]) == 3
    for name in FIGURE_NAMES:
        assert ours["mean"][name] == pytest.approx(np.mean([fold[name] for fold in ours["folds"]]))
    for variant, cost in (
        (WITHOUT_DIRECTIONS, stepped_result.direction_cost_auc),
        (WITH_PROTECTED, stepped_result.protected_cost_auc),
    ):
        freer = document["variants"][variant]["mean"]["auc"]
        assert cost.mean == pytest.approx(freer - ours["mean"]["auc"])
    text = stepped_result.to_text()
    assert "keeping the directions costs" in text
    assert "leaving out the protected columns costs" in text


@pytest.mark.slow
def test_the_same_seed_tells_the_same(quick):
    table, schema = stepped_table(900), a_schema(STEPPED)
    assert benchmark(table, schema, seed=4).variants == benchmark(table, schema, seed=4).variants


def test_the_figures_are_those_of_scikit_learn_and_scipy():
    generator = np.random.default_rng(5)
    label = (generator.random(3000) < 0.2).astype(np.int8)
    probability = np.round(expit(generator.normal(size=3000) + label), 3)
    figures = table_benchmark._figures(label, probability)
    false_positive, true_positive, _ = roc_curve(label, probability, drop_intermediate=False)
    assert figures.auc == pytest.approx(roc_auc_score(label, probability))
    assert figures.gini == pytest.approx(2 * roc_auc_score(label, probability) - 1)
    assert figures.ks == pytest.approx(ks_2samp(probability[label == 1], probability[label == 0]).statistic)
    assert figures.brier == pytest.approx(brier_score_loss(label, probability))
    assert figures.average_precision == pytest.approx(average_precision_score(label, probability))
    assert figures.recall_at_1pct_fpr == true_positive[false_positive <= 0.01].max()
    assert figures.recall_at_5pct_fpr == true_positive[false_positive <= 0.05].max()
    deciles = np.array_split(np.argsort(-probability, kind="stable"), 10)
    naive = np.mean([abs(probability[rows].mean() - label[rows].mean()) for rows in deciles])
    assert figures.calibration_error == pytest.approx(naive, abs=0.002)


@pytest.mark.parametrize("candidate", Candidate)
def test_raising_a_directed_column_never_lowers_the_risk_whatever_is_chosen(quick, candidate):
    derived = (
        '[[derived]]\nname = "late_per_one"\noperation = "ratio"\nof = ["late", "one"]\n'
        'group = "payment_history"\ndirection = "higher_is_worse"\n'
    )
    table, schema = stepped_table(), a_schema(STEPPED, derived=derived)
    # Were directions not kept, this label would teach the contrary.
    table = table.set_column(
        table.column_names.index("bad"),
        "bad",
        pa.array((np.asarray(table["late"]) < 2) ^ (np.asarray(table["one"]) > 0.5)).cast(pa.int64()),
    )
    label, columns = labels_of(table, schema), model_columns(table, schema)
    inner = inner_folds(schema.split, label, split_keys(table, schema.split), 0)
    choice = choose(columns, label, inner, seed=0)
    choice = table_choice.Choice(
        candidate=candidate, trees=80, calibration=choice.calibration, judged=choice.judged
    )
    model = fit_chosen(choice, columns, label, seed=0)

    def risk(late):
        changed = table.set_column(table.column_names.index("late"), "late", pa.array(late))
        return model.probability(model_columns(changed, schema).values)

    counts = np.asarray(table["late"])
    risks = [risk(np.where(counts == 98, 98.0, late)) for late in range(8)]
    assert np.min(np.diff(risks, axis=0)) >= -1e-12


def test_a_code_is_missing_and_marked_and_no_derived_column_counts_it():
    table = pa.table({"late": [1.0, 98.0, 3.0], "later": [0.0, 98.0, None], "bad": [0, 1, 0]})
    derived = (
        '[[derived]]\nname = "in_all"\noperation = "sum"\nof = ["late", "later"]\n'
        'group = "payment_history"\ndirection = "higher_is_worse"\n'
    )
    codes = [("late", "higher_is_worse", "[96, 98]"), ("later", "higher_is_worse", "[96, 98]")]
    columns = model_columns(table, a_schema(codes, derived=derived))
    # The second column's codes stand in the same rows and need no second mark.
    assert columns.names == ("late", "later", "in_all", "late is a code", "later is missing")
    expected = [[1, 0, 1, 0, 0], [np.nan, np.nan, np.nan, 1, 0], [3, np.nan, 3, 0, 1]]
    assert np.array_equal(columns.values, np.array(expected), equal_nan=True)
    assert columns.directions[:3] == (Direction.HIGHER_IS_WORSE,) * 3
    assert set(columns.directions[3:]) == {Direction.NONE}


def test_texts_become_one_column_each_and_rare_ones_none():
    table = pa.table({"kind": ["a"] * 150 + ["b"] * 49 + ["c"], "bad": [0, 1] * 100})
    columns = model_columns(table, a_schema([("kind", "none", NO_CODE)]))
    assert columns.names == ("kind is a", "kind is b")
    assert columns.values.sum(axis=0).tolist() == [150, 49]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (Operation.DIFFERENCE, [-1, np.nan, 4]),
        (Operation.PRODUCT, [2, np.nan, 0]),
        (Operation.RATIO, [0.5, np.nan, np.nan]),
        (Operation.SUM, [3, 5, 4]),
        (Operation.MAXIMUM, [2, 5, 4]),
        (Operation.MINIMUM, [1, 5, 0]),
        (Operation.COUNT_POSITIVE, [2, 1, 1]),
    ],
)
def test_derived_columns_leave_out_or_hand_on_what_is_missing(operation, expected):
    one, other = np.array([1, np.nan, 4]), np.array([2, 5.0, 0])
    assert np.array_equal(derived_values(operation, [one, other]), expected, equal_nan=True)


def test_no_group_is_on_both_sides_of_a_grouped_fold_outer_or_inner():
    generator = np.random.default_rng(0)
    group = generator.integers(0, 90, 2000)
    label = (generator.random(2000) < 0.3).astype(np.int8)
    split = Split(kind=SplitKind.GROUPED_K_FOLD, folds=4, group_column="client")
    keys = split_keys(pa.table({"client": [f"c{number}" for number in group]}), split)
    folds = folds_of(split, label, keys, seed=0)
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(2000))
    for fold in folds:
        assert not set(group[fold.training]) & set(group[fold.test])
        inner = inner_folds(split, label[fold.training], keys.of(fold.training), 0)
        assert inner
        for part in inner:
            within = group[fold.training]
            assert not set(within[part.training]) & set(within[part.test])


@pytest.mark.parametrize("as_dates", [True, False])
def test_by_time_everything_that_trains_is_earlier_and_rows_of_one_day_stay_together(as_dates):
    generator = np.random.default_rng(0)
    day = generator.integers(0, 60, 3000)
    label = (generator.random(3000) < 0.3).astype(np.int8)
    first = dt.date(2025, 1, 1)
    when = [first + dt.timedelta(days=int(number)) for number in day] if as_dates else day
    split = Split(kind=SplitKind.BY_TIME, time_column="day", test_share=0.25)
    keys = split_keys(pa.table({"day": when}), split)
    (fold,) = folds_of(split, label, keys, seed=0)
    assert day[fold.training].max() < day[fold.test].min()
    assert len(fold.training) + len(fold.test) == 3000
    assert 0.25 <= len(fold.test) / 3000 < 0.3
    (inner,) = inner_folds(split, label[fold.training], keys.of(fold.training), 0)
    within = day[fold.training]
    assert within[inner.training].max() < within[inner.test].min()


def test_labels_of_the_test_rows_choose_nothing_but_their_figures(quick):
    by_time = 'kind = "by_time"\ntime_column = "month"\ntest_share = 0.3'
    table = stepped_table(1200).append_column("month", pa.array(np.arange(1200) // 40))
    schema = a_schema(STEPPED, split=by_time)
    label = labels_of(table, schema)
    (fold,) = folds_of(schema.split, label, split_keys(table, schema.split), 0)
    label[fold.test] = 1 - label[fold.test]
    turned = table.set_column(table.column_names.index("bad"), "bad", pa.array(label))
    one = benchmark(table, schema).variants[BONITAS]
    other = benchmark(turned, schema).variants[BONITAS]
    assert one.chosen == other.chosen
    assert other.folds[0].auc == pytest.approx(1 - one.folds[0].auc)


def test_a_candidate_within_a_standard_error_of_the_best_is_taken_if_it_is_simpler():
    generator = np.random.default_rng(0)
    best = generator.random(1000)
    noise = generator.normal(size=1000)
    noise -= noise.mean()
    near = {Candidate.LOGISTIC: best + noise + 0.01, Candidate.SCORECARD: best + 1, Candidate.LIGHTGBM: best}
    assert simplest_within_one_standard_error(near) is Candidate.LOGISTIC
    far = near | {Candidate.LOGISTIC: best + noise + 0.1}
    assert simplest_within_one_standard_error(far) is Candidate.LIGHTGBM


def test_the_line_is_that_of_scikit_learn_where_nothing_binds_it():
    from sklearn.linear_model import LogisticRegression

    table = linear_table()
    values = np.column_stack([table[f"x{place}"].to_numpy() for place in range(12)])
    label = table["bad"].to_numpy().astype(np.int8)
    ours = fit_directed_logistic(values, label, [Direction.NONE] * 12)
    standard = (np.clip(values, ours.low, ours.high) - ours.mean) / ours.spread
    theirs = LogisticRegression(C=1 / 10.0, tol=1e-8).fit(standard, label)
    assert ours.raw_log_odds(values) == pytest.approx(theirs.decision_function(standard), abs=1e-3)


def test_a_line_stands_columns_that_are_empty_constant_or_rare():
    generator = np.random.default_rng(0)
    rare = np.where(generator.random(2000) < 0.005, 1.0, 0.0)
    values = np.column_stack([np.full(2000, np.nan), np.ones(2000), rare])
    label = (generator.random(2000) < 0.1 + 0.8 * rare).astype(np.int8)
    line = fit_directed_logistic(values, label, [Direction.NONE] * 3)
    raw = line.raw_log_odds(values)
    assert np.isfinite(raw).all()
    assert raw[rare == 1].min() > raw[rare == 0].max()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bad": [0, 1, 2] * 400}, "label bad: must be 0 or 1"),
        ({"bad": [0, 1, None] * 400}, "label bad: must be 0 or 1"),
        ({"bad": [0] * 1200}, "label bad: both 0 and 1 must occur"),
        ({"late": ["x", "y", "z"] * 400}, "late is of texts"),
        ({"late": [dt.time(1)] * 1200}, "late is not of numbers"),
    ],
)
def test_a_table_that_does_not_match_is_refused_by_column_and_rule(changes, told):
    table = pa.table({name: stepped_table(1200)[name] for name in ("one", "other", "late", "age", "bad")})
    for name, values in changes.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    with pytest.raises(TrainingError, match=told):
        benchmark(table, a_schema(STEPPED))


def test_a_missing_column_is_refused_by_name():
    with pytest.raises(TrainingError, match="columns: the table has no column other"):
        benchmark(stepped_table(300).drop_columns(["other"]), a_schema(STEPPED))


def test_a_split_that_a_table_cannot_fill_is_refused():
    few = pa.table({"one": np.arange(20.0), "bad": [1, *[0] * 19]})
    with pytest.raises(TrainingError, match="3 folds need at least 3"):
        benchmark(few, a_schema([("one", "none", NO_CODE)]))
    by_time = 'kind = "by_time"\ntime_column = "month"\ntest_share = 0.3'
    one_month = few.append_column("month", pa.array([1] * 20))
    with pytest.raises(TrainingError, match="training side of a fold has 0 bad among 0 rows"):
        benchmark(one_month, a_schema([("one", "none", NO_CODE)], split=by_time))
    grouped = 'kind = "grouped_k_fold"\nfolds = 3\ngroup_column = "month"'
    with pytest.raises(TrainingError, match="at least 3 groups"):
        benchmark(one_month, a_schema([("one", "none", NO_CODE)], split=grouped))


SCHEMA_TEXT = """
title = "my table"
label = "bad"
purpose = "credit"
[split]
kind = "grouped_k_fold"
folds = 3
group_column = "client"
[[columns]]
name = "one"
group = "balances"
direction = "none"
purpose = "credit"
[[columns]]
name = "late"
group = "payment_history"
direction = "higher_is_worse"
purpose = "credit"
special_codes = [98]
"""


def test_the_command_measures_anybody_s_table(quick, tmp_path):
    table = stepped_table(900).append_column("client", pa.array([f"c{row // 3}" for row in range(900)]))
    pq.write_table(table, tmp_path / "table.parquet")
    (tmp_path / "table.toml").write_text(SCHEMA_TEXT, encoding="utf-8")
    asked = ["benchmark", "models", "--table", str(tmp_path / "table.parquet")]
    asked += ["--schema", str(tmp_path / "table.toml")]
    answer = CliRunner().invoke(bonitas.main, [*asked, "--json"])
    assert answer.exit_code == 0, answer.output
    document = json.loads(answer.stdout)
    assert len(document["variants"][BONITAS]["folds"]) == 3
    (tmp_path / "table.toml").write_text(SCHEMA_TEXT.replace("folds = 3", "folds = 1"), encoding="utf-8")
    answer = CliRunner().invoke(bonitas.main, asked)
    assert answer.exit_code == 1
    assert "split.folds: must be a number from 2 to 20" in answer.output


@pytest.mark.parametrize(
    "arguments", [[], ["gmsc", "--table", __file__, "--schema", __file__], ["--table", __file__]]
)
def test_the_command_wants_a_name_or_a_table_with_its_declaration(arguments):
    answer = CliRunner().invoke(bonitas.main, ["benchmark", "models", *arguments])
    assert answer.exit_code == 2
    assert "name a public data set, or give --table together with --schema" in " ".join(answer.output.split())


def fetched(name, source):
    folder = Path(os.environ.get("BONITAS_HOME", ".bonitas")) / "public" / name
    if not (folder / source.ARCHIVE.file_name).exists():
        pytest.skip(f"no data: run `bonitas data fetch {name}`, then this test with its BONITAS_HOME")
    return source.fetch(folder)


@pytest.mark.real_data
def test_on_gmsc_the_bars_are_met_with_and_without_protected_columns():
    result = run_public("gmsc", fetched("gmsc", gmsc), with_protected=True)
    assert result.variants[WITH_PROTECTED].spread("auc").mean >= 0.866
    assert result.variants[WITH_PROTECTED].spread("brier").mean <= 0.0490
    assert result.variants[BONITAS].spread("auc").mean >= 0.8625
    assert result.direction_cost_auc.mean < 0.001


@pytest.mark.real_data
def test_on_uci_taiwan_the_bar_is_met_without_protected_columns():
    result = run_public("uci-taiwan", fetched("uci-taiwan", uci_taiwan))
    assert result.variants[BONITAS].spread("auc").mean >= 0.784
    assert result.direction_cost_auc.mean < 0.003
