"""Writing and reading tables: parts, keys, types, determinism."""

import datetime as dt
import doctest
import hashlib
import itertools

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_helpers import KEY, year_part, years

import kairos.store
from kairos.errors import InputError, WorkError
from kairos.store import Store
from kairos.store.parts import PLAIN_TYPES, _check_order


def put(store, parts, key=KEY, name="t", **options):
    with store.publish() as tx:
        tx.put(name, parts, key=key, **options)
    return store.snapshot().table(name)


@pytest.mark.parametrize("kind", [*PLAIN_TYPES, pa.decimal128(9, 2), pa.timestamp("us")], ids=str)
def test_types_are_called_as_duckdb_calls_them(kind, store):
    table = put(store, [pa.table({"ticker": ["A"], "x": pa.nulls(1, kind)})], key=("ticker",))
    read = duckdb.sql(f"DESCRIBE FROM '{table.parts[0].path}'").fetchall()
    assert table.columns == tuple((name, said) for name, said, *_ in read)


def test_rows_come_back_as_written(store):
    parts = years(2018, 2020, columns=("x", "y"))
    table = put(store, parts, meta={"made": dt.date(2020, 1, 2), "sharpe": float("nan"), "n": np.int64(3)})
    read = store.snapshot().read("t")
    assert (
        read.equals(pa.concat_tables(parts).combine_chunks())
        or read.to_pylist() == pa.concat_tables(parts).to_pylist()
    )
    assert read.schema.field("x").type == pa.float32()
    assert table.columns == (("ticker", "VARCHAR"), ("date", "DATE"), ("x", "FLOAT"), ("y", "FLOAT"))
    assert table.rows == 180
    assert table.key == KEY
    assert dict(table.meta) == {"made": "2020-01-02", "sharpe": None, "n": 3}
    assert [(p.lo, p.hi) for p in table.parts] == [
        (dt.date(y, 1, 2), dt.date(y, 1, 21)) for y in (2018, 2019, 2020)
    ]


def test_parts_are_named_by_the_hash_of_their_bytes(store):
    table = put(store, years(2019, 2020))
    for part in table.parts:
        data = part.path.read_bytes()
        assert part.path.stem == part.digest == hashlib.sha256(data).hexdigest()[:32]
        assert part.bytes == len(data)
        assert pq.read_metadata(part.path).num_rows == part.rows


def test_every_type_survives(store):
    rows = pa.table(
        {
            "id": pa.array([1, 2], pa.int64()),
            "flag": [True, None],
            "small": pa.array([1, None], pa.int16()),
            "price": [1.5, float("nan")],
            "at": pa.array([dt.datetime(2020, 1, 2, 3, 4, 5, 678901), None], pa.timestamp("us")),
            "text": ['é, "quoted"', None],
        }
    )
    put(store, [rows], key=("id",))
    read = store.snapshot().read("t")
    assert read.schema.types == rows.schema.types
    assert read.drop_columns(["price"]).to_pylist() == rows.drop_columns(["price"]).to_pylist()
    np.testing.assert_array_equal(read["price"], [1.5, np.nan])


def test_equal_rows_give_one_file_however_they_are_held_in_memory(store):
    rows = year_part(2020)
    chunked = pa.concat_tables([rows.slice(0, 7), rows.slice(7, 20), rows.slice(27)])
    encoded = rows.set_column(0, "ticker", rows["ticker"].dictionary_encode())
    odd_dictionary = pa.DictionaryArray.from_arrays(
        pa.array([{"A": 2, "B": 0, "C": 1}[t] for t in rows["ticker"].to_pylist()], pa.int32()),
        ["B", "C", "A"],
    )
    large = rows.set_column(0, "ticker", rows["ticker"].cast(pa.large_string()))
    noted = rows.replace_schema_metadata({"pandas": "{}"})
    required = rows.cast(pa.schema([f.with_nullable(False) for f in rows.schema]))
    with store.publish() as tx:
        tables = [
            tx.put(f"t{i}", [form], key=KEY)
            for i, form in enumerate(
                [rows, chunked, encoded, rows.set_column(0, "ticker", odd_dictionary), large, noted, required]
            )
        ]
    assert len({t.fingerprint for t in tables}) == 1
    assert len({t.parts[0].digest for t in tables}) == 1


def test_chunks_do_not_move_the_pages_of_a_long_text_column(store):
    rng = np.random.default_rng(0)
    rows = pa.table({"id": np.arange(300_000), "word": rng.integers(0, 10**9, 300_000).astype(str)})
    cuts = sorted({0, rows.num_rows, *rng.integers(0, rows.num_rows, 37).tolist()})
    chunked = pa.concat_tables([rows.slice(a, b - a) for a, b in itertools.pairwise(cuts)])
    assert (
        put(store, [rows], key=("id",)).fingerprint
        == put(store, [chunked], key=("id",), name="u").fingerprint
    )


def test_fingerprint_tells_content_and_columns_apart(store):
    one = put(store, [year_part(2020)])
    assert put(store, [year_part(2020)]).fingerprint == one.fingerprint
    assert put(store, [year_part(2020, seed=1)]).fingerprint != one.fingerprint
    assert (
        put(store, [year_part(2020).rename_columns(["ticker", "date", "z"])]).fingerprint != one.fingerprint
    )


def test_same_put_again_publishes_nothing(store):
    put(store, years(2019, 2020), meta={"a": [1, 2]})
    first = store.snapshot().id
    put(store, years(2019, 2020), meta={"a": [1, 2]})
    assert store.snapshot().id == first
    put(store, years(2019, 2020), meta={"a": [1, 3]})
    assert store.snapshot().id > first


def test_empty_table_keeps_its_columns(store):
    empty = year_part(2020).slice(0, 0)
    table = put(store, [empty, empty])
    assert (table.rows, len(table.parts)) == (0, 1)
    assert store.snapshot().read("t", ["x"]).schema.field("x").type == pa.float32()
    with store.publish() as tx:
        tx.append("t", year_part(2021), key=KEY)
    assert store.snapshot().read("t").num_rows == 60
    assert len(store.snapshot().table("t").parts) == 1


def test_empty_parts_are_left_out(store):
    assert len(put(store, [year_part(2019), year_part(2020).slice(0, 0), year_part(2021)]).parts) == 2


def test_parts_are_streamed(store):
    alive = []

    def stream():
        for year in range(2000, 2020):
            alive.append(year)
            yield year_part(year)
            assert (
                len(list((store.layout.folder / "t").glob("*.parquet")))
                >= len(alive) - 2 - store.engine.threads
            )

    assert len(put(store, stream()).parts) == 20


def test_a_part_is_taken_over_without_a_copy(store):
    table = put(store, years(2019, 2020))
    newer = put(store, [table.parts[0], year_part(2020, seed=9)])
    assert newer.parts[0] == table.parts[0]
    assert newer.parts[1] != table.parts[1]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"ticker": ["A", "A"], "date": [1, 1]}, ["t: two rows have the key", "ticker A", "1970-01-02"]),
        ({"ticker": ["B", "A"], "date": [1, 1]}, ["order of the key", "ticker A", "follows ticker B"]),
        ({"ticker": ["A", "A"], "date": [2, 1]}, ["order of the key", "1970-01-02", "follows"]),
        ({"ticker": ["A", None], "date": [1, 1]}, ["key column ticker has no value in row 1"]),
        ({"ticker": ["A"]}, ["no key column date"]),
    ],
)
def test_bad_keys_are_refused(store, rows, words):
    table = pa.table(rows)
    if "date" in rows:
        table = table.set_column(1, "date", table["date"].cast(pa.int32()).cast(pa.date32()))
    with pytest.raises(WorkError) as caught:
        put(store, [table])
    assert all(word in str(caught.value) for word in words)
    assert not store.exists


def test_a_key_in_two_parts_is_refused(store):
    with pytest.raises(WorkError, match=r"two rows have the key ticker A, date 2020-01-02"):
        put(store, [year_part(2020), year_part(2020, seed=1)])
    with pytest.raises(WorkError, match=r"two rows have the key ticker B"):
        put(store, [pa.table({"ticker": ["A", "B"]}), pa.table({"ticker": ["B", "C"]})], key=("ticker",))


def test_overlapping_parts_without_a_common_key_are_fine(store):
    even, odd = (pa.table({"id": list(range(start, 100, 2))}) for start in (0, 1))
    assert put(store, [even, odd], key=("id",)).rows == 100


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["", "A", "AA", "B", "é"]), st.integers(0, 3)), max_size=12),
    st.booleans(),
)
def test_order_check_is_the_plain_definition(keys, ordered):
    keys = sorted(keys, key=lambda k: (k[0].encode(), k[1])) if ordered else keys
    table = pa.table(
        {"a": pa.array([k[0] for k in keys], pa.string()), "b": pa.array([k[1] for k in keys], pa.int64())}
    )
    strict = all((p[0].encode(), p[1]) < (q[0].encode(), q[1]) for p, q in itertools.pairwise(keys))
    if strict:
        _check_order("t", table, ("a", "b"))
    else:
        with pytest.raises(WorkError):
            _check_order("t", table, ("a", "b"))


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.sets(st.tuples(st.sampled_from("ABC"), st.integers(0, 6)), min_size=1), min_size=1, max_size=4
    )
)
def test_uniqueness_over_parts_is_the_plain_definition(tmp_path_factory, groups):
    store = Store(tmp_path_factory.mktemp("u") / "k.duckdb")
    parts = [
        pa.table(
            {
                "ticker": [k[0] for k in sorted(g)],
                "date": pa.array([k[1] for k in sorted(g)], pa.int32()).cast(pa.date32()),
            }
        )
        for g in groups
    ]
    if len(set().union(*groups)) == sum(map(len, groups)):
        assert put(store, parts).rows == sum(map(len, groups))
    else:
        with pytest.raises(WorkError, match="two rows have the key"):
            put(store, parts)


def test_other_misuse_is_explained(store):
    with pytest.raises(WorkError, match="not one part"):
        put(store, [])
    with pytest.raises(WorkError, match="differ in their columns: x float, y float"):
        put(store, [year_part(2019), year_part(2020, columns=("y",))])
    for bad in ("Sep", "a-b", "1a", "_catalogs", "", "a.b"):
        with pytest.raises(InputError, match="cannot name a table"):
            put(store, [year_part(2020)], name=bad)
    with pytest.raises(InputError, match="cannot name a namespace"):
        put(store, [year_part(2020)], namespace="kairos_meta")
    with pytest.raises(InputError, match="suffix"):
        Store(store.db.with_suffix(""))
    with pytest.raises(InputError, match="question mark"):
        Store(store.db.parent / "what?" / "k.duckdb")
    with pytest.raises(InputError, match="keep_snapshots"):
        Store(store.db, keep_snapshots=0)


def test_a_bad_memory_limit_is_explained(filled):
    with pytest.raises(InputError, match="memory_limit 'much'"):
        Store(filled.db, memory_limit="much").snapshot().read("sep")


@pytest.mark.parametrize("module", [kairos.store, kairos.store.sql, kairos.store.tables])
def test_examples(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def test_reading_selects_and_explains(filled):
    snap = filled.snapshot()
    day = dt.date(2020, 1, 3)
    assert snap.read(
        "sep", ["date", "ticker"], where="date = ? AND ticker > ?", params=[day, "A"]
    ).to_pylist() == [
        {"date": day, "ticker": "B"},
        {"date": day, "ticker": "C"},
    ]
    assert snap.has("sep")
    assert not snap.has("seb")
    with pytest.raises(
        InputError, match=r"no table seb in snapshot .*did you mean sep.*kairos equity build seb"
    ):
        snap.table("seb")
    with pytest.raises(InputError, match=r"table sep has no column tikcer \(did you mean ticker\?\)"):
        snap.read("sep", ["tikcer"])
    snap.table("sep").parts[0].path.unlink()
    for act in (lambda: snap.read("sep"), snap.connect, filled.verify):
        with pytest.raises(InputError, match=f"{snap.table('sep').parts[0].digest}.parquet is missing"):
            act()
    assert snap.read("tickers").num_rows == 2


def test_connection_sees_namespaces(filled):
    with filled.publish() as tx:
        tx.put("tickers", [pa.table({"ticker": ["Z"]})], key=("ticker",), namespace="trial")
    snap = filled.snapshot()
    with snap.connect() as main, snap.connect("trial") as trial:
        assert main.execute("SELECT count(*) FROM tickers").fetchone() == (2,)
        assert trial.execute("SELECT count(*) FROM tickers").fetchone() == (1,)
        assert trial.execute("SELECT count(*) FROM sep").fetchone() == (120,)
        assert main.execute("SELECT * FROM trial.tickers").fetchall() == [("Z",)]
    assert snap.table("tickers", "trial").namespace == "trial"
    assert snap.table("sep", "trial").namespace == "main"
    assert snap.read("tickers", namespace="trial").num_rows == 1
    assert snap.connect("not_built_yet").execute("SELECT count(*) FROM tickers").fetchone() == (2,)


def test_hostile_paths(tmp_path):
    store = Store(tmp_path / "o'Neil [a] *" / "my db.duckdb")
    assert put(store, [year_part(2020)]).rows == 60
    assert store.snapshot().read("t").num_rows == 60
