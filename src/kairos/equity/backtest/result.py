"""What one strategy earned, day by day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from kairos.equity.backtest.simulate import SESSIONS_PER_YEAR, Simulation
from kairos.evaluation.growth import annual_return
from kairos.evaluation.performance import Performance, performance
from kairos.evaluation.sharpe import probabilistic_sharpe

if TYPE_CHECKING:
    from kairos.equity.frame import SomeRows
    from kairos.settings import Strategy

Dates = np.ndarray[Any, np.dtype[np.datetime64]]
Series = np.ndarray[Any, np.dtype[np.float64]]
Index = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class BacktestResult:
    """A finished simulation.

    Attributes
    ----------
    strategy : Strategy
        As resolved.
    alpha : str
        ``table.column`` of the signal; `lower_is_better` when its sign was turned.
    simulation : Simulation
        The books.
    beta : SomeRows
        Beta of the names on the decision rows.
    bench_raw, bench : (T',)
        Daily return of the benchmark, and of the benchmark scaled to the volatility target.
    bench_name : str
        What the benchmark is.
    facts : mapping
        About universe and data, for the report.
    """

    strategy: Strategy
    alpha: str
    lower_is_better: bool
    simulation: Simulation
    beta: SomeRows
    bench_raw: Series
    bench: Series
    bench_name: str
    facts: Mapping[str, Any]

    @property
    def rows(self) -> slice:
        """Rows of the market with a result: from the first fill to the end."""
        return slice(self.simulation.first, self.simulation.last + 1)

    @property
    def dates(self) -> Dates:
        """(T',) sessions of the result."""
        days: Dates = self.simulation.market.frame.sessions[self.rows]
        return days

    @property
    def ret(self) -> Series:
        """(T',) net daily return of the scaled book."""
        return self.simulation.scaled.ret[self.rows]

    @property
    def cost(self) -> Series:
        """(T',) cost of the scaled book's trades."""
        return self.simulation.scaled.cost[self.rows]

    @property
    def before_cost(self) -> Series:
        """(T',) return before trading costs: (1 + net) / (1 - cost) - 1."""
        return (1.0 + self.ret) / (1.0 - self.cost) - 1.0

    @cached_property
    def book_beta(self) -> Series:
        """(T',) beta of the scaled book: Σ w·β over the names with a beta, scaled up to the whole gross.

        β is the one that the decision behind the day's book knew. NaN where less than half of the gross
        exposure has a beta.
        """
        run, days = self.simulation, np.arange(self.rows.start, self.rows.stop)
        decision = np.array(run.decisions)[np.searchsorted(run.fills, days, side="right") - 1]
        row, name, weight = self._positions(days)
        beta = self.beta.values[self.beta.at[decision[row]], name]
        known = np.isfinite(beta)
        gross = np.bincount(row, np.abs(weight), len(days))
        covered = np.bincount(row[known], np.abs(weight[known]), len(days))
        exposure = np.bincount(row[known], (weight * beta)[known], len(days))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where((covered > 0.0) & (covered >= 0.5 * gross), exposure * gross / covered, np.nan)

    def _positions(self, days: Index) -> tuple[Index, Index, Series]:
        """Position in `days`, column and weight of everything the scaled book held after those closes."""
        held = [self.simulation.scaled.book[day] for day in days.tolist()]
        row = np.repeat(np.arange(len(days)), [len(names) for names, _ in held])
        return row, np.concatenate([names for names, _ in held]), np.concatenate([w for _, w in held])

    @cached_property
    def performance(self) -> Performance:
        """Headline numbers of the scaled book."""
        return self.over(slice(None))

    def over(self, part: slice) -> Performance:
        """Headline numbers over a part of the sessions."""
        book, rows = self.simulation.scaled, self.rows
        return performance(
            self.ret[part],
            self.dates[part],
            SESSIONS_PER_YEAR,
            turnover=book.turnover[rows][part],
            cost=self.cost[part],
            gross=book.gross[rows][part],
            net=book.net[rows][part],
            n_positions=book.names[rows][part],
            benchmark=self.bench[part],
        )

    def daily(self) -> pa.Table:
        """The table of results: one row a session."""
        book, raw, rows = self.simulation.scaled, self.simulation.raw, self.rows
        return pa.table({
            "date": pa.array(self.dates),
            "port_ret_raw": raw.ret[rows],
            "bench_ret_raw": self.bench_raw,
            "port_ret": self.ret,
            "bench_ret": self.bench,
            "active_ret_raw": raw.ret[rows] - self.bench_raw,
            "active_ret": self.ret - self.bench,
            "turnover": book.turnover[rows],
            "cost": self.cost,
            "beta_port": pa.array(self.book_beta, from_pandas=True),
            "gross": book.gross[rows],
            "net": book.net[rows],
            "n_positions": book.names[rows].astype(np.int32),
        })  # fmt: skip

    def fills(self) -> pa.Table:
        """The weights after each fill: date, ticker, of the raw and of the scaled book."""
        run, frame = self.simulation, self.simulation.market.frame
        parts = []
        for row in run.fills:
            (raw_names, raw), (names, scaled) = run.raw.book[row], run.scaled.book[row]
            held = np.union1d(raw_names, names)  # columns stand in the order of the tickers
            both = np.zeros((2, len(held)))
            both[0, np.searchsorted(held, raw_names)] = raw
            both[1, np.searchsorted(held, names)] = scaled
            parts.append((np.full(len(held), row), held, *both))
        when, name, raw, scaled = (np.concatenate(column) for column in zip(*parts, strict=True))
        return pa.table({
            "date": pa.array(frame.sessions[when]),
            "ticker": pa.array(frame.tickers[name].tolist(), pa.string()),
            "weight_raw": raw,
            "weight": scaled,
        })  # fmt: skip

    def headline(self) -> dict[str, Any]:
        """The numbers that the ledger keeps."""
        neutral = self.strategy.bottom_n > 0
        judged = self.simulation.raw.ret[self.rows] if neutral else self.ret - self.bench
        numbers: dict[str, Any] = self.performance.as_dict()
        return {
            "strategy": self.strategy.name,
            "alpha": self.alpha,
            "lower_is_better": self.lower_is_better,
            **numbers,
            "excess_return": numbers["annual_return"] - annual_return(self.bench, SESSIONS_PER_YEAR),
            "probabilistic_sharpe": probabilistic_sharpe(judged),
            "unpriced_orders": self.simulation.scaled.unpriced,
            "left_out": self.simulation.left_out,
        }
