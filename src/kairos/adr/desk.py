"""The desk's data directory: where each file is, and how the desk writes one.

A file that the user brought is used and never replaced unless they ask for it. The desk knows its own files
by a ledger of fingerprints: a file whose content is not what the desk wrote belongs to the user.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from kairos.disk import writing
from kairos.errors import InputError
from kairos.turns import turn

if TYPE_CHECKING:
    from kairos.settings import Settings

_MADE = TypeAdapter(dict[str, list[str]])

LEDGER = "data/processed/.kairos_files.json"
MADE_OF = "data/processed/.kairos_made_of.json"
"""Fingerprint of each file, and the digest of what it was made of, which is of a place and a time: not in the
file, because its bytes must be the same wherever it is made."""

TURN = "data/processed/.kairos_run.lock"

ELSEWHERE = "move the data directory to where there is"
"""What a user can do when there is no room for a result, or no permission to write it."""

REMEMBERED = 8
"""Versions of a file whose fingerprints the ledger keeps."""

ADR_INFO = "data/raw/adr_info.csv"
FUTURES_SYMBOLS = "data/raw/futures_symbols.csv"
CLOSE_OFFSETS = "data/raw/close_time_offsets.csv"
ORDINARY_CLOSES = "data/raw/ordinary/ord_PX_LAST_adjust_all.csv"
INDEX_CLOSES = "data/raw/indices/indices_PX_LAST.csv"
US_MINUTES = "data/raw/russell1000/ohlcv-1m"
FX_MINUTES = "data/raw/currencies/minute_bars"
FUTURE_TEXTS = "data/raw/futures/minute_bars"
ADR_QUOTES = "data/raw/adrs/bbo-1m/nbbo"
ETF_MINUTES = "data/raw/etfs/ohlcv-1m"
ORDINARY_UNADJUSTED = "data/raw/ordinary/ord_PX_LAST_adjust_none.csv"
ORDINARY_OPENS = "data/raw/ordinary/ord_PX_OPEN_adjust_none.csv"
US_SECTORS = "data/raw/us_sectors.csv"
US_FACTORS = "data/processed/russell1000/adjustment_factors.csv"
US_CLOSES = "data/processed/russell1000/close_at_exchange_auction_adjusted"
US_BETAS = "data/processed/russell1000/russell_betas"
FUTURES = "data/processed/futures/converted_minute_bars"
ADR_MIDS = "data/processed/adrs/adr_mid_at_ord_auction_adjust_none.csv"
BASELINE = "data/processed/futures_only_signal"
BETAS = "data/processed/models/ordinary_betas_index_only.csv"
MODELS = "data/processed/models/with_us_stocks"
FEATURES = f"{MODELS}/features"
TARGETS = f"{MODELS}/targets.parquet"
NOTEBOOK = "notebooks/lasso_russell_analysis.ipynb"
SIGNAL_NOTEBOOK = "notebooks/minute_signal_analysis.ipynb"


@dataclass(frozen=True)
class Desk:
    """A data directory and the settings that it is worked with.

    Attributes
    ----------
    root
        The directory that holds ``data/raw`` and ``data/processed``.
    settings
        The resolved settings.
    force
        Replace files that the desk did not make.
    """

    root: Path
    settings: Settings
    force: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", self.root.resolve())  # a task may run in another working directory

    def path(self, name: str) -> Path:
        """Give the absolute path of a file that is named relative to the root."""
        return (self.root / name).resolve()

    def existing(self, name: str, what: str) -> Path:
        """Path of a file that must be there.

        Raises
        ------
        InputError
            When it is not; the message names the file and what it would have held.
        """
        path = self.path(name)
        if not path.exists():
            raise InputError(f"{path}: the file is missing; it holds {what}")
        return path

    def is_users(self, name: str) -> bool:
        """Whether a file exists that the desk did not make, or that was changed since."""
        return self.path(name).is_file() and not self._known(name, self._made())

    def refuse_users(self, names: Iterable[str]) -> None:
        """Make sure that files may be written, before the first one is.

        Raises
        ------
        InputError
            When one of them is the user's, unless ``force``.
        """
        made = self._made()
        for name in names:
            self._refuse_users(name, made)

    def turn(self, *, wait: bool) -> AbstractContextManager[None]:
        """Be the only run that works on the directory: what one writes another would read half of.

        Raises
        ------
        WorkError
            When another run is at it, and `wait` is not wanted.
        """
        return turn(self.path(TURN), f"the results in {self.root}", wait=wait)

    def save(
        self, files: Iterable[tuple[str, Callable[[Path], object]]], made_of: str | None = None
    ) -> list[Path]:
        """Write files under temporary names, enter them in the ledger, and then rename them all.

        The ledger comes first and keeps the fingerprint of the file that is replaced, so that whenever a
        process is killed, what lies there is known to be the desk's; it keeps earlier ones, too, because DVC
        brings earlier outputs back from its cache. When a file can't be written, none is replaced.

        Parameters
        ----------
        files
            Pairs of a name relative to the root and a function that writes the content to a path.
        made_of
            Digest of what the files are made of, for `is_current`.

        Raises
        ------
        InputError
            Before a file of the user would be replaced without ``force``.
        WorkError
            When a file can't be written.
        """
        ledger = self.path(LEDGER)
        temporaries: dict[Path, Path] = {}
        written: list[str] = []
        with _held(ledger.with_suffix(".lock")):
            made = self._made()
            try:
                for name, write in files:
                    path = self._refuse_users(name, made)
                    temporaries[path] = path.with_name(f".{path.name}.tmp")
                    with writing(path, ELSEWHERE):
                        path.parent.mkdir(parents=True, exist_ok=True)
                        write(temporaries[path])
                    marks = [fingerprint(temporaries[path]), *self._known(name, made), *made.get(name, [])]
                    made[name] = list(dict.fromkeys(marks))[:REMEMBERED]
                    written.append(name)
                if temporaries:
                    _write_ledger(ledger, made)
                    if made_of is not None:
                        self._remember({name: made[name][0] for name in written}, made_of)
                for path, temporary in temporaries.items():
                    temporary.replace(path)
            finally:
                for temporary in temporaries.values():
                    with contextlib.suppress(OSError):  # a folder that turned read-only says it above
                        temporary.unlink()
        return list(temporaries)

    def is_current(self, name: str, made_of: str) -> bool:
        """Whether the desk made a file of the same things: a run that goes on need not make it again."""
        path, made = self.path(name), self._read(MADE_OF)
        return name in made and path.is_file() and made[name] == [fingerprint(path), made_of]

    def remove(self, names: Iterable[str]) -> None:
        """Delete files of an earlier run that the desk made; a file of the user stays."""
        made = self._made()
        for name in names:
            if self._known(name, made):
                self.path(name).unlink()

    def _refuse_users(self, name: str, made: Mapping[str, list[str]]) -> Path:
        """Path of a file that may be written."""
        path = self.path(name)
        if path.is_file() and not self.force and not self._known(name, made):
            raise InputError(
                f"{path}: this file was not made by the desk, or was changed since, and is left alone; "
                "move it away or use --force"
            )
        return path

    def _known(self, name: str, made: Mapping[str, list[str]]) -> list[str]:
        """Fingerprint of the file that is there, when the desk made it."""
        path = self.path(name)
        there = fingerprint(path) if name in made and path.is_file() else None
        return [there] if there in made.get(name, []) else []

    def _made(self) -> dict[str, list[str]]:
        """Fingerprints of what the desk wrote under each name, the last one first."""
        return self._read(LEDGER)

    def _remember(self, written: Mapping[str, str], made_of: str) -> None:
        """Note what files are made of, by name and fingerprint."""
        known = self._read(MADE_OF) | {name: [mark, made_of] for name, mark in written.items()}
        _write_ledger(self.path(MADE_OF), known)

    def _read(self, ledger: str) -> dict[str, list[str]]:
        with contextlib.suppress(FileNotFoundError):
            text = self.path(ledger).read_text(encoding="utf-8")
            try:
                return _MADE.validate_json(text)
            except ValidationError as error:
                what = error.errors()[0]["msg"]
                raise InputError(f"{self.path(ledger)}: damaged ({what}); delete it") from error
        return {}


def _held(lock: Path) -> FileLock:
    """The lock of the ledger, taken; two programs that use the desk may save at the same moment."""
    held = FileLock(lock)
    with writing(lock, ELSEWHERE):
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire()
    return held


def _write_ledger(ledger: Path, made: Mapping[str, list[str]]) -> None:
    temporary = ledger.with_suffix(".tmp")
    with writing(ledger, ELSEWHERE):
        try:
            temporary.write_text(json.dumps(made, indent=0, sort_keys=True), encoding="utf-8")
            temporary.replace(ledger)
        finally:
            temporary.unlink(missing_ok=True)


def fingerprint(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
