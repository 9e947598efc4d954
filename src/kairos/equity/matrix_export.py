"""The feature matrix as Parquet files, one for each ticker, for models that are trained outside the database.

Ten million rows go into thousands of files without being sorted as a whole: the rows of every stored part
are in the order of (ticker, date), so tickers pass by in blocks, and the rows of a block are the next ones of
every part of every table. Each row is decoded once. In memory are a block, and of each part the row group
that it has reached.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from kairos.disk import reason
from kairos.equity.context import PRICES, Context, open_store
from kairos.equity.frame import Ints, Mask, dates, encode, numbers
from kairos.equity.matrix import NAME, check_rows, named
from kairos.errors import InputError, WorkError
from kairos.settings import Settings
from kairos.store import Part, Table, check_parts
from kairos.store.layout import sync

BLOCK_ROWS = 131_072
"""Rows of a block of tickers, about: with two hundred columns a hundred megabytes."""

FLUSHES = 4
"""Files that are flushed to the disk at the same time."""

FILE = "part-0.parquet"
MARK = "kairos.snapshot"
"""Entry in the metadata of every file, by which an earlier export is known."""


@dataclass(frozen=True)
class MatrixExport:
    """What an export wrote."""

    folder: str
    rows: int
    columns: int
    tickers: int
    bytes: int
    seconds: float
    snapshot: str

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return asdict(self)


def export_matrix(
    db: Path,
    out: Path,
    *,
    settings: Settings,
    namespace: str = "main",
    snapshot: str | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> MatrixExport:
    """Write ``feat_matrix`` as ``<out>/<last session>_academic_matrix/ticker=<TICKER>/part-0.parquet``.

    The rows of a file ascend by date. The ticker is in the folder's name and not in the file, as DuckDB,
    Polars, pyarrow and Spark read it (Hive); what can't be in a file name is percent-encoded. The folder
    appears when it is complete.

    Parameters
    ----------
    db : Path
        The catalog, e.g. ``data/kairos.duckdb``.
    out : Path
        Folder of the exports; made if absent.
    namespace : str
        Whose matrix.
    snapshot : str, optional
        An earlier state of the catalog.
    progress : callable
        Called with the share of the rows that was just written.

    Raises
    ------
    InputError
        When there is no matrix, it has no rows, or what has the name of the export is not an earlier export.
    WorkError
        When the tables of the matrix don't have the same rows, another export is running, or a file can't be
        written.
    """
    started = time.monotonic()
    context = Context(open_store(db, settings).snapshot(snapshot), settings, namespace)
    matrix, streams = context.table(NAME), _streams(context)
    keys = _Keys.of(context)
    rows, flushed = int(keys.member.sum()), list[Iterator[int]]()
    if not rows:
        raise InputError(f"{NAME} has no rows in namespace {namespace}: no ticker was ever in the universe")
    target = Path(out) / f"{matrix.meta['last']}_academic_matrix"
    about = {MARK: context.snapshot.id, "kairos.namespace": namespace}
    with (
        _in_place_of(target) as folder,
        ThreadPoolExecutor(settings.run.threads) as pool,
        ThreadPoolExecutor(FLUSHES) as disk,
    ):
        for block in keys.blocks():
            columns: dict[str, pa.Array] = {}
            for some in pool.map(block.columns, streams):
                columns |= some
            whole = pa.table({name: columns[name] for name in matrix.names if name in columns})
            files = list(pool.map(partial(_write, folder, about, whole), block.tickers))
            flushed.append(disk.map(_flush, files))  # goes on while the next block is read
            progress(whole.num_rows / rows)
        written = sum(chain.from_iterable(flushed))
    return MatrixExport(
        folder=str(target),
        rows=rows,
        columns=len(matrix.names),
        tickers=len(np.unique(keys.ticker[keys.member])),
        bytes=written,
        seconds=time.monotonic() - started,
        snapshot=context.snapshot.id,
    )


def _write(folder: Path, about: Mapping[str, str], rows: pa.Table, ticker: tuple[str, int, int]) -> Path:
    """Write the file of one ticker."""
    name, first, count = ticker
    path = folder / f"ticker={quote(name, safe='')}" / FILE
    path.parent.mkdir()
    texts = [column.name for column in rows.schema if pa.types.is_string(column.type)]
    options = {"use_dictionary": texts or False, "write_statistics": ["date"], "store_schema": False}
    with pq.ParquetWriter(path, rows.schema, **options) as file:
        file.write_table(rows.slice(first, count))
        file.add_key_value_metadata(about)
    return path


def _flush(path: Path) -> int:
    """Wait until a file is on the disk; return its size."""
    sync(path)
    return path.stat().st_size


def _streams(context: Context) -> list[_Stream]:
    """The columns of the matrix where they are stored.

    Raises
    ------
    WorkError
        When a table has not the rows of the price base, or a column of the matrix is in none.
    """
    matrix, base = context.table(NAME), context.table(PRICES)
    streams, missing = [_Stream(base, {"date": "date"})], set(matrix.names) - {*base.key}
    for source in matrix.meta["recipe"]["inputs"]:
        if source != PRICES:
            table = context.table(source)
            check_rows(base, table)
            pairs = named(table, matrix.meta["owners"])
            columns = {name: column for name, column in pairs if name in missing}
            missing -= columns.keys()
            if columns:
                streams.append(_Stream(table, columns))
    if missing:
        raise WorkError(
            f"no table has the columns {', '.join(sorted(missing))} of {NAME}: "
            f"run `kairos equity build {NAME} --force`"
        )
    for stream in streams:
        check_parts([stream.table])
    return streams


class _Stream:
    """Columns of one table, each part read from its first row to its last."""

    def __init__(self, table: Table, columns: Mapping[str, str]) -> None:
        """Columns by their names in the matrix."""
        self.table, self.columns = table, columns
        self._texts = [name for name, kind in table.columns if kind == "VARCHAR"]
        self._parts = [self._pieces(part) for part in table.parts]
        self._left = [pa.table({})] * len(table.parts)

    def next(self, counts: Sequence[int]) -> pa.Table:
        """The next rows of every part, in the order of the parts."""
        taken = []
        for i, count in enumerate(counts):
            while count:
                if not self._left[i].num_rows:
                    self._left[i] = next(self._parts[i])
                taken.append(self._left[i].slice(0, count))
                self._left[i] = self._left[i].slice(taken[-1].num_rows)
                count -= taken[-1].num_rows
        return pa.concat_tables(taken).unify_dictionaries()

    def _pieces(self, part: Part) -> Iterator[pa.Table]:
        """The row groups of a part; its file is open only while one is read."""
        names = list(self.columns.values())
        try:
            footer = pq.read_metadata(part.path)
            for group in range(footer.num_row_groups):
                with pq.ParquetFile(
                    part.path,
                    metadata=footer,
                    read_dictionary=self._texts,
                    page_checksum_verification=True,
                ) as file:
                    rows = file.read_row_group(group, columns=names, use_threads=False)
                yield rows.select(names)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"table {self.table.name}: its part {part.path} is damaged: {error}") from error


@dataclass(frozen=True)
class _Block:
    """All rows of some tickers: the next ones of every part.

    Attributes
    ----------
    counts : list of int
        How many of each part.
    order : pa.Array
        (R,) those of members in the order of (ticker, date), as positions in the rows of all parts.
    tickers : list of (str, int, int)
        Tickers that were ever a member, the first row of each in that order, and their number.
    """

    counts: list[int]
    order: pa.Array
    tickers: list[tuple[str, int, int]]

    def columns(self, stream: _Stream) -> dict[str, pa.Array]:
        """The members' values of the columns of a table."""
        rows, found = stream.next(self.counts), {}
        for name, column in stream.columns.items():
            values = rows[column].combine_chunks().take(self.order)
            text = pa.types.is_dictionary(values.type)
            found[name] = values.cast(values.type.value_type) if text else values
        return found


@dataclass(frozen=True)
class _Keys:
    """The keys of the price base, part after part.

    Attributes
    ----------
    names : list of str
        Tickers in their order.
    ticker : (R,) int
        Position of each row's ticker among them.
    date : (R,) datetime64[D]
    member : (R,) bool
    starts : list of int
        Where each part begins.
    """

    names: list[str]
    ticker: Ints
    date: np.ndarray[Any, np.dtype[np.datetime64]]
    member: Mask
    starts: list[int]

    @classmethod
    def of(cls, context: Context) -> _Keys:
        """Read them."""
        parts = list(context.parts(PRICES, ["ticker", "date", "member"]))
        rows = pa.concat_tables(parts).unify_dictionaries()
        names, code = encode(rows["ticker"])
        ends = np.cumsum([part.num_rows for part in parts]).tolist()
        return cls(
            names=sorted(names.tolist()),
            ticker=np.argsort(np.argsort(names))[code],
            date=dates(rows["date"]),
            member=numbers(rows["member"]) == 1.0,
            starts=[0, *ends[:-1]],
        )

    def blocks(self) -> Iterator[_Block]:
        """Tickers in their order, some at a time."""
        number = np.cumsum(np.bincount(self.ticker, minlength=len(self.names))) // BLOCK_ROWS
        edges = [0, *(np.flatnonzero(np.diff(number)) + 1), len(self.names)]
        parts = np.split(self.ticker, self.starts[1:])
        for lo, hi in pairwise(edges):
            spans = [
                start + np.searchsorted(part, [lo, hi])
                for start, part in zip(self.starts, parts, strict=True)
            ]
            at = np.concatenate([np.arange(a, b) for a, b in spans])
            order = np.lexsort((self.date[at], self.ticker[at]))
            order = order[self.member[at[order]]]
            tickers, first, count = np.unique(self.ticker[at[order]], return_index=True, return_counts=True)
            names = [self.names[ticker] for ticker in tickers]
            yield _Block(
                counts=[int(b - a) for a, b in spans],
                order=pa.array(order),
                tickers=list(zip(names, first.tolist(), count.tolist(), strict=True)),
            )


@contextmanager
def _in_place_of(target: Path) -> Iterator[Path]:
    """An empty folder beside the target, which takes its place when the block ends without an error.

    What runs that were killed left behind is put right at the beginning.
    """
    _check_place(target)
    new, old = (target.with_name(f".{target.name}.{state}") for state in ("new", "old"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(".kairos-export.lock")).acquire(blocking=False):
            if old.exists() and not target.exists():
                old.rename(target)
            try:
                _remove(new, old)
                new.mkdir()
                yield new
                _check_place(target)
                _swap(target, new, old)
            finally:
                _remove(new, old)
    except Timeout:
        raise WorkError(f"another export is writing into {target.parent}: wait for it") from None
    except OSError as error:
        why = reason(error, target, "choose another --out")
        raise WorkError(f"cannot write {target}: {why}") from error


def _swap(target: Path, new: Path, old: Path) -> None:
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    sync(target.parent)


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _check_place(target: Path) -> None:
    """Refuse to replace anything but an export."""
    if target.parent.exists() and not target.parent.is_dir():
        raise InputError(f"{target.parent} is a file: give a folder with --out")
    if (target.exists() or target.is_symlink()) and not _is_export(target):
        raise InputError(
            f"{target} exists and is not an export of Kairos, or holds other files too: move it away, or "
            "choose another --out"
        )


def _is_export(folder: Path) -> bool:
    """Whether a folder holds the files of an export and nothing else."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    inside = list(folder.iterdir())
    try:
        ours = all([path.name for path in ticker.iterdir()] == [FILE] for ticker in inside)
        return bool(inside) and ours and MARK.encode() in (pq.read_metadata(inside[0] / FILE).metadata or {})
    except (pa.ArrowInvalid, OSError):
        return False
