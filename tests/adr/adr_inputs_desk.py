"""A small data directory written by hand, file by file."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kairos.adr.desk import (
    ADR_INFO,
    CLOSE_OFFSETS,
    FUTURES,
    FUTURES_SYMBOLS,
    FX_MINUTES,
    INDEX_CLOSES,
    ORDINARY_CLOSES,
    US_FACTORS,
    US_MINUTES,
    Desk,
)
from kairos.settings import load

FILES = {
    ADR_INFO: (
        "id,name,currency,adr,exchange,sh_per_adr,index_future_bbg,market_etf_hedge\n"
        "BP/ LN Equity,BP PLC,GBp,BP US Equity,XLON,6.0,Z ,EWU\n"
        "SAP GR Equity,SAP SE,EUR,SAP US Equity,XETR,1.0,VG,FEZ\n"
        "NOVOB DC Equity,Novo Nordisk A/S,DKK,NVO US Equity,XCSE,1.0, SXO,FEZ\n"
        "6758 JP Equity,Sony,JPY,SONY US Equity,XTKS,1.0,NH,EWJ\n"
        "UNA NA Equity,,EUR,,XAMS,1.0,VG,FEZ\n"
    ),
    FUTURES_SYMBOLS: (
        "exchange_symbol,bloomberg_symbol,first_rate_symbol,index,currency\n"
        "Z,Z ,FTUK,UKX,GBP\n"
        "FESX,VG,FESX,SX5E,EUR\n"
        "FXXP,SXO,FXXP,SXXP,EUR\n"
        "HSI,HI,HSIMME,HSI,HKD"  # as in a real copy: the last symbol is corrupt, and nobody in scope needs it
    ),
    CLOSE_OFFSETS: "exchange_mic,offset\nXLON,6min\nXETR,6min\nXCSE,0min\n",
    ORDINARY_CLOSES: (
        "date,BP/ LN Equity ,SAP GR Equity,NOVOB DC Equity\n"
        "2024-03-07,470.5,170,850\n"
        "2024-03-08,,171.5,#N/A N/A\n"
        "2024-03-11,475.25,172,860.5\n"
    ),
    INDEX_CLOSES: "date,UKX,SX5E,SXXP\n2024-03-07,7700,4970,500\n2024-03-11,7650,4930,501\n",
    US_FACTORS: (
        "ticker,adjustment_date,adjustment_factor,adjustment_factor_operator_type,adjustment_factor_flag\n"
    ),
}


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def make_desk(root: Path, *overrides: str, force: bool = False) -> Desk:
    """The small directory, with settings; files that are there already stay as they are."""
    for name, text in FILES.items():
        if not (root / name).exists():
            write(root, name, text)
    settings = load(overrides=["adr.start=2024-01-02", "adr.end=2024-12-31", *overrides])
    return Desk(root, settings, force=force)


def write_us_bars(
    root: Path, ticker: str, bars: dict[str, float], *, kind: pa.DataType | None = None
) -> None:
    """Minute bars of a US ticker by naive New York time."""
    stamps = [dt.datetime.fromisoformat(stamp) for stamp in bars]
    table = pa.table({
        "DateTime": pa.array(stamps, kind or pa.timestamp("us")),
        "Close": np.array(list(bars.values()), dtype=np.float64),
        "Volume": pa.array([1] * len(bars), pa.int64()),
    })  # fmt: skip
    path = root / US_MINUTES / f"ticker={ticker}" / "data.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def write_future(
    root: Path, symbol: str, bars: dict[str, tuple], *, file: str = "bars", zone="America/New_York"
):
    """Converted minute bars by UTC time: USD per contract and the rate."""
    stamps = [dt.datetime.fromisoformat(stamp).replace(tzinfo=dt.UTC) for stamp in bars]
    if zone is None:
        stamps = [stamp.replace(tzinfo=None) for stamp in stamps]
    table = pa.table({
        "timestamp": pa.array(stamps, pa.timestamp("ns", zone)),
        "close": pa.array([close for close, _ in bars.values()], pa.float64()),
        "fx_rate": pa.array([rate for _, rate in bars.values()], pa.float64()),
    })  # fmt: skip
    path = root / FUTURES / f"symbol={symbol}" / f"{file}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def write_fx(root: Path, currency: str, bars: dict[str, object]) -> None:
    """Minute rates by naive New York time."""
    rows = [f"{stamp[:10].replace('-', '')},{stamp[11:]}:00,9,9,9,{rate},0\n" for stamp, rate in bars.items()]
    write(root, f"{FX_MINUTES}/{currency}USD_full_1min.txt", "".join(rows))
