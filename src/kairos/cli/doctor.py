"""``kairos doctor``: whether this machine, this configuration and this store are fit for work."""

import os
import platform
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kairos import __version__
from kairos.cli import console
from kairos.cli.options import ConfigOption, DbOption, JsonOption, SetOption, settings_of
from kairos.errors import InputError, KairosError

if TYPE_CHECKING:
    from kairos.settings import Settings

LIBRARIES = (
    "bottleneck",
    "duckdb",
    "exchange-calendars",
    "httpx",
    "numba",
    "numpy",
    "plotly",
    "pyarrow",
    "pydantic",
)
FREE_DISK = 5e9


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``state`` is ``ok``, ``warning`` or ``wrong``."""

    what: str
    state: Literal["ok", "warning", "wrong"]
    detail: str
    exit_code: int = 0


def doctor(
    config: ConfigOption = None,
    overrides: SetOption = None,
    db: DbOption = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every part of the store, and name those that are damaged.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check Python, the libraries, the configuration, the store and the disk.

    Example: kairos doctor --db data/kairos.duckdb
    """
    findings = [
        Finding("kairos", "ok", __version__),
        Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *(Finding(name, "ok", metadata.version(name)) for name in LIBRARIES),
        _threads(),
    ]
    try:
        settings = settings_of(config, overrides, db)
    except InputError as error:
        findings.append(Finding("configuration", "wrong", str(error), error.exit_code))
    else:
        findings += [Finding("configuration", "ok", f"digest {settings.digest()}"), _workers(settings)]
        findings += [_store(settings, verify), _disk(Path(settings.data.db))]
    if as_json:
        console.emit_json(findings)
    else:
        console.table(
            ["check", "state", "detail"], [(item.what, item.state, item.detail) for item in findings]
        )
    raise typer.Exit(max(item.exit_code for item in findings))


def _threads() -> Finding:
    import numba

    return Finding("numba threads", "ok", f"{numba.get_num_threads()} of {_cores()} cores")


def _workers(settings: "Settings") -> Finding:
    wanted = settings.run.workers * settings.run.threads
    if settings.run.workers > _cores() or settings.run.threads > _cores():
        return Finding("workers", "warning", f"run.workers or run.threads exceeds the {_cores()} cores")
    return Finding("workers", "ok", f"{settings.run.workers} × {settings.run.threads} threads = {wanted}")


def _store(settings: "Settings", verify: bool) -> Finding:
    from kairos.store import Store, check_parts

    store = Store(Path(settings.data.db), keep_snapshots=settings.store.keep_snapshots)
    if not store.exists:
        return Finding(
            "store", "warning", f"{settings.data.db} does not exist yet: run `kairos equity ingest`"
        )
    try:
        snapshot = store.snapshot()
    except KairosError as error:
        return Finding("store", "wrong", str(error), error.exit_code)
    try:
        check_parts(snapshot.tables.values())
        read = store.verify() if verify else None
    except KairosError as error:
        return Finding("store", "wrong", str(error), 1)
    verified = f", {read.parts:,} parts read" if read else ""
    return Finding("store", "ok", f"snapshot {snapshot.id} with {len(snapshot.tables)} tables{verified}")


def _disk(db: Path) -> Finding:
    folder = next(folder for folder in db.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(folder).free
    state: Literal["ok", "warning"] = "ok" if free >= FREE_DISK else "warning"
    return Finding("free disk", state, f"{free / 1e9:.1f} GB at {folder}")


def _cores() -> int:
    return os.cpu_count() or 1
