"""The feature matrix as files: the rows of the query, a folder a ticker, whole or not at all."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from kairos.cli import main
from kairos.equity import export_matrix, matrix_export
from kairos.errors import InputError, WorkError
from kairos.settings import load
from kairos.store import Store, parts

SETTINGS = load(overrides=["run.memory_limit=1GB"])
LAST = "2021-06-30_academic_matrix"
ODD = ["A/B", "A=B", "A B", "50%", "%41", "BRK.B", "..", "NULL", "1E5", "ÄÖ", "x'y", "a:b", "A+B"]


def write(path, *tickers, seed=0, members=0.8, space="main"):
    """A store with two feature tables whose rows are spread over five parts without any order in time.

    Returns the catalog and, from the numbers that went in, what the matrix holds.
    """
    rng = np.random.default_rng(seed)
    days = pd.bdate_range(end="2021-06-30", periods=60).date
    keys = pd.MultiIndex.from_product([sorted(tickers), days]).to_frame(index=False, name=["ticker", "date"])
    keys["part"] = rng.integers(0, 5, len(keys))
    keys["member"] = rng.random(len(keys)) < members
    keys = keys[rng.random(len(keys)) < 0.9].sort_values(["part", "ticker", "date"], ignore_index=True)
    values = keys.assign(
        x=np.where(rng.random(len(keys)) < 0.3, np.nan, rng.normal(size=len(keys))).astype("float32"),
        money=rng.normal(1e9, 1e8, len(keys)),
        flag=rng.integers(0, 2, len(keys)).astype("int8"),
        word=rng.choice(["low", "high", None], len(keys)),
        again=rng.normal(size=len(keys)).astype("float32"),
    )

    def pieces(*columns):
        cut = [values[values["part"] == part][["ticker", "date", *columns]] for part in range(5)]
        return [pa.Table.from_pandas(piece, preserve_index=False) for piece in cut]

    key, meta = ("ticker", "date"), {"keys": "these"}
    recipe = {"inputs": dict.fromkeys(["sep_base_academic", "feat_one", "feat_two"], "")}
    owners = {"x": "feat_one", "money": "feat_one", "flag": "feat_two", "word": "feat_two"}
    with Store(path).publish() as tx:
        tx.put("sep_base_academic", pieces("member"), key=key, meta=meta, namespace=space)
        tx.put("feat_one", pieces("x", "money"), key=key, meta=meta, namespace=space)
        twice = [p.append_column("x", p["again"]).drop(["again"]) for p in pieces("flag", "word", "again")]
        tx.put("feat_two", twice, key=key, meta=meta, namespace=space)
        query = (
            "SELECT b.ticker, b.date, o.x AS x, o.money AS money, t.flag AS flag, t.word AS word, "
            f"t.x AS feat_two__x FROM {space}.sep_base_academic b POSITIONAL JOIN {space}.feat_one o "
            f"POSITIONAL JOIN {space}.feat_two t WHERE b.member"
        )
        about = {"recipe": recipe, "owners": owners, "last": "2021-06-30"}
        tx.assemble("feat_matrix", query, key=key, meta=about, namespace=space)
    expected = values[values["member"]].rename(columns={"again": "feat_two__x"})
    return expected.sort_values(["ticker", "date"])[
        ["ticker", "date", "x", "money", "flag", "word", "feat_two__x"]
    ]


def read(folder):
    """The files one by one, without a reader that knows partitions; tickers from the names of the folders."""
    found = []
    for path in Path(folder).glob("*/*"):
        assert path.name == "part-0.parquet"
        word, _, name = path.parent.name.partition("=")
        assert word == "ticker"
        rows = pq.ParquetFile(path).read().to_pandas()
        assert rows["date"].is_monotonic_increasing
        rows.insert(0, "ticker", unquote(name))
        found.append(rows)
    return pd.concat(found).sort_values(["ticker", "date"])


def same(found, expected):
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected.reset_index(drop=True))


def kairos(*arguments):
    """Exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main(["equity", "export-matrix", *map(str, arguments)])
    return int(ended.value.code or 0)


def left(folder):
    """What a folder holds besides the lock."""
    return {path.name for path in folder.iterdir()} - {".kairos-export.lock"}


@pytest.fixture
def db(tmp_path):
    return tmp_path / "data" / "kairos.duckdb"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "matrices"


def test_of_a_market_it_equals_the_query(simulated, out):
    shares = []
    done = export_matrix(simulated.db, out, settings=simulated.settings, progress=shares.append)
    with duckdb.connect(str(simulated.db), read_only=True) as con:
        names = [name for name, *_ in con.sql("DESCRIBE feat_matrix").fetchall()]
        rows = con.sql("SELECT * FROM feat_matrix ORDER BY ticker, date").to_arrow_table()
        last = con.sql("SELECT max(date) FROM feat_matrix").fetchall()[0][0]
        files = f"read_parquet('{done.folder}/*/*.parquet', hive_partitioning = true)"
        columns = ", ".join(f'"{name}"' for name in names)
        found = con.sql(f"SELECT {columns} FROM {files} ORDER BY ticker, date").to_arrow_table()
    assert found.schema.names == rows.schema.names
    assert found.schema.types == rows.schema.types
    assert found.equals(rows)
    assert Path(done.folder) == out / f"{last}_academic_matrix"
    assert left(out) == {f"{last}_academic_matrix"}
    tickers = set(rows["ticker"].to_pylist())
    assert {path.name for path in Path(done.folder).iterdir()} == {f"ticker={ticker}" for ticker in tickers}
    assert (done.rows, done.columns, done.tickers) == (rows.num_rows, len(names), len(tickers))
    assert done.bytes == sum(path.stat().st_size for path in Path(done.folder).glob("*/*"))
    assert sum(shares) == pytest.approx(1.0)
    assert {"regime", "sector", "alpha_composite_v8", "ret_5d_f"} <= set(names)


@pytest.mark.parametrize("block", [1, 100, 10**6])
def test_rows_of_a_ticker_from_many_parts_are_put_in_order(db, out, monkeypatch, block):
    monkeypatch.setattr(matrix_export, "BLOCK_ROWS", block)
    monkeypatch.setattr(parts, "ROW_GROUP", 37)
    tickers = [f"T{i:02}" for i in range(20)]
    expected = write(db, *tickers)
    done = export_matrix(db, out, settings=SETTINGS)
    same(read(done.folder), expected)
    assert done.rows == len(expected)


def test_names_that_are_no_file_names(db, out):
    expected = write(db, *ODD)
    done = export_matrix(db, out, settings=SETTINGS)
    assert done.tickers == len(ODD)
    same(read(done.folder), expected)
    keys = set(zip(expected["ticker"], expected["money"], strict=True))
    files = f"{done.folder}/*/*.parquet"
    by_duckdb = duckdb.sql(f"SELECT ticker, money FROM read_parquet('{files}', hive_partitioning = true)")
    by_pyarrow = ds.dataset(done.folder, partitioning="hive").to_table(["ticker", "money"]).to_pylist()
    by_polars = pl.scan_parquet(done.folder).select("ticker", "money").collect()
    assert set(by_duckdb.fetchall()) == keys
    assert {(row["ticker"], row["money"]) for row in by_pyarrow} == keys
    assert set(by_polars.rows()) == keys


def test_a_ticker_that_never_was_a_member_has_no_folder(db, out):
    write(db, "IN", "OUT")
    store = Store(db)
    base = store.snapshot().read("sep_base_academic")
    never = pa.array([ticker == "IN" for ticker in base["ticker"].to_pylist()])
    base = base.set_column(2, "member", never)
    cuts = np.cumsum([0, *(part.rows for part in store.snapshot().table("sep_base_academic").parts)])
    pieces = [base.slice(a, b - a) for a, b in pairwise(cuts)]
    with store.publish() as tx:
        tx.put("sep_base_academic", pieces, key=("ticker", "date"), meta={"keys": "these"})
    done = export_matrix(db, out, settings=SETTINGS)
    assert [path.name for path in Path(done.folder).iterdir()] == ["ticker=IN"]


def test_a_namespace_and_an_earlier_snapshot(db, out):
    before = write(db, "A", "B")
    first = Store(db).snapshot().id
    after, dear = write(db, "A", "B", seed=1), write(db, "C", seed=2, space="dear")
    now = Store(db).snapshot().id
    assert not before.equals(after)
    for folder, expected, which in (
        ("now", after, {}),
        ("old", before, {"snapshot": first}),
        ("dear", dear, {"namespace": "dear"}),
    ):
        done = export_matrix(db, out / folder, settings=SETTINGS, **which)
        same(read(done.folder), expected)
        assert done.snapshot == which.get("snapshot", now)
    with pytest.raises(InputError, match="feat_matrix does not exist in namespace dear"):
        export_matrix(db, out / "no", settings=SETTINGS, namespace="dear", snapshot=first)
    assert not (out / "no").exists()


def test_an_earlier_export_is_replaced(db, out):
    write(db, "A", "B", "C")
    export_matrix(db, out, settings=SETTINGS)
    expected = write(db, "B", "C", "D", seed=1)
    done = export_matrix(db, out, settings=SETTINGS)
    same(read(done.folder), expected)
    assert left(out) == {LAST}


FOREIGN = {
    "a folder": lambda target: (target / "notes").mkdir(parents=True),
    "an empty folder": lambda target: target.mkdir(parents=True),
    "a file": lambda target: target.write_text("mine"),
    "a link": lambda target: target.symlink_to(target.parent),
    "a link to nothing": lambda target: target.symlink_to(target.parent / "nowhere"),
    "other Parquet files": lambda target: pq.write_to_dataset(
        pa.table({"ticker": ["A"], "x": [1]}),
        target,
        partition_cols=["ticker"],
        basename_template="part-{i}.parquet",
    ),
}


def contents(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_is_no_export_is_left_alone(db, out, case, capsys):
    write(db, "A", "B")
    out.mkdir()
    FOREIGN[case](out / LAST)
    before = contents(out)
    assert kairos("--db", db, "--out", out) == 2
    assert "is not an export of Kairos" in capsys.readouterr().err
    assert contents(out) == before


def test_an_export_with_a_file_of_the_user_is_left_alone(db, out):
    write(db, "A", "B")
    export_matrix(db, out, settings=SETTINGS)
    (out / LAST / "model.pkl").write_text("mine")
    before = contents(out)
    with pytest.raises(InputError, match="holds other files too"):
        export_matrix(db, out, settings=SETTINGS)
    assert contents(out) == before


@pytest.mark.parametrize("earlier", [False, True])
def test_a_failed_export_leaves_what_was_there(db, out, earlier, monkeypatch):
    expected = write(db, *(f"T{i}" for i in range(12)))
    if earlier:
        export_matrix(db, out, settings=SETTINGS)
    written = []

    def full(path):
        written.append(path)
        if len(written) > 5:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(matrix_export, "sync", full)
    with pytest.raises(WorkError, match=rf"cannot write .*{LAST}.*No space left"):
        export_matrix(db, out, settings=SETTINGS)
    assert len(written) > 5
    assert left(out) == ({LAST} if earlier else set())
    if earlier:
        same(read(out / LAST), expected)


CODE = """
import pathlib, sys, time
from kairos.equity import matrix_export
from kairos.settings import load
write, written = matrix_export._write, []

def slow(*arguments):
    written.append(write(*arguments))
    if len(written) == 5:
        print("writing", flush=True)
    time.sleep(0.05 if len(written) < 5 else 60)
    return written[-1]

matrix_export._write = slow
matrix_export.export_matrix(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), settings=load())
"""


@pytest.mark.slow
@pytest.mark.parametrize("earlier", [False, True])
def test_a_killed_export_leaves_what_was_there_and_the_next_one_cleans_up(db, out, earlier):
    before = write(db, *(f"T{i}" for i in range(12)))
    if earlier:
        export_matrix(db, out, settings=SETTINGS)
    expected = write(db, *(f"U{i}" for i in range(12)), seed=1)
    run = subprocess.Popen([sys.executable, "-c", CODE, db, out], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "writing\n"
    with pytest.raises(WorkError, match="another export is writing"):
        export_matrix(db, out, settings=SETTINGS)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert (out / LAST).exists() == earlier
    if earlier:
        same(read(out / LAST), before)
    export_matrix(db, out, settings=SETTINGS)
    same(read(out / LAST), expected)
    assert left(out) == {LAST}


def test_killed_between_the_two_renames_the_earlier_export_comes_back(db, out, monkeypatch):
    expected = write(db, "A", "B")
    export_matrix(db, out, settings=SETTINGS)
    (out / LAST).rename(out / f".{LAST}.old")

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(matrix_export, "_write", fail)
    with pytest.raises(WorkError):
        export_matrix(db, out, settings=SETTINGS)
    assert left(out) == {LAST}
    same(read(out / LAST), expected)


def test_tables_that_do_not_fit_the_matrix_are_named(db, out):
    write(db, "A", "B")
    store = Store(db)
    table, matrix = (store.snapshot().table(name) for name in ("feat_two", "feat_matrix"))
    shorter = [pq.read_table(part.path).slice(1) for part in table.parts]
    with store.publish() as tx:
        tx.put("feat_two", shorter, key=table.key, meta=table.meta)
    with pytest.raises(WorkError, match="feat_two has not the rows of sep_base_academic"):
        export_matrix(db, out, settings=SETTINGS)
    with store.publish() as tx:
        tx.put("feat_two", [*table.parts], key=table.key, meta={"keys": "others"})
    with pytest.raises(WorkError, match="feat_two has not the rows of sep_base_academic"):
        export_matrix(db, out, settings=SETTINGS)
    without = {"inputs": {"sep_base_academic": "", "feat_one": ""}}
    with store.publish() as tx:
        tx.assemble("feat_matrix", matrix.sql, key=matrix.key, meta={**matrix.meta, "recipe": without})
    with pytest.raises(WorkError, match="no table has the columns feat_two__x, flag, word of feat_matrix"):
        export_matrix(db, out, settings=SETTINGS)
    assert not out.exists()


def test_a_matrix_without_rows_and_a_damaged_part(db, out):
    write(db, "A", "B", members=0.0)
    with pytest.raises(InputError, match="feat_matrix has no rows in namespace main"):
        export_matrix(db, out, settings=SETTINGS)
    write(db, "A", "B")
    part = Store(db).snapshot().table("feat_two").parts[2].path
    part.write_bytes(b"x" * part.stat().st_size)
    with pytest.raises(InputError, match=f"feat_two: its part {part} is damaged"):
        export_matrix(db, out, settings=SETTINGS)
    assert not out.exists() or left(out) == set()
    part.unlink()
    with pytest.raises(InputError, match=f"feat_two: its part {part} is missing"):
        export_matrix(db, out, settings=SETTINGS)


def test_the_command(db, out, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    expected = write(db, "A", "B", "C")
    assert kairos("--db", db, "--out", out, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["folder"] == str(out / LAST)
    assert (printed["rows"], printed["columns"], printed["tickers"]) == (len(expected), 7, 3)
    assert kairos("--db", db, "--out", out, "--snapshot", printed["snapshot"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{out / LAST}\n"
    assert f"{len(expected):,} rows of 7 columns, 3 tickers" in shown.err


WRONG = {
    "no such catalog": (["--db", "no.duckdb", "--out", "x"], "no database at"),
    "no such namespace": (["--out", "x", "--namespace", "no"], "feat_matrix does not exist in namespace no"),
    "no such snapshot": (["--out", "x", "--snapshot", "2019"], "snapshot"),
    "no folder given": ([], "Missing option '--out'"),
    "a file in its place": (["--out", "file"], "file is a file: give a folder with --out"),
    "a file above it": (["--out", "file/x"], "file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_leaves_with_2_and_no_file(db, tmp_path, monkeypatch, capsys, case):
    monkeypatch.chdir(tmp_path)
    write(db, "A", "B")
    Path("file").write_text("mine")
    arguments, message = WRONG[case]
    before = contents(tmp_path)
    code = kairos(*([] if "--db" in arguments else ["--db", db]), *arguments)
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
    assert code == (1 if case == "a file above it" else 2)
    assert contents(tmp_path) == before


def test_a_run_that_another_one_is_in_the_way_of_leaves_with_1(db, out, capsys):
    write(db, "A", "B")
    out.mkdir()
    with FileLock(out / ".kairos-export.lock"):
        assert kairos("--db", db, "--out", out) == 1
    assert "another export is writing" in capsys.readouterr().err
    assert left(out) == set()
