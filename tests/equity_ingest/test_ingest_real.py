"""Real prices in the vendor's layout: what the rules find in them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kairos.equity.ingest import IngestReport
from kairos.store import Store

ROOT = Path(os.environ.get("KAIROS_REAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
WRITER = ROOT.parent / "tools" / "real_us_as_sharadar.py"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not WRITER.exists(), reason="the real market data are not here"),
]


def test_the_panel_of_2015(store: Store, load: Callable[..., IngestReport], tmp_path: Path) -> None:
    subprocess.run([sys.executable, WRITER, "--panel", "2015", "--out", tmp_path / "real"], check=True)
    report = load(tmp_path / "real", today=None, reject=tmp_path / "rejects.csv")
    prices = report["sep"]
    assert prices.read == prices.new == 3_099_559
    assert prices.rejected == {}
    assert prices.warnings["close is outside low and high"] == 1
    snapshot = store.snapshot()
    with snapshot.connect() as con:
        con.execute(f"CREATE VIEW csv AS FROM read_csv('{tmp_path / 'real' / 'SHARADAR_SEP.csv'}')")
        query = "SELECT count(*), sum(hash(ticker, date, open, high, low, close, volume, closeadj)) FROM "
        assert con.execute(query + "csv").fetchone() == con.execute(query + "sep").fetchone()
    again = load(tmp_path / "real", today=None)
    assert not again.changed
    assert store.snapshot().id == snapshot.id


def test_the_vendors_own_sample_of_sf1(
    store: Store, load: Callable[..., IngestReport], tmp_path: Path
) -> None:
    sample = ROOT / "sharadar_sample" / "SF1_MRY_dow30.parquet"
    (tmp_path / "SHARADAR_SF1.parquet").symlink_to(sample)
    report = load(tmp_path / "SHARADAR_SF1.parquet")
    source = pq.ParquetFile(sample)
    assert report["sf1"].notes == ()
    assert report["sf1"].new == source.metadata.num_rows
    assert set(source.schema.names) <= set(store.snapshot().table("sf1").names)
