"""The same inputs give the same bytes, whatever the order of rows, the form of files, workers and process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import determinism_cases as cases
import pytest

from kairos.equity.ingest import ingest
from kairos.settings import load
from kairos.simulate.adr import simulate_desk
from kairos.simulate.equity import simulate
from kairos.store import Store

ALONE = ("run.workers=1", "run.threads=1")
TOGETHER = ("run.workers=2", "run.threads=2")
LISTS = ("adr_info.csv", "futures_symbols.csv", "close_time_offsets.csv", "us_sectors.csv")
"""Files of the ADR desk whose rows have no order; those of prices must be in the order of time."""


def another_process(seed: int, vendor: Path, db: Path, *overrides: str) -> cases.Digests:
    """Make a market in a process of its own, with another order of sets and dictionaries of texts."""
    found = subprocess.run(
        [sys.executable, cases.__file__, str(vendor), str(db), *overrides],
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        capture_output=True,
        text=True,
        check=True,
        timeout=900,
    )
    made: cases.Digests = json.loads(found.stdout)
    return made


@pytest.fixture(scope="module")
def dm_market(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, cases.Digests]:
    folder = tmp_path_factory.mktemp("market")
    simulate(folder / "vendor", tickers=25, years=2, seed=4)
    return folder / "vendor", cases.of_market(folder / "vendor", folder / "a" / "kairos.duckdb", *ALONE)


@pytest.mark.slow
def test_a_market_is_the_same_bytes_in_another_process_from_shuffled_files(
    dm_market: tuple[Path, cases.Digests], tmp_path: Path
) -> None:
    """Rows and columns in another order, zipped, with two threads, and with another order of sets."""
    vendor, expected = dm_market
    assert len(expected) > 50
    other = cases.dressed(vendor, tmp_path / "vendor", cases.all_at_once)
    found = another_process(12345, other, tmp_path / "b" / "kairos.duckdb", *TOGETHER)
    assert cases.differing(json.loads(json.dumps(expected)), found) == []


def test_the_comparison_sees_one_cell(dm_market: tuple[Path, cases.Digests], tmp_path: Path) -> None:
    """A digest that never differs would prove nothing."""
    vendor, expected = dm_market
    shutil.copytree(vendor, tmp_path / "vendor")
    file = tmp_path / "vendor" / "SHARADAR_SF1.csv"
    head, row, rest = file.read_text(encoding="utf-8").split("\n", 2)
    cells, at = row.split(","), head.split(",").index("assets")
    cells[at] = str(float(cells[at]) * 2)
    file.write_text("\n".join([head, ",".join(cells), rest]), encoding="utf-8")
    db = tmp_path / "d" / "kairos.duckdb"
    ingest([tmp_path / "vendor"], db, settings=load())
    found = {name: [p.digest for p in t.parts] for (_, name), t in Store(db).snapshot().tables.items()}
    same = {name for name, parts in found.items() if name in expected and parts == expected[name][0]}
    assert "sf1" not in same
    assert {"sep", "tickers", "daily"} <= same


# The same at a larger size, one change at a time


@pytest.fixture(scope="module")
def dm_larger(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, cases.Digests]:
    folder = tmp_path_factory.mktemp("larger")
    simulate(folder / "vendor", tickers=150, years=3, seed=11)
    return folder / "vendor", cases.of_market(folder / "vendor", folder / "a" / "kairos.duckdb", *ALONE)


CLOTHES = {
    "once more": lambda source, target: shutil.copy(source, target),
    "rows": cases.shuffled,
    "columns": cases.reordered,
    "zip": cases.zipped,
}


@pytest.mark.slow
@pytest.mark.parametrize("clothes", CLOTHES)
def test_a_larger_market_in_other_clothes(
    dm_larger: tuple[Path, cases.Digests], tmp_path: Path, clothes: str
) -> None:
    vendor, expected = dm_larger
    change: Callable[[Path, Path], object] = CLOTHES[clothes]
    other = cases.dressed(vendor, tmp_path / "vendor", change)
    found = cases.of_market(other, tmp_path / "b" / "kairos.duckdb", *ALONE)
    assert cases.differing(expected, found) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "run"), [(0, ALONE), (1, TOGETHER), (2, ("run.threads=2", "run.workers=1"))]
)
def test_a_larger_market_in_other_processes(
    dm_larger: tuple[Path, cases.Digests], tmp_path: Path, seed: int, run: tuple[str, ...]
) -> None:
    vendor, expected = dm_larger
    found = another_process(seed, vendor, tmp_path / "b" / "kairos.duckdb", *run)
    assert cases.differing(json.loads(json.dumps(expected)), found) == []


@pytest.mark.slow
def test_a_larger_market_from_parquet_with_the_rows_turned_round(
    dm_larger: tuple[Path, cases.Digests], tmp_path: Path
) -> None:
    _, expected = dm_larger
    simulate(tmp_path / "parquet", tickers=150, years=3, seed=11, format="parquet")
    other = cases.dressed(tmp_path / "parquet", tmp_path / "vendor", cases.backwards)
    found = cases.of_market(other, tmp_path / "b" / "kairos.duckdb", *TOGETHER)
    assert cases.differing(expected, found) == []


def desk_of(folder: Path, adrs: int, us_stocks: int, months: int) -> Path:
    simulate_desk(
        folder, adrs=adrs, us_stocks=us_stocks, months=months, seed=4, minutes=1, derived=("us_closes",)
    )
    return folder


def rows_shuffled(root: Path, copy: Path) -> Path:
    shutil.copytree(root, copy)
    for name in LISTS:
        cases.shuffled(root / "data/raw" / name, copy / "data/raw" / name)
    return copy


@pytest.mark.slow
def test_a_desk_elsewhere_with_two_workers_from_shuffled_lists(tmp_path: Path) -> None:
    raw = desk_of(tmp_path / "raw", 3, 40, 26)
    other = rows_shuffled(raw, tmp_path / "elsewhere")
    expected = cases.of_desk(raw, *ALONE)
    kinds = {name.split("/")[0] for name in expected}
    assert {"futures_only_signal", "index_russell_lasso_signal", "models", "futures", "adrs"} <= kinds
    assert sum(name.endswith(".pkl") for name in expected) > 30
    assert cases.differing(expected, cases.of_desk(other, *TOGETHER)) == []
