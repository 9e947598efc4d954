"""The step `baseline`: the signal of every ADR and minute from the index future alone.

``data/processed/futures_only_signal/ticker={ADR}/data.parquet`` has a row for each minute after the
ordinary's close c, for days on which ADR and future have a price at c and a beta is known. A file of the user
is used as it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos import executor
from kairos.adr import fairvalue
from kairos.adr.desk import ADR_MIDS, BASELINE, BETAS, ORDINARY_UNADJUSTED
from kairos.adr.files import listed
from kairos.adr.instruments import read_instruments
from kairos.adr.minutefile import (
    content_of,
    digest,
    file_of,
    files_of,
    marks,
    notes_of,
    read_minutes,
)
from kairos.adr.minuteinputs import (
    Venues,
    beta_on,
    mids_given,
    parity,
    refuse_without_minutes,
    with_minutes,
)
from kairos.adr.minutes import future_name, fx_name, new_york_clock
from kairos.adr.sources import MID, quote_file, quoted, quoted_span, read_quotes
from kairos.adr.stream import Stream, median_then, sample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kairos.adr.desk import Desk
    from kairos.adr.files import Array
    from kairos.adr.instruments import Instrument
    from kairos.adr.minuteinputs import IndexMinutes
    from kairos.adr.minutes import Instants

NO_QUOTE, NO_FUTURE, NO_BETA = "no quote at the close", "no future at the close", "no beta"
NO_RATE = "no exchange rate at the close"
NO_MINUTE = "no minute with quote and future"
NOT_YOURS = f"no file of yours in {BASELINE} (adr.baseline.source)"


@dataclass(frozen=True)
class BaselineOf:
    """The futures-only signal of one ADR.

    Attributes
    ----------
    adr, exchange, symbol
        Names; `symbol` is that of the future.
    source
        "desk", "user", or "none" when it has no row.
    days, minutes
        Rows, and days that have them.
    first, last
        Days, ISO.
    left : reason → days
        Days of the exchange without a row.
    premium
        Median of the premium at c; NaN when it can't be computed.
    far
        Days on which the premium is beyond `adr.signal.max_premium`.
    empty, crossed
        Quotes set aside.
    """

    adr: str
    exchange: str
    symbol: str
    source: str
    days: int = 0
    minutes: int = 0
    first: str = ""
    last: str = ""
    left: Mapping[str, int] | None = None
    premium: float = np.nan
    far: int = 0
    empty: int = 0
    crossed: int = 0


@dataclass(frozen=True)
class BaselineReport:
    """Outcome of the step `baseline`.

    Attributes
    ----------
    found
        One entry for each ADR with minutes.
    left : ADR → reason
        ADRs in scope without minutes.
    max_premium
        `adr.signal.max_premium`.
    """

    found: tuple[BaselineOf, ...]
    left: Mapping[str, str]
    max_premium: float

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Columns and one row for each ADR."""
        columns = ["ADR", "Exchange", "Future", "Source", "Days", "Minutes", "First", "Last", "Premium at c"]
        return columns, [
            [e.adr, e.exchange, e.symbol, e.source, e.days, e.minutes, e.first, e.last, e.premium]
            for e in self.found
        ]

    def remarks(self) -> list[str]:
        """Plain sentences."""
        said = [f"No minute signal: {text}." for text in _grouped(self.left)]
        users = [e.adr for e in self.found if e.source == "user"]
        if users:
            said.append(f"The user's own futures-only signal of {listed(users, 20)} is used as it is.")
        reasons: dict[str, list[str]] = {}
        for e in self.found:
            for reason, days in (e.left or {}).items():
                reasons.setdefault(reason, []).append(f"{e.adr} {days}")
        for reason, each in reasons.items():
            said.append(f"Days without rows, {reason}: {listed(each, 10)}.")
        for e in self.found:
            if e.far:
                said.append(premium_remark(e.adr, e.premium, e.far, self.max_premium))
            if e.empty or e.crossed:
                said.append(
                    f"{e.adr}: {e.empty} quotes without a price above 0 on one side and {e.crossed} crossed "
                    "ones are set aside."
                )
        return said


def premium_remark(adr: str, premium: float, days: int, limit: float) -> str:
    """Say that an ADR and its ordinary do not have one price, and what the error may be."""
    guess = "the ratio sh_per_adr or the currency of the ordinary is wrong"
    ratio = 1.0 + premium
    for factor, error in (
        (100.0, "the ordinary is in units of 100"),
        (0.01, "the ordinary is in hundredths"),
    ):
        if abs(ratio / factor - 1.0) <= limit:
            guess = f"{error} of what `currency` in adr_info.csv says (GBp is pence)"
    return (
        f"{adr}: on {days} days the ADR at the close is more than {limit:.0%} away from its ordinary "
        f"(premium {premium:+.1%} at the median): {guess}, or a price is bad. Returns of the signal do not "
        "depend on it."
    )


def baseline(desk: Desk, progress: Callable[[int, int], object] | None = None) -> BaselineReport:
    """Write the futures-only signal of every ADR that has minutes.

    ::

        signal(t) = (1 + β·index(t))·(1 + fx(t)) − 1 − adr(t)

    with β as known before the day (:mod:`kairos.adr.fairvalue`). Besides `signal`, in the configured currency
    leg, the columns `signal_local_future` and `signal_usd_future` hold both. A minute without a recent
    future, rate or quote has a row without a signal.

    Parameters
    ----------
    desk
        The data directory.
    progress
        Called with the number of ADRs done and of all.

    Raises
    ------
    InputError
        A file is missing or wrong, no ADR has both quotes and a future, or a file of a user lies where one is
        to be written and is no signal.

    Notes
    -----
    The row of t uses what was known and had arrived at t. A file is written at once, and one that was made of
    the same things is not made again.
    """
    scope = read_instruments(desk)
    if not quoted(desk):
        return BaselineReport((), {}, desk.settings.adr.signal.max_premium)
    kept, left = with_minutes(desk, scope.instruments)
    refuse_without_minutes(kept, left)
    users = [one for one in kept if is_given(desk, one.adr)]
    mine = [one for one in kept if one not in users]
    if desk.settings.adr.baseline.source == "user":
        left |= {one.adr: NOT_YOURS for one in mine}
        mine = []
    span = first_and_last(desk, mine)
    made = [_made_of(desk, one, span) for one in mine]
    todo = [
        (one, key)
        for one, key in zip(mine, made, strict=True)
        if desk.force or not desk.is_current(file_of(BASELINE, one.adr), key)
    ]
    if todo:
        where = desk.settings.run
        contents = executor.iterate(
            partial(_content, desk, _inputs(desk, [one for one, _ in todo], *span)),
            [one for one, _ in todo],
            workers=1 if where.executor == "local" else where,  # to start a process takes longer than an ADR
            name=lambda one: one.adr,
            progress=progress,
        )
        for (one, key), content in zip(todo, contents, strict=True):
            desk.save([(file_of(BASELINE, one.adr), partial(Path.write_bytes, data=content))], key)
    used = {one.adr for one in (*users, *mine)}
    desk.remove(name for adr, name in files_of(desk, BASELINE).items() if adr not in used)
    return BaselineReport(
        tuple(sorted((_describe(desk, one) for one in [*users, *mine]), key=lambda each: each.adr)),
        left,
        desk.settings.adr.signal.max_premium,
    )


def is_given(desk: Desk, adr: str) -> bool:
    """Whether the user has brought the futures-only signal of an ADR, and it is not to be replaced."""
    keeps = desk.settings.adr.baseline.source == "user" or not desk.force
    return keeps and desk.is_users(file_of(BASELINE, adr))


def baselines(desk: Desk) -> dict[str, str]:
    """Names of the files that count, by ADR: with ``adr.baseline.source = "user"`` only the user's."""
    only_users = desk.settings.adr.baseline.source == "user"
    there = files_of(desk, BASELINE).items()
    return {adr: name for adr, name in there if not only_users or desk.is_users(name)}


def first_and_last(desk: Desk, instruments: Sequence[Instrument]) -> tuple[np.datetime64, np.datetime64]:
    """Days of the first and the last quote of some ADRs, from `adr.start` on.

    Minutes may go on after `adr.end`: the last models are deployed in the month after it.
    """
    spans = [span for span in (quoted_span(desk, one.adr) for one in instruments) if span]
    if not spans:
        nothing = np.datetime64("1970-01-02")
        return nothing, nothing
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    start = desk.settings.adr.start
    first = max(first, np.datetime64(start, "D")) if start else first
    return first, max(first, last)


@dataclass(frozen=True, eq=False)
class _Inputs:
    """What the ADRs share."""

    venues: Venues
    betas: Mapping[str, Array]


def _inputs(
    desk: Desk, instruments: Sequence[Instrument], first: np.datetime64, last: np.datetime64
) -> _Inputs:
    venues = Venues(desk, instruments, first, last)
    clocks = {one.adr: venues.clocks[one.exchange] for one in instruments}
    return _Inputs(venues, beta_on(desk, list(clocks), clocks))


def _made_of(desk: Desk, one: Instrument, span: tuple[np.datetime64, np.datetime64]) -> str:
    """Digest of the settings, days and files that the signal of an ADR is made of."""
    settings = desk.settings.adr
    paths = [quote_file(desk, one.adr), desk.path(BETAS), desk.path(ORDINARY_UNADJUSTED)]
    paths += [desk.path(ADR_MIDS)] if desk.is_users(ADR_MIDS) else []
    paths += [*sorted(desk.path(future_name(one.symbol)).glob("*.parquet")), desk.path(fx_name(one.currency))]
    return digest(
        *(one, settings.bar_label, settings.max_age, settings.signal, settings.start, span),
        *(settings.betas, *marks(paths)),
    )


def _content(desk: Desk, inputs: _Inputs, one: Instrument) -> bytes:
    """Make what the file of one ADR holds."""
    found = futures_only_of(desk, one, inputs.venues.of(one), inputs.betas[one.adr])
    rows = found.rows
    times = found.venue.clock.times[rows]
    columns = {key: values[rows] for key, values in found.columns.items()}
    notes = {
        "left": found.left,
        "empty": found.empty,
        "crossed": found.crossed,
        "held": _held(desk, times, columns["premium_c"]),
    }
    return content_of(times, columns, notes)


@dataclass(frozen=True, eq=False)
class FuturesOnly:
    """The futures-only signal of one ADR at all minutes of its exchange.

    Attributes
    ----------
    venue
        The future, and the clock.
    columns
        By name, (T,) each.
    rows : (T,) bool
        Minutes that the file has.
    left : day → reason
        Days without a row.
    empty, crossed
        Quotes set aside.
    """

    venue: IndexMinutes
    columns: Mapping[str, Array]
    rows: np.ndarray
    left: Mapping[str, str]
    empty: int
    crossed: int


def futures_only_of(desk: Desk, one: Instrument, venue: IndexMinutes, beta: Array) -> FuturesOnly:
    """Compute the futures-only signal of one ADR.

    Parameters
    ----------
    desk
        The data directory.
    one
        The ADR.
    venue
        Its future at the minutes of its exchange.
    beta : (D,)
        As known before each day.
    """
    settings, clock = desk.settings.adr, venue.clock
    quotes = read_quotes(desk, one.adr)
    now, then, age = adr_mids(quotes.stream, venue, settings.max_age.adr_quotes, settings.signal.anchor)
    given = mids_given(desk, one.adr, clock.days)[clock.day]
    then = np.where(np.isnan(given), then, given)
    adr = fairvalue.change(now, then)
    of_day = beta[clock.day]
    inferred = {
        leg: fairvalue.futures_only(of_day, venue.index, venue.fx, leg)
        for leg in ("local_future", "usd_future")
    }
    chosen = inferred[settings.signal.currency_leg]
    premium = fairvalue.change(then, parity(desk, one, venue))
    columns = {
        "signal": chosen - adr,
        "inferred": chosen,
        "adr_return": adr,
        "index_return": venue.index,
        "fx_return": venue.fx,
        "model_return": np.zeros(len(clock.times)),
        "coverage": np.full(len(clock.times), np.nan),
        "age_s": fairvalue.oldest(venue.age, age),
        "premium_c": premium,
        "signal_local_future": inferred["local_future"] - adr,
        "signal_usd_future": inferred["usd_future"] - adr,
    }
    reasons = _reasons(venue, then, beta, columns["signal"])
    left = {str(clock.days[d]): reason for d, reason in reasons.items()}
    rows = ~np.isin(clock.day, list(reasons))
    return FuturesOnly(venue, columns, rows, left, quotes.empty, quotes.crossed)


def adr_mids(stream: Stream, venue: IndexMinutes, max_age: float, anchor: str) -> tuple[Array, Array, Array]:
    """Mid of an ADR at each minute and at the reference time, and the age of the quote, (T,) each."""
    sampled = sample(stream, venue.clock, max_age)
    then = sampled.then[:, MID]
    if anchor == "median_5min":
        then = median_then(stream, venue.clock, max_age)[:, MID]
    return sampled.now[:, MID], then, sampled.age


def _reasons(venue: IndexMinutes, then: Array, beta: Array, signal: Array) -> dict[int, str]:
    """Why days have no rows, by position; what late prices have corrected by the last minute counts."""
    bounds = venue.clock.first_rows
    last = bounds[1:] - 1
    some = np.add.reduceat(np.isfinite(signal), bounds[:-1]) if len(last) else np.empty(0)
    kinds = [
        (NO_QUOTE, np.isnan(then[last])),
        (NO_FUTURE, np.isnan(venue.future_then[last])),
        (NO_RATE, np.isnan(venue.rate_then[last])),
        (NO_BETA, np.isnan(beta)),
        (NO_MINUTE, some == 0),
    ]
    found: dict[int, str] = {}
    for reason, absent in reversed(kinds):  # the first reason that holds is the one that is told
        found |= dict.fromkeys(np.flatnonzero(absent).tolist(), reason)
    return dict(sorted(found.items()))


def _describe(desk: Desk, one: Instrument) -> BaselineOf:
    """What the file of one ADR holds; the desk's own files say it in their notes."""
    path = desk.path(file_of(BASELINE, one.adr))
    users = is_given(desk, one.adr)
    if users:
        file = read_minutes(path)
        premium = file.columns.get("premium_c", np.full(len(file.times), np.nan))
        notes: dict[str, Any] = {"held": _held(desk, file.times, premium)}
    else:
        notes = notes_of(path)
    held = dict(notes["held"])
    premium_c = held.pop("premium")
    return BaselineOf(
        adr=one.adr,
        exchange=one.exchange,
        symbol=one.symbol,
        source=("user" if users else "desk") if held["minutes"] else "none",
        left=dict(Counter(notes.get("left", {}).values())),
        premium=np.nan if premium_c is None else premium_c,
        empty=int(notes.get("empty", 0)),
        crossed=int(notes.get("crossed", 0)),
        **held,
    )


def _held(desk: Desk, times: Instants, premium: Array) -> dict[str, Any]:
    """Days, minutes and premiums of a file, plain types; the premium of a day is that of its first minute."""
    days, first = np.unique(new_york_clock(times).astype("datetime64[D]"), return_index=True)
    known = premium[first][np.isfinite(premium[first])]
    return {
        "days": len(days),
        "minutes": len(times),
        "first": str(days[0]) if len(days) else "",
        "last": str(days[-1]) if len(days) else "",
        "premium": float(np.median(known)) if len(known) else None,
        "far": int((np.abs(known) > desk.settings.adr.signal.max_premium).sum()),
    }


def _grouped(left: Mapping[str, str]) -> list[str]:
    by: dict[str, list[str]] = {}
    for adr, reason in left.items():
        by.setdefault(reason, []).append(adr)
    return [f"{listed(adrs, 20)}: {reason}" for reason, adrs in by.items()]
