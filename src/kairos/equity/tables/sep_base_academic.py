"""The price base of all features."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kairos.equity.context import Context
from kairos.equity.declare import BaseTable, Column, Params, Renewal
from kairos.equity.frame import dates, encode
from kairos.store import Part, plain_form
from kairos.store.periods import Span, spans

VALUES = (
    Column("open", "split-adjusted", dtype="DOUBLE"),
    Column("high", "split-adjusted", dtype="DOUBLE"),
    Column("low", "split-adjusted", dtype="DOUBLE"),
    Column("close", "split-adjusted", dtype="DOUBLE"),
    Column("volume", "split-adjusted shares", dtype="DOUBLE"),
    Column("closeadj", "split- and dividend-adjusted (total return)", dtype="DOUBLE"),
    Column("closeunadj", "as traded", dtype="DOUBLE"),
)
MEMBER = Column("member", "whether the ticker is a member of the universe on the date", dtype="BOOLEAN")
NAMES = ("ticker", "date", *(column.name for column in VALUES))
Days = np.ndarray[Any, np.dtype[np.datetime64]]


@dataclass(frozen=True)
class Members:
    """Who is a member: first date by ticker, and the keys by part of the universe, as they are read."""

    first: Mapping[str, Any]
    parts: tuple[tuple[Part, pa.Table], ...]

    @classmethod
    def of(cls, context: Context) -> Members:
        """Read the universe."""
        first: dict[str, Any] = {}
        parts = []
        table = context.table("universe")
        for part in table.parts:
            rows = context.part(table, part, ["ticker", "date"])
            names, code = encode(rows["ticker"])
            parts.append((part, rows))
            begins = np.flatnonzero(np.append(True, code[1:] != code[:-1]))  # rows are sorted by ticker, date
            days = dates(rows["date"].take(begins))
            for name, when in zip(names[code[begins]].tolist(), days, strict=True):
                first[name] = min(first.get(name, when), when)
        return cls(first, tuple(parts))

    def flag(self, rows: pa.Table) -> pa.Array:
        """Whether each row's ticker is a member on its date."""
        (names, code), day = encode(rows["ticker"]), dates(rows["date"])
        flags = np.zeros(len(day), dtype=np.bool_)
        if not len(day):
            return pa.array(flags)
        rank = np.argsort(np.argsort(names))
        order, key = np.argsort(names), rank[code] * np.int64(2**24) + day.astype(np.int64)
        for part, members in self.parts:
            if part.hi is None or part.lo is None or part.hi < day.min().item() or part.lo > day.max().item():
                continue
            (listed, listed_code), listed_day = encode(members["ticker"]), dates(members["date"])
            at = np.minimum(np.searchsorted(names[order], listed), len(names) - 1)
            known = names[order][at] == listed
            keep = known[listed_code]
            wanted = at[listed_code[keep]] * np.int64(2**24) + listed_day[keep].astype(np.int64)
            place = np.minimum(np.searchsorted(key, wanted), len(key) - 1)  # both ascend
            flags[place[key[place] == wanted]] = True
        return pa.array(flags)


def make(context: Context, _: Params, renewal: Renewal) -> Iterator[pa.Table | Part]:
    """Prices of every ticker that is ever a member, in the part of the date on which the row belongs here.

    A row belongs here from its date on, or from the date on which its ticker first is a member. So a ticker
    that enters the universe adds its past to the newest part, and older parts stay as they are.
    """
    members = Members.of(context)
    cut = spans(context.sessions[0].item(), context.sessions[-1].item())
    before = renewal.before.meta if renewal.before else {}
    kept = {
        tuple(map(dt.date.fromisoformat, span)): (part, seal)
        for part, span, seal in zip(renewal.before.parts if renewal.before else (), before.get("spans", ()), before.get("keys", ()), strict=True)
    }  # fmt: skip
    stays = [span for span in cut if span in kept and span[1] < renewal.since]
    parts: list[pa.Table | Part] = []
    written: list[Span] = []
    seals: list[str] = []
    for span, rows in _by_birth(context, members, [span for span in cut if span not in stays]):
        while stays and stays[0] < span:
            _keep(stays.pop(0), kept, parts, written, seals)
        if rows.num_rows:
            parts.append(rows.append_column("member", members.flag(rows)))
            written.append(span)
            seals.append(seal_of(rows))
    for span in stays:
        _keep(span, kept, parts, written, seals)
    spelled = [[day.isoformat() for day in span] for span in written]
    context.remembered[TABLE.name] = {"keys": seals, "spans": spelled}
    return iter(parts)


def _keep(
    span: Span, kept: Mapping[Any, Any], parts: list[Any], written: list[Span], seals: list[str]
) -> None:
    part, seal = kept[span]
    parts.append(part)
    written.append(span)
    seals.append(seal)


def seal_of(rows: pa.Table) -> str:
    """Hash of the keys of a part: tables whose parts have equal ones have their rows in the same places."""
    keys = plain_form(rows.select(["ticker", "date"]))
    digest = sha256()
    for column in keys.columns:
        for buffer in column.chunk(0).buffers()[1:] if column.num_chunks else ():
            digest.update(buffer)
    return digest.hexdigest()[:32]


def _by_birth(context: Context, members: Members, wanted: list[Span]) -> Iterator[tuple[Span, pa.Table]]:
    """Rows of each wanted period in the order of the key; all prices are read at most once."""
    if not wanted:
        return
    table, starts = context.table("sep_base"), np.array([start for start, _ in wanted], "datetime64[D]")
    ends = np.array([end for _, end in wanted], "datetime64[D]")
    young = [name for name, day in members.first.items() if _inside(starts, ends, day)]
    found: dict[int, list[pa.Table]] = defaultdict(list)
    oldest = _first_price(context, young)
    for part in table.parts:
        near = part.hi is None or part.hi >= wanted[0][0]
        if not near and (not young or part.hi is None or part.hi < oldest):
            continue
        rows = context.part(table, part, NAMES, None if near else young)
        (names, code), day = encode(rows["ticker"]), dates(rows["date"])
        never = np.datetime64("9999-12-31")
        first = np.array([members.first.get(name, never) for name in names.tolist()], "datetime64[D]")
        birth = np.maximum(day, first[code]) if len(names) else day
        at = np.searchsorted(starts, birth, side="right") - 1
        inside = (at >= 0) & (birth <= ends[np.maximum(at, 0)])
        for period in np.unique(at[inside]).tolist():
            found[period].append(rows.take(np.flatnonzero(inside & (at == period))))
    for period, span in enumerate(wanted):
        pieces = found.pop(period, [])
        if pieces:
            yield (
                span,
                _sorted(pa.concat_tables(pieces).unify_dictionaries())
                if len(pieces) > 1
                else plain_form(pieces[0]),
            )


def _first_price(context: Context, tickers: list[str]) -> dt.date:
    """Earliest date of a price of any of the tickers."""
    rows = context.read("listings", ["ticker", "first"])
    kept = rows.filter(pc.is_in(rows["ticker"].cast(pa.string()), pa.array(tickers, pa.string())))
    first: dt.date | None = pc.min(kept["first"]).as_py()
    return first or dt.date.max


def _inside(starts: Days, ends: Days, day: Any) -> bool:
    at = int(np.searchsorted(starts, day, side="right")) - 1
    return at >= 0 and bool(day <= ends[at])


def _sorted(rows: pa.Table) -> pa.Table:
    (names, code), day = encode(rows["ticker"]), dates(rows["date"])
    return plain_form(rows.take(np.lexsort((day, np.argsort(np.argsort(names))[code]))))


TABLE = BaseTable(
    name="sep_base_academic",
    doc="All prices of every ticker that is ever a member of the universe. Every feature table has exactly "
    "these rows, in this order and in these parts. A row stands in the part of the period in which it came to "
    "belong here: that of its date, or of the date on which its ticker first was a member.",
    inputs=(*(f"sep_base.{name}" for name in NAMES[2:]), "universe", "sessions.session", "listings.first"),
    columns=lambda _: (*VALUES, MEMBER),
    key=("ticker", "date"),
    counts="member",
    make=make,
)
