"""When each ticker was listed, when and why it ended, and what a holder got."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from kairos.equity.context import Context
from kairos.equity.declare import BaseTable, Column, Params, Renewal
from kairos.equity.frame import dates, encode, rows_of

UNKNOWN = "unknown"
Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


class ListingParams(Params):
    """Which of the vendor's action words end a listing by themselves, and how near a reason must be."""

    ends: tuple[str, ...] = ("delisted", "bankruptcyliquidation", "regulatorydelisting", "voluntarydelisting")
    reason_before: int = 5


COLUMNS = (
    Column("listing", "1 for the first listing of the ticker, 2 for the next, ...", dtype="INTEGER"),
    Column("first_session", "session of the first price", dtype="INTEGER"),
    Column("last_session", "session of the last price", dtype="INTEGER"),
    Column("first", "date of the first price", dtype="DATE"),
    Column("last", "date of the last price", dtype="DATE"),
    Column("ended", "an action says so, or no price for `max_gap` further sessions", dtype="BOOLEAN"),
    Column("settled_session", "session on which a holder is paid out: the first after an action is known, else "
           "`max_gap` sessions after the last price", dtype="INTEGER"),
    Column("reason", "the most severe action word near the end, 'unknown' without one", dtype="VARCHAR"),
    Column("payout", "return on top of the last price, by reason", "Shumway (1997)", "DOUBLE"),
)  # fmt: skip


@dataclass(frozen=True)
class Ends:
    """End actions: code of the ticker, last session up to the action, index of its word."""

    code: Ints
    session: Ints
    word: Ints


def make(context: Context, p: ListingParams, _: Renewal) -> Iterator[pa.Table]:
    """Cut each ticker's prices into listings: at a gap of `max_gap` sessions, or at an action that ends one."""
    sessions, rules = context.sessions, context.settings.equity
    T, gap, payouts = len(sessions), rules.listing.max_gap, rules.delisting.actions
    words = [*payouts, *(word for word in p.ends if word not in payouts)]  # the latter end without a reason
    names, exists = _prices(context, sessions)
    ends = _ends(context, names, sessions, words)
    ticker, first, last = _cut(exists, T, gap, ends, [words.index(word) for word in p.ends])

    number = np.arange(len(ticker)) - np.searchsorted(ticker, ticker) + 1
    followed = np.append(ticker[1:] == ticker[:-1], False)
    until = np.where(followed, np.append(first[1:], T), T)
    worth = np.array([payouts.get(word, np.inf) for word in words])
    reason, known = _reasons(ends, worth, ticker, (first, last, until), p.reason_before, gap)
    acted = known >= last
    ended = followed | acted | (T - 1 - last >= gap)
    settled = np.where(acted, np.minimum(known + 1, last + gap), last + gap)

    label = np.array([*(word if word in payouts else UNKNOWN for word in words), UNKNOWN], dtype=object)[
        reason
    ]
    paid = np.array([*worth, np.inf])[reason]
    context.facts[TABLE.name] = {
        "ended": int(ended.sum()),
        "without_reason": int((ended & (label == UNKNOWN)).sum()),
    }
    yield pa.table({
        "ticker": names[ticker],
        "listing": number.astype(np.int32),
        "first_session": first.astype(np.int32),
        "last_session": last.astype(np.int32),
        "first": pa.array(sessions[first]),
        "last": pa.array(sessions[last]),
        "ended": ended,
        "settled_session": pa.array(settled, pa.int32(), mask=~ended),
        "reason": pa.array(label, pa.string(), mask=~ended),
        "payout": pa.array(np.where(np.isinf(paid), rules.delisting.unknown, paid), mask=~ended),
    })  # fmt: skip


def _cut(exists: Mask, T: int, gap: int, ends: Ends, cutting: list[int]) -> tuple[Ints, Ints, Ints]:
    """Ticker, first and last session of every listing, in the order of (ticker, session)."""
    price = np.flatnonzero(exists)  # ticker · T + session, ascending
    first = np.unique(np.searchsorted(price, np.arange(len(exists) // T) * T))
    late = np.flatnonzero(np.diff(price) > gap) + 1
    cut = np.isin(ends.word, cutting)
    before = np.searchsorted(price, ends.code[cut] * T + ends.session[cut], side="right") - 1
    held = (before >= 0) & (price[before] // T == ends.code[cut])
    after = before[held] + 1  # the first price behind the action, if the ticker has one, is another listing
    at = np.unique(np.concatenate([first, late, after]))
    at = at[at < len(price)]
    until = np.append(at[1:], len(price)) - 1
    return price[at] // T, price[at] % T, price[until] % T


def _prices(context: Context, sessions: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], Any]:
    """Distinct tickers, and (tickers · T) True where a price exists."""
    parts = [
        (*encode(rows["ticker"]), dates(rows["date"]))
        for rows in context.parts("sep_base", ["ticker", "date"])
    ]
    names = np.unique(np.concatenate([part[0] for part in parts]))
    exists = np.zeros((len(names), len(sessions)), dtype=np.bool_)
    for found, code, date in parts:
        exists[np.searchsorted(names, found)[code], rows_of(sessions, date)] = True
    return names, exists.reshape(-1)


def _ends(context: Context, names: Any, sessions: Any, words: list[str]) -> Ends:
    if context.find("actions") is None:
        none = np.zeros(0, dtype=np.int64)
        return Ends(none, none, none)
    with context.connect("actions") as con:
        rows = con.sql(
            "SELECT ticker, date, list_position($words, action) - 1 AS word FROM actions "
            "WHERE list_contains($words, action) ORDER BY ticker, date, word",
            params={"words": words},
        ).to_arrow_table()
    ticker = rows["ticker"].to_numpy(zero_copy_only=False).astype(str)
    code = np.searchsorted(names, ticker)
    code[code == len(names)] = 0
    known = names[code] == ticker if len(ticker) else np.zeros(0, dtype=np.bool_)
    session = np.searchsorted(sessions, dates(rows["date"]), side="right") - 1
    keep = (
        known & (session >= 0) & (dates(rows["date"]) <= sessions[-1])
    )  # later ones say nothing about the data
    return Ends(code[keep], session[keep], rows["word"].to_numpy().astype(np.int64)[keep])


def _reasons(
    ends: Ends, worth: Floats, ticker: Ints, spans: tuple[Ints, Ints, Ints], before: int, gap: int
) -> tuple[Ints, Ints]:
    """Word of the action behind each listing's end (-1 without one), and the session of the latest (-1).

    An action belongs to the listing in whose time it falls, from its first price to the next listing's, and
    counts from `before` sessions before the last price on. Of several the one with the lowest payout is the
    reason, then the one configured first. One that comes more than `gap` sessions after the last price finds
    the holder settled: it can still say why, and not when.
    """
    first, last, until = spans
    reason, known = np.full(len(ticker), -1), np.full(len(ticker), -1)
    if not len(ends.code):
        return reason, known
    span = int(max(until.max(), ends.session.max())) + 1
    listing = np.searchsorted(ticker * span + first, ends.code * span + ends.session, side="right") - 1
    listing = np.maximum(listing, 0)
    since = np.maximum(first, last - before)
    near = (ticker[listing] == ends.code) & (ends.session >= since[listing])
    listing, session, word = listing[near], ends.session[near], ends.word[near]
    severity = np.lexsort((word, worth[word], listing))
    chosen, where = np.unique(listing[severity], return_index=True)
    reason[chosen] = word[severity][where]
    timely = session <= last[listing] + gap
    np.maximum.at(known, listing[timely], session[timely])
    return reason, known


TABLE = BaseTable(
    name="listings",
    doc="One row for each listing of a ticker. A listing ends when an action says so or when no price follows "
    "for `equity.listing.max_gap` sessions; a later price of the same ticker is a new listing, so that nothing "
    "is ever computed across two companies. Whether and why a listing ended is known only afterwards: targets "
    "and the profit and loss of a backtest use it, no feature does.",
    inputs=("sep_base.close", "sessions"),
    optional=("actions",),
    columns=lambda _: COLUMNS,
    params=ListingParams,
    uses=("equity.listing", "equity.delisting"),
    key=("ticker", "listing"),
    dated=("last", "first"),
    make=make,
)
