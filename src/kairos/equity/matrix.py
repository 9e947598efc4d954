"""The feature matrix: every column of every feature table beside each other, assembled and not copied.

All feature tables have the rows of the price base, in its order and cut into its parts, so the matrix is
their positional join: a query that reads the columns that are asked for and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from kairos.equity.composites import CompositeTable
from kairos.equity.context import PRICES, Context
from kairos.equity.declare import AssembledTable, FeatureTable, Params
from kairos.errors import InputError, WorkError
from kairos.settings import Settings
from kairos.store import Table
from kairos.store.sql import quote

NAME = "feat_matrix"
MEMBERS = {NAME: True, "feat_matrix_v2": True, "feat_matrix_all": False}
"""The matrices, and whether they hold the members' rows only."""

DOCS = {
    NAME: "All features, composites and targets of the members of each date, with `regime` and `sector`. A "
    "column name that several tables have belongs to one of them; the others' columns are called "
    "`<table>__<column>`.",
    "feat_matrix_v2": "Another name of `feat_matrix`.",
    "feat_matrix_all": "As `feat_matrix`, with the rows of names that are not members of the date.",
}


def matrix_tables(features: Sequence[FeatureTable]) -> dict[str, AssembledTable]:
    """The matrices over the given feature tables."""
    names = tuple(table.name for table in features)

    def declared(name: str) -> AssembledTable:
        def query(context: Context, _: Params) -> tuple[str, Mapping[str, Any]]:
            return matrix_query(context, features, members=MEMBERS[name])

        query.__module__ = __name__
        return AssembledTable(
            name=name,
            doc=DOCS[name],
            inputs=(PRICES,),
            optional=names,
            columns=lambda _: (),
            uses=("equity.matrix",),
            key=("ticker", "date"),
            query=query,
        )

    return {name: declared(name) for name in MEMBERS}


def matrix_query(
    context: Context, features: Sequence[FeatureTable], *, members: bool
) -> tuple[str, Mapping[str, Any]]:
    """Join the price base row by row with all feature tables that are built; say what is known of the matrix.

    Raises
    ------
    InputError
        When two columns would have one name.
    WorkError
        When a table has not the rows of the price base.
    """
    base, space = context.table(PRICES), quote(context.namespace)
    built = [(feature, table) for feature in features if (table := context.find(feature.name)) is not None]
    for _, table in built:
        check_rows(base, table)
    owners = column_owners(context, built)
    _check_names([(name, table.name) for _, table in built for name, _ in named(table, owners)])
    listed = ['b."ticker"', 'b."date"']
    for i, (_, table) in enumerate(built):
        listed += [f"t{i}.{quote(column)} AS {quote(name)}" for name, column in named(table, owners)]
    joined = "".join(f" POSITIONAL JOIN {space}.{quote(t.name)} t{i}" for i, (_, t) in enumerate(built))
    where = " WHERE b.member" if members else ""
    text = f"SELECT {', '.join(listed)} FROM {space}.{quote(PRICES)} b{joined}{where}"
    with context.connect(PRICES) as con:
        rows = con.sql(f"SELECT count(*) FROM {quote(PRICES)} b{where}").fetchall()[0][0]
    last = max((part.hi for part in base.parts if part.hi), default=None)
    return text, {"rows": rows, "owners": owners, "last": last and last.isoformat()}


def named(table: Table, owners: Mapping[str, str]) -> list[tuple[str, str]]:
    """Names that the columns of a feature table have in the matrix, each with the column."""
    return [
        (column if owners.get(column) == table.name else f"{table.name}__{column}", column)
        for column in table.names
        if column not in table.key
    ]


def column_owners(context: Context, built: Sequence[tuple[FeatureTable, Table]]) -> dict[str, str]:
    """Table that keeps the plain name of each column.

    The one that the settings name; else the one that has it in the matrix already; else a feature before a
    composite, in the order in which tables are built. So a new table never renames a column. A namespace that
    has no matrix yet follows ``main``. Names that differ in capitals only are one name, as in SQL.
    """
    having: dict[str, dict[str, str]] = defaultdict(dict)
    for feature, table in sorted(built, key=lambda pair: isinstance(pair[0], CompositeTable)):
        for column in table.names:
            if column not in table.key:
                having[column.lower()][feature.name] = column
    before = context.find(NAME) or context.snapshot.tables.get(("main", NAME))
    known: Mapping[str, str] = before.meta.get("owners", {}) if before else {}
    owners: dict[str, str] = {}
    for tables in having.values():
        wanted = [o.get(c) for o in (context.settings.equity.matrix.owners, known) for c in tables.values()]
        owner = next((table for table in wanted if table in tables), next(iter(tables)))
        owners |= dict.fromkeys(tables.values(), owner)
    return owners


def check_owners(settings: Settings, features: Sequence[FeatureTable]) -> None:
    """Refuse owners that are no feature tables, or don't have the column."""
    known = {table.name: table for table in features}
    for column, name in settings.equity.matrix.owners.items():
        if name not in known:
            raise InputError(f"equity.matrix.owners.{column} = {name!r}: there is no such feature table")
        table, overrides = known[name], settings.equity.tables.get(name, {})
        columns = (*table.columns(table.params()), *table.columns(table.resolve(overrides)))
        if column not in {c.name for c in columns}:
            raise InputError(f"equity.matrix.owners.{column} = {name!r}: the table has no column {column!r}")


def _check_names(columns: Sequence[tuple[str, str]]) -> None:
    """Refuse two columns with one name: the database would give one of them another, silently."""
    seen: dict[str, str] = {}
    for name, table in columns:
        other = seen.setdefault(name.lower(), table)
        if other != table:
            raise InputError(
                f"two columns of {NAME} would be called {name!r}, of {other} and of {table}: give the "
                "component of the composite another `name`"
            )


def check_rows(base: Table, table: Table) -> None:
    """Refuse a feature table that has not the rows of the price base, part by part."""
    same = [part.rows for part in table.parts] == [part.rows for part in base.parts]
    if not same or table.meta.get("keys") != base.meta["keys"]:
        raise WorkError(
            f"table {table.name} has not the rows of {PRICES}, so the matrix can't be assembled: rebuild it "
            f"with `kairos equity build {table.name} --force`"
        )
