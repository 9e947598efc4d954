"""A benchmark that the user names: a ticker of the price base, or a file of returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kairos import textfile
from kairos.equity.backtest.hold import hold
from kairos.equity.backtest.market import Market
from kairos.equity.backtest.simulate import Simulation
from kairos.equity.backtest.strategy import Target
from kairos.equity.context import Context
from kairos.equity.frame import Array, Frame, dates, numbers
from kairos.errors import InputError
from kairos.remote import reading

Series = np.ndarray[Any, np.dtype[np.float64]]
Dates = np.ndarray[Any, np.dtype[np.datetime64]]


def benchmark_returns(context: Context, name: str, sessions: Dates) -> Array:
    """Daily total return of a benchmark on `sessions`.

    Parameters
    ----------
    name : str
        A ticker of ``sep_base``, or a CSV file (or its URL) with the columns ``date`` (ISO) and ``return``
        (simple, daily) or ``close`` (a total-return level).

    Raises
    ------
    InputError
        When it is neither, or a session has no value: the message names the first one.
    """
    with reading(name) as path:
        days, level = _from_file(path) if path.is_file() else _from_ticker(context, name)
    at = np.searchsorted(days, sessions)
    inside = (at < len(days)) & (days[np.minimum(at, len(days) - 1)] == sessions)
    if not inside.all():
        first = sessions[np.argmin(inside)]
        raise InputError(
            f"benchmark {name} has no value on {first}, nor on {(~inside).sum() - 1} other sessions"
        )
    before = np.concatenate([[max(at[0] - 1, 0)], at[:-1]])  # what lies between two sessions counts too
    returns: Array = level[at] / level[before] - 1.0
    return returns


def _from_ticker(context: Context, ticker: str) -> tuple[Dates, Array]:
    with context.connect("sep_base") as con:
        rows = con.sql(
            "SELECT date, closeadj FROM sep_base WHERE ticker = ? ORDER BY date", params=[ticker]
        ).to_arrow_table()
    if not rows.num_rows:
        raise InputError(f"benchmark {ticker} is neither a file nor a ticker of sep_base")
    return dates(rows["date"]), numbers(rows["closeadj"])


def _from_file(path: Path) -> tuple[Dates, Array]:
    """Dates and levels; returns are compounded, from a level of 1 the day before the first one."""
    names = textfile.header(path, ())
    value = next((name for name in ("return", "close") if name in names), None)
    if value is None or "date" not in names:
        raise InputError(
            f"benchmark {path} needs the columns date and return (or close); it has "
            f"{', '.join(names) or 'none, it is empty'}"
        )
    rows = textfile.table(path, {"date": "date", value: "number"})
    rows = rows.sort_by("date")
    level = numbers(rows[value])
    days = dates(rows["date"])
    least = -1.0 if value == "return" else 0.0
    good = np.isfinite(level) & (level > least)
    if not good.all():
        at = int(np.argmin(good))
        raise InputError(
            f"benchmark {path}: {value} on {days[at]} is {level[at]:g}; it must be a number above {least:g}"
        )
    if len(np.unique(days)) != len(days):
        raise InputError(f"benchmark {path}: a date stands there twice")
    if value == "close":
        return days, level
    before = days[:1] - np.timedelta64(1, "D")
    return np.concatenate([before, days]), np.cumprod(np.concatenate([[1.0], 1.0 + level]))


def follow(run: Simulation, returns: Series) -> tuple[Series, Series]:
    """Hold a named benchmark on the strategy's own calendar: its raw return and the one scaled to the target.

    It is bought at the first fill; see :func:`~kairos.equity.backtest.hold.hold`.

    Parameters
    ----------
    returns : (T',)
        Daily return from the first fill to the end.
    """
    whole = run.market.frame
    frame = Frame(whole.sessions, np.array(["benchmark"]), np.ones(1, np.int64), np.zeros(1, np.int64), ())
    value = np.ones((len(whole.sessions), 1))
    value[run.first + 1 : run.last + 1, 0] = np.cumprod(1.0 + returns[1:])
    market = Market(frame, value, np.ones(value.shape, np.bool_), np.array([len(value)]), run.market.days)
    one = Target(np.zeros(1, np.int64), np.ones(1))
    plan = list(zip(run.decisions, run.fills, strict=True))
    held = hold(market, run.strategy, run.first, run.last, plan, lambda _: one)
    rows = slice(run.first, run.last + 1)
    return held.raw.ret[rows], held.scaled.ret[rows]
