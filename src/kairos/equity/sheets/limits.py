"""Limits over time: how much of each is used, which bind, which gave way and when."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from kairos.equity.backtest.relax import ORDER
from kairos.equity.backtest.result import BacktestResult
from kairos.equity.frame import Array, dates, numbers
from kairos.report import charts
from kairos.report.page import Block, Chart, Column, Note, Section, Table

Dates = np.ndarray[Any, np.dtype[np.datetime64]]

EQUATIONS = ("budget", "long", "short")
"""Kinds that hold as equations: always used up, never of interest."""

WORDS = {
    "sector_net": "sector, net",
    "name": "name",
    "beta": "beta",
    "turnover": "turnover",
    "participation": "participation",
    "gross": "gross",
    "net": "net",
    "sector": "sector",
}
DAYS = 60
"""Days of the table of what gave way, at most."""


class Use(NamedTuple):
    """How far the limits of one kind are used, at each decision.

    Attributes
    ----------
    days : (D,)
        Of the decisions.
    used, largest : (D,)
        Share that is used of the one that is used most; the largest value. NaN where a limit is zero.
    limits, bound, gone : int
        Limits of the kind; decisions on which one binds, and on which one was relaxed.
    """

    days: Dates
    used: Array
    largest: Array
    limits: int
    bound: int
    gone: int

    @property
    def shares(self) -> tuple[float, float]:
        """Of the decisions: on which one binds, and on which one was relaxed."""
        return self.bound / len(self.days), self.gone / len(self.days)


def limits_used(rows: pa.Table) -> dict[str, Use]:
    """Use of every kind of limit but equations, from a table of limits."""
    kinds = np.array(rows["kind"].to_pylist(), dtype=object)
    labels = np.array(rows["limit_of"].to_pylist(), dtype=object)
    days, at = np.unique(dates(rows["date"]), return_inverse=True)
    value, limit = np.abs(numbers(rows["value"])), np.abs(numbers(rows["limit_value"]))
    with np.errstate(divide="ignore", invalid="ignore"):
        used = np.where(limit > 0.0, value / limit, np.nan)
    binding = np.array(rows["binding"].to_pylist(), dtype=np.bool_)
    gone = np.isfinite(numbers(rows["relaxed_to"]))
    found = {}
    for kind in dict.fromkeys(kinds[~np.isin(kinds, EQUATIONS)].tolist()):
        of = kinds == kind
        found[WORDS.get(kind, kind)] = Use(
            days=days,
            used=_most(used[of], at[of], len(days)),
            largest=_most(value[of], at[of], len(days)),
            limits=len(set(labels[of].tolist())),
            bound=len(np.unique(at[of & binding])),
            gone=len(np.unique(at[of & gone])),
        )
    return found


def limit_section(result: BacktestResult) -> list[Section]:
    """Usage of every kind of limit; nothing for a strategy without limits."""
    rows = result.limits()
    if not rows.num_rows:
        return []
    found = limits_used(rows)
    shown = {kind: use for kind, use in found.items() if np.isfinite(use.used).any()}
    blocks: list[Block] = []
    if shown:
        days = next(iter(shown.values())).days
        blocks.append(
            Chart(
                "Use of the limits",
                charts.lines(days, {k: use.used for k, use in shown.items()}, kind="percent", zero=True),
                "At each decision, of every kind the limit that is used most; above 100% where it gave way.",
                f"Lines over time of the use of: {', '.join(shown)}.",
            )
        )
    blocks.append(
        Table(
            title="Limits",
            columns=[
                Column("Kind"),
                Column("Limits", "count"),
                Column("Use, mean", "percent"),
                Column("Use, most", "percent"),
                Column("Largest value", "coefficient"),
                Column(
                    "Decisions at it", "percent", hint="share of the decisions on which one of them binds"
                ),
                Column("Decisions gave way", "count", hint="decisions on which one of them was relaxed"),
            ],
            rows=[
                [
                    kind,
                    use.limits,
                    np.nanmean(use.used) if kind in shown else np.nan,
                    np.nanmax(use.used) if kind in shown else np.nan,
                    np.nanmax(use.largest),
                    use.shares[0],
                    use.gone,
                ]
                for kind, use in found.items()
            ],
            caption="A limit of zero has no share that is used; its largest value says how well it was kept.",
        )
    )
    gone = np.isfinite(numbers(rows["relaxed_to"]))
    return [Section("Limits", _summary(result), [*blocks, *_relaxed(rows, gone)])]


def _most(values: Any, at: Any, n: int) -> Any:
    most = np.full(n, -np.inf)
    np.maximum.at(most, at, np.where(np.isfinite(values), values, -np.inf))
    return np.where(np.isfinite(most), most, np.nan)


def _summary(result: BacktestResult) -> str:
    decided = result.simulation.decided
    relaxed = sum(bool(decision.book.relaxed) for decision in decided)
    if not relaxed:
        return f"All limits held together at every one of {len(decided):,} decisions."
    return (
        f"At {relaxed:,} of {len(decided):,} decisions the limits could not hold together, and the least "
        f"that made them possible was given up, in the order {'; '.join(WORDS.get(kind, kind) for kind in ORDER)}."
    )


def _relaxed(rows: pa.Table, gone: Any) -> list[Block]:
    at = np.flatnonzero(gone)
    if not at.size:
        return []
    found = rows.take(pa.array(at)).to_pylist()
    table = Table(
        title="Where limits gave way",
        columns=[
            Column("Decision"),
            Column("Limit", "text"),
            Column("Configured", "coefficient"),
            Column("Used", "coefficient"),
            Column("Book", "coefficient"),
        ],
        rows=[
            [str(row["date"]), row["limit_of"], row["limit_value"], row["relaxed_to"], row["value"]]
            for row in found[-DAYS:]
        ],
    )
    if len(found) <= DAYS:
        return [table]
    return [
        table,
        Note(
            f"The last {DAYS} of {len(found):,}; all of them are in the table backtest_limits of this result."
        ),
    ]
