"""How long the service takes for one row with one model, beside another."""

import gc
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from features.instants import Float64Array
from features.model_files import ModelFiles

TIMED_ROWS = 200


TIMED_ROUNDS = 15


class ScoredRow(Protocol):
    """What the service's model says about one row."""

    @property
    def probability_of_default(self) -> float:
        """The calibrated probability of not being paid."""
        ...


SingleRowScorer = Callable[[Sequence[float]], ScoredRow]


ScorerLoader = Callable[[ModelFiles, str], SingleRowScorer]
"""Loads the files of a version as the service does, and gives what the service calls for one row."""


def single_row_time_ratio(
    champion: SingleRowScorer, challenger: SingleRowScorer, values: Float64Array
) -> float:
    """Median time of one prediction by the challenger over the champion's.

    values: rows to predict, shape (n, n_features). The two take turns row by row, and who goes first
    changes, so that a busy machine slows both alike.
    """
    rows = values.tolist()
    taken: tuple[list[int], list[int]] = ([], [])
    pair = (champion, challenger)
    for scorer in pair:
        for row in rows:
            scorer(row)
    collects = gc.isenabled()
    gc.disable()
    try:
        for turn in range(TIMED_ROUNDS):
            for row in rows:
                for which in (turn % 2, 1 - turn % 2):
                    began = time.perf_counter_ns()
                    pair[which](row)
                    taken[which].append(time.perf_counter_ns() - began)
    finally:
        if collects:
            gc.enable()
    return float(np.median(taken[1]) / np.median(taken[0]))
