"""Files of a minute signal: one Parquet file an ADR, indexed by New York time.

A file remembers what it was made of (a digest), so that a run that was interrupted goes on where it stopped,
and which days have no rows, and why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kairos import __version__
from kairos.adr.files import UNREADABLE
from kairos.adr.minutes import NEW_YORK, new_york_clock
from kairos.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from kairos.adr.desk import Desk
    from kairos.adr.files import Array
    from kairos.adr.minutes import Instants
    from kairos.market.exchange import Dates

INDEX = "timestamp"
MADE_OF, NOTES = b"kairos_made_of", b"kairos_notes"

COLUMNS = (
    *("signal", "inferred", "adr_return", "index_return", "fx_return", "model_return", "coverage"),
    *("age_s", "premium_c"),
)
"""Columns of numbers of every signal file; `date` stands after the first."""


@dataclass(frozen=True, eq=False)
class MinuteFile:
    """What a signal file holds.

    Attributes
    ----------
    times : (T,) datetime64[ns]
        UTC, strictly increasing.
    columns
        Numbers by name, (T,) each.
    notes
        What the desk wrote beside the table: plain types. Empty in a file of the user.
    """

    times: Instants
    columns: Mapping[str, Array]
    notes: Mapping[str, Any]

    @property
    def signal(self) -> Array:
        """The signal, (T,)."""
        return self.columns["signal"]

    @cached_property
    def dates(self) -> Dates:
        """Day of each row, (T,): that in New York."""
        return new_york_clock(self.times).astype("datetime64[D]")


def file_of(folder: str, adr: str) -> str:
    """Name of an ADR's file in a folder, relative to the data directory."""
    return f"{folder}/ticker={quote(adr, safe='')}/data.parquet"


def files_of(desk: Desk, folder: str) -> dict[str, str]:
    """Names of the files in a folder by ADR, sorted."""
    found = sorted(desk.path(folder).glob("ticker=*/data.parquet"))
    adrs = [unquote(path.parent.name.removeprefix("ticker=")) for path in found]
    return {adr: file_of(folder, adr) for adr in adrs}


def write_minutes(
    path: Path,
    times: Instants,
    columns: Mapping[str, Array],
    made_of: str,
    notes: Mapping[str, Any],
    marks: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write a signal file.

    Parameters
    ----------
    path
        Where to.
    times : (T,) datetime64[ns]
        UTC, increasing.
    columns
        Numbers by name, (T,) each.
    made_of
        Digest of what the file was made of.
    notes
        Plain types, kept beside the table.
    marks
        Further entries of the metadata.
    """
    local = new_york_clock(times).astype("datetime64[D]")
    days, day = np.unique(local, return_inverse=True)
    dates = pc.take(pa.array(days.astype(str), pa.string()), pa.array(day))
    stamps = pa.array(times.astype("datetime64[us]"), pa.timestamp("us", "UTC"))
    arrays: dict[str, pa.Array] = {}
    for name, values in columns.items():
        arrays[name] = pa.array(values)
        if name == "signal":
            arrays["date"] = dates
    arrays[INDEX] = stamps.cast(pa.timestamp("us", NEW_YORK))
    index = pd.DatetimeIndex([], tz=NEW_YORK, name=INDEX)
    empty = pd.DataFrame(index=index, columns=pd.Index([], dtype="str"))
    note = dict(pa.Schema.from_pandas(empty).metadata)
    table = pa.table(arrays).replace_schema_metadata(note | _beside(made_of, notes, marks))
    pq.write_table(table, path, compression="zstd", use_dictionary=["date"])


def read_minutes(path: Path) -> MinuteFile:
    """Read a signal file, of the desk or of the user, who needs the index and the column `signal`.

    Raises
    ------
    InputError
        The file is missing or not Parquet, has no index of times with a time zone, or no column of numbers
        `signal`, or times are out of order or there twice.
    """
    if not path.is_file():
        raise InputError(f"{path}: the file is missing")
    try:
        frame, notes = pd.read_parquet(path), notes_of(path)
    except UNREADABLE as error:
        raise InputError(f"{path}: {error}") from None
    index = frame.index
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        raise InputError(f"{path}: the index is {index.dtype}; expected times with a time zone")
    if not (index.is_monotonic_increasing and index.is_unique):
        raise InputError(f"{path}: times are out of order or there twice")
    numbers = frame.select_dtypes("number")
    if "signal" not in numbers:
        raise InputError(f"{path}: no column of numbers `signal`; it has {', '.join(frame.columns)}")
    times = index.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[ns]")
    columns = {str(name): numbers[name].to_numpy(dtype=np.float64) for name in numbers}
    return MinuteFile(times, columns, notes)


def write_again(
    source: Path, path: Path, made_of: str, notes: Mapping[str, Any], marks: Mapping[str, str]
) -> None:
    """Write the table of a file under other notes and marks in its metadata; rows and columns stay."""
    table = pq.read_table(source)
    metadata = dict(table.schema.metadata or {}) | _beside(made_of, notes, marks)
    pq.write_table(table.replace_schema_metadata(metadata), path, compression="zstd")


def _beside(made_of: str, notes: Mapping[str, Any], marks: Mapping[str, str]) -> dict[bytes, bytes]:
    """Entries of a file's metadata."""
    more = {MADE_OF: made_of, NOTES: json.dumps(notes), **{key.encode(): text for key, text in marks.items()}}
    return {key: text.encode() for key, text in more.items()}


def notes_of(path: Path) -> dict[str, Any]:
    """What the desk wrote beside a table."""
    notes: dict[str, Any] = json.loads((pq.read_schema(path).metadata or {}).get(NOTES, b"{}"))
    return notes


def is_current(desk: Desk, name: str, made_of: str) -> bool:
    """Whether the desk made a file of the same things: a run that goes on need not make it again."""
    path = desk.path(name)
    if not path.is_file() or desk.is_users(name):
        return False
    metadata: dict[bytes, bytes] = pq.read_schema(path).metadata or {}
    return metadata.get(MADE_OF, b"").decode() == made_of


def digest(*parts: object) -> str:
    """Hash of what a file is made of: texts, and files by path, size and time of their last change."""
    state = hashlib.sha256(__version__.encode())
    for part in parts:
        state.update(f"{part}\n".encode())
    return state.hexdigest()[:24]


def marks(paths: Iterable[Path]) -> list[str]:
    """Path, size and time of the last change of each file that is there."""
    there = [(path, path.stat()) for path in paths if path.is_file()]
    return [f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in there]
