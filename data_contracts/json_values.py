"""Figures as JSON has them: it knows no NaN, and many readers stop at one."""

import math
from collections.abc import Mapping
from typing import Any


def json_values(value: Any) -> Any:
    """The same with null for what is missing (NaN), at any depth; numpy's numbers become Python's own.

    Infinity is left as it is, so that `json.dumps(..., allow_nan=False)` refuses it: a figure without bounds
    is a mistake and nothing that is missing.

    >>> json_values({"logged": float("nan"), "shares": (0.5, 0.5)})
    {'logged': None, 'shares': [0.5, 0.5]}
    """
    if isinstance(value, Mapping):
        return {key: json_values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(inner) for inner in value]
    if not isinstance(value, float) and hasattr(value, "tolist"):
        return json_values(value.tolist())
    return None if isinstance(value, float) and math.isnan(value) else value
