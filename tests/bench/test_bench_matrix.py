"""Phases 1 to 5 and the nightly update at the size of a real night; each step in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nightly
import numpy as np
import pytest

from kairos.simulate.equity import simulate

pytestmark = pytest.mark.bench

TICKERS, YEARS, NIGHTS = 6200, 10, 30
GIB = 2**30


def run(name: str, db: Path, *given: Path) -> dict[str, Any]:
    command = [sys.executable, nightly.__file__, name, str(db), *map(str, given)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def told(spent: dict[str, float]) -> str:
    return f"{spent['seconds']:.1f} s ({spent['cpu']:.1f} s CPU)"


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keep = os.environ.get("KAIROS_BENCH_DIR")
    folder = (Path(keep) if keep else tmp_path_factory.mktemp("bench_matrix")) / "vendor"
    if not folder.exists():
        simulate(folder, tickers=TICKERS, years=YEARS, seed=1, format="parquet")
    return folder


@pytest.fixture(scope="module")
def desk(vendor: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All but the last nights, loaded and built."""
    root = tmp_path_factory.mktemp("desk")
    db, days = root / "store" / "kairos.duckdb", nightly.sessions(vendor)
    first = nightly.cut(vendor, root / "first", days[-NIGHTS - 3])
    loaded = run("ingest", db, first)
    shutil.rmtree(first)
    built = run("build", db)
    return {"db": db, "root": root, "days": days, "vendor": vendor, "loaded": loaded, "built": built}


def test_phases_3_to_5_within_90_seconds(desk: dict[str, Any]) -> None:
    built = desk["built"]
    early, late = built["phases 1-2"], built["phases 3-5"]
    print(
        f"\n{built['rows']:,} rows: phases 1-2 {told(early)}, phases 3-5 {told(late)}, "
        f"peak {built['peak'] / GIB:.1f} GiB"
    )
    assert built["rows"] > 9_500_000
    assert late["seconds"] < 90.0
    assert early["seconds"] + late["seconds"] < 150.0
    assert built["peak"] < 14 * GIB


def test_nights_within_10_seconds_and_queries_after_them(desk: dict[str, Any]) -> None:
    db, days, root, vendor = (desk[name] for name in ("db", "days", "root", "vendor"))
    rows = range(len(days) - NIGHTS - 2, len(days) - 1)
    folders = [nightly.cut(vendor, root / f"night{i}", days[i], days[i - 1]) for i in rows]
    found = run("updates", db, *folders)
    seconds = [night["seconds"] for night in found["nights"][1:]]
    used = [night["cpu"] for night in found["nights"][1:]]
    print(
        f"\n{len(seconds)} nights: median {np.median(seconds):.1f} s ({np.median(used):.1f} s CPU), worst "
        f"{max(seconds):.1f} s, peak {found['peak'] / GIB:.1f} GiB; {'; '.join(found['said'])}"
    )
    asked = run("queries", db)
    print(
        "\n"
        + "; ".join(
            f"{q}: first {t['first']:.2f} s, best {t['best']:.2f} s" for q, t in asked.items() if q != "peak"
        )
    )
    assert np.median(seconds) < 10.0
    assert asked["count"]["best"] < 2.0
    assert asked["corr"]["best"] < 3.0
    assert asked["top ten"]["best"] < 2.0


def test_corrections_take_no_longer_than_a_rebuild(desk: dict[str, Any]) -> None:
    db, days, root, vendor = (desk[name] for name in ("db", "days", "root", "vendor"))
    night = nightly.cut(vendor, root / "corrected", days[-1], days[-2], corrections=40)
    found = run("updates", db, night)
    rebuilt = run("rebuild", db)
    spent = found["nights"][0]
    print(
        f"\na night with 40 re-adjusted histories and 200 corrected filings: {told(spent)} with its load, "
        f"a rebuild {told(rebuilt)}; {'; '.join(found['said'])}"
    )
    assert spent["seconds"] < rebuilt["seconds"] + desk["loaded"]["seconds"]


def test_export_by_ticker_within_90_seconds(desk: dict[str, Any]) -> None:
    out = desk["root"] / "export"
    found = run("export", desk["db"], out)
    files = sum(1 for _ in out.rglob("*.parquet"))
    shutil.rmtree(out)
    print(f"\nexport: {files:,} tickers, {told(found)}, peak {found['peak'] / GIB:.1f} GiB")
    assert files > 5_000
    assert found["seconds"] < 90.0
