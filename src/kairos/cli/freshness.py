"""What `kairos doctor` says of the data: how old they are, and what has to be made anew."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from kairos.cli.adr import check_libraries
from kairos.cli.machine import Finding, in_the_future
from kairos.errors import InputError, KairosError
from kairos.textfile import rows

if TYPE_CHECKING:
    from kairos.settings import Settings
    from kairos.store import Snapshot

LATE = 5
"""Sessions without a price after which the store is called old."""


def store(settings: Settings, now: dt.datetime, *, verify: bool = False) -> list[Finding]:
    """Whether the store is whole, how old its data are, and which tables are stale.

    Parameters
    ----------
    now
        With a time zone.
    verify
        Read every part, and name those that are damaged.
    """
    from kairos.equity.context import open_store
    from kairos.equity.staleness import status
    from kairos.store import check_parts

    opened = open_store(Path(settings.data.db), settings)
    if not opened.exists:
        absent = f"{settings.data.db} does not exist yet: run `kairos equity ingest`"
        return [Finding("store", "warning", absent)]
    try:
        snapshot = opened.snapshot()
        tables = status(Path(settings.data.db), settings=settings)
    except KairosError as error:
        return [Finding("store", "wrong", str(error), error.exit_code)]
    parts = [Path(part.path) for table in snapshot.tables.values() for part in table.parts]
    manifests = opened.layout.manifests.glob("*/*.json")
    try:
        check_parts(snapshot.tables.values())
        read = opened.verify() if verify else None
    except KairosError as error:
        return [Finding("store", "wrong", str(error), 1)]
    told = f"snapshot {snapshot.id} with {len(snapshot.tables)} tables, published by {snapshot.code_version}"
    if read:
        told += f", {read.parts:,} parts read"
    return [
        Finding("store", "ok", told),
        in_the_future("clock and store", [*parts, *manifests], now.timestamp()),
        *(_age(f"data: {name}", last, now, name == "sep") for name, last in _last_dates(snapshot)),
        _tables(
            Counter(t.state for t in tables), Counter(w for t in tables if t.state == "stale" for w in t.why)
        ),
    ]


def desk(root: Path, now: dt.datetime) -> list[Finding]:
    """How far the files of an ADR desk's data directory reach."""
    try:
        check_libraries()
    except InputError as error:
        return [Finding("desk", "wrong", str(error), error.exit_code)]
    from kairos.adr import desk as at

    if not root.is_dir():
        return [Finding("desk", "wrong", f"{root}: there is no such folder", InputError.exit_code)]
    daily = [root / at.ORDINARY_CLOSES, root / at.INDEX_CLOSES, *sorted((root / at.US_CLOSES).glob("*.csv"))]
    folders = (
        at.US_MINUTES,
        at.FX_MINUTES,
        at.FUTURE_TEXTS,
        at.FUTURES,
        at.ADR_QUOTES,
        at.MODELS,
        at.BASELINE,
    )
    files = {name: [path for path in (root / name).rglob("*") if path.is_file()] for name in folders}
    found = [_daily(path, root, now) for path in daily]
    found += [_folder(name, inside) for name, inside in files.items()]
    return [
        *found,
        in_the_future(
            "clock and desk", [*daily, *(path for some in files.values() for path in some)], now.timestamp()
        ),
    ]


def _last_dates(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Last date of each of the vendor's tables that have dates."""
    from kairos.equity.context import RAW
    from kairos.store.sql import quote

    found = []
    with snapshot.connect() as con:
        for name, dated in sorted(RAW.items()):
            if dated and ("main", name) in snapshot.tables:
                newest = con.execute(f"SELECT max({quote(dated)})::DATE FROM {quote(name)}").fetchone()
                found += [(name, str(newest[0]))] if newest and newest[0] else []
    return found


def _age(what: str, last: str, now: dt.datetime, is_price: bool) -> Finding:
    """Age of data in sessions of New York that have ended; those of prices decide whether they are old."""
    from kairos.market import sessions

    day, today = dt.date.fromisoformat(last), now.astimezone(dt.UTC).date()
    if day > today:
        return Finding(what, "warning", f"to {last}, which is in the future")
    night = dt.timedelta(days=1)
    age = len(sessions(str(day + night), str(today - night))) if day + night < today else 0
    late = is_price and age > LATE
    return Finding(what, "warning" if late else "ok", f"to {last}; {age:,} sessions have ended since")


def _tables(states: Counter[str], why: Counter[str]) -> Finding:
    counts = ", ".join(f"{states[state]} {state}" for state in ("current", "stale", "not built"))
    if not states["stale"]:
        return Finding("tables", "ok", counts)
    reasons = ", ".join(f"{text} ({count})" for text, count in why.most_common(3))
    return Finding("tables", "warning", f"{counts}: {reasons}; `kairos equity build` makes them anew")


def _daily(path: Path, root: Path, now: dt.datetime) -> Finding:
    """Last date of a wide file."""
    what = str(path.relative_to(root))
    if not path.is_file():
        return Finding(what, "warning", "there is no such file")
    last = ""
    try:
        for _, cells in rows(path):
            last = cells[0]
    except InputError as error:
        return Finding(what, "warning", str(error))
    try:
        dt.date.fromisoformat(last)
    except ValueError:
        return Finding(what, "warning", f"the last row begins with {last!r}, which is no date")
    return _age(what, last, now, is_price=True)


def _folder(name: str, files: list[Path]) -> Finding:
    if not files:
        return Finding(name, "ok", "no files")
    newest = max(files, key=lambda path: path.stat().st_mtime)
    when = dt.datetime.fromtimestamp(newest.stat().st_mtime, dt.UTC)
    return Finding(name, "ok", f"{len(files):,} files, the newest {newest.name} of {when:%Y-%m-%d %H:%M} UTC")
