"""Who belongs to the universe, and when."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from kairos import textfile
from kairos.disk import writing
from kairos.equity.context import ONE_ROW, Context, Excerpt, Panels, open_store
from kairos.equity.frame import Array, Frame, Mask, dates
from kairos.equity.size import size
from kairos.errors import InputError
from kairos.panel import Rolling, last_valid
from kairos.remote import reading
from kairos.settings import Settings, Universe

PRICES = "sep_base"
"""The universe is decided among all tickers that the vendor delivered."""


@dataclass(frozen=True)
class Membership:
    """Members of every session, with what decided.

    Attributes
    ----------
    member : (T, N) bool
        True where the listing belongs to the universe on the session.
    adv, price, marketcap : (T, N)
        Mean dollar volume (USD), unadjusted close (USD), size (USD; NaN without `daily`).
    left : dict
        How many (session, listing) pairs each rule leaves, or listings where it decides once.
    facts : dict
        What every report says about the universe; the rules' effect on the last session.
    """

    member: Mask
    adv: Array
    price: Array
    marketcap: Array
    left: Mapping[str, int]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Metadata:
    """Today's attributes of each listing of a frame; `known` is False where they describe another company.

    `unknown` counts the listings of the whole market without metadata.
    """

    known: Mask
    eligible: Mask
    scale: np.ndarray[Any, Any]
    unknown: int


def metadata(context: Context, panels: Panels, rules: Universe) -> Metadata:
    """Category, exchange and size class of each listing, from ``tickers``.

    ``tickers`` has one row for each ticker and vendor table; the row of SEP is preferred. Its attributes are
    today's and describe the ticker's present company: a listing that ended before ``firstpricedate`` belongs
    to another company, of which nothing is known.
    """
    with context.connect("tickers", "listings") as con:
        rows = con.sql(
            f"""
            WITH one AS (
                {ONE_ROW})
            SELECT l.ticker, l.listing,
                   o.ticker IS NOT NULL
                       AND (o.firstpricedate IS NULL OR l."last" >= o.firstpricedate) AS known,
                   coalesce(starts_with(o.category, $category), FALSE)
                       AND coalesce(list_contains($exchanges, o.exchange), FALSE) AS eligible,
                   coalesce(o.scalemarketcap, '') AS scale
            FROM listings l LEFT JOIN one o USING (ticker) ORDER BY l.ticker, l.listing
            """,
            params={"category": rules.category, "exchanges": list(rules.exchanges)},
        ).to_arrow_table()
    column = {
        name: rows[name].to_numpy(zero_copy_only=False)[panels.listings] for name in rows.column_names[2:]
    }
    known, eligible = column["known"].astype(np.bool_), column["eligible"].astype(np.bool_)
    unknown = len(rows) - int(pc.sum(rows["known"]).as_py() or 0)
    return Metadata(known, known & eligible, column["scale"].astype(str), unknown)


def point_in_time(context: Context, panels: Panels) -> Membership:
    """Members of each session by what was known after its close.

    A listing is a member on t when it is domestic common stock on an eligible exchange, its mean dollar
    volume over `adv_window` sessions is at least `min_adv` (with `adv_min_obs` observations), its unadjusted
    close at least `min_price`, and its size at least `min_size` (without ``daily`` the size rule is dropped).
    On a slice of the sessions the first `sessions_needed` of it are not decided as on the whole.
    """
    rules = context.settings.equity.universe
    kinds = metadata(context, panels, rules)
    adv, price, marketcap = _measures(context, panels, rules)
    with np.errstate(invalid="ignore"):
        tests = {
            "category and exchange": np.broadcast_to(kinds.eligible, price.shape),
            f"adv >= {rules.min_adv:,.0f} USD": adv >= rules.min_adv,
            f"price >= {rules.min_price:g} USD": price >= rules.min_price,
        }
        if context.find("daily") is not None:
            tests[f"size >= {rules.min_size:,.0f} USD"] = marketcap >= rules.min_size
    member, left = np.isfinite(price), {}
    for rule, passed in tests.items():
        member = member & passed
        left[rule] = member
    facts = {"mode": "point_in_time", "size_rule": context.find("daily") is not None}
    return _membership(context, kinds, member, (adv, price, marketcap), left, facts)


def sessions_needed(context: Context) -> int:
    """Sessions before t that a member of t depends on, point in time."""
    rules = context.settings.equity
    return max(rules.universe.adv_window, rules.listing.max_gap + 1)


def option_b(context: Context, panels: Panels) -> Membership:
    """Static list of the last session, applied to all history: survivorship-biased by construction.

    Today's domestic common stock on an eligible exchange in one of the size classes `scales`, with mean
    dollar volume and close on the last session at or above the limits; a member whenever it has a price.
    """
    rules = context.settings.equity.universe
    kinds = metadata(context, panels, rules)
    adv, price, marketcap = _measures(context, panels, rules)
    last = context.last_row - panels.frame.start
    last_price = last_valid(price[: last + 1], within=context.settings.equity.listing.max_gap)[-1]
    with np.errstate(invalid="ignore"):
        tests = {
            "category and exchange": kinds.eligible,
            "size class": np.isin(kinds.scale, rules.scales),
            "present listing": _present(panels.frame, last),
            f"last adv >= {rules.min_adv:,.0f} USD": adv[last] >= rules.min_adv,
            f"last price >= {rules.min_price:g} USD": last_price >= rules.min_price,
        }
    chosen, left = np.ones(price.shape[1], dtype=np.bool_), {}
    for rule, passed in tests.items():
        chosen = chosen & passed
        left[rule] = chosen[None, :]
    member = np.isfinite(price) & np.isin(panels.frame.tickers, panels.frame.tickers[chosen])
    facts = {"mode": "option_b", "size_rule": True}
    return _membership(context, kinds, member, (adv, price, marketcap), left, facts)


def _present(frame: Frame, last: int) -> Mask:
    """(N,) True for the listing of each ticker that began last, as row `last` knows it."""
    begun = frame.first <= frame.start + last
    again = (frame.tickers[1:] == frame.tickers[:-1]) & begun[1:]
    present: Mask = begun & ~np.append(again, False)
    return present


def from_file(context: Context, panels: Panels) -> Membership:
    """The user's own universe: a CSV with ``ticker`` (always a member) or ``date,ticker`` (on that date)."""
    rules = context.settings.equity.universe
    with reading(rules.file) as path:
        rows = read_list(path)
    frame = panels.frame
    adv, price, marketcap = _measures(context, panels, rules)
    names, code = np.unique(rows["ticker"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    member = np.isfinite(price)
    if "date" in rows.column_names:
        listed = np.zeros(frame.shape, dtype=np.bool_, order="F")
        cells = frame.cells(names, code, dates(rows["date"]))
        listed.T.reshape(-1)[cells[cells >= 0]] = True
        member = member & listed
    else:
        member = member & np.isin(frame.tickers, names)
    unknown = np.setdiff1d(names, frame.names)
    facts = {"mode": "file", "size_rule": False, "unknown_tickers": len(unknown)}
    kinds = metadata(context, panels, rules)
    left = {f"rows of {rules.file} with a price": member}
    return _membership(context, kinds, member, (adv, price, marketcap), left, facts)


MODES = {"point_in_time": point_in_time, "option_b": option_b, "file": from_file}


def configured(context: Context, panels: Panels) -> Membership:
    """The members by the configured mode.

    Raises
    ------
    InputError
        When nobody is a member: the message says how many (session, listing) pairs each rule leaves.
    """
    found = MODES[context.settings.equity.universe.mode](context, panels)
    if not found.member.any():
        steps = "; ".join(f"{rule}: {n:,}" for rule, n in found.left.items())
        raise InputError(
            f"the universe is empty. What each rule leaves: {steps}. "
            "`kairos config show equity.universe` shows the limits"
        )
    return found


def read_list(path: Path) -> pa.Table:
    """A universe file: columns ``ticker`` or ``date`` (ISO) and ``ticker``; others are left out."""
    if not path.is_file():
        raise InputError(
            f"equity.universe.file = {str(path)!r} is not a file; "
            "it names a CSV with the column ticker, or date and ticker"
        )
    dated = "date" in textfile.header(path, ["ticker"])
    return textfile.table(path, {"date": "date", "ticker": "text"} if dated else {"ticker": "text"})


def option_b_list(context: Context) -> pa.Table:
    """The manual's universe list: one row for each ticker of Option B, with what decided.

    Columns: ticker, name, exchange, category, scalemarketcap, isdelisted, adv_60d (USD), last_close (USD).
    """
    start = max(context.last_row - sessions_needed(context), 0)
    panels = context.panels(PRICES, Excerpt(start))
    return describe(context, panels, option_b(context, panels), context.last_row - start)


def describe(context: Context, panels: Panels, membership: Membership, session: int) -> pa.Table:
    """The manual's list for the members of one row of the panels."""
    frame = panels.frame
    member = membership.member[session]
    chosen = pa.table({
        "ticker": frame.tickers[member],
        "adv_60d": membership.adv[session, member],
        "last_close": membership.price[session, member],
    })  # fmt: skip
    with context.connect("tickers") as con:
        con.register("chosen", chosen)
        return con.sql(f"""
            SELECT ticker, name, exchange, category, scalemarketcap, isdelisted, adv_60d, last_close
            FROM chosen LEFT JOIN (
                {ONE_ROW}) t
            USING (ticker) ORDER BY ticker
        """).to_arrow_table()


def universe_list(
    db: Path,
    *,
    settings: Settings,
    date: dt.date | None = None,
    csv: Path | None = None,
    snapshot: str | None = None,
) -> pa.Table:
    """The universe of a session in the columns of the manual's list, decided anew by the configured mode.

    Parameters
    ----------
    date : date, optional
        The session; by default the last one. Point in time nothing later is used; Option B is the list of
        the last session up to that date.
    csv : Path, optional
        Also write it there.

    Raises
    ------
    InputError
        The vendor's tables or the tables `listings` and `sessions` are missing, or no session is that early.
    """
    as_of = np.datetime64(date, "D") if date else None
    context = Context(open_store(db, settings).snapshot(snapshot), settings, as_of=as_of)
    if context.last_row < 0:
        raise InputError(f"no session up to {date}; the data begin on {context.sessions[0]}")
    panels = context.panels(PRICES)
    rows = describe(context, panels, configured(context, panels), context.last_row)
    if csv is not None:
        write_csv(rows, csv)
    return rows


def write_csv(rows: pa.Table, path: Path) -> None:
    """Write a table as CSV, complete or not at all."""
    beside = path.with_name(path.name + ".part")
    with writing(path, "choose another file"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as file:
                pyarrow.csv.write_csv(rows, file, pyarrow.csv.WriteOptions(quoting_style="needed"))
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _measures(context: Context, panels: Panels, rules: Universe) -> tuple[Array, Array, Array]:
    """Mean dollar volume, unadjusted close and size of every listing and session; made once in a build."""
    key = f"universe measures {panels.excerpt}"
    if key not in context.shared:
        close, volume = panels["sep_base.close"], panels["sep_base.volume"]
        window = Rolling(window=rules.adv_window, min_obs=rules.adv_min_obs, start=panels.frame.start)
        adv = window.mean(close * volume)
        marketcap = panels.get("daily.marketcap")
        max_age = context.settings.equity.listing.max_gap
        value = panels.frame.empty() if marketcap is None else size(marketcap, close, max_age)
        price = panels["sep_base.closeunadj"]
        if not np.isfinite(price).any():
            price = close  # not delivered at all: the load has counted it as a warning
        context.shared[key] = adv, price, value
    found: tuple[Array, Array, Array] = context.shared[key]
    return found


def _membership(
    context: Context,
    kinds: Metadata,
    member: Mask,
    measures: tuple[Array, Array, Array],
    left: Mapping[str, Mask],
    facts: Mapping[str, Any],
) -> Membership:
    all_facts = {
        **facts,
        "rules": {rule: int(passed[-1].sum()) for rule, passed in left.items()},
        "listings_without_metadata": kinds.unknown,
        # the vendor's actions have no word for a change of category or exchange: both are always today's
        "classified_from_current_metadata": 1.0,
        "actions": context.find("actions") is not None,
    }
    return Membership(member, *measures, {rule: int(x.sum()) for rule, x in left.items()}, all_facts)
