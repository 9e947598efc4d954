"""What one strategy earned, day by day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from kairos.equity.backtest.compat import look_ahead, survivorship
from kairos.equity.backtest.scaling import periods_per_year, whole_sample
from kairos.equity.backtest.simulate import Simulation
from kairos.equity.backtest.strategy import union
from kairos.evaluation.growth import annual_return
from kairos.evaluation.performance import Performance, performance
from kairos.evaluation.sharpe import probabilistic_sharpe, sharpe_ratio
from kairos.evaluation.significance import lag_rule
from kairos.panel.weights import tilt

if TYPE_CHECKING:
    from kairos.equity.backtest.limits import Usage
    from kairos.equity.backtest.relax import Relaxation
    from kairos.equity.backtest.study import Bridge, Stress
    from kairos.equity.backtest.trials import Deflation
    from kairos.equity.context import Context
    from kairos.equity.frame import SomeRows
    from kairos.settings import Strategy

Dates = np.ndarray[Any, np.dtype[np.datetime64]]
Series = np.ndarray[Any, np.dtype[np.float64]]
Index = np.ndarray[Any, np.dtype[np.int64]]


LARGEST_BETA = 10.0
"""A stock's beta over a year that is larger comes from a bad price."""


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
    bench_raw_daily, bench_daily : (T',)
        Daily return of the benchmark, and of the benchmark scaled to the volatility target.
    bench_name : str
        What the benchmark is.
    facts : mapping
        About universe and data, for the report.
    context : Context
        The tables that it was made from.
    deflation, bridge, stress : optional
        What the result is worth after the choice among trials; what each correction of the manual's
        accounting costs; the same strategy at other lags, costs and capitals.
    """

    strategy: Strategy
    alpha: str
    lower_is_better: bool
    simulation: Simulation
    beta: SomeRows
    bench_raw_daily: Series
    bench_daily: Series
    bench_name: str
    facts: Mapping[str, Any]
    context: Context
    deflation: Deflation | None = None
    bridge: Bridge | None = None
    stress: Stress | None = None

    @property
    def rows(self) -> slice:
        """Rows of the market with a result: from the first fill to the end."""
        return slice(self.simulation.first, self.simulation.last + 1)

    @property
    def per_rebalance(self) -> bool:
        """Whether there is one return a rebalance, as the manual has it, instead of one a session."""
        return self.strategy.backtest.manual.per_rebalance

    @property
    def looks_ahead(self) -> list[str]:
        """What the universe and the engine know of the future, in words for every output."""
        parts = [part.strategy for part in self.simulation.parts]
        return [*survivorship(self.facts), *look_ahead(self.strategy, parts)]

    @property
    def periods_per_year(self) -> float:
        """Returns a year."""
        return periods_per_year(self.strategy)

    @property
    def starts(self) -> Index:
        """(P,) first row of each period, counted from the first fill."""
        return self.simulation.starts

    @property
    def ends(self) -> Index:
        """(P,) last row of each period, counted from the first fill."""
        return np.append(self.starts[1:], self.rows.stop - self.rows.start) - 1

    def compounded(self, daily: Series) -> Series:
        """(P,) return of each period from the daily ones."""
        return self.simulation.compounded(daily)

    def summed(self, daily: Series) -> Series:
        """(P,) sum over each period of daily amounts."""
        return np.add.reduceat(daily, self.starts)

    @property
    def dates(self) -> Dates:
        """(P,) last session of each period."""
        days: Dates = self.simulation.market.frame.sessions[self.rows][self.ends]
        return days

    @property
    def ret_raw(self) -> Series:
        """(P,) net return of the raw book."""
        return self.compounded(self.simulation.raw.ret[self.rows])

    @property
    def ret(self) -> Series:
        """(P,) net return of the scaled book; by rebalances the raw one times the whole sample's scale."""
        if self.per_rebalance:
            return self.ret_raw * self.simulation.scales[0]
        return self.simulation.scaled.ret[self.rows]

    @property
    def bench_raw(self) -> Series:
        """(P,) return of the benchmark."""
        return self.compounded(self.bench_raw_daily)

    @property
    def bench(self) -> Series:
        """(P,) return of the benchmark scaled to the volatility target."""
        if self.per_rebalance:
            return self.bench_raw * whole_sample(self.strategy, self.bench_raw, self.periods_per_year)
        return self.bench_daily

    @property
    def judged(self) -> Series:
        """(P,) what the probabilistic Sharpe ratio is of: active net, of a neutral book raw net returns."""
        return self.ret_raw if self.strategy.neutral else self.ret - self.bench

    @property
    def cost(self) -> Series:
        """(P,) cost of the scaled book's trades."""
        return self.summed(self.simulation.scaled.cost[self.rows])

    @property
    def turnover(self) -> Series:
        """(P,) Σ|Δw| of the scaled book."""
        return self.summed(self.simulation.scaled.turnover[self.rows])

    @property
    def before_cost(self) -> Series:
        """(P,) return before trading costs: (1 + net) / (1 - cost) - 1."""
        return (1.0 + self.ret) / (1.0 - self.cost) - 1.0

    def at_ends(self, daily: Series) -> Series:
        """(P,) what a daily series of the market's rows was at the end of each period."""
        return daily[self.rows][self.ends]

    @cached_property
    def book_beta(self) -> Series:
        """(T',) beta of the scaled book: Σ w·β over the names with a beta, scaled up to the whole gross.

        β is the one that the decision behind the day's book knew. NaN where less than half of the gross
        exposure has a beta.
        """
        run, days = self.simulation, np.arange(self.rows.start, self.rows.stop)
        decision = np.array(run.decisions)[np.searchsorted(run.fills, days, side="right") - 1]
        at, book = self.beta.at[decision], run.scaled.book
        decided = zip(days.tolist(), at.tolist(), strict=True)
        return np.array([tilt(*book[day], self.beta.values[row]) for day, row in decided])

    @cached_property
    def odd_betas(self) -> list[str]:
        """Names that were held with a beta that none can be, a sentence each, the largest first."""
        frame, found = self.simulation.market.frame, []
        for decision in self.simulation.filled:
            names = decision.target.names
            beta = self.beta.values[self.beta.at[decision.row], names]
            odd = np.abs(beta) > LARGEST_BETA
            found += [
                (b, n, decision.row) for b, n in zip(beta[odd].tolist(), names[odd].tolist(), strict=True)
            ]
        largest: dict[int, tuple[float, int]] = {}
        for beta, name, row in sorted(found, key=lambda entry: -abs(entry[0])):
            largest.setdefault(name, (beta, row))
        return [
            f"{frame.tickers[name]} has a beta of {beta:,.0f} on {frame.sessions[row]}: check its prices of "
            "the year before; what is said of beta here is not to be believed"
            for name, (beta, row) in largest.items()
        ]

    @cached_property
    def performance(self) -> Performance:
        """Headline numbers of the scaled book."""
        return self.over(slice(None))

    def over(self, part: slice) -> Performance:
        """Headline numbers over a part of the periods."""
        book = self.simulation.scaled
        return performance(
            self.ret[part],
            self.dates[part],
            self.periods_per_year,
            turnover=self.turnover[part],
            cost=self.cost[part],
            gross=self.at_ends(book.gross)[part],
            net=self.at_ends(book.net)[part],
            n_positions=self.at_ends(book.names)[part],
            benchmark=self.bench[part],
        )

    def daily(self) -> pa.Table:
        """The table of results: one row a session, or a rebalance."""
        book = self.simulation.scaled
        return pa.table({
            "date": pa.array(self.dates),
            "port_ret_raw": self.ret_raw,
            "bench_ret_raw": self.bench_raw,
            "port_ret": self.ret,
            "bench_ret": self.bench,
            "active_ret_raw": self.ret_raw - self.bench_raw,
            "active_ret": self.ret - self.bench,
            "turnover": self.turnover,
            "cost": self.cost,
            "beta_port": pa.array(self.book_beta[self.ends], from_pandas=True),
            "gross": self.at_ends(book.gross),
            "net": self.at_ends(book.net),
            "n_positions": self.at_ends(book.names).astype(np.int32),
        })  # fmt: skip

    def fills(self) -> pa.Table:
        """The weights after each fill, and what its decision wanted: of the raw and of the scaled book."""
        run, frame = self.simulation, self.simulation.market.frame
        parts = []
        for row, decision in zip(run.fills, run.filled, strict=True):
            (raw_names, raw), (names, scaled) = run.raw.book[row], run.scaled.book[row]
            target = decision.target
            held = union(raw_names, names, target.names)  # columns are in ticker order
            four = np.zeros((4, len(held)))
            four[0, np.searchsorted(held, raw_names)] = raw
            four[1, np.searchsorted(held, names)] = scaled
            four[2, np.searchsorted(held, target.names)] = target.weight
            four[3] = four[2] * (decision.scale if self.strategy.target_vol else 1.0)
            parts.append((np.full(len(held), row), np.full(len(held), decision.row), held, *four))
        when, decided, name, *weights = (np.concatenate(column) for column in zip(*parts, strict=True))
        labels = ("weight_raw", "weight", "target_raw", "target")
        return pa.table({
            "date": pa.array(frame.sessions[when]),
            "ticker": pa.DictionaryArray.from_arrays(name, frame.tickers.tolist()).cast(pa.string()),
            **dict(zip(labels, weights, strict=True)),
            "decided": pa.array(frame.sessions[decided]),
        })  # fmt: skip

    def limits(self) -> pa.Table:
        """How close the raw book of each decision is to each limit, and what was relaxed for it."""
        sessions = self.simulation.market.frame.sessions
        relaxed = [{(r.kind, r.label): r for r in d.book.relaxed} for d in self.simulation.decided]
        found = [
            (sessions[d.row].item(), u.kind, u.label, u.value, u.limit, u.binding, _relaxed(gone, u))
            for d, gone in zip(self.simulation.decided, relaxed, strict=True)
            for u in sorted(d.book.usage, key=lambda u: (u.kind, u.label))
        ]
        names = ("date", "kind", "limit_of", "value", "limit_value", "binding", "relaxed_to")
        types = (pa.date32(), pa.string(), pa.string(), pa.float64(), pa.float64(), pa.bool_(), pa.float64())
        columns = list(zip(*found, strict=True)) or [()] * len(names)
        return pa.table({n: pa.array(list(c), t) for n, c, t in zip(names, columns, types, strict=True)})

    def headline(self) -> dict[str, Any]:
        """The numbers that the ledger keeps."""
        numbers: dict[str, Any] = self.performance.as_dict()
        return {
            "strategy": self.strategy.name,
            "alpha": self.alpha,
            "lower_is_better": self.lower_is_better,
            **numbers,
            "periods_per_year": self.periods_per_year,
            "excess_return": numbers["annual_return"] - annual_return(self.bench, self.periods_per_year),
            "probabilistic_sharpe": probabilistic_sharpe(self.judged, lags=lag_rule(self.judged.size)),
            "judged": "port_ret_raw" if self.strategy.neutral else "active_ret",
            "judged_sharpe": sharpe_ratio(self.judged, 1.0),
            "relaxed": sum(bool(decision.book.relaxed) for decision in self.simulation.decided),
            "fallbacks": sum(decision.book.fallback for decision in self.simulation.decided),
            "looks_ahead": self.looks_ahead,
            "odd_betas": self.odd_betas,
            "unpriced_orders": self.simulation.scaled.unpriced,
            "left_out": self.simulation.left_out,
            **({} if self.deflation is None else self.deflation.headline()),
        }


def _relaxed(relaxed: Mapping[tuple[str, str], Relaxation], usage: Usage) -> float | None:
    found = relaxed.get((usage.kind, usage.label))
    return None if found is None else found.relaxed
