"""One complete, immutable state of all tables, and how it is read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import duckdb

from kairos.errors import InputError
from kairos.store import sql
from kairos.store.tables import digest

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from kairos.store.tables import Manifest, Table, TableKey

MAIN = "main"
"""The namespace of everything that wasn't built into another one."""


class Snapshot:
    """All tables as one publishing left them.

    A snapshot is read in a private in-memory DuckDB over its parts: it holds no lock and no open file, and
    it doesn't change when others publish. A name is looked up in the namespace given, then in ``main``.

    Parameters
    ----------
    manifest
        What the snapshot consists of.
    engine
        Settings of the DuckDB that reads it.
    """

    def __init__(self, manifest: Manifest, engine: sql.Engine) -> None:
        self._manifest = manifest
        self.engine = engine

    def __repr__(self) -> str:
        return f"Snapshot({self.id!r}, {len(self.tables)} tables)"

    @property
    def id(self) -> str:
        """Identifier; sorts by time of publishing, empty before the first publishing."""
        return self._manifest.id

    @property
    def created(self) -> dt.datetime:
        """Time of publishing, UTC."""
        return self._manifest.created

    @property
    def code_version(self) -> str:
        """Version of Kairos that published."""
        return self._manifest.code_version

    @property
    def tables(self) -> Mapping[TableKey, Table]:
        """Every table by (namespace, name)."""
        return self._manifest.tables

    def has(self, name: str, namespace: str = MAIN) -> bool:
        """Tell whether a table can be read under this name."""
        return (namespace, name) in self.tables or (MAIN, name) in self.tables

    def table(self, name: str, namespace: str = MAIN) -> Table:
        """Return a table.

        Raises
        ------
        InputError
            If there is none; the message suggests the nearest name and the command that makes it.
        """
        found = self.tables.get((namespace, name)) or self.tables.get((MAIN, name))
        if found is None:
            known = sorted({table for space, table in self.tables if space in (namespace, MAIN)})
            raise InputError(
                f"no table {name} in snapshot {self.id or '(none is published)'}{_nearest(name, known)}; "
                f"`kairos equity ingest` loads vendor tables, `kairos equity build {name}` builds the others"
            )
        return found

    def connect(self, namespace: str = MAIN) -> duckdb.DuckDBPyConnection:
        """Open a private in-memory DuckDB with a view over every table; the caller closes it.

        Every namespace is a schema. The search path is `namespace`, then ``main``.

        Raises
        ------
        InputError
            If a part is missing on disk, or damaged so that no view can be made of it.
        """
        check_parts(self.tables.values())
        connection = self.engine.connect()
        for space in {space for space, _ in self.tables} | {namespace}:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {sql.quote(space)}")
        try:
            for (space, name), table in in_order(self.tables):
                connection.execute(f"CREATE VIEW {sql.quote(space)}.{sql.quote(name)} AS {query(table)}")
        except duckdb.Error:
            check_content(self.tables.values(), self.engine.threads)  # DuckDB doesn't say which file it is
            raise
        path = ",".join(dict.fromkeys([namespace, MAIN]))
        connection.execute(f"SET search_path = {sql.literal(path)}")
        return connection

    def read(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        namespace: str = MAIN,
        where: str | None = None,
        params: Sequence[Any] = (),
    ) -> pa.Table:
        """Return rows of a table as Arrow, part after part, each in the order of the key.

        Parameters
        ----------
        name, namespace
            The table.
        columns
            The columns wanted, all by default.
        where
            SQL condition on the table's columns, with ``?`` for values.
        params
            The values.

        Raises
        ------
        InputError
            If there is no such table or column, or a part is missing on disk.

        Examples
        --------
        ``snapshot.read("sep", ["ticker", "date", "closeadj"], where="date >= ?", params=[date(2020, 1, 2)])``
        """
        table = self.table(name, namespace)
        wanted = table.names if columns is None else tuple(columns)
        for column in wanted:
            if column not in table.names:
                raise InputError(f"table {name} has no column {column}{_nearest(column, table.names)}")
        check_parts([table])
        condition = f" WHERE {where}" if where else ""
        with self.connect(namespace) if table.sql else self.engine.connect() as connection:
            return connection.sql(
                f"SELECT {sql.columns(wanted)} FROM ({query(table)}){condition}", params=list(params)
            ).to_arrow_table()


def query(table: Table) -> str:
    """Return the query that is a table's view: over its parts, or over other tables."""
    return table.sql or sql.scan(table.names, [part.path for part in table.parts])


def in_order(tables: Mapping[TableKey, Table]) -> list[tuple[TableKey, Table]]:
    """Return tables in an order in which their views can be made: those assembled from others last."""
    return sorted(tables.items(), key=lambda item: bool(item[1].sql))


def check_parts(tables: Iterable[Table]) -> None:
    """Check that the parts of tables are on disk.

    Raises
    ------
    InputError
        If one isn't; the message names it.
    """
    for table in tables:
        for part in table.parts:
            if part.path.exists() and part.path.stat().st_size != part.bytes:
                raise InputError(
                    f"table {table.name}: its part {part.path} is damaged: it has {part.path.stat().st_size} "
                    f"bytes instead of {part.bytes}; put the file back, or make the table anew with --force"
                )
            if not part.path.exists():
                raise InputError(
                    f"table {table.name}: its part {part.path} is missing; put the folder back "
                    f"(after a move of the database, the folder of the same name must lie beside it), "
                    f"or make the table anew with --force"
                )


def check_content(tables: Iterable[Table], threads: int) -> None:
    """Check that parts hold what was written: the digest of their bytes is their name.

    Raises
    ------
    InputError
        If a part is missing, or holds something else; the message names the parts.
    """
    tables = list(tables)
    check_parts(tables)
    parts = list(dict.fromkeys(part for table in tables for part in table.parts))
    with ThreadPoolExecutor(threads) as pool:
        sound = list(pool.map(lambda part: digest(part.path.read_bytes()) == part.digest, parts))
    damaged = [str(part.path) for part, good in zip(parts, sound, strict=True) if not good]
    if damaged:
        listed = ", ".join(damaged[:5])
        raise InputError(
            f"{len(damaged)} of {len(parts)} parts are damaged: {listed}{' …' if damaged[5:] else ''}; "
            "put them back from a copy, or delete them and make their tables anew"
        )


def _nearest(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
