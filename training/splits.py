"""Which decisions train, calibrate and test: by time, with a gap of the label horizon, or by folds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from training.errors import TrainingError
from training.labels import Labels, ledger_end_ms, order_labels

TEST_SHARE = 0.25
CALIBRATION_SHARE = 0.25
MINIMUM_BADS = 20


@dataclass(frozen=True, kw_only=True)
class OutOfTimeSplit:
    """Training labels as they were known when the test period began, and the labels of that period.

    calibration: shape (len(training),), True for the latest part of training, which sets the number of
        trees and the calibration.
    """

    test_starts_ms: int
    training: Labels
    calibration: NDArray[np.bool_]
    test: Labels


def out_of_time_split(directory: Path) -> OutOfTimeSplit:
    """Split a ledger folder by time.

    The test period is the last quarter of the matured decisions. Training sees only what was recorded
    before that period began, labels included: as a label takes its horizon to be known, that is the gap.
    Raises TrainingError where either side has too few bad orders.
    """
    matured = order_labels(directory, ledger_end_ms(directory))
    if len(matured) == 0:
        raise TrainingError(
            "no order has matured: an invoice must have been due for more than 60 days; "
            "simulate or export a longer period"
        )
    test_starts_ms = int(np.quantile(matured.decisions.as_of_ms, 1 - TEST_SHARE, method="lower"))
    test = matured.where(matured.decisions.as_of_ms >= test_starts_ms)
    training = order_labels(directory, test_starts_ms)
    for part, labels in (("training", training), ("test", test)):
        bads = int(labels.label.sum())
        if bads < MINIMUM_BADS or bads == len(labels):
            raise TrainingError(
                f"the {part} period has {bads} bad among {len(labels)} matured orders; "
                f"at least {MINIMUM_BADS} of each kind are needed: use more customers or months"
            )
    starts = np.quantile(training.decisions.as_of_ms, 1 - CALIBRATION_SHARE, method="lower")
    return OutOfTimeSplit(
        test_starts_ms=test_starts_ms,
        training=training,
        calibration=training.decisions.as_of_ms >= starts,
        test=test,
    )


def stratified_folds(
    label: NDArray[np.int8], folds: int, seed: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """(training, test) places of each fold, with the bad rate kept. TrainingError on a single class."""
    if len(np.unique(label)) < 2 or np.bincount(label).min() < folds:
        raise TrainingError(f"{folds} folds need at least {folds} good and {folds} bad decisions")
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(label)), label))


def random_calibration_slice(label: NDArray[np.int8], seed: int) -> NDArray[np.bool_]:
    """A stratified fifth of the training rows, where there is no time to go by."""
    _, calibration = stratified_folds(label, 5, seed)[0]
    mask = np.zeros(len(label), dtype=bool)
    mask[calibration] = True
    return mask
