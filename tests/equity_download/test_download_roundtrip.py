"""From the service into the store: the same tables as from the files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from download_server import Vendor, data_of

from kairos.equity.download import DownloadReport
from kairos.equity.ingest import ingest
from kairos.settings import load
from kairos.simulate.equity import simulate
from kairos.store import Store

Get = Callable[..., DownloadReport]
TODAY = dt.date(2030, 1, 1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("simulated") / "sharadar", tickers=10, years=1, seed=4)


def tables_of(source: Path, db: Path) -> dict[str, str]:
    ingest([source], db, settings=load(), today=TODAY)
    tables = Store(db).snapshot().tables
    return {name: table.fingerprint for (_, name), table in tables.items() if name != "runs"}


@pytest.fixture
def simulated(vendor: Vendor, files: Path) -> Vendor:
    vendor.tables = {file.stem.removeprefix("SHARADAR_"): data_of(file) for file in files.glob("*.csv")}
    assert len(vendor.tables) == 7
    return vendor


@pytest.mark.parametrize("since", ["1990-01-01", None], ids=["pages", "exports"])
def test_a_download_loads_like_the_files(
    get: Get, simulated: Vendor, files: Path, tmp_path: Path, since: str | None
) -> None:
    report = get(*simulated.tables, since=since, page_size=700)
    assert {done.state for done in report.tables} == {"new"}
    assert len(simulated.pages("SEP")) > 1 or since is None
    direct = tables_of(files, tmp_path / "direct.duckdb")
    assert len(direct) >= 8
    assert tables_of(tmp_path / "out", tmp_path / "fetched.duckdb") == direct


def test_news_complete_what_was_there(get: Get, simulated: Vendor, files: Path, tmp_path: Path) -> None:
    whole = simulated.tables["SEP"]
    dates = sorted({row[1] for row in whole.rows})
    middle = dates[len(dates) // 2]
    folder = tmp_path / "first"
    folder.mkdir()
    lines = (files / "SHARADAR_SEP.csv").read_text().splitlines(keepends=True)
    early = [line for line in lines[1:] if line.split(",")[1] < middle.strip('"')]
    (folder / "SHARADAR_SEP.csv").write_text("".join([lines[0], *early]))
    db = tmp_path / "kairos.duckdb"
    ingest([folder], db, settings=load(), today=TODAY)
    get("SEP", since="1990-01-01", page_size=500)
    loaded = ingest([tmp_path / "out"], db, settings=load(), today=TODAY)
    assert loaded["sep"].unchanged == len(early)
    assert loaded["sep"].new == len(whole.rows) - len(early)
