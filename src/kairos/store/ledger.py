"""The run ledger: which command, with which settings, code, data and seed, gave which result."""

from __future__ import annotations

import datetime as dt
import json
import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kairos.errors import InputError
from kairos.store.tables import RESULT, digest, plain
from kairos.store.version import code_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kairos.store.publish import Transaction
    from kairos.store.snapshot import Snapshot

TABLE = "runs"
"""Name of the ledger's table."""

_LOG = logging.getLogger(__name__)

_SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "time": pa.timestamp("us"),
        "command": pa.string(),
        "config": pa.string(),
        "config_hash": pa.string(),
        "code_version": pa.string(),
        "snapshot": pa.string(),
        "seed": pa.int64(),
        "headline": pa.string(),
    }
)


@dataclass(frozen=True)
class Run:
    """One run of a command.

    Parameters
    ----------
    id
        Sorts by time.
    time
        When it was recorded, UTC, without zone.
    command
        What was called, with its arguments.
    config, config_hash
        Resolved configuration as JSON text with sorted keys, and its hash.
    code_version
        Version of Kairos.
    snapshot
        The data that the run read.
    seed
        Of its random numbers; None if it has none.
    headline
        Main results, as JSON text.
    """

    id: str
    time: dt.datetime
    command: str
    config: str
    config_hash: str
    code_version: str
    snapshot: str
    seed: int | None
    headline: str

    def with_headline(self, **more: Any) -> Run:
        """The same run with more main results."""
        return replace(
            self, headline=json.dumps({**json.loads(self.headline), **plain(more)}, sort_keys=True)
        )


def new_run(
    command: str,
    *,
    snapshot: str,
    config: Mapping[str, Any],
    headline: Mapping[str, Any],
    seed: int | None = None,
) -> Run:
    """Return the record of a run that ends now."""
    time = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    settings = json.dumps(plain(dict(config)), sort_keys=True)
    seal = digest(f"{time.isoformat()} {command} {snapshot} {settings}".encode())
    return Run(
        id=f"{time:%Y%m%d-%H%M%S}-{seal[:6]}",
        time=time,
        command=command,
        config=settings,
        config_hash=digest(settings.encode()),
        code_version=code_version(),
        snapshot=snapshot,
        seed=seed,
        headline=json.dumps(plain(dict(headline)), sort_keys=True),
    )


def record(tx: Transaction, *runs: Run) -> None:
    """Append runs to the ledger, as a part of what `tx` publishes."""
    for run in runs:
        _LOG.info("recorded", extra={"facts": {"run": run.id}})
    rows = [asdict(run) for run in sorted(runs, key=lambda run: run.id)]
    tx.append(TABLE, pa.Table.from_pylist(rows, schema=_SCHEMA), key=("id",), meta={RESULT: True})


def runs(snapshot: Snapshot) -> list[Run]:
    """Return all runs, oldest first; none before the first one."""
    if not snapshot.has(TABLE):
        return []
    return sorted(
        (Run(**row) for row in snapshot.read(TABLE).to_pylist()), key=lambda run: (run.time, run.id)
    )


def find(snapshot: Snapshot, run: str) -> Run:
    """Return a run by its identifier, or by a beginning of it that no other run has.

    Raises
    ------
    InputError
        If none, or several, are meant.
    """
    meant = [one for one in runs(snapshot) if one.id.startswith(run)]
    if len(meant) != 1:
        fault = f"{len(meant)} runs begin with" if meant else "no run has the identifier"
        raise InputError(f"{fault} {run!r}; the table {TABLE} lists them")
    return meant[0]
