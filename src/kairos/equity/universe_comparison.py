"""How far two universes differ, and what the difference is worth in a backtest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kairos.equity.backtest.execute import run_strategy
from kairos.equity.backtest.result import BacktestResult, Dates
from kairos.equity.backtest.scaling import SESSIONS_PER_YEAR
from kairos.equity.columns import resolve
from kairos.equity.context import PRICES, RAW, Context, open_store
from kairos.equity.frame import Array, Ints, dates
from kairos.errors import InputError
from kairos.evaluation.growth import annual_return
from kairos.evaluation.significance import MeanTest, mean_test
from kairos.settings import Settings, Strategy
from kairos.store import Snapshot
from kairos.store.sql import quote

NEEDED = ("sessions", "listings", "universe", PRICES)
"""Tables without which a namespace can't be compared."""

FAILURES = ("bankruptcyliquidation", "regulatorydelisting")
"""The vendor's words for an end that nobody chose."""

LABELS = {
    "annual_return": "Annual return",
    "sharpe": "Sharpe ratio",
    "sharpe_se": "Sharpe ratio, standard error",
    "volatility": "Volatility",
    "max_drawdown": "Max drawdown",
    "benchmark_return": "Annual return of the benchmark",
    "active_return": "Active return a year",
    "information_ratio": "Information ratio",
    "turnover": "Turnover a year",
    "cost_drag": "Trading cost a year",
    "n_positions": "Names held",
}
"""What is compared of the two backtests, the most important first."""

STILL_LISTED = "still listed"
ROUNDING = 1e-12
"""Daily returns that differ by less are the same, summed over other numbers of columns."""

LUCK = 0.05
"""A difference with a larger p-value may be luck."""


@dataclass(frozen=True)
class Overlap:
    """Members of two universes, session by session.

    Attributes
    ----------
    dates : (T,) datetime64[D]
        Sessions of the common period on which at least one of them has members.
    one, other, both : (T,) int
        Members of the first universe, of the second, and of both at once.
    """

    dates: Dates
    one: Ints
    other: Ints
    both: Ints

    @property
    def shared(self) -> Array:
        """(T,) Jaccard's share: both / (one + other - both)."""
        share: Array = self.both / (self.one + self.other - self.both)
        return share

    def means(self, part: slice = slice(None)) -> dict[str, float]:
        """Averages over the sessions of a part: members of each, of both, of only one, and the share."""
        series = {
            "one": self.one,
            "other": self.other,
            "both": self.both,
            "only_one": self.one - self.both,
            "only_other": self.other - self.both,
            "shared": self.shared,
        }
        return {name: float(values[part].mean()) for name, values in series.items()}

    def years(self) -> dict[int, dict[str, float]]:
        """The averages of each calendar year."""
        years, begins = np.unique(self.dates.astype("datetime64[Y]"), return_index=True)
        ends = [*begins[1:].tolist(), len(self.dates)]
        found = zip(years.astype(int).tolist(), begins.tolist(), ends, strict=True)
        return {1970 + year: self.means(slice(lo, hi)) for year, lo, hi in found}


@dataclass(frozen=True)
class Names:
    """Listings that were a member in the common period, by how they ended.

    Attributes
    ----------
    ends : mapping of str to int
        Number by the reason in ``listings``; `STILL_LISTED` where they had not ended.
    told : bool
        False without the table ``actions``: then no reason is known.
    """

    ends: Mapping[str, int]
    told: bool

    @property
    def ever(self) -> int:
        """All of them."""
        return sum(self.ends.values())

    @property
    def delisted(self) -> int:
        """Those that ended later, for whatever reason."""
        return self.ever - self.ends.get(STILL_LISTED, 0)

    @property
    def failed(self) -> int | None:
        """Those of a known reason that failed or were expelled; None when no reason is known."""
        return sum(self.ends.get(reason, 0) for reason in FAILURES) if self.told else None

    def __add__(self, more: Names) -> Names:
        """Both sets of names together."""
        reasons = dict.fromkeys([*self.ends, *more.ends])
        ends = {reason: self.ends.get(reason, 0) + more.ends.get(reason, 0) for reason in reasons}
        return Names(ends, self.told)


@dataclass(frozen=True)
class UniverseComparison:
    """Two universes side by side.

    Attributes
    ----------
    one, other : str
        Their namespaces.
    overlap : Overlap
        Members session by session.
    both, only_one, only_other : Names
        Listings that were a member of both (not always on the same session), or of one alone.
    results : (BacktestResult, BacktestResult)
        The strategy in each namespace, over the same sessions.
    difference : MeanTest
        Daily net return in `other` less that in `one`, Newey-West with as many lags as sessions between
        decisions.
    warnings : tuple of str
        What to beware of.
    """

    one: str
    other: str
    overlap: Overlap
    both: Names
    only_one: Names
    only_other: Names
    results: tuple[BacktestResult, BacktestResult]
    difference: MeanTest
    warnings: tuple[str, ...]

    @property
    def facts(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """How each universe was made: its mode, and what each rule left."""
        return self.results[0].facts, self.results[1].facts

    def headline(self) -> dict[str, tuple[float, float, float]]:
        """Numbers of the strategy in `one`, in `other`, and other less one."""
        one, other = map(_numbers, self.results)
        return {name: (one[name], other[name], other[name] - one[name]) for name in LABELS}

    @property
    def verdict(self) -> str:
        """One sentence: whether the difference is more than luck."""
        test, year = self.difference, SESSIONS_PER_YEAR
        if test.mean == 0.0 and test.se == 0.0:
            return f"{self.other} earned the same as {self.one} on every session."
        if np.isnan(test.p):
            return f"{test.n} sessions are too few to tell the difference from luck."
        means = "more than luck explains" if test.p < LUCK else "not to be told from luck"
        return (
            f"{self.other} earned {test.mean * year:+.1%} a year against {self.one} (95% interval "
            f"{test.low * year:+.1%} to {test.high * year:+.1%}, t = {test.t:.2f}): {means}."
        )

    def as_dict(self) -> dict[str, Any]:
        """The comparison as plain data, without the daily series."""
        first, last = self.results[0].dates[[0, -1]]
        names = {"both": self.both, "only_one": self.only_one, "only_other": self.only_other}
        return {
            "one": self.facts[0],
            "other": self.facts[1],
            "members": self.overlap.means(),
            "years": self.overlap.years(),
            "names": {
                part: {"ever": n.ever, "delisted": n.delisted, "failed": n.failed, "ends": n.ends}
                for part, n in names.items()
            },
            "backtest": {
                "strategy": self.results[0].strategy.name,
                "alpha": self.results[0].alpha,
                "lower_is_better": self.results[0].lower_is_better,
                "first": str(first),
                "last": str(last),
                **{
                    name: dict(zip(("one", "other", "difference"), values, strict=True))
                    for name, values in self.headline().items()
                },
            },
            "daily_difference": asdict(self.difference),
            "verdict": self.verdict,
            "warnings": self.warnings,
        }


def compare(
    db: Path,
    one: str,
    other: str,
    *,
    alpha: str,
    settings: Settings,
    lower_is_better: bool = False,
    strategy: str = "baseline",
    snapshot: str | None = None,
) -> UniverseComparison:
    """Compare the universes of two namespaces, and a strategy in both. Nothing is stored.

    Members are compared from the later of the two first sessions with members to the earlier end. The
    strategy decides in both on the same sessions, from the first on which it holds a name in both. How a
    listing ended is known only afterwards; here it explains the past, and no decision sees it.

    Parameters
    ----------
    db : Path
        The catalog.
    one, other : str
        Namespaces; differences are `other` less `one`.
    alpha : str
        Column of a feature table, plain or as ``table.column``; higher is better unless `lower_is_better`.
    strategy : str
        Entry of ``[equity.strategies]``.
    snapshot : str, optional
        An earlier state of the catalog.

    Raises
    ------
    InputError
        The namespaces are the same, one has no universe, their sessions differ or have no period in common,
        or the backtest can't be made in one of them.
    """
    if one == other:
        raise InputError(f"{one} and {other} are the same universe; name two namespaces")
    rules = settings.equity.strategy(strategy)
    published = open_store(db, settings).snapshot(snapshot)
    for name in (one, other):
        _check(published, name)
    contexts = Context(published, settings, one), Context(published, settings, other)
    until = _common_end(*contexts)
    period = _common_begin(published, one, other, until), until
    results = _results(contexts, rules, alpha, lower_is_better, until)
    both, only_one, only_other = _names(published, one, other, period)
    return UniverseComparison(
        one=one,
        other=other,
        overlap=_overlap(published, one, other, period),
        both=both,
        only_one=only_one,
        only_other=only_other,
        results=results,
        difference=mean_test(_difference(*results), rules.backtest.rebalance_every),
        warnings=(*_of_the_data(*contexts), *_of_the_modes((one, other), results)),
    )


def _check(snapshot: Snapshot, namespace: str) -> None:
    missing = [name for name in NEEDED if (namespace, name) not in snapshot.tables]
    if missing:
        built = ", ".join(sorted(space for space, name in snapshot.tables if name == "universe"))
        raise InputError(
            f"namespace {namespace} has no table {', '.join(missing)}; make it with "
            f"`kairos equity build --into {namespace}`. With a universe there are: {built or 'none'}"
        )


def _numbers(result: BacktestResult) -> dict[str, Any]:
    benchmark = annual_return(result.bench, SESSIONS_PER_YEAR)
    return {**result.performance.as_dict(), "benchmark_return": benchmark}


def _common_end(one: Context, other: Context) -> dt.date:
    """The earlier of the two last sessions; up to there both must have the same ones."""
    until = min(one.sessions[-1], other.sessions[-1])
    own, its = (context.sessions[context.sessions <= until] for context in (one, other))
    if not np.array_equal(own, its):
        odd = np.setxor1d(own, its)
        raise InputError(
            f"{one.namespace} and {other.namespace} differ in {len(odd):,} sessions up to {until}, the first "
            f"is {odd[0]}: build both from the same data with `kairos equity build --into NAME`"
        )
    day: dt.date = until.item()
    return day


def _common_begin(snapshot: Snapshot, one: str, other: str, until: dt.date) -> dt.date:
    """The later of the two first sessions with members: before it a universe is only warming up."""
    first = [f"(SELECT min(date) FROM {quote(name)}.universe)" for name in (one, other)]
    with snapshot.connect() as con:
        ((begin,),) = con.sql(f"SELECT greatest({first[0]}, {first[1]})").fetchall()
    if begin > until:
        raise InputError(f"{one} and {other} have no session in common: one begins on {begin}, after {until}")
    day: dt.date = begin
    return day


def _results(
    contexts: tuple[Context, Context], rules: Strategy, alpha: str, lower_is_better: bool, until: dt.date
) -> tuple[BacktestResult, BacktestResult]:
    """The strategy in both namespaces, over the same sessions.

    Each begins where it first holds a name; the one that could begin earlier is run again from where the
    other one does, so that both pay for their first purchase on the same day.
    """
    end = min(rules.backtest.end or until, until)

    def run(context: Context, begin: dt.date | None) -> BacktestResult:
        engine = rules.backtest.model_copy(update={"start": begin, "end": end})
        strategy = rules.model_copy(update={"backtest": engine})
        return run_strategy(context, strategy, resolve(context, alpha), lower_is_better, None)

    results = [run(context, rules.backtest.start) for context in contexts]
    while (begin := max(map(_first_decision, results))) > min(map(_first_decision, results)):
        for i, context in enumerate(contexts):
            if _first_decision(results[i]) < begin:
                results[i] = run(context, begin)
    return results[0], results[1]


def _difference(one: BacktestResult, other: BacktestResult) -> Array:
    daily: Array = other.ret - one.ret
    return np.where(np.abs(daily) < ROUNDING, 0.0, daily)


def _first_decision(result: BacktestResult) -> dt.date:
    run = result.simulation
    day: dt.date = run.market.frame.sessions[run.decisions[0]].item()
    return day


def _overlap(snapshot: Snapshot, one: str, other: str, period: tuple[dt.date, dt.date]) -> Overlap:
    with snapshot.connect() as con:
        rows = con.sql(
            f"""
            SELECT date, count(o.ticker) AS one, count(t.ticker) AS other,
                   count(*) FILTER (o.ticker IS NOT NULL AND t.ticker IS NOT NULL) AS both
            FROM {quote(one)}.universe o FULL JOIN {quote(other)}.universe t USING (ticker, date)
            WHERE date BETWEEN $begin AND $end GROUP BY date ORDER BY date
            """,
            params=dict(zip(("begin", "end"), period, strict=True)),
        ).to_arrow_table()
    counts = {name: rows[name].to_numpy().astype(np.int64) for name in ("one", "other", "both")}
    return Overlap(dates=dates(rows["date"]), **counts)


def _names(
    snapshot: Snapshot, one: str, other: str, period: tuple[dt.date, dt.date]
) -> tuple[Names, Names, Names]:
    """Listings that were a member of both, of `one` alone and of `other` alone."""

    def ever(namespace: str) -> str:
        space = quote(namespace)
        return (
            f"SELECT DISTINCT l.ticker, l.listing, l.reason FROM {space}.universe u "
            f"JOIN {space}.listings l ON u.ticker = l.ticker AND u.date BETWEEN l.first AND l.last "
            "WHERE u.date BETWEEN $begin AND $end"
        )

    with snapshot.connect() as con:
        rows = con.sql(
            f"""
            WITH o AS ({ever(one)}), t AS ({ever(other)})
            SELECT o.ticker IS NOT NULL, t.ticker IS NOT NULL,
                   coalesce(o.reason, t.reason, $still), count(*)
            FROM o FULL JOIN t USING (ticker, listing) GROUP BY ALL ORDER BY ALL
            """,
            params={"begin": period[0], "end": period[1], "still": STILL_LISTED},
        ).fetchall()
    told = ("main", "actions") in snapshot.tables
    both, only_one, only_other = (
        Names({reason: n for *sides, reason, n in rows if sides == where}, told)
        for where in ([True, True], [True, False], [False, True])
    )
    return both, only_one, only_other


def _of_the_data(one: Context, other: Context) -> list[str]:
    """Whether the two universes were made from the same state of the vendor's tables."""
    made = []
    for context in (one, other):
        inputs = context.table("universe").meta.get("recipe", {}).get("inputs", {})
        made.append({name: digest for name, digest in inputs.items() if name in RAW})
    changed = ", ".join(sorted({name for name, _ in made[0].items() ^ made[1].items()}))
    warning = (
        f"{one.namespace} and {other.namespace} were made from different states of {changed}: part of the "
        "difference is not the universe's. Build both anew to compare the universes alone."
    )
    return [warning] if changed else []


def _of_the_modes(names: tuple[str, str], results: tuple[BacktestResult, BacktestResult]) -> list[str]:
    found = []
    for name, result in zip(names, results, strict=True):
        mode = result.facts.get("mode")
        if mode == "option_b":
            found.append(
                f"Survivorship bias: {name} is today's list applied to the past, so names that failed are "
                "not in it."
            )
        if mode == "point_in_time" and not result.facts.get("size_rule"):
            found.append(f"The size rule of {name} was dropped because the table daily is missing.")
    if not results[0].facts.get("actions", True):
        found.append("No corporate actions are loaded: delistings have no reason and pay out the last price.")
    if results[0].strategy.backtest.volatility.estimate == "full_sample":
        found.append("Look-ahead: the volatility target uses the volatility of the whole sample.")
    return [*found, *results[0].facts["data_warnings"]]
