"""The vendor's tables as a trial of an audit has them: cut, begun later, with another future, or split.

Every alteration is one query a table. What differs between tables is only which column dates a row, and after
how many days a row of that date is known.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from kairos.audit.findings import Trial
from kairos.equity.context import Context
from kairos.equity.ingest.load import GOLDEN
from kairos.equity.vendor import TABLES, Kind, VendorTable
from kairos.store import Store
from kairos.store.sql import literal, quote

KNOWN_AFTER = {"sf1": 1, "sf2": 1, "sf3": 46, "daily": 1, "metrics": 1}
"""Days from a row's date to the one after whose close it is known at the earliest: filings and the vendor's
daily figures from the next session on; 13F reports are due 45 days after the quarter (SEC rule 13f-1)."""

KNOWN_ONLY = ("lastpricedate", "lastquarter", "lastupdated")
"""Dates of a security that go on while it lives."""

PRICE = ("open", "high", "low", "close", "closeadj", "closeunadj")
ON_SPLIT_BASIS = {
    "sep": {"open": 0.5, "high": 0.5, "low": 0.5, "close": 0.5, "closeadj": 0.5, "volume": 2.0},
    "sf1": dict.fromkeys(("bvps", "dps", "eps", "epsdil", "epsusd", "fcfps", "price", "sps", "tbvps"), 0.5),
}
"""What a 2:1 split does to the stored past; powers of two, so that nothing is rounded."""


@dataclass(frozen=True)
class Alteration:
    """What a trial does to the inputs, and when.

    Attributes
    ----------
    kind : Trial
    moment : date
        The session after whose close the future begins; of `START` the first one that is kept.
    seed : int
        Of the other future.
    """

    kind: Trial
    moment: dt.date
    seed: int = 0

    @property
    def label(self) -> str:
        """Name of the trial."""
        return f"{self.kind} {self.moment}"


def write_inputs(context: Context, store: Store, altered: Alteration) -> None:
    """Write every vendor table that `context` has into an empty store, altered.

    The rows are written year by year, so that no table is in memory as a whole.
    """
    names = [table.name for table in TABLES if context.find(table.name) is not None]
    with store.publish() as tx, context.connect(*names) as con:
        for table in TABLES:
            stored = context.find(table.name)
            if stored is None:
                continue
            con.execute(f"CREATE TEMP VIEW altered AS {_query(table, stored.names, altered)}")
            meta = {name: value for name, value in stored.meta.items() if name != "changes"}
            written = tx.put(table.name, _parts(con, table, stored.names), key=table.key, meta=meta)
            con.execute("DROP VIEW altered")
            if golden := GOLDEN.get(table.name):
                tx.name(golden, written)


def _parts(con: duckdb.DuckDBPyConnection, table: VendorTable, names: tuple[str, ...]) -> Iterator[pa.Table]:
    """The rows of the view `altered`, one part a year of the date column, in the order of the key."""
    rows = f"SELECT {', '.join(map(quote, names))} FROM altered"
    order = f"ORDER BY {', '.join(map(quote, table.key))}"
    if table.dated is None:
        yield con.sql(f"{rows} {order}").to_arrow_table()
        return
    year = f"year({quote(table.dated)})"
    years = con.sql(f"SELECT DISTINCT {year} AS y FROM altered ORDER BY y").fetchall()
    if not years:
        yield con.sql(f"{rows} LIMIT 0").to_arrow_table()
    for (number,) in years:
        yield con.sql(f"{rows} WHERE {year} = {int(number)} {order}").to_arrow_table()


def _query(table: VendorTable, names: tuple[str, ...], altered: Alteration) -> str:
    if altered.kind is Trial.CUT:
        return _cut(table, names, altered)
    if altered.kind is Trial.START:
        return _start(table, altered)
    return _future(table, names, altered) if altered.kind is Trial.FUTURE else _split(table, names, altered)


def _known(table: VendorTable) -> str:
    """SQL: the day after whose close a row is known."""
    return f"({quote(str(table.dated))} + {KNOWN_AFTER.get(table.name, 0)})"


def _cut(table: VendorTable, names: tuple[str, ...], altered: Alteration) -> str:
    """Rows known by the moment; of the securities those that existed, and nothing about their ends."""
    moment = f"DATE {literal(str(altered.moment))}"
    if table.dated is not None:
        return f"SELECT * FROM {table.name} WHERE {_known(table)} <= {moment}"
    known = ", ".join(f"least({name}, {moment}) AS {name}" for name in KNOWN_ONLY if name in names)
    return f"""
        SELECT * REPLACE (isdelisted AND coalesce(lastpricedate <= {moment}, true) AS isdelisted, {known})
        FROM {table.name} WHERE coalesce(firstpricedate <= {moment}, true)"""


def _start(table: VendorTable, altered: Alteration) -> str:
    """Prices and daily figures from the moment on; reports of before stay, for they are still in force."""
    if table.name not in ("sep", "daily", "metrics"):
        return f"SELECT * FROM {table.name}"
    return f"SELECT * FROM {table.name} WHERE date >= DATE {literal(str(altered.moment))}"


def _future(table: VendorTable, names: tuple[str, ...], altered: Alteration) -> str:
    """Every number after the moment is another one, so are the ends of listings; amended reports appear."""
    moment = f"DATE {literal(str(altered.moment))}"
    if table.dated is None:
        turned = f"{_draw(table, altered, 'ticker')} < 0.3 AND coalesce(lastpricedate > {moment}, false)"
        return f"""
            SELECT * REPLACE (CASE WHEN {turned} THEN NOT isdelisted ELSE isdelisted END AS isdelisted,
                              CASE WHEN {turned} THEN {moment} + 10 ELSE lastpricedate END AS lastpricedate)
            FROM {table.name}"""
    later = f"{_known(table)} > {moment}"
    if table.name == "sep":
        return f"{_replaced(table, names, altered, later)} WHERE NOT ({later} AND {_gone(table, altered)})"
    if table.name == "actions":
        alive = f"SELECT DISTINCT ticker FROM sep WHERE date BETWEEN {moment} - 7 AND {moment}"
        ends = f"""
            SELECT ticker, {moment} + 10 AS date, 'delisted' AS action, '' AS contraticker FROM ({alive})
            WHERE {_draw(table, altered, "ticker")} < 0.2"""
        return _first_of(table, f"SELECT * FROM actions WHERE NOT {later} UNION ALL BY NAME {ends}")
    if table.name == "sf1":
        restated = f"{later} OR dimension LIKE 'MR%'"
        filed = f"({moment} + 1 + (60 * {_draw(table, altered, 'datekey')})::INTEGER)::DATE"
        amended = f"""
            SELECT * REPLACE ({filed} AS datekey)
            FROM ({_replaced(table, names, altered, "true")})
            WHERE datekey <= {moment} AND {_draw(table, altered, "reportperiod")} < 0.2"""
        return _first_of(table, f"{_replaced(table, names, altered, restated)} UNION ALL BY NAME {amended}")
    replaced = _replaced(table, names, altered, later)
    if table.name == "sf2" and "formtype" in names:  # a form is called restated when a later one amends it
        said = "regexp_replace(formtype, '^RESTATED-?', '')"
        return f"SELECT * REPLACE ({said} AS formtype) FROM ({replaced})"
    return replaced


def _split(table: VendorTable, names: tuple[str, ...], altered: Alteration) -> str:
    """Half of the tickers on the basis of one more 2:1 split, which comes after the moment."""
    factors = ON_SPLIT_BASIS.get(table.name, {})
    changed = ", ".join(
        f"{quote(name)} * if(_split, {factor}, 1.0) AS {quote(name)}"
        for name, factor in factors.items()
        if name in names
    )
    if not changed:
        return f"SELECT * FROM {table.name}"
    drawn = f"hash(ticker, {altered.seed}) % 2 = 0"
    return (
        f"SELECT * EXCLUDE (_split) REPLACE ({changed}) FROM (SELECT *, {drawn} AS _split FROM {table.name})"
    )


def _replaced(table: VendorTable, names: tuple[str, ...], altered: Alteration, where: str) -> str:
    """Query of all rows, the numbers of those under a condition replaced.

    Prices of a row share one factor, so that high stays above low; other numbers may turn their sign.
    """
    together = PRICE if table.name == "sep" else ()
    draw = _draw(table, altered, *table.key)
    days = f"date_diff('day', DATE {literal(str(altered.moment))}, {quote(str(table.dated))})"
    factor = f"exp({draw} - 0.5) * (1 + 0.02 * least({days}, 50))"
    changed = []
    for column in table.columns:
        if column.kind is not Kind.FLOAT or column.name not in names:
            continue
        name = quote(column.name)
        other = (
            f"{name} * {factor}"
            if column.name in together
            else f"{name} * {_other(table, altered, column.name)}"
        )
        changed.append(f"CASE WHEN {where} THEN {other} ELSE {name} END AS {name}")
    replaced = f" REPLACE ({', '.join(changed)})" if changed else ""
    return f"SELECT *{replaced} FROM {table.name}"


def _other(table: VendorTable, altered: Alteration, column: str) -> str:
    """SQL: a factor of 0.1 to 3, negative now and then where the column may be."""
    draw = f"({_draw(table, altered, *table.key, salt=column)})"
    signed = table.name == "sf1"
    return f"((0.1 + 2.9 * {draw}) * if({draw} > 0.9, -1, 1))" if signed else f"(0.1 + 2.9 * {draw})"


def _gone(table: VendorTable, altered: Alteration) -> str:
    """SQL: a tenth of the tickers have no more prices a week after the moment."""
    begun = f"date > DATE {literal(str(altered.moment))} + 7"
    return f"({_draw(table, altered, 'ticker')} < 0.1 AND {begun})"


def _draw(table: VendorTable, altered: Alteration, *names: str, salt: str = "") -> str:
    """SQL: a number in [0, 1) that depends on some columns, the seed and a word only."""
    given = ", ".join((*map(quote, names), str(altered.seed), literal(f"{table.name} {salt}")))
    return f"((hash({given}) % 1000003) / 1000003.0)"


def _first_of(table: VendorTable, rows: str) -> str:
    """Query with one row a key."""
    key = ", ".join(map(quote, table.key))
    return f"SELECT * FROM ({rows}) QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {key}) = 1"
