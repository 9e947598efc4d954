"""The decisions of backtests, compared between two states of the data."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kairos.audit.equity_inputs import Alteration
from kairos.audit.findings import Difference, Offence
from kairos.equity.backtest.compat import scaled_by_all
from kairos.equity.backtest.execute import simulated, strategies_of
from kairos.equity.backtest.inputs import REGIMES, columns_of, period
from kairos.equity.backtest.simulate import Simulation
from kairos.equity.context import PRICES, Context
from kairos.errors import InputError

MANUAL = "the manual's accounting runs on today's universe and looks ahead (here its own engine runs)"

TOLERANCE = 1e-6
"""Share of the book by which a weight may differ: signals differ by rounding, and optimisers stop early."""


@dataclass(frozen=True)
class Decided:
    """What one strategy decided and earned, by date.

    Attributes
    ----------
    weights : dict
        Date of the decision → ticker → target weight.
    scales : dict
        Date of the decision → scale to the volatility target.
    returns : dict
        Session → net return of the scaled book.
    """

    weights: Mapping[dt.date, Mapping[str, float]]
    scales: Mapping[dt.date, float]
    returns: Mapping[dt.date, float]


def decide(
    context: Context,
    strategies: Sequence[str],
    alpha: str,
    *,
    lower_is_better: bool = False,
    cut: bool = False,
) -> dict[str, Decided]:
    """Run strategies on a signal; a decision whose fill lies behind the data counts too.

    Where the data were `cut`, one that has no session left to decide and to fill on decides nothing.
    """
    found = {}
    for name in strategies:
        strategy = context.settings.equity.strategy(name)
        try:
            period(context, strategy, alpha)
        except InputError:
            if not cut:
                raise
            found[name] = Decided({}, {}, {})
        else:
            found[name] = _decided(simulated(context, strategy, alpha, lower_is_better))
    return found


def knows_future(
    context: Context, strategies: Sequence[str], alpha: str, in_sample: Mapping[tuple[str, str], str]
) -> dict[tuple[str, str], str]:
    """What of the decisions knows the future by configuration, and how.

    A fill at the close that is decided on earns what nobody could, but no weight depends on it.

    Parameters
    ----------
    in_sample : mapping
        Tables that know the future, as (table, "*"), and what they know.
    """
    found: dict[tuple[str, str], str] = {}
    for name in strategies:
        table = f"decisions.{name}"
        strategy, *parts = strategies_of(context.settings, context.settings.equity.strategy(name))
        if strategy.backtest.compat_manual:
            found[table, "*"] = MANUAL
            continue
        made_of = [column.partition(".")[0] for column in columns_of(context, [strategy, *parts], alpha)]
        if strategy.regimes or parts:
            made_of.append(REGIMES)
        through = [one for one in ("universe", PRICES, *made_of) if (one, "*") in in_sample]
        if strategy.backtest.manual.missing_target:
            found[table, "*"] = "names without a price at the next decision are left out"
        elif through:
            found[table, "*"] = f"made of {through[0]}"
        elif scaled_by_all(strategy, parts):
            traded = parts or strategy.book != "scored"  # limits count what is traded, and so does a mix
            for column in ("weight", "scale", "return") if traded else ("scale", "return"):
                found[table, column] = "the volatility target uses the volatility of the whole sample"
    return found


def differences(
    whole: Mapping[str, Decided], other: Mapping[str, Decided], altered: Alteration
) -> list[Difference]:
    """Compare decisions and returns up to the moment."""
    found = []
    for name, one in whole.items():
        two = other[name]
        cells = {
            "weight": (_cells(one.weights, altered), _cells(two.weights, altered)),
            "scale": (_days(one.scales, altered), _days(two.scales, altered)),
            "return": (_days(one.returns, altered), _days(two.returns, altered)),
        }
        for column, (a, b) in cells.items():
            found.append(_difference(f"decisions.{name}", column, a, b, altered))
    return found


def _decided(run: Simulation) -> Decided:
    frame = run.market.frame
    days = frame.sessions.astype(object)
    weights = {
        days[d.row]: dict(zip(frame.tickers[d.target.names].tolist(), d.target.weight.tolist(), strict=True))
        for d in run.decided
    }
    earned = range(run.first, run.last + 1) if run.first >= 0 else range(0)
    returns = {days[row]: float(run.scaled.ret[row]) for row in earned}
    return Decided(weights, {days[d.row]: d.scale for d in run.decided}, returns)


def _cells(
    weights: Mapping[dt.date, Mapping[str, float]], altered: Alteration
) -> dict[tuple[dt.date, str], float]:
    return {
        (day, ticker): weight
        for day, book in weights.items()
        if day <= altered.moment
        for ticker, weight in book.items()
    }


def _days(values: Mapping[dt.date, float], altered: Alteration) -> dict[tuple[dt.date, str], float]:
    return {(day, ""): value for day, value in values.items() if day <= altered.moment}


def _difference(
    table: str,
    column: str,
    one: Mapping[tuple[dt.date, str], float],
    two: Mapping[tuple[dt.date, str], float],
    altered: Alteration,
) -> Difference:
    keys = sorted(one.keys() | two.keys())
    a, b = _aligned(one, keys), _aligned(two, keys)
    apart = np.abs(a - b)
    equal = (a == b) | (np.isnan(a) & np.isnan(b))
    beyond = ~equal & ~(apart <= TOLERANCE)
    first = None
    if beyond.any():
        at = int(np.flatnonzero(beyond)[0])
        day, ticker = keys[at]
        first = Offence(str(day), ticker, altered.label, f"{a[at]:.6g}", f"{b[at]:.6g}")
    numbers = apart[beyond & np.isfinite(apart)]
    worst = (float(numbers.max()) if len(numbers) else math.nan) if beyond.any() else 0.0
    rounding = int((~equal & ~beyond).sum())
    return Difference(
        table, column, altered.kind, altered.label, len(keys), rounding, int(beyond.sum()), worst, first
    )


def _aligned(
    values: Mapping[tuple[dt.date, str], float], keys: Iterable[tuple[dt.date, str]]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([values.get(key, math.nan) for key in keys], dtype=np.float64)
