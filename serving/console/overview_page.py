"""The overview: today's flow at a glance, and the last thirty days by day and by merchant."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup
from starlette.responses import Response

from data_contracts.currencies import major_units
from data_contracts.instants import HOUR_MS
from evidence.charts import ChartPoint, bar_chart, column_chart
from serving.console.locale_forms import Locale
from serving.console.page_request import ConsoleRoute, PageRequest
from serving.domain.console_user import ConsoleRole
from serving.domain.local_forms import local_date
from serving.figures.flow_overview import MEANINGS, WINDOW_DAYS, Figure, FlowFigures, Overview, overview

ROLES = frozenset({ConsoleRole.FRAUD, ConsoleRole.ANALYST, ConsoleRole.ADMIN})
NOTHING = "\N{EN DASH}"

TITLES = {
    Figure.ORDERS: "Orders",
    Figure.APPROVAL_RATE: "Approval rate",
    Figure.FLAGGED: "Flagged",
    Figure.STOPPED: "Stopped in time",
    Figure.SAVED: "Saved",
    Figure.ANSWER_TIME: "Answer time of merchants",
    Figure.FALSE_ALARM_RATE: "False-alarm rate",
    Figure.QUEUE_AGE: "Age of the queue",
}


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One figure of today, with what it says and what it is over the whole window."""

    title: str
    value: str
    over_window: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart and what stands in the table beside it. name: unique in its page, for ids."""

    name: str
    title: str
    label_heading: str
    value_heading: str
    points: tuple[ChartPoint, ...]
    svg: Markup


@dataclass(frozen=True, kw_only=True)
class FigureRow:
    """The figures of one day or merchant as text, in the order of the columns."""

    name: str
    cells: tuple[str, ...]


COLUMNS = (
    Figure.ORDERS,
    Figure.APPROVAL_RATE,
    Figure.FLAGGED,
    Figure.STOPPED,
    Figure.SAVED,
    Figure.ANSWER_TIME,
    Figure.FALSE_ALARM_RATE,
)


def figure_text(figure: Figure, figures: FlowFigures, locale: Locale) -> str:
    """A figure in local form, a dash where there is nothing to speak of.

    Raises KeyError for the age of the queue, which is of no day.
    """
    texts: dict[Figure, Callable[[], str]] = {
        Figure.ORDERS: lambda: locale.number(figures.orders),
        Figure.APPROVAL_RATE: lambda: _share(figures.approval_rate, locale),
        Figure.FLAGGED: lambda: locale.number(figures.flagged),
        Figure.STOPPED: lambda: locale.number(figures.stopped),
        Figure.SAVED: lambda: _amounts(figures, locale),
        Figure.ANSWER_TIME: lambda: _span(figures.answer_ms, locale),
        Figure.FALSE_ALARM_RATE: lambda: _share(figures.false_alarm_rate, locale),
    }
    return texts[figure]()


def _share(share: float | None, locale: Locale) -> str:
    return NOTHING if share is None else locale.percent(share)


def _span(ms: int | None, locale: Locale) -> str:
    return NOTHING if ms is None else locale.span(ms)


def _amounts(figures: FlowFigures, locale: Locale) -> str:
    return ", ".join(locale.amount(cents, currency) for currency, cents in figures.saved_cents) or NOTHING


async def overview_page(page: PageRequest) -> Response:
    """Today's figures, and charts and tables of the last thirty days."""
    policy, now_ms = page.scope.policy, page.locale.now_ms
    shown = await page.access.read_beside(lambda: overview(page.scope.store, policy, now_ms))
    locale = page.locale
    return page.render(
        "overview.html",
        tiles=_tiles(shown, locale),
        charts=_charts(shown, locale),
        merchant_chart=_merchant_chart(shown, locale),
        columns=[(TITLES[figure], MEANINGS[figure]) for figure in COLUMNS],
        merchant_rows=[_row(name, figures, locale) for name, figures in shown.merchants],
        day_rows=[_row(_date_text(day, locale), figures, locale) for day, figures in reversed(shown.days)],
        window_row=_row("All", shown.window, locale),
        counted_until_ms=shown.counted_until_ms,
        zone=policy.order_risk.default_time_zone,
        window_days=WINDOW_DAYS,
    )


def _row(name: str, figures: FlowFigures, locale: Locale) -> FigureRow:
    return FigureRow(name=name, cells=tuple(figure_text(figure, figures, locale) for figure in COLUMNS))


def _date_text(day: date, locale: Locale) -> str:
    return local_date(day, locale.language)


def _tiles(shown: Overview, locale: Locale) -> list[Tile]:
    tiles = [
        Tile(
            title=TITLES[figure],
            value=figure_text(figure, shown.today, locale),
            over_window=f"{figure_text(figure, shown.window, locale)} in {WINDOW_DAYS} days",
            meaning=MEANINGS[figure],
        )
        for figure in COLUMNS
    ]
    queue = shown.queue
    oldest = f"oldest {_span(queue.oldest_ms, locale)}, {locale.number(queue.waiting)} waiting"
    tiles.append(
        Tile(
            title=TITLES[Figure.QUEUE_AGE],
            value=_span(queue.median_ms, locale),
            over_window=oldest if queue.waiting else "nobody waits",
            meaning=MEANINGS[Figure.QUEUE_AGE],
        )
    )
    return tiles


def _charts(shown: Overview, locale: Locale) -> list[Chart]:
    charts = [
        _by_day(Figure.ORDERS, shown, locale, lambda one: one.orders, locale.number),
        _by_day(
            Figure.APPROVAL_RATE, shown, locale, lambda one: one.approval_rate, _whole_percent(locale), 1.0
        ),
        _by_day(Figure.FLAGGED, shown, locale, lambda one: one.flagged, locale.number),
        _by_day(
            Figure.FALSE_ALARM_RATE,
            shown,
            locale,
            lambda one: one.false_alarm_rate,
            _whole_percent(locale),
            1.0,
        ),
        _by_day(Figure.STOPPED, shown, locale, lambda one: one.stopped, locale.number),
        _by_day(Figure.ANSWER_TIME, shown, locale, _answer_hours, _hours(locale)),
    ]
    charts += [_saved_by_day(currency, shown, locale) for currency, _ in shown.window.saved_cents]
    return charts


def _whole_percent(locale: Locale) -> Callable[[float], str]:
    return lambda share: locale.percent(share, 0)


def _hours(locale: Locale) -> Callable[[float], str]:
    return lambda hours: f"{locale.number(hours)} h"


def _answer_hours(figures: FlowFigures) -> float | None:
    return None if figures.answer_ms is None else figures.answer_ms / HOUR_MS


def _by_day(
    figure: Figure,
    shown: Overview,
    locale: Locale,
    value: Callable[[FlowFigures], float | None],
    axis_text: Callable[[float], str],
    maximum: float | None = None,
) -> Chart:
    points = [
        ChartPoint(
            label=_date_text(day, locale), value=value(figures), text=figure_text(figure, figures, locale)
        )
        for day, figures in shown.days
    ]
    return _day_chart(figure.value, TITLES[figure], points, axis_text, maximum)


def _saved_by_day(currency: str, shown: Overview, locale: Locale) -> Chart:
    points = []
    for day, figures in shown.days:
        cents = dict(figures.saved_cents).get(currency, 0)
        points.append(
            ChartPoint(label=_date_text(day, locale), value=cents, text=locale.amount(cents, currency))
        )
    title = f"{TITLES[Figure.SAVED]}, {currency}"
    return _day_chart(
        f"{Figure.SAVED.value}-{currency.lower()}",
        title,
        points,
        lambda cents: locale.number(major_units(cents, currency)),
        None,
    )


def _day_chart(
    name: str,
    title: str,
    points: Sequence[ChartPoint],
    axis_text: Callable[[float], str],
    maximum: float | None,
) -> Chart:
    return Chart(
        name=name,
        title=f"{title} by day",
        label_heading="Day",
        value_heading=title,
        points=tuple(points),
        svg=column_chart(f"{title} by day", points, axis_text=axis_text, maximum=maximum, name=name),
    )


def _merchant_chart(shown: Overview, locale: Locale) -> Chart:
    points = [
        ChartPoint(label=merchant_id, value=figures.orders, text=locale.number(figures.orders))
        for merchant_id, figures in shown.merchants
    ]
    title, name = "Orders by merchant", "merchants"
    return Chart(
        name=name,
        title=title,
        label_heading="Merchant",
        value_heading="Orders",
        points=tuple(points),
        svg=bar_chart(title, points, name=name),
    )


ROUTES: tuple[ConsoleRoute, ...] = (
    ConsoleRoute(path="/overview", method="GET", roles=ROLES, page=overview_page, title="Overview"),
)
