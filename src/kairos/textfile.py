"""CSV files that users write: their rows, with the line that an editor shows, and what is wrong with them."""

from __future__ import annotations

import csv
import datetime as dt
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from kairos.errors import InputError

_DAY = r"^\d{4}-\d{2}-\d{2}$"
_KINDS = {"date": pa.date32(), "number": pa.float64(), "text": pa.string()}
_NOT = {
    "date": "not a date; dates are written yyyy-mm-dd",
    "number": "not a number; numbers are written like 1234.5",
    "text": "empty",
}


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line and stripped cells of every row of a CSV file that isn't blank; the header is one of them.

    Raises
    ------
    InputError
        It is not UTF-8, or can't be taken apart.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, skipinitialspace=True)
        try:
            for cells in reader:
                if cells:
                    yield reader.line_num, [cell.strip() for cell in cells]
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from None
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num}: {error}") from None


def number(text: str) -> float | None:
    """A finite number, as people and programs write it; None when the text is none.

    >>> number("-1.5e3"), number("1_000"), number("1e400"), number("1,000")
    (-1500.0, None, None, None)
    """
    try:
        value = _float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def header(path: Path, needed: Sequence[str]) -> list[str]:
    """Names of the columns.

    Raises
    ------
    InputError
        There is none, one that is needed is missing, or one is there twice.
    """
    names = next((cells for _, cells in rows(path)), [])
    missing = [name for name in needed if name not in names]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(names) or 'none, it is empty'}"
        )
    twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if twice:
        raise InputError(f"{path}: the column {', '.join(twice)} is there twice")
    return names


def records(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and cells by column of every row below the header; rows of empty cells are left out.

    Raises
    ------
    InputError
        As :func:`rows` and :func:`header` say, or a row has more or fewer cells than the header.
    """
    names = header(path, needed)
    for line, cells in itertools.islice(rows(path), 1, None):
        if len(cells) != len(names):
            raise InputError(f"{path}, line {line}: {len(cells)} values, the header has {len(names)} names")
        if any(cells):
            yield line, dict(zip(names, cells, strict=True))


def table(path: Path, kinds: Mapping[str, str]) -> pa.Table:
    """Columns of a CSV file, typed; others are left out.

    Parameters
    ----------
    path : Path
        The file.
    kinds : dict
        Of each column that is wanted: ``text``, which can't be empty, ``date`` (yyyy-mm-dd) or ``number``
        (NaN where the cell is empty or says so).

    Raises
    ------
    InputError
        As :func:`records` says, a cell is not of its kind, or there is no row.
    """
    names = header(path, list(kinds))
    keys = [str(column) for column in range(len(names))]  # by position: names need stripping
    at = {name: keys[names.index(name)] for name in kinds}
    try:
        cells = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(column_names=keys, skip_rows=1),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(keys, pa.string()),
                include_columns=list(at.values()),
                strings_can_be_null=False,
            ),
        )
        found = {name: pc.utf8_trim_whitespace(cells[key]) for name, key in at.items()}
    except pa.ArrowInvalid:  # which row? And one that isn't ragged is fine
        kept = [{name: row[name] for name in kinds} for _, row in records(path, list(kinds))]
        found = {name: pa.chunked_array([[row[name] for row in kept]], pa.string()) for name in kinds}
    if not len(next(iter(found.values()))):
        raise InputError(f"{path}: no row below the header")
    return pa.table({name: _typed(path, name, found[name], kind) for name, kind in kinds.items()})


def _typed(path: Path, name: str, cells: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    """Cells as dates, numbers or text that is not empty."""
    if kind == "text":
        good = pc.not_equal(cells, "")
    elif kind == "date":
        good = pc.match_substring_regex(cells, _DAY)
    else:
        cells = pc.if_else(pc.is_in(pc.utf8_lower(cells), pa.array(["", "nan"])), None, cells)
        good = pc.fill_null(pc.invert(pc.match_substring(cells, "_")), True)
    try:
        if pc.all(good).as_py():
            return cells.cast(_KINDS[kind])
    except pa.ArrowInvalid:
        pass
    values = []  # which cell? And one that only Python reads is fine
    for line, row in records(path, [name]):
        try:
            values.append(_value(row[name], kind))
        except ValueError:
            raise InputError(f"{path}, line {line}, column {name}: {row[name]!r} is {_NOT[kind]}") from None
    return pa.chunked_array([values], _KINDS[kind])


def _value(text: str, kind: str) -> str | dt.date | float | None:
    """A cell as a value of its kind; ValueError when it is none."""
    if kind == "text":
        if not text:
            raise ValueError(text)
        return text
    if kind == "number":
        return None if text.lower() in ("", "nan") else _float(text)
    day = dt.date.fromisoformat(text)
    if day.isoformat() != text:
        raise ValueError(text)
    return day


def _float(text: str) -> float:
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return float(text)
