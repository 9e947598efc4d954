"""Printing: results on stdout, everything else on stderr."""

import dataclasses
import datetime as dt
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kairos.remote import with_urls

MISSING = "–"


def say(text: str) -> None:
    """Print a result on stdout."""
    sys.stdout.write(f"{with_urls(text)}\n")


def note(text: str) -> None:
    """Print what is not a result, such as a warning, on stderr."""
    sys.stderr.write(f"{with_urls(text)}\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout: numbers to the right, missing values as an en dash.

    Parameters
    ----------
    columns
        The headings.
    rows
        One sequence of values a row; see :func:`text_of` for how a value is shown.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = [list(row) for row in rows]
    sheet = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, heading in enumerate(columns):
        values = [row[number] for row in grid if row[number] is not None]
        numeric = bool(values) and all(_is_number(value) for value in values)
        sheet.add_column(Text(heading), justify="right" if numeric else "left", overflow="fold")
    for row in grid:
        sheet.add_row(*(Text(text_of(value)) for value in row))
    width = None if sys.stdout.isatty() else _NO_LIMIT
    Console(file=sys.stdout, width=width, highlight=False).print(sheet, crop=False)


def text_of(value: object) -> str:
    """Show one value of a table.

    >>> [text_of(value) for value in (1234567, 0.123456, None, float("nan"), True, "x")]
    ['1,234,567', '0.1235', '–', '–', 'yes', 'x']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < _LARGE else f"{value:,.0f}"
    return str(value)


def paths(written: Sequence[Path], *, as_json: bool) -> None:
    """Print where the files or folders of a result are, a line each, or as a list in JSON."""
    if as_json:
        emit_json(written)
        return
    for path in written:
        say(str(path))


def emit_json(value: object) -> None:
    """Print a value as JSON on stdout.

    Dates become ISO texts, paths texts, dataclasses objects, NumPy scalars and arrays plain numbers and
    lists, and what JSON does not have (NaN, infinity) becomes null.
    """
    say(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False))


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show how far a loop is, on stderr; nothing when that is not a terminal.

    Parameters
    ----------
    what
        What is being done, e.g. ``"Building"``.
    total
        Steps in all; None when unknown.

    Yields
    ------
    Callable[[int], None]
        To be called with the number of steps just done.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda steps: bar.advance(task, steps)


_NO_LIMIT = 10_000
_LARGE = 1e4


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inside) for key, inside in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Iterable):
        return [_plain(inside) for inside in value]
    raise TypeError(f"{type(value).__name__} has no form in JSON")
