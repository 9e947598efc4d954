"""A file of factor returns that the user names, French's or one's own, on the sessions of a backtest."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from kairos.equity.frame import Array, dates, numbers
from kairos.errors import InputError

Dates = np.ndarray[Any, np.dtype[np.datetime64]]
Unit = Literal["percent", "decimal"]

RISK_FREE = "rf"
NO_VALUE = (-99.99, -999.0)
"""How French's files write a missing return."""

_DAY = re.compile(r'\s*"?(\d{8}|\d{4}-\d{2}-\d{2})"?\s*(,|$)')
_MONTH = re.compile(r"\s*(\d{6}|\d{4}-\d{2})\s*,")


@dataclass(frozen=True)
class Factors:
    """Daily factor returns.

    Attributes
    ----------
    path : Path
        Where they were read.
    dates : (D,)
        Ascending.
    names : tuple of str
        Of the factors, as the file writes them.
    values : (D, K)
        Returns as fractions, NaN where the file has none.
    risk_free : (D,) or None
        The column ``RF``, if there is one.
    unit : "percent" or "decimal"
        As the file writes returns.
    detected : bool
        The unit was not named but told from the size of the returns.
    """

    path: Path
    dates: Dates
    names: tuple[str, ...]
    values: Array
    risk_free: Array | None
    unit: Unit
    detected: bool


@dataclass(frozen=True)
class Aligned:
    """Factor returns on the sessions of a backtest.

    Attributes
    ----------
    rows : (n,) int
        Sessions that have all factors.
    names : tuple of str
        Of the factors.
    values : (n, K)
        Returns as fractions.
    risk_free : (n,)
        0 when the file has none.
    said : str
        What a report must say: the unit, and what is missing.
    """

    rows: np.ndarray[Any, np.dtype[np.int64]]
    names: tuple[str, ...]
    values: Array
    risk_free: Array
    said: str


def read_factors(path: Path, *, unit: Unit | None = None) -> Factors:
    """Read factor returns from a CSV or Parquet file.

    Parameters
    ----------
    path : Path
        CSV with a header of names and a first column of dates (``yyyymmdd`` or ``yyyy-mm-dd``), such as
        French's daily files, whose text above and below the table is passed over; or Parquet with a column
        ``date``. All other columns are returns of a day.
    unit : "percent" or "decimal", optional
        How returns are written. Otherwise told from their size: a median daily deviation above 0.15 is
        percent, below 0.03 decimal.

    Raises
    ------
    InputError
        The file is malformed (line and column are named), holds a date twice or monthly data, or its unit
        can't be told.
    """
    if not path.is_file():
        raise InputError(f"factors {path}: there is no such file")
    table = _from_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _from_csv(path)
    table = table.sort_by("date")
    days = dates(table["date"])
    twice = np.flatnonzero(days[1:] == days[:-1])
    if twice.size:
        raise InputError(
            f"factors {path}: {days[twice[0]]} stands there twice ({twice.size} such dates); "
            "keep one region or one series a file"
        )
    names = tuple(name for name in table.column_names if name != "date")
    every = np.column_stack([numbers(table[name]) for name in names])
    every[np.isin(every, NO_VALUE) | ~np.isfinite(every)] = np.nan
    is_factor = np.array([name.strip().lower() != RISK_FREE for name in names])
    if not is_factor.any():
        raise InputError(f"factors {path}: it has no factor, only {', '.join(names)}")
    found = unit or _unit(path, every[:, is_factor])
    every *= 0.01 if found == "percent" else 1.0
    return Factors(
        path=path,
        dates=days,
        names=tuple(name for name, use in zip(names, is_factor, strict=True) if use),
        values=every[:, is_factor],
        risk_free=None if is_factor.all() else every[:, ~is_factor][:, 0],
        unit=found,
        detected=unit is None,
    )


def align(factors: Factors, sessions: Dates) -> Aligned:
    """Take the factor returns of the sessions of a backtest; sessions without all of them are left out.

    Raises
    ------
    InputError
        No session has all factors.
    """
    at = np.minimum(np.searchsorted(factors.dates, sessions), len(factors.dates) - 1)
    there = factors.dates[at] == sessions
    rate = np.zeros(len(factors.dates)) if factors.risk_free is None else factors.risk_free
    usable = there & np.isfinite(factors.values[at]).all(axis=1) & np.isfinite(rate[at])
    if not usable.any():
        raise InputError(
            f"factors {factors.path}: no session between {sessions[0]} and {sessions[-1]} has all of "
            f"{', '.join(factors.names)}; the file runs from {factors.dates[0]} to {factors.dates[-1]}"
        )
    rows = np.flatnonzero(usable)
    told = "told from their size" if factors.detected else "as named"
    said = f"Factors {factors.path.name}: returns in {factors.unit} ({told})"
    if factors.risk_free is None:
        said += ", no risk-free rate"
    if missing := len(sessions) - len(rows):
        said += (
            f"; {missing:,} of {len(sessions):,} sessions are left out: {int((~there).sum()):,} not in "
            f"the file, {int((there & ~usable).sum()):,} without a value"
        )
    return Aligned(rows, factors.names, factors.values[at[rows]], rate[at[rows]], f"{said}.")


def _unit(path: Path, values: Array) -> Unit:
    """Tell the unit from the size of a day's returns."""
    known = np.isfinite(values).sum(axis=0) > 1
    size = float(np.median(np.nanstd(values[:, known], axis=0))) if known.any() else np.nan
    if size > 0.15:
        return "percent"
    if size < 0.03:
        return "decimal"
    raise InputError(
        f"factors {path}: a daily deviation of {size:.3g} could be percent or decimal: name the unit"
    )


def _from_parquet(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"factors {path}: {error}") from None
    if "date" not in table.column_names:
        raise InputError(f"factors {path} needs a column date; it has {', '.join(table.column_names)}")
    for field in table.schema:
        number = pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
        if field.name != "date" and not number:
            raise InputError(
                f"factors {path}: column {field.name} holds {field.type}, not returns; "
                "write a file with the date and the factors only"
            )
    if len(table.column_names) < 2 or not table.num_rows:
        raise InputError(f"factors {path}: there is no return in it")
    for name in table.column_names:
        if pa.types.is_floating(table[name].type) and pc.any(pc.is_inf(table[name])).as_py():
            row = int(np.argmax(np.isinf(table[name].to_numpy())))
            raise InputError(f"factors {path}, row {row + 1}, column {name}: infinite")
    if table["date"].null_count:
        row = int(np.argmax(table["date"].is_null().to_numpy()))
        raise InputError(f"factors {path}, row {row + 1}: the date is missing")
    try:
        day = table["date"].cast(pa.date32())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise InputError(f"factors {path}: column date holds {table['date'].type}, not dates") from None
    return table.set_column(table.column_names.index("date"), "date", day)


def _from_csv(path: Path) -> pa.Table:
    """Read the table inside a text: from the line above the first date to the first line that has none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"factors {path}: it is no text in UTF-8 ({error.reason})") from None
    first = next((i for i, line in enumerate(lines) if _DAY.match(line)), None)
    if first is None:
        monthly = any(_MONTH.match(line) for line in lines)
        hint = "its dates are months: take the daily file" if monthly else "no line begins with a date"
        raise InputError(f"factors {path}: {hint}; dates are written yyyymmdd or yyyy-mm-dd")
    header = next((i for i in range(first - 1, -1, -1) if lines[i].strip()), None)
    if header is None:
        raise InputError(f"factors {path}, line {first + 1}: the names of the factors must stand above it")
    end = next((i for i in range(first, len(lines)) if not _DAY.match(lines[i])), len(lines))
    later = next((i for i in range(end, len(lines)) if _DAY.match(lines[i])), None)
    if later is not None or (end < len(lines) and _is_data(lines[end], lines[header])):
        raise InputError(f"factors {path}, line {end + 1}: {lines[end][:40]!r} does not begin with a date")
    names = [name.strip().strip('"') for name in lines[header].split(",")]
    names[0] = "date"
    if len(names) < 2 or not all(names) or len(set(names)) < len(names):
        raise InputError(f"factors {path}, line {header + 1}: a name is missing or stands there twice")
    return _typed(path, names, lines[first:end], first + 1)


def _is_data(line: str, header: str) -> bool:
    """Tell whether a line without a date was meant as a row, and not as text below the table."""
    return line.strip()[:1].isdigit() or line.count(",") == header.count(",")


def _typed(path: Path, names: list[str], lines: list[str], line: int) -> pa.Table:
    """Dates and numbers from lines of text, the first of which has the number `line` in the file."""
    try:
        text = pyarrow.csv.read_csv(
            io.BytesIO("\n".join(lines).encode()),
            read_options=pyarrow.csv.ReadOptions(column_names=names),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid as error:
        raise _not_taken_apart(path, names, lines, line, error) from None
    typed = {}
    for name in names:
        cells = pc.utf8_trim_whitespace(text[name])
        if name == "date":
            cells = pc.replace_substring_regex(cells, r"^(\d{4})(\d{2})(\d{2})$", r"\1-\2-\3")
        else:
            cells = pc.if_else(pc.equal(cells, ""), None, cells)
        target = pa.date32() if name == "date" else pa.float64()
        try:
            typed[name] = _cast(cells, target)
        except pa.ArrowInvalid:
            wrong = _first_wrong(cells, target)
            raise InputError(
                f"factors {path}, line {line + wrong}, column {name}: {cells[wrong].as_py()!r} is not a "
                f"{'date' if name == 'date' else 'number'}"
            ) from None
    return pa.table(typed)


def _not_taken_apart(
    path: Path, names: list[str], lines: list[str], line: int, error: pa.ArrowInvalid
) -> InputError:
    """Which line is no row of the table, as far as that can be told."""
    for number, row in enumerate(lines, line):
        if row.count('"') % 2:
            return InputError(f"factors {path}, line {number}: a quotation mark has no second")
        if (count := row.count(",") + 1) != len(names):
            return InputError(f"factors {path}, line {number}: {count} values, but {len(names)} names")
    return InputError(f"factors {path}: {str(error).splitlines()[0]}")


def _cast(cells: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """Texts as dates or finite numbers; ArrowInvalid when one is none."""
    found = cells.cast(target)
    if pa.types.is_floating(target) and pc.any(pc.is_inf(found)).as_py():
        raise pa.ArrowInvalid("infinite")
    return found


def _first_wrong(cells: pa.ChunkedArray, target: pa.DataType) -> int:
    """Row of the first text that does not become the type."""

    def fails(row: int) -> bool:
        try:
            _cast(cells.slice(row, 1), target)
        except pa.ArrowInvalid:
            return True
        return False

    return next(row for row in range(len(cells)) if fails(row))
