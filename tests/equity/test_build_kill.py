"""A build that is killed at any moment leaves yesterday's catalog, and the next run finishes the work."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kairos.equity import build, status
from kairos.equity.ingest import ingest
from kairos.settings import load
from kairos.simulate.equity import simulate
from kairos.store import Store

KILLS = 10

CODE = """
import pathlib, sys
from kairos.equity.build import build
from kairos.settings import load
print("imported", flush=True)
build(pathlib.Path(sys.argv[1]), settings=load(overrides=sys.argv[2:]))
print("built", flush=True)
"""


def start(db: Path, *overrides: str) -> subprocess.Popen[str]:
    """A build in a process of its own, its imports done."""
    command = [sys.executable, "-c", CODE, str(db), *overrides]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "imported"
    return process


def fingerprints(db: Path) -> dict[str, str]:
    """Fingerprint of every table but the ledger of runs."""
    tables = Store(db).snapshot().tables
    return {name: table.fingerprint for (_, name), table in tables.items() if name != "runs"}


def readable(db: Path) -> None:
    """Every row of every table of the published catalog can be read."""
    snapshot = Store(db).snapshot()
    with snapshot.connect() as con:
        for (_, name), table in snapshot.tables.items():
            rows = table.meta["rows"] if table.sql else table.rows
            assert con.sql(f'SELECT count(*) FROM "{name}"').fetchall() == [(rows,)], name
    Store(db).verify()


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill") / "vendor"
    simulate(folder, tickers=150, years=3, seed=11, format="parquet")
    return folder


def test_killing_a_build_ten_times(vendor: Path, tmp_path: Path) -> None:
    reference = tmp_path / "reference" / "kairos.duckdb"
    ingest([vendor], reference, settings=load())
    build(reference, settings=load())
    changed = ["equity.universe.min_adv=600000.0"]
    db = tmp_path / "killed" / "kairos.duckdb"
    ingest([vendor], db, settings=load())
    loaded = fingerprints(db)

    whole = start(db, *changed)
    began = time.monotonic()
    assert whole.wait() == 0
    seconds = time.monotonic() - began
    assert "feat_beta" in fingerprints(db)
    other = fingerprints(db)

    moment = random.Random(1)
    finished, seen = 0, []
    for kill in range(KILLS):
        before = fingerprints(db)
        overrides = [] if before == other else changed  # always something to do
        process = start(db, *overrides)
        time.sleep(moment.uniform(0.0, seconds * (kill + 1) / KILLS))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        done = process.stdout.read()
        after = fingerprints(db)
        readable(db)
        seen.append(after)
        finished += "built" in done
        assert after == before or after in (other, fingerprints(reference)), f"kill {kill} left half a build"
    assert finished <= KILLS // 2  # most of the kills came in time
    assert set(loaded) < set(seen[-1])

    build(db, settings=load())
    assert fingerprints(db) == fingerprints(reference)
    assert all(t.state in ("current", "raw", "result") for t in status(db, settings=load()))
