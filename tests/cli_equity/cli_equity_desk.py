"""Running commands, and looking at what they leave behind."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from kairos.cli import main
from kairos.store import Store


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


def kairos(*arguments: object) -> Ended:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as caught,
    ):
        main([str(argument) for argument in arguments])
    return Ended(int(caught.value.code or 0), out.getvalue(), err.getvalue())


def equity(command: str, *arguments: object) -> Ended:
    """Run a command of the desk that is expected to succeed."""
    ended = kairos("equity", command, *arguments)
    assert ended.code == 0, ended.err
    return ended


@dataclass(frozen=True)
class Desk:
    """A folder of vendor files, and the store that was made from it."""

    vendor: Path
    db: Path

    def state(self) -> Mapping[str, str]:
        """Fingerprint of every table, and of the bytes of the catalog."""
        tables = Store(self.db).snapshot().tables
        found = {f"{space}.{name}": table.fingerprint for (space, name), table in tables.items()}
        return found | {"catalog": hashlib.sha256(self.db.read_bytes()).hexdigest()}

    def rows(self, sql: str) -> list[Any]:
        """Ask the catalog, as a user's shell would."""
        with duckdb.connect(str(self.db), read_only=True) as con:
            return con.execute(sql).fetchall()
