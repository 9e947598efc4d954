"""Tables that a step of the desk has written and a later one reads; a file that is none of them is named."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from kairos.adr.files import listed
from kairos.adr.reading import decoding
from kairos.errors import InputError

if TYPE_CHECKING:
    from kairos.adr.desk import Desk


def read_csv(
    desk: Desk,
    name: str,
    step: str,
    *,
    texts: Sequence[str] = (),
    months: Sequence[str] = (),
    numbers: Sequence[str] = (),
    flags: Sequence[str] = (),
) -> pd.DataFrame:
    """Read a CSV table of a step.

    Parameters
    ----------
    desk : Desk
        The data directory.
    name : str
        The file, relative to it.
    step : str
        The step that makes it.
    texts, months, numbers, flags : sequences of str
        Columns that must be there, by what they hold: anything, months like 2025-01, numbers (NaN where
        empty), True or False.

    Raises
    ------
    InputError
        The file is missing, is no such table, lacks a column, or a cell is not of its kind.
    """
    path = desk.existing(name, f"what the step `{step}` makes; run it first")
    try:
        text = path.read_text(encoding="utf-8")
        if not text.endswith("\n"):  # pandas would fill up a line that is cut off
            raise InputError(f"{path}: damaged: its end is missing; run `{step}` again")
        table = pd.read_csv(
            io.StringIO(text),
            keep_default_na=False,  # an ADR may have the ticker NA
            na_values=[""],
            dtype=dict.fromkeys([*texts, *months], str),
        )
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error}); run `{step}` again") from None
    except ValueError as error:  # the parser's own errors are of this kind, too
        raise InputError(f"{path}: not a file of the step `{step}` ({error}); run it again") from None
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{path}, row 2: more cells than the header has; run `{step}` again")
    absent = [column for column in (*texts, *months, *numbers, *flags) if column not in table]
    if absent:
        raise InputError(f"{path}: no column {listed(absent)}; run `{step}` again")
    for column in months:
        right = table[column].str.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", na=False)
        _refuse(path, table[column], ~right, "a month")
    for column in numbers:
        if not pd.api.types.is_numeric_dtype(table[column].dtype):
            read = pd.to_numeric(table[column], errors="coerce")
            _refuse(path, table[column], read.isna() & table[column].notna(), "a number")
    for column in flags:
        if len(table) and not pd.api.types.is_bool_dtype(table[column].dtype):
            _refuse(path, table[column], ~table[column].isin([True, False]), "True or False")
    return table


def _refuse(path: Path, column: pd.Series[str], wrong: pd.Series[bool], expected: str) -> None:
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(
            f"{path}, row {row + 2}, column {column.name}: {column.iloc[row]!r} is not {expected}"
        )


def read_rows(path: Path, step: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a Parquet file of a step: all columns, or some.

    Raises
    ------
    InputError
        It is not Parquet, or lacks a column.
    """
    with decoding(path, step):
        return pd.read_parquet(
            path, columns=None if columns is None else list(columns), page_checksum_verification=True
        )
