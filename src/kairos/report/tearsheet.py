"""The tear sheet of one strategy: what it earned, what it cost, and what had to be assumed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kairos.report import charts
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

    from kairos.report.charts import Dates, Day, Series
    from kairos.report.format import Kind, Value

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SIDES = ("Portfolio", "Benchmark", "Active")
_TILES = 6
_FULL_SHADE_MONTH = 0.10
_FULL_SHADE_YEAR = 0.30


@dataclass(frozen=True)
class Headline:
    """One row of the headline table.

    Parameters
    ----------
    label : str
        "Annual return", "Sharpe ratio", …
    kind, digits
        How the row's numbers are written; numbers are raw (0.12 is 12%).
    portfolio, benchmark, active : number, date, text or None
        The strategy net of costs, its benchmark, and their difference; None where it means nothing.
    """

    label: str
    kind: Kind
    portfolio: Value
    benchmark: Value = None
    active: Value = None
    digits: int | None = None

    @property
    def quantities(self) -> tuple[Quantity, Quantity, Quantity]:
        """Portfolio, benchmark and active, ready for a table."""
        portfolio, benchmark, active = (
            Quantity(value, self.kind, self.digits) for value in (self.portfolio, self.benchmark, self.active)
        )
        return portfolio, benchmark, active


@dataclass(frozen=True, kw_only=True)
class TearSheet:
    """Everything a tear sheet shows. Numbers are raw fractions; missing is NaN or None.

    Parameters
    ----------
    strategy, alpha : str
        What was run, on which column.
    facts : Sequence[tuple[str, str]]
        What makes the result traceable: run, snapshot, command, period.
    warnings : Sequence[str]
        Look-ahead, survivorship and the like; shown before any number.
    headline : Sequence[Headline]
        Over the whole period, the most important first: the first six are also shown as tiles.
    samples : Mapping[str, Sequence[Headline]]
        The same rows over parts of the period, by name ("In sample, 2015 to 2021").
    dates : (T,)
        Sessions of all daily series.
    returns : (T,)
        Net daily returns, for their distribution.
    wealth : Mapping[str, (T,)]
        Growth of 1 by name, the strategy first ("Net of costs", "Before costs", "Benchmark").
    drawdowns : Mapping[str, (T,)]
        Fall from the running maximum (≤ 0) by name, the strategy first.
    rolling_window : int
        Sessions in the window of the two rolling series.
    rolling_sharpe, rolling_volatility : Mapping[str, (T,)]
        Annualised, by name; NaN before the window is full.
    years : (Y,)
        Calendar years, as int or datetime64[Y].
    months : (Y, 12)
        Net return of each month; NaN where there was none.
    year_returns, year_benchmark, year_active : (Y,)
        Return of each calendar year; NaN without a benchmark.
    rebalance_dates : (R,)
        Fill dates.
    turnover, cost : (R,)
        Sum of |Δw| and cost as a fraction of capital, per rebalance.
    n_positions, gross, net : (T,)
        Number of names and exposures at each close.
    assumptions : Sequence[tuple[str, str]]
        Universe, lag, fill, costs, volatility target, in-sample or not, missing data, share of members
        classified from current metadata.
    out_of_sample_from : date or datetime64, optional
        Marked on the charts.
    period : str
        What a return is of: "session", or "rebalance".
    bands : Sequence[Band]
        Regimes, behind the growth of 1.
    looks_ahead : bool
        The numbers know something of the future; the title says so.
    worth, studies : Sequence[Section]
        What stands after the headline, and after the book.
    """

    strategy: str
    alpha: str
    facts: Sequence[tuple[str, str]]
    headline: Sequence[Headline]
    dates: Dates
    returns: Series
    wealth: Mapping[str, Series]
    drawdowns: Mapping[str, Series]
    rolling_window: int
    rolling_sharpe: Mapping[str, Series]
    rolling_volatility: Mapping[str, Series]
    years: Sequence[int] | npt.NDArray[np.datetime64]
    months: Sequence[Series] | npt.NDArray[np.float64]
    year_returns: Series
    year_benchmark: Series
    year_active: Series
    rebalance_dates: Dates
    turnover: Series
    cost: Series
    n_positions: Series
    gross: Series
    net: Series
    assumptions: Sequence[tuple[str, str]]
    warnings: Sequence[str] = ()
    samples: Mapping[str, Sequence[Headline]] = field(default_factory=dict)
    out_of_sample_from: Day | None = None
    period: str = "session"
    looks_ahead: bool = False
    bands: Sequence[charts.Band] = ()
    worth: Sequence[Section] = ()
    studies: Sequence[Section] = ()


def tearsheet(sheet: TearSheet) -> Page:
    """Lay a tear sheet out: headline, growth, risk over time, calendar, trading, book, assumptions."""
    return Page(
        title=f"{sheet.strategy} on {sheet.alpha}",
        subtitle="Backtest that looks ahead: for comparison only"
        if sheet.looks_ahead
        else "Backtest, net of costs",
        facts=sheet.facts,
        warnings=sheet.warnings,
        sections=[
            _headline(sheet),
            *sheet.worth,
            _growth(sheet),
            _risk(sheet),
            _calendar(sheet),
            _trading(sheet),
            _book(sheet),
            *sheet.studies,
            Section("What was assumed", blocks=[Facts(sheet.assumptions)]),
        ],
    )


def _headline(sheet: TearSheet) -> Section:
    blocks: list[Block] = [
        Figures([_tile(row) for row in sheet.headline[:_TILES]]),
        _headline_table("Whole period", sheet.headline),
    ]
    if sheet.samples:
        blocks.append(Grid([_headline_table(name, rows) for name, rows in sheet.samples.items()]))
    return Section(
        "Headline",
        f"Returns of each {sheet.period}, compounded, after every cost stated below. Under Active stand the "
        "difference of the annual returns, and of the differences of the returns the information ratio and "
        "the tracking error.",
        blocks,
    )


def _tile(row: Headline) -> Figure:
    portfolio, benchmark, _ = row.quantities
    return Figure(row.label, portfolio, "" if row.benchmark is None else f"benchmark {benchmark.text}")


def _headline_table(title: str, rows: Sequence[Headline]) -> Table:
    return Table(
        title=title,
        columns=[Column(""), *(Column(name, "number") for name in _SIDES)],
        rows=[[row.label, *row.quantities] for row in rows],
    )


def _growth(sheet: TearSheet) -> Section:
    names = ", ".join(sheet.wealth)
    return Section(
        "Growth and drawdown",
        blocks=[
            Chart(
                "Growth of 1",
                charts.shaded(
                    charts.equity_curve(sheet.dates, sheet.wealth, split=sheet.out_of_sample_from),
                    sheet.bands,
                ),
                "Logarithmic: equal distances are equal percentages."
                + (f" {charts.REGIMES}" if sheet.bands else ""),
                f"Lines over time of the growth of 1 for: {names}.",
            ),
            Chart(
                "Drawdown",
                charts.drawdown(sheet.dates, sheet.drawdowns, split=sheet.out_of_sample_from),
                "Distance below the highest value so far, the starting value included.",
                f"Lines over time of the drawdown for: {', '.join(sheet.drawdowns)}.",
            ),
        ],
    )


def _risk(sheet: TearSheet) -> Section:
    window = f"{sheet.rolling_window} {sheet.period}s"
    split = sheet.out_of_sample_from
    return Section(
        "Risk over time",
        blocks=[
            Grid(
                [
                    Chart(
                        f"Rolling Sharpe ratio, {window}",
                        charts.lines(sheet.dates, sheet.rolling_sharpe, kind="ratio", split=split, zero=True),
                        f"Annualised; each point looks back over {window}.",
                        f"Lines over time of the Sharpe ratio over the last {window}.",
                    ),
                    Chart(
                        f"Rolling volatility, {window}",
                        charts.lines(sheet.dates, sheet.rolling_volatility, kind="percent", split=split),
                        f"Annualised; each point looks back over {window}.",
                        f"Lines over time of the volatility over the last {window}.",
                    ),
                ]
            ),
            Chart(
                "Daily net returns" if sheet.period == "session" else f"Net returns of each {sheet.period}",
                charts.distribution(sheet.returns),
                f"How many {sheet.period}s had which return.",
                f"Histogram of the net returns of each {sheet.period}.",
            ),
        ],
    )


def _calendar(sheet: TearSheet) -> Section:
    years = [str(year) for year in sheet.years]
    monthly = Table(
        title="Monthly net returns",
        columns=[
            Column("Year"),
            *(Column(month, "percent", shade=_FULL_SHADE_MONTH) for month in MONTHS),
            Column("Total", "percent", shade=_FULL_SHADE_YEAR),
        ],
        rows=[
            [year, *months, total]
            for year, months, total in zip(years, sheet.months, sheet.year_returns, strict=True)
        ],
        caption="Blue is a gain, orange a loss; an en dash is a month without a session in the period.",
    )
    yearly = Table(
        title="Yearly returns",
        columns=[Column("Year"), *(Column(name, "percent") for name in _SIDES)],
        rows=list(
            zip(years, sheet.year_returns, sheet.year_benchmark, sheet.year_active, strict=True),
        ),
        caption="The first and the last year may be incomplete.",
    )
    return Section("Calendar", blocks=[monthly, yearly])


def _trading(sheet: TearSheet) -> Section:
    split = sheet.out_of_sample_from
    return Section(
        "Turnover and cost",
        blocks=[
            Grid(
                [
                    Chart(
                        "Turnover per rebalance",
                        charts.lines(
                            sheet.rebalance_dates,
                            {"Turnover": sheet.turnover},
                            kind="percent",
                            split=split,
                            zero=True,
                        ),
                        "Sum of the absolute weight changes at each fill; 200% replaces a long-only book.",
                        "Line over time of the turnover at each rebalance.",
                    ),
                    Chart(
                        "Cost per rebalance, basis points of capital",
                        charts.lines(
                            sheet.rebalance_dates,
                            {"Cost": sheet.cost},
                            kind="basis_points",
                            split=split,
                            zero=True,
                        ),
                        "Spread and impact paid at each fill.",
                        "Line over time of the trading cost at each rebalance, in basis points.",
                    ),
                ]
            )
        ],
    )


def _book(sheet: TearSheet) -> Section:
    split = sheet.out_of_sample_from
    exposures = {"Gross": sheet.gross, "Net": sheet.net}
    return Section(
        "The book",
        blocks=[
            Grid(
                [
                    Chart(
                        "Number of names",
                        charts.lines(
                            sheet.dates, {"Names": sheet.n_positions}, kind="count", split=split, zero=True
                        ),
                        "Names held at each close.",
                        "Line over time of the number of names held.",
                    ),
                    Chart(
                        "Exposure",
                        charts.lines(sheet.dates, exposures, kind="percent", split=split, zero=True),
                        "Share of capital at each close: gross adds longs and shorts, net subtracts them.",
                        "Lines over time of gross and net exposure.",
                    ),
                ]
            )
        ],
    )
