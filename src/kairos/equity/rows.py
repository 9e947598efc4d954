"""The rows of a feature table after a change of the price base: which parts stay, and who has old values.

It depends on the keys of the two only, so it is found out once for all tables that had the same rows.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kairos.equity.context import PRICES, Context
from kairos.equity.frame import Ints, dates, encode
from kairos.store import Table

MANY = 0.25
"""Share of all rows that are a new past from which on the whole table is computed."""

SPAN = np.int64(1 << 24)
"""More than there are days."""


@dataclass(frozen=True)
class Rows:
    """One part to be made.

    Attributes
    ----------
    number : int
        Of the part.
    keys : table
        Ticker and date of each row, in the form that is written.
    old : (K,) int
        Row of the old table's pool that holds the values; any where none does.
    new : (M,) int
        Rows without old values, ascending.
    past : (P,) int
        Rows before the first stale session without old values, ascending.
    """

    number: int
    keys: pa.Table
    old: Ints
    new: Ints
    past: Ints


@dataclass(frozen=True)
class Plan:
    """What becomes of the rows of a feature table.

    Attributes
    ----------
    first : int
        First session whose values are computed for every ticker; 0 for all of them.
    kept : dict
        Part of the price base → position of the old table's part that stays for it.
    pool : tuple of int
        Positions of the old table's other parts, one after the other the pool of old values.
    made : tuple of Rows
        The parts that are written.
    """

    first: int
    kept: dict[int, int]
    pool: tuple[int, ...]
    made: tuple[Rows, ...]

    @classmethod
    def of(cls, context: Context, before: Table | None, first: int) -> Plan:
        """Plan for a table that was `before` and is stale from the session `first` on."""
        seals = tuple(before.meta.get("keys", ())) if before else ()
        key = ("plan", first, seals)
        if key not in context.shared:
            context.shared[key] = _partial(context, before, seals, first) if before and first else None
            context.shared[key] = context.shared[key] or _whole(context)
        found: Plan = context.shared[key]
        return found

    @property
    def past(self) -> dict[int, Ints]:
        """Rows with a new past by part, where there are any."""
        return {rows.number: rows.past for rows in self.made if len(rows.past)}

    @property
    def newcomers(self) -> frozenset[str]:
        """Tickers with a new past."""
        taken = (rows.keys["ticker"].take(rows.past) for rows in self.made)
        return frozenset(name for names in taken for name in names.unique().to_pylist())

    @property
    def earliest(self) -> np.datetime64:
        """First date of a new past; these tickers have no price before it."""
        return min(dates(rows.keys["date"].take(rows.past)).min() for rows in self.made if len(rows.past))


def _whole(context: Context) -> Plan:
    none = np.zeros(0, dtype=np.int64)
    parts = range(len(context.table(PRICES).parts))
    return Plan(0, {}, (), tuple(Rows(i, context.written_keys(i), none, none, none) for i in parts))


def _partial(context: Context, before: Table, seals: tuple[str, ...], first: int) -> Plan | None:
    """Keep parts that end before the first stale session; None when too many rows have a new past."""
    base, end = context.table(PRICES), first == len(context.sessions)
    since = dt.date.max if end else context.sessions[first].item()
    known = {seal: at for at, seal in enumerate(seals)}
    kept = {
        i: known[seal]
        for i, (seal, part) in enumerate(zip(base.meta["keys"], base.parts, strict=True))
        if seal in known and part.hi is not None and part.hi < since
    }
    pool = tuple(at for at in range(len(before.parts)) if at not in set(kept.values()))
    held = [context.part(before, before.parts[at], ["ticker", "date"]) for at in pool]
    keyed = pa.concat_tables(held).unify_dictionaries() if held else None
    made = []
    for i in range(len(base.parts)):
        if i not in kept:
            keys = context.written_keys(i)
            old, early = _old(keys, keyed), dates(keys["date"]) < np.datetime64(since)
            made.append(Rows(i, keys, old, np.flatnonzero(old < 0), np.flatnonzero(early & (old < 0))))
    if sum(len(rows.past) for rows in made) > MANY * base.rows:
        return None
    return Plan(first, kept, pool, tuple(made))


def _old(keys: pa.Table, pool: pa.Table | None) -> Ints:
    """Row of the pool that has each key, -1 where none has."""
    if pool is None:
        return np.full(keys.num_rows, -1)
    (names, code), (told, told_code) = encode(keys["ticker"]), encode(pool["ticker"])
    every = np.unique(np.concatenate([names, told]))
    at = np.searchsorted(every, names)[code] * SPAN + dates(keys["date"]).astype(np.int64)
    was = np.searchsorted(every, told)[told_code] * SPAN + dates(pool["date"]).astype(np.int64)
    order = np.argsort(was, kind="stable")
    place = np.minimum(np.searchsorted(was[order], at), len(was) - 1)
    return np.where(was[order][place] == at, order[place], -1)
