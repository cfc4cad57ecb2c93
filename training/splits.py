"""Which decisions train, calibrate and test: by time, with a gap of the label horizon, or by folds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from features.decisions import Decisions
from features.settlement_terms import USUAL_TERMS, SettlementTerms
from training.errors import TrainingError
from training.labels import Labels, order_labels, seen_until_ms

TEST_SHARE = 0.25
CALIBRATION_SHARE = 0.25
MINIMUM_BADS = 20
FOLD_STARTS = (0.55, 0.7, 0.85)
"""Shares of the training decisions before each of the blocks that tuning is judged on."""
FEWEST_OF_EACH_KIND = 5


@dataclass(frozen=True, kw_only=True)
class OutOfTimeSplit:
    """Training labels as they were known when the test period began, and the labels of that period.

    calibration: shape (len(training),), True for the latest part of training, which sets the number of
        trees and the calibration. matured: all labels of the folder, the test period's among them.
    """

    test_starts_ms: int
    training: Labels
    calibration: NDArray[np.bool_]
    test: Labels
    matured: Labels


@dataclass(frozen=True, kw_only=True)
class FoldPlaces:
    """One fold inside the training period, as places among its rows.

    label: of the fold's training rows, shape (len(training),), as it was known when the later part began.
    calibration: shape (len(training),), True for the latest part of the fold's training rows.
    """

    training: NDArray[np.intp]
    label: NDArray[np.int8]
    calibration: NDArray[np.bool_]
    later: NDArray[np.intp]


def out_of_time_split(
    directory: Path, as_of_ms: int | None = None, terms: SettlementTerms = USUAL_TERMS
) -> OutOfTimeSplit:
    """Split a ledger folder by time.

    as_of_ms: what was recorded from then on is not seen; by default the whole folder is. terms: by which
    an invoice of a label counts as paid.
    The test period is the last quarter of the matured decisions. Training sees only what was recorded
    before that period began, labels included: as a label takes its horizon to be known, that is the gap.
    Raises TrainingError where either side has too few bad orders.
    """
    matured = order_labels(directory, seen_until_ms(directory, as_of_ms), terms)
    if len(matured) == 0:
        raise TrainingError(
            "no order has matured: an invoice must have been due for more than 60 days; "
            "simulate or export a longer period, or train as of a later day"
        )
    test_starts_ms = int(np.quantile(matured.decisions.as_of_ms, 1 - TEST_SHARE, method="lower"))
    test = matured.where(matured.decisions.as_of_ms >= test_starts_ms)
    training = order_labels(directory, test_starts_ms, terms)
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
        matured=matured,
    )


def time_ordered_folds(
    decisions: Decisions, label: NDArray[np.int8], labels_known_at: Callable[[int], Mapping[str, int]]
) -> list[FoldPlaces]:
    """Folds for tuning: what was known when a block of decisions began, and that block.

    decisions, label: the training rows, shape (n,). labels_known_at: the labels by decision as they were
        known at an instant in ms. The blocks are the later part of the training period, one after the other.
    Raises TrainingError where no block has enough bad orders before and in it.
    """
    as_of_ms, ids = decisions.as_of_ms, decisions.decision_id.tolist()
    starts = [int(start) for start in np.quantile(as_of_ms, FOLD_STARTS, method="lower")]
    ends = [*starts[1:], int(as_of_ms.max()) + 1]
    folds = []
    for start, end in zip(starts, ends, strict=True):
        known = labels_known_at(start)
        # A change of an order's delivery is a row of its own, and may lie after the block began.
        training = np.array(
            [place for place, name in enumerate(ids) if name in known and as_of_ms[place] < start],
            dtype=np.intp,
        )
        later = np.flatnonzero((as_of_ms >= start) & (as_of_ms < end))
        if not len(training):
            continue
        fold_label = np.array([known[ids[place]] for place in training.tolist()], dtype=np.int8)
        calibration_starts = np.quantile(as_of_ms[training], 1 - CALIBRATION_SHARE, method="lower")
        calibration = as_of_ms[training] >= calibration_starts
        parts = (fold_label[calibration], fold_label[~calibration], label[later])
        if all(np.bincount(part, minlength=2).min() >= FEWEST_OF_EACH_KIND for part in parts):
            folds.append(
                FoldPlaces(training=training, label=fold_label, calibration=calibration, later=later)
            )
    if not folds:
        raise TrainingError(
            f"the training period is too short to tune in: no part of it has {FEWEST_OF_EACH_KIND} orders of "
            "each kind whose label was known before it began; train without --tune, or on more months"
        )
    return folds


def stratified_fold_places(label: NDArray[np.int8], seed: int) -> list[FoldPlaces]:
    """Folds for tuning where there is no time to go by; see `stratified_folds` for what is raised."""
    folds = []
    for training, later in stratified_folds(label, len(FOLD_STARTS), seed):
        calibration = random_calibration_slice(label[training], seed)
        folds.append(
            FoldPlaces(training=training, label=label[training], calibration=calibration, later=later)
        )
    return folds


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
