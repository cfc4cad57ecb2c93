"""What a challenger would have changed: its answers beside the champion's, for the same live traffic."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data_contracts.instants import iso_instant
from evidence.customer_bootstrap import customer_bootstrap
from evidence.intervals import CountedShare, counted_share, wilson_interval
from evidence.sign_flip import sign_flip_p_value
from evidence.stability import population_stability_index
from serving.shadow.question import Question
from serving.store.made_in_window import MadeInWindow
from serving.store.shadow_decisions import ShadowDecision

MINIMUM_CUSTOMERS = 100
"""With fewer, the interval of a rate near one half is wider than twenty points."""
MINIMUM_DECISIONS = 100
"""With fewer, some of the stability index's ten bins would hold hardly any."""
MINIMUM_DIFFERING = 6
"""With fewer customers, the sign-flip test cannot come below 5 %, whatever they are."""
SIGNIFICANCE = 0.05
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, kw_only=True)
class OutcomeCell:
    """How often this outcome of the champion met that one of the challenger."""

    champion: str
    challenger: str
    decisions: int


@dataclass(frozen=True, kw_only=True)
class RateComparison:
    """The rates of `yes` on the same decisions.

    difference: challenger minus champion; its interval draws customers, who may have several decisions.
    only_champion, only_challenger: decisions where just one of them said yes.
    customers: who were decided; differing_customers: those of them with a decision that came out otherwise.
    sign_flip_p_value: two-sided, that neither says yes more often than the other. The unit is the customer:
        tries of one customer are no independent evidence; see evidence/sign_flip.py.
    """

    champion: CountedShare
    challenger: CountedShare
    difference: float
    difference_low: float
    difference_high: float
    only_champion: int
    only_challenger: int
    customers: int
    differing_customers: int
    sign_flip_p_value: float


@dataclass(frozen=True, kw_only=True)
class ScoreComparison:
    """Challenger's score minus champion's, at the quantiles of QUANTILES.

    unit: points, or percentage points of probability. stability_index: of the challenger's probabilities
    against the champion's; None for fewer than MINIMUM_DECISIONS.
    """

    unit: str
    quantiles: tuple[float, ...]
    stability_index: float | None


@dataclass(frozen=True, kw_only=True)
class GroundDifference:
    """A rule or reason, and how many decisions named it for one of the models and not for the other."""

    kind: str
    code: str
    only_champion: int
    only_challenger: int


@dataclass(frozen=True, kw_only=True)
class AmountDifference:
    """Amounts of the decisions where just one of the models said yes, in cents."""

    currency: str
    only_champion_cents: int
    only_challenger_cents: int


@dataclass(frozen=True, kw_only=True)
class Realised:
    """What became of the orders that got these two answers, each order once, by its newest decision.

    bad: among those whose outcome is known by now; None where none is, or none can be.
    """

    champion: str
    challenger: str
    orders: int
    bad: CountedShare | None


@dataclass(frozen=True, kw_only=True)
class ShadowReport:
    """The comparison over one window.

    since_ms: decisions made from then on; until_ms: the newest that both answered, None where there is none.
    made: decisions of the window; not_comparable: made by the challenger itself, or without features that it
    could score; other_features: those of them that were made with another version of the features;
    before_start: made before the shadow began and never to be answered; waiting: not answered yet;
    failed: the challenger failed. The others are compared.
    differing: the newest decisions with different outcomes.
    """

    model_name: str
    version: str
    champion_versions: tuple[str, ...]
    question: Question
    since_ms: int
    until_ms: int | None
    made: int
    not_comparable: int
    other_features: int
    before_start: int
    waiting: int
    failed: int
    compared: int
    conclusion: str
    outcomes: tuple[OutcomeCell, ...]
    rates: RateComparison | None
    scores: ScoreComparison | None
    grounds: tuple[GroundDifference, ...]
    amounts: tuple[AmountDifference, ...]
    realised: tuple[Realised, ...]
    differing: tuple[ShadowDecision, ...]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        document = asdict(self)
        document["question"]["subject"] = self.question.subject.name.lower()
        document["since"] = iso_instant(document.pop("since_ms"))
        until_ms = document.pop("until_ms")
        document["until"] = None if until_ms is None else iso_instant(until_ms)
        for decision in document["differing"]:
            decision["as_of"] = iso_instant(decision.pop("as_of_ms"))
        return document


def shadow_report(
    answers: Sequence[ShadowDecision],
    *,
    model_name: str,
    version: str,
    question: Question,
    since_ms: int,
    answers_from_ms: int,
    made: MadeInWindow,
    made_since_start: MadeInWindow,
    labels: Mapping[str, int],
    differences: int = 0,
    seed: int = 0,
) -> ShadowReport:
    """Compare a challenger's answers with the champion's; a pure function.

    answers: of one version, in the order of time, all of them of the window, which begins at `since_ms`; some
    may be from an earlier run of the shadow, which now answers what is made from `answers_from_ms` on.
    made: in the window; made_since_start: in its part from `answers_from_ms` on. labels: 1 bad, 0 not, by
    order_id, as far as known. differences: how many of the newest differing decisions to list.
    """
    compared = [answer for answer in answers if answer.failure is None]
    differing = [answer for answer in compared if answer.champion.outcome != answer.challenger.outcome]
    rates = _rates(compared, question, seed)
    start = question.subject.first_id_at(answers_from_ms)
    answered_since_start = sum(answer.subject_id > start for answer in answers)
    answered_before = len(answers) - answered_since_start
    return ShadowReport(
        model_name=model_name,
        version=version,
        champion_versions=tuple(sorted({answer.champion_version for answer in answers}, key=_as_number)),
        question=question,
        since_ms=since_ms,
        until_ms=compared[-1].as_of_ms if compared else None,
        made=made.made,
        not_comparable=made.not_comparable,
        other_features=made.other_features,
        before_start=max(made.comparable - made_since_start.comparable - answered_before, 0),
        waiting=max(made_since_start.comparable - answered_since_start, 0),
        failed=len(answers) - len(compared),
        compared=len(compared),
        conclusion=_conclusion(rates, len(compared), len(answers) - len(compared), question),
        outcomes=_outcomes(answers),
        rates=rates,
        scores=_scores(compared),
        grounds=_grounds(compared),
        amounts=_amounts(compared, question),
        realised=_realised(compared, labels, question),
        differing=tuple(reversed(differing[-differences:])) if differences else (),
    )


def _as_number(version: str) -> tuple[int, str]:
    return (int(version) if version.isdecimal() else 0, version)


def _rates(compared: Sequence[ShadowDecision], question: Question, seed: int) -> RateComparison | None:
    if not compared:
        return None
    champion = np.array([answer.champion.outcome == question.yes for answer in compared])
    challenger = np.array([answer.challenger.outcome == question.yes for answer in compared])
    bootstrap = customer_bootstrap(
        np.array([answer.customer_id for answer in compared], dtype=np.object_), seed=seed
    )
    totals = bootstrap.totals(
        {
            "champion": champion.astype(np.float64),
            "challenger": challenger.astype(np.float64),
            "all": np.ones(len(compared)),
        }
    )
    difference = totals.rate_difference(("challenger", "all"), ("champion", "all"))
    if difference is None:
        return None
    won = challenger.astype(np.int64) - champion.astype(np.int64)
    net_by_customer: Counter[str] = Counter()
    for answer, one in zip(compared, won.tolist(), strict=True):
        net_by_customer[answer.customer_id] += one
    return RateComparison(
        champion=counted_share(int(champion.sum()), len(compared)),
        challenger=counted_share(int(challenger.sum()), len(compared)),
        difference=difference.value,
        difference_low=difference.low,
        difference_high=difference.high,
        only_champion=int((won < 0).sum()),
        only_challenger=int((won > 0).sum()),
        customers=bootstrap.customers,
        differing_customers=len(
            {answer.customer_id for answer, one in zip(compared, won.tolist(), strict=True) if one}
        ),
        sign_flip_p_value=sign_flip_p_value(net_by_customer.values()),
    )


def _conclusion(rates: RateComparison | None, compared: int, failed: int, question: Question) -> str:
    if rates is None:
        if failed:
            return f"The challenger failed at each of the {failed:,} decisions that it tried to answer."
        return "Nothing to compare: no decision of this time has been answered by both."
    differing = rates.only_champion + rates.only_challenger
    if rates.customers < MINIMUM_CUSTOMERS:
        return (
            f"Too few to tell: {compared:,} decisions answered by both, about {rates.customers:,} customers "
            f"({MINIMUM_CUSTOMERS} wanted), {differing:,} with different outcomes."
        )
    if rates.differing_customers < MINIMUM_DIFFERING:
        most = wilson_interval(rates.differing_customers, rates.customers).high
        return (
            f"Hardly any difference: {differing:,} of {compared:,} decisions came out otherwise, for "
            f"{rates.differing_customers:,} of {rates.customers:,} customers, in the long run for at most "
            f"{most:.1%}; too few to tell which of the two would have {question.yes} more."
        )
    direction = "more" if rates.difference > 0 else "fewer"
    if rates.sign_flip_p_value < SIGNIFICANCE:
        return (
            f"Of 100 decisions the challenger would have {question.yes} {abs(rates.difference) * 100:.1f} "
            f"{direction} than the champion; chance does not explain that."
        )
    return (
        f"How many would have been {question.yes} differs by no more than chance explains; "
        f"{differing:,} of {compared:,} decisions would have come out otherwise."
    )


def _outcomes(answers: Sequence[ShadowDecision]) -> tuple[OutcomeCell, ...]:
    counts = Counter((answer.champion.outcome, answer.challenger.outcome) for answer in answers)
    return tuple(
        OutcomeCell(champion=champion, challenger=challenger, decisions=count)
        for (champion, challenger), count in sorted(counts.items())
    )


def _scores(compared: Sequence[ShadowDecision]) -> ScoreComparison | None:
    pairs = [
        (answer.champion.probability, answer.challenger.probability)
        for answer in compared
        if answer.champion.probability is not None and answer.challenger.probability is not None
    ]
    if not pairs:
        return None
    probabilities = np.array(pairs, dtype=np.float64)
    points = [
        answer.challenger.points - answer.champion.points
        for answer in compared
        if answer.champion.points is not None and answer.challenger.points is not None
    ]
    moved = np.array(points, dtype=np.float64) if points else 100 * np.diff(probabilities, axis=1)[:, 0]
    is_enough = len(pairs) >= MINIMUM_DECISIONS
    return ScoreComparison(
        unit="points" if points else "percentage points",
        quantiles=tuple(float(value) for value in np.quantile(moved, QUANTILES)),
        stability_index=population_stability_index(*probabilities.T) if is_enough else None,
    )


def _grounds(compared: Sequence[ShadowDecision]) -> tuple[GroundDifference, ...]:
    only_champion: Counter[tuple[str, str]] = Counter()
    only_challenger: Counter[tuple[str, str]] = Counter()
    for answer in compared:
        for kind, champion, challenger in (
            ("rule", answer.champion.failed_rules, answer.challenger.failed_rules),
            ("reason", answer.champion.reasons, answer.challenger.reasons),
        ):
            only_champion.update((kind, code) for code in set(champion) - set(challenger))
            only_challenger.update((kind, code) for code in set(challenger) - set(champion))
    found = [
        GroundDifference(
            kind=kind,
            code=code,
            only_champion=only_champion[kind, code],
            only_challenger=only_challenger[kind, code],
        )
        for kind, code in only_champion.keys() | only_challenger.keys()
    ]
    return tuple(
        sorted(
            found, key=lambda one: (one.kind != "rule", -one.only_champion - one.only_challenger, one.code)
        )
    )


def _amounts(compared: Sequence[ShadowDecision], question: Question) -> tuple[AmountDifference, ...]:
    only_champion: Counter[str] = Counter()
    only_challenger: Counter[str] = Counter()
    for answer in compared:
        said = (answer.champion.outcome == question.yes, answer.challenger.outcome == question.yes)
        if said == (True, False):
            only_champion[answer.currency] += answer.amount_cents
        elif said == (False, True):
            only_challenger[answer.currency] += answer.amount_cents
    return tuple(
        AmountDifference(
            currency=currency,
            only_champion_cents=only_champion[currency],
            only_challenger_cents=only_challenger[currency],
        )
        for currency in sorted(only_champion.keys() | only_challenger.keys())
    )


def _realised(
    compared: Sequence[ShadowDecision], labels: Mapping[str, int], question: Question
) -> tuple[Realised, ...]:
    newest = {answer.order_id: answer for answer in compared}
    orders: Counter[tuple[str, str]] = Counter()
    known: Counter[tuple[str, str]] = Counter()
    bad: Counter[tuple[str, str]] = Counter()
    for order_id, answer in newest.items():
        cell = (answer.champion.outcome, answer.challenger.outcome)
        orders[cell] += 1
        is_judged = question.judged_when_no or answer.champion.outcome == question.yes
        if is_judged and order_id in labels:
            known[cell] += 1
            bad[cell] += labels[order_id]
    return tuple(
        Realised(
            champion=champion,
            challenger=challenger,
            orders=count,
            bad=counted_share(bad[champion, challenger], known[champion, challenger])
            if known[champion, challenger]
            else None,
        )
        for (champion, challenger), count in sorted(orders.items())
    )
