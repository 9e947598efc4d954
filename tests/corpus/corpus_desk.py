"""Small valid sets of files of both desks, commands run on them, and what they leave behind."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kairos.adr.desk import MODELS
from kairos.adr.modelfile import ModelFile
from kairos.cli import main
from kairos.simulate.adr import simulate_desk

TICKERS = tuple(f"T{n}" for n in range(8))
SESSIONS = tuple(
    day for day in (dt.date(2023, 1, 2) + dt.timedelta(days=n) for n in range(140)) if day.weekday() < 5
)
BUILT = ("universe", "feat_adv", "feat_vol_sizing", "feat_beta")
ADR_SETTINGS = ("adr.start=2024-01-02", "adr.end=2024-03-28", "adr.gate.min_months=1", "run.workers=1")
MONTH = "2024-03"


@dataclass(frozen=True)
class Ended:
    """What a command left behind; code -1 means that it failed in a way that no user is meant to see."""

    code: int
    out: str
    err: str


def kairos(*words: object) -> Ended:
    """Run a command in this process, as the entry point does."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return Ended(int(left.value.code or 0), out.getvalue(), err.getvalue())


def done(*words: object) -> Ended:
    """Run a command that must succeed."""
    ended = kairos(*words)
    assert ended.code == 0, ended.err
    return ended


def state(folder: Path) -> dict[str, str]:
    """Every file below a folder with a hash of its content; a lock says nothing, the log of calls grows."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.suffix != ".lock" and path.parent.name != "logs"
    }


def make_equity(folder: Path) -> Path:
    """A store of eight tickers and a hundred sessions with what a backtest needs; gives the catalog."""
    vendor, db = folder / "vendor", folder / "data" / "kairos.duckdb"
    vendor.mkdir()
    rng = np.random.default_rng(1)
    rows = []
    for ticker in TICKERS:
        prices = np.round(50 * np.exp(np.cumsum(rng.normal(0, 0.02, len(SESSIONS)))), 2)
        rows += [
            f"{ticker},{day},{p},{p},{p},{p},1000000,{p},{p},{SESSIONS[-1]}"
            for day, p in zip(SESSIONS, prices, strict=True)
        ]
    header = "ticker,date,open,high,low,close,volume,closeadj,closeunadj,lastupdated"
    (vendor / "SEP.csv").write_text("\n".join([header, *rows]))
    about = [f"SEP,{ticker},NYSE,N,Domestic Common Stock" for ticker in TICKERS]
    (vendor / "TICKERS.csv").write_text("\n".join(["table,ticker,exchange,isdelisted,category", *about]))
    done("equity", "ingest", vendor, "--db", db)
    done("equity", "build", *BUILT, "--db", db)
    return db


def make_adr(folder: Path) -> Path:
    """A data directory of two ADRs and twenty US stocks with a month of minutes and a model of it."""
    desk = folder / "desk"
    simulate_desk(
        desk, adrs=2, us_stocks=20, months=3, seed=4, minutes=(MONTH,), derived=("us_closes", "betas")
    )
    for step in ("convert", "features"):
        done("adr", step, "--data", desk, *sets(ADR_SETTINGS))
    names = sorted(pd.read_parquet(desk / MODELS / "features/BAB.parquet").columns[1:4])
    for adr, exchange, index in (("BAB", "XLON", "UKX"), ("HEV", "XPAR", "SX5E")):
        path = desk / MODELS / "lasso" / adr / f"{MONTH.replace('-', '_')}.pkl"
        path.parent.mkdir(parents=True)
        model(adr, exchange, index, names).write(path)
    gate = desk / MODELS / "lasso_evaluation"
    gate.mkdir()
    (gate / "improvement_by_adr.csv").write_text("ticker,improvement\nBAB,0.1\nHEV,0.1\n")
    (gate / "baseline_comparison.csv").write_text(
        "ticker,month,ic_improvement,counted\nBAB,2024-02,0.1,True\nHEV,2024-02,0.1,True\n"
    )
    done("adr", "baseline", "--data", desk, *sets(ADR_SETTINGS))
    done("adr", "signal", "--data", desk, *sets(ADR_SETTINGS))
    return desk


def model(adr: str, exchange: str, index: str, features: list[str]) -> ModelFile:
    """A valid model of three stocks."""
    n = len(features)
    return ModelFile(
        ticker=adr,
        exchange=exchange,
        index=index,
        month=MONTH,
        model="lasso",
        parameters={},
        selection="mse_1se",
        alpha=0.002,
        alphas=np.array([0.002]),
        weights=np.array([1.0]),
        features=features,
        coef=np.full(n, 0.001),
        scale=np.full(n, 0.02),
        mean=np.zeros(n),
        n_features=20,
        train=["2024-01-03", "2024-02-15"],
        validation=["2024-02-16", "2024-02-29"],
        n_train=30,
        n_validation=10,
        validation_metrics={"ic": 0.1},
        versions={"numpy": np.__version__},
    )


def sets(settings: tuple[str, ...]) -> list[str]:
    """The options that set these keys."""
    return [word for text in settings for word in ("--set", text)]


def copy(desk: Path, to: Path) -> Path:
    """A copy of a data directory whose files are links: one is changed by writing a new one in its place."""
    shutil.copytree(desk, to, copy_function=os.link)
    return to


def replace(path: Path, content: str | bytes) -> None:
    """Put a file in the place of another, of which there may be links."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
