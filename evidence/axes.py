"""Axes of charts: from where to where, with round ticks and their words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis: what it shows, from where to where, and its ticks with their words."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def share_of(self, value: float) -> float:
        """Where a value lies between low (0) and high (1), held within."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def percent_axis(label: str, high: float = 1.0, *, low: float = 0.0) -> Axis:
    """An axis of shares from low to about high, with round ticks."""
    return number_axis(label, low, high, per_cent=True)


def number_axis(label: str, low: float, high: float, *, per_cent: bool = False) -> Axis:
    """An axis from about low to about high, with four or five round ticks.

    >>> [text for _, text in number_axis("x", 0, 0.043, per_cent=True).ticks]
    ['0 %', '1 %', '2 %', '3 %', '4 %', '5 %']
    """
    # A span that no digit of a tick would show is none.
    is_seen = high - low > 1e-9 * max(abs(low), abs(high), 1e-9)
    span = high - low if is_seen else max(abs(high), 1.0)
    raw = span / 4
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = magnitude * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.8)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    ticks = tuple((place * step, _number(place * step, per_cent)) for place in range(first, last + 1))
    return Axis(label=label, low=first * step, high=last * step, ticks=ticks)


def name_axis(label: str, names: Sequence[str]) -> Axis:
    """An axis of names at 0, 1, 2 ..., such as months in their order, of which about six are written."""
    every = max(1, len(names) // 6)
    ticks = tuple((float(place), name) for place, name in enumerate(names) if place % every == 0)
    return Axis(label=label, low=0.0, high=float(max(len(names) - 1, 1)), ticks=ticks)


def round_maximum(value: float) -> float:
    """The end of an axis: the next 1, 2 or 5 with zeros that is not below; 1 for nothing.

    >>> [round_maximum(value) for value in (0, 0.07, 1, 3, 61, 1_200)]
    [1.0, 0.1, 1.0, 5.0, 100.0, 2000.0]
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 2, 5) if step * power >= value), 10 * power)


def _number(value: float, per_cent: bool) -> str:
    if per_cent:
        return f"{value * 100:.4g} %"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"
