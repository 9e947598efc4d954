"""What a build owes to late data: it equals one from scratch, and nothing stale is published."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import pyarrow.csv
import pytest

from kairos.equity import backtest, build, ingest, signals, status
from kairos.equity.tables import feat_trend
from kairos.errors import InputError, WorkError
from kairos.settings import load
from kairos.simulate.equity import simulate
from kairos.store import Store

SETTINGS = load()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    simulate(folder / "vendor", tickers=60, years=2, seed=5)
    ingest([folder / "vendor"], folder / "k.duckdb", settings=SETTINGS)
    build(folder / "k.duckdb", settings=SETTINGS)
    return folder


@pytest.fixture
def market(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "market")
    Store(tmp_path / "market" / "k.duckdb").relocate()
    return tmp_path / "market"


def tables(db: Path) -> dict[str, str]:
    return {name: t.fingerprint for (_, name), t in Store(db).snapshot().tables.items() if name != "runs"}


def late(market: Path, file: str, rows: str) -> None:
    """Load rows behind those of a vendor file."""
    header = (market / "vendor" / file).read_text().split("\n", 1)[0]
    (market / "late").mkdir(exist_ok=True)
    (market / "late" / file).write_text(f"{header}\n{rows}\n")
    ingest([market / "late"], market / "k.duckdb", settings=SETTINGS)


def from_scratch(market: Path) -> dict[str, str]:
    db = market / "scratch" / "k.duckdb"
    ingest([market / "vendor"], db, settings=SETTINGS)
    ingest([market / "late"], db, settings=SETTINGS)
    build(db, settings=SETTINGS)
    return tables(db)


def alive(market: Path) -> str:
    with Store(market / "k.duckdb").snapshot().connect() as con:
        query = "SELECT min(ticker) FROM listings JOIN sep_base_academic USING (ticker) WHERE NOT ended"
        return str(con.sql(query).fetchall()[0][0])


@pytest.mark.slow
def test_a_late_delisting_reaches_every_table(market: Path) -> None:
    """The ticker trades on: from the action on it is another listing, in the windows of every table."""
    late(market, "SHARADAR_ACTIONS.csv", f"2016-03-01,delisted,{alive(market)},Late,1.0,N/A,N/A")
    report = build(market / "k.duckdb", settings=SETTINGS)
    assert not [name for name in report.current if name.startswith("feat_")]
    assert tables(market / "k.duckdb") == from_scratch(market)


@pytest.mark.slow
def test_a_stray_session_reaches_every_table_and_is_told(market: Path) -> None:
    row = pyarrow.csv.read_csv(market / "vendor" / "SHARADAR_SEP.csv").slice(0, 1).to_pylist()[0]
    row |= {"ticker": "STRAY", "date": "2016-06-04"}  # a Saturday
    late(market, "SHARADAR_SEP.csv", ",".join(map(str, row.values())))
    report = build(market / "k.duckdb", settings=SETTINGS)
    assert any("1 sessions, the first on 2016-06-04" in line for line in report.remarks())
    assert tables(market / "k.duckdb") == from_scratch(market)


def test_nothing_to_do_publishes_nothing(market: Path) -> None:
    before = Store(market / "k.duckdb").snapshot().id
    assert build(market / "k.duckdb", settings=SETTINGS).built == []
    assert Store(market / "k.duckdb").snapshot().id == before


def test_inputs_that_move_during_a_build_stop_it(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run replaces the prices while the table is computed: it may not be published over them."""
    plain = feat_trend.compute
    late_row = (market / "vendor" / "SHARADAR_SEP.csv").read_text().split("\n")[5].split(",")
    late_row[5] = str(float(late_row[5]) * 1.01)
    late_row[-1] = "2026-01-02"

    def meanwhile(x, p):
        if not (market / "late").exists():
            late(market, "SHARADAR_SEP.csv", ",".join(late_row))
            build(market / "k.duckdb", ["sep_base_academic"], settings=SETTINGS)
        return plain(x, p)

    table = feat_trend.TABLE
    object.__setattr__(table, "compute", meanwhile)
    monkeypatch.setattr("kairos.equity.features.BLOCK", 10_000)
    monkeypatch.setattr(Store, "turn", lambda *_, **__: nullcontext())  # as where a file system has no locks
    try:
        with pytest.raises(WorkError, match="another run has replaced"):
            build(market / "k.duckdb", ["feat_trend"], settings=SETTINGS, force=True)
    finally:
        object.__setattr__(table, "compute", plain)
    assert {t.name: t.state for t in status(market / "k.duckdb", settings=SETTINGS)}["feat_trend"] == "stale"


@pytest.mark.slow
def test_backtests_do_not_displace_the_data_that_one_saw(market: Path) -> None:
    db = market / "k.duckdb"
    settings = load(overrides=["store.keep_snapshots=3"])
    seen = Store(db).snapshot().id
    kwargs = {"alpha": "ret_21d", "settings": settings, "lower_is_better": True}
    first = backtest(db, ["baseline"], **kwargs)[0][0].daily()
    for name in "abc":
        backtest(db, ["baseline"], save_as=name, **kwargs)
    late(market, "SHARADAR_ACTIONS.csv", f"2016-03-01,delisted,{alive(market)},Late,1.0,N/A,N/A")
    build(db, settings=settings)
    again = backtest(db, ["baseline"], snapshot=seen, **kwargs)[0][0].daily()
    assert again.equals(first)


@pytest.mark.parametrize("key", ["adv", "volatility", "beta"])
def test_no_column_of_the_engine_may_look_ahead(market: Path, key: str) -> None:
    settings = load(overrides=[f"equity.backtest.columns.{key}=feat_targets.ret_21d_f"])
    with pytest.raises(InputError, match="looks ahead"):
        backtest(market / "k.duckdb", ["baseline"], alpha="ret_21d", settings=settings)


def test_no_exposure_of_a_signal_may_look_ahead(market: Path) -> None:
    settings = load(overrides=["equity.signals.size_column=feat_targets.ret_5d_f"])
    with pytest.raises(InputError, match="looks ahead"):
        signals(market / "k.duckdb", ["ret_21d"], settings=settings)


def test_a_level_across_tickers_is_warned_of(market: Path) -> None:
    study = signals(market / "k.duckdb", ["sma_200"], settings=SETTINGS)
    assert "sma_200 is a level on today's split basis" in study.facts["data_warnings"][0]
    assert not signals(market / "k.duckdb", ["ret_21d"], settings=SETTINGS).facts["data_warnings"]


@pytest.mark.parametrize("name", ["sep", "feat_stat"])
def test_a_named_table_that_cannot_be_built_is_an_error(tmp_path: Path, market: Path, name: str) -> None:
    db = tmp_path / "prices.duckdb"
    ingest([market / "vendor" / "SHARADAR_SEP.csv"], db, settings=SETTINGS)
    with pytest.raises(InputError, match="kairos equity ingest"):
        build(db, [name], settings=SETTINGS)


def test_a_damaged_part_is_named(market: Path) -> None:
    part = Store(market / "k.duckdb").snapshot().table("feat_stat").parts[0].path
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"feat_stat.*damaged"):
        signals(market / "k.duckdb", ["vol_21d"], settings=SETTINGS)
