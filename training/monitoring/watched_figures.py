"""Each figure that is watched, as a candidate for a check: from where on it is a notice or an alarm.

A candidate says how large a difference is and how likely chance alone would bring it; `checks.judged` decides
of all of them together.
"""

from collections.abc import Sequence

from scipy.stats import binomtest, fisher_exact, norm

from evidence.drift import LEAST_DECISIONS, Drift, Homogeneity
from training.monitoring.checks import Candidate, Level, Section
from training.monitoring.estimated_performance import Change
from training.monitoring.realised_performance import RealisedPerformance
from training.registry.champion_history import ChampionChange

NOTICE_INDEX = 0.1
ALARM_INDEX = 0.25
USUAL_FACTOR = 1.5
"""A month lies a little farther from its past than the past's own months from each other: for a steady
trend over six months, (3.5 / 3)^2 = 1.4 times by the index."""
NOTICE_AUC_DROP = 0.03
ALARM_AUC_DROP = 0.05
NOTICE_BAD_RATE_FACTOR = 1.25
NOTICE_BRIER_EXCESS = 0.1
ALARM_BRIER_EXCESS = 0.25
LEAST_EXPECTED_BADS = 5.0
LEAST_EXPECTED_CLUSTERED_BADS = 10.0
"""Where customers' decisions are alike there are fewer that count, and the test is an approximation."""
NOTICE_RATE_CHANGE = {"approval rate": 0.05, "release rate": 0.1}
ALARM_RATE_CHANGE = {"approval rate": 0.1, "release rate": 0.2}
TOLERATED_UNAVAILABLE = 0.005
ALARM_UNAVAILABLE = 0.02
ALARM_REFUSED_SHARE = 0.001
ALARM_REFUSED_FACTOR = 2.0


def drift_candidate(section: Section, model: str | None, found: Drift) -> Candidate:
    """A distribution that may have moved."""
    usual = USUAL_FACTOR * (found.usual_index or 0.0)
    is_usual = found.stability_index <= usual
    level = Level.QUIET
    if found.stability_index >= NOTICE_INDEX and not is_usual:
        level = Level.ALARM if found.stability_index >= ALARM_INDEX else Level.NOTICE
    finding = f"stability index {found.stability_index:.3f}"
    if found.usual_index is not None:
        finding += f", at most {found.usual_index:.3f} between the months before"
    if len(found.bins) > 1:
        finding += f"; {found.largest_change}"
    return Candidate(
        section=section,
        model=model,
        name=found.name,
        worst_level=level,
        p_value=None if found.test is None else found.test.p_value,
        is_judged=found.test is not None,
        finding=finding,
    )


def estimated_candidates(
    model: str, auc: Change, bad_rate: Change, bad_rate_factor: float
) -> list[Candidate]:
    """What the probabilities promise for the window, against the reference.

    bad_rate_factor: from which factor on a change of the expected bad rate is an alarm.
    """
    return [
        Candidate(
            section=Section.ESTIMATED,
            model=model,
            name="expected AUC",
            worst_level=_drop_level(auc.earlier - auc.later),
            p_value=auc.p_value,
            is_judged=True,
            finding=f"{auc.later:.3f} expected once labels arrive, {auc.earlier:.3f} for the reference",
        ),
        Candidate(
            section=Section.ESTIMATED,
            model=model,
            name="expected bad rate",
            worst_level=_factor_level(bad_rate.later / bad_rate.earlier, bad_rate_factor),
            p_value=bad_rate.p_value,
            is_judged=True,
            finding=f"{bad_rate.later:.2%} expected, {bad_rate.earlier:.2%} for the reference",
        ),
    ]


def realised_candidates(
    model: str,
    found: RealisedPerformance,
    expected_auc: float,
    bad_rate_factor: float,
    trained_on: int = 0,
) -> list[Candidate]:
    """What the labels that arrived say, against what the probabilities had promised.

    bad_rate_factor: from which factor on the bad rate is an alarm. trained_on: decisions with labels that
    are not among these because the champion was trained on them.
    """
    least = LEAST_EXPECTED_BADS if found.count_is_exact else LEAST_EXPECTED_CLUSTERED_BADS
    expected_bads = found.mean_probability * found.decisions
    is_judged = found.decisions >= LEAST_DECISIONS and expected_bads >= least
    left_out = f"; {trained_on:,} more left out, the champion was trained on them" if trained_on else ""
    ratio = found.observed_to_expected
    excess = found.brier / found.expected_brier - 1 if found.expected_brier > 0 else 0.0
    brier_level = Level.ALARM if excess >= ALARM_BRIER_EXCESS else Level.NOTICE
    candidates = [
        Candidate(
            section=Section.REALISED,
            model=model,
            name="bad rate",
            worst_level=_factor_level(ratio.value, bad_rate_factor),
            p_value=found.count_p_value,
            is_judged=is_judged,
            finding=f"{found.bads} of {found.decisions:,} turned out bad ({found.bad_rate:.2%}); "
            f"{found.expected_low} to {found.expected_high} were expected: {ratio.value:.2f} times "
            f"[{ratio.low:.2f}, {ratio.high:.2f}]{left_out}",
        ),
        Candidate(
            section=Section.CALIBRATION,
            model=model,
            name="calibration",
            worst_level=brier_level if excess >= NOTICE_BRIER_EXCESS else Level.QUIET,
            p_value=found.spiegelhalter_p_value,
            is_judged=is_judged,
            finding=f"Brier score {found.brier:.4f}, {found.expected_brier:.4f} if calibrated "
            f"(Spiegelhalter's z {found.spiegelhalter_z:+.1f})",
        ),
    ]
    if found.auc is not None and found.auc_deviation:
        candidates.append(
            Candidate(
                section=Section.REALISED,
                model=model,
                name="AUC",
                worst_level=_drop_level(expected_auc - found.auc.value),
                p_value=float(norm.sf((expected_auc - found.auc.value) / found.auc_deviation)),
                is_judged=is_judged and min(found.bads, found.decisions - found.bads) >= LEAST_EXPECTED_BADS,
                finding=f"{found.auc} realised, {expected_auc:.3f} had been expected",
            )
        )
    return candidates


def rate_candidate(
    name: str, earlier: float | None, later: float, decisions: int, test: Homogeneity | None
) -> Candidate:
    """The share of decisions that were approved, or of flagged orders that were released."""
    change = 0.0 if earlier is None else abs(later - earlier)
    level = Level.QUIET
    if change >= NOTICE_RATE_CHANGE[name]:
        level = Level.ALARM if change >= ALARM_RATE_CHANGE[name] else Level.NOTICE
    before = "nothing to compare with" if earlier is None else f"{earlier:.1%} before"
    return Candidate(
        section=Section.RATES,
        model=None,
        name=name,
        worst_level=level,
        p_value=None if test is None else test.p_value,
        is_judged=test is not None,
        finding=f"{later:.1%} of {decisions:,}, {before}",
    )


def unavailable_candidate(unavailable: int, decisions: int) -> Candidate:
    """The share of answers that were technical refusals, against what is tolerated.

    A past full of outages is no excuse, so it is judged by itself: an exact binomial test.
    """
    share = unavailable / decisions
    level = Level.QUIET
    if share > TOLERATED_UNAVAILABLE:
        level = Level.ALARM if share >= ALARM_UNAVAILABLE else Level.NOTICE
    return Candidate(
        section=Section.RATES,
        model=None,
        name="unavailable rate",
        worst_level=level,
        p_value=float(binomtest(unavailable, decisions, TOLERATED_UNAVAILABLE, alternative="greater").pvalue),
        is_judged=True,
        finding=f"{share:.2%} of {decisions:,} answers, {TOLERATED_UNAVAILABLE:.1%} are tolerated",
    )


def contract_candidate(
    name: str, *, refused_before: int, accepted_before: int, refused: int, accepted: int
) -> Candidate:
    """Rows that broke their contract, as a share of those that came: Fisher's exact test, one-sided."""
    came, came_before = refused + accepted, refused_before + accepted_before
    share = refused / came if came else 0.0
    share_before = refused_before / came_before if came_before else 0.0
    is_more = share >= ALARM_REFUSED_SHARE and share >= ALARM_REFUSED_FACTOR * share_before
    level = Level.ALARM if is_more else Level.NOTICE
    table = [[refused, accepted], [refused_before, accepted_before]]
    return Candidate(
        section=Section.CONTRACTS,
        model=None,
        name=name,
        worst_level=level if refused else Level.QUIET,
        p_value=float(fisher_exact(table, alternative="greater").pvalue) if came_before else None,
        is_judged=came > 0,
        finding=f"{refused:,} of {came:,} rows refused ({share:.2%}), {share_before:.2%} before",
    )


def consistency_candidate(
    model: str,
    *,
    compared: int,
    not_comparable: int,
    differences: Sequence[tuple[str, str, float, float]],
) -> Candidate:
    """Features as they were logged online against the same rebuilt offline: any difference is an alarm.

    not_comparable: decisions of another version of the features, which were left out.
    differences: decision or screening id, feature, logged value, rebuilt value.
    """
    if differences:
        decision, feature, logged, rebuilt = differences[0]
        decisions = len({one[0] for one in differences})
        finding = (
            f"{decisions:,} of {compared:,} decisions differ, in {len({one[1] for one in differences})} "
            f"features; the first: {decision}, {feature}: {logged!r} logged, {rebuilt!r} rebuilt"
        )
    elif compared:
        finding = f"{compared:,} decisions rebuilt, every feature the same to the bit"
    else:
        finding = "no decision was rebuilt"
    if not_comparable:
        finding += f"; {not_comparable:,} left out, they read another version of the features"
    return Candidate(
        section=Section.CONSISTENCY,
        model=model,
        name="features, online against offline",
        worst_level=Level.ALARM if differences else Level.QUIET,
        p_value=None,
        is_judged=compared > 0,
        finding=finding,
    )


def champion_candidate(model: str, change: ChampionChange) -> Candidate:
    """A champion that was put in place within the window; a notice where a gate was overridden."""
    despite = ", ".join(gate.partition(":")[0] for gate in change.failed_gates)
    against = f" against {despite}" if despite else ""
    return Candidate(
        section=Section.CHAMPION,
        model=model,
        name=f"version {change.version}",
        worst_level=Level.NOTICE if despite else Level.QUIET,
        p_value=None,
        is_judged=True,
        finding=f"{change.kind.value}{against} on {change.at:%Y-%m-%d} by {change.by}: {change.reason}",
    )


def unwatched_candidate(model: str, finding: str, level: Level) -> Candidate:
    """A model that is not watched: a mistyped home must not pass for a quiet month."""
    return Candidate(
        section=Section.CHAMPION,
        model=model,
        name="not watched",
        worst_level=level,
        p_value=None,
        is_judged=True,
        finding=finding,
    )


def _drop_level(drop: float) -> Level:
    if drop >= ALARM_AUC_DROP:
        return Level.ALARM
    return Level.NOTICE if drop >= NOTICE_AUC_DROP else Level.QUIET


def _factor_level(factor: float, alarm_factor: float) -> Level:
    distance = max(factor, 1 / factor) if factor > 0 else float("inf")
    if distance >= alarm_factor:
        return Level.ALARM
    return Level.NOTICE if distance >= NOTICE_BAD_RATE_FACTOR else Level.QUIET
