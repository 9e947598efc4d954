"""Steps of the nightly run in a process of its own: what each takes, as JSON on stdout."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from peers import EVERYONE, TECHNICAL, cpu

from kairos.equity.build import build
from kairos.equity.ingest import ingest
from kairos.equity.matrix_export import export_matrix
from kairos.equity.update import update
from kairos.settings import load

SETTINGS = load(None, EVERYONE)
DATED = {
    "SEP": "date",
    "DAILY": "date",
    "SF1": "datekey",
    "SF2": "filingdate",
    "SF3": "calendardate",
    "ACTIONS": "date",
    "TICKERS": None,
}
QUERIES = {
    "count": "SELECT COUNT(*) FROM feat_matrix",
    "corr": "SELECT corr(alpha_composite_v8, ret_5d_f) FROM feat_matrix "
    "WHERE date BETWEEN (SELECT max(date) - 1800 FROM sessions) AND (SELECT max(date) FROM sessions)",
    "top ten": "SELECT ticker, alpha_composite_v8, ret_5d_f FROM feat_matrix "
    "WHERE date = (SELECT max(date) FROM sessions) ORDER BY alpha_composite_v8 DESC LIMIT 10",
}


def sessions(vendor: Path) -> list[Any]:
    """Dates of the vendor's prices."""
    rows = duckdb.sql(f"SELECT DISTINCT date FROM '{vendor}/SHARADAR_SEP.parquet' ORDER BY 1").fetchall()
    return [day for (day,) in rows]


def cut(vendor: Path, out: Path, upto: Any, since: Any = None, corrections: int = 0) -> Path:
    """The vendor's rows after a day up to another; with `corrections` so many histories are re-adjusted."""
    out.mkdir(parents=True)
    for name, date in DATED.items():
        file = vendor / f"SHARADAR_{name}.parquet"
        where = "true" if date is None else f"{date} <= DATE '{upto}'"
        news = where if date is None or since is None else f"{where} AND {date} > DATE '{since}'"
        query = f"SELECT * FROM '{file}' WHERE {news}"
        if corrections and name == "SEP":
            some = f"SELECT ticker FROM '{file}' WHERE date = DATE '{since}' ORDER BY hash(ticker)"
            query += (
                f" UNION ALL SELECT * REPLACE (closeadj * 0.991 AS closeadj, DATE '{upto}' AS lastupdated) "
                f"FROM '{file}' WHERE date <= DATE '{since}' AND ticker IN ({some} LIMIT {corrections})"
            )
        if corrections and name == "SF1":
            late = f"datekey BETWEEN DATE '{since}' - 40 AND DATE '{since}' AND dimension IN ('ARQ', 'ART')"
            query += (
                f" UNION ALL (SELECT * REPLACE (netinc * 1.01 AS netinc, DATE '{upto}' AS lastupdated) "
                f"FROM '{file}' WHERE {late} ORDER BY ticker, dimension LIMIT {5 * corrections})"
            )
        if duckdb.sql(f"SELECT count(*) FROM ({query})").fetchall() != [(0,)]:
            duckdb.sql(f"COPY ({query}) TO '{out / file.name}' (FORMAT parquet)")
    return out


def timed(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Wall and CPU seconds of a piece of work, and what it returns."""
    wall, used = time.perf_counter(), cpu()
    found = work()
    return {"seconds": time.perf_counter() - wall, "cpu": cpu() - used}, found


def asked(con: duckdb.DuckDBPyConnection, query: str) -> dict[str, float]:
    """Seconds of a query: at first, and at best of three times."""
    seconds = [timed(lambda: con.execute(query).fetchall())[0]["seconds"] for _ in range(3)]
    return {"first": seconds[0], "best": min(seconds)}


def step(name: str, db: Path, *given: str) -> dict[str, Any]:
    """One step by its name."""
    if name == "ingest":
        spent, _ = timed(lambda: ingest([Path(given[0])], db, settings=SETTINGS))
        return spent
    if name == "build":
        first, _ = timed(lambda: build(db, TECHNICAL, settings=SETTINGS))
        rest, report = timed(lambda: build(db, settings=SETTINGS))
        rows = max(row["rows"] for row in report.built)
        return {"phases 1-2": first, "phases 3-5": rest, "rows": rows}
    if name == "rebuild":
        spent, _ = timed(lambda: build(db, settings=SETTINGS, force=True))
        return spent
    if name == "updates":  # the first one loads the compiled code
        nights = [
            timed(lambda folder=folder: update(db, settings=SETTINGS, sources=[Path(folder)]))
            for folder in given
        ]
        return {"nights": [spent for spent, _ in nights], "said": nights[-1][1].remarks()[:3]}
    if name == "queries":
        with duckdb.connect(str(db), read_only=True, config={"threads": 2}) as con:
            return {q: asked(con, text) for q, text in QUERIES.items()}
    if name == "export":
        spent, _ = timed(lambda: export_matrix(db, Path(given[0]), settings=SETTINGS))
        return spent
    raise ValueError(name)


if __name__ == "__main__":
    done = step(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
    done["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(done))
