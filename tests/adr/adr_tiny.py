"""Small data directories of the ADR desk, written from frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from kairos.adr.desk import Desk
from kairos.settings import load

OFFSETS = {"XLON": "6min", "XPAR": "6min", "XAMS": "6min", "XCSE": "0min", "XOSL": "5min", "XSTO": "0min"}
FUTURES = """exchange_symbol,bloomberg_symbol,first_rate_symbol,index,currency
Z,Z ,FTUK,UKX,GBP
FESX,VG,FESX,SX5E,EUR
FXXP,SXO,FXXP,SXXP,EUR
"""


@dataclass(frozen=True)
class Line:
    """A row of the list of ADRs."""

    adr: str
    ordinary: str
    exchange: str
    currency: str
    future: str
    name: str = ""


BP = Line("BP", "BP/ LN Equity", "XLON", "GBp", "Z ", "BP PLC")
SAN = Line("SNY", "SAN FP Equity", "XPAR", "EUR", "VG", "Sanofi SA")
NOVO = Line("NVO", "NOVOB DC Equity", "XCSE", "DKK", "SXO", "Novo Nordisk A/S")


@dataclass(frozen=True)
class Tiny:
    """Frames by date; minutes by UTC instant, as known (bars are labelled a minute earlier)."""

    lines: tuple[Line, ...]
    ordinaries: pd.DataFrame
    indices: pd.DataFrame
    us: dict[str, pd.DataFrame]
    betas: pd.DataFrame | None = None
    fx: dict[str, pd.Series] = field(default_factory=dict)
    futures: dict[str, pd.Series] = field(default_factory=dict)
    sectors: str = ""

    def until(self, day: str) -> Tiny:
        """The same without anything after a day."""
        night = pd.Timestamp(day, tz="UTC") + pd.Timedelta(days=1)
        return replace(
            self,
            ordinaries=self.ordinaries[:day],
            indices=self.indices[:day],
            us={exchange: prices[:day] for exchange, prices in self.us.items()},
            betas=None if self.betas is None else self.betas[:day],
            fx={key: minutes[minutes.index < night] for key, minutes in self.fx.items()},
            futures={key: minutes[minutes.index < night] for key, minutes in self.futures.items()},
        )

    def since(self, day: str) -> Tiny:
        """The same without anything before a day, minutes apart."""
        return replace(
            self,
            ordinaries=self.ordinaries[day:],
            indices=self.indices[day:],
            us={exchange: prices[day:] for exchange, prices in self.us.items()},
        )

    def desk(self, root: Path, *overrides: str, force: bool = False) -> Desk:
        """Write the files and open the desk, by default over all dates."""
        raw, processed = root / "data/raw", root / "data/processed"
        for folder in ("ordinary", "indices", "currencies/minute_bars"):
            (raw / folder).mkdir(parents=True, exist_ok=True)
        closes = processed / "russell1000/close_at_exchange_auction_adjusted"
        closes.mkdir(parents=True, exist_ok=True)
        (processed / "models").mkdir(exist_ok=True)
        info = pd.DataFrame(
            {
                "id": one.ordinary,
                "adr": f"{one.adr} US Equity",
                "name": one.name,
                "exchange": one.exchange,
                "currency": one.currency,
                "sh_per_adr": 1.0,
                "index_future_bbg": one.future,
                "market_etf_hedge": "EWU",
            }
            for one in self.lines
        )
        info.to_csv(raw / "adr_info.csv", index=False)
        (raw / "futures_symbols.csv").write_text(FUTURES)
        offsets = "".join(f"{exchange},{offset}\n" for exchange, offset in OFFSETS.items())
        (raw / "close_time_offsets.csv").write_text("exchange_mic,offset\n" + offsets)
        wide(self.ordinaries, raw / "ordinary/ord_PX_LAST_adjust_all.csv")
        wide(self.indices, raw / "indices/indices_PX_LAST.csv")
        for exchange, prices in self.us.items():
            wide(prices, closes / f"{exchange}.csv")
        if self.betas is not None:
            wide(self.betas, processed / "models/ordinary_betas_index_only.csv")
        if self.sectors:
            (raw / "us_sectors.csv").write_text(self.sectors)
        for currency, minutes in self.fx.items():
            bars(minutes, raw / f"currencies/minute_bars/{currency}USD_full_1min.txt")
        for symbol, minutes in self.futures.items():
            folder = processed / f"futures/converted_minute_bars/symbol={symbol}"
            folder.mkdir(parents=True, exist_ok=True)
            stamps = (minutes.index - pd.Timedelta(minutes=1)).tz_convert("America/New_York")
            fx = 1.1 + 0.001 * minutes.index.day_of_year.to_numpy()
            prices = dict.fromkeys(("open", "high", "low", "close"), minutes.to_numpy() * fx)
            frame = pd.DataFrame({"timestamp": stamps, **prices, "volume": 1, "fx_rate": fx})
            frame.to_parquet(folder / f"{symbol}.parquet", index=False)
        return Desk(root, load(overrides=["adr.start=", "adr.end=", *overrides]), force)


def wide(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index_label="date", date_format="%Y-%m-%d")


def bars(minutes: pd.Series, path: Path) -> None:
    """Minute rates as the vendor's text: New York's clock, labelled by the start of the minute."""
    local = (minutes.index - pd.Timedelta(minutes=1)).tz_convert("America/New_York")
    rows = [
        f"{stamp:%Y%m%d},{stamp:%H:%M:%S},{price!r},{price!r},{price!r},{price!r},0"
        for stamp, price in zip(local, minutes.tolist(), strict=True)
    ]
    path.write_text("\n".join(rows) + "\n")


def at(days: Iterable[pd.Timestamp], clock: str, zone: str) -> pd.DatetimeIndex:
    """UTC instants of one local time on each day."""
    stamps = pd.DatetimeIndex([pd.Timestamp(f"{day:%Y-%m-%d} {clock}", tz=zone) for day in days])
    return stamps.tz_convert("UTC")


def walk(
    rng: np.random.Generator, days: pd.DatetimeIndex, names: list[str], vol: float = 0.01
) -> pd.DataFrame:
    """Prices with random returns, rounded as vendors do."""
    steps = rng.normal(0.0, vol, (len(days), len(names)))
    return pd.DataFrame(np.round(100 * np.exp(np.cumsum(steps, axis=0)), 4), index=days, columns=names)
