"""Two runs at once: the second is refused or waits, as it was told; and readers see one state to its end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from faults_desk import Command, Server, check_whole, copy, refused, results, tables

from kairos.store import Store

BUSY = ("another run is changing", "--wait")


def until(ready: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < limit, "nothing happens"
        time.sleep(0.01)


def at_work(command: Command, lock: Path) -> None:
    """Wait until a command holds its lock."""
    until(lambda: str(lock) in {str(Path(f"/proc/{command.pid}/fd/{n}").resolve()) for n in handles(command)})


def handles(command: Command) -> list[str]:
    try:
        return [path.name for path in Path(f"/proc/{command.pid}/fd").iterdir()]
    except FileNotFoundError:
        raise AssertionError(f"it ended before it was at work: {command.said()}") from None


pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="locks are looked up in /proc")


def test_the_second_build_is_refused_and_the_third_waits(
    server: Server, loaded: Path, tmp_path: Path
) -> None:
    db = copy(loaded, tmp_path / "store") / "kairos.duckdb"
    words = ["equity", "build", "feat_adv", "--db", db]
    first = server.start(*words)
    at_work(first, db.with_suffix(".main.lock"))
    first.kill(signal.SIGSTOP)
    refused(server.run(*words), 1, *BUSY, db)
    third = server.start("equity", "build", "feat_trend", "--db", db, "--wait")
    first.kill(signal.SIGCONT)
    assert first.end().code == 0
    assert third.end().code == 0
    assert {"main.feat_adv", "main.feat_trend"} <= set(tables(db))


@pytest.mark.slow
def test_the_second_training_is_refused_and_the_third_waits(
    server: Server, trained: Path, tmp_path: Path
) -> None:
    folder = copy(trained, tmp_path / "desk")
    before = results(folder)
    first = server.start("adr", "train", "--data", folder)
    at_work(first, folder / "data" / "processed" / ".kairos_run.lock")
    first.kill(signal.SIGSTOP)
    refused(server.run("adr", "train", "--data", folder), 1, *BUSY, folder)
    third = server.start("adr", "betas", "--data", folder, "--wait")
    first.kill(signal.SIGCONT)
    assert (first.end().code, third.end().code) == (0, 0)
    assert results(folder) == before
    check_whole(folder)


@pytest.mark.slow
@pytest.mark.parametrize("update_first", [True, False])
def test_a_build_and_an_update_in_both_orders(
    server: Server, loaded: Path, files: tuple[Path, Path], tmp_path: Path, update_first: bool
) -> None:
    reference = copy(loaded, tmp_path / "reference") / "kairos.duckdb"
    update = ["equity", "update", "--source", files[1], "--db"]
    server.done(*update, reference)
    db = copy(loaded, tmp_path / "store") / "kairos.duckdb"
    two = [update, ["equity", "build", "--db"]]
    one, other = two if update_first else reversed(two)
    first = server.start(*one, db)
    at_work(first, db.with_suffix(".main.lock"))
    second = server.start(*other, db, "--wait")
    assert (first.end().code, second.end().code) == (0, 0)
    assert tables(db) == tables(reference)


@pytest.mark.slow
def test_two_updates_lose_neither_evening(
    server: Server, built: Path, files: tuple[Path, Path], tmp_path: Path
) -> None:
    """Each has rows that the other does not: both are there in the end."""
    evenings = {}
    for name in ("SEP", "DAILY"):
        evenings[name] = tmp_path / name
        evenings[name].mkdir()
        file = f"SHARADAR_{name}.csv"
        (evenings[name] / file).write_bytes((files[1] / file).read_bytes())
    db = copy(built, tmp_path / "store") / "kairos.duckdb"
    first = server.start("equity", "update", "--source", evenings["SEP"], "--db", db)
    at_work(first, db.with_suffix(".main.lock"))
    refused(server.run("equity", "ingest", evenings["DAILY"], "--db", db), 1, *BUSY)
    second = server.start("equity", "update", "--source", evenings["DAILY"], "--db", db, "--wait")
    assert (first.end().code, second.end().code) == (0, 0)
    reference = copy(built, tmp_path / "reference") / "kairos.duckdb"
    server.done("equity", "update", "--source", files[1], "--db", reference)
    assert tables(db) == tables(reference)


@pytest.mark.slow
def test_two_minute_signals(server: Server, desk: Path, tmp_path: Path) -> None:
    folder = copy(desk, tmp_path / "desk")
    words = ["adr", "signal", "--data", folder]
    first = server.start(*words)
    at_work(first, folder / "data" / "processed" / ".kairos_run.lock")
    second = server.start(*words, "--force", "--wait")
    assert (first.end().code, second.end().code) == (0, 0)
    assert results(folder) == results(desk)


READER = """
import sys, duckdb
con = duckdb.connect(sys.argv[1], read_only=True)
cursor = con.execute("SELECT ticker, date FROM sep_base ORDER BY ticker, date")
rows = cursor.fetchmany(10)
print("open", flush=True)
sys.stdin.readline()
while more := cursor.fetchmany(1000):
    rows += more
count = con.execute("SELECT count(*) FROM sep_base").fetchone()[0]
print(len(rows), count, con.execute("SELECT count(*) FROM duckdb_views() WHERE NOT internal").fetchone()[0])
"""


@pytest.mark.slow
def test_a_reader_keeps_its_state_to_the_end(
    server: Server, loaded: Path, files: tuple[Path, Path], tmp_path: Path
) -> None:
    """Open cursors, of this process and of another, over a load, a build, and the removal of old parts."""
    db = copy(loaded, tmp_path / "store") / "kairos.duckdb"
    server.done("equity", "relocate", "--db", db)
    old, views = Store(db).snapshot(), len(tables(db)) + 1  # the ledger is one, too
    rows = old.table("sep_base").rows
    words = [sys.executable, "-c", READER, str(db)]
    other = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "open\n"
    with old.connect() as con:
        cursor = con.execute("SELECT ticker, date FROM sep_base ORDER BY ticker, date")
        mine = cursor.fetchmany(10)
        server.done("equity", "ingest", files[1], "--db", db)
        server.done("equity", "build", "feat_adv", "--db", db)
        server.done("equity", "vacuum", "--db", db, "--set", "store.vacuum_age_hours=0")
        while more := cursor.fetchmany(1000):
            mine += more
        assert con.execute("SELECT count(*) FROM sep_base").fetchone() == (rows,)
    assert len(mine) == rows
    assert other.communicate("go on\n")[0].split()[-3:] == [str(rows), str(rows), str(views)]
    with duckdb.connect(str(db), read_only=True) as now:
        assert now.execute("SELECT count(*) FROM sep_base").fetchone() == (
            Store(db).snapshot().table("sep_base").rows,
        )
        assert now.execute("SELECT count(*) FROM feat_adv").fetchone() != (0,)
    assert Store(db).snapshot().table("sep_base").rows > rows


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_asked_to_end(
    server: Server, trained: Path, tmp_path: Path, sent: int, code: int
) -> None:
    folder = copy(trained, tmp_path / "desk")
    before = results(folder)
    command = server.start("adr", "train", "--data", folder, "--set", "adr.model.selection=ic")
    at_work(command, folder / "data" / "processed" / ".kairos_run.lock")
    time.sleep(0.3)
    command.kill(sent)
    ended = command.end()
    assert ended.code == code
    assert ended.err.startswith({130: "kairos: interrupted\n", 143: "kairos: terminated\n"}[code])
    assert "Traceback" not in ended.err
    assert results(folder) == before
    assert not list((folder / "data").rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("after", [0.2, 0.9, 1.8])
def test_a_build_that_is_asked_to_end(
    server: Server, loaded: Path, tmp_path: Path, sent: int, code: int, after: float
) -> None:
    db = copy(loaded, tmp_path / "store") / "kairos.duckdb"
    before = tables(db)
    command = server.start("equity", "build", "--db", db)
    at_work(command, db.with_suffix(".main.lock"))
    time.sleep(after)
    command.kill(sent)
    ended = command.end()
    assert ended.code == code, ended
    assert "Traceback" not in ended.err
    assert tables(db) == before
    assert not [path for path in db.parent.rglob("*") if path.suffix in (".tmp", ".next")]


def test_a_reader_of_the_output_that_leaves(server: Server, loaded: Path, tmp_path: Path) -> None:
    """`kairos equity status | head -1`: no traceback."""
    pipe = tmp_path / "pipe"
    subprocess.run(["mkfifo", str(pipe)], check=True)
    reader = subprocess.Popen(["sh", "-c", f"exec < {pipe}; sleep 0.1"])
    command = server.start("equity", "status", "--db", loaded / "kairos.duckdb", out=pipe)
    reader.wait()
    ended = command.end()
    assert "Traceback" not in ended.err
    assert "Exception ignored" not in ended.err
    assert ended.code in (0, 1)
