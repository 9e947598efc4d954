"""Which values of which table a trial can judge: what the declarations say of history, future and sample."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import duckdb
import numpy as np

from kairos.audit.equity_compare import NUMBERS, Comparison, compare, since, until
from kairos.audit.equity_inputs import Alteration
from kairos.audit.findings import Difference, Offence, Trial
from kairos.equity import registry
from kairos.equity.context import PRICES, Context
from kairos.equity.declare import AssembledTable, BaseTable, DateTable, Declaration, FeatureTable, PanelTable
from kairos.equity.frame import Inputs, dates, numbers
from kairos.equity.staleness import params_of
from kairos.equity.universe import sessions_needed
from kairos.store.sql import quote, scan

NUMBERED = frozenset({"sessions", "listings"})
"""Tables whose rows are numbered from the first session of the data."""

FIRST = 3
"""Sessions after a later start on which reports stand that were known before."""

MEMBER = f"{PRICES}.member"

ENDS = "last_listing"
"""Column of tables of reports: up to which listing they are the company's. How listings end is known
afterwards by declaration."""

STATIC = "holds the state of the last session only"


@dataclass(frozen=True)
class Reach:
    """How far the columns of a table look.

    Attributes
    ----------
    back : float
        Sessions before t on which a value may depend, through all tables that it is made of; infinite when it
        depends on all of them.
    ahead : int
        Sessions after t that it needs by declaration (targets).
    expanding : tuple of str
        Columns that depend on the whole past, beside the others.
    """

    back: float
    ahead: int
    expanding: tuple[str, ...] = ()


def in_sample(context: Context) -> dict[tuple[str, str], str]:
    """Tables that know the future by declaration, or are made of one that does, and what they know."""
    found: dict[str, str] = {}
    for table in registry.tables(context.settings):
        own = table.in_sample(params_of(context, table))
        if isinstance(table, BaseTable) and table.dated is None:
            own = own or STATIC
        if table.name == "universe" and context.settings.equity.universe.mode == "option_b":
            own = "option B: the list of the last session, applied to all history"
        through = [name for name in table.reads if name in found]
        if own or through:
            found[table.name] = own or f"made of {through[0]}"
    return {(name, "*"): words for name, words in found.items()}


def reaches(context: Context) -> dict[str, Reach]:
    """How far each table looks, through all that it is made of."""
    gap, found = context.settings.equity.listing.max_gap, dict[str, Reach]()
    for table in registry.tables(context.settings):
        params = params_of(context, table)
        inputs = [found[name] for name in table.reads if name in found]
        named = (*table.inputs, *table.optional)
        back = max((_back(found, name) for name in named), default=0.0)
        if any(_expanding(found, name) for name in named):
            back = math.inf
        if isinstance(table, PanelTable | BaseTable):
            back += table.history(params, gap)
        if table.name == "universe":
            back += sessions_needed(context)
        ahead = table.forward(params, gap) if isinstance(table, FeatureTable) else 0
        if isinstance(table, AssembledTable):
            ahead = max((reach.ahead for reach in inputs), default=0)
        found[table.name] = Reach(back, ahead, _derived(table, context))
    return found


def _derived(table: Declaration, context: Context) -> tuple[str, ...]:
    """Columns of a table with one row a date that are derived from all rows before."""
    stored = context.find(table.name)
    if not isinstance(table, DateTable) or stored is None:
        return ()
    kinds = dict(stored.columns)
    rows = context.read(table.name, stored.names)
    series = {name: numbers(rows[name]) for name in stored.names if kinds[name] in NUMBERS}
    return tuple(table.derive({**series, "dates": dates(rows["date"])}, params_of(context, table)))


def _back(found: Mapping[str, Reach], name: str) -> float:
    """Sessions that an input looks back, through all that it is made of.

    The price base has the vendor's prices of the day itself; only who is a member looks back.
    """
    source, _, column = name.partition(".")
    prices = source == PRICES and column and name != MEMBER
    return 0.0 if prices or source not in found else found[source].back


def _expanding(found: Mapping[str, Reach], name: str) -> bool:
    """Tell whether an input depends on all the past."""
    source, _, column = name.partition(".")
    reach = found.get(source)
    return reach is not None and bool(reach.expanding) and (not column or column in reach.expanding)


def differences(
    whole: Context,
    other: Context,
    tables: Sequence[Declaration],
    altered: Alteration,
    reach: Mapping[str, Reach],
) -> list[Difference]:
    """Compare tables of two states where the trial says that they must be equal."""
    found = []
    with whole.snapshot.engine.connect() as con:
        _common_tickers(con, whole, other)
        for table in tables:
            stored, made = whole.find(table.name), other.find(table.name)
            if stored is None or made is None or isinstance(table, AssembledTable):
                continue  # an assembled table has no value of its own
            what = _judged(whole, table, altered, reach[table.name])
            if what is not None:
                found += compare(con, stored, made, what, altered.kind, altered.label)
    return found


def _common_tickers(con: duckdb.DuckDBPyConnection, whole: Context, other: Context) -> None:
    """Tickers of both price bases: it holds whoever is a member at any time, so a longer one has more."""
    bases = [context.find(PRICES) for context in (whole, other)]
    sides = []
    for table in bases:
        if table is None:  # neither it nor what stands on its rows is audited
            con.execute("CREATE OR REPLACE TEMP TABLE common (ticker VARCHAR)")
            return
        sides.append(f"SELECT ticker FROM ({scan(['ticker'], [part.path for part in table.parts])})")
    con.execute(f"CREATE OR REPLACE TEMP TABLE common AS {sides[0]} INTERSECT {sides[1]}")


def _judged(whole: Context, table: Declaration, altered: Alteration, reach: Reach) -> Comparison | None:
    """Columns and rows of a table that a trial can judge; None when there are none."""
    params = params_of(whole, table)
    own = [column for column in table.columns(params) if column.name in whole.table(table.name).names]
    if altered.kind is Trial.SPLIT:
        if isinstance(table, BaseTable) and table.name != "universe":
            return None  # the vendor's own figures, on the basis of the day
        own = [column for column in own if not column.level]
    names = [column.name for column in own if column.name != ENDS]
    if isinstance(table, BaseTable) and table.dated is None:
        return None
    if table.name == "listings":
        return _listings(names, altered)
    if altered.kind is Trial.START and table.name in NUMBERED:
        return None
    if altered.kind is Trial.START:
        names = [name for name in names if name not in reach.expanding]
    date = table.dated[0] if isinstance(table, BaseTable) and table.dated else "date"
    where = _dates(whole, altered, reach, date)
    if where is None:
        return None
    if isinstance(table, FeatureTable) or table.name == PRICES:
        where += " AND ticker IN (SELECT ticker FROM common)"
    stored = whole.table(table.name)
    return Comparison(names, where, "ticker" if "ticker" in stored.key else "''", quote(date))


def _dates(whole: Context, altered: Alteration, reach: Reach, date: str) -> str | None:
    """SQL: sessions that a trial can judge."""
    sessions = whole.sessions
    at = int(np.searchsorted(sessions, np.datetime64(altered.moment)))
    if altered.kind is Trial.START:
        row = at + max(reach.back, FIRST)
        return since(date, str(sessions[int(row)])) if row < len(sessions) else None
    row = at - reach.ahead
    return until(date, str(sessions[row])) if row >= 0 else None


def _listings(names: Sequence[str], altered: Alteration) -> Comparison | None:
    """Listings that began by the moment: when they did; how they ended is known afterwards by declaration."""
    begun = [name for name in names if name in ("first", "first_session")]
    if altered.kind is Trial.START:
        return None
    return Comparison(begun, until("first", str(altered.moment)), "ticker", "first")


def tells_members(declared: Declaration) -> TypeGuard[DateTable]:
    """Tell whether a table with one row a date is told who is a member: the universe has no other rows."""
    named = (*declared.inputs, *declared.optional)
    return isinstance(declared, DateTable) and any(map(_of_members, named))


def _of_members(name: str) -> bool:
    return name == MEMBER or name.startswith("universe.")


def member_differences(
    context: Context, tables: Sequence[Declaration], moments: Sequence[dt.date], seed: int
) -> list[Difference]:
    """Measure tables with one row a date at moments on which another half of the names are members."""
    rng, found = np.random.default_rng(seed), []
    for table in tables:
        if tells_members(table) and context.find(table.name) is not None:
            x = context.panels(PRICES).inputs((*table.inputs, *table.optional))
            for day in moments:
                found += _remeasured(context, table, x, day, rng)
    return found


def _remeasured(
    context: Context, table: DateTable, x: Inputs, day: dt.date, rng: np.random.Generator
) -> list[Difference]:
    params, label = params_of(context, table), f"{Trial.MEMBERS} {day}"
    at = int(np.searchsorted(context.sessions, np.datetime64(day)))
    part = x.sessions(max(at - table.history(params, x.max_gap), 0), at + 1)

    order = rng.permutation(part.frame.shape[1])  # one for all: what is told of a member goes with it

    def load(name: str) -> np.ndarray[Any, Any] | None:
        panel = part.load(name)
        if panel is None or not _of_members(name):
            return panel
        drawn = panel.copy()
        drawn[-1] = drawn[-1][order]
        return drawn

    one, two = table.measure(part, params), table.measure(replace(part, load=load), params)
    found = []
    for column, series in one.items():
        a, b = float(series[-1]), float(two[column][-1])
        same = a == b or (math.isnan(a) and math.isnan(b))
        first = None if same else Offence(str(day), "", label, f"{a:.6g}", f"{b:.6g}")
        apart = 0.0 if same else abs(a - b)
        found.append(Difference(table.name, column, Trial.MEMBERS, label, 1, 0, int(not same), apart, first))
    return found
