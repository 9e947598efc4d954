"""The files of a simulated desk, in the layout that the ADR desk reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from kairos.market import sessions
from kairos.simulate.adr_desk.daily import DECIMALS
from kairos.simulate.adr_desk.minutes import FUNDS, draw_minutes
from kairos.simulate.adr_desk.planted import codes
from kairos.simulate.adr_desk.timeline import NEW_YORK, local_times
from kairos.simulate.adr_desk.venues import ABROAD, AUCTION_MINUTES, CONTRACTS, OTHER_FUTURES
from kairos.simulate.listings import SECTORS
from kairos.simulate.planted import stream
from kairos.simulate.vendor_files import write_parquet

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from kairos.simulate.adr_desk.daily import Daily, SimulatedDesk
    from kairos.simulate.adr_desk.minutes import Bars, SimulatedMinutes
    from kairos.simulate.adr_desk.timeline import Dates, Times
    from kairos.simulate.listings import Floats

RAW, PROCESSED = "data/raw", "data/processed"
BETAS = f"{PROCESSED}/models/ordinary_betas_index_only.csv"
ABROAD_DEVIATION = 0.014  # a session, of an ordinary that is out of scope


def write_metadata(root: Path, desk: SimulatedDesk) -> None:
    """ADRs, futures, closing offsets, sectors and adjustments of the US stocks."""
    _write_csv(root / f"{RAW}/adr_info.csv", _adr_info(desk))
    futures = [
        (c.future.strip(), c.future, c.symbol, c.index, c.currency) for c in CONTRACTS.values()
    ] + list(OTHER_FUTURES)
    names = ("exchange_symbol", "bloomberg_symbol", "first_rate_symbol", "index", "currency")
    _write_csv(root / f"{RAW}/futures_symbols.csv", _columns(names, futures))
    offsets = [(exchange, f"{minutes}min") for exchange, minutes in AUCTION_MINUTES.items()]
    _write_csv(root / f"{RAW}/close_time_offsets.csv", _columns(("exchange_mic", "offset"), offsets))

    stocks = desk.planted.stocks
    issuers = [
        desk.pairs[of].name if of >= 0 else f"{ticker.title()} Inc"
        for ticker, of in zip(stocks.tickers, stocks.twin_of, strict=True)
    ]
    sectors = [SECTORS[number] for number in stocks.sector]
    _write_csv(
        root / f"{RAW}/us_sectors.csv", {"ticker": stocks.tickers, "sector": sectors, "issuer": issuers}
    )
    events = desk.events.us_adjustments
    _write_csv(
        root / f"{PROCESSED}/russell1000/adjustment_factors.csv",
        {
            "ticker": [f"{stocks.tickers[column]} US Equity" for column in events.column],
            "adjustment_date": events.date.astype(str),
            "adjustment_factor": events.factor,
            "adjustment_factor_operator_type": events.operator,
            "adjustment_factor_flag": np.ones(len(events.date), dtype=np.int64),
        },
    )


def write_daily(root: Path, desk: SimulatedDesk, derived: Collection[str]) -> None:
    """Daily prices; of the derived files, those asked for."""
    ordinaries = [pair.ordinary for pair in desk.pairs]
    abroad = _abroad_closes(desk)
    for name, (days, values) in {
        "ord_PX_LAST_adjust_all": desk.ordinary_closes(),
        "ord_PX_LAST_adjust_none": desk.ordinary_closes(adjusted=False),
        "ord_PX_OPEN_adjust_none": desk.ordinary_opens(),
    }.items():
        joined = _beside((days, values), abroad)
        names = [*ordinaries, *(f"{8000 + n} {venue.suffix} Equity" for n, venue in enumerate(ABROAD))]
        write_wide(root / f"{RAW}/ordinary/{name}.csv", *joined, names)
    indices = [contract.index for contract in desk.planted.contracts]
    levels: Daily = (np.empty(0, dtype="datetime64[D]"), np.empty((0, 0)))
    for index in indices:
        days, level = desk.index_closes(index)
        levels = _beside(levels, (days, level[:, None]))
    write_wide(root / f"{RAW}/indices/indices_PX_LAST.csv", *levels, indices)
    adrs = [pair.adr for pair in desk.pairs]
    if "adr_mids" in derived:
        mids = root / f"{PROCESSED}/adrs/adr_mid_at_ord_auction_adjust_none.csv"
        write_wide(mids, *desk.adr_mids(), adrs)
    if "us_closes" in derived:
        closes = root / f"{PROCESSED}/russell1000/close_at_exchange_auction_adjusted"
        for exchange in desk.planted.exchanges:
            write_wide(closes / f"{exchange}.csv", *desk.us_closes(exchange), desk.us_tickers)
    if "betas" in derived:
        days = desk.timeline.ordinary_days
        betas = np.tile([pair.beta for pair in desk.pairs], (len(days), 1))
        write_wide(root / BETAS, days, betas, adrs)


def write_minutes(root: Path, desk: SimulatedDesk, months: Times, derived: Collection[str]) -> None:
    """Bars and quotes of some months; of currencies and futures also the minute before each instant."""
    minutes = draw_minutes(desk, months)
    rates = _write_currencies(root, minutes)
    _write_futures(root, minutes, rates, in_usd="futures_in_usd" in derived)
    if not len(months):
        return
    for column, ticker in enumerate(desk.us_tickers):
        _write_ohlcv(root / f"{RAW}/russell1000/ohlcv-1m", ticker, minutes.stock_bars(column))
    for fund in sorted({pair.venue.hedge for pair in desk.pairs} & set(FUNDS)):
        _write_ohlcv(root / f"{RAW}/etfs/ohlcv-1m", fund, minutes.fund_bars(fund))
    truth = []
    for column, pair in enumerate(desk.pairs):
        quotes = minutes.adr_quotes(column)
        stamps = pd.DatetimeIndex(quotes.stamp.astype("datetime64[us]"), tz="UTC").tz_convert(NEW_YORK)
        frame = pd.DataFrame(
            {"nbbo_bid": quotes.bid, "nbbo_ask": quotes.ask, "date": stamps.strftime("%Y-%m-%d")},
            index=stamps.rename("ts_recv"),
        )
        folder = root / f"{RAW}/adrs/bbo-1m/nbbo/ticker={pair.adr}"
        folder.mkdir(parents=True, exist_ok=True)
        write_parquet(folder / "data.parquet", pa.Table.from_pandas(frame))
        named = pa.array([pair.adr] * len(quotes.fair), pa.string())
        stamp = pa.array(quotes.stamp.astype("datetime64[us]"), pa.timestamp("us", "UTC"))
        truth.append(pa.table({"ticker": named, "ts_recv": stamp, "fair": quotes.fair}))
    write_parquet(root / "truth_fair_value.parquet", pa.concat_tables(truth).combine_chunks())


def write_wide(path: Path, days: Dates, values: Floats, names: Sequence[str]) -> None:
    """Days × names; empty = missing, floats with all their digits."""
    columns: dict[str, Any] = {"date": days.astype(str)}
    columns.update({name: values[:, column] for column, name in enumerate(names)})
    _write_csv(path, columns)


def _write_currencies(root: Path, minutes: SimulatedMinutes) -> dict[str, tuple[Times, Floats]]:
    """Write the bars of the currencies; gives their stamps and closes."""
    rates = {}
    for currency in minutes.desk.planted.currencies:
        bars = minutes.currency_bars(currency)
        label = _naive(bars.label)
        day, time = (pc.strftime(label, format=form) for form in ("%Y%m%d", "%H:%M:%S"))
        path = root / f"{RAW}/currencies/minute_bars/{currency}USD_full_1min.txt"
        _write_csv(path, {"day": day, "time": time, **_prices(bars), "volume": bars.volume}, header=False)
        rates[currency] = (bars.label, bars.close)
    return rates


def _write_futures(
    root: Path, minutes: SimulatedMinutes, rates: dict[str, tuple[Times, Floats]], *, in_usd: bool
) -> None:
    """Write the bars of the futures in index points, and if asked in USD a contract, price·multiplier·FX.

    FX is the close of the last currency bar stamped at or before the bar.
    """
    for contract in minutes.desk.planted.contracts:
        bars = minutes.future_bars(contract)
        label = pc.strftime(_naive(bars.label), format="%Y-%m-%d %H:%M:%S")
        file = f"{contract.symbol}_full_1min_continuous_ratio_adjusted.txt"
        content = {"label": label, **_prices(bars), "volume": bars.volume}
        _write_csv(root / f"{RAW}/futures/minute_bars/{file}", content, header=False)

        if not in_usd:
            continue
        stamps, closes = rates[contract.currency]
        rate = closes[np.searchsorted(stamps, bars.label, side="right") - 1]
        stamp = pa.array(bars.label.astype("datetime64[us]"), pa.timestamp("us", "UTC"))
        usd = {name: prices * contract.multiplier * rate for name, prices in _prices(bars).items()}
        table = {"timestamp": stamp.cast(pa.timestamp("us", NEW_YORK)), **usd}
        folder = root / f"{PROCESSED}/futures/converted_minute_bars/symbol={contract.symbol}"
        folder.mkdir(parents=True, exist_ok=True)
        write_parquet(
            folder / f"{contract.symbol}_close_to_usd_1min.parquet",
            pa.table({**table, "volume": bars.volume, "fx_rate": rate}),
        )


def _write_ohlcv(folder: Path, ticker: str, bars: Bars) -> None:
    """Bars of a US ticker; none, no file: the stock was gone, or not there yet."""
    if not len(bars.label):
        return
    label = _naive(bars.label)
    columns = {name.title(): prices for name, prices in _prices(bars).items()}
    date = pc.strftime(label, format="%Y-%m-%d")
    path = folder / f"ticker={ticker}" / "data.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    stamp = {"DateTime": label.cast(pa.timestamp("us"))}
    write_parquet(path, pa.table({**stamp, **columns, "Volume": bars.volume, "date": date}))


def _adr_info(desk: SimulatedDesk) -> dict[str, Any]:
    """The list of ADRs, those out of scope at its end."""
    rng = stream(desk.planted.seed, "desk list")
    shown = [
        (pair.ordinary, pair.name, pair.venue, pair.adr, pair.sh_per_adr, pair.price, pair.adr_price)
        for pair in desk.pairs
    ]
    more = codes(3, len(desk.pairs) + len(ABROAD))[len(desk.pairs) :]
    for number, (venue, symbol) in enumerate(zip(ABROAD, more, strict=True)):
        ordinary = f"{8000 + number} {venue.suffix} Equity"
        shown.append((ordinary, f"{symbol.title()} Holdings", venue, symbol, 1.0, 2500.0, 25.0))
    ordinaries, names, venues, adrs, shares, price, adr_price = zip(*shown, strict=True)
    n = len(shown)
    return {
        "id": ordinaries,
        "shares": rng.integers(1_000_000, 100_000_000, n).astype(np.float64),
        "source": ["ETF"] * n,
        "sedol": [f"B{number:06d}" for number in range(n)],
        "name": names,
        "as_of_date": [str(desk.timeline.days[0])] * n,
        "currency": [venue.currency for venue in venues],
        "country": [venue.country for venue in venues],
        "adr": [f"{adr} US Equity" for adr in adrs],
        "price_usd": np.array(price).round(DECIMALS),
        "adr_price": adr_price,
        "adr_turnover": rng.uniform(1e7, 5e8, n).round(2),
        "turnover_usd": rng.uniform(2e7, 9e8, n).round(2),
        "exchange": [venue.exchange for venue in venues],
        "adr_exchange": rng.choice(["XNYS", "XNGS"], n),
        "classification": rng.choice(SECTORS, n),
        "sh_per_adr": shares,
        "otc": ["no"] * n,
        "index_future_bbg": [venue.future for venue in venues],
        "market_etf_hedge": [venue.hedge for venue in venues],
        "region": ["EUROPE"] * len(desk.pairs) + ["ASIA"] * len(ABROAD),
    }


def _abroad_closes(desk: SimulatedDesk) -> Daily:
    """Closes of the ordinaries out of scope, each a walk of its own on its own sessions."""
    first, last = desk.timeline.days[0], desk.timeline.days[-1]
    found: Daily = (np.empty(0, dtype="datetime64[D]"), np.empty((0, 0)))
    for venue in ABROAD:
        days = sessions(first, last, venue.exchange)
        shocks = stream(desk.planted.seed, f"desk abroad {venue.exchange}").standard_normal((len(days), 1))
        walk = 2500.0 * np.exp(np.cumsum(ABROAD_DEVIATION * shocks, axis=0))
        found = _beside(found, (days, walk.round(DECIMALS)))
    return found


def _beside(left: Daily, right: Daily) -> Daily:
    """Columns of two panels on the union of their days."""
    days = np.union1d(left[0], right[0])
    joined = np.full((len(days), left[1].shape[1] + right[1].shape[1]), np.nan)
    joined[np.searchsorted(days, left[0]), : left[1].shape[1]] = left[1]
    joined[np.searchsorted(days, right[0]), left[1].shape[1] :] = right[1]
    return days, joined


def _naive(label: Times) -> pa.Array:
    """New York time without a zone."""
    return pa.array(local_times(label, NEW_YORK).astype("datetime64[s]"))


def _prices(bars: Bars) -> dict[str, Floats]:
    return {"open": bars.open, "high": bars.high, "low": bars.low, "close": bars.close}


def _columns(names: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def _write_csv(path: Path, columns: Mapping[str, Any], header: bool = True) -> None:
    """Write columns without quotes; NaN is an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = [
        values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)
        for values in columns.values()
    ]
    options = pyarrow.csv.WriteOptions(
        include_header=header, quoting_style="none", quoting_header="none", batch_size=8192
    )
    pyarrow.csv.write_csv(pa.table(arrays, names=list(columns)), path, options)
