"""What a run wants to publish: new tables, names, rows, drops, all at once or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import duckdb

from kairos.errors import WorkError
from kairos.store import sql
from kairos.store.parts import OrderedKeys, check_unique, column_types, merge, write_parts
from kairos.store.snapshot import MAIN, Snapshot, check_content
from kairos.store.tables import Manifest, Part, Table, plain
from kairos.store.version import code_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pyarrow as pa

    from kairos.store.layout import Layout
    from kairos.store.tables import TableKey

    Step = Callable[[dict[TableKey, Table]], None]


class Transaction:
    """Changes to the tables of a store, collected until the ``with`` block of `Store.publish` ends.

    Parts are written at once, for they are invisible until a catalog names them. The changes themselves are
    kept as steps and applied to whatever is published when the block ends, so that what others published in
    the meantime isn't lost; of two that put the same table the later one wins.

    Parameters
    ----------
    base
        What was published when the block began.
    layout, engine
        Where parts are written, and how they are read.
    compact_parts
        Number of parts above which an appended table is compacted.
    """

    def __init__(self, base: Snapshot, layout: Layout, engine: sql.Engine, compact_parts: int) -> None:
        self.base = base
        self._layout = layout
        self._engine = engine
        self._compact_parts = compact_parts
        self._steps: list[Step] = []
        self._known = OrderedKeys()

    def put(
        self,
        name: str,
        parts: Iterable[pa.Table | Part],
        *,
        key: Sequence[str],
        namespace: str = MAIN,
        meta: Mapping[str, Any] | None = None,
        unique: bool = False,
    ) -> Table:
        """Write a table, in place of the one that has its name.

        Parameters
        ----------
        name, namespace
            Lower-case letters, digits, underscores.
        parts
            Arrow tables, one per part, as a stream: few are in memory at a time. Daily tables have one part
            per calendar year. A `Part` of a table with the same key is taken over without a copy.
        key
            Columns that identify a row. Rows must be in the order of the key inside a part.
        meta
            What is to be remembered of the table, as JSON.
        unique
            No key can stand in two parts, because the keys are those of a table that was checked.

        Returns
        -------
        Table
            The table as it will be published.

        Raises
        ------
        InputError
            If the name can't be a table's.
        WorkError
            If a key occurs twice or has no value, rows aren't in the order of the key, parts differ in their
            columns, or the disk is full.
        """
        table = self._write(name, parts, key, namespace, meta or {}, unique)
        self._steps.append(lambda tables: tables.update({(namespace, name): table}))
        return table

    def assemble(
        self,
        name: str,
        query: str,
        *,
        key: Sequence[str],
        namespace: str = MAIN,
        meta: Mapping[str, Any] | None = None,
    ) -> Table:
        """Put a table that is a query over other tables of the catalog, so that nothing is stored twice.

        Parameters
        ----------
        name, key, namespace, meta
            As in `put`.
        query
            One SELECT over tables with parts, named with their namespaces; published ones or put before.

        Raises
        ------
        InputError
            If the name can't be a table's.
        WorkError
            If the query can't be bound.
        """
        sql.check_name(name, "table")
        sql.check_name(namespace, "namespace")
        with self._stored().connect(namespace) as connection:
            try:
                described = connection.execute(f"DESCRIBE {query}").fetchall()
            except duckdb.Error as error:
                raise WorkError(f"table {name} can't be assembled: {error}") from error
        columns = tuple((column, kind) for column, kind, *_ in described)
        table = Table(name, namespace, tuple(key), columns, (), plain(dict(meta or {})), query)

        self._steps.append(lambda tables: tables.update({(namespace, name): table}))
        return table

    def name(self, name: str, table: Table, namespace: str = MAIN) -> Table:
        """Give a table another name, for the same parts."""
        sql.check_name(name, "table")
        sql.check_name(namespace, "namespace")
        named = replace(table, name=name, namespace=namespace)
        self._steps.append(lambda tables: tables.update({(namespace, name): named}))
        return named

    def append(
        self,
        name: str,
        rows: pa.Table,
        *,
        key: Sequence[str],
        namespace: str = MAIN,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Add rows behind those of a table, as a new part; the table is made if there is none.

        A table of more than `compact_parts` parts is compacted: the parts of each calendar year become one.

        Parameters
        ----------
        name, namespace, key
            As in `put`; the key must be the table's.
        rows
            New rows, in the order of the key.
        meta
            Replaces what is remembered of the table, if given.

        Raises
        ------
        WorkError
            As in `put`, or if the rows don't fit the table; some of it only when the block ends.
        """
        addition = self._write(name, [rows], key, namespace, meta or {})

        def step(tables: dict[TableKey, Table]) -> None:
            table = tables.get((namespace, name))
            if table is None:
                tables[namespace, name] = addition
            elif addition.rows:
                tables[namespace, name] = self._joined(
                    table, addition, table.meta if meta is None else addition.meta
                )

        self._steps.append(step)

    def drop(self, name: str, namespace: str = MAIN) -> None:
        """Take a table out of the next catalog; older snapshots keep it. Nothing happens if there is none."""

        def step(tables: dict[TableKey, Table]) -> None:
            tables.pop((namespace, name), None)

        self._steps.append(step)

    def _stored(self) -> Snapshot:
        """The tables with parts: others may be assembled from columns that are gone now."""
        tables = {key: table for key, table in self._changed(self.base.tables).items() if not table.sql}
        manifest = Manifest(self.base.id, self.base.created, self.base.code_version, tables)
        return Snapshot(manifest, self._engine)

    def preview(self) -> Snapshot:
        """Return the base with the changes made so far, to read tables that aren't published yet."""
        manifest = Manifest(
            self.base.id, self.base.created, self.base.code_version, self._changed(self.base.tables)
        )
        return Snapshot(manifest, self._engine)

    def advance(self, now: Manifest) -> Manifest:
        """Return the manifest that follows `now` by the changes; `now` itself if they change nothing."""
        tables = self._changed(now.tables)
        return now if tables == now.tables else now.following(tables, code_version())

    @property
    def empty(self) -> bool:
        """Tell that there is nothing to publish."""
        return not self._steps

    def _changed(self, tables: Mapping[TableKey, Table]) -> dict[TableKey, Table]:
        changed = dict(tables)
        for step in self._steps:
            step(changed)
        return changed

    def _write(
        self,
        name: str,
        parts: Iterable[pa.Table | Part],
        key: Sequence[str],
        namespace: str,
        meta: Mapping[str, Any],
        unique: bool = False,
    ) -> Table:
        sql.check_name(name, "table")
        sql.check_name(namespace, "namespace")
        folder = self._layout.folder / name
        written = write_parts(folder, name, parts, key, self._engine.threads, self._known)
        if not unique:
            check_unique(name, written, key, self._engine)
        columns = column_types(written[0].path, self._engine)
        return Table(name, namespace, tuple(key), columns, tuple(written), plain(dict(meta)))

    def _joined(self, table: Table, addition: Table, meta: Mapping[str, Any]) -> Table:
        if (table.key, table.columns) != (addition.key, addition.columns):
            odd = ", ".join(sorted({name for name, _ in set(table.columns) ^ set(addition.columns)}))
            raise WorkError(
                f"table {table.name}: the new rows have another key, or other columns: {odd or 'their order'}"
            )
        parts = tuple(part for part in table.parts if part.rows) + addition.parts
        check_unique(table.name, parts, table.key, self._engine)
        joined = replace(table, parts=parts, meta=meta)
        return self._compacted(joined) if len(parts) > self._compact_parts else joined

    def _compacted(self, table: Table) -> Table:
        """Merge the parts of each calendar year; all of them if one has no date or crosses a year's end."""
        years = [_year(part) for part in table.parts]
        if None in years:
            years = [None] * len(years)
        parts: list[Part] = []
        for year in dict.fromkeys(years):
            group = [part for part, its in zip(table.parts, years, strict=True) if its == year]
            if len(group) > 1:
                check_content([replace(table, parts=tuple(group))], self._engine.threads)
                rows = merge(group, table.names, table.key, self._engine)
                group = write_parts(
                    self._layout.folder / table.name, table.name, [rows], table.key, self._engine.threads
                )
            parts += group
        return replace(table, parts=tuple(parts))


def _year(part: Part) -> int | None:
    return part.lo.year if part.lo and part.hi and part.lo.year == part.hi.year else None
