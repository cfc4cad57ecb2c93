"""An exact paired test with the customer as the unit: one may ask again and again, and is still one."""

from collections.abc import Iterable

import numpy as np
from scipy.stats import binom


def sign_flip_p_value(net_counts: Iterable[int]) -> float:
    """The two-sided p-value that neither side wins more often, by flipping the sign of each customer's net.

    net_counts: for each customer, an integer: how often only the one side won less how often only the other
        did. A net of 0 tells nothing and is left out; without any other the p-value is 1.

    Of n customers with nets d_i, all 2^n choices of signs s_i are equally likely if it is all one which side
    won, so p is the share of the choices with abs(sum(s_i * abs(d_i))) >= abs(sum(d_i)) (R. A. Fisher, The
    Design of Experiments, 1935, section 21). With H = sum(abs(d_i) over the positive s_i) and
    N = sum(abs(d_i)) the sum is 2 H - N, symmetric around 0; H's distribution is built up customer by
    customer, and that of the customers with a net of one is binomial. Where every net is one, this is
    McNemar's exact test.

    >>> sign_flip_p_value([1] * 6)
    0.03125
    >>> sign_flip_p_value([3, 3, -3])
    1.0
    """
    nets = [net for net in net_counts if net]
    sizes = [abs(net) for net in nets]
    total, observed = sum(sizes), abs(sum(nets))
    if observed == 0:
        return 1.0
    larger = _distribution([size for size in sizes if size > 1])
    # An integer: a sum of signed numbers is even just where the sum of their sizes is.
    wanted = (total + observed) // 2
    ones = binom.sf(wanted - 1 - np.arange(len(larger)), sizes.count(1), 0.5)
    return min(float(2 * (larger @ ones)), 1.0)


def _distribution(sizes: list[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How likely each sum is, where every size counts with a probability of one half; shape (sum + 1,)."""
    shares = np.zeros(sum(sizes) + 1)
    shares[0], reached = 1.0, 0
    for size in sizes:
        before = shares[: reached + 1] / 2
        shares[: reached + 1] = before
        shares[size : reached + size + 1] += before
        reached += size
    return shares
