"""Vendor tables of a simulated market, in the vendor's columns, and their files."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kairos.simulate.filings import carried
from kairos.simulate.listings import SECTORS, company_names
from kairos.simulate.owners import insider_transactions, institutional_holdings
from kairos.simulate.planted import stream
from kairos.simulate.statements import (
    INDICATORS,
    RATIOS,
    enterprise_value,
    indicators,
    operating_income,
    ratio,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from kairos.simulate.filings import Accounts, Filings
    from kairos.simulate.listings import Floats, Ints, Texts
    from kairos.simulate.prices import Market

Format = Literal["csv", "parquet", "zip"]
FORMATS: tuple[Format, ...] = ("csv", "parquet", "zip")

UNKNOWN_SECTOR = 0.02  # share of securities without a sector in TICKERS
TICKER_CHANGES = 0.01
SCALES = (
    (5e7, "1 - Nano"),
    (3e8, "2 - Micro"),
    (2e9, "3 - Small"),
    (1e10, "4 - Mid"),
    (2e11, "5 - Large"),
    (np.inf, "6 - Mega"),
)
REASON_ACTIONS = {
    "acquisition": "acquisitionby",
    "merger": "mergerfrom",
    "bankruptcy": "bankruptcyliquidation",
    "regulatory": "regulatorydelisting",
    "voluntary": "voluntarydelisting",
}
FILED = (
    *("equity", "assets", "liabilities", "debt", "shares", "revenue", "gp", "netinc", "ncfo", "capex"),
    *("depamor", "ebit", "ebitda", "fcf", "tbvps"),
)
"""Accounts of a filed quarter in `truth_filings.parquet`, then what SF1 derives from them."""
MIRRORED = {"acquisition": "acquisitionof", "merger": "mergerto"}  # the same event, seen from the survivor


def vendor_tables(simulated: Market, filings: Filings) -> Iterator[tuple[str, pa.Table]]:
    """Vendor tables by name, each built when it is asked for."""
    column, row = np.nonzero(simulated.listings.quoted)  # sorted by ticker and date
    yield "SEP", price_table(simulated, column, row)
    shares, daily = daily_table(simulated, filings, column, row)
    yield "DAILY", daily
    yield "SF1", fundamentals_table(simulated, filings)
    yield "SF2", _table(insider_transactions(simulated))
    ends = np.unique(filings.calendardate[filings.calendardate >= simulated.dates[0]])
    yield "SF3", _table(institutional_holdings(simulated, ends, shares))
    yield "ACTIONS", actions_table(simulated, shares)
    yield "TICKERS", tickers_table(simulated, filings)


def listed_rows(simulated: Market) -> dict[str, Any]:
    """Ticker, permaticker and date of every price row."""
    column, row = np.nonzero(simulated.listings.quoted)
    return {
        "ticker": _symbols(simulated, column),
        "permaticker": simulated.listings.permatickers[column],
        "date": simulated.dates[row],
    }


def characteristics_table(simulated: Market) -> pa.Table:
    """Planted characteristics of every price row: `truth_characteristics.parquet`."""
    quoted = simulated.listings.quoted
    values = {name: panel.T[quoted] for name, panel in simulated.characteristics.items()}
    return _table(listed_rows(simulated) | values)


def filings_table(simulated: Market, filings: Filings) -> pa.Table:
    """Every filed version of a report, one quarter's accounts as drawn: `truth_filings.parquet`.

    Nothing is rounded and nothing is summed over a year. Rows are sorted by security, filing day and period.
    """
    unpriced = np.full(len(filings.column), np.nan)  # what needs a price is left out
    derived = indicators(filings.quarterly, unpriced, 0.25)
    listings = simulated.listings
    return _table(
        {
            "ticker": _symbols(simulated, filings.column),
            "permaticker": listings.permatickers[filings.column],
            "datekey": filings.datekey,
            "reportperiod": filings.reportperiod,
            "calendardate": filings.calendardate,
            "amendment": filings.amendment,
            "late": filings.late,
            "fiscal_year_end": filings.fiscal_year_end,
            **{name: (filings.quarterly | derived)[name] for name in FILED},
        }
    )


def price_table(simulated: Market, column: Ints, row: Ints) -> pa.Table:
    """SEP. `lastupdated` is the date, or the last split or dividend that re-adjusted the row."""
    names = ("open", "high", "low", "close", "volume", "closeadj", "closeunadj")
    values = {name: getattr(simulated, name).T[column, row] for name in names}
    adjusted = np.full(len(simulated.tickers), -1, dtype=np.int64)
    np.maximum.at(adjusted, simulated.splits[0], simulated.splits[1])
    np.maximum.at(adjusted, simulated.dividends[0], simulated.dividends[1])
    return _table(
        {
            "ticker": _symbols(simulated, column),
            "date": simulated.dates[row],
            **values,
            "lastupdated": simulated.dates[np.maximum(row, adjusted[column])],
        }
    )


def daily_table(simulated: Market, filings: Filings, column: Ints, row: Ints) -> tuple[Floats, pa.Table]:
    """DAILY, and the shares outstanding of each security in the end.

    A row of t uses the report in force after the close of t (filed on or before t) and the close of t.
    Amounts are USD millions. Ratios are empty before the first filing and where the denominator is 0.
    """
    listings = simulated.listings
    keep = listings.files[column]
    column, row = column[keep], row[keep]
    close = simulated.close.T[column, row]
    everyone = np.arange(len(listings.tickers))
    at_listing = listings.marketcap / simulated.close[listings.first, everyone]
    known = filings.known(simulated.dates, column, row)
    filed = {
        name: np.where(known >= 0, values[known], np.nan)
        for name, values in {**filings.trailing, "newest shares": filings.quarterly["shares"]}.items()
    }
    shares = np.where(known >= 0, filed["newest shares"], np.round(at_listing)[column])
    marketcap = shares * close
    value = enterprise_value(marketcap, filed)
    ebit = operating_income(filed, 1.0)
    latest = np.round(at_listing)
    latest[column] = shares  # rows run in order of time, the last one stays
    return latest, _table(
        {
            "ticker": _symbols(simulated, column),
            "date": simulated.dates[row],
            "lastupdated": simulated.dates[row],
            "ev": (value / 1e6).round(3),
            "evebit": ratio(value, ebit).round(3),
            "evebitda": ratio(value, ebit + filed["depamor"]).round(3),
            "marketcap": (marketcap / 1e6).round(3),
            "pb": ratio(marketcap, filed["equity"]).round(3),
            "pe": ratio(marketcap, filed["netinc"]).round(3),
            "ps": ratio(marketcap, filed["revenue"]).round(3),
        }
    )


def fundamentals_table(simulated: Market, filings: Filings) -> pa.Table:
    """SF1: as reported (ARQ, ART, ARY: datekey is the filing day), restated (MRQ, MRT, MRY: reportperiod)."""
    original = ~filings.amendment
    year = filings.fiscal_year_end
    views = [
        ("ARQ", filings.quarterly, 0.25, np.ones_like(year), filings.datekey, filings.session),
        ("ART", filings.trailing, 1.0, np.ones_like(year), filings.datekey, filings.session),
        ("ARY", filings.trailing, 1.0, year, filings.datekey, filings.session),
        ("MRQ", filings.restated, 0.25, original, filings.reportperiod, filings.period_session),
        ("MRT", filings.restated_trailing, 1.0, original, filings.reportperiod, filings.period_session),
        (
            "MRY",
            filings.restated_trailing,
            1.0,
            original & year,
            filings.reportperiod,
            filings.period_session,
        ),
    ]
    tables = []
    prices = carried(simulated.close)
    for dimension, accounts, years, keep, datekey, session in views:
        column = filings.column[keep]
        at = session[keep]
        price = np.where(at >= 0, prices[at, column], np.nan)
        values = indicators({name: x[keep] for name, x in accounts.items()}, price, years)
        tables.append(
            _table(
                {
                    "ticker": _symbols(simulated, column),
                    "dimension": np.full(len(column), dimension),
                    "calendardate": filings.calendardate[keep],
                    "datekey": datekey[keep],
                    "reportperiod": filings.reportperiod[keep],
                    "lastupdated": filings.datekey[keep],
                    **{name: _rounded(name, values) for name in INDICATORS},
                }
            )
        )
    return pa.concat_tables(tables)


def actions_table(simulated: Market, shares: Floats) -> pa.Table:
    """ACTIONS in the vendor's words, sorted by date, action and ticker.

    A security that left for an unknown reason has no row at all. In `mergerto` and `acquisitionof` the
    ticker is the survivor; in `mergerfrom` and `acquisitionby` it is the company that went.
    """
    listings = simulated.listings
    rng = stream(simulated.seed, "acquirers")
    last_close = simulated.close[listings.last, np.arange(len(listings.tickers))]
    final_cap = (shares * last_close / 1e6).round(3)
    rows: list[
        tuple[str, Ints, Ints, Floats | None, Texts | None]
    ] = []  # action, column, session, value, contra

    new = np.flatnonzero(listings.first > 0)
    rows.append(("listed", new, listings.first[new], (listings.marketcap[new] / 1e6).round(3), None))
    survivors = np.flatnonzero((listings.reason == "") & (listings.first == 0) & listings.files)
    for reason, action in REASON_ACTIONS.items():
        gone = np.flatnonzero(listings.reason == reason)
        session, value = listings.last[gone], final_cap[gone]
        rows.append(("delisted", gone, session, value, None))
        if reason in MIRRORED and len(survivors):
            other = rng.choice(survivors, len(gone))
            rows.append((action, gone, session, value, listings.tickers[other]))
            rows.append((MIRRORED[reason], other, session, value, listings.tickers[gone]))
        else:
            rows.append((action, gone, session, value, None))
    rows.append(("split", *simulated.splits, None))
    rows.append(("dividend", *simulated.dividends, None))
    changed, session, former = ticker_changes(simulated)
    rows.append(("tickerchangefrom", changed, session, None, former))
    rows.append(("tickerchangeto", changed, session, None, listings.tickers[changed]))

    column = np.concatenate([row[1] for row in rows])
    actions = np.repeat([row[0] for row in rows], [len(row[1]) for row in rows])
    ticker = listings.tickers[column]
    contra = np.concatenate([np.full(len(row[1]), "") if row[4] is None else row[4] for row in rows])
    table = _table(
        {
            "date": simulated.dates[np.concatenate([row[2] for row in rows])],
            "action": actions,
            "ticker": ticker,
            "name": company_names(ticker),
            "value": np.concatenate(
                [np.full(len(row[1]), np.nan) if row[3] is None else row[3] for row in rows]
            ),
            "contraticker": contra,
            "contraname": np.where(contra == "", "", company_names(contra)),
        }
    )
    return table.sort_by([(name, "ascending") for name in ("date", "action", "ticker", "contraticker")])


def ticker_changes(simulated: Market) -> tuple[Ints, Ints, Texts]:
    """Columns, sessions and former symbols of renamed securities; all tables use the newest symbol."""
    listings = simulated.listings
    rng = stream(simulated.seed, "ticker changes")
    who = np.flatnonzero((rng.random(len(listings.tickers)) < TICKER_CHANGES) & (listings.reason == ""))
    when = rng.integers(listings.first[who], listings.last[who] + 1)
    return who, when, np.char.add("Z", listings.tickers[who])


def tickers_table(simulated: Market, filings: Filings) -> pa.Table:
    """TICKERS: a row per security and table that has it; of a reused symbol, the present owner only."""
    listings, dates = simulated.listings, simulated.dates
    n = len(listings.tickers)
    present = np.append(listings.tickers[1:] != listings.tickers[:-1], True)
    filer = np.isin(np.arange(n), filings.column)
    parts = {"SEP": present, "SF1": present & filer, "SF2": present & filer, "SF3": present & listings.files}
    who = np.concatenate([np.flatnonzero(mask) for mask in parts.values()])
    unknown = stream(simulated.seed, "unknown sectors").random(n) < UNKNOWN_SECTOR
    sector = np.where(unknown, "", np.array(SECTORS)[listings.sector])
    initial_close = simulated.close[listings.first, np.arange(n)]
    largest = np.nanmax(simulated.close, axis=0) / initial_close * listings.marketcap
    limits, scales = (np.array(x) for x in zip(*SCALES, strict=True))
    scale = scales[np.searchsorted(limits, largest, side="right")]
    changed, _, former = ticker_changes(simulated)
    related = np.full(n, "", dtype=former.dtype)
    related[changed] = former
    day = np.full(n, np.datetime64("NaT", "D"))
    first_quarter, last_quarter = day.copy(), day.copy()
    np.fmin.at(first_quarter, filings.column, filings.calendardate)
    np.fmax.at(last_quarter, filings.column, filings.calendardate)
    of_security: dict[str, Any] = {
        "permaticker": listings.permatickers,
        "ticker": listings.tickers,
        "name": company_names(listings.tickers),
        "exchange": np.where(listings.category == "ETF", "NYSEARCA", listings.exchange),
        "isdelisted": np.where(listings.reason == "", "N", "Y"),
        "category": listings.category,
        "cusips": np.char.add(listings.permatickers.astype(np.str_), "100"),
        "siccode": 1000 + 700 * listings.sector,
        "sicsector": sector,
        "sicindustry": sector,
        "famasector": np.full(n, ""),
        "famaindustry": sector,
        "sector": sector,
        "industry": np.where(sector == "", "", np.char.add(sector, " - General")),
        "scalemarketcap": scale,
        "scalerevenue": scale,
        "relatedtickers": related,
        "currency": np.full(n, "USD"),
        "location": np.where(
            np.char.startswith(listings.category, "ADR"), "United Kingdom", "Delaware; U.S.A"
        ),
        "lastupdated": np.full(n, dates[-1]),
        "firstadded": dates[listings.first],
        "firstpricedate": dates[listings.first],
        "lastpricedate": dates[listings.last],
        "firstquarter": first_quarter,
        "lastquarter": last_quarter,
        "secfilings": np.full(n, ""),
        "companysite": np.full(n, ""),
    }
    table = np.repeat(list(parts), [int(mask.sum()) for mask in parts.values()])
    return _table({"table": table, **{name: values[who] for name, values in of_security.items()}})


def _rounded(name: str, values: Accounts) -> Floats | pa.Array:
    """Ratios and per-share figures to six decimals, amounts to whole dollars."""
    if name in RATIOS:
        return values[name].round(6)
    return pa.array(values[name].round(), from_pandas=True).cast(pa.int64())


def _symbols(simulated: Market, column: Ints) -> pa.DictionaryArray:
    """Symbols of rows, stored once each."""
    symbols, code = np.unique(simulated.tickers, return_inverse=True)
    return pa.DictionaryArray.from_arrays(code[column].astype(np.int32), pa.array(symbols.astype(object)))


def _table(columns: Mapping[str, Any]) -> pa.Table:
    """Arrow table in which NaN, NaT and empty text are missing."""
    arrays = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray) and values.dtype.kind == "U":
            text = pa.array(values.astype(object))
            arrays[name] = pc.if_else(pc.equal(text, ""), None, text)
        elif isinstance(values, np.ndarray):
            arrays[name] = pa.array(values, from_pandas=True)
        else:
            arrays[name] = values
    return pa.table(arrays)


def write_table(folder: Path, name: str, table: pa.Table, form: Format) -> None:
    """Write SHARADAR_<name> as the vendor delivers it: a CSV file, a zip with one CSV inside, or Parquet."""
    if form == "parquet":
        write_parquet(folder / f"SHARADAR_{name}.parquet", table)
        return
    csv = folder / f"SHARADAR_{name}.csv"
    with duckdb.connect() as connection:
        connection.register("rows", table)
        connection.execute(
            "COPY (FROM rows) TO $path (FORMAT csv, HEADER, DELIMITER ',')", {"path": str(csv)}
        )
    if form == "zip":
        with csv.open("rb") as content:
            mark = hashlib.file_digest(content, "md5").hexdigest()
        inside = zipfile.ZipInfo(f"SHARADAR_{name}_2_{mark}.csv")  # dated 1980: the same bytes every time
        inside.compress_type = zipfile.ZIP_DEFLATED
        with (
            zipfile.ZipFile(folder / f"SHARADAR_{name}.zip", "w") as archive,
            archive.open(inside, "w", force_zip64=True) as member,
            csv.open("rb") as content,
        ):
            shutil.copyfileobj(content, member, 1 << 20)
        csv.unlink()


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a Parquet file. Snappy, because zstd's bytes can depend on what the process did before."""
    pq.write_table(table, path, compression="snappy")
