"""The pictures of a trained model, for people who would rather look than read."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

from features.instants import Float64Array
from training.evaluation import Evaluation

mpl.use("Agg")


def write_plots(
    folder: Path,
    label: NDArray[np.int8],
    candidates: dict[str, Float64Array],
    winner: str,
    evaluation: Evaluation,
    importance: dict[str, float],
) -> None:
    """Write one PNG per picture: curves of all candidates, and the winner's own pictures.

    candidates: probabilities of default by name, each of shape (n,). importance: mean absolute
        contribution by feature.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    roc, precision_recall = figure.subplots(1, 2)
    for name, probability in candidates.items():
        false_positive, true_positive, _ = roc_curve(label, probability)
        roc.plot(false_positive, true_positive, label=name)
        precision, recall, _ = precision_recall_curve(label, probability)
        precision_recall.plot(recall, precision, label=name)
    roc.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    roc.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")
    precision_recall.axhline(float(label.mean()), color="grey", linewidth=0.8)
    precision_recall.set(title="Precision and recall", xlabel="recall", ylabel="precision")
    roc.legend()
    figure.savefig(folder / "discrimination.png", dpi=110)

    probability = candidates[winner]
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    calibration, distribution = figure.subplots(1, 2)
    observed, predicted = calibration_curve(label, probability, n_bins=10, strategy="quantile")
    calibration.plot(predicted, observed, marker="o")
    top = max(float(observed.max()), float(predicted.max()))
    calibration.plot([0, top], [0, top], color="grey", linewidth=0.8)
    calibration.set(title="Calibration", xlabel="predicted probability", ylabel="observed bad rate")
    log_odds = -np.log(probability / (1 - probability))
    bins = np.linspace(float(log_odds.min()), float(log_odds.max()), 40)
    for kind, name in ((0, "paid"), (1, "not paid")):
        distribution.hist(log_odds[label == kind], bins=bins, density=True, alpha=0.6, label=name)
    distribution.set(title="Score distribution", xlabel="log-odds of being paid", ylabel="density")
    distribution.legend()
    figure.savefig(folder / "calibration.png", dpi=110)

    figure = Figure(figsize=(11, 5.5), layout="constrained")
    approval, contributions = figure.subplots(1, 2)
    rates = list(evaluation.bad_rate_by_approval_rate)
    intervals = list(evaluation.bad_rate_by_approval_rate.values())
    values = np.array([interval.value for interval in intervals])
    spread = np.abs([[i.value - i.low for i in intervals], [i.high - i.value for i in intervals]])
    approval.errorbar(rates, values * 100, yerr=spread * 100, marker="o", capsize=4)
    approval.set(title="Bad rate by approval rate", xlabel="approved", ylabel="bad rate, %")
    strongest = sorted(importance.items(), key=lambda entry: entry[1])[-15:]
    contributions.barh([name for name, _ in strongest], [value for _, value in strongest])
    contributions.set(title="Mean absolute contribution", xlabel="log-odds")
    figure.savefig(folder / "approval_and_contributions.png", dpi=110)
