"""The universe: which tickers a strategy may know about on a date."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kairos.equity.context import Context, Excerpt
from kairos.equity.declare import BaseTable, Column, Params, Renewal
from kairos.equity.splice import first_session, spliced
from kairos.equity.universe import PRICES, Membership, configured, sessions_needed
from kairos.store import Part, read_part

COLUMNS = (
    Column("adv_60", "mean of close · volume over equity.universe.adv_window sessions, USD", dtype="DOUBLE"),
    Column("price", "unadjusted close, USD", dtype="DOUBLE"),
    Column("marketcap", "marketcap(t-1) · c_t / c_{t-1}, USD; NULL without daily", dtype="DOUBLE"),
)


def make(context: Context, _: Params, renewal: Renewal) -> Iterator[pa.Table | Part]:
    """One row for every member and session; point in time only the sessions from the first change on are decided."""
    slices = context.settings.equity.universe.mode == "point_in_time"
    row = first_session(context, renewal) if slices else 0
    start = max(row - sessions_needed(context), 0)
    found = configured(context, context.panels(PRICES, Excerpt(start)))
    decided = list(_rows(context, found, start, row))
    parts = spliced(context, renewal, pa.concat_tables(decided), row, TABLE.key) if row else decided
    context.facts["universe"] = {**found.facts, **_counts(parts)}
    return iter(parts)


def _rows(context: Context, found: Membership, start: int, first: int) -> Iterator[pa.Table]:
    """Members of the sessions from row `first` on, in the parts of the prices."""
    frame = context.panels(PRICES, Excerpt(start)).frame
    found.member[: first - start] = False
    for part in frame.parts:
        inside = np.flatnonzero(frame.gather(found.member, part))
        keys = part.keys.take(inside if part.rows is None else part.rows[inside])
        if keys.num_rows:
            values = {"adv_60": found.adv, "price": found.price, "marketcap": found.marketcap}
            yield pa.table({
                "ticker": keys["ticker"].cast(pa.string()),
                "date": keys["date"],
                **{name: pa.array(frame.gather(panel, part)[inside], from_pandas=True) for name, panel in values.items()},
            })  # fmt: skip


def _counts(parts: Sequence[pa.Table | Part]) -> dict[str, float]:
    """Mean number of members of the sessions that have any, and the number of tickers that ever are members."""
    rows, days, tickers = 0, set(), set()
    for part in parts:
        keys = part if isinstance(part, pa.Table) else read_part(part, ["ticker", "date"], coded=["ticker"])
        rows += len(keys)
        tickers.update(pc.unique(keys["ticker"]).to_pylist())
        days.update(pc.unique(keys["date"]).to_pylist())
    return {"members_mean": rows / max(len(days), 1), "tickers_ever": len(tickers)}


TABLE = BaseTable(
    name="universe",
    doc="Members of the universe. Point in time: a row for every session on which the rules held, by what was "
    "known after its close, tickers that were delisted later included. Option B: the static list of the last "
    "session applied to all history, which only survivors are on.",
    inputs=(
        "sep_base.close",
        "sep_base.volume",
        "sep_base.closeunadj",
        *(f"tickers.{c}" for c in ("category", "exchange", "scalemarketcap", "firstpricedate")),
        *(f"listings.{c}" for c in ("first_session", "last")),
        "sessions.session",
    ),
    optional=("daily.marketcap",),
    columns=lambda _: COLUMNS,
    uses=("equity.universe", "equity.listing"),
    files=lambda settings: (
        (settings.equity.universe.file,) if settings.equity.universe.mode == "file" else ()
    ),
    key=("ticker", "date"),
    make=make,
)
