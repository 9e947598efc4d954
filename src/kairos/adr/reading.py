"""Files that can't be read: cut off, changed on the disk, or of another kind."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa

from kairos.errors import InputError


@contextmanager
def decoding(path: Path, step: str = "") -> Iterator[None]:
    """Name the file in what a library says of it.

    Parameters
    ----------
    path
        The file that is read, and taken apart.
    step
        The step of the desk that makes it, if one does.

    Raises
    ------
    InputError
        When the content can't be read, or hasn't the columns that it should have.
    """
    try:
        yield
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's: no such file, no permission
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        if step:
            raise InputError(
                f"{path}: damaged, or not a file of the step `{step}` ({why}); run it again"
            ) from error
        raise InputError(f"{path}: damaged, or not a file of its kind ({why})") from error


def read_table(path: Path, step: str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV file that a step has written; empty cells are missing, and an ADR may have the ticker NA.

    Parameters
    ----------
    path, step
        The file, and the step that makes it.
    columns
        Columns that it must have.

    Raises
    ------
    InputError
        When it is no such table, or its end is missing.
    """
    with decoding(path, step):
        text = path.read_text(encoding="utf-8")
        if not text.endswith("\n"):  # pandas would fill up a line that is cut off
            raise ValueError("its end is missing")
        table = pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])
        if absent := [column for column in columns if column not in table]:
            raise ValueError(f"no column {', '.join(absent)}")
    return table
