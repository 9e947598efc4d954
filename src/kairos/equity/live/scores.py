"""`kairos equity scores`: the cross-section of a signal on one day."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kairos.equity.backtest.inputs import REGIMES
from kairos.equity.backtest.strategy import alpha_z
from kairos.equity.columns import resolve, warnings_of
from kairos.equity.context import PRICES, Context, open_store
from kairos.equity.live.day import (
    Day,
    Reach,
    behind_exchange,
    check_breadth,
    ranks,
    reach_of,
    session_of,
    stale,
)
from kairos.equity.live.files import write
from kairos.settings import Settings


@dataclass(frozen=True)
class Scores:
    """The members of a day, best first.

    Attributes
    ----------
    date : date
        The session; everything is known after its close.
    alpha : str
        ``table.column`` of the signal; `lower_is_better` when low values rank first.
    table : Table
        One row a member: ticker, alpha (as stored), rank, alpha_z (of the members with a signal, clipped at
        ±3, higher is better), regime, vol_blend, adv_20 (USD), beta, sector, price (as traded, USD).
    reach : list of Reach
        The tables behind it.
    notes : list of str
        What a reader must know: look-ahead in the signal, stale tables.
    """

    date: dt.date
    alpha: str
    lower_is_better: bool
    snapshot: str
    table: pa.Table
    reach: list[Reach]
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        """As plain values; the cross-section itself is in the file."""
        known = self.table["alpha"].null_count
        return {
            "date": str(self.date),
            "alpha": self.alpha,
            "lower_is_better": self.lower_is_better,
            "snapshot": self.snapshot,
            "members": self.table.num_rows,
            "scored": self.table.num_rows - known,
            "regime": self.table["regime"][0].as_py(),
            "data": [vars(table) for table in self.reach],
            "notes": self.notes,
        }


def scores(
    db: Path,
    *,
    alpha: str,
    settings: Settings,
    date: dt.date | None = None,
    lower_is_better: bool = False,
    out: Path | None = None,
    namespace: str = "main",
    snapshot: str | None = None,
    now: dt.datetime | None = None,
) -> Scores:
    """Rank the members of a session by a signal.

    Parameters
    ----------
    db : Path
        The catalog.
    alpha : str
        Column of a feature table, plain or as ``table.column``; higher is better unless `lower_is_better`.
    date : date, optional
        The session; by default the last one.
    out : Path, optional
        Folder into which ``scores.csv`` is written.
    now : datetime, optional
        With its zone; by default this moment. Without a date, data that are behind the exchange are noted.

    Raises
    ------
    InputError
        The date is no session, a table ends before it, fewer than `equity.live.min_names` members have a
        signal, or their signals hardly differ. Nothing is written then.
    """
    context = Context(open_store(db, settings).snapshot(snapshot), settings, namespace)
    column = resolve(context, alpha)
    day = Day.alone(context, session_of(context, date))
    columns = settings.equity.backtest.columns
    read = {
        "vol_blend": resolve(context, columns.sizing),
        "adv_20": resolve(context, columns.adv),
        "beta": resolve(context, columns.beta),
    }
    behind = [column, *read.values()]
    if context.has(f"{REGIMES}.regime"):
        behind.append(REGIMES)
    reach = reach_of(context, [PRICES, "universe", *(name.partition(".")[0] for name in behind)], day.date)
    member = np.flatnonzero(day.values(f"{PRICES}.member") == 1.0)
    signal = day.values(column)[member]
    better = -signal if lower_is_better else signal
    known = np.isfinite(signal)
    check_breadth(signal[known], f"members have a value of {column}", settings.equity.live, day.date)
    z = np.full(len(member), np.nan)
    z[known] = alpha_z(better[known])
    rank = ranks(better)
    order = np.lexsort((np.arange(len(member)), np.where(known, rank, np.inf)))
    numbers = {
        "alpha": signal,
        "rank": rank,
        "alpha_z": z,
        **{name: day.values(full)[member] for name, full in read.items()},
        "price": day.prices()[0][member],
    }
    listed = {name: pa.array(values[order], from_pandas=True) for name, values in numbers.items()}
    table = pa.table({
        "ticker": pa.array(day.panels.frame.tickers[member][order].tolist(), pa.string()),
        "alpha": listed["alpha"],
        "rank": listed["rank"].cast(pa.int32()),
        "alpha_z": listed["alpha_z"],
        "regime": pa.array([day.regime()] * len(member), pa.string()),
        "vol_blend": listed["vol_blend"],
        "adv_20": listed["adv_20"],
        "beta": listed["beta"],
        "sector": pa.array(day.sectors()[member][order].tolist(), pa.string()),
        "price": listed["price"],
    })  # fmt: skip
    notes = [*warnings_of(context, column), *stale(reach)]
    if date is None and (late := behind_exchange(context, now)):
        notes.append(late)
    found = Scores(day.date, column, lower_is_better, context.snapshot.id, table, reach, notes)
    if out is not None:
        write(out, {"scores.csv": table})
    return found
