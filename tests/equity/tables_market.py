"""Markets as the vendor's files, and the stores that are built from them."""

import csv
import datetime as dt
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import tables_oracle as oracle

from kairos.equity.build import BuildReport, build
from kairos.equity.context import Context, open_store
from kairos.equity.ingest import ingest
from kairos.settings import Settings, load
from kairos.store import Store

MEMORY = ["run.memory_limit=1GB"]


@dataclass
class Built:
    """A market, the store that was built from it, and what the definitions say about it."""

    folder: Path
    db: Path
    settings: Settings
    report: BuildReport

    @property
    def vendor(self):
        return oracle.read_vendor(self.folder)

    def snapshot(self):
        return open_store(self.db, self.settings).snapshot()

    def context(self, namespace="main", settings=None):
        return Context(self.snapshot(), settings or self.settings, namespace)

    def read(self, table, namespace="main"):
        """The stored rows as a frame, in stored order; NULL is NaN, dates are `datetime.date`."""
        rows = self.snapshot().read(table, namespace=namespace)
        frame = pd.DataFrame({n: rows[n].to_pylist() for n in rows.column_names})
        for name in frame.columns:
            if pa.types.is_floating(rows[name].type):
                frame[name] = frame[name].astype(float)
        return frame

    def build(self, *tables, overrides=(), **options):
        settings = load(overrides=[*MEMORY, *overrides])
        return build(self.db, tables, settings=settings, **options)


class Market:
    """Vendor files of a market of business days, written by hand."""

    def __init__(self, folder, sessions):
        self.folder = folder
        self.days = [dt.date(2020, 1, 1)]
        while len(self.days) < sessions:
            day = self.days[-1] + dt.timedelta(days=1)
            while day.weekday() > 4:
                day += dt.timedelta(days=1)
            self.days.append(day)
        self.sep, self.tickers, self.daily, self.actions = [], [], [], []

    def add(
        self, ticker, close, *, split=(), volume=200_000.0, marketcap=1_000.0, flat=(), blank=(), **about
    ):
        """Prices of a ticker over all sessions (NaN: no row).

        `split` are (session, ratio) pairs; on `flat` sessions open, high and low are the close, on `blank`
        ones they and the volume are empty.
        """
        close = np.broadcast_to(np.asarray(close, float), len(self.days))
        factor = np.ones(len(close))
        for session, ratio in split:
            factor[:session] *= ratio
        volume = np.broadcast_to(volume, len(close))
        marketcap = np.broadcast_to(np.asarray(marketcap, float), len(close))
        rows = np.flatnonzero(np.isfinite(close))
        for t in rows:
            c = close[t]
            wave = 1 + 0.01 * ((7 * t) % 5) / 5
            bar = [round(c * (2 - wave), 6), round(c * wave, 6), round(c * (2 - wave) * 0.99, 6)]
            bar = [c] * 3 if t in flat else [""] * 3 if t in blank else bar
            traded = "" if t in blank else volume[t]
            self.sep.append([
                ticker, self.days[t], *bar, c, traded, round(c * 0.9, 6), c * factor[t], self.days[-1],
            ])  # fmt: skip
            if np.isfinite(marketcap[t]):
                self.daily.append([ticker, self.days[t], marketcap[t]])
        row = {
            "table": "SEP",
            "ticker": ticker,
            "exchange": "NYSE",
            "isdelisted": "N",
            "category": "Domestic Common Stock",
            "name": f"{ticker} CORP",
            "sector": "Energy",
            "scalemarketcap": "4 - Mid",
            "firstpricedate": self.days[rows[0]],
            "lastpricedate": self.days[rows[-1]],
        }
        self.tickers.append({**row, **about})

    def act(self, ticker, session, *words):
        day = session if isinstance(session, dt.date) else self.days[session]
        self.actions += [[day, word, ticker, "", ""] for word in words]

    def write(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        prices = "ticker,date,open,high,low,close,volume,closeadj,closeunadj,lastupdated"
        self._csv("SEP", prices, self.sep)
        self._csv("TICKERS", ",".join(self.tickers[0]), [list(row.values()) for row in self.tickers])
        if self.daily:
            self._csv("DAILY", "ticker,date,marketcap", self.daily)
        if self.actions:
            self._csv("ACTIONS", "date,action,ticker,value,contraticker", self.actions)
        return self.folder

    def _csv(self, name, header, rows):
        with (self.folder / f"SHARADAR_{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header.split(","), *rows])

    def build(self, *tables, overrides=(), **options):
        return built(self.write(), tables, overrides, **options)


def built(folder, tables=(), overrides=(), **options):
    """Load a folder of vendor files and build the tables."""
    settings = load(overrides=[*MEMORY, *overrides])
    db = folder.parent / "store" / "kairos.duckdb"
    ingest([folder], db, settings=settings)
    return Built(folder, db, settings, build(db, tables, settings=settings, **options))


def copied(market, folder):
    """The same store in another place, to be changed."""
    db = shutil.copytree(market.db.parent, folder / "store") / market.db.name
    Store(db).relocate()
    return replace(market, db=db)


def walk(market, seed, level=50.0, step=0.02):
    """A random walk of closes over all sessions, to the cent."""
    rng = np.random.default_rng(seed)
    return np.round(level * np.exp(np.cumsum(rng.normal(0, step, len(market.days)))), 2)


def without(prices, *spans):
    """Closes with the sessions lo..hi-1 of each span taken out."""
    out = prices.copy()
    for lo, hi in spans:
        out[lo:hi] = np.nan
    return out
