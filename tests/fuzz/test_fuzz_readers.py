"""Readers of files that somebody wrote meet any bytes: they load, or say in plain words what is wrong.

Valid files are cut, mixed and overwritten. Whatever comes of it, a reader ends in time with sound values or
with an error for users that names the file; no other exception, and nothing else done.
"""

from __future__ import annotations

import io
import os
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kairos.adr.files import read_betas, read_prices, read_records
from kairos.adr.minutefile import read_minutes
from kairos.adr.minutes import refuse_bad_bars
from kairos.adr.modelfile import ModelFile, read_model
from kairos.equity.backtest.benchmark import _from_file as read_benchmark
from kairos.equity.backtest.factors import read_factors
from kairos.equity.ingest import ingest
from kairos.equity.live.holdings import read_lines
from kairos.equity.universe import read_list
from kairos.errors import InputError, KairosError
from kairos.pipeline import with_stages
from kairos.settings import load
from kairos.store import Store

EXAMPLES = int(os.environ.get("KAIROS_FUZZ_EXAMPLES", "1500"))
"""Of each reader; the run of all tests tries a few."""

FEW = 20

SEP = (
    "ticker,date,open,high,low,close,volume,closeadj,closeunadj,lastupdated\n"
    "T0,2023-01-03,10,11,9,10.5,1000,10.4,10.5,2023-06-01\n"
    '"A, B",2023-01-04,10,11,9,10.5,1e3,10.4,,2023-06-01\n'
)
TOKENS = [
    *(
        b"",
        b",",
        b",,",
        b'"',
        b'""',
        b"\n",
        b"\r",
        b"\r\n",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xc3\xa9",
        b";",
        b"\t",
    ),
    *(
        b"nan",
        b"inf",
        b"-inf",
        b"NA",
        b"NULL",
        b"1e400",
        b"-1",
        b"0",
        b"1,000",
        b"1_0",
        b"1.",
        b".5",
        b"0x1",
        b";",
        b"\t",
    ),
    *(b"9" * 400, b"0000-00-00", b"9999-12-31", b"2999-01-01", b"0001-01-01", b"2023-02-30", b"20230103"),
    *(b"'; DROP TABLE sep; --", b"../../x", b"$(id)", b"[", b"]", b"{", b"}", b"=", b'"""', b"#", b".", b"a"),
    *(b"true", b"date", b"ticker", b"\x80\x04", b"\x94", b"h\x00", b"R", b"b", b"2", b"\x8e" + b"\xff" * 8),
]


@st.composite
def spoilt(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A valid file after some cuts, repetitions, insertions and flips."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(content), 1)))
        to = min(at + draw(st.integers(0, 12)), len(content))
        how = draw(st.sampled_from(["insert", "replace", "cut", "repeat", "flip", "any"]))
        if how == "insert":
            content[at:at] = draw(st.sampled_from(TOKENS))
        elif how == "replace":
            content[at:to] = draw(st.sampled_from(TOKENS))
        elif how == "cut":
            del content[at:to]
        elif how == "repeat":
            content[at:at] = content[at:to] * draw(st.integers(1, 5))
        elif how == "flip" and at < len(content):
            content[at] ^= 1 << draw(st.integers(0, 7))
        else:
            content[at:to] = draw(st.binary(max_size=12))
    return bytes(content)


@dataclass(frozen=True)
class Reader:
    """A reader, valid files for it, and what must hold for what it gives."""

    file: str
    seeds: list[bytes]
    read: Callable[[Path], Any]
    sound: Callable[[Any], bool]


def model_file() -> bytes:
    values: dict[str, object] = {field.name: 1 for field in fields(ModelFile)}
    values |= dict.fromkeys(("ticker", "exchange", "index", "model", "selection"), "x")
    values |= {"month": "2024-03", "alpha": 0.1, "features": ["A", "B"]}
    values |= dict.fromkeys(("alphas", "weights"), np.ones(1))
    values |= dict.fromkeys(("coef", "scale", "mean"), np.ones(2))
    values |= {"train": ["2024-01-02", "2024-02-01"], "validation": []}
    values |= {"parameters": {"a": 1.5}, "validation_metrics": {"ic": 0.1}, "versions": {"numpy": "2"}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.pkl"
        ModelFile(**values).write(path)  # type: ignore[arg-type]
        return path.read_bytes()


def minute_file() -> bytes:
    import pandas as pd

    index = pd.date_range("2024-03-01 10:00", periods=3, freq="min", tz="America/New_York", name="timestamp")
    buffer = io.BytesIO()
    pd.DataFrame({"signal": [0.1, 0.2, np.nan]}, index=index).to_parquet(buffer)
    return buffer.getvalue()


def _prices_sound(prices: Any) -> bool:
    known = prices.values[~np.isnan(prices.values)]
    return (
        bool((known > 0).all() and np.isfinite(known).all())
        and bool((np.diff(prices.dates) > np.timedelta64(0)).all())
        and len(set(prices.names)) == len(prices.names)
    )


def _stored_once(path: Path) -> Any:
    """Load a vendor file into a store; give it, and what a second load of the stored rows changes."""
    store = Store(path.parent / "db" / "kairos.duckdb", memory_limit="1GB", threads=1)
    ingest([path], store.db, store=store, settings=load())
    rows = store.snapshot().read("sep")
    again = path.parent / "again"
    again.mkdir()
    with duckdb.connect() as con:
        con.register("rows", rows)
        con.execute(f"COPY (SELECT * FROM rows) TO '{again / 'SEP.csv'}' (HEADER)")
    report = ingest([again / "SEP.csv"], store.db, store=store, settings=load())["sep"]
    return rows, report


def _rows_sound(found: Any) -> bool:
    rows, report = found
    keys = list(zip(rows["ticker"].to_pylist(), rows["date"].to_pylist(), strict=True))
    prices = rows["close"].to_pylist()
    return (
        len(set(keys)) == len(keys)
        and all(ticker and ticker.strip() == ticker for ticker, _ in keys)
        and all(price is not None and 0 < price < np.inf for price in prices)
        and (report.new, report.changed) == (0, 0)
    )


WIDE = b"date,BP/ LN Equity,AAPL US Equity\n2024-01-02,1.5,2\n2024-01-03,,3e2\n"
RECORDS = b'ticker,sector\nA,"x, y"\nB,#N/A\n'
TOML = (
    b'[data]\ndb = "x.duckdb"\n[run]\nworkers = 2\n[equity.universe]\nmin_price = 2.5\nexchanges = ["NYSE"]\n'
    b'[equity.strategies.mine]\nbase = "baseline"\ntop_n = 5\n[adr]\nstart = 2024-01-02\n'
)
DVC = b"# kept\nstages:\n  mine:\n    cmd: echo\n    deps:\n      - x\nparams:\n  - y\n"

READERS = {
    "prices": Reader("wide.csv", [WIDE], lambda path: read_prices(path, what="closes"), _prices_sound),
    "betas": Reader(
        "betas.csv",
        [WIDE],
        lambda path: read_betas(path, what="betas"),
        lambda betas: not np.isinf(betas.values).any(),
    ),
    "records": Reader(
        "list.csv",
        [RECORDS],
        lambda path: read_records(path, ["ticker"], what="a list"),
        lambda rows: all(set(row.cells) == set(rows[0].cells) for row in rows),
    ),
    "universe file": Reader(
        "list.csv",
        [b"date,ticker\n2023-01-03,NA\n2023-01-04,B\n", b"ticker\nA\nB\n"],
        read_list,
        lambda rows: rows.num_rows > 0 and all(rows["ticker"].to_pylist()),
    ),
    "holdings": Reader(
        "held.csv",
        [b"ticker,shares,value\nA,10,\nB,,5.5\nCASH,,100\n"],
        read_lines,
        lambda lines: len({line.ticker for line in lines}) == len(lines),
    ),
    "factors": Reader(
        "factors.csv",
        [
            b"text\n\n,Mkt-RF,RF\n20230103,0.31,0.01\n20230104,-0.5,0.01\n20230105,1.2,0.01\n\nCopyright\n",
            b"date,A\n2023-01-03,0.01\n2023-01-04,-0.02\n",
        ],
        read_factors,
        lambda found: (
            bool((np.diff(found.dates) > np.timedelta64(0)).all()) and not np.isinf(found.values).any()
        ),
    ),
    "benchmark": Reader(
        "bench.csv",
        [b"date,return\n2023-01-03,0.01\n2023-01-04,-0.02\n", b"date,close\n2023-01-03,10\n2023-01-04,11\n"],
        read_benchmark,
        lambda found: bool(np.isfinite(found[1]).all()) and len(set(found[0])) == len(found[0]),
    ),
    "settings": Reader("kairos.toml", [TOML], load, lambda found: found.run.workers > 0),
    "dvc.yaml": Reader(
        "dvc.yaml",
        [DVC],
        lambda path: with_stages(path, "adr", {"one": "  one:\n    cmd: x\n"}),
        lambda text: "  one:\n" in text or "one:" in text,
    ),
    "model": Reader(
        "m.pkl",
        [model_file()],
        read_model,
        lambda found: found.coef is None or bool(np.isfinite(found.linear(Path("m"))).all()),
    ),
    "minutes": Reader(
        "data.parquet",
        [minute_file()],
        read_minutes,
        lambda found: bool((np.diff(found.times) > np.timedelta64(0)).all()),
    ),
}
VENDOR = Reader("SEP.csv", [SEP.encode(), SEP.replace("\n", "\r\n").encode()], _stored_once, _rows_sound)


def check(reader: Reader, content: bytes) -> None:
    """A reader loads what is sound, or refuses it in plain words."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / reader.file
        path.write_bytes(content)
        try:
            found, said = reader.read(path), path.name
        except KairosError as error:
            found, said = None, str(error)
        assert path.name in said
        assert found is None or reader.sound(found)


def examples(count: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=count,
        deadline=20_000,  # a hang, not a slow machine
        derandomize=count == FEW,
        suppress_health_check=list(HealthCheck),
        database=None,
    )


@pytest.mark.parametrize("name", READERS)
def test_a_few(name: str) -> None:
    @examples(FEW)
    @given(spoilt(READERS[name].seeds))
    def run(content: bytes) -> None:
        check(READERS[name], content)

    run()


@pytest.mark.fuzz
@pytest.mark.parametrize("name", READERS)
def test_many(name: str) -> None:
    @examples(EXAMPLES)
    @given(spoilt(READERS[name].seeds))
    def run(content: bytes) -> None:
        check(READERS[name], content)

    run()


@pytest.mark.fuzz
def test_the_vendors_file() -> None:
    """Slower: each example is a store of its own."""

    @examples(max(EXAMPLES // 15, 1))
    @given(spoilt(VENDOR.seeds))
    def run(content: bytes) -> None:
        check(VENDOR, content)

    run()


@pytest.mark.fuzz
def test_any_pickle_of_plain_things() -> None:
    """Not a model, however it is written: refused, and nothing of it is called."""
    plain = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
        max_leaves=12,
    )

    @examples(EXAMPLES)
    @given(plain, st.integers(0, 5))
    def run(value: object, protocol: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.pkl"
            path.write_bytes(pickle.dumps(value, protocol=protocol))
            with pytest.raises(InputError, match=r"m\.pkl"):
                read_model(path)

    run()


def test_bars_that_pass_are_in_order() -> None:
    """The one check behind every file of bars lets nothing through but rising times and prices above 0."""

    @examples(FEW)
    @given(st.lists(st.tuples(st.integers(0, 5), st.floats()), max_size=6))
    def run(bars: list[tuple[int, float]]) -> None:
        stamps = np.array([minute for minute, _ in bars], dtype="datetime64[m]").astype("datetime64[ns]")
        prices = np.array([price for _, price in bars], dtype=np.float64)
        minutes = [minute for minute, _ in bars]
        right = minutes == sorted(set(minutes)) and all(0 < price < np.inf for _, price in bars)
        try:
            refuse_bad_bars(Path("bars"), stamps, prices)
        except InputError:
            assert not right
        else:
            assert right

    run()
