"""A backtest and a proposal in lines for a person at a terminal."""

from data_contracts.currencies import amount_figure, major_units
from evidence.intervals import AmountInterval, Interval
from serving.policy_backtest.backtest_figures import Backtest, Change, LimitGrowthEffect, PolicyFigures, Span
from serving.policy_backtest.cut_off_proposal import CutOffProposal
from serving.policy_backtest.review_capacity import FlagProposal

NO_FIGURE = "none"
LISTED_EXAMPLES = 5
LISTED_SEGMENTS = 8


def amount_text(amount: AmountInterval | None, currency: str, *, signed: bool = False) -> str:
    """An amount in whole units with its interval; differences with their sign.

    >>> amount_text(AmountInterval(cents=123_456, low_cents=100_000, high_cents=150_000), "EUR")
    '1,235 [1,000, 1,500]'
    """
    if amount is None:
        return NO_FIGURE
    sign = "+" if signed else ""

    def whole(minor: int) -> str:
        return f"{major_units(minor, currency):{sign},.0f}"

    value = whole(amount.cents)
    if amount.low_cents is None or amount.high_cents is None:
        return f"{value} [no interval]"
    return f"{value} [{whole(amount.low_cents)}, {whole(amount.high_cents)}]"


def rate_text(rate: Interval | None, *, signed: bool = False) -> str:
    """A share in per cent with its interval; differences in percentage points, with their sign.

    >>> rate_text(Interval(value=0.031, low=0.02, high=0.045))
    '3.10 % [2.00, 4.50]'
    """
    if rate is None:
        return NO_FIGURE
    sign, unit = ("+", "points") if signed else ("", "%")
    value, low, high = (share * 100 for share in (rate.value, rate.low, rate.high))
    return f"{value:{sign}.2f} {unit} [{low:{sign}.2f}, {high:{sign}.2f}]"


def span_text(span: Span | None, currency: str, *, signed: bool = False) -> str:
    """Both ends of a range, without their intervals; one figure with its interval where they agree."""
    if span is None or span.low is None or span.high is None:
        return NO_FIGURE
    low, high = span.low, span.high
    if low == high:
        return end_text(low, currency, signed=signed)
    ends = (end_text(end, currency, signed=signed, alone=True) for end in (low, high))
    return " to ".join(ends)


def end_text(end: AmountInterval | Interval, currency: str, *, signed: bool, alone: bool = False) -> str:
    """One end of a range. alone: without its interval."""
    if isinstance(end, AmountInterval):
        text = amount_text(end, currency, signed=signed)
    else:
        text = rate_text(end, signed=signed)
    return text.partition(" [")[0] if alone else text


def _units(minor: int, currency: str) -> str:
    """A sum in whole units with its currency."""
    return f"{currency} {amount_figure(minor, currency, decimals=0)}"


def verdict(result: Backtest) -> str:
    """What the change would have done, in one sentence."""
    change, name, currency = result.difference, result.after.policy_version, result.currency
    if change.approval_rate.value == 0:
        approvals = f"{name} approves as many of the orders as {result.before.policy_version}"
    else:
        word = "more" if change.approval_rate.value > 0 else "fewer"
        points = rate_text(change.approval_rate, signed=True)
        approvals = f"{name} approves {word} of the orders: {points}"
    money = change.realised_net
    if money is None:
        return f"{approvals}; without [costs] no amounts can be said"
    if money.low_cents is None or money.high_cents is None:
        return f"{approvals}. Where the outcome is known, no amount differs"
    if money.low_cents > 0:
        effect = "earns more"
    elif money.high_cents < 0:
        effect = "earns less"
    else:
        effect = "earns neither clearly more nor clearly less"
    net = f"{result.currency} {amount_text(money, currency, signed=True)}"
    return f"{approvals}. Where the outcome is known it {effect}: {net} net"


def backtest_text(result: Backtest) -> str:
    """The whole backtest in lines."""
    currency = result.currency
    lines = [
        verdict(result),
        "",
        (
            f"{result.orders:,} orders of {result.customers:,} customers, {result.first_order_at[:10]} to "
            f"{result.last_order_at[:10]}, outcomes as known on {result.outcomes_until[:10]}, model "
            f"{result.model}"
        ),
    ]
    if result.orders < result.selected_from:
        lines.append(f"a sample of {result.selected_from:,} orders: amounts and counts are the sample's")
    lines += [f"note: {warning}" for warning in result.warnings]
    lines += [
        "",
        *_policy_lines("before", result.before, currency),
        "",
        *_policy_lines("after", result.after, currency),
        "",
    ]
    change = result.difference
    lines += [
        f"difference in {result.currency}, paired, with 95 % intervals (by customer)",
        f"  approval rate       {rate_text(change.approval_rate, signed=True)}",
        f"  bad rate            {rate_text(change.bad_rate, signed=True)}",
        f"  realised margin     {amount_text(change.realised_margin, currency, signed=True)}",
        f"  realised loss       {amount_text(change.realised_loss, currency, signed=True)}",
        f"  realised net        {amount_text(change.realised_net, currency, signed=True)}",
        (
            f"  expected net        {amount_text(change.expected_net, currency, signed=True)} "
            "(invoices too young)"
        ),
        f"  all, inferred       {span_text(change.net_inferred, currency, signed=True)}",
        f"  all, bounds         {span_text(change.net_bounds, currency, signed=True)}",
        "",
        *_limit_growth_lines(result.limit_growth, result.currency),
        *_change_lines("newly declined", result.newly_declined, result.currency),
        "",
        *_change_lines("newly approved", result.newly_approved, result.currency),
        "",
    ]
    for title, rows in result.segments.items():
        changed = [row for row in rows if row.newly_declined or row.newly_approved][:LISTED_SEGMENTS]
        if changed:
            lines.append(f"by {title}: orders, approved before, after (newly declined, newly approved)")
            lines += [
                f"  {row.name:<16} {row.orders:>8,} {row.approved_before:>8,} {row.approved_after:>8,} "
                f"({row.newly_declined:,}, {row.newly_approved:,})"
                for row in changed
            ]
    lines += [
        "",
        (
            f"inferred: orders never invoiced are {result.reject_factors[0]:g} to "
            f"{result.reject_factors[1]:g} times as likely not to be paid as the model "
            "says; bounds: none to all of them are."
        ),
        (
            "History stays as it happened: what is declined here is invoiced and paid in what comes after "
            "it, and a ledger has no reservations."
        ),
    ]
    return "\n".join(lines)


def _policy_lines(title: str, figures: PolicyFigures, currency: str) -> list[str]:
    shares = [
        f"{kind.replace('_', ' ')} {count.orders:,} ({count.share:.1%})"
        for kind, count in figures.evidence.items()
        if count.orders
    ]
    lines = [
        f"{title}: policy {figures.policy_version}",
        f"  approved            {figures.approved:,}, {rate_text(figures.approval_rate)}",
        f"    of these          {', '.join(shares) or NO_FIGURE}",
        f"  bad rate, known     {rate_text(figures.bad_rate)}",
        (
            f"  bad rate, range     {span_text(figures.bad_rate_inferred, currency)} inferred, "
            f"{span_text(figures.bad_rate_bounds, currency)} bounds"
        ),
    ]
    for name, money in (("realised", figures.realised), ("expected", figures.expected)):
        if money is not None:
            lines += [
                f"  {name} margin     {amount_text(money.margin, currency)}",
                f"  {name} loss       {amount_text(money.loss, currency)}",
                (
                    f"  {name} net        {amount_text(money.net, currency)}, "
                    f"after handling {amount_text(money.handling, currency)}"
                ),
            ]
    if figures.net_bounds is not None:
        lines.append(
            f"  net, all            {span_text(figures.net_inferred, currency)} inferred, "
            f"{span_text(figures.net_bounds, currency)} bounds"
        )
    return lines


def _limit_growth_lines(effect: LimitGrowthEffect | None, currency: str) -> list[str]:
    if effect is None:
        return []
    return [
        f"[limit_growth] of {effect.policy_version}, beside the same policy without it",
        (
            f"  declined by it alone {effect.declined:,} orders, {_units(effect.declined_cents, currency)}: "
            f"{rate_text(effect.lost)} of the approvals"
        ),
        (f"  approved by it alone {effect.approved:,} orders, {_units(effect.approved_cents, currency)}"),
        f"  approval rate       {rate_text(effect.approval_rate, signed=True)}",
        f"  realised net        {amount_text(effect.realised_net, currency, signed=True)}",
        (
            f"  expected net        {amount_text(effect.expected_net, currency, signed=True)} "
            "(invoices too young)"
        ),
        "",
    ]


def _change_lines(title: str, change: Change, currency: str) -> list[str]:
    if change.orders == 0:
        return [f"{title}: none"]
    lines = [
        f"{title}: {change.orders:,} orders, {_units(change.amount_cents, currency)}",
        (
            f"  outcome known       {change.known:,}, of which not paid {change.bads:,}: "
            f"{rate_text(change.bad_rate)}"
        ),
        f"  realised net        {amount_text(change.realised_net, currency)}",
        f"  expected net        {amount_text(change.expected_net, currency)}",
        (
            f"  never invoiced      {change.unknown:,}, {_units(change.unknown_amount_cents, currency)}; "
            f"confirmed fraud {change.fraud:,}"
        ),
    ]
    lines += [
        f"  rule {code:<24} {count:>7,} orders, {_units(change.amount_by_rule_cents[code], currency)}"
        for code, count in change.by_rule.items()
    ]
    lines += [
        f"  {example.order_id} on {example.ordered_at[:10]}: {currency} "
        f"{amount_figure(example.amount_cents, currency)}, "
        f"score {example.score}, {example.standing}, {', '.join(example.rules)}; "
        f"{example.outcome.replace('_', ' ')}"
        for example in change.examples[:LISTED_EXAMPLES]
    ]
    return lines


def proposal_text(proposal: CutOffProposal | None, flag: FlagProposal | None) -> str:
    """What is proposed, and how firmly, in lines."""
    lines: list[str] = []
    if proposal is not None:
        lines += _cut_off_lines(proposal)
    if flag is not None:
        flag_lines = _flag_lines(flag, "" if proposal is None else proposal.currency)
        lines += ["", *flag_lines] if lines else flag_lines
    return "\n".join(lines)


def _proposal_verdict(proposal: CutOffProposal) -> str:
    if not proposal.changes:
        return "no better than the present cut-offs: no other pair that may be chosen left more"
    currency = proposal.currency
    gain = amount_text(proposal.gain, currency, signed=True)
    if not proposal.present_is_feasible:
        return f"the present cut-offs do not keep the constraints; to keep them brings {gain}"
    if not proposal.is_clearly_better:
        return f"not clearly better than the present cut-offs: the gain may be chance, {gain}"
    return f"better than the present cut-offs: {gain}"


def _cut_off_lines(proposal: CutOffProposal) -> list[str]:
    currency = proposal.currency
    lines = [
        _proposal_verdict(proposal),
        f"cut-offs, from {proposal.orders:,} orders; amounts in {proposal.currency}",
    ]
    for cut_off in proposal.cut_offs:
        known = "nowhere" if cut_off.evidence_from is None else f"down to {cut_off.evidence_from}"
        lines += [
            (
                f"  cut_off_{cut_off.group:<9} {cut_off.present} -> {cut_off.proposed} "
                f"[{cut_off.low}, {cut_off.high}]"
            ),
            f"    as good within 1 %: {cut_off.flat_from} to {cut_off.flat_to}; outcomes known {known}",
        ]
    lines += [
        (
            f"  approval rate   {rate_text(proposal.approval_rate_present)} -> "
            f"{rate_text(proposal.approval_rate_proposed)}"
        ),
        (
            f"  bad rate        {rate_text(proposal.bad_rate_present)} -> "
            f"{rate_text(proposal.bad_rate_proposed)}"
        ),
        (
            f"  net             {amount_text(proposal.net_present, currency)} -> "
            f"{amount_text(proposal.net_proposed, currency)}"
        ),
        f"  gain            {amount_text(proposal.gain, currency, signed=True)}",
        (
            f"  gain on others  {amount_text(proposal.gain_on_others, currency, signed=True)} "
            "(customers who had no part in choosing, for a book of this size)"
        ),
    ]
    return lines + [f"  note: {warning}" for warning in proposal.warnings]


def _flag_lines(flag: FlagProposal, currency: str) -> list[str]:
    lines = [
        (
            f"flag_from_per_mille {flag.present} -> {flag.proposed} [{flag.low}, {flag.high}], for "
            f"{flag.reviews_per_day} reviews a day over {flag.days:,} days"
        ),
        (
            f"  flagged a day   {flag.flagged_per_day_present:.1f} -> {flag.flagged_per_day:.1f} "
            f"({flag.reviews_for_flags_per_day:.1f} fit beside the random sample)"
        ),
        f"  on {flag.flagged_share_above:.0%} of the days there are more, {flag.busiest_day} at most",
    ]
    if flag.fraud_found is not None and flag.fraud_found_present is not None:
        lines.append(
            f"  of all confirmed fraud, flagged at approval: {flag.fraud_found_present:.0%} -> "
            f"{flag.fraud_found:.0%}"
        )
    if flag.review_cents_per_day is not None:
        found = amount_figure(round(flag.fraud_cents_per_day), currency, decimals=0)
        cost = amount_figure(round(flag.review_cents_per_day), currency, decimals=0)
        lines.append(f"  a day: {found} of confirmed fraud among them, reviewing costs {cost}")
    return lines
