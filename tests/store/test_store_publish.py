"""Publishing: all or nothing, names, appends, snapshots, upkeep."""

import datetime as dt
import os
import shutil
import time

import duckdb
import pyarrow as pa
import pytest
from store_helpers import KEY, run_shell, year_part, years

from kairos.errors import InputError, WorkError
from kairos.store import Store, catalog, ledger, parts
from kairos.store.version import code_version

OLD = dt.timedelta(seconds=-5)


def names(store):
    return sorted(store.snapshot().tables)


def files(store):
    return sorted(path.name for path in store.layout.folder.glob("*/*.parquet"))


def test_before_the_first_publishing(store):
    assert not store.exists
    with pytest.raises(InputError, match="kairos equity ingest SOURCE"):
        store.snapshot()
    with store.publish() as tx:
        assert tx.base.id == ""
        assert not tx.base.tables
        with pytest.raises(InputError, match="none is published"):
            tx.base.table("sep")
    assert not store.exists


def test_nothing_is_published_by_a_block_that_fails(filled):
    before = filled.snapshot()
    with pytest.raises(ZeroDivisionError), filled.publish() as tx:  # noqa: PT012 - the block is what is tested
        tx.put("other", [year_part(2020)], key=KEY)
        tx.drop("sep")
        raise ZeroDivisionError
    after = filled.snapshot()
    assert (after.id, dict(after.tables)) == (before.id, dict(before.tables))


def test_untouched_tables_are_carried_over(filled):
    before = filled.snapshot()
    with filled.publish() as tx:
        tx.put("feat_beta", years(2019, 2020, seed=5), key=KEY)
    after = filled.snapshot()
    assert after.table("sep") == before.table("sep")
    assert after.table("sep").meta == {"note": "two years"}
    assert after.id > before.id
    assert after.created > before.created
    assert after.code_version == code_version()


def test_name_shares_the_parts(filled):
    count = len(files(filled))
    with filled.publish() as tx:
        tx.name("sep_base", tx.base.table("sep"))
        tx.name("sep", tx.base.table("sep"), namespace="trial")
    snap = filled.snapshot()
    assert snap.table("sep_base").parts == snap.table("sep").parts == snap.table("sep", "trial").parts
    assert len(files(filled)) == count
    assert snap.read("sep_base").num_rows == 120


def test_drop_leaves_older_snapshots_whole(filled):
    before = filled.snapshot()
    with filled.publish() as tx:
        tx.drop("sep")
        tx.drop("never_there")
    assert names(filled) == [("main", "tickers")]
    assert filled.snapshot(before.id).read("sep").num_rows == 120
    assert run_shell(filled.db, "SHOW TABLES") == ["tickers"]


def test_preview_reads_what_is_not_published(filled):
    with filled.publish() as tx:
        tx.put("sep", [year_part(2021)], key=KEY)
        tx.append("tickers", pa.table({"ticker": ["C"], "name": ["Gamma"]}), key=("ticker",))
        assert tx.preview().read("sep").num_rows == 60
        assert tx.preview().read("tickers").num_rows == 3
        assert tx.base.read("sep").num_rows == 120
    assert filled.snapshot().read("sep").num_rows == 60


def test_append_adds_parts_and_compacts_them_by_year(tmp_path):
    store = Store(tmp_path / "k.duckdb", compact_parts=5)
    with store.publish() as tx:
        tx.put("daily", years(2019, 2020, days=5), key=KEY)
    start = dt.date(2021, 3, 1)
    expected = store.snapshot().read("daily").to_pylist()
    counts = []
    for i in range(8):
        rows = pa.table(
            {
                "ticker": ["A", "B", "C"],
                "date": [start + dt.timedelta(days=i)] * 3,
                "x": pa.array([i, i, i], pa.float32()),
            }
        )
        expected += rows.to_pylist()
        with store.publish() as tx:
            tx.append("daily", rows, key=KEY)
        counts.append(len(store.snapshot().table("daily").parts))
    assert counts == [3, 4, 5, 3, 4, 5, 3, 4]
    table = store.snapshot().table("daily")
    assert table.parts[:2] == store.snapshots()[0].table("daily").parts
    by_key = sorted(expected, key=lambda row: (row["ticker"], row["date"]))
    assert (
        sorted(store.snapshot().read("daily").to_pylist(), key=lambda row: (row["ticker"], row["date"]))
        == by_key
    )
    compacted = store.snapshots()[-2].table("daily").parts[-1]
    keys = pa.parquet.read_table(compacted.path).select(["ticker", "date"]).to_pylist()
    assert keys == sorted(keys, key=lambda row: (row["ticker"], row["date"]))


def test_append_checks_keys_and_columns(filled):
    new = pa.table({"ticker": ["C"], "name": ["Gamma"]})
    with filled.publish() as tx:
        tx.append("tickers", new, key=("ticker",), meta={"v": 2})
    assert filled.snapshot().table("tickers").meta == {"v": 2}
    with pytest.raises(WorkError, match="tickers: two rows have the key ticker C"), filled.publish() as tx:
        tx.append("tickers", new, key=("ticker",))
    with pytest.raises(WorkError, match="other columns: title"), filled.publish() as tx:
        tx.append("tickers", pa.table({"ticker": ["D"], "name": ["x"], "title": ["y"]}), key=("ticker",))
    with pytest.raises(WorkError, match="another key"), filled.publish() as tx:
        tx.append("tickers", pa.table({"ticker": ["D"], "name": ["x"]}), key=("name",))
    with filled.publish() as tx:
        tx.append("tickers", new.slice(0, 0), key=("ticker",))
    assert filled.snapshot().table("tickers").rows == 3


def test_snapshots_stay_what_they_were(tmp_path):
    store = Store(tmp_path / "k.duckdb", keep_snapshots=3)
    ids = []
    for seed in range(5):
        with store.publish() as tx:
            tx.put("t", [year_part(2020, seed=seed)], key=KEY)
        ids.append(store.snapshot().id)
    assert ids == sorted(ids)
    assert [snap.id for snap in store.snapshots()] == ids[2:]
    for seed, snap in enumerate(store.snapshots(), start=2):
        assert snap.read("t").to_pylist() == year_part(2020, seed=seed).to_pylist()
        assert store.snapshot(snap.id).table("t") == snap.table("t")
    assert store.snapshot(ids[3][:-3]).id == ids[3]
    with pytest.raises(InputError, match=f"no snapshot is kept under '{ids[0]}'.*{ids[2]}"):
        store.snapshot(ids[0])
    with pytest.raises(InputError, match="3 snapshots begin with '2'"):
        store.snapshot("2")


def test_results_displace_no_state_and_a_state_that_returns_is_one(tmp_path):
    store = Store(tmp_path / "k.duckdb", keep_snapshots=2)

    def put(name, seed, **meta):
        with store.publish() as tx:
            tx.put(name, [year_part(2020, seed=seed)], key=KEY, meta=meta)
        return store.snapshot().id

    first, *of_it = [put("t", 0), *(put("r", seed, result=True) for seed in range(3))]
    second = put("t", 1)
    assert [snap.id for snap in store.snapshots()] == [first, *of_it, second]
    again = put("t", 0)
    third = put("t", 2)
    assert [snap.id for snap in store.snapshots()] == [first, *of_it, again, third]


def test_publishing_reads_no_kept_manifest(filled):
    """However many backtests there were; and one that is damaged stops nobody but who asks for it."""
    first = filled.snapshot().id
    damaged = filled.layout.manifests / filled.snapshot()._manifest.state / f"{first}.json"
    with filled.publish() as tx:
        tx.put("t", [year_part(2020)], key=KEY)
    damaged.write_text("{")
    with filled.publish() as tx:
        tx.put("t", [year_part(2021)], key=KEY)
    for ask in (filled.snapshots, filled.vacuum, filled.verify, lambda: filled.snapshot(first)):
        with pytest.raises(InputError, match=f"{first}.json is damaged.*put it back"):
            ask()


def test_ids_grow_even_if_the_clock_goes_back(filled, monkeypatch):
    before = filled.snapshot()

    class Earlier(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return dt.datetime(2001, 1, 1, tzinfo=tz)

    monkeypatch.setattr("kairos.store.tables.dt.datetime", Earlier)
    with filled.publish() as tx:
        tx.drop("sep")
    assert filled.snapshot().id > before.id


def test_a_swap_that_was_not_recorded_is_recorded_by_the_next(filled):
    first = filled.snapshot().id
    shutil.rmtree(filled.layout.manifests)  # as if killed right after the rename
    assert [snap.id for snap in filled.snapshots()] == [first]
    with filled.publish() as tx:
        tx.drop("sep")
    assert filled.snapshot(first).read("sep").num_rows == 120


def test_two_publishers_in_one_process_lose_nothing(filled):
    with filled.publish() as one, filled.publish() as other:
        one.put("a", [year_part(2020)], key=KEY)
        other.put("b", [year_part(2020)], key=KEY)
        other.append("tickers", pa.table({"ticker": ["Y"], "name": ["y"]}), key=("ticker",))
        one.append("tickers", pa.table({"ticker": ["X"], "name": ["x"]}), key=("ticker",))
    assert names(filled) == [("main", name) for name in ("a", "b", "sep", "tickers")]
    assert sorted(filled.snapshot().read("tickers")["ticker"].to_pylist()) == ["A", "B", "X", "Y"]


def test_a_held_lock_is_reported(filled, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr("kairos.store.store.PATIENCE", 0.1)
    with (
        pytest.raises(WorkError, match=r"another run has been publishing.*kairos.lock"),
        FileLock(filled.layout.lock),
    ):
        filled.vacuum()


def test_catalog_does_not_grow_with_publishing(filled):
    for seed in range(3):
        with filled.publish() as tx:
            tx.put("t", [year_part(2020, seed=seed)], key=KEY)
    size = filled.db.stat().st_size
    for seed in range(3, 15):
        with filled.publish() as tx:
            tx.put("t", [year_part(2020, seed=seed)], key=KEY)
    assert filled.db.stat().st_size <= 2 * size


def test_vacuum_spares_what_is_named_or_young(tmp_path):
    store = Store(tmp_path / "k.duckdb", keep_snapshots=2)
    for seed in range(4):
        with store.publish() as tx:
            tx.put("t", [year_part(2020, seed=seed)], key=KEY)
    (store.layout.folder / "t" / "x.parquet.abc.tmp").write_bytes(b"half")
    (store.layout.folder / "_spill_0").mkdir()
    (store.layout.folder / "_spill_0" / "duckdb_temp").write_bytes(b"spilled by a killed run")
    (store.layout.folder / "t" / "notes.txt").write_text("a user's own")
    (store.layout.folder / "t" / "theirs.parquet").write_text("a user's own")
    total = len(files(store))
    assert store.vacuum() == store.vacuum(dry_run=True)
    assert store.vacuum().parts == store.vacuum().temporary == 0
    planned = store.vacuum(age=OLD, dry_run=True)
    assert (planned.parts, planned.temporary) == (2, 2)
    assert len(files(store)) == total
    assert store.vacuum(age=OLD) == planned
    assert planned.bytes > 4
    assert len(files(store)) == total - 2
    assert store.vacuum(age=OLD).parts == 0
    assert [snap.read("t").num_rows for snap in store.snapshots()] == [60, 60]
    assert (store.layout.folder / "t" / "notes.txt").exists()
    assert not list(store.layout.folder.glob("t/*.tmp"))


def test_writing_a_part_again_makes_it_young(filled):
    old = time.time() - 10 * 86_400
    with filled.publish() as tx:
        table = tx.put("t", [year_part(2020)], key=KEY)
        tx.drop("t")
    os.utime(table.parts[0].path, (old, old))
    with filled.publish() as tx:
        tx.put("t", [year_part(2020)], key=KEY)
        assert filled.vacuum().parts == 0
    assert filled.snapshot().read("t").num_rows == 60


def test_a_part_that_vanished_before_the_end_stops_publishing(filled):
    before = filled.snapshot().id
    with pytest.raises(InputError, match="is missing"), filled.publish() as tx:
        tx.put("t", [year_part(2020)], key=KEY).parts[0].path.unlink()
    assert filled.snapshot().id == before


def test_damage_is_found_and_mended(filled):
    assert filled.verify().parts == 3
    part = filled.snapshot().table("sep").parts[1]
    data = bytearray(part.path.read_bytes())
    data[100] ^= 1
    part.path.write_bytes(data)
    with pytest.raises(InputError, match=f"1 of 3 parts are damaged: .*{part.digest}"):
        filled.verify()
    part.path.unlink()
    with filled.publish() as tx:
        tx.put("sep", years(2019, 2020), key=KEY)
    assert filled.verify().parts == 3


def test_relocate(filled, tmp_path):
    with filled.publish() as tx:
        tx.put("sep", years(2019, 2021), key=KEY)
    first, last = filled.snapshots()
    run_shell(filled.db, "CREATE TABLE mine AS SELECT 7 AS n")
    shutil.move(filled.db.parent, tmp_path / "moved")
    moved = Store(tmp_path / "moved" / "kairos.duckdb")
    assert moved.snapshot().read("sep").num_rows == 180  # our own readers need no relocation
    assert moved.relocate() == 2
    assert moved.snapshot().id == last.id
    assert moved.snapshot(first.id).read("sep").num_rows == 120
    assert run_shell(moved.db, "SELECT count(*) FROM sep; SELECT n FROM mine") == ["180", "7"]
    moved.snapshot(first.id).table("tickers").parts[0].path.unlink()
    with pytest.raises(InputError, match="is missing"):
        moved.relocate()


def test_export_is_one_native_file_for_the_older_shell(filled, tmp_path):
    first = filled.snapshot().id
    with filled.publish() as tx:
        tx.put("sep", years(2019, 2021), key=KEY)
        tx.put("feat", [year_part(2020)], key=KEY, namespace="trial")
    target = tmp_path / "out" / "all.duckdb"
    filled.export(target)
    expected = filled.snapshot().read("sep").to_pylist()
    with filled.snapshot().connect() as connection:
        digest = connection.execute(
            "SELECT md5(string_agg(sep::VARCHAR, '|' ORDER BY ticker, date)) FROM sep"
        ).fetchone()[0]
    shutil.rmtree(filled.db.parent)
    assert run_shell(
        target,
        "SELECT count(*), md5(string_agg(sep::VARCHAR, '|' ORDER BY ticker, date)) FROM sep",
        "-readonly",
    ) == [f"{len(expected)},{digest}"]
    assert run_shell(
        target, "SELECT count(*) FROM trial.feat; SELECT count(*) FROM duckdb_views() WHERE NOT internal"
    ) == ["60", "0"]
    assert run_shell(target, "SHOW TABLES") == ["sep", "tickers"]
    assert list(target.parent.iterdir()) == [target]
    assert first


def test_export_replaces_only_exports(filled, tmp_path):
    first = filled.snapshot().id
    with filled.publish() as tx:
        tx.drop("sep")
    target = tmp_path / "all.duckdb"
    filled.export(target, snapshot=first)
    with pytest.raises(InputError, match="--force"):
        filled.export(target)
    assert run_shell(target, "SHOW TABLES") == ["sep", "tickers"]
    filled.export(target, force=True)
    assert run_shell(target, "SHOW TABLES") == ["tickers"]
    for other in (filled.db, tmp_path / "text", tmp_path / "foreign.duckdb"):
        if other.name == "text":
            other.write_text("notes")
        elif other.name == "foreign.duckdb":
            duckdb.connect(str(other)).execute("CREATE TABLE a (i INTEGER)").close()
        content = other.read_bytes()
        with pytest.raises(InputError, match="not an export"):
            filled.export(other, force=True)
        assert other.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_explained(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(WorkError, match=r"cannot write .*--db"):
        put_one(Store(tmp_path / "file" / "k.duckdb"))


def put_one(store):
    with store.publish() as tx:
        tx.put("t", [year_part(2020)], key=KEY)


def test_what_does_not_fit_in_memory_is_spilled(tmp_path):
    store = Store(tmp_path / "k.duckdb", memory_limit="40MB")
    put_one(store)
    with store.snapshot().connect() as connection:
        rows = "SELECT a, a::VARCHAR || repeat('x', 30) AS s FROM range(1500000) t(a)"
        found = connection.execute(
            f"SELECT min(s), count(*) FROM (FROM ({rows}) ORDER BY hash(a) LIMIT 1400000)"
        )
        assert found.fetchone()[1] == 1_400_000
    assert not list(store.layout.folder.glob("_spill*"))


def test_a_full_disk_is_explained(filled, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    before = filled.snapshot().id
    monkeypatch.setattr("kairos.store.layout.os.fsync", full)
    with pytest.raises(WorkError, match="No space left on device"), filled.publish() as tx:
        tx.put("t", [year_part(2020)], key=KEY)
    monkeypatch.undo()
    assert filled.snapshot().id == before
    assert not list(filled.db.parent.rglob("*.tmp"))


def test_ledger(filled):
    data = filled.snapshot().id
    assert ledger.runs(filled.snapshot()) == []
    made = [
        ledger.new_run(
            "backtest baseline",
            snapshot=data,
            config={"b": i, "a": (1, 2)},
            headline={"sharpe": s},
            seed=i or None,
        )
        for i, s in enumerate([1.5, float("nan"), 0.5])
    ]
    for run in made:
        with filled.publish() as tx:
            ledger.record(tx, run)
    snap = filled.snapshot()
    assert ledger.runs(snap) == made
    assert made[0].config == '{"a": [1, 2], "b": 0}'
    assert made[1].headline == '{"sharpe": null}'
    assert len({run.config_hash for run in made}) == 3
    assert ledger.find(snap, made[1].id) == made[1]
    with pytest.raises(InputError, match="no run has the identifier 'zzz'"):
        ledger.find(snap, "zzz")
    with pytest.raises(InputError, match="3 runs begin with"):
        ledger.find(snap, made[0].id[:4])
    assert run_shell(filled.db, "SELECT headline->>'sharpe' FROM runs WHERE seed = 2") == ["0.5"]


def test_code_version_follows_the_source(tmp_path, monkeypatch):
    import kairos

    version = code_version()
    assert version.startswith(kairos.__version__ + "+")
    (tmp_path / "__init__.py").write_text("a = 1\n")
    monkeypatch.setattr(kairos, "__file__", str(tmp_path / "__init__.py"))
    found = []
    for text in ("a = 1\n", "a = 2\n", "a = 1\n"):
        (tmp_path / "__init__.py").write_text(text)
        code_version.cache_clear()
        found.append(code_version())
    code_version.cache_clear()
    assert found[0] == found[2] != found[1]


def test_only_parts_that_may_share_a_key_are_read(store, monkeypatch):
    read = []
    original = parts._overlapping
    monkeypatch.setattr(parts, "_overlapping", lambda *given: read.append(original(*given)) or read[-1])
    with store.publish() as tx:
        tx.put("t", years(2000, 2010), key=KEY)
    assert read == [[]]
    odd = pa.table({"ticker": ["Q"], "date": [dt.date(2010, 1, 5)], "x": pa.array([1], pa.float32())})
    with store.publish() as tx:
        tx.append("t", odd, key=KEY)
    assert read == [[]] * 3  # Q lies outside A to C
    assert catalog.read(store.layout).tables["main", "t"].rows == 661
