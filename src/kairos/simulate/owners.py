"""Who buys and holds: insiders (Form 4) and institutions (Form 13F) of a simulated market."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.simulate.filings import after_weekend, carried
from kairos.simulate.listings import company_names
from kairos.simulate.planted import INSIDER, stream

if TYPE_CHECKING:
    from kairos.simulate.listings import Floats, Ints
    from kairos.simulate.prices import Market

# Chance a session that an insider buys or sells, at z = 0; a z of 1 multiplies it by e^±TILT.
PURCHASES, SALES, TILT = 0.012, 0.016, 1.0
OTHERS = 0.006  # grants, exercises, tax withholding
OTHER_CODES = ("A", "M", "F")
INSIDERS = 8  # per company
LATE_FORM = 0.03
WEEKEND_FORM = 0.01

INVESTORS = 60
LONGEST_DELAY = 45  # days from quarter end to a 13F report
OTHER_KINDS = ("PUT", "CLL", "DBT")
BESIDE_SHARES = 0.04  # share of holdings with options or debt on the same company


def insider_transactions(simulated: Market) -> dict[str, Any]:
    """Columns of SF2, sorted by ticker, filing day, owner and row number.

    The higher the planted `insider` after the close of the session *before* the transaction, the likelier a
    purchase (P) and the less likely a sale (S). Forms are filed one to three days later, some late, a few on
    a weekend.
    """
    rng = stream(simulated.seed, "insider transactions")
    listings, dates = simulated.listings, simulated.dates
    z = carried(simulated.characteristics[INSIDER.name]).T
    shape = (z.shape[0], z.shape[1] - 1)
    possible = listings.traded[:, 1:] & listings.quoted[:, :-1] & listings.files[:, None]
    tilt = np.exp(TILT * np.clip(np.where(possible, z[:, :-1], 0.0), -2.5, 2.5))
    dice = rng.random(shape)
    buys, sells = PURCHASES * tilt, SALES / tilt
    column, row = np.nonzero(possible & (dice < buys + sells + OTHERS))
    dice, buys, sells = dice[column, row], buys[column, row], sells[column, row]
    row = row + 1
    code = np.where(dice < buys, "P", np.where(dice < buys + sells, "S", ""))
    other = code == ""
    code[other] = rng.choice(OTHER_CODES, other.sum())
    count = len(column)

    transaction = dates[row]
    delay = rng.integers(1, 4, count) + np.where(rng.random(count) < LATE_FORM, rng.integers(5, 60, count), 0)
    filed = after_weekend(transaction + delay, WEEKEND_FORM, rng)

    in_time = np.flatnonzero(filed <= dates[listings.last[column]])  # later forms are not delivered
    column, row, code = column[in_time], row[in_time], code[in_time]
    transaction, filed = transaction[in_time], filed[in_time]
    count = len(column)

    owner = rng.integers(0, INSIDERS, count)
    traded_at = simulated.closeunadj[row, column]
    scale = np.clip(listings.marketcap[column] / 1e9, 0.1, 10.0) ** 0.3
    dollars = scale * np.exp(rng.normal(np.log(60_000.0), 1.2, count))
    shares = np.maximum(np.round(dollars / traded_at), 1.0)
    price = np.where(code == "A", 0.0, traded_at.round(2))
    signed = np.where(np.isin(code, ("S", "F")), -shares, shares)
    before = np.round(shares * rng.uniform(1.5, 20.0, count))

    symbols = listings.tickers[column]
    order = np.lexsort((transaction, owner, filed, symbols))
    columns = {
        "ticker": symbols,
        "filingdate": filed,
        "formtype": np.full(count, "4"),
        "issuername": company_names(symbols),
        "ownername": np.char.add(
            np.char.add("INSIDER ", (owner + 1).astype(np.str_)), np.char.add(" OF ", symbols)
        ),
        "officertitle": np.select([owner == 0, owner == 1], ["Chief Executive Officer", "CFO"], ""),
        "isdirector": np.where((owner == 0) | (owner > 3), "Y", "N"),
        "isofficer": np.where(owner <= 3, "Y", "N"),
        "istenpercentowner": np.where(owner == INSIDERS - 1, "Y", "N"),
        "transactiondate": transaction,
        "securityadcode": np.where(signed > 0, "NA", "ND"),
        "transactioncode": code,
        "sharesownedbeforetransaction": before,
        "transactionshares": signed,
        "sharesownedfollowingtransaction": before + signed,
        "transactionpricepershare": price,
        "transactionvalue": np.round(shares * price),
        "securitytitle": np.full(count, "Common Stock"),
        "directorindirect": np.where(owner > 5, "I", "D"),
        "natureofownership": np.where(owner > 5, "By Trust", ""),
        "dateexercisable": np.full(count, np.datetime64("NaT", "D")),
        "priceexercisable": np.full(count, np.nan),
        "expirationdate": np.full(count, np.datetime64("NaT", "D")),
    }
    rownum = _count_within(column[order], filed[order].astype(np.int64), owner[order])
    return {name: values[order] for name, values in columns.items()} | {"rownum": rownum}


def _count_within(*keys: Ints) -> Ints:
    """Number of each row among the neighbouring rows with the same keys, from 1."""
    sorted_keys = np.stack(keys)
    starts = np.append(True, (sorted_keys[:, 1:] != sorted_keys[:, :-1]).any(axis=0))[: sorted_keys.shape[1]]
    position = np.arange(sorted_keys.shape[1])
    return np.asarray(position - np.maximum.accumulate(np.where(starts, position, 0)) + 1)


def institutional_holdings(simulated: Market, quarter_ends: Any, shares: Floats) -> dict[str, Any]:
    """Columns of SF3, sorted by ticker, calendar date, investor and kind of security.

    Each investor reports 20 to 45 days after the quarter's end; only reports filed by the last session are
    there, so that the newest quarter can be partial. Units are as reported, before later splits; value =
    units·closeunadj at the quarter's last session.

    Parameters
    ----------
    quarter_ends
        Calendar quarter ends to report on.
    shares
        (N,) split-adjusted shares outstanding.
    """
    rng = stream(simulated.seed, "institutional holdings")
    listings, dates = simulated.listings, simulated.dates
    n = len(listings.tickers)
    liking = np.clip(0.15 + 0.12 * (np.log10(listings.marketcap) - 8.5), 0.03, 0.5)
    holds = rng.random((n, INVESTORS)) < liking[:, None]
    column, investor = np.nonzero(holds & listings.files[:, None])
    weight = np.exp(rng.normal(np.log(0.004), 1.0, len(column)))
    drift = np.cumsum(0.12 * rng.standard_normal((len(quarter_ends), len(column))), axis=0)
    on_time = (
        quarter_ends[:, None] + rng.integers(20, LONGEST_DELAY + 1, (len(quarter_ends), INVESTORS))
        <= dates[-1]
    )

    row = np.searchsorted(dates, quarter_ends, side="right") - 1
    begun = (row[:, None] >= listings.first[column]) & (row[:, None] <= listings.last[column])
    reported = begun & on_time[:, investor] & (rng.random(begun.shape) > 0.05)
    quarter, holding = np.nonzero(reported)
    security, session = column[holding], row[quarter]
    factor = carried(simulated.split_factor)[session, security]
    price = carried(simulated.closeunadj)[session, security]
    stake = np.minimum(weight[holding] * np.exp(drift[quarter, holding]), 0.05)
    units = np.maximum(np.round(shares[security] * stake / factor), 1.0)

    reports = {
        "ticker": listings.tickers[security],
        "investorname": np.char.mod("INVESTOR %02d CAPITAL, LLC", investor[holding] + 1),
        "securitytype": np.full(len(units), "SHR"),
        "calendardate": quarter_ends[quarter],
        "units": units,
    }
    extra = np.flatnonzero(rng.random(len(units)) < BESIDE_SHARES)
    beside = {name: values[extra] for name, values in reports.items()}
    beside["securitytype"] = rng.choice(OTHER_KINDS, len(extra))
    beside["units"] = np.maximum(np.round(0.2 * units[extra]), 1.0)
    both = {name: np.concatenate([values, beside[name]]) for name, values in reports.items()}
    both["value"] = np.round(both["units"] * np.concatenate([price, price[extra]]))
    both["price"] = np.round(both["value"] / both["units"], 2)
    order = np.lexsort([both[name] for name in ("securitytype", "investorname", "calendardate", "ticker")])
    names = ("ticker", "investorname", "securitytype", "calendardate", "value", "units", "price")
    return {name: both[name][order] for name in names}
