"""The equity desk as a stage that DVC really runs, alone and beside the stages of the ADR desk."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml

from kairos.adr.desk import Desk
from kairos.adr.pipeline import write_pipeline as write_adr
from kairos.cli import main
from kairos.equity.pipeline import write_pipeline
from kairos.errors import InputError
from kairos.settings import load
from kairos.simulate.adr import simulate_desk
from kairos.simulate.equity import simulate
from kairos.store import Store

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("market") / "vendor", tickers=30, years=1, seed=3)


def run(*command: object, at: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    return subprocess.run(
        [*map(str, command)], cwd=at, env=environment, capture_output=True, text=True, check=False
    )


def repro(folder: Path, *stages: str) -> list[str]:
    ended = run("dvc", "repro", *stages, at=folder)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return re.findall(r"Running stage '(\w+)'", ended.stdout)


def deliver(vendor: Path, folder: Path, until: str) -> None:
    """The vendor's prices, names and market caps up to a day."""
    folder.mkdir(exist_ok=True)
    for name in ("SEP", "DAILY", "TICKERS", "ACTIONS"):
        with (vendor / f"SHARADAR_{name}.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        if "date" in header:
            rows = [row for row in rows if row[header.index("date")] <= until]
        with (folder / f"SHARADAR_{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])


def sessions_of(vendor: Path) -> list[str]:
    with (vendor / "SHARADAR_SEP.csv").open(newline="") as file:
        return sorted({row["date"] for row in csv.DictReader(file)})


def last_of(db: Path, table: str) -> str:
    with duckdb.connect(str(db), read_only=True) as con:
        return str(con.sql(f"SELECT max(date) FROM {table}").fetchall()[0][0])


@pytest.mark.slow
def test_dvc_loads_first_and_updates_later(vendor: Path, tmp_path: Path) -> None:
    days = sessions_of(vendor)
    deliver(vendor, tmp_path / "sharadar", days[-2])
    written = write_pipeline([tmp_path / "sharadar"], tmp_path)
    assert [path.name for path in written] == ["kairos.toml", "dvc.yaml"]
    assert load(tmp_path / "kairos.toml").digest() == load().digest()
    assert run("dvc", "init", "--no-scm", "--quiet", at=tmp_path).returncode == 0
    db = tmp_path / "data" / "kairos.duckdb"

    assert repro(tmp_path) == ["equity"]
    assert last_of(db, "feat_trend") == days[-2]
    first = Store(db).snapshot().id
    assert repro(tmp_path) == []

    deliver(vendor, tmp_path / "sharadar", days[-1])
    assert repro(tmp_path) == ["equity"]
    assert last_of(db, "feat_trend") == days[-1]
    assert first in {snapshot.id for snapshot in Store(db).snapshots()}
    assert repro(tmp_path) == []

    with (tmp_path / "kairos.toml").open("a") as config:
        config.write("\n[equity.universe]\nmin_price = 20.0\n")
    assert repro(tmp_path) == ["equity"]
    with duckdb.connect(str(db), read_only=True) as con:
        assert con.sql("SELECT min(price) >= 20 FROM universe").fetchall() == [(True,)]


@pytest.mark.parametrize("order", ["equity first", "adr first"])
def test_both_desks_in_one_file(vendor: Path, tmp_path: Path, order: str) -> None:
    desk = Desk(simulate_desk(tmp_path / "desk", adrs=2, us_stocks=20, months=14, seed=5, minutes=0), load())
    shutil.copytree(vendor, desk.root / "sharadar")

    def equity() -> None:
        write_pipeline([desk.root / "sharadar"], desk.root)

    writers = [equity, lambda: write_adr(desk)]
    for write in writers if order == "equity first" else reversed(writers):
        write()
    files = [desk.root / name for name in ("dvc.yaml", "kairos.toml")]
    before = [file.read_text() for file in files]
    assert set(yaml.safe_load(before[0])["stages"]) == {
        "equity",
        "betas",
        "features",
        "train",
        "evaluate",
        "notebook",
    }
    assert load(files[1]).digest() == load().digest()
    for write in writers:
        write()
    assert [file.read_text() for file in files] == before
    assert run("dvc", "init", "--no-scm", "--quiet", at=desk.root).returncode == 0
    listed = run("dvc", "stage", "list", "--name-only", at=desk.root)
    assert set(listed.stdout.split()) == {"equity", "betas", "features", "train", "evaluate", "notebook"}
    status = run("dvc", "status", at=desk.root)
    assert status.returncode == 0, status.stderr


def test_settings_of_the_user_stay(vendor: Path, tmp_path: Path) -> None:
    config = tmp_path / "kairos.toml"
    config.write_text("# mine\n[data]\ndb = 'store/k.duckdb'\n")
    write_pipeline([vendor], tmp_path)
    assert config.read_text().startswith("# mine\n[data]\ndb = 'store/k.duckdb'\n")
    stage = yaml.safe_load((tmp_path / "dvc.yaml").read_text())["stages"]["equity"]
    assert stage["cmd"] == f"kairos equity update --db store/k.duckdb --source {vendor}"
    kept = {"cache": False, "persist": True}
    assert stage["outs"] == [{"store/k.duckdb": kept}, {"store/k": kept}]
    assert stage["deps"] == [str(vendor)]
    text = config.read_text()
    assert [path.name for path in write_pipeline([vendor], tmp_path)] == ["dvc.yaml"]
    assert config.read_text() == text


def test_what_cannot_be_is_refused_and_nothing_is_written(vendor: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        write_pipeline([tmp_path / "none"], tmp_path)
    with pytest.raises(InputError, match="DVC wants it below"):
        write_pipeline([vendor], tmp_path, db=Path("../k.duckdb"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kairos.toml").write_text("[equity.backtest]\nstart = 2015-01-02\n")
    with pytest.raises(InputError, match="in quotes"):
        write_pipeline([vendor], tmp_path)


def test_the_command(vendor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {a: {cmd: x}}\n")
    words = ["equity", "pipeline", "--source", str(vendor), "--dir", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "dvc.yaml, line 1" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["dvc.yaml"]
    (tmp_path / "dvc.yaml").unlink()
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code
    assert capsys.readouterr().out.split() == [str(tmp_path / "kairos.toml"), str(tmp_path / "dvc.yaml")]
