"""An update equals a rebuild: new sessions, late filings, corrected histories, changed metadata, settings."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tables_market import MEMORY

from kairos.cli import main
from kairos.equity import build, ingest, update
from kairos.equity.changes import BEGINNING, between, differences, first_change, log
from kairos.equity.context import Context, open_store
from kairos.equity.rows import Plan
from kairos.equity.tables import feat_stat
from kairos.errors import InputError
from kairos.settings import load
from kairos.simulate.equity import simulate
from kairos.store import Store

DATED = {
    "SEP": "date",
    "DAILY": "date",
    "SF1": "datekey",
    "SF2": "filingdate",
    "SF3": "calendardate",
    "ACTIONS": "date",
    "TICKERS": None,
}
SETTINGS = load(overrides=MEMORY)


class Vendor:
    """The vendor's files of a simulated market, as they looked on any day."""

    def __init__(self, folder):
        self.tables = {
            name: pd.read_csv(folder / f"SHARADAR_{name}.csv", dtype=str, keep_default_na=False)
            for name in DATED
        }
        self.days = sorted(self.tables["SEP"]["date"].unique())

    def news(self, folder, upto, since="", **changed):
        """Write what is dated after `since` up to `upto`, or the `changed` rows of a table beside it."""
        folder.mkdir(parents=True)
        for name, rows in self.tables.items():
            date = DATED[name]
            kept = rows if date is None else rows[(rows[date] <= upto) & (rows[date] > since)]
            kept = pd.concat([kept, changed[name]]) if name in changed else kept
            if len(kept):
                kept.to_csv(folder / f"SHARADAR_{name}.csv", index=False)
        return folder


@pytest.fixture(scope="module")
def vendor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("update") / "vendor"
    simulate(folder, tickers=80, years=2, seed=6)
    return Vendor(folder)


def tables(db):
    """Fingerprint of every table but the ledger."""
    found = open_store(db, SETTINGS).snapshot().tables
    return {name: table.fingerprint for (_, name), table in found.items() if name != "runs"}


class Desk:
    """A store that is updated, and the folders that were loaded into it."""

    def __init__(self, root, vendor, until):
        self.root, self.vendor, self.db = root, vendor, root / "store" / "kairos.duckdb"
        self.folders = [vendor.news(root / "first", vendor.days[until])]
        ingest(self.folders, self.db, settings=SETTINGS)
        build(self.db, settings=SETTINGS)
        self.last = vendor.days[until]

    def night(self, until, settings=SETTINGS, **changed):
        name = f"night{len(self.folders)}"
        self.folders.append(self.vendor.news(self.root / name, self.vendor.days[until], self.last, **changed))
        self.last = self.vendor.days[until]
        return update(self.db, settings=settings, sources=[self.folders[-1]])

    def rebuilt(self, settings=SETTINGS):
        """Tables of a new store that gets the same files, built once."""
        db = self.root / "rebuilt" / "kairos.duckdb"
        for folder in self.folders:
            ingest([folder], db, settings=settings)
        build(db, settings=settings)
        return tables(db)


def made(report):
    return {row["table"]: row for row in report.built.built}


@pytest.mark.parametrize(
    "nights",
    [(401, 407, 447, 503), pytest.param((401, 402, 407, 425, 446, 447, 470, 503), marks=pytest.mark.slow)],
)
def test_night_after_night_equals_a_rebuild(vendor, tmp_path, nights):
    """Single sessions, a week, the turn of a month and of a quarter, names that enter and leave."""
    desk = Desk(tmp_path, vendor, 400)
    for until in nights:
        report = desk.night(until)
        assert not [row["table"] for row in report.built.built if row["since"] is None and row["new_parts"]]
    assert tables(desk.db) == desk.rebuilt()


@pytest.mark.slow
def test_a_night_writes_the_newest_parts_only(vendor, tmp_path):
    desk = Desk(tmp_path, vendor, 480)
    before = open_store(desk.db, SETTINGS).snapshot()
    report = desk.night(481)
    after = open_store(desk.db, SETTINGS).snapshot()
    for (space, name), table in after.tables.items():
        old = before.tables[space, name].parts
        if name.startswith("feat_") and table.parts:
            kept = [part for part in table.parts if part in old]
            assert len(kept) >= len(table.parts) - 3, name  # targets look ahead into the month before
    assert report.parts < 70
    assert any("tables were made again" in line for line in report.remarks())


def test_late_filings(vendor, tmp_path):
    """Reports and forms that the vendor delivers weeks after their date."""
    held = {}
    plain = vendor.tables
    try:
        day = vendor.days[455]
        for name, date in (("SF1", "datekey"), ("SF2", "filingdate")):
            rows = plain[name]
            late = (rows[date] > vendor.days[430]) & (rows[date] <= day) & (np.arange(len(rows)) % 3 == 0)
            held[name] = rows[late].assign(**({"lastupdated": day} if "lastupdated" in rows else {}))
            vendor.tables = {**vendor.tables, name: rows[~late]}
        desk = Desk(tmp_path, vendor, 460)
        report = desk.night(461, **held)
        assert len(held["SF1"]) > 5
        assert made(report)["feat_quality_v2"]["since"] < vendor.days[456]
        assert made(report)["feat_trend"]["since"] == vendor.days[461]
        assert tables(desk.db) == desk.rebuilt()
    finally:
        vendor.tables = plain


def readjusted(vendor, upto, tickers, columns, factor):
    """The history of some tickers up to a day, adjusted anew on the next one."""
    rows = vendor.tables["SEP"]
    rows = rows[rows["ticker"].isin(tickers) & (rows["date"] <= upto)].copy()
    for column in columns:
        by = 1 / factor if column == "volume" else factor
        rows[column] = [repr(float(value) * by) if value else "" for value in rows[column]]
    return rows.assign(lastupdated=vendor.days[-1])


@pytest.mark.slow
def test_dividends_rewrite_histories_of_closeadj(vendor, tmp_path):
    """They reach the market, betas, scores, composites and regime; what reads other prices stays."""
    desk = Desk(tmp_path, vendor, 470)
    alive = vendor.tables["SEP"].query("date == @vendor.days[470]")["ticker"].unique()[:6]
    report = desk.night(471, SEP=readjusted(vendor, vendor.days[470], alive, ["closeadj"], 0.9871))
    since = {name: row["since"] for name, row in made(report).items()}
    for name in ("market", "feat_beta", "feat_momentum_v2", "regime_history_academic", "feat_composite_v8"):
        assert since[name] is None or since[name] < vendor.days[60], name
    assert since["feat_price_shape"] == since["feat_adv"] == since["feat_trend"] == vendor.days[471]
    assert any(line.startswith("as a whole: ") or "parts were written" in line for line in report.remarks())
    assert report.parts > desk.night(472).parts
    assert tables(desk.db) == desk.rebuilt()


@pytest.mark.slow
def test_a_split_rewrites_histories(vendor, tmp_path):
    desk = Desk(tmp_path, vendor, 470)
    alive = vendor.tables["SEP"].query("date == @vendor.days[470]")["ticker"].unique()[3:5]
    prices = ["open", "high", "low", "close", "volume", "closeadj"]
    desk.night(471, SEP=readjusted(vendor, vendor.days[470], alive, prices, 0.5))
    assert tables(desk.db) == desk.rebuilt()


@pytest.mark.slow
def test_metadata_that_change(vendor, tmp_path):
    """Another sector, and a category that ends a membership, reach the past: both are always today's."""
    desk = Desk(tmp_path, vendor, 470)
    first = (
        open_store(desk.db, SETTINGS).snapshot().read("universe", ["ticker"])["ticker"].unique().to_pylist()
    )
    rows = vendor.tables["TICKERS"]
    plain = vendor.tables
    try:
        rows = rows.assign(
            sector=np.where(rows["ticker"] == first[0], "Utilities", rows["sector"]),
            category=np.where(rows["ticker"] == first[1], "ETF", rows["category"]),
        )
        vendor.tables = {**plain, "TICKERS": rows}
        desk.night(471)
    finally:
        vendor.tables = plain
    assert tables(desk.db) == desk.rebuilt()
    left = open_store(desk.db, SETTINGS).snapshot().read("sep_base_academic", ["ticker"])["ticker"].unique()
    assert first[1] not in left.to_pylist()


@pytest.mark.slow
def test_a_price_that_the_vendor_adds_later(vendor, tmp_path):
    plain = vendor.tables
    rows = plain["SEP"]
    day = vendor.days[300]
    missing = (rows["date"] == day) & (np.arange(len(rows)) % 5 == 0)
    try:
        vendor.tables = {**plain, "SEP": rows[~missing]}
        desk = Desk(tmp_path, vendor, 450)
        report = desk.night(451, SEP=rows[missing])
        assert made(report)["feat_stat"]["since"] <= day
        assert tables(desk.db) == desk.rebuilt()
    finally:
        vendor.tables = plain


@pytest.mark.slow
def test_settings_that_change_between_two_nights(vendor, tmp_path):
    changed = load(
        overrides=[*MEMORY, "equity.tables.feat_vol_sizing.weight=0.25", "equity.universe.min_price=4.0"]
    )
    desk = Desk(tmp_path, vendor, 450)
    desk.night(451, settings=changed)
    desk.night(452, settings=changed)
    assert tables(desk.db) == desk.rebuilt(changed)


def test_without_news_nothing_is_published(vendor, tmp_path):
    desk = Desk(tmp_path, vendor, 430)
    before = Store(desk.db).snapshot().id
    empty = tmp_path / "empty"
    empty.mkdir()
    report = update(desk.db, settings=SETTINGS, sources=[empty])
    assert (report.loaded, report.built.built) == (None, [])
    assert "nothing new to load" in report.remarks()
    again = update(desk.db, settings=SETTINGS, sources=[desk.folders[0]])
    assert again.built.built == []
    assert Store(desk.db).snapshot().id == before


def test_a_failure_leaves_prices_and_tables_as_they_were(vendor, tmp_path, monkeypatch):
    """Raw tables are published with what is made of them, or not at all."""
    desk = Desk(tmp_path, vendor, 430)
    before = tables(desk.db)

    def fails(*_):
        raise ZeroDivisionError

    plain = feat_stat.TABLE.compute
    object.__setattr__(feat_stat.TABLE, "compute", fails)
    try:
        with pytest.raises(ZeroDivisionError):
            desk.night(431)
    finally:
        object.__setattr__(feat_stat.TABLE, "compute", plain)
    assert tables(desk.db) == before


def test_an_update_needs_a_first_load(tmp_path):
    db = tmp_path / "kairos.duckdb"
    with pytest.raises(InputError, match="kairos equity ingest"):
        update(db, settings=SETTINGS)


def test_the_command(vendor, tmp_path, capsys):
    desk = Desk(tmp_path, vendor, 430)
    folder = vendor.news(tmp_path / "news", vendor.days[431], vendor.days[430])
    with pytest.raises(SystemExit) as ended:
        main(["equity", "update", "--db", str(desk.db), "--source", str(folder), "--json"])
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert {"loaded", "built", "tables_rewritten", "parts_written", "seconds", "snapshot"} <= found.keys()
    assert found["parts_written"] == sum(row["new_parts"] for row in found["built"]) > 0


# What tables remember of their changes


def small(**columns):
    return pa.table({"date": pa.array([dt.date(2020, 1, d) for d in (2, 3, 6)]), **columns})


def test_differences_by_column():
    one, other = small(a=[1.0, None, 3.0], b=["x", "y", None]), small(a=[1.0, 2.0, 3.0], b=["x", "y", "z"])
    found = differences(one, other, ("date",), ("date", "date"))
    assert found == {"a": dt.date(2020, 1, 3), "b": dt.date(2020, 1, 6)}
    assert differences(one, one, ("date",), ("date", "date")) == {}
    shorter = differences(one, one.slice(0, 2), ("date",), ("date", "date"))
    assert shorter == {"a": dt.date(2020, 1, 6), "b": dt.date(2020, 1, 6)}


def test_a_change_is_dated_by_the_earlier_end_and_a_new_row_by_its_beginning():
    def listings(last, *more):
        rows = [("A", dt.date(2019, 1, 2), last), ("B", dt.date(2019, 5, 1), dt.date(2019, 6, 3)), *more]
        return pa.table(
            dict(zip(("ticker", "first", "last"), map(list, zip(*rows, strict=True)), strict=True))
        )

    before, after = listings(dt.date(2020, 1, 2)), listings(dt.date(2020, 1, 3))
    dated = ("last", "first")
    assert differences(before, after, ("ticker",), dated) == {"last": dt.date(2020, 1, 2)}
    grown = listings(dt.date(2020, 1, 3), ("C", dt.date(2019, 7, 1), dt.date(2020, 1, 3)))
    assert differences(after, grown, ("ticker",), dated) == dict.fromkeys(
        ("first", "last"), dt.date(2019, 7, 1)
    )


def test_a_ticker_that_enters_counts_from_its_first_membership_on(tmp_path):
    days = [dt.date(2024, 1, 2 + i) for i in range(4)]

    def state(*rows):
        columns = zip(*sorted(rows), strict=True)
        return pa.table(dict(zip(("ticker", "date", "x", "member"), columns, strict=True)))

    def put(name, table):
        with store.publish() as tx:
            return tx.put(name, [table], key=("ticker", "date"))

    store = Store(tmp_path / "kairos.duckdb")
    old = [("A", day, 1.0, True) for day in days]
    enters = [("B", day, 2.0, day >= days[2]) for day in days]
    before, after = put("before", state(*old)), put("after", state(*old, *enters))
    both, dated = dict.fromkeys(("x", "member"), days[2]), ("date", "date")
    assert between(before, after, dated, "member") == between(after, before, dated, "member") == both
    assert between(before, after, dated) == dict.fromkeys(both, days[0])
    filled = put("filled", state(*old, *enters, ("A", dt.date(2024, 1, 1), 1.0, False)))
    assert set(between(after, filled, dated, "member").values()) == {dt.date(2024, 1, 1)}


def test_a_ticker_that_enters_on_the_first_session_of_a_month_makes_only_its_part(tmp_path):
    """Its past stands in the new month's part, which has no other row of the past."""
    november = [dt.date(2024, 11, d) for d in range(4, 24)]
    december = dt.date(2024, 12, 2)
    old = sorted((name, day) for name in "AB" for day in november)
    new = sorted([("A", december), ("B", december), ("X", december), *(("X", day) for day in november[10:])])

    def keys(rows):
        return pa.table({"ticker": [name for name, _ in rows], "date": [day for _, day in rows]})

    store = Store(tmp_path / "kairos.duckdb")
    with store.publish() as tx:
        tx.put("sep_base_academic", [keys(old), keys(new)], key=("ticker", "date"), meta={"keys": ["n", "d"]})
        tx.put("feat_x", [keys(old)], key=("ticker", "date"), meta={"keys": ["n"]})
        tx.put("sessions", [pa.table({"date": [*november, december]})], key=("date",))
    context = Context(store.snapshot(), load())
    plan = Plan.of(context, context.table("feat_x"), len(november))
    assert (plan.first, plan.kept, plan.pool) == (len(november), {0: 0}, ())
    (made,) = plan.made
    assert plan.newcomers == {"X"}
    assert len(made.past) == 10
    assert len(made.new) == len(new)


def test_the_log_tells_what_a_reader_missed(tmp_path):
    store = Store(tmp_path / "k.duckdb")
    seen, meta = [], {}
    states = [
        small(a=[1.0, 2.0, 3.0], b=[1, 2, 3]),
        small(a=[1.0, 9.0, 3.0], b=[1, 2, 3]),
        small(a=[1.0, 9.0, 3.0], b=[1, 2, 4]),
    ]
    table = None
    for rows in states:
        with store.publish() as tx:
            new = tx.put("t", [rows], key=("date",))
            meta = {"changes": log(table, between(table, new, ("date", "date")) if table else {})}
            tx.put("t", [rows], key=("date",), meta=meta)
        table = store.snapshot().table("t")
        seen.append(table.fingerprint)
    third, sixth = dt.date(2020, 1, 3), dt.date(2020, 1, 6)
    assert first_change(table, seen[2]) is None
    assert first_change(table, seen[1]) == sixth
    assert first_change(table, seen[0]) == third
    assert first_change(table, seen[0], ["b"]) == sixth
    assert first_change(table, seen[1], ["a"]) is None
    assert first_change(table, "another state") == BEGINNING
