"""The corpus: malformed input for every reader, each with the command that meets it and what must be said.

A case is a declaration. `make` writes the malformed file; `words` are the command, in which ``{bad}`` is the
folder that `make` was given and ``{db}`` a store of eight tickers. For cases of the ADR desk `make` is given
``{desk}``, a copy of a small data directory. `says` is a regular expression that the message must hold: it
names the file, and the column, row or key.
"""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from corpus_desk import SESSIONS
from corpus_desk import replace as put

Make = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """One malformed input."""

    reader: str
    name: str
    make: Make
    words: tuple[str, ...]
    says: str
    code: int = 2

    @property
    def id(self) -> str:
        return f"{self.reader}: {self.name}"


def text(name: str, content: str | bytes) -> Make:
    """Write one file."""
    return lambda folder: put(folder / name, content)


def nothing(folder: Path) -> None:
    """No file is malformed: the command is."""


def zipped(**members: str | bytes) -> bytes:
    """A zip of some members, named with dots for what Python's keywords can't hold."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def encrypted(content: bytes) -> bytes:
    """The same zip with the mark of encryption on its member."""
    marked = bytearray(content)
    marked[6] |= 1
    marked[marked.index(b"PK\x01\x02") + 8] |= 1
    return bytes(marked)


# The vendor's tables.

TABLES = {
    "SEP": (
        "ticker,date,open,high,low,close,volume,closeadj,closeunadj,lastupdated\n"
        "T0,2023-01-03,10,11,9,10.5,1000,10.4,10.5,2023-06-01"
    ),
    "TICKERS": (
        "table,ticker,exchange,isdelisted,category,firstpricedate\n"
        "SEP,T0,NYSE,N,Domestic Common Stock,2001-01-02"
    ),
    "DAILY": "ticker,date,marketcap,lastupdated\nT0,2023-01-03,100.5,2023-01-03",
    "SF1": (
        "ticker,dimension,datekey,reportperiod,lastupdated,revenue,netinc,assets,equity\n"
        "T0,ARQ,2023-02-01,2022-12-31,2023-02-01,1,1,1,1"
    ),
    "SF2": (
        "ticker,filingdate,ownername,transactiondate,transactioncode,transactionshares,"
        "transactionpricepershare,transactionvalue,rownum\nT0,2023-02-01,A B,2023-01-30,P,5,10,50,1"
    ),
    "SF3": "ticker,investorname,securitytype,calendardate,value,units\nT0,X,SHR,2023-03-31,10,2",
    "ACTIONS": "date,action,ticker,value\n2023-01-03,split,T0,2",
    "METRICS": "ticker,date,beta1y\nT0,2023-01-03,1.1",
    "SP500": "date,action,ticker\n2023-01-03,added,T0",
}
"""A valid row of each of the vendor's tables."""

ROWS = {
    name: dict(zip(*(line.split(",") for line in text.split("\n")), strict=True))
    for name, text in TABLES.items()
}


def csv_of(table: str, /, **cells: str) -> str:
    """A table of one valid row in which some cells are others."""
    row = ROWS[table] | cells
    return f"{','.join(row)}\n{','.join(row.values())}\n"


def vendor(
    name: str, file: str, content: str | bytes, says: str, *options: str, reader: str = "", code: int = 2
) -> Case:
    """A malformed file of the vendor."""
    words = ("equity", "ingest", f"{{bad}}/{file}", "--db", "{db}", *options)
    where = reader or file.rpartition("/")[2].partition(".")[0]
    return Case(where, name, text(file, content), words, rf"{file.replace('.', '[.]')}.*{says}", code)


def cell(table: str, column: str, value: str, reason: str) -> Case:
    """A value that can't be right, which must be named by line and column."""
    says = rf"line 2, column {column}: {reason}"
    return vendor(f"{column} is {value[:24]!r}", f"{table}.csv", csv_of(table, **{column: value}), says)


NUMBER, WHOLE, DATE = "not a number", "not a whole number", r"not a date \(yyyy-mm-dd\)"

CELLS = [
    cell("SEP", "close", '"1,234.5"', NUMBER),
    cell("SEP", "close", '"10,5"', NUMBER),
    cell("SEP", "close", "$10.5", NUMBER),
    cell("SEP", "close", "10.5 USD", NUMBER),
    cell("SEP", "close", "0x10", NUMBER),
    cell("SEP", "close", "1e400", NUMBER),
    cell("SEP", "close", "NaN", NUMBER),
    cell("SEP", "high", "inf", NUMBER),
    cell("SEP", "low", "-Infinity", NUMBER),
    cell("SEP", "volume", "-5", "below zero"),
    cell("SEP", "volume", "９", NUMBER),
    cell("SEP", "open", "-1e308", "not above zero"),
    cell("SEP", "date", "0000-00-00", DATE),
    cell("SEP", "date", "0001-01-01", "before 1900"),
    cell("SEP", "date", "9999-12-31", "in the future"),
    cell("SEP", "date", "2999-01-01", "in the future"),
    cell("SEP", "date", "99999999-01-01", DATE),
    cell("SEP", "date", "03/01/2023", DATE),
    cell("SEP", "date", "2023-13-01", DATE),
    cell("SEP", "date", "20230103", DATE),
    cell("SEP", "date", "Jan 3 2023", DATE),
    cell("SEP", "date", "2023-01-03T00:00:00Z", DATE),
    cell("SEP", "ticker", "", "empty"),
    cell("SEP", "ticker", '"   "', "empty"),
    cell("SEP", "ticker", '"A\nB"', "a line break inside the value"),
    cell("TICKERS", "isdelisted", "maybe", "not Y/N"),
    cell("TICKERS", "firstpricedate", "02.01.2001", DATE),
    cell("TICKERS", "table", "", "empty"),
    cell("DAILY", "marketcap", "-1", "below zero"),
    cell("DAILY", "marketcap", "n/a", NUMBER),
    cell("DAILY", "date", "2023-02-29", DATE),
    cell("SF1", "revenue", "1.2.3", NUMBER),
    cell("SF1", "datekey", "2999-12-31", "in the future"),
    cell("SF1", "reportperiod", "Q4 2022", DATE),
    cell("SF2", "rownum", "1.5", WHOLE),
    cell("SF2", "rownum", "99999999999999999999", WHOLE),
    cell("SF2", "transactionpricepershare", "-10", "below zero"),
    cell("SF3", "value", "-10", "below zero"),
    cell("SF3", "units", "many", NUMBER),
    cell("SF3", "calendardate", "31/03/2023", DATE),
    cell("ACTIONS", "value", "0", "a split ratio not above zero"),
    cell("ACTIONS", "date", "", "empty"),
    cell("METRICS", "beta1y", "#DIV/0!", NUMBER),
    cell("METRICS", "date", "yesterday", DATE),
    cell("SP500", "date", "2023/01/03", DATE),
    cell("SP500", "action", "", "empty"),
]

HEADER, LINE = csv_of("SEP").splitlines()
SEP = csv_of("SEP")


def parquet(folder: Path, **columns: object) -> None:
    row = {name: pa.array([value]) for name, value in ROWS["SEP"].items()}
    pq.write_table(pa.table(row | columns), folder / "SEP.parquet")


def old_database(folder: Path) -> None:
    with duckdb.connect(str(folder / "old.duckdb")) as con:
        con.execute("CREATE TABLE sep AS SELECT 'T0' AS ticker, 'x' AS date, -1 AS open, 1 AS high, 1 AS low")


def loop(folder: Path) -> None:
    (folder / "SEP.csv").symlink_to(folder / "SEP.csv")


def unreadable(folder: Path) -> None:
    put(folder / "SEP.csv", SEP)
    (folder / "SEP.csv").chmod(0)


def ingest(reader: str, name: str, make: Make, source: str, says: str, *options: str, code: int = 2) -> Case:
    words = ("equity", "ingest", f"{{bad}}/{source}", "--db", "{db}", *options)
    return Case(reader, name, make, words, says, code)


LIMIT = ("--set", "equity.ingest.max_unpacked=1000000")
FORMS = [
    vendor("no byte", "SEP.csv", "", "is empty"),
    vendor("a header alone", "SEP.csv", HEADER + "\n", "has no rows"),
    vendor("blank lines alone", "SEP.csv", "\n\n\n", "no column|no name|empty"),
    vendor("a column twice", "SEP.csv", f"{HEADER},Close\n{LINE},1\n", "has the column close twice"),
    vendor("a column without a name", "SEP.csv", f"{HEADER},\n{LINE},1\n", "column 11 of the header has no"),
    vendor("a column is missing", "SEP.csv", SEP.replace("closeadj", "adjusted"), "has no column closeadj"),
    vendor("semicolons", "SEP.csv", SEP.replace(",", ";"), "has no column ticker"),
    vendor("tabs", "SEP.csv", SEP.replace(",", "\t"), "has no column ticker"),
    vendor("UTF-16", "SEP.csv", SEP.encode("utf-16"), "line 1: not UTF-8 text"),
    vendor("Latin-1", "SEP.csv", csv_of("SEP", ticker="É").encode("latin-1"), "line 2: not UTF-8 text"),
    vendor("a NUL byte in a number", "SEP.csv", csv_of("SEP", close="1\x000"), "line 2, column close"),
    vendor("NUL bytes alone", "SEP.csv", b"\0" * 100, "has no column ticker"),
    vendor("a decimal comma", "SEP.csv", csv_of("SEP", close="10,5"), "line 2: too many values"),
    vendor("a short row", "SEP.csv", f"{HEADER}\n{LINE}\nT1,2023\n", "line 3: too few values"),
    vendor("a long row", "SEP.csv", f"{HEADER}\n{LINE},1,2\n", "line 2: too many values"),
    vendor("a quote without end", "SEP.csv", f'{HEADER}\n{LINE}\n"T1,{LINE[3:]}\n{LINE}\n', "line 3: a quot"),
    vendor("an old line end in the header", "SEP.csv", f"{HEADER}\rx\n{LINE}\n", "line 1: the header"),
    vendor("mixed line ends", "SEP.csv", f"{HEADER}\r\n{LINE}\n{LINE}\r\n", "can't be read.*line ends"),
    vendor(
        "one key, two prices",
        "SEP.csv",
        f"{HEADER}\n{LINE}\n{LINE.replace('10.4', '10.3')}\n",
        "line 2, column closeadj: differs between rows",
    ),
    vendor("no zip", "SEP.zip", "plain", "can't be unpacked"),
    vendor("an empty zip", "SEP.zip", zipped(), "should hold one CSV file; it holds none"),
    vendor("two files in a zip", "SEP.zip", zipped(**{"a.csv": SEP, "b.csv": SEP}), "one CSV file; it holds"),
    vendor("a zip of another table", "SEP.zip", zipped(**{"DAILY.csv": SEP}), "but holds DAILY.csv"),
    vendor("a locked zip", "SEP.zip", encrypted(zipped(**{"SEP.csv": SEP})), "can't be unpacked.*encrypted"),
    vendor("half a zip", "SEP.zip", zipped(**{"SEP.csv": SEP})[:-30], "can't be unpacked"),
    vendor(
        "a bomb as a zip",
        "SEP.zip",
        zipped(**{"SEP.csv": b"0" * 2_000_000}),
        "more than 1,000,000 bytes.*equity.ingest.max_unpacked",
        *LIMIT,
    ),
    vendor(
        "a bomb as a gzip",
        "SEP.csv.gz",
        gzip.compress(b"0" * 2_000_000),
        "more than 1,000,000 bytes.*equity.ingest.max_unpacked",
        *LIMIT,
        reader="SEP",
    ),
    vendor("no gzip", "SEP.csv.gz", SEP, "can't be unpacked", reader="SEP"),
    vendor("half a gzip", "SEP.csv.gz", gzip.compress(SEP.encode())[:-9], "can't be unpacked", reader="SEP"),
    vendor("no Parquet", "SEP.parquet", SEP, "can't be read"),
    vendor("a name that is no table", "prices.csv", SEP, "has no vendor table"),
    ingest(
        "SEP",
        "Parquet with text for a price",
        lambda folder: parquet(folder, close=pa.array(["x"])),
        "SEP.parquet",
        r"SEP\.parquet.*row 1, column close: not a number: 'x'",
    ),
    ingest(
        "SEP",
        "Parquet with a list for a price",
        lambda folder: parquet(folder, close=pa.array([[1.0, 2.0]])),
        "SEP.parquet",
        r"SEP\.parquet.*row 1, column close: not a number",
    ),
    ingest(
        "SEP",
        "Parquet with an infinite price",
        lambda folder: parquet(folder, close=pa.array([np.inf])),
        "SEP.parquet",
        r"SEP\.parquet.*row 1, column close: not a number",
    ),
    ingest("old database", "columns are missing", old_database, "old.duckdb", "old.duckdb, table sep has no"),
    ingest(
        "old database", "no database", text("x.duckdb", b"x" * 9000), "x.duckdb", "x.duckdb can't be opened"
    ),
    ingest("sources", "nowhere", nothing, "nowhere.csv", "nowhere.csv does not exist"),
    ingest(
        "sources", "a folder named like a file", lambda f: (f / "SEP.csv").mkdir(), "SEP.csv", "no vendor"
    ),
    ingest("sources", "a link to itself", loop, "SEP.csv", r"SEP\.csv"),
    ingest("sources", "an empty folder", lambda f: (f / "none").mkdir(), "none", "none has no vendor table"),
    ingest(
        "sources",
        "two files of one table",
        lambda f: (put(f / "SEP.csv", SEP), put(f / "SHARADAR_SEP.csv", SEP)),
        ".",
        "2 sources for the table sep",
    ),
    ingest(
        "sources",
        "the rejects go nowhere",
        text("SEP.csv", SEP),
        "SEP.csv",
        "rejects.csv can't be written",
        *("--reject", "{bad}/nowhere/rejects.csv"),
    ),
]
if os.geteuid():  # nothing is unreadable to root
    FORMS.append(ingest("sources", "no right to read", unreadable, "SEP.csv", r"SEP\.csv: Perm", code=1))


# Lists, factors, benchmarks and holdings that users write.

BACKTEST = (
    "equity",
    "backtest",
    "baseline",
    "--alpha",
    "feat_adv.adv_20",
    "--db",
    "{db}",
    "--set",
    "top_n=3",
)
PICKS = (
    *("equity", "picks", "baseline", "--alpha", "feat_adv.adv_20", "--db", "{db}", "--set", "top_n=3"),
    *("--date", str(SESSIONS[-1])),
    *("--set", "equity.live.min_names=2", "--out", "{bad}/out"),
)
UNIVERSE = (
    *("equity", "universe", "--db", "{db}", "--set", "equity.universe.mode=file"),
    *("--set", "equity.universe.file={bad}/list.csv"),
)


def listed(name: str, content: str | bytes, says: str) -> Case:
    return Case("universe file", name, text("list.csv", content), UNIVERSE, rf"list\.csv.*{says}")


def factors(name: str, content: str | bytes, says: str, file: str = "factors.csv") -> Case:
    words = (*BACKTEST, "--report", "{bad}/r.html", "--factors", f"{{bad}}/{file}")
    return Case("factors", name, text(file, content), words, rf"{file}.*{says}")


def benchmark(name: str, content: str | bytes, says: str) -> Case:
    words = (*BACKTEST, "--benchmark", "{bad}/bench.csv")
    return Case("benchmark", name, text("bench.csv", content), words, rf"bench\.csv.*{says}")


def held(name: str, content: str | bytes, says: str) -> Case:
    words = (*PICKS, "--prior", "{bad}/held.csv")
    return Case("holdings", name, text("held.csv", content), words, rf"held\.csv.*{says}")


LONG = "".join(f"{day},0.001\n" for day in SESSIONS)
FRENCH = "".join(f"{day},0.{n:03}1,0.01\n" for n, day in enumerate(SESSIONS))

USERS = [
    listed("no byte", "", "empty"),
    listed("a header alone", "ticker\n", "no row"),
    listed("no column ticker", "symbol\nT0\n", "no column ticker; it has symbol"),
    listed("a column twice", "ticker,ticker\nT0,T1\n", "column ticker.*twice"),
    listed("UTF-16", "ticker\nT0\n".encode("utf-16"), "UTF-8"),
    listed("Latin-1", "ticker\nÉ\n".encode("latin-1"), "UTF-8"),
    listed("a header in Latin-1", "ticker,börse\nT0,x\n".encode("latin-1"), "UTF-8"),
    listed("a short row", "date,ticker\n2023-01-03,T0\n2023-01-04\n", "line 3"),
    listed("an empty ticker", "date,ticker\n2023-01-03,\n", "line 2.*ticker"),
    listed("a date of another order", "date,ticker\n03/01/2023,T0\n", "line 2.*'03/01/2023'.*yyyy-mm-dd"),
    listed("an empty date", "date,ticker\n,T0\n", "line 2.*date.*yyyy-mm-dd"),
    listed("a date that isn't", "date,ticker\n2023-02-30,T0\n", "line 2.*'2023-02-30'"),
    listed("NUL bytes", b"\0\0\0\0", "no column ticker"),
    Case("universe file", "a folder", lambda f: (f / "list.csv").mkdir(), UNIVERSE, r"list\.csv.*not a file"),
    Case("universe file", "nowhere", nothing, UNIVERSE, r"list\.csv.*not a file"),
    Case(
        "universe file",
        "no ticker of the market",
        text("list.csv", "ticker\nQQQ\n"),
        UNIVERSE,
        r"universe is empty.*list\.csv",
    ),
    factors("no byte", "", "no line begins with a date"),
    factors("months", ",Mkt\n202301,0.1\n", "its dates are months"),
    factors("no names", "20230103,0.1\n", "line 1: the names of the factors"),
    factors("a name twice", "date,A,A\n20230103,1,2\n", "line 1: a name is missing or stands there twice"),
    factors(
        "an open quotation mark", ',A\n"20230103,1\n20230104,2\n', "line 2: a quotation mark has no second"
    ),
    factors("a thousands comma", 'date,A\n20230103,"1,234.5"\n', "line 2"),
    factors("a text", "date,A\n20230103,0.1\n20230104,x\n", "line 3, column A: 'x' is not a number"),
    factors("too many values", "date,A\n20230103,0.1\n20230104,0.1,2\n", "line 3: 3 values, but 2 names"),
    factors("a date that isn't", "date,A\n20230103,0.1\n20231304,0.2\n", "line 3, column date"),
    factors("a date twice", "date,A\n20230103,0.1\n20230103,0.2\n", "2023-01-03"),
    factors("an infinite return", "date,A\n20230103,0.1\n20230104,inf\n", "inf|2023-01-04"),
    factors("UTF-16", "date,A\n20230103,0.1\n".encode("utf-16"), "UTF-8"),
    factors("no Parquet", "x", ".", "factors.parquet"),
    factors("NUL bytes", b"\0" * 64, "no line begins with a date"),
    benchmark("no byte", "", "empty"),
    benchmark("a header alone", "date,return\n", "no row"),
    benchmark("no return", "date,x\n2023-01-03,1\n", "needs the columns date and return"),
    benchmark(
        "a column twice", f"date,return,return\n{LONG.replace(chr(10), ',1' + chr(10))}", "return.*twice"
    ),
    benchmark("a text", "date,return\n2023-01-03,x\n", "line 2.*'x'"),
    benchmark("a thousands comma", 'date,close\n2023-01-03,"1,234.5"\n', "line 2.*1,234.5"),
    benchmark("NaN", "date,return\n2023-01-03,NaN\n", "2023-01-03"),
    benchmark("infinite", "date,return\n2023-01-03,inf\n", "2023-01-03 is inf"),
    benchmark("a loss above all", "date,return\n2023-01-03,-1.5\n", "2023-01-03 is -1.5"),
    benchmark("a level of zero", "date,close\n2023-01-03,0\n", "2023-01-03 is 0"),
    benchmark("a date twice", "date,return\n2023-01-03,0\n2023-01-03,0\n", "date.*twice"),
    benchmark("an empty date", "date,return\n,0\n", "date"),
    benchmark("a date of another order", "date,return\n03/01/2023,0\n", "yyyy-mm-dd"),
    benchmark("UTF-16", "date,return\n2023-01-03,0\n".encode("utf-16"), "UTF-8"),
    benchmark("a header in Latin-1", "date,return,ü\n2023-01-03,0,1\n".encode("latin-1"), "UTF-8"),
    benchmark("sessions are missing", "date,return\n2023-01-03,0\n", "has no value on"),
    Case(
        "benchmark",
        "neither file nor ticker",
        nothing,
        (*BACKTEST, "--benchmark", "x'; --"),
        "x'; --.*neither",
    ),
    held("no byte", "", "no column ticker"),
    held("no shares", "ticker\nT0\n", "column shares or value"),
    held("no column ticker", "symbol,shares\nT0,1\n", "no column ticker"),
    held("a column twice", "ticker,shares,shares\nT0,1,2\n", "shares.*twice"),
    held("a text", "ticker,shares\nT0,x\n", "line 2: shares 'x' is no number"),
    held("NaN", "ticker,shares\nT0,nan\n", "line 2: shares 'nan' is no number"),
    held("infinite", "ticker,value\nT0,inf\n", "line 2: value 'inf' is no number"),
    held("too large for a number", "ticker,value\nT0,1e400\n", "line 2: value '1e400' is no number"),
    held("a thousands comma", 'ticker,shares\nT0,"1,000"\n', "line 2: shares '1,000' is no number"),
    held("a thousands comma without quotes", "ticker,shares\nT0,1,000\n", "line 2: 3 values"),
    held("underscores", "ticker,shares\nT0,1_000\n", "line 2: shares '1_000' is no number"),
    held("a short row", "ticker,shares\nT0\n", "line 2"),
    held("a ticker twice", "ticker,shares\nT0,1\nT1,1\nT0,2\n", "line 4: T0 stands in line 2 already"),
    held("an empty ticker", "ticker,shares\n,1\n", "line 2.*ticker"),
    held("a ticker that never was", "ticker,shares\n../../x,1\n", r"\.\./\.\./x \(line 2\)"),
    held("UTF-16", "ticker,shares\nT0,1\n".encode("utf-16"), "UTF-8"),
    held("Latin-1", "ticker,shares\nÉ,1\n".encode("latin-1"), "UTF-8"),
    held("a cell without end", "ticker,shares\nT0," + "1" * 200_000 + "\n", "line 2"),
    held("a quote without end", 'ticker,shares\nT0,"1\nT1,2\n', "line"),
    Case(
        "holdings",
        "a folder",
        lambda f: (f / "held.csv").mkdir(),
        (*PICKS, "--prior", "{bad}/held.csv"),
        r"held\.csv is not a file",
    ),
    Case(
        "hard to borrow",
        "no column ticker",
        text("htb.csv", "symbol\nT0\n"),
        (*PICKS, "--hard-to-borrow", "{bad}/htb.csv"),
        r"htb\.csv: no column ticker",
    ),
    Case(
        "hard to borrow",
        "UTF-16",
        text("htb.csv", "ticker\nT0\n".encode("utf-16")),
        (*PICKS, "--hard-to-borrow", "{bad}/htb.csv"),
        r"htb\.csv.*UTF-8",
    ),
]


# Configuration and arguments.


def config(name: str, content: str | bytes, says: str) -> Case:
    words = ("config", "show", "--config", "{bad}/kairos.toml")
    return Case("kairos.toml", name, text("kairos.toml", content), words, rf"kairos\.toml.*{says}")


def option(name: str, setting: str, says: str) -> Case:
    return Case("--set", name, nothing, ("config", "show", "--set", setting), says)


def argument(name: str, words: tuple[str, ...], says: str) -> Case:
    return Case("arguments", name, nothing, words, says)


HOSTILE = ("x; DROP TABLE sep", "../../x", "$(rm -rf x)", 'a"b', "a'b", "<script>", "", " ", "😀", "a" * 300)
CONFIGURATION = [
    config("no TOML", "[equity", "not valid TOML"),
    config("a key twice", "[run]\nworkers = 1\nworkers = 2\n", "not valid TOML"),
    config("an unknown key", "[equity.universe]\nmin_prize = 1\n", "unknown key equity.universe.min_prize"),
    config("an unknown section", "[equty]\nx = 1\n", "unknown key equty.x"),
    config("a text for a number", '[run]\nworkers = "two"\n', "run.workers = 'two'"),
    config("a number for a section", "run = 5\n", "run = 5"),
    config("a list for a section", "[[equity]]\nx = 1\n", "equity"),
    config("nan", "[equity.universe]\nmin_price = nan\n", "equity.universe.min_price = nan"),
    config("inf", "[equity.universe]\nmin_price = inf\n", "equity.universe.min_price = inf"),
    config("below its bound", "[run]\nworkers = -1\n", "run.workers = -1"),
    config("a whole number without end", f"[run]\nworkers = {'9' * 5000}\n", "."),
    config("nested without end", f"x = {'[' * 5000}{']' * 5000}\n", "."),
    config("tables without end", f"x = {'{a = ' * 3000}1{'}' * 3000}\n", "."),
    config("keys without end", f"{'.'.join('a' * 3000)} = 1\n", "."),
    config("Latin-1", '[equity.universe]\ncategory = "É"\n'.encode("latin-1"), "not UTF-8"),
    config("UTF-16", "[run]\nworkers = 1\n".encode("utf-16"), "not UTF-8"),
    config("a NUL byte", b"[run]\nworkers = 1\0\n", "not valid TOML"),
    config("a date that isn't", "[adr]\nstart = 2024-02-30\n", "not valid TOML"),
    config("a base of itself", '[equity.strategies.a]\nbase = "a"\n', "equity.strategies.a"),
    config("a base that isn't", '[equity.strategies.a]\nbase = "nobody"\n', "nobody"),
    Case(
        "kairos.toml",
        "a folder",
        lambda folder: (folder / "kairos.toml").mkdir(),
        ("config", "show", "--config", "{bad}/kairos.toml"),
        r"kairos\.toml: the configuration can't be read",
    ),
    Case("kairos.toml", "nowhere", nothing, ("config", "show", "--config", "{bad}/no.toml"), r"no\.toml"),
    option("no value", "run.workers", "run.workers: expected key=value"),
    option("an unknown key", "run.worker=1", "unknown key run.worker"),
    option("a broken list", "equity.universe.exchanges=[", "not valid TOML"),
    option("nested without end", f"equity.universe.exchanges={'[' * 3000}", "--set"),
    option("a line break", "run.workers=1\nx=2", "--set"),
    option("shell", "$(id)=1", "expected key=value"),
    option("SQL", "data.db'; DROP TABLE x=1", "expected key=value"),
    option("memory", "run.memory_limit=lots", "run.memory_limit"),
    *(
        argument(f"--save-as {name[:20]!r}", (*BACKTEST, "--save-as", name), "name")
        for name in HOSTILE
        if name
    ),
    *(
        argument(
            f"--into {name[:20]!r}", ("equity", "build", "universe", "--into", name, "--db", "{db}"), "name"
        )
        for name in HOSTILE
    ),
    *(
        argument(
            f"--snapshot {name[:20]!r}", ("equity", "status", "--snapshot", name, "--db", "{db}"), "snapshot"
        )
        for name in ("../../x", "x'; --", "%", "20")
    ),
    *(
        argument(
            f"--alpha {name[:20]!r}",
            ("equity", "scores", "--alpha", name, "--db", "{db}"),
            "column",
        )
        for name in ('x"; DROP TABLE sep; --', "a.b.c", "feat_adv.", "../x")
    ),
    argument("compare", ("equity", "compare", "x'; --", "../y", "--db", "{db}"), "x'; --"),
    argument("rerun", ("rerun", "x'; --", "--db", "{db}"), "x'; --"),
    argument("a table that isn't", ("equity", "build", 'x"; --', "--db", "{db}"), 'x"; --'),
    argument("a strategy that isn't", ("equity", "backtest", "no;pe", *BACKTEST[3:]), "no;pe"),
    argument("--start", (*BACKTEST, "--start", "2023-02-30"), "start"),
    argument("--date", ("equity", "universe", "--date", "03/01/2023", "--db", "{db}"), "--date 03/01/2023"),
    argument(
        "a date before all", ("equity", "universe", "--date", "0001-01-01", "--db", "{db}"), "0001-01-01"
    ),
    argument("--capital nan", (*PICKS, "--capital", "nan"), "capital"),
    argument("--capital 1e400", (*PICKS, "--capital", "1e400"), "capital"),
    argument("--lot 0", (*PICKS, "--lot", "0"), "lot"),
    argument("a report that is a folder", (*BACKTEST, "--report", "{bad}"), "--report .* is a folder"),
    Case(
        "catalog",
        "no database",
        text("k.duckdb", b"x" * 9000),
        ("equity", "status", "--db", "{bad}/k.duckdb"),
        r"k\.duckdb",
    ),
    Case("catalog", "a folder", nothing, ("equity", "status", "--db", "{bad}"), "."),
    Case("catalog", "nowhere", nothing, ("equity", "status", "--db", "{bad}/no.duckdb"), r"no\.duckdb"),
]
