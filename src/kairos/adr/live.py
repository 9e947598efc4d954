"""The signal of a moment: a desk that takes one bar at a time and keeps what it needs of the day.

:class:`LiveDesk` is made for a trading process to embed. It computes with the functions of the batch, on the
bars that have arrived; what arrives late corrects later minutes, never one that was given out. Where a source
is older than allowed, or too few of a model's stocks have a price, the value is withheld, with the reason.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from kairos.adr import fairvalue
from kairos.adr.baseline import NO_BETA, NO_FUTURE, NO_QUOTE, NO_RATE
from kairos.adr.liveday import plan_day
from kairos.adr.minutes import new_york_clock
from kairos.adr.modelterm import share
from kairos.adr.signal import FUTURES, GATE_CLOSED, LOW_COVERAGE, MODEL, NO_MODEL, NO_US, NO_US_BETAS
from kairos.adr.sources import LOCAL, RATE, RATE_AGE
from kairos.adr.stream import median
from kairos.errors import InputError

if TYPE_CHECKING:
    from kairos.adr.desk import Desk
    from kairos.adr.files import Array
    from kairos.adr.liveday import VenueDay

Stamp = np.datetime64 | dt.datetime
"""UTC as NumPy's datetime64, or a datetime with a time zone."""

SECOND, MINUTE = 1_000_000_000, 60_000_000_000
NEVER = -(2**62)
SAME = 1e-12
"""Values that differ by no more are the same."""

EARLY, OVER = "its exchange has not closed yet", "New York has closed"


@dataclass(frozen=True, slots=True)
class UsBar:
    """Minute bar of a US stock: label and close in USD."""

    ticker: str
    stamp: Stamp
    close: float


@dataclass(frozen=True, slots=True)
class FutureBar:
    """Minute bar of an index future: label, close in USD a contract, USD for one unit of its currency.

    `fx_age_s` is the age of that rate when the bar was known, in seconds.
    """

    symbol: str
    stamp: Stamp
    close: float
    fx_rate: float
    fx_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask of an ADR in USD, with the label of their minute."""

    adr: str
    stamp: Stamp
    bid: float
    ask: float


Bar = UsBar | FutureBar | Quote


@dataclass(frozen=True, slots=True)
class LiveSignal:
    """The signal of one ADR at one minute; the columns are those of the batch.

    `withheld` is the reason why there is no value, else empty; `source` is "model" or "baseline", and
    `reason` says why it is the baseline.
    """

    adr: str
    time: np.datetime64
    signal: float
    inferred: float
    adr_return: float
    index_return: float
    fx_return: float
    model_return: float
    coverage: float
    age_s: float
    premium_c: float
    source: str
    reason: str
    withheld: str


class _Newest:
    """The newest value of each name of a source, and the newest at or before some times of the day.

    Lists of plain numbers: one bar at a time, they are faster than arrays.
    """

    def __init__(self, names: Sequence[str], limits: Sequence[Sequence[int]], width: int) -> None:
        self.place = {name: number for number, name in enumerate(names)}
        self.width = width
        self.limits = limits  # of each anchor, a time for each name
        self.last = max((max(each, default=NEVER) for each in limits), default=NEVER)
        empty = (np.nan,) * width
        self.seen: list[set[int]] = [set() for _ in names]
        self.known = [NEVER] * len(names)
        self.values: list[tuple[float, ...]] = [empty] * len(names)
        self.anchor_known = [[NEVER] * len(names) for _ in limits]
        self.anchor_values: list[list[tuple[float, ...]]] = [[empty] * len(names) for _ in limits]

    def update(self, place: int, known: int, values: tuple[float, ...]) -> bool:
        """Take a value; one that is older than what is there corrects the anchors that it belongs to.

        False when there was one of that time: the first stays.
        """
        seen = self.seen[place]
        if known in seen:
            return False
        seen.add(known)
        if known > self.known[place]:
            self.known[place], self.values[place] = known, values
        if known > self.last:
            return True
        for limit, times, kept in zip(self.limits, self.anchor_known, self.anchor_values, strict=True):
            if times[place] < known <= limit[place]:
                times[place], kept[place] = known, values
        return True

    def now(self, at: int, max_age: float) -> tuple[Array, Array]:
        """Values (n, width) and their age in seconds (n,); NaN where too old."""
        return self._fresh(self.known, self.values, np.full(len(self.known), at), max_age)

    def then(self, anchor: int, max_age: float) -> tuple[Array, Array]:
        """Values at an anchor (n, width) and their age then in seconds (n,); NaN where too old."""
        limit = np.array(self.limits[anchor], dtype=np.int64)
        return self._fresh(self.anchor_known[anchor], self.anchor_values[anchor], limit, max_age)

    def _fresh(
        self, known: Sequence[int], values: Sequence[tuple[float, ...]], at: np.ndarray, max_age: float
    ) -> tuple[Array, Array]:
        times = np.array(known, dtype=np.int64)
        age = np.where(times == NEVER, np.nan, (at - times) / SECOND)
        found = np.array(values, dtype=np.float64).reshape(len(values), self.width)
        with np.errstate(invalid="ignore"):
            old = ~(age <= max_age)
        found[old] = np.nan
        return found, np.where(old, np.nan, age)


@dataclass(eq=False)
class LiveDesk:
    """The desk on one day: bars in, signals out.

    Parameters
    ----------
    desk
        The data directory, whose models, betas and gate are used.
    day : datetime64[D]
        A session of New York.

    Examples
    --------
    ``live = LiveDesk(desk, np.datetime64("2026-01-30"))``, then ``live.update(bar)`` for every bar that comes
    in, and ``live.signal(time)`` after those of a minute.
    """

    desk: Desk
    day: np.datetime64
    set_aside: int = field(default=0, init=False)
    """Bars and quotes without a usable price."""
    unused: int = field(default=0, init=False)
    """Bars of names that no ADR needs today."""
    repeated: int = field(default=0, init=False)
    """Bars of a minute that was there: the first one counts, and a file with both would be refused."""

    def __post_init__(self) -> None:
        self.day = self.day.astype("datetime64[D]")
        self._plan = plan_day(self.desk, self.day)
        self._history: list[tuple[int, Bar]] = []
        self._emitted: dict[int, list[LiveSignal]] = {}
        self._reset()

    def _reset(self) -> None:
        plan, settings = self._plan, self.desk.settings.adr
        self._us = _Newest(plan.stocks, [[c] * len(plan.stocks) for c in plan.references], 1)
        self._futures = _Newest(plan.symbols, [[c] * len(plan.symbols) for c in plan.references], 4)
        backs = range(5) if settings.signal.anchor == "median_5min" else range(1)
        own = [plan.references[place] for place in plan.of_adr]
        self._quotes = _Newest(plan.adrs, [[c - back * MINUTE for c in own] for back in backs], 1)
        self._newest = NEVER
        self._instants: dict[Stamp, int] = {}
        label = settings.bar_label
        self._delay = {
            kind: MINUTE if stamped == "start" else 0
            for kind, stamped in ((UsBar, label.us), (FutureBar, label.futures), (Quote, label.adr_quotes))
        }

    @property
    def stocks(self) -> tuple[str, ...]:
        """US tickers whose bars are needed today."""
        return self._plan.stocks

    @property
    def symbols(self) -> tuple[str, ...]:
        """Futures whose bars are needed today."""
        return self._plan.symbols

    @property
    def adrs(self) -> tuple[str, ...]:
        """ADRs whose quotes are needed today."""
        return self._plan.adrs

    def update(self, bar: Bar) -> None:
        """Take one bar or quote, in whatever order they arrive.

        A price that is not above 0 and a crossed quote are set aside and counted, and so are what no ADR
        needs and a second bar of the same name and minute.

        Raises
        ------
        InputError
            The stamp is a datetime without a time zone.
        """
        known = self._apply(bar)
        if known is not None:
            self._history.append((known, bar))

    def _apply(self, bar: Bar) -> int | None:
        """Change the state; gives when the bar was known, None when it is not used."""
        if isinstance(bar, UsBar):
            source, name = self._us, bar.ticker
            values: tuple[float, ...] = (bar.close,)
            good = 0.0 < bar.close < np.inf
        elif isinstance(bar, FutureBar):
            source, name = self._futures, bar.symbol
            good = 0.0 < bar.close < np.inf and 0.0 < bar.fx_rate < np.inf
            local = bar.close / bar.fx_rate if good else np.nan
            values = (local, bar.fx_rate, bar.fx_age_s, bar.close)
        else:
            source, name, values = self._quotes, bar.adr, ((bar.bid + bar.ask) / 2.0,)
            good = 0.0 < bar.bid <= bar.ask < np.inf
        place = source.place.get(name)
        if place is None:
            self.unused += 1
            return None
        if not good:
            self.set_aside += 1
            return None
        instant = self._instants.get(bar.stamp)
        if instant is None:  # most bars of a minute share their stamp
            instant = self._instants[bar.stamp] = nanoseconds(bar.stamp)
        known = instant + self._delay[type(bar)]
        if not source.update(place, known, values):
            self.repeated += 1
            return None
        if known > self._newest:
            self._newest = known
        return known

    def signal(self, at: Stamp | None = None) -> list[LiveSignal]:
        """The signal of every ADR at a minute, from what has arrived.

        Parameters
        ----------
        at : datetime64 or datetime, optional
            The minute; by default that of the newest bar.

        Returns
        -------
        list of LiveSignal
            By ADR. A minute that was given out before is given out again as it was.

        Raises
        ------
        InputError
            No bar has arrived, or bars that were known later than `at` have.
        """
        if at is None and self._newest == NEVER:
            raise InputError("no bar has arrived yet: there is no newest minute")
        time = self._newest if at is None else nanoseconds(at)
        if time in self._emitted:
            return self._emitted[time]
        if time < self._newest:
            raise InputError(
                f"a signal of {_text(time)} was asked for when bars of {_text(self._newest)} had arrived"
            )
        self._emitted[time] = self._compute(time)
        return self._emitted[time]

    def revised(self) -> int:
        """How many of the minutes given out would have been others, had every bar arrived in time."""
        twin = LiveDesk.__new__(LiveDesk)
        twin.desk, twin.day, twin._plan = self.desk, self.day, self._plan
        twin._history, twin._emitted, twin.set_aside, twin.unused, twin.repeated = [], {}, 0, 0, 0
        twin._reset()
        waiting = iter(sorted(self._history, key=lambda item: item[0]))
        following, count = next(waiting, None), 0
        for time, given in sorted(self._emitted.items()):
            while following is not None and following[0] <= time:
                twin._apply(following[1])
                following = next(waiting, None)
            count += any(_differ(a, b) for a, b in zip(given, twin._compute(time), strict=True))
        return count

    def _compute(self, at: int) -> list[LiveSignal]:
        plan, limits = self._plan, self.desk.settings.adr.max_age
        stocks, _ = self._us.now(at, limits.us)
        futures, future_age = self._futures.now(at, limits.futures)
        mids, quote_age = self._quotes.now(at, limits.adr_quotes)
        anchors = [self._quotes.then(n, limits.adr_quotes)[0] for n in range(len(self._quotes.limits))]
        mids_then = median(np.stack(anchors))[:, 0] if plan.adrs else np.empty(0)
        mids_then = np.where(np.isnan(plan.mids_given), mids_then, plan.mids_given)
        each = range(len(plan.references))
        moment = _Moment(
            at=at,
            stocks=stocks[:, 0],
            stocks_then=[self._us.then(n, limits.us)[0][:, 0] for n in each],
            futures=futures,
            futures_then=[self._futures.then(n, limits.futures) for n in each],
            future_age=future_age,
            mids=mids[:, 0],
            mids_then=mids_then,
            quote_age=quote_age,
        )
        time = np.datetime64(at, "ns")
        found: list[LiveSignal] = []
        for venue in plan.venues:
            if venue.reference < at <= plan.close:
                found += self._of_venue(venue, moment)
            else:
                reason = OVER if at > plan.close else EARLY
                found += [_nothing(one.adr, time, reason) for one in venue.instruments]
        found += [_nothing(adr, time, reason) for adr, reason in plan.idle]
        return sorted(found, key=lambda signal: signal.adr)

    def _of_venue(self, venue: VenueDay, moment: _Moment) -> Iterator[LiveSignal]:
        """Signals of one exchange and index."""
        plan, settings = self._plan, self.desk.settings.adr
        limits, rules = settings.max_age, settings.signal
        rows = [self._quotes.place[one.adr] for one in venue.instruments]
        future = moment.futures[venue.future].copy()
        futures_then, age_then = moment.futures_then[venue.anchor]
        future_then = futures_then[venue.future].copy()
        rate_age = moment.future_age[venue.future] + future[RATE_AGE]
        if rate_age > limits.fx:
            future[RATE] = np.nan
        if age_then[venue.future] + future_then[RATE_AGE] > limits.fx:
            future_then[RATE] = np.nan
        index = fairvalue.change(future[LOCAL], future_then[LOCAL])
        fx = fairvalue.change(future[RATE], future_then[RATE])
        adr = fairvalue.change(moment.mids[rows], moment.mids_then[rows])
        then = moment.stocks_then[venue.anchor][venue.columns]
        now = moment.stocks[venue.columns]
        there = ~np.isnan(then) & ~np.isnan(venue.stock_betas)
        priced = there & ~np.isnan(now)
        residual = fairvalue.stock_residual(now, then, venue.stock_betas, index)
        model = venue.weights[:, priced] @ residual[priced]
        coverage = share(venue.sizes @ priced, venue.total)
        coverage_then = share(venue.sizes @ there, venue.total)
        since = np.array([(moment.at - venue.reference) / SECOND])
        factor = plan.calibration.at(np.array([plan.month]), since)[0]
        added = fairvalue.in_usd(model, fx) * factor
        enough = fairvalue.covered(coverage_then, rules.min_coverage)
        enough_now = fairvalue.covered(coverage, rules.min_coverage)
        has_betas = (venue.sizes > 0.0) @ ~np.isnan(venue.stock_betas)
        uses = venue.open & venue.has_model & enough & np.isfinite(added)
        inferred = fairvalue.futures_only(venue.betas, index, fx, rules.currency_leg)
        inferred = inferred + np.where(uses, added, 0.0)
        rates = np.where(venue.of_future, future_then[RATE], venue.rates)
        premium = fairvalue.change(moment.mids_then[rows], venue.ordinaries * rates)
        ages = fairvalue.oldest(
            np.broadcast_to(moment.future_age[venue.future], len(rows)),
            np.broadcast_to(rate_age, len(rows)),
            moment.quote_age[rows],
        )
        for n, one in enumerate(venue.instruments):
            why = _why_baseline(
                venue, n, coverage_then[n], has_betas=bool(has_betas[n]), enough=bool(enough[n])
            )
            withheld = self._withheld(venue, n, moment, rows[n], future, future_then)
            if not withheld and uses[n] and not enough_now[n]:
                withheld = f"coverage {coverage[n]:.2f}"
            signal = inferred[n] - adr[n]
            yield LiveSignal(
                adr=one.adr,
                time=np.datetime64(moment.at, "ns"),
                signal=np.nan if withheld else float(signal),
                inferred=float(inferred[n]),
                adr_return=float(adr[n]),
                index_return=float(index),
                fx_return=float(fx),
                model_return=float(added[n]) if uses[n] else 0.0,
                coverage=float(coverage[n]) if venue.open[n] and venue.has_model[n] else np.nan,
                age_s=float(ages[n]),
                premium_c=float(premium[n]),
                source=MODEL if uses[n] else FUTURES,
                reason="" if uses[n] else why,
                withheld=withheld,
            )

    def _withheld(
        self, venue: VenueDay, n: int, moment: _Moment, row: int, future: Array, future_then: Array
    ) -> str:
        """Why an ADR has no value at a minute; empty when it has one."""
        limits = self.desk.settings.adr.max_age
        checks = (
            (np.isnan(moment.mids_then[row]), NO_QUOTE),
            (np.isnan(future_then[LOCAL]), NO_FUTURE),
            (np.isnan(future_then[RATE]), NO_RATE),
            (np.isnan(venue.betas[n]), NO_BETA),
            (np.isnan(future[LOCAL]), f"future older than {limits.futures} s"),
            (np.isnan(future[RATE]), f"exchange rate older than {limits.fx} s"),
            (np.isnan(moment.mids[row]), f"quote older than {limits.adr_quotes} s"),
        )
        return next((reason for holds, reason in checks if holds), "")


@dataclass(frozen=True, eq=False)
class _Moment:
    """The sources at one minute, and at the reference times."""

    at: int
    stocks: Array
    stocks_then: Sequence[Array]
    futures: Array
    futures_then: Sequence[tuple[Array, Array]]
    future_age: Array
    mids: Array
    mids_then: Array
    quote_age: Array


def minute(at: Stamp | None = None) -> np.datetime64:
    """The last whole minute at or before a time, by default now."""
    time = np.datetime64(nanoseconds(dt.datetime.now(dt.UTC) if at is None else at), "ns")
    whole: np.datetime64 = time.astype("datetime64[m]").astype("datetime64[ns]")
    return whole


def new_york_time(text: str) -> np.datetime64:
    """Read a time of New York's clock, ISO text, or one with an offset; gives UTC.

    Raises
    ------
    InputError
        The text is no time.

    Examples
    --------
    >>> str(new_york_time("2024-03-11T12:37").astype("datetime64[m]"))
    '2024-03-11T16:37'
    """
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is not a time, e.g. 2026-01-30T14:05") from None
    zoned = found if found.tzinfo else found.replace(tzinfo=ZoneInfo("America/New_York"))
    return np.datetime64(nanoseconds(zoned), "ns")


def nanoseconds(stamp: Stamp) -> int:
    """Nanoseconds since 1970 in UTC.

    Raises
    ------
    InputError
        A datetime has no time zone.
    """
    if isinstance(stamp, dt.datetime):
        if stamp.tzinfo is None:
            raise InputError(f"the time {stamp} has no time zone")
        stamp = np.datetime64(stamp.astimezone(dt.UTC).replace(tzinfo=None), "ns")
    return int(stamp.astype("datetime64[ns]").astype(np.int64))


def _why_baseline(venue: VenueDay, n: int, coverage: float, *, has_betas: bool, enough: bool) -> str:
    if not venue.open[n]:
        return GATE_CLOSED
    if not venue.has_model[n]:
        return NO_MODEL
    if coverage == 0.0:
        return NO_US if has_betas else NO_US_BETAS
    return "" if enough else LOW_COVERAGE


def _nothing(adr: str, time: np.datetime64, reason: str) -> LiveSignal:
    missing: Mapping[str, float] = dict.fromkeys(
        (
            "signal",
            "inferred",
            "adr_return",
            "index_return",
            "fx_return",
            "model_return",
            "coverage",
            "age_s",
            "premium_c",
        ),
        np.nan,
    )
    return LiveSignal(adr=adr, time=time, **missing, source="none", reason="", withheld=reason)


def _differ(a: LiveSignal, b: LiveSignal) -> bool:
    if np.isnan(a.signal) or np.isnan(b.signal):
        return bool(np.isnan(a.signal) != np.isnan(b.signal))
    return abs(a.signal - b.signal) > SAME


def _text(time: int) -> str:
    local = new_york_clock(np.array([np.datetime64(time, "ns")]))[0]
    return f"{str(local.astype('datetime64[s]')).replace('T', ' ')} (New York)"


def records(signals: Iterable[LiveSignal]) -> list[dict[str, object]]:
    """Plain types by name, times as ISO texts of New York's clock; for machines."""
    found = []
    for one in signals:
        seconds = nanoseconds(one.time) / SECOND
        local = dt.datetime.fromtimestamp(seconds, ZoneInfo("America/New_York"))
        found.append({**asdict(one), "time": local.isoformat()})
    return found


def table(signals: Iterable[LiveSignal]) -> tuple[list[str], list[list[object]]]:
    """Columns and one row for each ADR, to be printed."""
    columns = ["ADR", "Signal", "Inferred", "ADR return", "Index", "Currency", "Model", "Coverage", "Age, s"]
    columns += ["Premium at c", "Source", "Reason", "Withheld"]
    return columns, [
        [
            *(s.adr, s.signal, s.inferred, s.adr_return, s.index_return, s.fx_return, s.model_return),
            *(s.coverage, s.age_s, s.premium_c, s.source, s.reason, s.withheld),
        ]
        for s in signals
    ]
