"""Whether a distribution has moved: how far, and whether chance could have moved it as far.

How far is the population stability index, which does not depend on how many decisions there are. Whether
chance could have done it is a test that does: a customer orders several times, often on both sides, so
customers and not decisions are the unit. Values are put into the bins of the earlier side first; the
two sides are then two columns of a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

from evidence.stability import STABILITY_BINS, stability_index_of_counts

MISSING = "missing"
OTHER = "other"
MOST_CATEGORIES = 20
LOWEST_EXPECTED_COUNT = 5.0
LEAST_DECISIONS = 50


@dataclass(frozen=True, kw_only=True)
class Binned:
    """Both sides in the same bins.

    names: of the bins. earlier, later: the bin of each decision, shapes (n_earlier,) and (n_later,).
    """

    names: tuple[str, ...]
    earlier: NDArray[np.int64]
    later: NDArray[np.int64]

    def counts(self) -> NDArray[np.int64]:
        """Decisions by side and bin, shape (2, n_bins)."""
        return np.array(
            [np.bincount(side, minlength=len(self.names)) for side in (self.earlier, self.later)],
            dtype=np.int64,
        )


def binned_numbers(
    earlier: NDArray[np.float64], later: NDArray[np.float64], *, bins: int = STABILITY_BINS
) -> Binned:
    """Put numbers into bins at the quantiles of the earlier side; what is missing is a bin of its own.

    A value that takes up a whole bin's share on the earlier side has a bin of its own, so that a source
    that breaks and sends nothing but zeros is seen also where most values were near zero before.

    >>> binned_numbers(np.array([0.0, 0, 0, 1, 2]), np.array([0.0, np.nan]), bins=2).names
    ('0', 'above 0', 'missing')

    Raises ValueError if either side is empty.
    """
    if len(earlier) == 0 or len(later) == 0:
        raise ValueError("values are needed on both sides")
    known = earlier[~np.isnan(earlier)]
    edges = np.empty(0)
    if len(known):
        quantiles = np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1], method="lower")
        values, copies = np.unique(known, return_counts=True)
        frequent = values[copies * bins >= len(known)]
        edges = np.unique(np.concatenate([quantiles, frequent, np.nextafter(frequent, -np.inf)]))
    sides = []
    for side in (earlier, later):
        place = np.searchsorted(edges, side, side="left")
        sides.append(np.where(np.isnan(side), len(edges) + 1, place))
    return _without_empty_bins((*_names_between(edges), MISSING), sides[0], sides[1])


def binned_categories(earlier: NDArray[np.object_], later: NDArray[np.object_]) -> Binned:
    """Put categories into bins: the most frequent of both sides together, and one bin for all others.

    None is a bin of its own. A category needs LOWEST_EXPECTED_COUNT decisions expected on the smaller
    side, or it goes to the others. Raises ValueError if either side is empty.
    """
    if len(earlier) == 0 or len(later) == 0:
        raise ValueError("values are needed on both sides")
    together = np.array(
        [MISSING if value is None else str(value) for side in (earlier, later) for value in side.tolist()]
    )
    found, code, copies = np.unique(together, return_inverse=True, return_counts=True)
    expected = copies * (min(len(earlier), len(later)) / len(together))
    by_size = np.argsort(-copies, kind="stable")
    kept = [place for place in by_size.tolist() if expected[place] >= LOWEST_EXPECTED_COUNT]
    kept = kept[:MOST_CATEGORIES]
    bin_of = np.full(len(found), len(kept), dtype=np.int64)
    bin_of[kept] = np.arange(len(kept))
    bins = bin_of[code]
    names = (*(str(found[place]) for place in kept), OTHER)
    return _without_empty_bins(names, bins[: len(earlier)], bins[len(earlier) :])


def _names_between(edges: NDArray[np.float64]) -> tuple[str, ...]:
    """Names of the bins (.., edge 0], (edge 0, edge 1], .., (last edge, ..)."""
    if len(edges) == 0:
        return ("any",)
    names = [f"up to {edges[0]:.4g}"]
    for lower, upper in pairwise(edges.tolist()):
        only_one = np.nextafter(upper, -np.inf) == lower
        names.append(f"{upper:.4g}" if only_one else f"above {lower:.4g} to {upper:.4g}")
    return (*names, f"above {edges[-1]:.4g}")


def _without_empty_bins(names: Sequence[str], earlier: NDArray[Any], later: NDArray[Any]) -> Binned:
    used = np.union1d(earlier, later)
    return Binned(
        names=tuple(names[place] for place in used.tolist()),
        earlier=np.searchsorted(used, earlier).astype(np.int64),
        later=np.searchsorted(used, later).astype(np.int64),
    )


@dataclass(frozen=True, kw_only=True)
class Homogeneity:
    """A test that both sides come from one distribution.

    p_value: of the test. scale, degrees_of_freedom, denominator_degrees_of_freedom: how the distance is
        spread where they do: as `scale * degrees_of_freedom` times an F variable.
    """

    p_value: float
    scale: float
    degrees_of_freedom: float
    denominator_degrees_of_freedom: float

    def chance_stability_index(self, chance: float) -> float:
        """The stability index that chance alone exceeds as rarely as `chance`."""
        if self.scale == 0:
            return 0.0
        quantile = f_distribution.isf(chance, self.degrees_of_freedom, self.denominator_degrees_of_freedom)
        return float(self.scale * self.degrees_of_freedom * quantile)


def homogeneity(
    binned: Binned, earlier_customer: NDArray[np.int64], later_customer: NDArray[np.int64]
) -> Homogeneity:
    """Test whether both sides have the same distribution, with customers as the unit.

    earlier_customer, later_customer: a number for the customer of each decision, shapes (n_earlier,) and
    (n_later,); the same customer has the same number on both sides.

    The distance is D = sum over bins of (later share - earlier share)^2 / common share, to second order
    the stability index itself. Each customer's part in the difference of the shares gives its covariance
    V, whoever orders often and on whichever side. D is then spread like a sum of chi-square variables
    weighted by the eigenvalues of G, which is V over the root of the common shares on both sides;
    Satterthwaite's approximation gives it the first two moments of that: a multiple tr(G^2)/tr(G) of a
    chi-square with tr(G)^2/tr(G^2) degrees of freedom. That is the second-order correction of Rao and
    Scott (the SURVEYFREQ manual of SAS describes it for tables of survey data), with its F form for few
    customers.

    A side on which a rare bin happens to be empty tells nothing of how that bin varies, and V comes out too
    small. The mean of D is therefore never taken below what independent decisions give it,
    (n_bins - 1) (1/n_earlier + 1/n_later), then with n_bins - 1 degrees of freedom: Pearson's chi-square
    test in its F form. The price: where the same customers keep to their ways on both sides, the test finds
    less than it could. With one decision for each customer and no rare bin it is close to Pearson's.

    Raises ValueError if either side is empty.
    """
    counts = binned.counts()
    size = counts.sum(axis=1)
    if size.min() == 0:
        raise ValueError("decisions are needed on both sides")
    share = counts / size[:, None]
    common = counts.sum(axis=0) / size.sum()
    distance = float(np.sum((share[1] - share[0]) ** 2 / common))
    found, customer = np.unique(np.concatenate([earlier_customer, later_customer]), return_inverse=True)
    sides = (customer[: size[0]], customer[size[0] :])
    part = np.zeros((len(found), len(common)))
    for sign, side, codes in ((-1.0, 0, binned.earlier), (1.0, 1, binned.later)):
        at = sides[side] * len(common) + codes
        taken = np.bincount(at, minlength=part.size).reshape(part.shape)
        decisions = np.bincount(sides[side], minlength=len(found))
        part += sign * (taken - decisions[:, None] * share[side]) / size[side]
    scaled = part / np.sqrt(common)
    weight = len(found) / max(len(found) - 1, 1)
    spread = weight * (scaled.T @ scaled)
    trace, square = float(np.trace(spread)), float(np.sum(spread**2))
    if trace <= 0 or square <= 0:
        return Homogeneity(p_value=1.0, scale=0.0, degrees_of_freedom=1.0, denominator_degrees_of_freedom=1.0)
    scale, freedom = square / trace, trace**2 / square
    independent = (len(common) - 1) * float(np.sum(1 / size))
    if trace < independent:
        freedom = float(len(common) - 1)
        scale = independent / freedom
    fewest = min(len(np.unique(side)) for side in sides)
    denominator = freedom * max(fewest - 1, 1)
    return Homogeneity(
        p_value=float(f_distribution.sf(distance / (scale * freedom), freedom, denominator)),
        scale=scale,
        degrees_of_freedom=freedom,
        denominator_degrees_of_freedom=denominator,
    )


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How one quantity has moved between the reference and the window watched.

    stability_index: of the window against the reference. usual_index: the highest of the reference's own
        months against the rest of it, None where it has no two months; what grows with the book, such as
        the age of accounts, moves a little each month and shows here.
    test: None where there are too few decisions or nothing varies.
    bins: names, with the share of each side, shapes (n_bins,).
    """

    name: str
    stability_index: float
    usual_index: float | None
    test: Homogeneity | None
    bins: tuple[str, ...]
    reference_share: tuple[float, ...]
    window_share: tuple[float, ...]
    reference_decisions: int
    window_decisions: int

    @property
    def largest_change(self) -> str:
        """The bin whose share has changed most, in words."""
        change = np.subtract(self.window_share, self.reference_share)
        place = int(np.argmax(np.abs(change)))
        before, now = self.reference_share[place], self.window_share[place]
        return f"{self.bins[place]}: {before:.1%} before, {now:.1%} now"


def drift(
    name: str,
    binned: Binned,
    reference_customer: NDArray[np.int64],
    window_customer: NDArray[np.int64],
    reference_month: NDArray[np.int64],
) -> Drift:
    """Judge how far one quantity has moved.

    reference_month: shape (n_reference,), which of the reference's stretches of the window's length each
    decision lies in. Raises ValueError if either side is empty.
    """
    counts = binned.counts()
    size = counts.sum(axis=1)
    is_judged = size.min() >= LEAST_DECISIONS and len(binned.names) > 1
    return Drift(
        name=name,
        stability_index=stability_index_of_counts(counts[0], counts[1]),
        usual_index=_usual_index(binned, reference_month),
        test=homogeneity(binned, reference_customer, window_customer) if is_judged else None,
        bins=binned.names,
        reference_share=tuple((counts[0] / size[0]).tolist()),
        window_share=tuple((counts[1] / size[1]).tolist()),
        reference_decisions=int(size[0]),
        window_decisions=int(size[1]),
    )


def _usual_index(binned: Binned, month: NDArray[np.int64]) -> float | None:
    """The highest stability index of one of the reference's months against all the others."""
    months, place = np.unique(month, return_inverse=True)
    bins = len(binned.names)
    by_month = np.bincount(place * bins + binned.earlier, minlength=len(months) * bins).reshape(-1, bins)
    by_month = by_month[by_month.sum(axis=1) >= LEAST_DECISIONS]
    if len(by_month) < 2:
        return None
    total = by_month.sum(axis=0)
    return max(stability_index_of_counts(total - own, own) for own in by_month)
