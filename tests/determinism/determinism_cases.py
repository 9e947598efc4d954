"""The same inputs in other clothes, and the digests of everything that is made from them.

As a program: `python determinism_cases.py VENDOR DB [key=value …]` prints the digests of a market.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kairos.adr.desk import Desk
from kairos.adr.run import STEPS
from kairos.equity.backtest import backtest
from kairos.equity.build import build
from kairos.equity.context import Context
from kairos.equity.ingest import ingest
from kairos.equity.live import picks
from kairos.settings import load
from kairos.store import Store
from kairos.store.ledger import TABLE

ALPHA = "feat_price_action.ret_21d"
STRATEGIES = ("baseline", "risk1")
NO_NOTEBOOKS = tuple(step for step in STEPS if "notebook" not in step.name)

Digests = Mapping[str, object]


def of_market(vendor: Path, db: Path, *overrides: str) -> Digests:
    """Load, build, run two strategies, choose a book; digest of every part and file but the ledger."""
    settings = load(overrides=["equity.live.min_names=5", *overrides])
    ingest([vendor], db, settings=settings)
    build(db, settings=settings)
    backtest(db, STRATEGIES, alpha=ALPHA, settings=settings, lower_is_better=True)
    out = db.parent / "picks"
    date = Context(Store(db).snapshot(), settings).sessions[-1].item()
    picks(db, "risk1", alpha=ALPHA, settings=settings, lower_is_better=True, date=date, out=out)
    found: dict[str, object] = {
        name: [
            [part.digest for part in table.parts],
            table.sql,
            hashed(table.parts[0].path) if table.parts else "",
        ]
        for (_, name), table in Store(db).snapshot().tables.items()
        if name != TABLE
    }
    return found | {file: hashed(out / file) for file in ("picks.csv", "trades.csv")}


def of_desk(root: Path, *overrides: str) -> Digests:
    """Run the steps of a desk; digest of every file but its ledgers, which are hidden."""
    desk = Desk(root, load(overrides=overrides))
    for step in NO_NOTEBOOKS:
        step.run(desk, lambda *_: None)
    made = desk.path("data/processed")
    files = (path for path in made.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(made)): hashed(path) for path in sorted(files)}


def hashed(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def differing(one: Digests, other: Digests) -> list[str]:
    """Names whose content is not the same, or that only one of the two has."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def shuffled(source: Path, target: Path) -> None:
    """Rows in another order; vendors promise none."""
    head, *rows = source.read_text(encoding="utf-8").splitlines()
    random.Random(source.name).shuffle(rows)
    target.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


def reordered(source: Path, target: Path) -> None:
    """Columns in another order."""
    with source.open(encoding="utf-8", newline="") as text:
        rows = list(csv.reader(text))
    order = list(range(len(rows[0])))
    random.Random(source.name).shuffle(order)
    with target.open("w", encoding="utf-8", newline="") as text:
        csv.writer(text).writerows([row[i] for i in order] for row in rows)


def zipped(source: Path, target: Path) -> None:
    with zipfile.ZipFile(target.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(source, source.name)


def backwards(source: Path, target: Path) -> None:
    """Rows of a Parquet file from the last to the first, in small row groups."""
    table = pq.read_table(source)
    pq.write_table(table.take(pa.array(range(table.num_rows - 1, -1, -1))), target, row_group_size=5_000)


def all_at_once(source: Path, target: Path) -> None:
    """Rows and columns in another order, in a zip."""
    folder = target.parent / "loose"
    folder.mkdir(exist_ok=True)
    shuffled(source, folder / f"rows_{source.name}")
    reordered(folder / f"rows_{source.name}", folder / source.name)
    zipped(folder / source.name, target)


def dressed(vendor: Path, folder: Path, change: Callable[[Path, Path], None]) -> Path:
    """Every file of a vendor folder in other clothes."""
    folder.mkdir(parents=True)
    for path in sorted(vendor.iterdir()):
        if path.name.startswith("SHARADAR_"):  # what was planted lies there, too
            change(path, folder / path.name)
    for loose in (folder / "loose").glob("*"):
        loose.unlink()
    if (folder / "loose").is_dir():
        (folder / "loose").rmdir()
    return folder


if __name__ == "__main__":
    print(json.dumps(of_market(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])))
