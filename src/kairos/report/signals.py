"""The page that says how well signals foretell returns: information coefficients, portfolios, stability."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kairos.report import charts
from kairos.report.format import MISSING, Kind, show
from kairos.report.page import (
    Block,
    Chart,
    Column,
    Facts,
    Figure,
    Figures,
    Grid,
    Page,
    Quantity,
    Section,
    Table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from kairos.report.charts import Dates, Day, Estimate, Series

_INFORMATION = (
    Column("Mean IC", "coefficient", hint="Mean of the rank correlations of single dates"),
    Column("t", "ratio", hint="Newey–West, lags = horizon − 1"),
    Column("ICIR", "ratio", hint="Mean over standard deviation, not annualised"),
    Column("Share > 0", "percent", hint="Dates with a positive coefficient"),
    Column("Interval, 95%", "number", hint="Cosine error, Student’s t"),
    Column("Std", "coefficient"),
    Column(
        "p",
        "p_value",
        hint="Cosine error, Student’s t; holds where returns overlap, which that of the t doesn’t",
    ),
    Column("Dates", "count"),
)


@dataclass(frozen=True, kw_only=True)
class Information:
    """The summary of one series of daily information coefficients.

    Parameters
    ----------
    label : str
        Which series: "All members", "Neutral to sector, size and beta", "Out of sample", …
    mean, std, icir : float
        Of the daily rank correlations; `icir` is mean/std.
    positive : float
        Share of the dates with a coefficient above zero.
    t : float
        Newey–West t-value of the mean.
    p : float
        Two-sided p-value of the mean, by the cosine error.
    low, high : float
        95 % interval of the mean, by the cosine error.
    n : int
        Dates.
    """

    label: str
    mean: float
    std: float
    icir: float
    positive: float
    t: float
    p: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Signal:
    """Everything the page shows of one signal. Numbers are raw fractions; missing is NaN.

    Parameters
    ----------
    name : str
        The column.
    information : Sequence[Information]
        The headline series first, then neutralised, in sample, out of sample, as far as they exist.
    months, monthly : (M,)
        Month (any day of it) and mean coefficient of the month.
    dates, cumulative : (T,)
        Sessions and running sum of the daily coefficients.
    decay : Sequence[Estimate]
        Mean coefficient by horizon.
    groupings : Mapping[str, Sequence[Estimate]]
        Mean coefficient by "Year", "Sector", "Regime", …: one chart and table each.
    quantiles : Sequence[Estimate]
        Mean return a year of each quantile portfolio, lowest signal first.
    quantile_dates : (Q,)
        Sessions of the portfolio series.
    quantile_wealth : Mapping[str, (Q,)]
        Growth of 1 of each quantile portfolio, lowest signal first.
    spread_wealth : (Q,)
        Growth of 1 of the highest minus the lowest portfolio.
    spread : Estimate
        Mean return a year of the highest minus the lowest portfolio.
    monotonicity : float
        Rank correlation of the portfolios' mean returns with their order.
    rising : float
        Share of the steps from one portfolio to the next at which the mean return rises.
    rank_autocorrelation : Sequence[Estimate]
        Of the signal's ranks, by the number of sessions between.
    turnover : Sequence[Estimate]
        Sum of the absolute weight changes at a formation, by portfolio: 2 replaces every name.
    fama_macbeth : Estimate
        Mean slope of the return on the standardised signal.
    """

    name: str
    information: Sequence[Information]
    months: Dates
    monthly: Series
    dates: Dates
    cumulative: Series
    decay: Sequence[Estimate]
    groupings: Mapping[str, Sequence[Estimate]]
    quantiles: Sequence[Estimate]
    quantile_dates: Dates
    quantile_wealth: Mapping[str, Series]
    spread_wealth: Series
    spread: Estimate
    monotonicity: float
    rising: float
    rank_autocorrelation: Sequence[Estimate]
    turnover: Sequence[Estimate]
    fama_macbeth: Estimate


@dataclass(frozen=True, kw_only=True)
class SignalSheet:
    """One or several signals, evaluated on the same members and dates.

    Parameters
    ----------
    horizon, lag : int
        Sessions over which the return is measured, and from the signal to the start of the return.
    facts, warnings, assumptions
        As in a tear sheet.
    signals : Sequence[Signal]
        In the order in which they are compared.
    correlation : (S, S)
        Mean daily rank correlation between the signals; empty for one signal.
    adjusted : Mapping[str, (S,)]
        p-values of the headline coefficients adjusted for the number of signals, by method ("Holm", …).
    out_of_sample_from : date or datetime64, optional
        Marked on the charts.
    """

    horizon: int
    lag: int
    facts: Sequence[tuple[str, str]]
    signals: Sequence[Signal]
    assumptions: Sequence[tuple[str, str]]
    warnings: Sequence[str] = ()
    correlation: Sequence[Series] | npt.NDArray[np.float64] = ()
    adjusted: Mapping[str, Series] = field(default_factory=dict)
    out_of_sample_from: Day | None = None


def signal_page(sheet: SignalSheet) -> Page:
    """Lay the signals out: comparison first, then each signal, then what was assumed."""
    sections = [_comparison(sheet)]
    for signal in sheet.signals:
        sections += [_information(signal, sheet), _portfolios(signal, sheet)]
    names = ", ".join(signal.name for signal in sheet.signals)
    end = sheet.lag + sheet.horizon
    return Page(
        title=names if len(sheet.signals) <= 3 else f"{len(sheet.signals)} signals",
        subtitle=f"Signal of session t against the return from t + {sheet.lag} to t + {end}",
        facts=sheet.facts,
        warnings=sheet.warnings,
        sections=[*sections, Section("What was assumed", blocks=[Facts(sheet.assumptions)])],
    )


def _comparison(sheet: SignalSheet) -> Section:
    blocks: list[Block] = [_tiles(sheet.signals[0])] if len(sheet.signals) == 1 else []
    blocks.append(
        Table(
            title="Information coefficient",
            columns=[Column("Signal"), *_INFORMATION, Column("Spread a year", "percent")],
            rows=[
                [signal.name, *_row(signal.information[0]), signal.spread.value] for signal in sheet.signals
            ],
            caption="Rank correlation on each date between the signal and the return after it, averaged over "
            "dates. The spread is the highest minus the lowest quantile portfolio, before costs.",
        )
    )
    if sheet.adjusted:
        methods = [Column(method, "p_value") for method in sheet.adjusted]
        rows = zip(sheet.signals, *sheet.adjusted.values(), strict=True)
        blocks.append(
            Table(
                title="p-values adjusted for the number of signals",
                columns=[Column("Signal"), Column("Unadjusted", "p_value"), *methods],
                rows=[[signal.name, signal.information[0].p, *values] for signal, *values in rows],
                caption="The more signals are tried, the better the best of them looks by chance alone.",
            )
        )
    if len(sheet.correlation) > 1:
        names = [signal.name for signal in sheet.signals]
        blocks.append(
            Table(
                title="Correlation between the signals",
                columns=[Column(""), *(Column(name, "coefficient", 2, shade=1.0) for name in names)],
                rows=[[name, *row] for name, row in zip(names, sheet.correlation, strict=True)],
                caption="Mean over dates of the rank correlation across members.",
            )
        )
    return Section("Headline", blocks=blocks)


def _tiles(signal: Signal) -> Figures:
    first = signal.information[0]
    return Figures(
        [
            Figure("Mean IC", Quantity(first.mean, "coefficient"), _interval(first, "coefficient")),
            Figure("ICIR", Quantity(first.icir, "ratio"), "mean over deviation"),
            Figure("t-value", Quantity(first.t, "ratio"), "Newey–West"),
            Figure("Share > 0", Quantity(first.positive, "percent"), f"of {show(first.n, 'count')} dates"),
            Figure(
                "Spread a year", Quantity(signal.spread.value, "percent"), _interval(signal.spread, "percent")
            ),
            Figure("Monotonicity", Quantity(signal.monotonicity, "ratio"), "of the quantile returns"),
        ]
    )


def _information(signal: Signal, sheet: SignalSheet) -> Section:
    split = sheet.out_of_sample_from
    series = Grid(
        [
            Chart(
                "Mean coefficient of each month",
                charts.bars(signal.months, signal.monthly, kind="coefficient", split=split),
                "Blue above zero, orange below.",
                f"Bars over time of the mean information coefficient of {signal.name} in each month.",
            ),
            Chart(
                "Running sum of the daily coefficients",
                charts.lines(
                    signal.dates, {signal.name: signal.cumulative}, kind="number", split=split, zero=True
                ),
                "A steady climb is a steady signal; a flat stretch is a time in which it said nothing.",
                f"Line over time of the running sum of the daily information coefficients of {signal.name}.",
            ),
        ]
    )
    decay = Grid(
        [
            Chart(
                "Coefficient by horizon",
                charts.intervals(signal.decay),
                "Bars are means, whiskers 95% intervals.",
                f"Bars of the mean information coefficient of {signal.name} by horizon, with intervals.",
            ),
            _estimates("By horizon", "Horizon", signal.decay, "coefficient"),
        ]
    )
    summary = Table(
        columns=[Column("Series"), *_INFORMATION],
        rows=[[row.label, *_row(row)] for row in signal.information],
    )
    groupings = [_grouping(signal.name, name, rows) for name, rows in signal.groupings.items()]
    return Section(f"{signal.name}: information", blocks=[summary, series, decay, *groupings])


def _grouping(signal: str, name: str, rows: Sequence[Estimate]) -> Grid:
    return Grid(
        [
            Chart(
                f"Coefficient by {name.lower()}",
                charts.intervals(rows, across=True),
                "Bars are means, whiskers 95% intervals.",
                f"Bars of the mean information coefficient of {signal} by {name.lower()}, with intervals.",
            ),
            _estimates(f"By {name.lower()}", name, rows, "coefficient"),
        ]
    )


def _portfolios(signal: Signal, sheet: SignalSheet) -> Section:
    split = sheet.out_of_sample_from
    returns = Grid(
        [
            Chart(
                "Mean return a year by quantile",
                charts.intervals(signal.quantiles, kind="percent"),
                "Lowest signal on the left; whiskers are 95% intervals.",
                f"Bars of the mean yearly return of the quantiles of {signal.name}, with intervals.",
            ),
            _estimates("By quantile", "Quantile", [*signal.quantiles, signal.spread], "percent"),
        ]
    )
    growth = Grid(
        [
            Chart(
                "Growth of 1 by quantile",
                charts.groups(signal.quantile_dates, signal.quantile_wealth, split=split),
                "From the lowest signal (orange) to the highest (blue), before costs; logarithmic.",
                f"Lines over time of the growth of 1 of the quantile portfolios of {signal.name}.",
            ),
            Chart(
                "Growth of 1 of the spread",
                charts.equity_curve(
                    signal.quantile_dates, {signal.spread.label: signal.spread_wealth}, split=split
                ),
                "Highest minus lowest quantile, before costs; logarithmic.",
                f"Line over time of the growth of 1 of the spread of {signal.name}.",
            ),
        ]
    )
    stability = Grid(
        [
            _estimates("Rank autocorrelation", "Sessions apart", signal.rank_autocorrelation, "coefficient"),
            _estimates(
                "Turnover at a formation (200% replaces every name)", "Quantile", signal.turnover, "percent"
            ),
        ]
    )
    summary = Table(
        title="Slope and order",
        columns=[Column(""), *_ESTIMATE],
        rows=[
            [signal.fama_macbeth.label, *_estimate(signal.fama_macbeth, "basis_points")],
            ["Monotonicity", Quantity(signal.monotonicity, "ratio"), None, None, None],
            ["Steps that rise", Quantity(signal.rising, "percent"), None, None, None],
        ],
        caption="The slope is the return that comes with one standard deviation more of the signal, from one "
        "cross-sectional regression a date; monotonicity is 1 when each quantile earns more than the one "
        "below it.",
    )
    return Section(f"{signal.name}: portfolios", blocks=[returns, growth, summary, stability])


_ESTIMATE = (
    Column("Estimate", "number"),
    Column("Interval, 95%", "number"),
    Column("t", "ratio"),
    Column("n", "count", hint="Observations"),
)


def _estimates(title: str, label: str, rows: Sequence[Estimate], kind: Kind) -> Table:
    """Show estimates; columns that no row fills are left out."""
    cells = [_estimate(row, kind) for row in rows]
    filled = [i for i in range(len(_ESTIMATE)) if i == 0 or any(row[i].text != MISSING for row in cells)]
    return Table(
        title=title,
        columns=[Column(label), *(_ESTIMATE[i] for i in filled)],
        rows=[[row.label, *(cell[i] for i in filled)] for row, cell in zip(rows, cells, strict=True)],
    )


def _estimate(row: Estimate, kind: Kind) -> list[Quantity]:
    return [
        Quantity(row.value, kind),
        Quantity(_interval(row, kind), "text"),
        Quantity(row.t, "ratio"),
        Quantity(row.n, "count"),
    ]


def _row(row: Information) -> list[float | str]:
    interval = _interval(row, "coefficient")
    return [row.mean, row.t, row.icir, row.positive, interval, row.std, row.p, row.n]


def _interval(row: Information | Estimate, kind: Kind) -> str:
    low, high = show(row.low, kind), show(row.high, kind)
    return MISSING if low == high == MISSING else f"{low} to {high}"
