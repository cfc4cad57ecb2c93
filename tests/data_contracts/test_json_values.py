"""What leaves as JSON is JSON as the standard has it."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line.terminal import print_result
from data_contracts.json_values import json_values

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_whatever_is_missing_is_null_and_the_rest_comes_back(value: object) -> None:
    text = json.dumps(json_values(value), allow_nan=False)
    assert json.loads(text) == json.loads(json.dumps(value), parse_constant=lambda _: None)


def test_numbers_of_numpy_are_numbers() -> None:
    figures = {"count": np.int64(3), "shares": np.array([0.5, np.nan]), "passed": np.bool_(True)}
    assert json_values(figures) == {"count": 3, "shares": [0.5, None], "passed": True}


def test_a_figure_without_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        json.dumps(json_values({"ratio": math.inf}), allow_nan=False)


def test_a_command_prints_null_for_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    print_result({"logged": (math.nan, 1.0)}, True, pytest.fail)
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {"logged": [None, 1.0]}
