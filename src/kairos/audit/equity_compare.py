"""Two states of a table, value by value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from kairos.audit.findings import Difference, Offence, Trial
from kairos.store import Table, check_parts
from kairos.store.sql import literal, quote, scan

ULPS = 2.0**-22
"""Two units in the last place of a FLOAT, as a share of the number."""

NUMBERS = frozenset({"FLOAT", "DOUBLE", "TINYINT", "SMALLINT", "INTEGER", "BIGINT"})


@dataclass(frozen=True)
class Comparison:
    """What of a table is compared.

    Attributes
    ----------
    columns : sequence of str
    where : str
        SQL: which rows of either state.
    name : str
        SQL: whom a row is about.
    date : str
        SQL: when.
    """

    columns: Sequence[str]
    where: str
    name: str = "''"
    date: str = "date"


def compare(
    con: duckdb.DuckDBPyConnection, whole: Table, other: Table, what: Comparison, kind: Trial, trial: str
) -> list[Difference]:
    """Compare columns of a table with those of another state of it.

    A row that one state lacks differs in every column. Numbers may differ by rounding: two units in the last
    place of a FLOAT of the larger value, or of the column's root mean square where both are small, for sums
    over names are taken in another order when other names stand beside them.
    """
    if not what.columns:
        return []
    check_parts([whole, other])
    scales = _scales(con, whole, what)
    for side, table in (("w", whole), ("o", other)):
        rows = scan(table.names, [part.path for part in table.parts])
        con.execute(
            f"CREATE OR REPLACE TEMP VIEW {side} AS SELECT *, {what.date}::VARCHAR AS _date, "
            f"{what.name} AS _name, true AS _in FROM ({rows}) WHERE {what.where}"
        )
    both = " AND ".join(f"w.{quote(key)} IS NOT DISTINCT FROM o.{quote(key)}" for key in whole.key)
    kinds = dict(whole.columns)
    figures = [_figures(column, kinds[column] in NUMBERS, scales.get(column, 0.0)) for column in what.columns]
    query = f"SELECT {', '.join(figures)} FROM w FULL JOIN o ON {both}"
    found = con.execute(query).fetchall()[0]
    return [
        _difference(whole.name, column, kind, trial, *found[5 * i : 5 * i + 5])
        for i, column in enumerate(what.columns)
    ]


def _scales(con: duckdb.DuckDBPyConnection, table: Table, what: Comparison) -> dict[str, float]:
    """Root mean square of each column of numbers."""
    kinds = dict(table.columns)
    numbers = [column for column in what.columns if kinds[column] in NUMBERS]
    if not numbers:
        return {}
    squares = ", ".join(
        f"sqrt(avg({quote(name)}::DOUBLE ** 2) FILTER (isfinite({quote(name)}::DOUBLE)))" for name in numbers
    )
    rows = scan(table.names, [part.path for part in table.parts])
    found = con.execute(f"SELECT {squares} FROM ({rows}) WHERE {what.where}").fetchone() or ()
    return {name: value for name, value in zip(numbers, found, strict=True) if value is not None}


def _figures(column: str, number: bool, scale: float) -> str:
    """SQL: values compared, within rounding, beyond it, the largest difference, the first offence.

    Where both states have a row without a value nothing is compared.
    """
    a, b = f"w.{quote(column)}", f"o.{quote(column)}"
    alone = "w._in IS NULL OR o._in IS NULL"
    unlike = f"({a} IS DISTINCT FROM {b} OR {alone})"
    apart, near = "NULL", "false"
    if number:
        apart = f"abs({a}::DOUBLE - {b}::DOUBLE)"
        near = (
            f"coalesce({apart} <= {ULPS!r} * greatest(abs({a}::DOUBLE), abs({b}::DOUBLE), {scale!r}), false)"
        )
    beyond = f"{unlike} AND NOT {near}"
    offence = (
        "struct_pack(date := coalesce(w._date, o._date), name := coalesce(w._name, o._name), "
        f"whole := {a}::VARCHAR, other := {b}::VARCHAR)"
    )
    when = "coalesce(w._date, o._date) || ' ' || coalesce(w._name, o._name)"
    return (
        f"count(*) FILTER ({a} IS NOT NULL OR {b} IS NOT NULL OR {alone}), "
        f"count(*) FILTER ({unlike} AND {near}), count(*) FILTER ({beyond}), "
        f"max({apart}) FILTER ({beyond}), arg_min({offence}, {when}) FILTER ({beyond})"
    )


def _difference(
    table: str,
    column: str,
    kind: Trial,
    trial: str,
    compared: int,
    rounding: int,
    beyond: int,
    worst: float | None,
    first: dict[str, str] | None,
) -> Difference:
    offence = None
    if first is not None:
        offence = Offence(
            date=first["date"],
            name=first["name"],
            trial=trial,
            whole=first["whole"] or "missing",
            other=first["other"] or "missing",
        )
    apart = (math.nan if worst is None else worst) if beyond else 0.0
    return Difference(table, column, kind, trial, compared, rounding, beyond, apart, offence)


def since(date: str, first: str) -> str:
    """SQL: rows from a day on."""
    return f"{quote(date)} >= DATE {literal(first)}"


def until(date: str, last: str) -> str:
    """SQL: rows up to a day."""
    return f"{quote(date)} <= DATE {literal(last)}"
