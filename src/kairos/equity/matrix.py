"""The feature matrix: every column of every feature table beside each other, assembled and not copied.

All feature tables have the rows of the price base, in its order and cut into its parts, so the matrix is their
positional join: a query that reads the columns that are asked for and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from kairos.equity.composites import CompositeTable
from kairos.equity.context import PRICES, Context
from kairos.equity.declare import AssembledTable, FeatureTable, Params
from kairos.errors import InputError, WorkError
from kairos.store import Table
from kairos.store.sql import quote

NAME = "feat_matrix"
MEMBERS = {NAME: True, "feat_matrix_v2": True, "feat_matrix_all": False}
"""The matrices, and whether they hold the members' rows only."""

DOCS = {
    NAME: "All features, composites and targets of the members of each date, with `regime` and `sector`. A column "
    "name that several tables have belongs to one of them; the others' columns are called `<table>__<column>`.",
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


def matrix_query(context: Context, features: Sequence[FeatureTable], *, members: bool) -> tuple[str, Mapping[str, Any]]:
    """The positional join of the price base with all feature tables that are built, and what it knows of itself.

    Raises
    ------
    WorkError
        When a table has not the rows of the price base.
    """
    base, space = context.table(PRICES), quote(context.namespace)
    built = [(feature, table) for feature in features if (table := context.find(feature.name)) is not None]
    for _, table in built:
        check_rows(base, table)
    owners = column_owners(context, built)
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
    composite, in the order in which tables are built. So a new table never renames a column.
    """
    having: dict[str, list[str]] = defaultdict(list)
    for feature, table in sorted(built, key=lambda pair: isinstance(pair[0], CompositeTable)):
        for column in table.names:
            if column not in table.key:
                having[column].append(feature.name)
    declared = context.settings.equity.matrix.owners
    before = context.find(NAME)
    known: Mapping[str, str] = before.meta.get("owners", {}) if before else {}
    return {
        column: next((t for t in (declared.get(column), known.get(column)) if t in tables), tables[0])
        for column, tables in having.items()
    }


def check_owners(settings_owners: Mapping[str, str], features: Sequence[FeatureTable]) -> None:
    """Refuse owners that are no feature tables."""
    names = {table.name for table in features}
    for column, table in settings_owners.items():
        if table not in names:
            raise InputError(f"equity.matrix.owners.{column} = {table!r}: there is no such feature table")


def check_rows(base: Table, table: Table) -> None:
    """Refuse a feature table that has not the rows of the price base, part by part."""
    same = [part.rows for part in table.parts] == [part.rows for part in base.parts]
    if not same or table.meta.get("keys") != base.meta["keys"]:
        raise WorkError(
            f"table {table.name} has not the rows of {PRICES}, so the matrix can't be assembled: rebuild it with "
            f"`kairos equity build {table.name} --force`"
        )
