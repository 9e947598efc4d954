"""The universe: which tickers a strategy may know about on a date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kairos.equity.changes import BEGINNING
from kairos.equity.context import Context, Excerpt
from kairos.equity.declare import BaseTable, Column, Params, Renewal
from kairos.equity.frame import encode
from kairos.equity.universe import PRICES, Membership, configured, sessions_needed
from kairos.store import Part
from kairos.store.periods import spans

COLUMNS = (
    Column("adv_60", "mean of close · volume over equity.universe.adv_window sessions, USD", dtype="DOUBLE"),
    Column("price", "unadjusted close, USD", dtype="DOUBLE"),
    Column("marketcap", "marketcap(t-1) · c_t / c_{t-1}, USD; NULL without daily", dtype="DOUBLE"),
)


def make(context: Context, _: Params, renewal: Renewal) -> Iterator[pa.Table | Part]:
    """One row for every member and session; point in time only the sessions from the first change on are decided."""
    slices = context.settings.equity.universe.mode == "point_in_time"
    since = renewal.since if slices else BEGINNING
    row = int(np.searchsorted(context.sessions[:-1], np.datetime64(since)))
    start = max(row - sessions_needed(context), 0)
    panels = context.panels(PRICES, Excerpt(start))
    found = configured(context, panels)
    decided = list(_rows(context, found, start, row))
    parts = _spliced(context, decided, renewal, context.sessions[row].item()) if row else decided
    context.facts["universe"] = {**found.facts, **_counts(context, renewal, parts)}
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


def _spliced(
    context: Context, decided: Sequence[pa.Table], renewal: Renewal, since: dt.date
) -> list[pa.Table | Part]:
    """Members before `since` as they were, then the new ones, cut into the parts that a rebuild would have."""
    before = renewal.before
    assert before is not None  # there is no date before the first change without it
    names = ["ticker", "date", *(column.name for column in COLUMNS)]
    new = pa.concat_tables(decided) if decided else None
    parts: list[pa.Table | Part] = []
    for start, end in spans(context.sessions[0].item(), context.sessions[-1].item()):
        old = [part for part in before.parts if part.lo and part.hi and part.lo <= end and part.hi >= start]
        if end < since and len(old) == 1 and start <= old[0].lo and old[0].hi <= end:  # type: ignore[operator]
            parts.append(old[0])
            continue
        rows = [_between(context.part(before, part, names), start, min(end, since - dt.timedelta(1))) for part in old]
        rows += [_between(new, start, end)] if new is not None else []
        joined = pa.concat_tables([table.cast(_plain(table.schema)) for table in rows]) if rows else None
        if joined is not None and joined.num_rows:
            parts.append(joined.sort_by([("ticker", "ascending"), ("date", "ascending")]))
    return parts


def _between(rows: pa.Table, start: dt.date, end: dt.date) -> pa.Table:
    return rows.filter(pc.and_(pc.greater_equal(rows["date"], start), pc.less_equal(rows["date"], end)))


def _plain(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(f.name, pa.string() if f.name == "ticker" else f.type) for f in schema])


def _counts(context: Context, renewal: Renewal, parts: Sequence[pa.Table | Part]) -> dict[str, float]:
    """Mean number of members of the sessions that have any, and the number of tickers that ever are members."""
    rows, days, tickers = 0, set(), set()
    for part in parts:
        keys = part
        if isinstance(part, Part):
            assert renewal.before is not None
            keys = context.part(renewal.before, part, ["ticker", "date"])
        names, code = encode(keys["ticker"])
        rows += len(code)
        tickers.update(names[np.unique(code)].tolist())
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
        (Path(settings.equity.universe.file),) if settings.equity.universe.mode == "file" else ()
    ),
    key=("ticker", "date"),
    make=make,
)
