"""Where the return came from: sectors, and factors by regressions across the names of each day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.backtest.result import BacktestResult
from kairos.equity.backtest.scaling import SESSIONS_PER_YEAR
from kairos.evaluation.attribution import attribute_to_factors, attribute_to_groups, factor_returns
from kairos.evaluation.significance import mean_test
from kairos.report import Estimate, charts
from kairos.report.page import Chart, Column, Section, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kairos.equity.frame import Array
    from kairos.equity.sheets.holdings import Holdings

NAMES = {"size": "Size", "beta": "Beta", "alpha": "The signal"}


def attribution_sections(result: BacktestResult, held: Holdings) -> list[Section]:
    """Daily return of the scaled book by sector and by factor, as means a year."""
    lags = result.strategy.backtest.rebalance_every
    by_sector = _table("Sector", sector_parts(held), held.total, lags)
    factors = factor_parts(held)
    shown = [_estimate(name, part, lags) for name, part in factors.items()]
    by_factor = _table("Factor", factors, held.total, lags)
    chart = Chart(
        "By factor",
        charts.intervals(shown, kind="percent", across=True),
        "Contribution to the return a year, with 95% intervals.",
        "Bars of the contribution of each factor.",
    )
    return [
        Section(
            "Attribution",
            "The parts of a day add up to its return. Sectors: what the names of each earned at the weights of "
            "the close before. Factors: the book's exposures times what a unit of each earned across the "
            "universe on the day; Sectors and market is what the mean names of the sectors earned, Names what "
            "no factor explains.",
            [chart, by_factor, by_sector],
        )
    ]


def sector_parts(held: Holdings) -> dict[str, Array]:
    """(T',) daily return of each sector that was ever held, of costs, and of interest and fees."""
    found = attribute_to_groups(
        held.book, held.returns, held.sector, len(held.sectors), held.total, held.cost
    )
    ever = np.unique(held.sector[held.book.column]).tolist()
    return {
        **{held.sectors[s]: found.groups[:, s] for s in ever},
        "Trading costs": found.costs,
        "Interest and fees": found.rest,
    }


def factor_parts(held: Holdings) -> dict[str, Array]:
    """(T',) daily return by size, beta and the signal, by sectors, of the names' own, of costs and fees."""
    known = held.characteristics
    moves = np.where(held.traded, held.returns, np.nan)
    paid = factor_returns(moves, known, held.sector, len(held.sectors), held.members)
    found = attribute_to_factors(
        held.book, held.returns, paid, list(known.values()), held.sector, held.total, held.cost
    )
    return {
        **{NAMES[name]: found.characteristics[:, k] for k, name in enumerate(paid.names)},
        "Sectors and market": found.groups.sum(axis=1),
        "Names": found.specific,
        "Trading costs": found.costs,
        "Interest and fees": found.rest,
    }


def _estimate(label: str, part: Array, lags: int) -> Estimate:
    test, year = mean_test(part, lags), SESSIONS_PER_YEAR
    return Estimate(label, test.mean * year, test.low * year, test.high * year, test.t, test.n)


def _table(first: str, parts: Mapping[str, Array], total: Array, lags: int) -> Table:
    rows: list[list[Any]] = [
        [e.label, e.value, e.low, e.high, e.t]
        for e in (_estimate(name, part, lags) for name, part in {**parts, "Sum": total}.items())
    ]
    return Table(
        title=f"By {first.lower()}",
        columns=[
            Column(first),
            Column("A year", "percent", digits=2),
            Column("from", "percent"),
            Column("to", "percent"),
            Column("t", "ratio"),
        ],
        rows=rows,
        caption=f"Mean daily contribution times {SESSIONS_PER_YEAR}, not compounded; 95% intervals, "
        f"Newey–West with {lags} lags.",
    )
