"""The top of a validation report: whether to trust the model, in a few sentences."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from evidence.percentages import per_cent, share
from training.validation.figures import ValidationFigures
from training.validation.population_shift import SCORE, ShiftLevel
from training.validation.segment_results import FEWEST_TO_JUDGE, ProbabilityFinding, SegmentResult

FEW_BADS = 100
DOMINANT_SHARE = 0.5
NAMED = 4
WRONG = (ProbabilityFinding.TOO_LOW, ProbabilityFinding.TOO_HIGH)


class Weight(enum.StrEnum):
    """How much a finding matters: as it should be, worth knowing, or a reason not to use the model."""

    GOOD = "good"
    WATCH = "watch"
    BAD = "bad"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence, and the section of the report that it comes from."""

    weight: Weight
    section: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """headline: in a few words. ranking, probabilities: the two sentences that every model has.

    suspicious: what is unstable, wrong or too small to tell, the worst first.
    """

    weight: Weight
    headline: str
    ranking: Finding
    probabilities: Finding
    suspicious: tuple[Finding, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them in the order of reading."""
        return (self.ranking, self.probabilities, *self.suspicious)


def verdict(figures: ValidationFigures) -> Verdict:
    """Judge the figures."""
    order = {Weight.BAD: 0, Weight.WATCH: 1, Weight.GOOD: 2}
    suspicious = tuple(sorted(_suspicious(figures), key=lambda finding: order[finding.weight]))
    ranking, probabilities = _ranking(figures), _probabilities(figures)
    weights = {finding.weight for finding in (ranking, probabilities, *suspicious)}
    failed = [gate.name for gate in figures.gates if not gate.passed]
    if failed:
        weight, headline = Weight.BAD, f"Do not use it: it failed {_names(failed, 'gate')}"
    elif Weight.BAD in weights:
        weight, headline = Weight.BAD, "Do not use it before the red points are explained"
    elif Weight.WATCH in weights:
        weight, headline = (
            Weight.WATCH,
            "It passed the gates of its training; know the points below before you use it",
        )
    else:
        weight, headline = Weight.GOOD, "It passed the gates of its training and nothing stands out"
    return Verdict(
        weight=weight,
        headline=headline,
        ranking=ranking,
        probabilities=probabilities,
        suspicious=suspicious,
    )


def _ranking(figures: ValidationFigures) -> Finding:
    evaluation, words = figures.evaluation, figures.wording
    # Of the shares in the table of captures, the one at the cut-off.
    at_cut_off = next(
        capture for capture in figures.ranking.captures if capture.riskiest_share == words.refused_share
    )
    sentence = (
        f"Of one order {words.bad} and one {words.good}, it puts the first above the second in "
        f"{per_cent(evaluation.auc)} of cases (AUC; 50 % is a coin). The riskiest "
        f"{share(words.refused_share)} hold {per_cent(at_cut_off.captured_share)} of all orders {words.bad}."
    )
    no_better = evaluation.auc.low <= 0.5
    return Finding(weight=Weight.BAD if no_better else Weight.GOOD, section="ranking", sentence=sentence)


def _probabilities(figures: ValidationFigures) -> Finding:
    evaluation = figures.evaluation
    bins = figures.calibration
    judged = [part for part in bins if part.probability_finding is not ProbabilityFinding.TOO_FEW]
    wrong = [part for part in judged if part.probability_finding in WRONG]
    overall = (
        f"It expects {share(evaluation.mean_probability)} {figures.wording.bad}, "
        f"{share(evaluation.bad_rate)} were"
    )
    if wrong:
        which = ", ".join(
            f"{share(part.mean_probability)} said, {per_cent(part.bad_rate)} seen" for part in wrong[:NAMED]
        )
        sentence = f"{overall}; the probabilities are wrong in {len(wrong)} of {len(bins)} groups: {which}."
        return Finding(weight=Weight.WATCH, section="calibration", sentence=sentence)
    few = len(bins) - len(judged)
    said = f"{overall}; the probabilities are true in each of the {len(judged)} groups that can be judged"
    return Finding(
        weight=Weight.GOOD if judged else Weight.WATCH,
        section="calibration",
        sentence=f"{said}, {few} hold too few {figures.wording.bad} to tell." if few else f"{said}.",
    )


def _suspicious(figures: ValidationFigures) -> Iterator[Finding]:
    words = figures.wording
    for gate in figures.gates:
        if not gate.passed:
            yield Finding(
                weight=Weight.BAD, section="gates", sentence=f"Gate {gate.name} failed: {gate.finding}."
            )
    contrary = [feature for feature in figures.features if feature.contradicts_direction]
    if contrary:
        named = "; ".join(
            f"{feature.name} (declared {feature.direction.replace('_', ' ')}, the estimate "
            f"{feature.trend.value}, {feature.violations} of {feature.probes} probes score better)"
            for feature in contrary[:NAMED]
        )
        yield Finding(
            weight=Weight.BAD,
            section="features",
            sentence=f"{len(contrary)} features move the estimate against their declared direction: "
            f"{named}{_more(len(contrary))}.",
        )
    for table in figures.fairness:
        for difference in table.differences:
            weight = Weight.BAD if difference.is_wronged else Weight.WATCH
            yield Finding(weight=weight, section="fairness", sentence=_capital(difference.sentence))
    yield from _shifted(figures)
    for segment in figures.segments:
        yield from _segment(segment.title, segment.rows, figures.wording.bad)
    useless = [group for group in figures.ablation.groups if group.cost is not None and group.cost.high < 0]
    if useless:
        yield Finding(
            weight=Weight.WATCH,
            section="ablation",
            sentence="The model is better without "
            + ", ".join(f"{group.group} ({group.cost})" for group in useless)
            + ".",
        )
    strongest = figures.features[0]
    if strongest.share >= DOMINANT_SHARE:
        yield Finding(
            weight=Weight.WATCH,
            section="features",
            sentence=f"One feature does most of the work: {strongest.name} with {share(strongest.share)} of "
            "all contributions; if it breaks, so does the model.",
        )
    if figures.evaluation.bads < FEW_BADS:
        yield Finding(
            weight=Weight.WATCH,
            section="data",
            sentence=f"Small sample: only {figures.evaluation.bads} orders {words.bad} in the test, so every "
            "interval is wide and what is not flagged may still be wrong.",
        )
    small = [
        row.name
        for segment in figures.segments
        for row in segment.rows
        if row.probability_finding is ProbabilityFinding.TOO_FEW
    ]
    if small:
        yield Finding(
            weight=Weight.WATCH,
            section="segments",
            sentence=f"{len(small)} of the parts shown hold fewer than {FEWEST_TO_JUDGE} orders {words.bad}; "
            f"of those nothing can be said: {', '.join(small[:NAMED])}{_more(len(small))}.",
        )


def _shifted(figures: ValidationFigures) -> Iterator[Finding]:
    far = {shift.name: shift for shift in figures.shifts if shift.level is ShiftLevel.MOVED_MUCH}
    if SCORE in far:
        yield Finding(
            weight=Weight.WATCH,
            section="stability",
            sentence=f"The scores have moved much since training: stability index "
            f"{far[SCORE].stability_index:.2f} ({far[SCORE].largest_change}).",
        )
    features = [shift for shift in far.values() if shift.name != SCORE]
    if features:
        named = ", ".join(f"{shift.name} ({shift.stability_index:.2f})" for shift in features[:NAMED])
        verb = "feature has" if len(features) == 1 else "features have"
        yield Finding(
            weight=Weight.WATCH,
            section="stability",
            sentence=f"{len(features)} {verb} moved much since training, beyond chance: "
            f"{named}{_more(len(features))}.",
        )


def _segment(title: str, rows: tuple[SegmentResult, ...], bad: str) -> Iterator[Finding]:
    for row in rows:
        if row.probability_finding in WRONG:
            yield Finding(
                weight=Weight.WATCH,
                section="segments",
                sentence=f"{title}, {row.name}: probabilities are {row.probability_finding.value}, "
                f"{share(row.mean_probability)} said and {per_cent(row.bad_rate)} {bad}.",
            )
        if row.ranks_worse and row.auc:
            yield Finding(
                weight=Weight.WATCH,
                section="segments",
                sentence=f"{title}, {row.name}: ranked worse than all orders together, AUC {row.auc}.",
            )


def _names(names: list[str], noun: str) -> str:
    return f"the {noun}{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _more(count: int) -> str:
    return f" and {count - NAMED} more" if count > NAMED else ""


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
