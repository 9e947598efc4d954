"""Stores in temporary folders."""

import pyarrow as pa
import pytest
from store_helpers import KEY, years

from kairos.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "data" / "kairos.duckdb")


@pytest.fixture
def filled(store):
    """A store with a daily table of two years and a table without dates."""
    with store.publish() as tx:
        tx.put("sep", years(2019, 2020), key=KEY, meta={"note": "two years"})
        tx.put("tickers", [pa.table({"ticker": ["A", "B"], "name": ["Alpha", "Beta"]})], key=("ticker",))
    return store
