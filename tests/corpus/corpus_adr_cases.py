"""The corpus of the ADR desk: `make` is given a copy of its data directory and spoils a file of it."""

from __future__ import annotations

import builtins
import io
import os
import pickle
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
from corpus_cases import Case, Make
from corpus_desk import ADR_SETTINGS, model, sets
from corpus_desk import replace as put

from kairos.adr.desk import (
    ADR_INFO,
    ADR_QUOTES,
    BASELINE,
    BETAS,
    CLOSE_OFFSETS,
    FUTURE_TEXTS,
    FUTURES,
    FUTURES_SYMBOLS,
    FX_MINUTES,
    INDEX_CLOSES,
    LEDGER,
    MODELS,
    ORDINARY_CLOSES,
    US_CLOSES,
    US_FACTORS,
    US_MINUTES,
    US_SECTORS,
)
from kairos.adr.modelfile import ModelFile

QUOTES = f"{ADR_QUOTES}/ticker=BAB/data.parquet"
FUTURE = f"{FUTURES}/symbol=FTUK/FTUK_close_to_usd_1min.parquet"
TEXT = f"{FUTURE_TEXTS}/FTUK_full_1min_continuous_ratio_adjusted.txt"
RATES = f"{FX_MINUTES}/GBPUSD_full_1min.txt"
US = f"{US_CLOSES}/XLON.csv"
MODEL = f"{MODELS}/lasso/BAB/2024_03.pkl"
GATE = f"{MODELS}/lasso_evaluation/improvement_by_adr.csv"
MONTHLY = f"{MODELS}/lasso_evaluation/baseline_comparison.csv"
FEATURE_ROWS = f"{MODELS}/features/BAB.parquet"
TARGETS = f"{MODELS}/targets.parquet"


def adr(step: str, *settings: str) -> tuple[str, ...]:
    return ("adr", step, "--data", "{desk}", *sets((*ADR_SETTINGS, *settings)))


def spoilt(reader: str, step: str, name: str, file: str, make: Make, says: str, *settings: str) -> Case:
    last = file.rpartition("/")[2].replace(".", "[.]")
    return Case(reader, name, make, adr(step, *settings), rf"{last}.*{says}")


def whole(reader: str, step: str, file: str, name: str, content: str | bytes, says: str) -> Case:
    """Another file in its place."""
    return spoilt(reader, step, name, file, lambda desk: put(desk / file, content), says)


def edited(
    reader: str,
    step: str,
    file: str,
    name: str,
    edit: Callable[[str], str],
    says: str,
    encoding: str = "utf-8",
) -> Case:
    """The same text, changed."""

    def make(desk: Path) -> None:
        old = (desk / file).read_text()
        new = edit(old)
        assert new != old or encoding != "utf-8", f"{file} stays as it is"
        put(desk / file, new.encode(encoding))

    return spoilt(reader, step, name, file, make, says)


def frame(
    reader: str, step: str, file: str, name: str, edit: Callable[[pd.DataFrame], pd.DataFrame], says: str
) -> Case:
    """The same Parquet file, changed."""

    def make(desk: Path) -> None:
        rows = edit(pd.read_parquet(desk / file))
        (desk / file).unlink()
        rows.to_parquet(desk / file)

    return spoilt(reader, step, name, file, make, says)


def second(line: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    """Change the cells of the first row below the header."""

    def edit(text: str) -> str:
        header, row, *rest = text.split("\n")
        return "\n".join([header, ",".join(line(row.split(","))), *rest])

    return edit


def cell(at: int, value: str) -> Callable[[str], str]:
    return second(lambda cells: [*cells[:at], value, *cells[at + 1 :]])


def no_header(name: str) -> Callable[[str], str]:
    return lambda text: text.replace(name, "other", 1)


def wide(reader: str, file: str) -> list[Case]:
    """What is wrong with a wide file of prices."""
    step = "features"
    return [
        whole(reader, step, file, "no byte", "", "the file is empty"),
        edited(reader, step, file, "a header alone", lambda text: text.split("\n")[0], "no rows below"),
        edited(reader, step, file, "a text", cell(1, "abc"), "row 2, column .*'abc' is not a number"),
        edited(reader, step, file, "a thousands comma", cell(1, '"1,234.5"'), "row 2, column .*'1,234.5'"),
        edited(reader, step, file, "infinite", cell(1, "inf"), "row 2, column .*inf"),
        edited(
            reader, step, file, "a row is short", second(lambda c: c[:2]), "row 2: 2 cells, the header has"
        ),
        edited(
            reader, step, file, "a date of another order", cell(0, "02/01/2024"), "row 2: '02/01/2024' is"
        ),
        edited(reader, step, file, "the year 0", cell(0, "0000-01-01"), "row 2: .*0000-01-01"),
        edited(reader, step, file, "UTF-16", str, "UTF-8", "utf-16"),
    ]


class Runs:
    """A pickle that calls something when it is loaded."""

    def __init__(self, call: object, *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[object, ...]:
        return self.call, self.arguments


def pickled(name: str, content: bytes | Callable[[Path], bytes], says: str) -> Case:
    def make(desk: Path) -> None:
        put(desk / MODEL, content(desk) if callable(content) else content)

    return spoilt("model file", "signal", name, MODEL, make, says)


GOOD = model("BAB", "XLON", "UKX", ["BABA", "BOSO", "CIPE"])


def changed(**values: object) -> bytes:
    """A model with other values, as the desk would have written it, if it could."""
    content = {field.name: getattr(GOOD, field.name) for field in fields(ModelFile)} | values
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=4)
    pickler.fast = True
    pickler.dump(content)
    return buffer.getvalue()


DEEP = b"\x80\x04" + b"]" * 100_000 + b"."
HUGE = b"\x80\x04\x8e" + (1 << 62).to_bytes(8, "little") + b"x."
MEMO = b"\x80\x04Nr\xff\xff\xff\x7f."
TWICE = b"\x80\x04(K\x01K\x01t" + b"2\x86" * 64 + b"K\x01\x86}\x94R."


DAILY = [
    *wide("closes of the ordinaries", ORDINARY_CLOSES),
    *wide("closes of the indices", INDEX_CLOSES),
    *wide("closes of the US stocks", US),
    *wide("betas of the user", BETAS),
    edited(
        "closes of the ordinaries",
        "features",
        ORDINARY_CLOSES,
        "a negative price",
        cell(1, "-1"),
        "row 2, column BAB/ LN Equity: -1.0 is not a price",
    ),
    edited(
        "closes of the ordinaries",
        "features",
        ORDINARY_CLOSES,
        "too large for a number",
        cell(1, "1e400"),
        "row 2, column BAB/ LN Equity: inf",
    ),
    edited(
        "closes of the ordinaries",
        "features",
        ORDINARY_CLOSES,
        "no column of an ordinary",
        no_header("BAB/ LN Equity"),
        r"no column BAB/ LN Equity \(BAB\)",
    ),
    Case(
        "closes of the ordinaries",
        "the file is missing",
        lambda desk: (desk / ORDINARY_CLOSES).unlink(),
        adr("features"),
        "ord_PX_LAST_adjust_all.csv: the file is missing",
    ),
    Case(
        "closes of the ordinaries",
        "a folder",
        lambda desk: ((desk / ORDINARY_CLOSES).unlink(), (desk / ORDINARY_CLOSES).mkdir()),
        adr("features"),
        "ord_PX_LAST_adjust_all.csv: the file is missing",
    ),
]

INFO = "map of instruments"
MAPS = [
    whole(INFO, "features", ADR_INFO, "no byte", "", "the file is empty"),
    edited(
        INFO, "features", ADR_INFO, "a column is missing", no_header("sh_per_adr"), "no column sh_per_adr"
    ),
    edited(INFO, "features", ADR_INFO, "a row is short", second(lambda c: c[:5]), "row 2: 5 cells"),
    edited(
        INFO, "features", ADR_INFO, "an unknown exchange", lambda t: t.replace("XLON", "XL;N"), "row 2: exch"
    ),
    edited(
        INFO, "features", ADR_INFO, "a currency of two", lambda t: t.replace("GBp", "GB", 1), "row 2: curr"
    ),
    edited(
        INFO,
        "features",
        ADR_INFO,
        "a ratio of zero",
        lambda t: t.replace(",6,no,", ",0,no,", 1),
        "row 2: sh_per_adr",
    ),
    edited(
        INFO,
        "features",
        ADR_INFO,
        "an infinite ratio",
        lambda t: t.replace(",6,no,", ",inf,no,", 1),
        "row 2: sh_per_adr",
    ),
    edited(
        INFO,
        "features",
        ADR_INFO,
        "an ADR twice",
        lambda t: t + t.split("\n")[1] + "\n",
        "BAB US Equity stands in row 2",
    ),
    edited(
        INFO, "features", ADR_INFO, "Latin-1", lambda t: t.replace("Bab Holdings", "Bäb"), "UTF-8", "latin-1"
    ),
    edited(
        INFO,
        "features",
        FUTURES_SYMBOLS,
        "no index",
        lambda t: t.replace("FTUK,UKX", "FTUK,"),
        "row 2: no index",
    ),
    Case(
        INFO,
        "a future twice",
        lambda desk: put(desk / FUTURES_SYMBOLS, (desk / FUTURES_SYMBOLS).read_text() + "Z,Z,FTUK,UKX,GBP\n"),
        adr("features"),
        "futures_symbols.csv has more than one row",
    ),
    edited(
        INFO,
        "features",
        CLOSE_OFFSETS,
        "no unit",
        lambda t: t.replace("XLON,6min", "XLON,6"),
        "row .*offset is '6'",
    ),
    edited(
        INFO,
        "features",
        CLOSE_OFFSETS,
        "below zero",
        lambda t: t.replace("XLON,6min", "XLON,-6min"),
        "row .*offset is '-6min'",
    ),
    edited(
        INFO, "features", US_SECTORS, "a ticker twice", lambda t: t + t.split("\n")[1] + "\n", "ticker is"
    ),
    Case(
        INFO,
        "the ledger of files is no JSON",
        lambda desk: put(desk / LEDGER, "{"),
        adr("features"),
        "kairos_files.json: damaged",
    ),
    Case(
        INFO,
        "the ledger of files is a list",
        lambda desk: put(desk / LEDGER, "[1]"),
        adr("features"),
        "kairos_files.json: damaged",
    ),
]

FACTOR_ROW = "BABA US Equity,2024-02-01,2,1,1\n"


def factor(name: str, row: str, says: str) -> Case:
    def make(desk: Path) -> None:
        (desk / US).unlink()
        (desk / f"{US_CLOSES}/XPAR.csv").unlink()
        put(desk / US_FACTORS, (desk / US_FACTORS).read_text().split("\n")[0] + "\n" + row)

    return spoilt("adjustment factors", "align", name, US_FACTORS, make, says)


FACTORS = [
    factor("a factor of zero", FACTOR_ROW.replace(",2,1", ",0,1"), "row 2: adjustment_factor"),
    factor("an infinite factor", FACTOR_ROW.replace(",2,1", ",inf,1"), "row 2: adjustment_factor"),
    factor("another operator", FACTOR_ROW.replace(",2,1", ",2,3"), "row 2: .*operator"),
    factor("a date that isn't", FACTOR_ROW.replace("2024-02-01", "2024-02-30"), "row 2: adjustment_date"),
    factor("the year 9999", FACTOR_ROW.replace("2024-02-01", "9999-99-99"), "row 2: adjustment_date"),
]

BARS = f"{US_MINUTES}/ticker=BABA/data.parquet"


def bars(name: str, edit: Callable[[pd.DataFrame], pd.DataFrame] | bytes, says: str) -> Case:
    def make(desk: Path) -> None:
        (desk / US).unlink()
        rows = None if isinstance(edit, bytes) else edit(pd.read_parquet(desk / BARS))
        (desk / BARS).unlink()
        if rows is None:
            (desk / BARS).write_bytes(edit)
        else:
            rows.to_parquet(desk / BARS)

    return Case(
        "bars of a US stock", name, make, adr("align"), rf"(ticker=BABA|ticker=\*)/data[.]parquet.*{says}"
    )


def first(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The first value of a column is another."""

    def edit(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.copy()
        rows.iloc[0, rows.columns.get_loc(column)] = value
        return rows

    return edit


def _negative(desk: Path) -> None:
    rows = pd.read_parquet(desk / FUTURE)
    rows.loc[rows["timestamp"] >= "2024-03-05", "close"] *= -1.0
    (desk / FUTURE).unlink()
    rows.to_parquet(desk / FUTURE)


MINUTES = [
    bars("no Parquet", b"DateTime,Close\n", "."),
    bars("no byte", b"", "."),
    bars("no column Close", lambda rows: rows.drop(columns="Close"), "no column Close"),
    bars("text for a price", lambda rows: rows.assign(Close="x"), "column Close is .*expected numbers"),
    bars("an infinite price", first("Close", np.inf), "has the price inf"),
    bars("a price of zero", first("Close", 0.0), "has the price 0"),
    bars(
        "times with a zone",
        lambda r: r.assign(DateTime=r["DateTime"].dt.tz_localize("UTC")),
        "without a timez",
    ),
    bars("times backwards", lambda rows: rows.iloc[::-1], "stands after"),
    frame(
        "quotes", "baseline", QUOTES, "no column", lambda r: r.drop(columns="nbbo_ask"), "no column nbbo_ask"
    ),
    frame("quotes", "baseline", QUOTES, "text", lambda r: r.assign(nbbo_ask="x"), "column nbbo_ask is"),
    frame(
        "quotes", "baseline", QUOTES, "times without a zone", lambda r: r.tz_localize(None), "with a timezone"
    ),
    frame("quotes", "baseline", QUOTES, "times backwards", lambda r: r.iloc[::-1], "stands after"),
    frame("quotes", "baseline", QUOTES, "times twice", lambda r: r.iloc[[0, 0, 1]], "there twice"),
    whole("quotes", "baseline", QUOTES, "no Parquet", b"PAR1 nothing PAR1", "."),
    whole("quotes", "baseline", QUOTES, "no byte", b"", "."),
    frame(
        "futures in USD", "baseline", FUTURE, "no rate", lambda r: r.drop(columns="fx_rate"), "no column fx_r"
    ),
    Case(
        "futures in USD",
        "a price below zero",
        _negative,
        adr("baseline"),
        "symbol=FTUK.*has the price -",
    ),
    whole("futures in USD", "baseline", FUTURE, "no Parquet", b"x" * 100, "."),
    whole("bars of a future", "convert", TEXT, "no byte", "", "no bar"),
    edited("bars of a future", "convert", TEXT, "a text", lambda t: _cells(t, 4, "x"), "."),
    edited(
        "bars of a future", "convert", TEXT, "a thousands comma", lambda t: _cells(t, 4, '"7,723.1"'), "."
    ),
    edited(
        "bars of a future", "convert", TEXT, "a price of zero", lambda t: _cells(t, 4, "0"), "has the price 0"
    ),
    edited(
        "bars of a future", "convert", TEXT, "infinite", lambda t: _cells(t, 4, "inf"), "has the price inf"
    ),
    edited("bars of a future", "convert", TEXT, "a short row", lambda t: "2024-01-01 03:00:00,1\n" + t, "."),
    edited(
        "bars of a future",
        "convert",
        TEXT,
        "a date of another order",
        lambda t: t.replace("2024-01-02", "02/01/2024", 1),
        ".",
    ),
    edited(
        "bars of a future",
        "convert",
        TEXT,
        "a bar twice",
        lambda t: t.split("\n")[0] + "\n" + t,
        "there twice",
    ),
    edited("bars of a future", "convert", TEXT, "UTF-16", str, ".", "utf-16"),
    edited("bars of a future", "convert", TEXT, "a NUL byte", lambda t: _cells(t, 4, "\0"), "."),
    edited("rates", "convert", RATES, "a text", lambda t: _cells(t, 5, "x"), "."),
    edited(
        "rates", "convert", RATES, "a rate below zero", lambda t: _cells(t, 5, "-1.2"), "has the price -1.2"
    ),
    edited(
        "rates", "convert", RATES, "a date that isn't", lambda t: t.replace("20240102", "20240230", 1), "."
    ),
    edited(
        "rates",
        "convert",
        RATES,
        "a date with hyphens",
        lambda t: t.replace("20240102", "2024-01-02", 1),
        ".",
    ),
    edited("rates", "convert", RATES, "a minute twice", lambda t: t.split("\n")[0] + "\n" + t, "there twice"),
]


def _cells(text: str, at: int, value: str) -> str:
    line, rest = text.split("\n", 1)
    cells = line.split(",")
    return ",".join([*cells[:at], value, *cells[at + 1 :]]) + "\n" + rest


MADE = [
    pickled("code", lambda desk: changed(coef=Runs(os.system, f"touch {desk}/ran")), "refers to .*system"),
    pickled("eval", changed(coef=Runs(builtins.eval, "1/0")), "refers to .*eval"),
    pickled("no byte", b"", "not a model file"),
    pickled("a text", b"hello", "not a model file"),
    pickled("half a file", pickle.dumps([1] * 99)[:-20], "not a model file"),
    pickled("a list", pickle.dumps([1]), "not a model file"),
    pickled("nested without end", DEEP, "not a model file"),
    pickled("a text of 4 EB", HUGE, "not a model file"),
    pickled("a memo of 16 GB", MEMO, "not a model file"),
    pickled("a tuple of itself, 64 times", TWICE, "not a model file"),
    pickled("an array of objects", changed(coef=np.array([1, "x", None], dtype=object)), "not a model file"),
    pickled("too few coefficients", changed(coef=np.ones(2)), "not a model file"),
    pickled("coefficients of nan", changed(coef=np.array([1.0, np.nan, 1.0])), "not a model file"),
    pickled("a scale of zero", changed(scale=np.zeros(3)), "not a model file"),
    pickled("a number for a month", changed(month=202403), "not a model file"),
    pickled("a number for a feature", changed(features=["BABA", 1, "CIPE"]), "not a model file"),
    pickled("a list for a ticker", changed(ticker=["BAB"]), "not a model file"),
    whole("gate", "signal", GATE, "no byte", "", "."),
    whole("gate", "signal", GATE, "no column", "ticker,x\nBAB,1\n", "no column improvement"),
    whole("gate", "signal", GATE, "a text", "ticker,improvement\nBAB,x\n", "improvement"),
    whole("gate", "signal", GATE, "ragged", "ticker,improvement\nBAB,1,2,3\n", "."),
    whole("gate", "signal", GATE, "UTF-16", "ticker,improvement\nBAB,1\n".encode("utf-16"), "UTF-8"),
    whole("gate", "signal", MONTHLY, "no rows", "ticker,month,ic_improvement,counted\n", "no rows"),
    whole(
        "gate",
        "signal",
        MONTHLY,
        "a month that isn't",
        "ticker,month,ic_improvement,counted\nBAB,2024-13,1,True\n",
        "month",
    ),
    whole(
        "gate",
        "signal",
        MONTHLY,
        "a month twice",
        "ticker,month,ic_improvement,counted\n" + "BAB,2024-02,1,True\n" * 2,
        ".",
    ),
    whole(
        "signal file", "evaluate-signal", f"{BASELINE}/ticker=BAB/data.parquet", "no Parquet", b"x" * 50, "."
    ),
    whole("signal file", "signal", f"{BASELINE}/ticker=BAB/data.parquet", "a text", b"x" * 50, "."),
    frame(
        "signal file",
        "signal",
        f"{BASELINE}/ticker=BAB/data.parquet",
        "no signal",
        lambda r: r.drop(columns="signal"),
        "signal",
    ),
    frame(
        "signal file",
        "signal",
        f"{BASELINE}/ticker=BAB/data.parquet",
        "no times",
        lambda r: r.reset_index(drop=True),
        "index",
    ),
    whole("features", "train", TARGETS, "no Parquet", b"x" * 50, "."),
    whole("features", "train", TARGETS, "no byte", b"", "."),
    frame("features", "train", TARGETS, "a column is missing", lambda r: r.iloc[:, :1], "."),
]

CASES = [*DAILY, *MAPS, *FACTORS, *MINUTES, *MADE]
