"""CSV files of a data directory: wide ones (a row a date, a column a name) and lists of records.

Cells and headers are stripped. A cell that is empty or one of :data:`MISSING` is missing; any other cell that
is not a number is an error, which names file, row and column. Rows are counted as an editor shows them: the
header is row 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from kairos import textfile
from kairos.errors import InputError

Array = np.ndarray[Any, np.dtype[np.float64]]
Dates = np.ndarray[Any, np.dtype[np.datetime64]]

MISSING = ("", "NaN", "nan", "NA", "N/A", "#N/A", "#N/A N/A")
"""Cells that mean "no value"; the last one is Bloomberg's."""

EARLIEST, LATEST = np.datetime64("1900-01-01"), np.datetime64("2199-12-31")
"""A date beyond them is a slip of the pen, and no calendar knows its sessions."""

US_LINE = " US Equity"
"""Ending of a US line in Bloomberg's names; the desk names a US line without it."""


@dataclass(frozen=True)
class Prices:
    """A wide file.

    Attributes
    ----------
    dates : (T,) datetime64[D]
        Strictly increasing.
    names
        The N columns; a US line without the ending " US Equity".
    values : (T, N) float64
        NaN where the file has no value.
    path
        The file, for messages.
    """

    dates: Dates
    names: tuple[str, ...]
    values: Array
    path: Path

    def column(self, name: str) -> Array:
        """Values of one name, (T,)."""
        return self.select([name]).values[:, 0]

    def select(self, names: Sequence[str]) -> Prices:
        """Some of the names, in the order asked for.

        Raises
        ------
        InputError
            Names that the file doesn't have.
        """
        position = {name: column for column, name in enumerate(self.names)}
        absent = [name for name in names if name not in position]
        if absent:
            raise InputError(f"{self.path}: no column {listed(absent)}")
        return Prices(self.dates, tuple(names), self.values[:, [position[n] for n in names]], self.path)


@dataclass(frozen=True)
class Record:
    """A row of a list: its cells by column, and where it stands."""

    path: Path
    row: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def positive(self, column: str) -> float:
        """Read a number above zero.

        Raises
        ------
        InputError
            When the cell holds anything else.
        """
        value = _number(self.cells[column])
        if value is None or not 0 < value < math.inf:
            raise self.wrong(column, "expected a number above 0")
        return value

    def day(self, column: str) -> np.datetime64:
        """Read a date, written yyyy-mm-dd.

        Raises
        ------
        InputError
            When the cell holds anything else.
        """
        text = self.cells[column]
        try:
            day: np.datetime64 = np.datetime64(text, "D")
        except ValueError:
            raise self.wrong(column, "expected a date, written yyyy-mm-dd") from None
        if str(day) != text or np.isnat(day):  # NumPy reads 2024-03 and NaT as well
            raise self.wrong(column, "expected a date, written yyyy-mm-dd")
        return day

    def wrong(self, column: str, expected: str) -> InputError:
        """Make the error about a cell."""
        return InputError(f"{self.path}, row {self.row}: {column} is {self.cells[column]!r}; {expected}")


def read_prices(path: Path, names: Sequence[str] | None = None, *, what: str) -> Prices:
    """Read a wide file of prices or index levels.

    The first column is the date (yyyy-mm-dd, whatever its header), every other one a name. Only the columns
    asked for are read and checked, so that a bad cell of another name disturbs nothing.

    Parameters
    ----------
    path : Path
        The file.
    names : sequence of str, optional
        Columns that must be there; by default all. A column may be empty.
    what : str
        What the file holds, for the message when it is missing.

    Raises
    ------
    InputError
        The file is missing, empty, ragged or not UTF-8; a header is empty or appears twice; a name is
        absent; a date is unreadable, repeated or out of order; a cell is not a number; a price is not above
        0 or infinite.
    """
    prices = _read_wide(path, names, what)
    with np.errstate(invalid="ignore"):
        bad = ~((prices.values > 0) & np.isfinite(prices.values)) & ~np.isnan(prices.values)
    if bad.any():
        t, n = np.argwhere(bad)[0]
        raise InputError(
            f"{path}, row {_row_in_file(path, t)}, column {prices.names[n]}: "
            f"{prices.values[t, n]} is not a price; leave the cell empty where there is none"
        )
    return prices


def read_betas(path: Path, names: Sequence[str] | None = None, *, what: str) -> Prices:
    """Read a wide file of betas: as :func:`read_prices`, with any finite number allowed."""
    betas = _read_wide(path, names, what)
    if np.isinf(betas.values).any():
        t, n = np.argwhere(np.isinf(betas.values))[0]
        raise InputError(f"{path}, row {_row_in_file(path, t)}, column {betas.names[n]}: infinite")
    return betas


def read_names(path: Path, *, what: str) -> tuple[str, ...]:
    """Read the names of a wide file, from its header alone; the errors are those of :func:`read_prices`."""
    header = _header(path, what)[1:]
    names = tuple(name.removesuffix(US_LINE) for name in header)
    if "" in names:
        raise InputError(f"{path}: column {names.index('') + 2} has no name")
    _refuse_twice(names, path)
    return names


def write_prices(path: Path, dates: Dates, names: Sequence[str], values: Array) -> None:
    """Write a wide file: ``date`` and the names, ISO dates, shortest exact numbers, empty where NaN.

    Parameters
    ----------
    path : Path
        Where to.
    dates : (T,) datetime64[D]
        Rows.
    names : sequence of str
        The N columns.
    values : (T, N) float64
        NaN = missing.
    """
    columns = [pa.array(dates.astype("datetime64[D]")), *(pa.array(v, from_pandas=True) for v in values.T)]
    table = pa.Table.from_arrays(columns, names=["date", *names])
    pyarrow.csv.write_csv(table, path, pyarrow.csv.WriteOptions(quoting_header="none"))


def read_records(path: Path, columns: Sequence[str], *, what: str) -> list[Record]:
    """Read a list of records; every cell is text, stripped, and the empty text where it is missing.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str
        Columns that must be there; others are read too.
    what : str
        What the file holds, for the message when it is missing.

    Raises
    ------
    InputError
        The file is missing, empty, ragged or not UTF-8, a column is missing, or a header appears twice.
    """
    header = _header(path, what)
    _refuse_twice(header, path)
    absent = [column for column in columns if column not in header]
    if absent:
        raise InputError(f"{path}: no column {listed(absent)}; it has {', '.join(header)}")
    records = []
    for row, cells in itertools.islice(textfile.rows(path), 1, None):
        _refuse_ragged(path, row, cells, header)
        texts = ("" if cell in MISSING else cell for cell in cells)
        records.append(Record(path, row, dict(zip(header, texts, strict=True))))
    return records


def listed(names: Sequence[str], most: int = 5) -> str:
    """Name a few of many: ``a, b, c and 7 more``.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _read_wide(path: Path, names: Sequence[str] | None, what: str) -> Prices:
    header, found = _header(path, what), read_names(path, what=what)
    if names is None:
        wanted = list(range(len(found)))
    else:
        absent = [name for name in names if name not in found]
        if absent:
            raise InputError(f"{path}: no column {listed(absent)}; the file holds {what}")
        wanted = [found.index(name) for name in names]
    keys = [str(column) for column in range(len(header))]  # by position: headers need stripping
    kept = [keys[0], *(keys[column + 1] for column in wanted)]
    types = {keys[0]: pa.string(), **dict.fromkeys(kept[1:], pa.float64())}
    try:
        table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(column_names=keys, skip_rows=1),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types, include_columns=kept, null_values=list(MISSING), strings_can_be_null=False
            ),
        )
        texts = table.column(0)
        values = np.column_stack(
            [column.to_numpy() for column in table.columns[1:]] or [np.empty((len(table), 0))]
        )
    except pa.ArrowInvalid:  # which cell? And a cell with spaces around it is fine
        texts, values = _cell_by_cell(path, header, [column + 1 for column in wanted])
    if not len(values):
        raise InputError(f"{path}: no rows below the header; the file holds {what}")
    return Prices(_dates(path, texts), tuple(found[column] for column in wanted), values, path)


def _cell_by_cell(path: Path, header: list[str], columns: list[int]) -> tuple[pa.Array, Array]:
    """Dates as texts and values of the columns, by the definition; names the first bad cell."""
    texts, values = [], []
    for row, cells in itertools.islice(textfile.rows(path), 1, None):
        _refuse_ragged(path, row, cells, header)
        texts.append(cells[0])
        numbers = [math.nan if cells[column] in MISSING else _number(cells[column]) for column in columns]
        if None in numbers:
            column = columns[numbers.index(None)]
            raise InputError(f"{path}, row {row}, column {header[column]}: {cells[column]!r} is not a number")
        values.append(numbers)
    return pa.array(texts, pa.string()), np.array(values, dtype=np.float64).reshape(len(texts), len(columns))


def _dates(path: Path, texts: pa.Array | pa.ChunkedArray) -> Dates:
    """The first column as increasing days."""
    texts = pc.utf8_trim_whitespace(texts)
    read = pc.strptime(texts, "%Y-%m-%d", "s", error_is_null=True)
    days: Dates = np.asarray(read).astype("datetime64[D]")
    written = np.asarray(texts).astype(str) == days.astype(str)  # neither 2024-1-2 nor 2023-02-29
    if not written.all():
        t = int(np.flatnonzero(~written)[0])
        raise InputError(
            f"{path}, row {_row_in_file(path, t)}: {texts[t].as_py()!r} is not a date; "
            "the first column holds dates, written yyyy-mm-dd without a time"
        )
    far = np.flatnonzero((days < EARLIEST) | (days > LATEST))
    if far.size:
        t = int(far[0])
        raise InputError(
            f"{path}, row {_row_in_file(path, t)}: the date {days[t]} is not between {EARLIEST} and {LATEST}"
        )
    wrong = np.flatnonzero(np.diff(days) <= np.timedelta64(0, "D"))
    if wrong.size:
        t = int(wrong[0]) + 1
        how = "is there twice" if days[t] == days[t - 1] else f"stands after {days[t - 1]}"
        raise InputError(
            f"{path}, row {_row_in_file(path, t)}: the date {days[t]} {how}; dates must increase"
        )
    return days


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _header(path: Path, what: str) -> list[str]:
    if not path.is_file():
        raise InputError(f"{path}: the file is missing; it holds {what}")
    for _, cells in textfile.rows(path):
        return cells
    raise InputError(f"{path}: the file is empty; it holds {what}")


def _row_in_file(path: Path, t: int) -> int:
    """Row number of the t-th row of data."""
    return next(itertools.islice(textfile.rows(path), t + 1, None))[0]


def _refuse_ragged(path: Path, row: int, cells: list[str], header: list[str]) -> None:
    if len(cells) != len(header):
        raise InputError(f"{path}, row {row}: {len(cells)} cells, the header has {len(header)}")


def _refuse_twice(names: Sequence[str], path: Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path}: the column {listed(twice)} appears twice")
