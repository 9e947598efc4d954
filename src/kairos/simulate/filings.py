"""Company accounts of a simulated market: quarters, filings, amendments, and what was known when.

A quarter's book value is set from its market value and the planted `value`, its income from `quality`, its
debt from `leverage`; between two filings the accounts stand still while the price moves on. Amounts are USD,
flows are those of one quarter. Shares and per-share figures are on today's split basis, as the vendor
delivers them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.simulate.planted import stream

if TYPE_CHECKING:
    from kairos.simulate.listings import Bools, Floats, Ints
    from kairos.simulate.prices import Dates, Market

Accounts = dict[str, "Floats"]

DAYS = np.int64(1) << 20  # more than there are days in any calendar
PAST_QUARTERS = 12  # before the first session: 3 only feed trailing sums, the others are filed
TRAILING = 3
STOCKS = ("equity", "liabilities", "debt", "shares")
FLOWS = ("revenue", "gp", "netinc", "ncfo", "capex", "depamor", "dps")

OFF_CALENDAR = 0.15  # fiscal quarters that end a month after the calendar's
LATE = 0.03
TOGETHER = 0.01  # filed on the day of the next quarter's report
MISSING = 0.015
AMENDED = 0.03
REVISED = 0.08  # restated later, seen in the MR dimensions only
NEGATIVE_EQUITY = 0.03
LISTING_ACCOUNTS = np.timedelta64(40, "D")  # age of the oldest accounts that a newly listed company files
WEEKEND_KEPT = 0.15  # filings dated on a weekend that stay there; the others move to Monday


@dataclass(frozen=True)
class Filings:
    """Filed reports, one per row, sorted by column of the market, filing day and report period; arrays (F,).

    Attributes
    ----------
    column
        Security.
    calendardate, reportperiod, datekey
        Calendar quarter end, fiscal quarter end, day of filing.
    fiscal_year_end
        The report closes a fiscal year.
    amendment, late
        The report replaces an earlier one of the same period; it came long after the usual delay.
    session, period_session
        Last session up to datekey and up to reportperiod, −1 where the security was not listed.
    quarterly, trailing
        Accounts as filed: one quarter; flows of four quarters, balance and averages at the end of the period.
    restated, restated_trailing
        The same with later restatements, for original reports (rows of amendments are ignored).
    """

    column: Ints
    calendardate: Dates
    reportperiod: Dates
    datekey: Dates
    fiscal_year_end: Bools
    amendment: Bools
    late: Bools
    session: Ints
    period_session: Ints
    quarterly: Accounts
    trailing: Accounts
    restated: Accounts
    restated_trailing: Accounts

    def known(self, dates: Dates, column: Ints, row: Ints) -> Ints:
        """Report in force after the close of a session: the latest period and version filed by then.

        Parameters
        ----------
        dates
            (T,) sessions.
        column, row
            Securities and sessions asked for, any equal shape.

        Returns
        -------
        Row numbers of this table, −1 where nothing was filed yet.
        """
        security = self.column * DAYS  # one number orders by security, then by day
        newest = np.maximum.accumulate(security + self.reportperiod.astype(np.int64))
        in_force = newest == security + self.reportperiod.astype(np.int64)  # ties: the later filing wins
        latest = np.maximum.accumulate(np.where(in_force, np.arange(len(newest)), -1))
        asked = column * DAYS + dates.astype(np.int64)[row]
        at = np.searchsorted(security + self.datekey.astype(np.int64), asked, side="right") - 1
        found = np.where(at >= 0, latest[at], -1)
        return np.where((found >= 0) & (self.column[found] == column), found, -1)


def file_reports(simulated: Market) -> Filings:
    """Draw the accounts and filings of a market."""
    rng = stream(simulated.seed, "filings")
    listings, dates = simulated.listings, simulated.dates
    calendar = _quarter_ends(dates)
    offset = rng.random(len(listings.tickers)) < OFF_CALENDAR
    period = _month_end(calendar[:, None], offset.astype(np.int64))
    ended = np.searchsorted(dates, period.ravel(), side="right").reshape(period.shape) - 1
    at = np.clip(ended, listings.first, listings.last)
    base = _accounts(simulated, at, period, rng)
    filed, late = _filing_days(period, rng)
    original, amended, amended_on = _versions(simulated, period, filed, rng)

    corrected = dict(base)
    for name in ("netinc", "equity", "revenue"):
        corrected[name] = base[name] * np.exp(0.15 * rng.standard_normal(period.shape))
    restated = {name: np.where(amended, corrected[name], base[name]) for name in base}
    revised = rng.random(period.shape) < REVISED
    restated["netinc"] *= np.where(revised, np.exp(0.1 * rng.standard_normal(period.shape)), 1.0)

    originals, amendments = np.nonzero(original), np.nonzero(amended)
    quarter, column = np.hstack([originals, amendments])
    amendment = np.arange(len(quarter)) >= len(originals[0])
    datekey = np.where(amendment, amended_on[quarter, column], filed[quarter, column])
    order = np.lexsort((amendment, period[quarter, column], datekey, column))
    quarter, column, amendment, datekey = quarter[order], column[order], amendment[order], datekey[order]

    def rows(accounts: Accounts) -> Accounts:
        return {name: values[quarter, column] for name, values in accounts.items()}

    as_first_filed, as_corrected = rows(base), rows(corrected)
    quarterly = {name: np.where(amendment, as_corrected[name], x) for name, x in as_first_filed.items()}
    trailing = rows(_trailing(base))
    for name, values in quarterly.items():
        trailing[name] = trailing[name] + (
            values - as_first_filed[name]
        )  # an amendment shifts its year alike
    session = np.searchsorted(dates, datekey, side="right") - 1
    return Filings(
        column=column,
        calendardate=calendar[quarter],
        reportperiod=period[quarter, column],
        datekey=datekey,
        fiscal_year_end=calendar[quarter].astype("datetime64[M]").astype(np.int64) % 12 == 11,
        amendment=amendment,
        late=late[quarter, column] & ~amendment,
        session=np.where(session >= listings.first[column], session, -1),
        period_session=np.where(at == ended, at, -1)[quarter, column],
        quarterly=quarterly,
        trailing=trailing,
        restated=rows(restated),
        restated_trailing=rows(_trailing(restated)),
    )


def _versions(
    simulated: Market, period: Dates, filed: Dates, rng: np.random.Generator
) -> tuple[Bools, Bools, Dates]:
    """Which reports are filed at all, which are amended, and the days of amendment: (Q, N).

    A company files while it is listed; one that is listed from the start also filed before.
    """
    listings, dates = simulated.listings, simulated.dates
    listed, gone = dates[listings.first], dates[listings.last]
    old_enough = (filed > listed) & (period > listed - LISTING_ACCOUNTS)
    original = listings.files & (filed <= gone) & ((listings.first == 0) | old_enough)
    original &= (np.arange(len(period)) >= TRAILING)[:, None] & (rng.random(period.shape) >= MISSING)
    amended_on = filed + rng.integers(20, 91, period.shape)
    amended = original & (rng.random(period.shape) < AMENDED) & (amended_on <= gone)
    return original, amended, amended_on


def _quarter_ends(dates: Dates) -> Dates:
    """Calendar quarter ends from `PAST_QUARTERS` before the first session to the last session."""
    first, last = (int(day.astype("datetime64[M]").astype(np.int64)) // 3 for day in (dates[0], dates[-1]))
    months = 3 * np.arange(first - PAST_QUARTERS, last + 1) + 2
    return _month_end(months.astype("datetime64[M]").astype("datetime64[D]"), np.int64(0))


def _month_end(day: Dates, months_later: Any) -> Dates:
    """Last day of the month of `day`, or of a later month."""
    month = day.astype("datetime64[M]") + months_later + 1
    return np.asarray(month.astype("datetime64[D]") - 1)


def _filing_days(period: Dates, rng: np.random.Generator) -> tuple[Dates, Bools]:
    """Day of filing of each report, (Q, N), and which are late."""
    shape = period.shape
    month = period.astype("datetime64[M]").astype(np.int64) % 12  # December is 11
    year_end = (month == 11) | (month == 0)
    late: Bools = np.asarray(rng.random(shape) < LATE)
    delay = np.where(year_end, rng.integers(50, 76, shape), rng.integers(25, 46, shape))
    filed = period + delay + np.where(late, rng.integers(30, 121, shape), 0)
    filed = after_weekend(filed, WEEKEND_KEPT, rng)
    with_next = rng.random((shape[0] - 1, shape[1])) < TOGETHER
    filed[:-1] = np.where(with_next, np.maximum(filed[1:], filed[:-1]), filed[:-1])
    late[:-1] |= with_next
    return filed, late


def after_weekend(day: Dates, kept: float, rng: np.random.Generator) -> Dates:
    """Move days on a weekend to the next Monday, but for a share `kept` of them."""
    weekday = (day.astype(np.int64) + 3) % 7  # 0 is Monday
    moves = (weekday >= 5) & (rng.random(day.shape) >= kept)
    return np.asarray(day + np.where(moves, 7 - weekday, 0))


def _accounts(simulated: Market, at: Ints, period: Dates, rng: np.random.Generator) -> Accounts:
    """Accounts of every quarter and security, (Q, N): stocks at the period's end, flows of the quarter."""
    listings = simulated.listings
    columns = np.arange(at.shape[1])
    quarters = np.arange(at.shape[0])[:, None]
    z = {
        name: carried(panel)[at, columns]
        for name, panel in simulated.characteristics.items()
        if name != "reversal"
    }

    def noise(scale: float) -> Floats:
        return np.asarray(scale * rng.standard_normal(at.shape))

    def per_company(low: float, high: float) -> Floats:
        return np.asarray(rng.uniform(low, high, at.shape[1]))

    close = carried(simulated.close)
    at_start = listings.marketcap / close[listings.first, columns]
    shares = np.round(at_start * (1.0 + per_company(-0.008, 0.012)) ** (quarters - PAST_QUARTERS))
    book = shares * close[at, columns] * np.exp(-0.9 + 0.8 * z["value"] + noise(0.1))
    debt = book * np.exp(-0.7 + 0.6 * z["leverage"] + noise(0.05))
    liabilities = debt + book * per_company(0.4, 0.9)
    negative = rng.random(at.shape[1]) < NEGATIVE_EQUITY
    equity = np.where(negative, -0.2 * book, book)
    assets = equity + liabilities
    season = 1.0 + 0.1 * np.sin(np.pi / 2.0 * (quarters + rng.integers(0, 4, at.shape[1])))
    netinc = book * (0.10 + 0.07 * z["quality"] + noise(0.03)) / 4.0 * season
    revenue = assets * per_company(0.4, 1.4) / 4.0 * season * np.exp(noise(0.05))
    ncfo = netinc + assets * (0.03 + 0.03 * z["quality"] + noise(0.02)) / 4.0
    return {
        "equity": equity,
        "liabilities": liabilities,
        "debt": debt,
        "shares": shares,
        "revenue": revenue,
        "gp": revenue * per_company(0.25, 0.65),
        "netinc": netinc,
        "ncfo": ncfo,
        "capex": -assets * per_company(0.02, 0.06) / 4.0,
        "depamor": assets * per_company(0.02, 0.05) / 4.0,
        "dps": _dividends_per_share(simulated, period),
    }


def _dividends_per_share(simulated: Market, period: Dates) -> Floats:
    """Dividends with an ex-date inside each fiscal quarter, split-adjusted USD per share: (Q, N)."""
    column, row, amount = simulated.dividends
    months = period.astype("datetime64[M]").astype(np.int64)
    ex_month = simulated.dates[row].astype("datetime64[M]").astype(np.int64)
    quarter = -((months[0, column] - ex_month) // 3)
    total = np.zeros(period.shape)
    inside = quarter < len(period)
    np.add.at(total, (quarter[inside], column[inside]), amount[inside])
    return total


def _trailing(accounts: Accounts) -> Accounts:
    """Sum flows and average balances over four quarters (three rows of NaN first); keep the last balance."""

    def four(x: Floats) -> Floats:
        total = np.full_like(x, np.nan)
        total[TRAILING:] = x[:-3] + x[1:-2] + x[2:-1] + x[3:]
        return total

    found = {name: four(accounts[name]) for name in FLOWS} | {name: accounts[name] for name in STOCKS}
    found["equityavg"] = four(accounts["equity"]) / 4.0
    found["assetsavg"] = four(accounts["equity"] + accounts["liabilities"]) / 4.0
    return found


def carried(panel: Floats) -> Floats:
    """Last value up to each session, along the sessions of a panel (T, N)."""
    rows = np.where(np.isnan(panel), 0, np.arange(len(panel))[:, None])
    np.maximum.accumulate(rows, axis=0, out=rows)
    return np.asarray(np.take_along_axis(panel, rows, axis=0))
