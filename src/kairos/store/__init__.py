"""Tables as immutable Parquet parts, the DuckDB catalog over them, publishing, snapshots, the run ledger.

A *table* is a list of immutable, content-addressed Parquet *parts*. The *catalog* (``kairos.duckdb``) is a
DuckDB file with one view per table and the manifest of one complete *snapshot*. A run writes new parts,
builds the next catalog beside the old one and renames it into place, so that a reader sees all of a run or
none of it, and a killed run leaves the previous catalog.

>>> import tempfile
>>> from pathlib import Path
>>> import pyarrow as pa
>>> store = Store(Path(tempfile.mkdtemp()) / "kairos.duckdb")
>>> with store.publish() as tx:
...     table = tx.put("prices", [pa.table({"ticker": ["A", "B"], "close": [1.5, 2.5]})], key=("ticker",))
>>> store.snapshot().read("prices", columns=["close"], where="ticker = ?", params=["B"]).to_pylist()
[{'close': 2.5}]
"""

from kairos.store.parts import plain_form, read_part
from kairos.store.publish import Transaction
from kairos.store.snapshot import MAIN, Snapshot, check_content, check_parts
from kairos.store.store import Store, Vacuumed, Verified
from kairos.store.tables import RESULT, Part, Table

__all__ = [
    "MAIN",
    "RESULT",
    "Part",
    "Snapshot",
    "Store",
    "Table",
    "Transaction",
    "Vacuumed",
    "Verified",
    "check_content",
    "check_parts",
    "plain_form",
    "read_part",
]
