"""Shares as a report writes them: in per cent, with one more digit below one per cent."""

from evidence.intervals import Interval


def share(value: float) -> str:
    """A share in per cent.

    >>> share(0.0345), share(0.00345), share(0.05)
    ('3.5 %', '0.34 %', '5 %')
    """
    digits = _digits(value)
    return f"{digits.rstrip('0').rstrip('.')} %"


def per_cent(interval: Interval) -> str:
    """A share with its interval in per cent.

    >>> per_cent(Interval(value=0.05, low=0.04, high=0.061))
    '5.0 % [4.0 %, 6.1 %]'
    """
    return f"{_digits(interval.value)} % [{_digits(interval.low)} %, {_digits(interval.high)} %]"


def points(interval: Interval) -> str:
    """A difference of shares in percentage points.

    >>> points(Interval(value=-0.05, low=-0.06, high=0.0))
    '-5.0 points [-6.0, +0.0]'
    """
    return f"{interval.value * 100:+.1f} points [{interval.low * 100:+.1f}, {interval.high * 100:+.1f}]"


def _digits(value: float) -> str:
    return f"{value * 100:.2f}" if abs(value) < 0.01 else f"{value * 100:.1f}"
