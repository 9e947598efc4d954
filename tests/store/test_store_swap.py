"""The safety of the swap, with real shells and readers of other processes."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from store_helpers import KEY, ask, leave, open_shell, run_shell, year_part, years

import kairos
from kairos.errors import InputError, WorkError
from kairos.store import Store, catalog

SOURCE = Path(kairos.__file__).parents[1]


def python(code, *args, **options):
    """Start another Python process on a piece of code."""
    paths = [str(SOURCE), str(Path(__file__).parent)]
    script = f"import sys\nsys.path[:0] = {paths!r}\n{textwrap.dedent(code)}"
    command = [sys.executable, "-c", script, *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, **options)


def republish(store, seed):
    with store.publish() as tx:
        tx.put("sep", years(2019, 2020, seed=seed), key=KEY)


# Readers neither block a run nor see half of one.


def test_the_manual_queries_in_the_older_shell(filled):
    assert run_shell(filled.db, "SHOW TABLES") == ["sep", "tickers"]
    assert run_shell(filled.db, "SELECT column_name, column_type FROM (DESCRIBE sep)") == [
        "ticker,VARCHAR",
        "date,DATE",
        "x,FLOAT",
    ]
    assert [line.split(",")[1] for line in run_shell(filled.db, "PRAGMA table_info('sep')")] == [
        "ticker",
        "date",
        "x",
    ]
    assert run_shell(filled.db, "SELECT COUNT(*) FROM sep") == ["120"]
    assert run_shell(filled.db, "SELECT comment FROM duckdb_views() WHERE view_name = 'sep'")[0].startswith(
        '"Kairos table; key: ticker, date'
    )


def test_a_shell_reads_its_old_state_while_a_run_publishes(filled):
    total = "SELECT count(*), sum(x)::DECIMAL(18, 6) FROM sep;"
    with open_shell(filled.db, total, "-readonly") as shell:
        before = ask(shell, total)
        republish(filled, seed=1)
        with filled.publish() as tx:
            tx.drop("tickers")
        assert ask(shell, total) == before
        assert ask(shell, "SELECT count(*) FROM tickers;") == ["2"]
        assert run_shell(filled.db, total, "-readonly") != before
        assert run_shell(filled.db, "SHOW TABLES", "-readonly") == ["sep"]


def test_readers_of_other_libraries_keep_their_parts(filled):
    paths = [part.path for part in filled.snapshot().table("sep").parts]
    lazy = pl.scan_parquet(paths)
    expected = lazy.collect()
    reader = python(
        """
        import duckdb
        connection = duckdb.connect(sys.argv[1], read_only=True)
        print(connection.execute("SELECT count(*) FROM sep").fetchone()[0], flush=True)
        sys.stdin.readline()
        print(connection.execute("SELECT sum(x) FROM sep").fetchone()[0], flush=True)
        """,
        filled.db,
    )
    assert reader.stdout.readline().strip() == "120"
    republish(filled, seed=1)
    assert filled.vacuum().parts == 0
    total = float(reader.communicate("go\n", timeout=20)[0])
    assert total == pytest.approx(expected["x"].cast(pl.Float64).sum())
    assert lazy.collect().equals(expected)
    assert (
        not pl.scan_parquet([p.path for p in filled.snapshot().table("sep").parts]).collect().equals(expected)
    )


def test_a_reader_in_this_process_gets_the_new_state_beside_an_open_connection(filled):
    with duckdb.connect(str(filled.db), read_only=True) as connection:
        first = filled.snapshot().id
        republish(filled, seed=1)
        second = filled.snapshot().id
        assert second > first
        with filled.publish() as tx:
            assert tx.base.id == second
        assert connection.execute("SELECT count(*) FROM sep").fetchone() == (120,)


# A catalog that is being written to isn't replaced.


def test_a_shell_open_for_writing_is_respected(filled):
    before = filled.snapshot().id
    with open_shell(filled.db, "CREATE TABLE mine AS SELECT 42 AS n;") as shell:
        assert filled.snapshot().read("sep").num_rows == 120  # reading goes on
        words = rf"open for writing in .*duckdb \(PID {shell.pid}\).*--wait"
        with pytest.raises(WorkError, match=words), filled.publish():
            pytest.fail("it must be refused before any work")
        assert ask(shell, "INSERT INTO mine VALUES (43); SELECT count(*) FROM mine;") == ["2"]
        leave(shell)
    assert filled.snapshot().id == before
    republish(filled, seed=1)
    assert run_shell(filled.db, "FROM mine") == ["42", "43"]
    assert filled.snapshot().id > before


def test_a_shell_opened_during_the_work_is_respected(filled):
    before = filled.snapshot().id
    publishing = filled.publish()
    publishing.__enter__().drop("tickers")
    with open_shell(filled.db, "CREATE TABLE mine AS SELECT 42 AS n;") as shell:
        with pytest.raises(WorkError, match="open for writing"):
            publishing.__exit__(None, None, None)
        assert filled.snapshot().id == before
        leave(shell)
    republish(filled, seed=1)
    assert run_shell(filled.db, "FROM mine; SELECT count(*) FROM tickers") == ["42", "2"]


def test_waiting_ends_when_the_shell_is_closed(filled):
    with open_shell(filled.db, "CREATE TABLE mine AS SELECT 42 AS n;") as shell:
        timer = threading.Timer(1.0, leave, [shell])
        timer.start()
        start = time.monotonic()
        with filled.publish(wait=True, timeout=30) as tx:
            tx.drop("tickers")
        assert time.monotonic() - start > 0.7
        timer.join()
    assert run_shell(filled.db, "SHOW TABLES; FROM mine") == ["mine", "sep", "42"]


def test_waiting_is_bounded(filled):
    with open_shell(filled.db, "SELECT 1;"):
        start = time.monotonic()
        with pytest.raises(WorkError, match="open for writing"), filled.publish(wait=True, timeout=0.5) as tx:
            tx.drop("tickers")
        assert 0.4 < time.monotonic() - start < 5


def test_writers_of_this_process_are_respected(filled):
    connection = duckdb.connect(str(filled.db))
    connection.execute("CREATE TABLE mine AS SELECT 42 AS n")
    assert filled.snapshot().read("sep").num_rows == 120
    with pytest.raises(WorkError, match="this very process"), filled.publish():
        pass
    # Looking hasn't dropped this process's lock:
    refused = subprocess.run(
        [sys.executable, "-c", f"import duckdb; duckdb.connect({str(filled.db)!r})"], capture_output=True
    )
    assert b"Conflicting lock" in refused.stderr
    connection.close()
    with duckdb.connect() as other:
        other.execute(f"ATTACH '{filled.db}' AS held")
        with pytest.raises(WorkError, match="close that connection"):
            filled.snapshot()
    republish(filled, seed=1)
    assert run_shell(filled.db, "FROM mine") == ["42"]


def test_the_log_of_a_crashed_shell_is_not_lost(filled):
    with open_shell(filled.db, "CREATE TABLE mine AS SELECT 42 AS n;") as shell:
        shell.kill()
        shell.wait()
    assert filled.db.with_name("kairos.duckdb.wal").exists()
    assert filled.snapshot().read("sep").num_rows == 120
    with (
        pytest.raises(WorkError, match=r"kairos.duckdb.wal holds changes.*open the database once"),
        filled.publish(),
    ):
        pass
    run_shell(filled.db, "CHECKPOINT")  # the advice
    republish(filled, seed=1)
    assert run_shell(filled.db, "FROM mine; SELECT count(*) FROM sep") == ["42", "120"]


def test_a_log_without_database_stops_the_first_publishing(store):
    store.db.parent.mkdir(parents=True)
    log = store.db.with_name("kairos.duckdb.wal")
    log.write_bytes(b"left behind")
    with pytest.raises(WorkError, match="delete it"), store.publish() as tx:
        tx.put("t", [year_part(2020)], key=KEY)
    assert not store.exists


def test_writers_are_kept_out_during_the_swap(filled, monkeypatch):
    tried = []
    original = catalog._write

    def write(connection, layout, manifest):
        original(connection, layout, manifest)
        tried.append(
            subprocess.run(
                [sys.executable, "-c", f"import duckdb; duckdb.connect({str(layout.db)!r})"],
                capture_output=True,
            )
        )
        tried.append(run_shell(layout.db, "SELECT count(*) FROM sep", "-readonly"))

    monkeypatch.setattr(catalog, "_write", write)
    republish(filled, seed=1)
    assert b"Conflicting lock" in tried[0].stderr
    assert tried[1] == ["120"]


# Only a catalog of Kairos is replaced, and what users made in it stays.


@pytest.mark.parametrize("kind", ["duckdb", "text", "empty", "similar"])
def test_a_foreign_file_is_left_alone(store, kind):
    store.db.parent.mkdir(parents=True)
    if kind in ("duckdb", "similar"):
        with duckdb.connect(str(store.db)) as connection:
            connection.execute("CREATE TABLE sep AS SELECT 1 AS a")
            if kind == "similar":
                connection.execute(
                    "CREATE SCHEMA kairos_meta; CREATE TABLE kairos_meta.catalog (format INTEGER)"
                )
    else:
        store.db.write_text("important notes" * 1000 if kind == "text" else "")
    content = store.db.read_bytes()
    words = r"is not a catalog of Kairos.*--db.*kairos equity ingest"
    with pytest.raises(InputError, match=words):
        store.snapshot()
    with pytest.raises(InputError, match=words), store.publish() as tx:
        tx.put("sep", [year_part(2020)], key=KEY)
    with pytest.raises(InputError, match=words):
        store.relocate()
    with pytest.raises(InputError, match=words):
        store.vacuum()
    assert store.db.read_bytes() == content


def test_a_foreign_file_that_appears_during_the_work_is_left_alone(store):
    publishing = store.publish()
    publishing.__enter__().put("t", [year_part(2020)], key=KEY)
    duckdb.connect(str(store.db)).execute("CREATE TABLE a (i INTEGER)").close()
    with pytest.raises(InputError, match="is not a catalog of Kairos"):
        publishing.__exit__(None, None, None)
    with duckdb.connect(str(store.db)) as connection:
        assert connection.execute("SHOW TABLES").fetchall() == [("a",)]


def test_a_newer_format_is_refused(filled):
    with duckdb.connect(str(filled.db)) as connection:
        connection.execute("UPDATE kairos_meta.catalog SET format = 99")
    with pytest.raises(InputError, match="newer Kairos"):
        filled.snapshot()
    with pytest.raises(InputError, match="newer Kairos"):
        republish(filled, seed=1)


def test_objects_of_users_are_carried_over(filled):
    run_shell(
        filled.db,
        """
        CREATE TABLE notes (id INTEGER PRIMARY KEY, word VARCHAR DEFAULT 'none');
        INSERT INTO notes (id) VALUES (1), (2);
        CREATE INDEX by_word ON notes (word);
        CREATE VIEW busy AS SELECT ticker, count(*) AS n FROM sep GROUP BY ticker ORDER BY ticker;
        CREATE MACRO twice(a) AS 2 * a;
        CREATE MACRO of_ticker(t) AS TABLE SELECT count(*) AS n FROM sep WHERE ticker = t;
        CREATE SEQUENCE counter START 5;
        CREATE TYPE mood AS ENUM ('calm', 'wild');
        CREATE SCHEMA work;
        CREATE TABLE work.plan AS SELECT 'wild'::mood AS m;
        CREATE VIEW work.sep AS SELECT 'mine' AS whose;
        """,
    )
    for seed in range(3):
        republish(filled, seed)
    assert run_shell(
        filled.db,
        """
        SELECT sum(id), min(word) FROM notes; FROM busy; SELECT twice(21); FROM of_ticker('A');
        SELECT nextval('counter'); SELECT m FROM work.plan; FROM work.sep;
        SELECT count(*) FROM duckdb_indexes();
        """,
    ) == ["3,none", "A,40", "B,40", "C,40", "42", "40", "5", "wild", "mine", "1"]


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE Feat_X (a INTEGER)", "CREATE VIEW feat_x AS SELECT 1 AS a"]
)
def test_an_object_of_a_user_under_the_name_of_a_table_is_an_error(filled, statement):
    run_shell(filled.db, statement)
    before = filled.db.read_bytes()
    with pytest.raises(InputError, match=r"main\.feat_x of your own"), filled.publish() as tx:
        tx.put("feat_x", [year_part(2020)], key=KEY)
    assert filled.db.read_bytes() == before


def test_a_view_of_ours_that_a_user_replaced_is_theirs(filled):
    run_shell(filled.db, "CREATE OR REPLACE VIEW sep AS SELECT 'mine' AS whose")
    with pytest.raises(InputError, match=r"main\.sep of your own"):
        republish(filled, seed=1)
    run_shell(filled.db, "DROP VIEW sep")
    republish(filled, seed=1)
    assert run_shell(filled.db, "SELECT count(*) FROM sep") == ["120"]


def test_permissions_and_links_survive(filled, tmp_path):
    filled.db.chmod(0o640)
    link = tmp_path / "link.duckdb"
    link.symlink_to(filled.db)
    republish(Store(link), seed=1)
    assert link.is_symlink()
    assert filled.db.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in filled.db.parent.iterdir()) == ["kairos", "kairos.duckdb", "kairos.lock"]


# Killed runs and runs at the same time.

PUBLISHER = """
    import time
    from pathlib import Path
    from kairos.store import Store
    from store_helpers import KEY, years
    store = Store(Path(sys.argv[1]))
    for seed in range(10_000):
        with store.publish() as tx:
            tx.put("sep", years(2019, 2020, seed=seed), key=KEY)
            tx.put("other", years(2019, 2020, seed=seed), key=KEY)
        print("published", flush=True)
"""


def test_killing_a_publisher_leaves_a_complete_catalog(filled):
    for pause in np.random.default_rng(0).uniform(0, 0.3, 10):
        publisher = python(PUBLISHER, filled.db)
        assert publisher.stdout.readline() == "published\n"
        time.sleep(pause)
        os.kill(publisher.pid, signal.SIGKILL)
        publisher.communicate()
        snap = filled.snapshot()
        assert snap.table("sep").fingerprint == snap.table("other").fingerprint  # both of the same run
        assert snap.read("sep").num_rows == 120
        assert run_shell(
            filled.db, "SELECT count(*) FROM sep; SELECT count(*) FROM tickers", "-readonly"
        ) == ["120", "2"]
    filled.verify()
    republish(filled, seed=77)
    again = Store(filled.db.parent / "again.duckdb")
    republish(again, seed=77)
    assert filled.snapshot().table("sep").fingerprint == again.snapshot().table("sep").fingerprint
    assert not filled.layout.next.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    [
        "kairos.store.catalog._copy",
        "kairos.store.catalog._write",
        "kairos.store.catalog.sync",
        "pathlib.Path.replace",
        "kairos.store.history.record",
    ],
)
def test_killed_between_two_steps(filled, step):
    """The process dies right before a step; the catalog is the old one or the new one, whole."""
    first = filled.snapshot().id
    publisher = python(
        """
        import os, pkgutil, signal
        from pathlib import Path
        from kairos.store import Store
        from store_helpers import KEY, years
        where, _, name = sys.argv[2].rpartition(".")
        owner = pkgutil.resolve_name(where)
        original = getattr(owner, name)
        def die(*args, **kwargs):
            if owner is not Path or args[0].name.endswith(".next"):
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)
        setattr(owner, name, die)
        with Store(Path(sys.argv[1])).publish() as tx:
            tx.put("sep", years(2019, 2021), key=KEY)
        """,
        filled.db,
        step,
    )
    publisher.communicate(timeout=30)
    assert publisher.returncode == -signal.SIGKILL
    published = step.endswith("record")
    assert (filled.snapshot().id > first) == published
    rows = 180 if published else 120
    assert run_shell(filled.db, "SELECT count(*) FROM sep", "-readonly") == [str(rows)]
    assert [snap.read("sep").num_rows for snap in filled.snapshots()] == ([120, 180] if published else [120])
    with filled.publish() as tx:
        tx.put("sep", years(2019, 2021), key=KEY)
    assert filled.snapshot().read("sep").num_rows == 180
    assert [snap.read("sep").num_rows for snap in filled.snapshots()] == [120, 180]
    assert not filled.layout.next.exists()


def test_processes_that_publish_at_once_lose_nothing(filled):
    code = """
        import pyarrow as pa
        from pathlib import Path
        from kairos.store import Store
        store = Store(Path(sys.argv[1]))
        print("ready", flush=True)
        sys.stdin.readline()
        for i in range(3):
            with store.publish() as tx:
                name = f"{sys.argv[2]}{i}"
                tx.append("tickers", pa.table({"ticker": [name], "name": [name]}), key=("ticker",))
                tx.put(f"t_{name}", [pa.table({"a": [i]})], key=("a",))
    """
    publishers = [python(code, filled.db, letter) for letter in "xyz"]
    for publisher in publishers:
        publisher.stdout.readline()
    for publisher in publishers:
        publisher.stdin.write("go\n")
        publisher.stdin.flush()
    for publisher in publishers:
        publisher.communicate(timeout=60)
        assert publisher.returncode == 0
    wanted = [f"{letter}{i}" for letter in "xyz" for i in range(3)]
    snap = filled.snapshot()
    assert sorted(snap.read("tickers")["ticker"].to_pylist()) == ["A", "B", *wanted]
    assert {f"t_{name}" for name in wanted} < {name for _, name in snap.tables}


def test_readers_see_only_whole_states_while_others_publish(filled):
    with filled.publish() as tx:
        tx.put("sep", years(2019, 2020), key=KEY)
        tx.put("other", years(2019, 2020), key=KEY)
    publisher = python(PUBLISHER, filled.db)
    publisher.stdout.readline()
    seen = set()
    end = time.monotonic() + 20.0
    try:
        while len(seen) < 5:
            assert time.monotonic() < end, "nothing is being published"
            snap = filled.snapshot()
            seen.add(snap.id)
            assert snap.table("sep").fingerprint == snap.table("other").fingerprint
            with duckdb.connect(str(filled.db), read_only=True) as connection:
                differing = connection.execute(
                    "SELECT count(*) FROM sep ANTI JOIN other USING (ticker, date, x)"
                )
                assert differing.fetchone() == (0,)
    finally:
        publisher.kill()
        publisher.communicate()


def test_a_torn_copy_is_taken_again(filled, monkeypatch):
    original = shutil.copyfile
    copies = []

    def torn(source, target):
        original(source, target)
        copies.append(target)
        if len(copies) < 3:
            content = bytearray(Path(target).read_bytes())
            content[4096 * 2 :] = b"\0" * (len(content) - 4096 * 2)
            Path(target).write_bytes(content)

    monkeypatch.setattr(catalog.shutil, "copyfile", torn)
    assert filled.snapshot().read("sep").num_rows == 120
    assert len(copies) == 3


def test_a_damaged_catalog_is_reported(filled):
    content = filled.db.read_bytes()
    filled.db.write_bytes(content[:20_000])
    with pytest.raises(InputError, match="can't be read"):
        filled.snapshot()
    with pytest.raises((InputError, WorkError)):
        republish(filled, seed=1)
    assert filled.db.read_bytes() == content[:20_000]


def test_the_older_release_writes_into_the_catalog_too(filled):
    run_shell(filled.db, "CREATE TABLE mine AS SELECT 1 AS a; CHECKPOINT")
    with filled.publish() as tx:
        tx.append("tickers", pa.table({"ticker": ["C"], "name": ["Gamma"]}), key=("ticker",))
    assert run_shell(
        filled.db, "INSERT INTO mine VALUES (2); SELECT sum(a) FROM mine; SELECT count(*) FROM tickers"
    ) == ["3", "3"]
