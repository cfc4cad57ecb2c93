"""LightGBM for one row at a time: its single-row C interface, with the same bits as Booster.predict."""

import ctypes
import threading
import weakref
from collections.abc import Sequence
from typing import Any

import lightgbm
import numpy as np
from lightgbm.basic import LightGBMError

RAW_SCORE = 1
CONTRIBUTIONS = 3
"""Prediction types of LightGBM's C interface (C_API_PREDICT_RAW_SCORE, C_API_PREDICT_CONTRIB)."""

_FLOAT64 = 1


def _c_interface() -> Any | None:
    """LightGBM's shared library, or None where this version hides it or has no single-row interface."""
    try:
        from lightgbm.basic import _LIB  # noqa: PLC0415 private: a version without it still serves
    except ImportError:
        return None
    wanted = (
        "LGBM_BoosterPredictForMatSingleRowFastInit",
        "LGBM_BoosterPredictForMatSingleRowFast",
        "LGBM_FastConfigFree",
    )
    return _LIB if all(hasattr(_LIB, name) for name in wanted) else None


class _SingleRowPredictor:
    """One prepared kind of prediction with its own buffers; belongs to one thread."""

    def __init__(self, library: Any, booster: lightgbm.Booster, predict_type: int, width: int) -> None:
        self._library = library
        self._row = np.zeros(booster.num_feature())
        self._result = np.zeros(width)
        self._length = ctypes.c_int64(0)
        self._configuration = ctypes.c_void_p()
        status = library.LGBM_BoosterPredictForMatSingleRowFastInit(
            booster._handle,
            ctypes.c_int(predict_type),
            ctypes.c_int(0),
            ctypes.c_int(-1),
            ctypes.c_int(_FLOAT64),
            ctypes.c_int32(booster.num_feature()),
            ctypes.c_char_p(b"num_threads=1"),
            ctypes.byref(self._configuration),
        )
        _raise_unless_zero(library, status)
        # The booster stands among the arguments so that it outlives the configuration that points into it.
        weakref.finalize(self, _free, library, self._configuration, booster)
        self._arguments = (
            self._configuration,
            self._row.ctypes.data_as(ctypes.c_void_p),
            ctypes.byref(self._length),
            self._result.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
        )

    def __call__(self, values: Sequence[float]) -> list[float]:
        self._row[:] = values
        _raise_unless_zero(
            self._library, self._library.LGBM_BoosterPredictForMatSingleRowFast(*self._arguments)
        )
        return self._result.tolist()


def _raise_unless_zero(library: Any, status: int) -> None:
    if status != 0:
        library.LGBM_GetLastError.restype = ctypes.c_char_p
        raise LightGBMError(library.LGBM_GetLastError().decode())


def _free(library: Any, configuration: ctypes.c_void_p, _booster: lightgbm.Booster) -> None:
    library.LGBM_FastConfigFree(configuration)


class FastBooster:
    """A booster read from its text; predicts one row of float64, NaN where missing. Safe to share by threads.

    uses_c_interface: False where LightGBM's library lacks the single-row interface, or when
        `force_booster_predict` asks for the slow path; the results are the same bits.
    Raises LightGBMError for a text that is no model.
    """

    def __init__(self, model_text: str, *, force_booster_predict: bool = False) -> None:
        self._booster = lightgbm.Booster(model_str=model_text)
        self._library = None if force_booster_predict else _c_interface()
        self._of_thread = threading.local()

    @property
    def uses_c_interface(self) -> bool:
        """Whether predictions take the fast path."""
        return self._library is not None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the booster's columns, as it was trained."""
        return tuple(self._booster.feature_name())

    def raw_score(self, values: Sequence[float]) -> float:
        """The sum of the leaves for one row: log-odds for a binary objective."""
        if self._library is None:
            row = np.array([values], dtype=np.float64)
            return float(self._booster.predict(row, raw_score=True, num_threads=1)[0])
        return self._predictor("raw_score", RAW_SCORE, 1)(values)[0]

    def contributions(self, values: Sequence[float]) -> list[float]:
        """What each feature adds to the raw score (TreeSHAP); the expected score stands last."""
        if self._library is None:
            row = np.array([values], dtype=np.float64)
            predicted = self._booster.predict(row, pred_contrib=True, num_threads=1)
            return [float(value) for value in predicted[0]]
        return self._predictor("contributions", CONTRIBUTIONS, self._booster.num_feature() + 1)(values)

    def _predictor(self, name: str, predict_type: int, width: int) -> _SingleRowPredictor:
        found: _SingleRowPredictor | None = getattr(self._of_thread, name, None)
        if found is None:
            found = _SingleRowPredictor(self._library, self._booster, predict_type, width)
            setattr(self._of_thread, name, found)
        return found
